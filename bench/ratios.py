"""The tables of ratios: moefast beside numpy and others, one thread, CPU time, in one process.

Ours and each other route take turns; the least time of each counts, after at least three turns and 0.2 s. Every
answer is checked. GF/s count the least flops that the unique entries need. Where the other's n is smaller its time
is scaled to ours. OpenBLAS takes its best kernels for the CPU whatever OPENBLAS_CORETYPE says, unless --blas says
otherwise; with --isa avx2 it takes its AVX2 kernels, too. With --both-blas one process measures with the best
kernels and after it another one with AVX2 kernels, and their ratios stand side by side.

    python bench/ratios.py [--quick] [--isa avx2] [--only SUBSTRING] [--both-blas]
    python bench/ratios.py [--quick] [--isa avx2] [--only SUBSTRING] [--blas best|environment|CORETYPE]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import one_thread

AVX2_BLAS = "Haswell"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller n and fewer turns")
    parser.add_argument("--isa", help="instruction set of our kernels: avx512, avx2 or baseline")
    parser.add_argument("--only", default="", help="cases whose title or name contains this")
    blas = parser.add_mutually_exclusive_group()
    blas.add_argument("--blas", help="OpenBLAS kernels: best, environment or a value of OPENBLAS_CORETYPE")
    blas.add_argument("--both-blas", action="store_true", help=f"best and {AVX2_BLAS} kernels side by side")
    parser.add_argument("--blas-only", action="store_true", help="only what uses numpy's BLAS")
    parser.add_argument("--json", type=Path, help="write the rows there, and show no tables")
    return parser.parse_args()


def measured(arguments, blas, folder):
    """Run this script in a process of its own; return how it describes the machine, and its rows as dicts."""
    file = Path(folder) / f"{blas}.json"
    command = [sys.executable, __file__, "--blas", blas, "--json", str(file), "--only", arguments.only]
    command += ["--quick"] if arguments.quick else []
    command += ["--isa", arguments.isa] if arguments.isa else []
    command += ["--blas-only"] if arguments.blas_only or blas != "best" else []
    subprocess.run(command, check=True)
    found = json.loads(file.read_text())
    return found["machine"], found["rows"]


def both(arguments, mode):
    """Measure with both kernels, one after the other, and show the ratios side by side."""
    with tempfile.TemporaryDirectory() as folder:
        machine, best = measured(arguments, "best", folder)
        other_machine, other = measured(arguments, AVX2_BLAS, folder)
    import compare

    for line in machine + [line for line in other_machine if line not in machine]:
        print(f"- {line}")
    right = compare.show_both([compare.Row(**r) for r in best], [compare.Row(**r) for r in other], AVX2_BLAS)
    compare.show_float32(mode, arguments.only)
    return right


def single(arguments, mode):
    """Measure in this process; show the tables or write the rows."""
    import compare  # numpy reads the environment when it is loaded

    rows = compare.measure(mode, arguments.only, arguments.blas_only)
    if arguments.json:
        found = {"machine": compare.machine(), "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(found))
        return True  # who reads the rows tells wrong answers
    for line in compare.machine():
        print(f"- {line}")
    right = compare.show_tables(rows)
    compare.show_float32(mode, arguments.only)
    return right


def main():
    arguments = parse()
    one_thread.pin(arguments.blas or (AVX2_BLAS if arguments.isa == "avx2" else "best"))
    if arguments.isa:
        import moefast._core as core

        core.use_instruction_set(arguments.isa)
    right = (both if arguments.both_blas else single)(arguments, "quick" if arguments.quick else "full")
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
