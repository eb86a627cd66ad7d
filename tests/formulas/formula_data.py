"""A table with numbers, words, categories in an order of their own, codes and flags."""

import numpy as np
import pandas as pd


def table(n=240, seed=0):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "my col": rng.uniform(1.0, 2.0, size=n),
            "word": rng.choice(["b", "a", "c"], size=n),
            "size": pd.Categorical(rng.choice(["small", "large"], size=n), categories=["small", "large", "huge"]),
            "code": rng.choice([3, 1, 2], size=n),
            "flag": rng.random(n) < 0.5,
        }
    )
    first = rng.random(n) < 1.0 / (1.0 + np.exp(-2.0 * data["z"]))
    law = np.where(first, 1.0 + data["x"], -1.0 - data["x"]) + 0.5 * (data["word"] == "b")
    return data.assign(y=np.exp(law + 0.1 * rng.normal(size=n)))
