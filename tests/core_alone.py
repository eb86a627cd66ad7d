"""The extension in a fresh interpreter: the package would load libraries that take a hundred times longer."""

# Run with the path of the extension, ``_core.__file__``, as the first argument.
LOAD_CORE = """
import importlib.util
import sys

spec = importlib.util.spec_from_file_location("moefast._core", sys.argv[1])
_core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_core)
"""
