"""Which lines a report has, and one small report on bouncing digits."""

from functools import partial

import numpy as np
import pytest
from ornstein.core.evaluation import evaluate
from ornstein.modalities.video import Video, evaluation, frame_distance
from ornstein.modalities.video.data import Bounce
from ornstein.modalities.video.evaluation import video_metrics
from ornstein.modalities.video.extractor import Watching
from ornstein.modalities.video.frame_distance import Frames
from ornstein.modalities.video.fvd import unlabelled


def names(task, **more):
    return [spec.name for spec in video_metrics(task, 16, **({"labelled": True} | more))]


def test_lines_are_told_apart_and_stand_where_they_can_be_measured():
    free = names("unconditional", law=True)
    assert len(set(free)) == len(free)
    assert free[0] == "FVD, self-trained"
    assert {"class agreement", "frame Fréchet distance", "motion, JSD", "temporal spectrum, dB", "near copies"} <= set(
        free
    )
    assert {"law residual, pixels", "law residual at the end, pixels", "coverage"} <= set(free)
    assert not any(name.startswith("PSNR") for name in free)
    assert set(free) - set(names("unconditional", law=False)) == {
        "law residual, pixels",
        "law residual at the end, pixels",
        "at a speed of the world",
    }
    assert set(free) - set(names("unconditional", law=True, labelled=False)) == {"class agreement"}


def test_tasks_are_judged_pair_by_pair_too():
    predicted = names("prediction", law=True)
    assert predicted[:4] == ["PSNR, dB", "SSIM", "PSNR of the best, dB", "SSIM of the best"]
    assert {"FVD, self-trained", "centre at the end, pixels", "PSNR over linear motion, dB"} <= set(predicted)
    assert "near copies" not in predicted


def test_embeddings_by_name_have_lines_of_their_own():
    class I3D:
        name, frames, side = "I3D", 16, 224

    assert "FVD, I3D" in names("unconditional", embeddings=(I3D(),))


@pytest.mark.slow
def test_a_report_on_bouncing_digits_puts_each_line_where_it_belongs(monkeypatch):
    """Held-out clips as samples: what a perfect model reaches, and a floor that is far from it. Networks are trained briefly."""
    monkeypatch.setattr(evaluation, "Watching", partial(Watching, steps=100))
    monkeypatch.setattr(frame_distance, "Frames", partial(Frames, steps=100))
    video = Video(frames=16, height=32, width=32, channels=1)
    rows = Bounce().rows()
    rows = video.rows([rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:420]], (0.8, 0.1, 0.1))
    items = [video.read(row.file, row.values) for row in rows]
    train, held, ours = items[:300], items[300:360], items[360:]
    video.fit(train)
    made = unlabelled([item.data for item in ours]).samples
    report = evaluate(video, made, [i.cond for i in ours], train, held, repeats=3, progress=False)
    found = {row["metric"]: row for row in report.rows}
    for name in ("kernel distance", "change of motion, JSD", "temporal spectrum, dB", "law residual, pixels"):
        assert found[name]["floor"]["value"] > 1.5 * found[name]["real"]["value"], name
    assert (
        found["FVD, self-trained"]["floor"]["value"] > found["FVD, self-trained"]["real"]["value"]
    )  # close: they are copies
    assert found["law residual, pixels"]["ours"]["value"] < 0.2
    assert found["memorisation"]["ours"]["value"] == pytest.approx(0.5, abs=0.2)
    assert found["memorisation"]["floor"]["value"] > 0.9  # noisy copies are copies
    assert found["class agreement"]["real"]["value"] > 0.15  # by chance 0.1
