"""Published networks by name: where weights are looked for, what the networks see, and that they are those of torch-fidelity."""

import sys

import numpy as np
import pytest
import torch
from ornstein.core.evaluation import metrics
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.modalities.image import Image, named
from ornstein.modalities.image.evaluation import image_metrics
from ornstein.modalities.image.named import Given, Seen
from torch import nn

MEANS = f"{__name__}:Means"


class Means:
    """Mean and deviation of each channel."""

    name = "means"

    def __call__(self, x):
        assert x.dtype == torch.uint8
        assert x.shape[1] == 3
        return torch.cat([x.float().mean((2, 3)), x.float().std((2, 3), correction=0)], 1)


def noise(n, shape=(20, 16, 3), seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.uint8))


def judged(images):
    return Judged(images, [{} for _ in images], [str(i) for i in range(len(images))])


def fitted(where):
    nothing = judged(noise(2))
    return Given(where).fit(nothing, nothing, seed=0, device="cpu", track=lambda *_: lambda: None)


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "weights").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["inception", "dinov2", "clip"])
def test_weights_are_looked_for_in_three_places_and_where_they_are_missing_it_is_said(name, no_weights):
    file = named.NAMED[name].files[0]
    with pytest.raises(ValueError, match=rf"no weights at {no_weights}/weights/{file}.*ORNSTEIN_WEIGHTS"):
        Given(name)
    (no_weights / "hub/checkpoints").mkdir(parents=True)
    places = [no_weights / "hub/checkpoints" / file, no_weights / "weights" / file, no_weights / "mine.pth"]
    for place in places:  # each goes before those that came before
        place.touch()
        where = f"{name}:{place}" if place.name == "mine.pth" else name
        assert Given(where).weights() == place
        assert Given(where).name == name
    with pytest.raises(ValueError, match="no weights at"):
        Given(f"{name}:{no_weights}/nowhere.pth")


def test_a_modality_is_asked_for_its_weights_before_anything_is_measured(no_weights):
    with pytest.raises(ValueError, match="no weights"):
        Image(extractors=["inception"]).metrics("unconditional")


def test_names_that_are_none_are_refused():
    with pytest.raises(ValueError, match="choose from inception, dinov2, clip, or write package"):
        Given("resnet")
    with pytest.raises(ValueError, match="write package"):
        fitted("no_such_package:Network")


def test_lines_of_a_given_network_stand_beside_those_of_the_trained_one():
    names = [spec.name for spec in image_metrics("unconditional", True, [MEANS])]
    assert {"Fréchet distance", "Fréchet distance, Means", "coverage, Means", "inception score"} <= set(names)
    assert "inception score, Means" not in names
    assert len(set(names)) == len(names)


def test_a_network_sees_grey_in_three_channels_transparency_on_white_and_every_size_in_its_place():
    seen = Seen(Means())
    images = [np.full((4, 6, 1), 40, np.uint8), np.zeros((9, 3, 4), np.uint8), np.full((4, 6, 1), 80, np.uint8)]
    images[1][..., :3], images[1][..., 3] = 100, 51  # a fifth of 100, four fifths of white
    assert seen.embed(images)[:, :3].tolist() == [[40] * 3, [224] * 3, [80] * 3]


def test_the_hash_is_that_of_the_answer():
    class Twice(Means):
        def __call__(self, x):
            return 2 * super().__call__(x)

    assert Seen(Means()).hash == fitted(MEANS).hash != Seen(Twice()).hash
    with pytest.raises(LookupError, match="no classifier"):
        Seen(Means()).verdicts(judged(noise(3)))


def test_the_distance_of_a_report_is_that_of_the_rows():
    ours, theirs = judged(noise(30)), judged(noise(40, seed=1))
    extractor = fitted(MEANS)
    spec = {spec.name: spec for spec in image_metrics("unconditional", False, [MEANS])}["Fréchet distance, Means"]
    found = spec.compute(ours, theirs, Context(theirs, extractor, 0))
    assert found == metrics.frechet_distance(extractor.embed(ours.samples), extractor.embed(theirs.samples))


@pytest.fixture
def inception(tmp_path, monkeypatch):
    """The network of torch-fidelity with random weights, and the file that holds them."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3
    path = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    torch.save({}, path)
    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(network, "load_state_dict", lambda self, weights: None)
        random = network("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
    torch.save(random.state_dict(), path)
    monkeypatch.setenv("ORNSTEIN_WEIGHTS", str(tmp_path))
    return random


@pytest.mark.slow
def test_inception_is_that_of_torch_fidelity_from_the_file_to_the_numbers(inception):
    fid, isc = (pytest.importorskip(f"torch_fidelity.metric_{name}") for name in ("fid", "isc"))
    ours, theirs = judged(noise(6)), judged(noise(6, (32, 24, 3), seed=1))
    extractor = fitted("inception")
    assert extractor.facts["features"] == 2048
    assert extractor.facts["weights"] == "weights-inception-2015-12-05-6726825d.pth"
    rows, logits = zip(*(inception(torch.from_numpy(np.stack(x.samples)).permute(0, 3, 1, 2)) for x in (ours, theirs)),
                       strict=True)  # fmt: skip
    assert torch.allclose(extractor.features(ours), rows[0].double(), rtol=1e-5, atol=1e-7)
    statistics = [fid.fid_features_to_statistics(each.double()) for each in rows]
    specs = {spec.name: spec for spec in image_metrics("unconditional", False, ["inception"])}
    context = Context(theirs, extractor, 0)
    expected = fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert specs["Fréchet distance, inception"].compute(ours, theirs, context) == pytest.approx(expected, abs=1e-6)
    expected = isc.isc_features_to_metric(logits[0], splits=1, shuffle=False)["inception_score_mean"]
    assert specs["inception score, inception"].compute(ours, theirs, context) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("content", ["code", "nothing", "another network", "no weights at all"])
def test_files_that_do_not_hold_the_weights_are_named_and_code_in_them_is_not_run(content, tmp_path):
    pytest.importorskip("torch_fidelity")
    path = tmp_path / "odd.pth"
    if content == "code":
        torch.save({"fc.weight": print}, path)
    elif content == "another network":
        torch.save({"fc.weight": torch.zeros(3)}, path)
    else:
        path.write_bytes(b"" if content == "nothing" else b"weights")
    with pytest.raises(ValueError, match=r"odd\.pth does not hold its weights"):
        fitted(f"inception:{path}")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    (tmp_path / "weights.pth").touch()
    with pytest.raises(ValueError, match="pip install torch-fidelity"):
        fitted(f"inception:{tmp_path / 'weights.pth'}")


HUB = """
import torch
from torch import nn

def dinov2_vitl14(pretrained=True):
    assert not pretrained
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 14, 14)
        def forward(self, x):
            assert x.shape[1:] == (3, 224, 224)
            return self.conv(x).mean((2, 3))
    return Patches()
"""


def test_dinov2_takes_code_and_weights_of_the_hub_and_sees_normalised_images(no_weights):
    folder = no_weights / "hub/facebookresearch_dinov2_main"
    weights = {"conv.weight": torch.zeros(5, 3, 14, 14), "conv.bias": torch.zeros(5)}
    for channel in range(3):
        weights["conv.weight"][channel, channel] = 1 / 14**2  # the mean of a normalised channel
    torch.save(weights, no_weights / "weights/dinov2_vitl14_pretrain.pth")
    with pytest.raises(ValueError, match="no code in"):
        fitted("dinov2")
    folder.mkdir(parents=True)
    (folder / "hubconf.py").write_text(HUB)
    rows = fitted("dinov2").embed([np.full((30, 40, 3), 255, np.uint8), np.zeros((30, 40, 3), np.uint8)])
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    assert rows[0, :3].tolist() == pytest.approx(list((1 - mean) / deviation), abs=1e-4)
    assert rows[1, :3].tolist() == pytest.approx(list(-mean / deviation), abs=1e-4)


@pytest.mark.filterwarnings("ignore:.torch.jit")  # the format of the published file
def test_clip_is_that_of_torch_fidelity(no_weights):
    module = pytest.importorskip("torch_fidelity.feature_extractor_clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = module.CLIPVisual(16, 64, 1, 64, 32).state_dict() | {"text_projection": torch.zeros(4, 16)}

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in state.items():
                place, *path, last = self, *name.split(".")
                for part in path:
                    if not hasattr(place, part):
                        place.add_module(part, nn.Module())
                    place = getattr(place, part)
                place.register_parameter(last, nn.Parameter(value, requires_grad=False))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    torch.jit.save(torch.jit.trace(Holder(), torch.zeros(1)), no_weights / "weights/ViT-B-32.pt")
    found = fitted("clip").embed(noise(2))
    same = module.FeatureExtractorCLIP("clip-vit-b-32", ["clip"], str(no_weights / "weights/ViT-B-32.pt"))
    (expected,) = same(torch.from_numpy(np.stack(noise(2))).permute(0, 3, 1, 2))
    assert found.shape == (2, 16)
    assert torch.allclose(found, expected.double(), atol=1e-6)
    assert not torch.allclose(found[0], found[1], atol=1e-3)
