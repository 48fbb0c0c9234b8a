"""The networks that judge: what they see, that order does not matter, and what they reach on real digits."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.spec import Judged
from ornstein.modalities.video import world
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.extractor import Inputs, Watching, by_content, in_order, network, resized, shifted


def quiet(words, steps):
    return lambda: None


def squares(n, seed, frames=4, side=12):
    """A bright square that moves right (0) or down (1)."""
    rng = np.random.default_rng(seed)
    clips, cond = [], []
    for k in range(n):
        label, (y, x) = int(rng.integers(2)), rng.integers(0, 5, 2)
        film = np.zeros((frames, side, side, 1), np.uint8)
        for t in range(frames):
            down, right = (t, 0) if label else (0, t)
            film[t, y + down : y + down + 4, x + right : x + right + 4] = rng.integers(150, 256)
        clips.append(Clip(film, 8.0, name=f"film {k}"))
        cond.append({"label": label})
    return Judged(clips, cond, [clip.name for clip in clips])


def test_inputs_lie_between_minus_1_and_1_and_are_the_last_frames():
    film = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((1, 8, 8, 3), 51, np.uint8)
    x = Inputs(4)([Clip(film, 8.0)])
    assert x.shape == (1, 3, 4, 8, 8)
    assert torch.allclose(x[0, 0, :, 0, 0], torch.tensor([-0.2, 0.2, 0.6, 1.0]))
    assert Inputs(1)([Clip(np.zeros((1, 256, 128, 1), np.uint8), 8.0)]).shape == (1, 1, 1, 128, 64)


def test_what_cannot_be_compared_is_refused():
    short, wide = (
        Clip(np.zeros((2, 8, 8, 1), np.uint8), 8.0, name="short.mp4"),
        Clip(np.zeros((4, 8, 9, 1), np.uint8), 8.0),
    )
    with pytest.raises(ValueError, match=r"short\.mp4 has 2 frames, and 4"):
        Inputs(4)([short])
    with pytest.raises(ValueError, match="one size"):
        Inputs(2)([short, wide])


def test_frames_are_made_smaller_without_aliases_and_keep_their_mean():
    stripes = torch.zeros(1, 1, 2, 32, 32)
    stripes[..., ::2] = 1  # as fine as pixels can be: every third of them alone would be stripes again
    small = resized(stripes, (11, 11))
    assert small.shape == (1, 1, 2, 11, 11)
    assert float((small - 0.5).abs().max()) < 0.15
    assert resized(stripes, (32, 32)) is stripes


def test_shifted_clips_move_as_a_whole():
    x = torch.arange(64.0).view(1, 1, 1, 8, 8).expand(20, 1, 3, 8, 8)
    moved = shifted(x, torch.Generator().manual_seed(0))
    assert torch.equal(moved[:, :, 0], moved[:, :, 2])  # all frames of a clip alike
    steps = moved[:, 0, 0, 4, 4] - x[:, 0, 0, 4, 4]
    assert set(steps.tolist()) <= {8.0 * dy + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    assert len(steps.unique()) > 4


@pytest.mark.parametrize("shape", [(1, 16, 32, 32), (3, 1, 32, 32), (3, 5, 64, 91), (1, 2, 4, 4), (1, 33, 12, 20)])
def test_networks_serve_any_size(shape):
    x = torch.randn(2, *shape)
    knows, rebuilds = network(shape, 7), network(shape, None)
    assert knows.features(x).shape == rebuilds.features(x).shape == (2, 64)
    assert knows(x).shape == (2, 7)
    assert rebuilds(x).shape == x.shape


def test_the_classifier_sees_time_and_what_it_says_does_not_hang_on_where_it_looks():
    torch.manual_seed(0)
    net = network((1, 8, 16, 16), 3).eval()
    x = torch.randn(2, 1, 8, 16, 16)
    assert not torch.allclose(net.features(x), net.features(x[:, :, torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])]), atol=1e-3)
    still = x[:, :, :1].expand(-1, -1, 8, -1, -1)
    assert torch.allclose(net.features(still), net.features(still[:, :, :3]), atol=1e-4)  # length alone changes nothing
    assert torch.allclose(net.features(x).norm(dim=1), torch.full((2,), 8.0), atol=0.01)


def test_rows_come_back_in_the_order_they_were_asked_for():
    clips = squares(9, 0).samples
    asked = []

    def compute(part):
        asked.append([clip.name for clip in part])
        return torch.tensor([float(clip.name.split()[1]) for clip in part])

    assert in_order(clips, compute).tolist() == list(range(9))
    assert in_order(clips[::-1], compute).tolist() == list(range(9))[::-1]
    assert asked[0] == asked[1]
    assert by_content(clips[::-1]) == [8 - i for i in by_content(clips)]


def test_the_order_of_the_clips_and_a_second_run_change_no_digit_and_another_seed_does():
    train, held = squares(40, 0), squares(12, 1)
    source = Watching(4, "label", steps=15)
    first, again = (source.fit(train, held, seed=0, device="cpu", track=quiet) for _ in range(2))
    turned = source.fit(train.take(range(39, -1, -1)), held, seed=0, device="cpu", track=quiet)
    other = source.fit(train, held, seed=1, device="cpu", track=quiet)
    assert first.hash == again.hash == turned.hash != other.hash
    order = np.random.default_rng(0).permutation(12)
    mixed = turned.embed([held.samples[i] for i in order])
    assert torch.equal(mixed, first.embed(held.samples)[torch.from_numpy(order)])
    assert source == Watching(4, "label", steps=15)  # so that a report trains it once


def test_a_classifier_tells_motions_apart_and_an_autoencoder_sees_where():
    train, held = squares(120, 0), squares(40, 1)
    made = Watching(4, "label", steps=120).fit(train, held, seed=0, device="cpu", track=quiet)
    assert made.facts["accuracy on held-out items, label classifier of clips"] > 0.9
    assert made.facts["unexplained variance on held-out items, autoencoder of clips"] < 0.6
    assert made.embed(held.samples).shape == (40, 128)
    assert torch.allclose(made.log_probs(held.samples).exp().sum(1), torch.ones(40, dtype=torch.float64))
    bare = Watching(4, None, steps=2).fit(train, held, seed=0, device="cpu", track=quiet)
    assert bare.embed(held.samples).shape == (40, 64)
    with pytest.raises(LookupError, match="no classifier"):
        bare.log_probs(held.samples)


@pytest.mark.slow
def test_bouncing_digits_are_recognised_in_at_least_97_percent_of_clips_of_digits_never_seen():
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    order, rng = np.random.default_rng(5).permutation(len(labels)), np.random.default_rng(0)

    def filmed(which):
        films = [world.filmed(levels[i].reshape(8, 8) * 255 / 16, world.drawn(rng), 16) for i in which]
        return Judged(
            [Clip(film, 8.0) for film in films], [{"label": int(labels[i])} for i in which], list(map(str, which))
        )

    train, held = filmed(order[:1400]), filmed(order[1400:])
    made = Watching(16, "label").fit(train, held, seed=0, device="cpu", track=quiet)
    assert made.facts["accuracy on held-out items, label classifier of clips"] >= 0.97
