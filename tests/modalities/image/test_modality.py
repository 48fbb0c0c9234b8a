"""What is learnt from data, what is written, and real pictures."""

import json
import pickle

import numpy as np
import pytest
import torch
from ornstein.core.conditioning.values import conditions
from ornstein.core.modality import Item
from ornstein.core.sources import file_at, open_source, read_all, split
from ornstein.modalities.image import Image
from PIL import Image as Pillow
from some_images import RNG, fitted, noise, read_pixels

# What is learnt from data.


def labelled(*names, channels=3):
    return [
        Item(noise(4, 4, channels, i), {} if name is None else {"label": name}, f"{i}.png")
        for i, name in enumerate(names)
    ]


def test_class_names_are_sorted_numbers_by_value():
    assert fitted(labelled("10", "9", "2", "9")).conditions[0].names == ("2", "9", "10")
    assert fitted(labelled("dog", "10", "cat", 9)).conditions[0].names == ("9", "10", "cat", "dog")
    assert fitted(labelled("a"), labels=False).conditions == ()
    assert fitted(labelled(None)).conditions == ()


def test_labels_become_numbers_and_missing_ones_no_value():
    items = labelled("dog", None, "cat")
    modality = fitted(items)
    cond = modality.encode(items, None, RNG).cond["label"]
    assert cond.present.tolist() == [True, False, True]
    assert cond.value[cond.present].tolist() == [1, 0]
    asked = conditions(modality.conditions, {"label": [item.cond.get("label") for item in items]}, 3)["label"]
    assert torch.equal(asked.value[asked.present], cond.value[cond.present])
    with pytest.raises(
        ValueError, match=r"0\.png has label 'dgo', which is none of the 2 classes .*did you mean 'dog'"
    ):
        modality.encode(labelled("dgo"), None, RNG)


def test_a_label_column_of_numbers_means_names(tmp_path):
    for i in (1, 2, 3):
        Pillow.fromarray(noise(4, 4)).save(tmp_path / f"{i}.png")
    (tmp_path / "labels.csv").write_text("file,label\n1.png,1\n2.png,2\n3.png,3\n")  # class 1 is number 0
    modality = Image()
    items, _ = read_all(modality, open_source(tmp_path, modality.extensions).rows())
    modality.fit(items)
    assert modality.encode(items, None, RNG).cond["label"].value.tolist() == [0, 1, 2]
    asked = conditions(modality.conditions, {"label": [item.cond["label"] for item in items]}, 3)
    assert asked["label"].value.tolist() == [0, 1, 2]


def test_one_colour_image_makes_the_model_a_colour_model():
    grey, colour = labelled(None, channels=1), labelled(None, channels=3)
    assert fitted(grey).fields[0].channels == 4
    modality = fitted([*grey, *colour])
    encoded = modality.encode([*grey, *colour], None, RNG)
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)
    assert np.array_equal(back[0], np.repeat(grey[0].data, 3, -1))
    assert np.array_equal(back[1], colour[0].data)
    assert fitted(colour, channels=1).encode(colour, None, RNG).state["pixels"].shape == (1, 4, 4)


def test_sizes_are_asked_for_where_they_differ(tmp_path):
    items = [Item(noise(8, 8)), Item(noise(8, 8)), Item(noise(4, 6), key="odd.png")]
    said = r"3 training images have 2 sizes \(8 x 8, 4 x 6\): odd\.png is not 8 x 8 as most are; set modality\.size"
    with pytest.raises(ValueError, match=said):
        Image().fit(items)
    with pytest.raises(ValueError, match="a batch holds images of one size"):
        fitted(items[:2]).encode(items, None, RNG)
    with pytest.raises(ValueError, match="5 x 5 pixels has no whole patches of 2 x 2"):
        Image().fit([Item(noise(5, 5))])
    with pytest.raises(ValueError, match="no training image"):
        Image().fit([])
    with pytest.raises(ValueError, match=r"unknown before fit\(\)"):
        _ = Image().fields


@pytest.mark.parametrize("options", [{"patch": 0}, {"channels": 2}, {"shift": -1}, {"size": 9}, {"size": 0}])
def test_wrong_options_are_refused_at_once(options):
    with pytest.raises(ValueError, match=f"modality.{next(iter(options))}|no whole patches"):
        Image(**options)


def test_a_state_of_plain_json_is_all_that_decoding_needs(tmp_path):
    items = labelled("b", "a")
    modality = fitted(items, patch=4)
    tensors, plain = modality.state()
    other = Image(patch=4)
    other.load_state(tensors, json.loads(json.dumps(plain)))
    assert other.fields == modality.fields
    assert other.conditions == modality.conditions
    x, y = (m.encode(items, None, RNG) for m in (modality, other))
    assert torch.equal(x.state["pixels"], y.state["pixels"])
    assert other.blank(1, {}, RNG).layout.grid == (1, 1)
    assert pickle.loads(pickle.dumps(modality)).conditions == modality.conditions


def test_augmentation_moves_and_mirrors_but_invents_nothing():
    item = Item(np.arange(6 * 5, dtype=np.uint8).reshape(6, 5, 1), {"label": "a"}, "x")
    plain = Image().augment(item, np.random.default_rng(0))
    assert np.array_equal(plain.data, item.data)
    mirrored = [
        np.array_equal(Image(flip=True).augment(item, np.random.default_rng(s)).data, item.data[:, ::-1])
        for s in range(200)
    ]
    assert 70 < sum(mirrored) < 130
    seen = set()
    for seed in range(300):
        moved = Image(shift=1).augment(item, np.random.default_rng(seed))
        assert moved.data.shape == item.data.shape
        assert (moved.cond, moved.key) == (item.cond, item.key)
        seen.add(tuple(moved.data[2:4, 2].ravel() - item.data[2:4, 2].ravel().astype(int)))
    assert len(seen) == 9
    assert item.data[0, 0, 0] == 0  # the item itself is as it was


# Pictures.


def test_written_files_are_the_samples(tmp_path):
    for channels in (1, 3):
        images = [noise(8, 8, channels, i) for i in range(5)]
        folder = tmp_path / str(channels) / "out"
        paths = Image().write(images, folder)
        assert [path.name for path in paths] == ["0000.png", "0001.png", "0002.png", "0003.png", "0004.png", "grid.png"]
        assert sorted(folder.iterdir()) == sorted(paths)
        for path, image in zip(paths[:-1], images, strict=True):
            assert np.array_equal(read_pixels(file_at(path)), image)
    assert Image().write([], tmp_path / "none") == []


def test_a_grid_shows_images_in_reading_order():
    images = [np.full((16, 16, 1), 40 * i, np.uint8) for i in range(5)]
    picture = Image().render(images)
    assert picture.shape == (2 * 34 + 2, 3 * 34 + 2)  # 2 rows of 3, enlarged to 32, gaps of 2
    centres = [picture[2 + 16 + 34 * row, 2 + 16 + 34 * column] for row in range(2) for column in range(3)]
    assert centres == [0, 40, 80, 120, 160, 255]
    assert Image().render([noise(100, 50)]).shape == (104, 54, 3)


# Real data.


def test_the_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    modality = Image()
    name, source = next(iter(modality.datasets().items()))
    rows = source.rows()
    items, bad = read_all(modality, rows)
    assert (name, len(items), bad) == ("digits", 1797, [])
    assert np.array_equal(np.rint(np.stack([item.data for item in items])[..., 0] * (16 / 255)).reshape(-1, 64), levels)
    assert [item.cond["label"] for item in items] == [str(label) for label in labels]
    assert (items[0].key, items[-1].key) == ("digits#0", "digits#1796")
    modality.fit(items)
    told = {"classes": {"label": tuple(str(i) for i in range(10))}, "numbers": {}, "texts": {}}
    assert modality.state()[1] == {"shapes": [(8, 8, 1797)], "channels": 1, "told": told}
    assert modality.cost(items[0]) == 16
    assert source.fingerprint() == pickle.loads(pickle.dumps(source)).fingerprint()


def test_the_floor_takes_names_and_numbers():
    items = [Item(np.full((4, 4, 1), 10 * (i % 2), np.uint8), {"label": "ab"[i % 2]}) for i in range(8)]
    modality = fitted(items)
    drawn = modality.floor(items, [{"label": 1}, {"label": "a"}, {"label": 0}], np.random.default_rng(0))
    assert [int(image.mean()) for image in drawn] == [10, 0, 0]


def test_the_floor_knows_the_label_among_other_classes():
    items = [
        Item(np.full((4, 4, 1), 10 * (i % 2), np.uint8), {"label": "xy"[i % 2], "a": "uvw"[i % 3]}) for i in range(12)
    ]
    modality = fitted(items, attributes=["a"])
    assert [spec.name for spec in modality.conditions] == ["a", "label"]
    drawn = modality.floor(items, [{"label": "y", "a": "u"}, {"label": "x"}], np.random.default_rng(0))
    assert [int(image.mean()) for image in drawn] == [10, 0]


def test_hands_of_signers_are_read_from_their_zip(shared_data):
    modality = Image(size=32)
    rows = open_source(shared_data / "images" / "sign_digits", modality.extensions).rows()
    parts = split(rows, 0, (0.8, 0.1, 0.1), "subject")
    persons = [{row.values["subject"] for row in part} for part in parts.values()]
    assert sum(map(len, persons)) == 184
    items, bad = read_all(modality, parts["test"], 0)
    modality.fit(items)
    assert bad == []
    assert {item.data.shape for item in items} == {(32, 32, 3)}
    assert modality.conditions[0].names == tuple(str(i) for i in range(10))


def test_tiles_of_every_mode_are_read(shared_data):
    modality = Image()
    source = open_source(shared_data / "images" / "dcss_tiles", modality.extensions, label_column="category")
    items, bad = read_all(modality, source.rows()[::10], 0)
    modality.fit(items)
    assert bad == []
    assert [shape[:2] for shape in modality.state()[1]["shapes"]] == [(32, 32)]
    assert "player" in modality.conditions[0].names
