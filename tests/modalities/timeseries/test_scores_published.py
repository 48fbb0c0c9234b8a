"""The scores themselves are checked: on real data they give the rows that papers print for original data."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.modalities.timeseries import scores
from ornstein.modalities.timeseries.published import halves
from ornstein.modalities.timeseries.ts2vec import represent, train_encoder

pytestmark = pytest.mark.slow


def sines(seed):
    """10,000 windows of 24 steps and 5 channels by the recipe of TimeGAN."""
    freq, phase = np.random.default_rng(seed).uniform(0, 0.1, (2, 10_000, 1, 5))
    return torch.from_numpy((np.sin(freq * np.arange(24)[:, None] + phase) + 1) / 2).float()


def etth(path):
    """All windows of 24 hours of ETTh1, each channel scaled to [0, 1]."""
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}")
    values = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 8))
    values = (values - values.min(0)) / (values.max(0) - values.min(0))
    return torch.from_numpy(np.lib.stride_tricks.sliding_window_view(values, 24, 0).transpose(0, 2, 1).copy()).float()


@pytest.fixture(scope="module", params=["Sines", "ETTh1"])
def data(request):
    """Name, all windows, two sets of real windows of which neither has one of the other's."""
    if request.param == "Sines":
        real = sines(0)
        return "Sines", real, (real, sines(1))
    real = etth(request.getfixturevalue("shared_data") / "timeseries" / "ett" / "ETTh1.csv")
    return "ETTh1", real, halves(real)


def test_the_predictive_score_of_the_data_itself_is_the_published_one(data):
    name, real, _ = data
    mean = np.mean(scores.predictive_scores(real, real))
    assert mean == pytest.approx({"Sines": 0.094, "ETTh1": 0.121}[name], abs={"Sines": 0.002, "ETTh1": 0.008}[name])


def test_noise_has_a_discriminative_score_near_a_half_and_real_data_near_none(data):
    _, real, (one, other) = data
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(0))
    assert min(scores.discriminative_scores(real, noise, runs=3)) > 0.49
    assert np.mean(scores.discriminative_scores(one, other, runs=3)) < 0.015


def test_the_context_fid_of_real_data_is_that_of_two_samples(data):
    name, _, (one, other) = data
    encoder = train_encoder(one, 0)
    features = [represent(encoder, x) for x in (one, other)]
    assert frechet_distance(*features) < {"Sines": 0.004, "ETTh1": 0.01}[name]
    noisy = represent(encoder, (other + 0.05 * torch.randn(other.shape, generator=torch.Generator().manual_seed(0))))
    assert frechet_distance(features[0], noisy) > 0.05


def test_the_correlational_score_of_real_data_is_small(data):
    name, _, (one, other) = data
    assert np.mean(scores.correlational_scores(one, other)) < {"Sines": 0.03, "ETTh1": 0.08}[name]
