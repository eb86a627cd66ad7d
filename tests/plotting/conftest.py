"""Pictures are drawn on a canvas without a screen."""

import matplotlib
import pytest

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _no_figures_left():
    from matplotlib import pyplot

    yield
    for number in pyplot.get_fignums():  # whatever was drawn can be rendered
        pyplot.figure(number).canvas.draw()
    pyplot.close("all")
