"""The console command ``moefast``."""

from moefast.cli.commands import main

__all__ = ["main"]
