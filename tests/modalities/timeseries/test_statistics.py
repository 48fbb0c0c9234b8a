"""Plain statistics of windows against closed forms."""

import math

import numpy as np
import pytest
import torch
from ornstein.modalities.timeseries import statistics


def test_autocorrelation_of_an_autoregression_falls_geometrically():
    rng = np.random.default_rng(0)
    x = np.zeros((4000, 12, 1))
    x[:, 0] = rng.standard_normal((4000, 1))
    for t in range(1, 12):
        x[:, t] = 0.7 * x[:, t - 1] + math.sqrt(1 - 0.49) * rng.standard_normal((4000, 1))
    found = statistics.autocorrelations(torch.from_numpy(x))[:, 0]
    assert torch.allclose(found, 0.7 ** torch.arange(1, 12, dtype=torch.float64), atol=0.03)
    noise = torch.from_numpy(rng.standard_normal(x.shape))
    expected = float((0.7 ** torch.arange(1, 12, dtype=torch.float64)).mean())
    assert statistics.autocorrelation_distance(torch.from_numpy(x), noise) == pytest.approx(expected, abs=0.02)


def test_unobserved_entries_count_in_no_autocorrelation():
    x = torch.randn(500, 10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(1)
    gaps = x.clone()
    gaps[::2, 3:5] = torch.nan
    assert torch.allclose(statistics.autocorrelations(gaps), statistics.autocorrelations(x), atol=0.1)
    x[..., 1] = 3.0
    assert statistics.autocorrelations(x)[:, 1].eq(0).all()


def test_spectrum_of_a_sine_is_one_line_and_disjoint_lines_are_one_apart():
    t = torch.arange(32, dtype=torch.float64)
    phase = torch.rand(50, 1, dtype=torch.float64) * 2 * math.pi

    def sine(k):
        return torch.sin(2 * math.pi * k * t / 32 + phase).unsqueeze(-1)

    shares = statistics.spectra(sine(5))[:, 0]
    assert shares[4] == pytest.approx(1.0)
    assert shares.sum() == pytest.approx(1.0)
    assert statistics.spectrum_distance(sine(5), 3 * sine(5) + 1) == pytest.approx(0, abs=1e-12)
    assert statistics.spectrum_distance(sine(5), sine(9)) == pytest.approx(1.0)


def test_marginal_wasserstein_is_the_shift_in_deviations_and_equals_scipy():
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(1)
    y = rng.standard_normal((200, 5, 2)) * [1.0, 10.0]
    x = rng.standard_normal((90, 5, 2)) ** 3
    sets = [statistics.marginals(torch.from_numpy(each)) for each in (x, y)]
    by_scipy = [wasserstein_distance(x[..., k].ravel(), y[..., k].ravel()) / y[..., k].std(ddof=1) for k in range(2)]
    assert statistics.marginal_distance(*sets) == pytest.approx(np.mean(by_scipy), rel=1e-12)
    shifted = statistics.marginals(torch.from_numpy(y + 0.5 * y.std((0, 1), ddof=1)))
    assert statistics.marginal_distance(shifted, sets[1]) == pytest.approx(0.5, rel=1e-12)
    y[0, 0, 0] = np.nan
    assert len(statistics.marginals(torch.from_numpy(y))[0]) == 999


def test_one_step_is_refused():
    with pytest.raises(ValueError, match=r"at least 2 steps are needed, found \(5, 1, 2\)"):
        statistics.autocorrelations(torch.zeros(5, 1, 2))
