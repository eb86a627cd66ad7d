"""All comparisons. One definition serves ``python bench/ratios.py`` and pytest-benchmark (``pytest bench``)."""

import cases_em
import cases_families
import cases_moments
import cases_tensors

CASES = [
    *cases_moments.moment_cases(),
    *cases_moments.channel_cases(),
    *cases_moments.float32_cases(),
    *cases_tensors.contraction_cases(),
    *cases_tensors.power_cases(),
    *cases_em.iteration_cases(),
    *cases_families.family_cases(),
    *cases_em.batch_cases(),
]
