"""The metrics against torch-fidelity and torchmetrics on the same features."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation import Frechet, metrics

D = 24


def rows(n, seed, shift=0.0):
    """Correlated features of unequal scales, as networks give them, float64."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).standard_normal((D, D)) / np.sqrt(D)
    return torch.from_numpy(np.abs(rng.standard_normal((n, D)) @ mix + shift))


PAIRS = [(rows(200, 1), rows(200, 2)), (rows(200, 1), rows(200, 3, 0.3)), (rows(200, 4), rows(150, 5, 1.0))]


@pytest.fixture
def fidelity(request):
    return pytest.importorskip(f"torch_fidelity.metric_{request.param}")


@pytest.mark.parametrize("fidelity", ["fid"], indirect=True)
@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_frechet_distance(x, y, fidelity):
    statistics = [fidelity.fid_features_to_statistics(each) for each in (x, y)]
    expected = fidelity.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert metrics.frechet_distance(x, y) == pytest.approx(expected, abs=1e-6)
    streamed = Frechet(D)
    streamed.update(x, reference=False)
    streamed.update(y, reference=True)
    assert float(streamed.compute()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_frechet_distance_of_torchmetrics(x, y):
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Rows(torch.nn.Module):
        """Images that are rows already."""

        num_features = D

        def forward(self, images):
            return images.flatten(1)

    theirs = FrechetInceptionDistance(Rows(), input_img_size=(D, 1, 1)).set_dtype(torch.float64)
    for part, real in ((x, False), (y, True)):
        theirs.update(part[:, :, None, None], real=real)
    assert metrics.frechet_distance(x, y) == pytest.approx(float(theirs.compute()), abs=1e-6)


@pytest.mark.parametrize("fidelity", ["kid"], indirect=True)
@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_kernel_distance_of_whole_sets(x, y, fidelity):
    n = min(len(x), len(y))
    x, y = x[:n], y[:n]  # its subsets are of one size
    found = fidelity.kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=n, verbose=False)
    assert metrics.kernel_distance(x, y) == pytest.approx(found["kernel_inception_distance_mean"], abs=1e-6)


@pytest.mark.parametrize("fidelity", ["prc"], indirect=True)
@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_precision_and_recall(x, y, fidelity):
    found = fidelity.prc_features_to_metric(x, y, verbose=False)
    ours = metrics.precision_recall(x, y, 3)
    assert ours == pytest.approx((found["precision"], found["recall"]), abs=1e-6)
    assert ours != (1, 1)


@pytest.mark.parametrize("fidelity", ["isc"], indirect=True)
@pytest.mark.parametrize("splits", [1, 10])
def test_inception_score(splits, fidelity):
    logits = 3 * rows(205, 7)
    found = fidelity.isc_features_to_metric(logits, splits=splits, shuffle=False)
    assert metrics.inception_score(logits.log_softmax(1), splits) == pytest.approx(
        found["inception_score_mean"], abs=1e-6
    )
