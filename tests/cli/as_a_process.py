"""The command as users run it: a process of a shell."""

import subprocess
import sys


def process(arguments, folder, redirections="", **options):
    """Run the command in a shell, as a user does."""
    command = f'exec "{sys.executable}" -m moefast.cli {arguments} {redirections}'
    return subprocess.run(["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, **options)
