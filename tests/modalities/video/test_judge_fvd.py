"""Fréchet video distance: from files to a number, to the last digit."""

import json
import math

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.core.evaluation.protocol import Subject
from ornstein.core.sources import open_source
from ornstein.modalities.video import Video
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.extractor import Watching
from ornstein.modalities.video.fvd import Given, Recipe, Seen, clips_of, distance, embedding, ordered, reads, unlabelled
from ornstein.modalities.video.protocols import FVD


class Means:
    """A stand-in for a network with weights: the mean of each frame."""

    name, frames, side = "means of frames", 4, 6

    def __call__(self, x):
        assert x.shape[1:] == (3, 4, 6, 6)
        return x.mean((1, 3, 4))


class Nameless:
    """No embedding."""


MEANS = f"{__name__}:Means"


@pytest.fixture
def films(tmp_path):
    """A folder of 14 films of 4 to 12 frames."""
    rng = np.random.default_rng(0)
    for k in range(14):
        frames = rng.integers(0, 256, (4 + 4 * (k % 3), 8, 8, 1)).astype(np.uint8)
        np.savez(tmp_path / f"{k:02}.npz", frames=frames // (1 + k % 4), fps=8.0)
    return tmp_path


def rows(folder):
    return open_source(folder, Video.extensions).rows()


def video():
    return Video(frames=4, height=8, width=8, channels=1)


def quiet(words, steps):
    return lambda: None


def measured(listed, recipe, source):
    clips = unlabelled(clips_of(listed, video(), recipe))
    half = len(clips) // 2
    ours, real = recipe.drawn(clips.take(range(half)), "sample"), recipe.reference(clips.take(range(half, len(clips))))
    return recipe.found(ours, real, source.fit(real, real, seed=recipe.seed, device="cpu", track=quiet))


def test_the_distance_is_the_fréchet_distance_and_does_not_hang_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.standard_normal((n, 7)) * s) for n, s in ((40, 1), (60, 2)))
    assert distance(x, y) == pytest.approx(frechet_distance(x, y), rel=1e-12)
    values = {distance(x[torch.randperm(40)], y[torch.randperm(60)]) for _ in range(8)}
    assert values == {distance(x, y)}
    assert torch.equal(ordered(x[torch.randperm(40)]), ordered(x))
    shifted = distance(x, x + 3.0)
    assert shifted == pytest.approx(9 * 7)


@pytest.mark.parametrize("source", [Given(Means()), Watching(4, None, steps=3)])
def test_a_folder_has_one_value_to_the_last_digit_whatever_the_order_of_its_files(films, source):
    recipe = Recipe(reads(video()), n=None)
    listed = rows(films)
    found = [
        measured(part, recipe, source)
        for part in (listed, listed, listed[::-1], sorted(listed, key=lambda r: r.file.name[::-1]))
    ]
    assert len({each.value for each in found}) == 1
    assert len({json.dumps(each.facts) for each in found}) == 1
    assert found[0].value > 0


def test_one_clip_of_each_file_is_drawn_by_the_seed_before_anything_is_decoded(films):
    listed = video().rows(rows(films), (1.0, 0.0, 0.0))
    assert len(listed) == 5 * 1 + 5 * 2 + 4 * 3
    one = [Recipe(seed=seed).picked(listed) for seed in range(4)]
    assert all(len({row.file.name for row in part}) == len(part) == 14 for part in one)
    starts = {tuple(row.values["first_frame"] for row in part) for part in one}
    assert len(starts) == 4
    assert [row.values["first_frame"] for row in Recipe(pick="first").picked(listed)] == [0] * 14
    assert Recipe(pick="all").picked(listed[::-1])[0].file.name == "00.npz"
    assert len(Recipe(pick="all").picked(listed)) == len(listed)
    items = [video().read(row.file, row.values) for row in listed]
    assert [item.key.split("[")[0] for item in Recipe().picked(items)] == [row.file.name for row in one[0]]
    assert [item.data.start for item in Recipe().picked(items)] == [row.values["first_frame"] / 8 for row in one[0]]


def test_every_choice_is_part_of_the_hash(films):
    base = Recipe(reads(video()), n=6)
    listed, source = rows(films), Given(Means())
    others = [
        Recipe(reads(video()), n=5),
        Recipe(reads(video()), n=6, seed=1),
        Recipe(reads(video()), n=6, pick="first"),
        Recipe(reads(video()), n=6, mirror=True),
        Recipe(reads(Video(frames=4, height=8, width=8, channels=1, resize="pad")), n=6),
    ]
    hashes = [measured(listed, each, source).facts["hash"] for each in (base, base, *others)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[1:])) == 1 + len(others)


def test_too_few_clips_are_refused_with_what_to_say(films):
    clips = unlabelled(clips_of(rows(films), video(), Recipe()))
    with pytest.raises(ValueError, match="14 reference clips, and 20 are compared: say -n 14"):
        Recipe(n=20).reference(clips)
    with pytest.raises(ValueError, match="pick="):
        Recipe(pick="last")
    with pytest.raises(ValueError, match="n=1"):
        Recipe(n=1)


def test_a_mirrored_reference_is_twice_as_large_and_a_clip_that_was_turned_is_in_it():
    frames = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    clips = unlabelled([Clip(frames + k, 8.0) for k in range(3)])
    real = Recipe(n=3, mirror=True).reference(clips)
    assert len(real) == 6
    assert np.array_equal(real.samples[3].frames[:, :, ::-1], real.samples[0].frames)


def test_a_given_embedding_sees_three_channels_of_its_size_and_is_named_by_what_it_answers():
    seen = Seen(Means())
    film = np.full((5, 12, 12, 1), 51, np.uint8)
    film[0] = 255  # not among the last four
    found = seen.embed([Clip(film, 8.0)])
    assert torch.allclose(found, torch.full((1, 4), 0.2, dtype=torch.float64))
    other = Means()
    other.__class__ = type("Twice", (Means,), {"__call__": lambda self, x: 2 * x.mean((1, 3, 4))})
    assert Seen(Means()).hash == seen.hash != Seen(other).hash
    with pytest.raises(ValueError, match="has 3 frames, and means of frames sees 4"):
        seen.embed([Clip(film[:3], 8.0)])


def test_embeddings_are_found_by_name_and_others_refused():
    assert embedding(MEANS).name == "means of frames"
    with pytest.raises(ValueError, match="it needs `name`"):
        embedding(f"{__name__}:Nameless")
    with pytest.raises(ValueError, match="write package"):
        embedding("no_such_package:I3D")


@pytest.mark.parametrize("fault", ["noise", "frozen", "shuffled"])
def test_the_distance_grows_with_the_share_of_spoilt_clips(fault):
    """A network trained on clips sees planted faults of pictures and of motion."""
    rng = np.random.default_rng(0)

    def film():
        y, x, v = *rng.uniform(3, 9, 2), rng.uniform(-1, 1, 2)
        rows, columns = np.mgrid[:16, :16]
        at = [(y + v[0] * t, x + v[1] * t) for t in range(6)]
        return np.stack([255 * np.exp(-((rows - a) ** 2 + (columns - b) ** 2) / 8) for a, b in at])[..., None]

    def spoilt(frames):
        if fault == "noise":
            return frames + 60 * rng.standard_normal(frames.shape)
        return frames[:1].repeat(6, 0) if fault == "frozen" else frames[[3, 0, 5, 1, 4, 2]]

    def films(n, bad):
        levels = [spoilt(film()) if k < bad * n else film() for k in range(n)]
        return unlabelled([Clip(np.clip(each, 0, 255).astype(np.uint8), 8.0) for each in levels])

    real = films(150, 0)
    extractor = Watching(6, None, steps=150).fit(real, real, seed=0, device="cpu", track=quiet)
    found = [distance(extractor.embed(films(100, bad).samples), extractor.embed(real.samples)) for bad in (0, 0.4, 1)]
    assert found == sorted(found)
    assert found[2] > 1.5 * found[0]


def test_the_table_of_a_run_has_held_out_clips_beside_ours(films):
    modality = video()
    listed = modality.rows(rows(films), (1.0, 0.0, 0.0))
    items = [modality.read(row.file, row.values) for row in listed]
    modality.fit(items)
    parts = {"train": items[:14], "test": items[14:]}
    subject = Subject(modality, lambda n: [item.data for item in items[:n]], lambda part: parts[part])
    protocol = FVD(n=5, embeddings=(MEANS,), steps=5)
    table = protocol.run(subject, 0, lambda words: None)
    assert set(table.columns) == {"ours", "held-out clips"}
    assert all(math.isfinite(score.mean) for column in table.columns.values() for score in column.values())
    assert "FVD, means of frames" in table.columns["ours"]
    assert json.dumps(table.plain()) == json.dumps(protocol.run(subject, 0, lambda words: None).plain())
    few = FVD(n=6, steps=5).run(subject, 0, lambda words: None)
    assert set(few.columns) == {"ours", "held-out clips"} - (
        {"held-out clips"} if few.facts["held-out clips"] < 6 else set()
    )
    with pytest.raises(ValueError, match="embedding"):
        FVD(embeddings=("nowhere:I3D",))
