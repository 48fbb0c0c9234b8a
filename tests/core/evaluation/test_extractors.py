"""Extractors: same seed, same hash; what is asked of classifiers and autoencoders; fingerprints."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.extractors import FeatureNetwork, Learned, fingerprint
from ornstein.core.evaluation.spec import Judged
from torch import nn


class Net(FeatureNetwork):
    """One hidden layer, with dropout, which draws from the global generator."""

    def __init__(self, shape, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(shape[0], 16), nn.SiLU(), nn.Dropout(0.1))
        self.head = nn.Linear(16, shape[0] if classes is None else classes)

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.body(x))


def stack(samples):
    return torch.from_numpy(np.stack(samples)).float()


def balls(n: int, seed: int, labelled: bool = True) -> Judged:
    """Three balls in 6 dimensions, labelled 0..2."""
    draw = np.random.default_rng(seed)
    label = np.arange(n) % 3
    samples = 3 * np.eye(6)[label] + 0.5 * draw.standard_normal((n, 6))
    cond = [{"label": int(k)} if labelled else {} for k in label]
    return Judged(list(samples), cond, [str(i) for i in range(n)])


CLASSIFIER = Learned("net", stack, Net, "label", steps=60, rate=1e-2)
AUTOENCODER = Learned("net", stack, Net, steps=300, rate=1e-2)


def fit(source, train=None, seed=0):
    steps = []
    found = source.fit(
        train or balls(120, 1), balls(60, 2), seed=seed, device="cpu", track=lambda *_: lambda: steps.append(0)
    )
    assert len(steps) == source.steps
    return found


def test_same_seed_and_data_give_the_same_hash_and_anything_else_another():
    first = fit(CLASSIFIER).hash
    torch.manual_seed(99)
    assert fit(CLASSIFIER).hash == first
    assert fit(CLASSIFIER, seed=1).hash != first
    assert fit(CLASSIFIER, balls(120, 3)).hash != first


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(CLASSIFIER)
    assert torch.equal(torch.rand(3), expected)


def test_a_classifier_learns_the_classes_and_says_how_well():
    extractor = fit(CLASSIFIER)
    assert extractor.facts["accuracy on held-out items"] > 0.95
    fresh = balls(90, 4)
    log_probs = extractor.log_probs(fresh.samples)
    assert torch.allclose(log_probs.exp().sum(1), torch.ones(90, dtype=torch.float64))
    assert (log_probs.argmax(1) == torch.arange(90) % 3).double().mean() > 0.95


def test_features_are_centred_and_scaled_on_the_training_items_and_worked_out_once():
    train = balls(120, 1)
    extractor = fit(CLASSIFIER, train)
    features = extractor.features(train)
    assert features.dtype == torch.float64
    assert torch.allclose(features.mean(0), torch.zeros(16, dtype=torch.float64), atol=1e-9)
    assert float(features.var(0).mean()) == pytest.approx(1)
    assert extractor.features(train) is features
    assert torch.equal(extractor.features(train.take([3, 1])), features[[3, 1]])


def test_an_autoencoder_explains_most_of_the_variance_and_has_no_classes():
    extractor = fit(AUTOENCODER, balls(120, 1, labelled=False))
    assert extractor.facts["unexplained variance on held-out items"] < 0.2
    with pytest.raises(LookupError, match="no classifier"):
        extractor.log_probs(balls(3, 1).samples)


def test_items_without_labels_are_left_out_of_a_classifier_and_one_class_is_refused():
    mixed = balls(120, 1)
    mixed.cond = [cond if i < 90 else {} for i, cond in enumerate(mixed.cond)]
    whole = balls(90, 1)
    whole.samples = mixed.samples[:90]
    assert fit(CLASSIFIER, mixed).data_hash == fit(CLASSIFIER, whole).data_hash
    one = balls(120, 1)
    one.cond = [{"label": 0}] * 120
    with pytest.raises(ValueError, match="of 1 classes"):
        fit(CLASSIFIER, one)


def test_non_finite_inputs_are_refused():
    bad = balls(120, 1)
    bad.samples[7][2] = np.nan
    with pytest.raises(ValueError, match="non-finite"):
        fit(CLASSIFIER, bad)


def test_fingerprints_tell_values_shapes_types_and_order_apart():
    a, b = np.zeros((2, 3)), np.ones(4, np.uint8)
    sets = [
        [a],
        [a.reshape(3, 2)],
        [a.astype(np.float32)],
        [a, b],
        [b, a],
        [{"x": a}],
        [{"y": a}],
        [[a, b]],
        ["a"],
        [1],
    ]
    assert len({fingerprint(samples) for samples in sets}) == len(sets)
    assert fingerprint([a.copy(), {"x": 1, "y": 2}]) == fingerprint([a, {"y": 2, "x": 1}])
    with pytest.raises(ValueError, match="holds a slice"):
        fingerprint([slice(3)])


def test_rows_follow_a_selection_and_values_of_the_whole_do_not():
    judged = balls(6, 1)
    judged.rows("number", lambda samples: torch.arange(len(samples)))
    judged.whole("count", lambda: 6)
    part = judged.take([4, 2])
    assert part.features["number"].tolist() == [4, 2]
    assert part.keys == ["4", "2"]
    assert part.whole("count", lambda: len(part)) == 2
    with pytest.raises(ValueError, match="6 samples, 5 entries of cond"):
        Judged(judged.samples, judged.cond[:5], judged.keys)
