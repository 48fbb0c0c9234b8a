"""Why hidden colours are learnt: in a world with exact denoisers, sampling without a truth for them loses transparency."""

from itertools import pairwise

import numpy as np
import pytest

MEAN, STD = 0.3, 0.3  # of a colour where it is seen


def transparent(colours, fill, loss, n=3000, steps=60):
    """The share of samples that end transparent, of a world of one alpha (-1 or 1, half each) and some colours of one pixel.

    A seen colour is normal, a hidden one is `fill`. The denoiser of colours is that of all pixels, or, where hidden ones carry no
    loss, that of seen ones alone. Euler's steps of the rectified flow.
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=n), rng.normal(size=(n, colours))  # alpha and colours
    times = np.linspace(0.999, 0.001, steps + 1)
    for t, u in pairwise(times):
        keep, variance = 1 - t, ((1 - t) * STD) ** 2 + t**2
        seen = -((x - keep) ** 2) / (2 * t**2) - ((y - keep * MEAN) ** 2 / variance + np.log(variance)).sum(1) / 2
        hidden = -((x + keep) ** 2) / (2 * t**2) - ((y - keep * fill) ** 2 / t**2 + np.log(t**2)).sum(1) / 2
        p = 1 / (1 + np.exp(np.clip(hidden - seen, -60, 60)))
        of_seen = MEAN + keep * STD**2 / variance * (y - keep * MEAN)
        colour = p[:, None] * of_seen + (1 - p[:, None]) * fill if loss else of_seen
        x, y = x + (u - t) * (x - (2 * p - 1)) / t, y + (u - t) * (y - colour) / t
    return float((x < 0).mean())


@pytest.mark.parametrize("colours", [3, 12])
def test_hidden_colours_that_are_learnt_leave_transparency_as_it_is(colours):
    assert transparent(colours, -1.0, loss=True) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("colours", "black", "grey"), [(3, 0.08, 0.47), (12, 0.0, 0.37)])
def test_without_a_loss_they_cost_transparency_and_black_ones_nearly_all(colours, black, grey):
    assert transparent(colours, -1.0, loss=False) == pytest.approx(black, abs=0.03)
    assert transparent(colours, 0.0, loss=False) == pytest.approx(grey, abs=0.03)
