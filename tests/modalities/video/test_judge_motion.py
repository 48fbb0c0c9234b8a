"""How things move: blocks, the spectrum in time, the law of the embedded world."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.core.modality import Item
from ornstein.modalities.video import motion, physics, world
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.spectrum import spectra, spectrum_metric


def judged(clips):
    return Judged(clips, [{} for _ in clips], list(map(str, range(len(clips)))))


def value(spec, ours, train):
    return spec.compute(ours, train, Context(train, None, 0))


def texture(seed, size):
    from scipy.ndimage import gaussian_filter

    levels = gaussian_filter(np.random.default_rng(seed).standard_normal(size), 2)
    return 127 + 40 * levels / levels.std()


def panned(dy, dx, seed=0, frames=4, side=64):
    """A camera over a texture: what is seen moves by (dy, dx) pixels a frame."""
    wide = texture(seed, (side + 60, side + 60))
    cuts = [wide[30 - dy * t :, 30 - dx * t :][:side, :side] for t in range(frames)]
    return Clip(np.clip(np.stack(cuts), 0, 255).astype(np.uint8)[..., None], 8.0)


@pytest.mark.parametrize("move", [(0, 0), (2, -3), (-6, 6), (1, 0)])
def test_displacements_of_blocks_are_those_of_the_camera(move):
    found, tell = motion.displacements(panned(*move))
    assert found.shape == (3, 64, 2)
    assert tell.all()
    inner = found.view(3, 8, 8, 2)[:, 1:-1, 1:-1]  # at the border something new comes in
    assert (inner == torch.tensor(move)).all()


def test_a_unit_is_a_64th_of_the_shorter_side():
    found, _ = motion.displacements(panned(1, 0, side=32))
    assert found.view(3, 8, 8, 2)[:, 2:-2, 2:-2].double().mean((0, 1, 2)).tolist() == pytest.approx([2, 0], abs=0.2)


def test_plain_blocks_tell_nothing():
    _, tell = motion.displacements(Clip(np.full((3, 32, 48, 3), 80, np.uint8), 8.0))
    assert tell.shape == (2, 8 * 12)
    assert not tell.any()
    assert not motion.histograms([Clip(np.zeros((1, 16, 16, 1), np.uint8), 8.0)]).any()


def test_divergence_is_0_for_equal_shares_1_for_none_in_common_and_that_of_its_formula():
    p, q = np.array([1.0, 3.0]), np.array([2.0, 6.0])
    assert motion.jensen_shannon(p, q) == pytest.approx(0, abs=1e-12)
    assert motion.jensen_shannon(np.array([1.0, 0]), np.array([0, 5.0])) == 1
    assert motion.jensen_shannon(np.zeros(2), p) == 1
    assert motion.jensen_shannon(np.zeros(2), np.zeros(2)) == 0
    m = 0.625
    wanted = (np.log2(1 / m) + 0.25 * np.log2(0.25 / m) + 0.75 * np.log2(0.75 / 0.375)) / 2
    assert motion.jensen_shannon(np.array([1.0, 0]), np.array([1.0, 3.0])) == pytest.approx(wanted)


def test_another_speed_moves_one_histogram_and_trembling_the_other():
    first, second = motion.motion_metrics()
    train = judged([panned(1, 0, s, 8) for s in range(3)] + [panned(-1, 0, s, 8) for s in range(3, 6)])
    same = judged([panned(1, 0, s, 8) for s in range(6, 9)] + [panned(-1, 0, s, 8) for s in range(9, 12)])
    fast = judged([panned(3, 0, s, 8) for s in range(6)])
    back_and_forth = [
        np.concatenate([panned(1, 0, s, 2).frames] * 4) for s in range(6)
    ]  # as fast, and turning each time
    trembling = judged([Clip(frames, 8.0) for frames in back_and_forth])
    assert value(first, same, train) < 0.1
    assert value(second, same, train) < 0.1
    assert value(first, fast, train) > 0.6
    assert value(second, fast, train) < 0.25
    assert value(first, trembling, train) < 0.1
    assert value(second, trembling, train) > 0.6


def test_white_noise_has_its_variance_at_every_frequency_and_a_wave_its_own():
    rng = np.random.default_rng(0)
    noise = Clip(np.clip(127 + 20 * rng.standard_normal((16, 64, 64, 1)), 0, 255).astype(np.uint8), 8.0)
    found = spectra([noise], 16)[0]
    assert found.shape == (8,)
    assert found.numpy()[1:-1] == pytest.approx(400, rel=0.1)
    wave = 127 + 60 * np.sin(2 * np.pi * 4 * np.arange(16) / 16 + 0.3)
    film = Clip(np.broadcast_to(wave[:, None, None, None], (16, 4, 4, 1)).astype(np.uint8), 8.0)
    assert int(spectra([film], 16)[0].argmax()) == 3  # frequency 4 / 16


def test_flicker_and_frozen_pictures_both_move_the_spectrum():
    rng, spec = np.random.default_rng(0), spectrum_metric(8)
    films = [panned(1, 1, s, 8).frames for s in range(8)]
    train, same = judged([Clip(f, 8.0) for f in films[:4]]), judged([Clip(f, 8.0) for f in films[4:]])
    frozen = judged([Clip(np.repeat(f[:1], 8, 0), 8.0) for f in films[4:]])
    shake = [np.clip(f + 20 * rng.standard_normal((8, 1, 1, 1)), 0, 255).astype(np.uint8) for f in films[4:]]
    assert value(spec, train, train) == 0
    assert value(spec, same, train) < 2
    assert value(spec, frozen, train) > 10
    assert value(spec, judged([Clip(f, 8.0) for f in shake]), train) > 2


def bounce(n, seed, frames=16):
    rng = np.random.default_rng(seed)
    digit = np.pad(rng.uniform(100, 250, (4, 4)), 2)
    return [Clip(world.filmed(digit, world.drawn(rng), frames), 8.0) for _ in range(n)]


def test_the_law_holds_in_its_world_and_not_for_drifting_digits():
    law, end, _ = physics.physics_metrics(False)
    real = judged(bounce(6, 0))
    assert value(law, real, real) < 0.1
    assert value(end, real, real) < 0.2
    rng = np.random.default_rng(1)
    digit = np.pad(np.full((4, 4), 200.0), 2)

    def wandering(step):
        at = np.clip(15.5 + np.cumsum(rng.normal(0, step, (16, 2)), 0), world.LOW, world.HIGH)
        return Clip(
            np.concatenate([world.filmed(digit, world.Law(tuple(p - world.LOW), (0.0, 0.0)), 1) for p in at]), 8.0
        )

    sets = [judged([wandering(step) for _ in range(6)]) for step in (0.2, 1.0, 3.0)]
    found = [value(law, each, real) for each in sets]
    assert found == sorted(found)
    assert found[2] > 1
    empty = judged([Clip(np.zeros((16, 32, 32, 1), np.uint8), 8.0)] * 3)
    assert value(law, empty, real) == np.inf


def test_what_stands_still_obeys_the_law_and_has_no_speed_of_the_world():
    law, _, moving = physics.physics_metrics(False)
    real = bounce(5, 0)
    still = [Clip(clip.frames[:1].repeat(16, 0), 8.0) for clip in real]
    assert value(law, judged(still), judged(real)) < 0.1
    assert value(moving, judged(still), judged(real)) == 0
    assert value(moving, judged(real), judged(real)) == 1
    assert value(moving, judged([*real[:3], *still[:2]]), judged(real)) == 0.6
    hasty = [Clip(world.filmed(np.full((8, 8), 200.0), world.Law((3.0, 5.0), (2.4, 2.4)), 16), 8.0)]
    assert value(moving, judged([*hasty, *real[:3]]), judged(real)) == 0.75
    dark = [Clip(np.zeros((16, 32, 32, 1), np.uint8), 8.0)]
    assert value(moving, judged([*dark, *real[:3]]), judged(real)) == 0.75


def test_the_world_is_recognised_by_its_law():
    assert physics.obeyed(bounce(20, 2))
    assert not physics.obeyed([panned(1, 1, s, 8, 32) for s in range(4)])
    assert not physics.obeyed([Clip(np.zeros((16, 16, 16, 1), np.uint8), 8.0)])
    assert not physics.obeyed([])


def test_the_end_of_a_given_clip_is_compared_with_its_own():
    specs = physics.physics_metrics(True)
    true, other = bounce(1, 3)[0], bounce(1, 4)[0]
    items = [Item(true, {}, "film")] * 2
    both = Judged([true, true], [{}] * 2, ["0", "1"], items, [None] * 2)
    assert value(specs[-1], both, both) == 0
    moved = Judged([other, other], [{}] * 2, ["0", "1"], items, [None] * 2)
    apart = world.track(other.frames[-1:])[0] - world.track(true.frames[-1:])[0]
    assert value(specs[-1], moved, both) == pytest.approx(float(np.hypot(*apart)))
