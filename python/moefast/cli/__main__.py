"""``python -m moefast.cli`` is the command ``moefast``."""

import sys

from moefast.cli.commands import main

sys.exit(main())
