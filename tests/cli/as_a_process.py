"""The command as users run it: a process of a shell.

The package is imported once, by a server that forks for every command. What the shell starts hands its streams to that
child, closed ones too, and ends as it ends.
"""

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SERVER = """
import os, socket, sys
from moefast.cli import main

server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("ready", flush=True)


def stream(handle, mode):
    # As Python does it when it starts: a stream that is closed is None.
    return open(handle, mode, closefd=False) if handle in handles else None


while True:
    client, _ = server.accept()
    message, handles, *_ = socket.recv_fds(client, 100_000, 3)
    folder, opened, *arguments = message.decode().split("\\0")
    child = os.fork()
    if not child:
        break
    for handle in handles:
        os.close(handle)
    client.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    client.close()
for handle in range(3):
    os.close(handle)
"""


def process(arguments, folder, redirections="", **options):
    """Run the command in a shell, as a user does."""
    command = f'exec "{sys.executable}" -m moefast.cli {arguments} {redirections}'
    return subprocess.run(["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, **options)
