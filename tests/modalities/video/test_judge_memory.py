"""Copies of training clips are found, also where they begin later, and single frames are judged whatever their order."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.modalities.video import memory
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.frame_distance import Frames, frame_distance, frames_of


def films(n, seed, frames=12, side=16):
    """Spots that move through the picture."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    out = []
    for _ in range(n):
        (y, x), v = rng.uniform(2, side - 2, 2), rng.uniform(-0.8, 0.8, 2)
        at = [(y + v[0] * t, x + v[1] * t) for t in range(frames)]
        levels = np.stack([250 * np.exp(-((rows - a) ** 2 + (columns - b) ** 2) / 8) for a, b in at])
        out.append(levels[..., None].astype(np.uint8))
    return out


def judged(arrays):
    return Judged([Clip(a, 8.0) for a in arrays], [{} for _ in arrays], list(map(str, range(len(arrays)))))


def value(name, ours, train, held):
    spec = {spec.name: spec for spec in memory.memory_metrics(8)}[name]
    return spec.compute(ours, train, Context(held, None, 0))


def test_copies_are_found_where_they_begin_earlier_or_later():
    long = films(40, 0)
    train, held, new = (judged([f[2:10] for f in each]) for each in (long, films(40, 1), films(40, 2)))
    copies, later, earlier = (judged([f[s : s + 8] for f in long]) for s in (2, 4, 0))
    for ours in (copies, later, earlier):
        found = memory.search(ours.samples, train.samples, 8)
        assert found[:, 1].tolist() == list(range(40))
        assert not found[:, 0].any()
        assert value("near copies", ours, train, held) == 1
        assert value("memorisation", ours, train, held) == 1
    assert value("near copies", new, train, held) < 0.25
    assert 0.3 < value("memorisation", new, train, held) < 0.7


def test_distance_is_in_levels_and_noise_takes_copies_away():
    train, held = judged([f[:8] for f in films(30, 0)]), judged([f[:8] for f in films(30, 1)])
    brighter = judged([np.minimum(c.frames, 250) + np.uint8(5) for c in train.samples])
    plain = memory.search(brighter.samples, judged([np.minimum(c.frames, 250) for c in train.samples]).samples, 8)
    assert plain[:, 0].numpy() == pytest.approx(5)
    rng = np.random.default_rng(0)

    def noisy(s):
        return judged(
            [
                np.clip(c.frames + s * rng.standard_normal(c.frames.shape), 0, 255).astype(np.uint8)
                for c in train.samples
            ]
        )

    found = [value("memorisation", noisy(s), train, held) for s in (0, 30, 200)]
    assert found == sorted(found, reverse=True)
    assert found[2] < found[0]


def test_clips_that_are_too_short_are_named():
    with pytest.raises(ValueError, match="a clip has 4 frames, and 8 are compared"):
        memory.search(judged([f[:4] for f in films(2, 0)]).samples, judged(films(2, 1)).samples, 8)


def test_frames_are_judged_without_their_order_and_the_order_of_clips_touches_no_digit():
    clips = judged([f[:8] for f in films(40, 0)])
    held = judged([f[:8] for f in films(40, 1)])
    spec = frame_distance(None)
    fitted = Frames(None, steps=30).fit(clips, held, seed=0, device="cpu", track=lambda *_: lambda: None)

    def found(ours):
        return spec.compute(ours, clips, Context(held, fitted, 0))

    backwards = judged([c.frames[::-1].copy() for c in held.samples])
    noise = judged(
        [np.random.default_rng(k).integers(0, 256, c.frames.shape).astype(np.uint8) for k, c in enumerate(held.samples)]
    )
    assert found(judged([c.frames for c in clips.samples])) == pytest.approx(0, abs=1e-6)
    assert found(backwards) == pytest.approx(found(held), rel=1e-6)
    assert found(noise) > 10 * found(held)
    turned = judged([c.frames for c in held.samples[::-1]])
    assert found(turned) == found(held)


def test_four_frames_stand_for_a_clip_from_the_first_to_the_last():
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    assert [int(c.frames[0, 0, 0, 0]) for c in frames_of(Clip(frames, 8.0))] == [0, 3, 6, 9]
    assert torch.equal(
        torch.tensor([c.shape for c in frames_of(Clip(frames[:1], 8.0))]), torch.tensor([[1, 2, 2, 1]] * 4)
    )
