"""The command of the experiments."""

from click.testing import CliRunner

from moefast.cli import main


def reproduce(*args):
    return CliRunner().invoke(main, ["reproduce", *(str(a) for a in args)])
