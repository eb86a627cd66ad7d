"""Standard errors as a test wants them, in the form of ``model.inference(X, y)``."""

from dataclasses import dataclass

import numpy as np


@dataclass
class GivenInference:
    """Estimates are the model's; standard errors are given by (owner, term), others are not estimable."""

    names: list
    params: np.ndarray
    bse: np.ndarray
    cov_type: str = "robust"
    messages: tuple = ()
    reference: int = -1

    @classmethod
    def of(cls, model, errors):
        terms, k = (
            [*getattr(model, "feature_names_in_", [f"x{j}" for j in range(model.n_features_in_)])],
            len(model.coef_),
        )
        terms = [*map(str, terms), "(intercept)"]
        experts = np.column_stack([model.coef_, model.intercept_])
        gates = np.column_stack([model.gate_coef_, model.gate_intercept_])[:-1]
        names = [(f"expert {i}", term) for i in range(k) for term in terms]
        names += [(f"gate {i}", term) for i in range(k - 1) for term in terms]
        sigma = np.log(model.sigma_)
        if model.noise == "shared":
            names.append(("all experts", "log(sigma)"))
            sigma = sigma[:1]
        else:
            names += [(f"expert {i}", "log(sigma)") for i in range(k)]
        params = np.concatenate([experts.ravel(), gates.ravel(), sigma])
        assert set(errors) <= set(names)
        return cls(names, params, np.array([errors.get(name, np.nan) for name in names]))

    @property
    def zvalues(self):
        is_noise = np.array([term == "log(sigma)" for _, term in self.names])
        return np.where(is_noise, np.nan, self.params / self.bse)

    @property
    def pvalues(self):
        from scipy.stats import norm

        return 2 * norm.sf(np.abs(self.zvalues))

    def conf_int(self, alpha=0.05):
        from scipy.stats import norm

        half = norm.ppf(1 - alpha / 2) * self.bse
        return np.column_stack([self.params - half, self.params + half])

    def with_reference(self, expert):
        self.reference = expert
        return self
