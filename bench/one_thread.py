"""Pins every library to one thread and lets BLAS choose its kernels; to be called before numpy is imported."""

import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def pin(blas="best"):
    """Set the environment variables.

    Parameters
    ----------
    blas : str
        "best": the kernels OpenBLAS takes for this CPU by itself. "environment": what OPENBLAS_CORETYPE says.
        Anything else is a value of OPENBLAS_CORETYPE, for instance "Haswell" for AVX2.
    """
    os.environ.update(dict.fromkeys(THREADS, "1"))
    if blas != "environment":
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            os.environ.pop(name, None)
        if blas != "best":
            os.environ["OPENBLAS_CORETYPE"] = blas
