"""The command as users run it: a process of a shell.

Nearly all of its time goes into imports. So a server has them done, and forks for every command; what the shell
starts hands its streams over, closed or not, and ends as the forked process does.
"""

import atexit
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

CLIENT = """
import os, socket, sys


def is_open(handle):
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True


handles = list(filter(is_open, range(3)))
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
order = [os.getcwd(), "".join(map(str, handles)), *sys.argv[2:]]
socket.send_fds(client, ["\\0".join(order).encode()], handles)
sys.exit(int(client.recv(10)))
"""

SERVER = """
import os, runpy, select, socket, sys
import moefast.cli

server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("ready", flush=True)
child = None
while child != 0:
    if sys.stdin in select.select([server, sys.stdin], [], [])[0]:
        sys.exit()  # who started it has ended
    client, _ = server.accept()
    order, received, *_ = socket.recv_fds(client, 100_000, 3)
    folder, handles, *arguments = order.decode().split("\\0")
    child = os.fork()
    if child:
        for handle in received:
            os.close(handle)
        client.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        client.close()

# As if it had been started with these streams: Python takes closed ones for None, and writes errors by lines.
streams = dict(zip(map(int, handles), received))
for handle, name in enumerate(("stdin", "stdout", "stderr")):
    os.close(handle)
    if handle in streams:
        os.dup2(streams[handle], handle)
        os.close(streams[handle])
    stream = None
    if handle in streams:
        stream = open(handle, "w" if handle else "r", 1 if name == "stderr" else -1, closefd=False)
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
os.chdir(folder)
sys.argv[1:] = arguments
runpy.run_module("moefast.cli", run_name="__main__", alter_sys=True)
"""


@cache
def _address():
    """Start the server; return where it listens."""
    folder = tempfile.TemporaryDirectory()
    address = Path(folder.name) / "server"
    command = [sys.executable, "-c", SERVER, str(address)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop():
        server.communicate()
        folder.cleanup()

    atexit.register(stop)
    assert server.stdout.readline() == b"ready\n"
    return address


def process(arguments, folder, redirections="", **options):
    """Run the command in a shell, as a user does."""
    command = f'exec "{sys.executable}" -I -S -c "$0" "$1" {arguments} {redirections}'
    line = ["/bin/sh", "-c", command, CLIENT, str(_address())]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, **options)
