"""Coverage-guided fuzzing of one reader, with atheris (``pip install atheris``; Linux and CPython).

    python tests/fuzz/read_with_atheris.py KIND [-runs=N] [FOLDER ...]

KIND is one of those of `bytes_of_files.GOOD`, such as "model", "csv", "parquet", "accumulator"; further arguments
are libFuzzer's. Inputs are read as they are and with a checksum that is right. It ends with the input and
the traceback of the first accident. test_fuzz_readers.py tries the same readers on mutated bytes without atheris.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import atheris

with atheris.instrument_imports(include=["moefast", "json", "bytes_of_files"]):
    import bytes_of_files as files


def main(kind, arguments):
    """Fuzz the reader of a kind of file."""

    def one(data):
        files.read(kind, data)
        sealed = files.sealed(kind, data)
        if sealed != data:
            files.read(kind, sealed)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "good").write_bytes(files.good(kind))
        atheris.Setup([sys.argv[0], *arguments, folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in files.GOOD:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
