"""What is measured on images, the floor's law, and one small report on real digits."""

import numpy as np
import pytest
from ornstein.core.evaluation import evaluate
from ornstein.core.modality import Item
from ornstein.modalities.image import Image, extractor
from ornstein.modalities.image.evaluation import image_metrics
from ornstein.modalities.image.floors import gaussian_floor


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8))


def test_the_floor_has_the_mean_and_covariance_of_each_class():
    rng = np.random.default_rng(0)
    items = []
    for label, mean in ((0, 90), (1, 160)):
        mix = rng.standard_normal((4, 4)) * 8
        values = mean + rng.standard_normal((300, 4)) @ mix
        items += [Item(v.round().clip(0, 255).astype(np.uint8).reshape(2, 2, 1), {"label": label}) for v in values]
    drawn = gaussian_floor(items, [{"label": 0}, {"label": 1}] * 4000, np.random.default_rng(1))
    for label in (0, 1):
        real = np.stack([i.data.ravel() for i in items if i.cond["label"] == label]).astype(float)
        made = np.stack(drawn[label::2]).reshape(-1, 4).astype(float)
        assert np.allclose(made.mean(0), real.mean(0), atol=1)
        assert np.allclose(np.cov(made.T), np.cov(real.T), atol=0.12 * np.trace(np.cov(real.T)))
    whole = np.stack(gaussian_floor(items, [{}] * 4000, np.random.default_rng(1))).astype(float)
    assert whole.mean() == pytest.approx(125, abs=2)


def test_the_floor_of_large_images_lies_in_the_span_of_the_data_and_is_seeded():
    items = [Item(x, {}) for x in pictures(5, (40, 30, 3))]
    first, again = (gaussian_floor(items, [{}] * 3, np.random.default_rng(2)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape == (40, 30, 3)
    assert first[0].dtype == np.uint8
    with pytest.raises(ValueError, match="class 3"):
        gaussian_floor(items, [{"label": 3}], np.random.default_rng(2))


def test_metrics_by_task_and_labels():
    names = {spec.name for spec in image_metrics("unconditional", labelled=True)}
    assert {
        "Fréchet distance",
        "recall",
        "coverage",
        "sliced Wasserstein",
        "class accuracy",
        "near copies",
        "inception score",
        "radial spectrum, dB",
    } <= names
    assert not {"class accuracy", "inception score"} & {s.name for s in image_metrics("unconditional", labelled=False)}
    inpaint = {spec.name for spec in image_metrics("inpaint", labelled=True)}
    assert {"PSNR, dB", "SSIM", "error on unknown pixels", "change of given pixels"} <= inpaint - names
    assert inpaint > names
    upscale = {spec.name for spec in image_metrics("upscale", labelled=True)}
    gains = {"PSNR over bicubic, dB", "PSNR over Lanczos, dB", "SSIM over bicubic", "SSIM over Lanczos"}
    assert upscale - inpaint == gains | {"low-resolution error"}


def test_the_floor_draws_sizes_in_their_proportion_or_those_of_given_images():
    items = [Item(np.full((2, 4, 1), 10 + i, np.uint8), {"label": 0}) for i in range(6)]
    items += [Item(np.full((4, 2, 1), 200 + i, np.uint8), {"label": 1}) for i in range(2)]
    drawn = gaussian_floor(items, [{}] * 400, np.random.default_rng(0))
    wide = [image for image in drawn if image.shape == (2, 4, 1)]
    assert len(wide) / 400 == pytest.approx(0.75, abs=0.06)
    assert max(image.max() for image in wide) < 60
    shapes = [(4, 2, 1), (2, 4, 1)]
    asked = gaussian_floor(items, [{"label": 1}, {"label": 1}], np.random.default_rng(0), shapes)
    assert [image.shape for image in asked] == shapes  # no wide one has the class: all wide ones serve
    with pytest.raises(ValueError, match="size"):
        gaussian_floor(items, [{}], np.random.default_rng(0), [(3, 3, 1)])


def test_the_floor_of_transparent_images_hides_no_colour():
    items = [Item(np.dstack([x, np.random.default_rng(i).choice([0, 255], (4, 4))]).astype(np.uint8), {}) for i, x in
             enumerate(pictures(20, (4, 4, 3)))]  # fmt: skip
    drawn = np.stack(gaussian_floor(items, [{}] * 50, np.random.default_rng(3)))
    clear = drawn[..., 3] == 0
    assert clear.any()
    assert not drawn[clear].any()


@pytest.fixture(scope="module")
def digits() -> list[Item]:
    levels = pytest.importorskip("sklearn.datasets").load_digits()
    pixels = np.round(levels.images * 255 / 16).astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(pixels))
    return [Item(pixels[i], {"label": int(levels.target[i])}, f"digits#{i}") for i in order]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(extractor, "STEPS", 200)


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(extractor, "STEPS", 30)


def test_a_report_on_real_digits_ranks_real_above_floor(digits, short):
    train, held_out, fresh = digits[:1000], digits[1000:1300], digits[1300:1600]
    modality = Image()
    modality.fit(train)
    report = evaluate(
        modality, [i.data for i in fresh], [i.cond for i in fresh], train, held_out, repeats=3, progress=False
    )
    assert report.value("class accuracy") > 0.85
    assert report.value("inception score", "floor") < report.value("inception score") < 10
    assert report.value("radial spectrum, dB") < 1
    assert report.value("radial spectrum, dB") < report.value("radial spectrum, dB", "floor")
    assert report.value("Fréchet distance") < 0.8 * report.value("Fréchet distance", "floor")
    for name in ("precision", "coverage", "recall", "density"):
        assert report.value(name) > report.value(name, "floor")
    assert report.value("near copies") == pytest.approx(0.05, abs=0.05)
    assert len(report.pictures) == 4


def test_inpainting_of_digits_without_labels(digits, hasty):
    train, held_out = digits[:300], digits[1000:1060]
    modality = Image(labels=False)
    modality.fit(train)
    rng = np.random.default_rng(0)
    posed = [modality.tasks()["inpaint"].pose(item, rng) for item in held_out]
    given, known = [item for item, _ in posed], [bits for _, bits in posed]
    samples = [modality.paste(np.full((8, 8, 1), 60, np.uint8), *pair) for pair in posed]
    report = evaluate(modality, samples, [{}] * 60, train, held_out, task="inpaint", given=given, known=known,
                      repeats=3, progress=False)  # fmt: skip
    assert report.value("change of given pixels") == report.value("change of given pixels", "floor") == 0
    assert 60 < report.value("error on unknown pixels") < 120
    assert report.value("PSNR, dB") < 15
    assert report.extractors[0]["facts"]["trained as"] == "autoencoder"


def test_a_report_on_transparent_images_of_several_sizes(hasty):
    modality = Image(size=8, patch=2, buckets=3, alpha="keep")
    rng = np.random.default_rng(0)

    def items(n):
        """Ellipses, filled with one colour, on nothing."""
        found = []
        for i in range(n):
            height, width = ((8, 8), (6, 10), (10, 6))[i % 3]
            rows, columns = np.mgrid[:height, :width]
            inside = ((rows - height / 2 + 0.5) / rng.uniform(2, 4)) ** 2 + ((columns - width / 2 + 0.5) / 3) ** 2 < 1
            image = np.zeros((height, width, 4), np.uint8)
            image[inside] = [*rng.integers(60, 255, 3), 255]
            found.append(Item(image, {}, str(i)))
        return found

    train, held_out, ours = items(120), items(45), items(45)
    modality.fit(train)
    report = evaluate(modality, [i.data for i in ours], [{}] * 45, train, held_out, repeats=3, progress=False)
    assert report.columns == ["ours", "real", "floor"]
    assert report.value("radial spectrum, dB") < 0.7 * report.value("radial spectrum, dB", "floor")
    nothing = {row["metric"] for row in report.rows if report.value(row["metric"]) is None}
    assert nothing == {"Fréchet distance, n to infinity"}  # of 45 samples


@pytest.mark.parametrize(("task", "options"), [("upscale", {"basis": "means"}), ("upscale_told", {"guide": "low"})])
def test_upscaling_is_judged_against_the_picture_that_was_given(digits, hasty, task, options):
    train, held_out = digits[:200], digits[1000:1040]
    modality = Image(labels=False, patch=2, factor=2, **options)
    modality.fit(train)
    posed = [modality.tasks()[task].pose(item, np.random.default_rng(0)) for item in held_out]
    given, known = [item for item, _ in posed], [bits for _, bits in posed]
    samples = [modality.paste(item.data, *pair) for item, pair in zip(held_out, posed, strict=True)]
    report = evaluate(modality, samples, [{}] * 40, train, held_out, task=task, given=given, known=known, repeats=3,
                      progress=False)  # fmt: skip
    assert report.value("low-resolution error") < 0.5  # that of rounding: samples are the true images
    assert report.value("SSIM") == pytest.approx(1)
    assert report.value("SSIM over Lanczos") > 0.05
    assert report.value("PSNR over Lanczos, dB") > 10
    assert report.value("SSIM over Lanczos", "floor") == pytest.approx(0, abs=0.1 if known[0] else 1e-9)
    assert report.value("change of given pixels") == report.value("change of given pixels", "floor") == 0
