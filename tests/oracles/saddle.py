"""A saddle of the likelihood that EM ends at."""

from dataclasses import replace

import numpy as np


def identical_experts(problem, mixture):
    """Where EM ends from experts that are all the first of a mixture, behind flat gates.

    A saddle where the data have several laws. `mixture` is in the units of the data.
    """
    m = mixture.to_standard(problem.standardisation)
    k = m.n_experts
    same = replace(
        m,
        coef=np.repeat(m.coef[:1], k, axis=0),
        intercept=np.repeat(m.intercept[:1], k),
        gate_coef=np.zeros_like(m.gate_coef),
        gate_intercept=np.zeros(k),
        sigma=np.full(k, m.sigma[0]),
    )
    return problem.run(same)
