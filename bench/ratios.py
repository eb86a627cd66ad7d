"""The tables of ratios: moefast beside numpy and others, one thread, CPU time, in one process.

Ours and each other route take turns; the least time of each counts, after at least three turns and 0.2 s. Every
answer is checked. GF/s count the least flops that the unique entries need. Where the other's n is smaller its time
is scaled to ours. OpenBLAS takes its best kernels for the CPU whatever OPENBLAS_CORETYPE says, unless --blas says
otherwise; with --isa avx2 it takes its AVX2 kernels, too.

    python bench/ratios.py [--quick] [--isa avx2] [--only SUBSTRING] [--blas best|environment|CORETYPE]
"""

import argparse
import sys

import one_thread


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller n and fewer turns")
    parser.add_argument("--isa", help="instruction set of our kernels: avx512, avx2 or baseline")
    parser.add_argument("--only", default="", help="cases whose title or name contains this")
    parser.add_argument("--blas", help="OpenBLAS kernels: best, environment or a value of OPENBLAS_CORETYPE")
    arguments = parser.parse_args()
    one_thread.pin(arguments.blas or ("Haswell" if arguments.isa == "avx2" else "best"))

    import compare  # numpy reads the environment when it is loaded
    import moefast._core as core

    if arguments.isa:
        core.use_instruction_set(arguments.isa)
    right = compare.report("quick" if arguments.quick else "full", arguments.only)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
