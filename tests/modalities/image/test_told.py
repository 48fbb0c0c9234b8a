"""What a model of images is told: classes, numbers and captions of tables; parts; and what is wrong with tables."""

import json

import numpy as np
import pytest
import torch
from ornstein.core.conditioning.values import conditions
from ornstein.core.sources import open_source, read_all, split
from ornstein.core.training.data import OrnsteinDataModule
from ornstein.modalities.image import Image
from PIL import Image as Pillow
from some_images import RNG, noise


def pictures(folder, n=4, start=0):
    """n files 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + n):
        Pillow.fromarray(noise(4, 4, seed=i)).save(folder / f"{i}.png")
    return folder


def items_of(root, modality, **options):
    """Items of a folder, as training reads them."""
    rows = modality.rows(open_source(root, modality.extensions, **options).rows(), (0.8, 0.1, 0.1))
    return read_all(modality, rows, 0)[0]


TOLD = [
    {"file_name": "0.png", "label": "cat", "age": 3, "fur": "long", "text": "a cat"},
    {"file_name": "1.png", "label": "dog", "age": 5.5, "fur": "short", "text": "a dog that sleeps"},
    {"file_name": "2.png", "label": "cat", "age": 9, "fur": "long", "text": "Katze, schläft"},
    {"file_name": "3.png", "label": "dog", "fur": "short"},
]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_table_tells_class_numbers_words_and_caption(tmp_path, kind):
    pictures(tmp_path)
    names = ["file_name", "label", "age", "fur", "text"]
    if kind == "jsonl":
        lines = [json.dumps(row) for row in TOLD]
    else:
        cells = [[str(row.get(name, "")) for name in names] for row in TOLD]
        lines = [",".join(names), *(",".join(f'"{cell}"' for cell in row) for row in cells)]
    (tmp_path / f"metadata.{kind}").write_text("\n".join(lines), encoding="utf-8")
    modality = Image(attributes=["age", "fur"], captions="text")
    items = items_of(tmp_path, modality)
    modality.fit(items)
    told = {spec.name: spec for spec in modality.conditions}
    assert {name: spec.kind for name, spec in told.items()} == {
        "label": "class",
        "fur": "class",
        "age": "scalar",
        "text": "text",
    }
    assert told["text"].route == "cross"
    assert told["text"].size == len("a dog that sleeps")
    assert (told["age"].offset, told["age"].scale) == pytest.approx((np.mean([3, 5.5, 9]), np.std([3, 5.5, 9])))
    cond = modality.encode(items, None, RNG).cond
    assert cond["label"].value.tolist() == [0, 1, 0, 1]
    assert cond["fur"].value.tolist() == [0, 1, 0, 1]
    assert cond["age"].present.tolist() == cond["text"].present.tolist() == [True, True, True, False]
    asked = conditions(modality.conditions, {"text": "a cat", "age": 5.5, "fur": "short", "label": "dog"}, 1)
    assert torch.equal(asked["text"].value[0, : len("a cat")], cond["text"].value[0, : len("a cat")])
    assert asked["age"].value[0] == cond["age"].value[1]
    again = Image(attributes=["age", "fur"], captions="text")
    again.load_state({}, json.loads(json.dumps(modality.state()[1])))
    assert again.conditions == modality.conditions


def test_columns_that_nobody_asked_for_are_not_told(tmp_path):
    pictures(tmp_path)
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, TOLD)))
    modality = Image()
    modality.fit(items_of(tmp_path, modality))
    assert [spec.name for spec in modality.conditions] == ["label"]


@pytest.mark.parametrize("option", [{"attributes": ["aeg"]}, {"captions": "aeg"}, {"mask": "aeg"}])
def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path, option):
    pictures(tmp_path)
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, TOLD)))
    with pytest.raises(LookupError, match=r"no column 'aeg': it has label, age, fur, text; did you mean 'age'\?"):
        items_of(tmp_path, Image(**option))
    rows = open_source(tmp_path / "0.png", Image.extensions).rows()
    assert [row.file for row in Image(**option).rows(rows, None)] == [
        row.file for row in rows
    ]  # a given file brings none


def test_a_column_of_words_and_numbers_is_refused(tmp_path):
    pictures(tmp_path)
    (tmp_path / "metadata.csv").write_text("file,age\n0.png,3\n1.png,old\n2.png,5\n3.png,7\n")
    modality = Image(attributes=["age"])
    modality.fit(items_of(tmp_path, modality))
    assert modality.conditions[0].names == ("3", "5", "7", "old")  # a column of a table with one word holds words
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, TOLD)))
    items = items_of(tmp_path, modality)
    items[0].cond["age"] = "three"
    with pytest.raises(ValueError, match=r"'age' is a word in some rows \('three'\) and a number in others"):
        modality.fit(items)


# Parts.


def test_folders_named_train_val_and_test_are_the_official_parts(tmp_path):
    for i, part in enumerate(("train", "val", "test")):
        for j, name in enumerate(("cat", "dog")):
            pictures(tmp_path / part / name, 3, 6 * i + 3 * j)
    rows = open_source(tmp_path, Image.extensions).rows()
    parts = split(rows)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 6, "validation": 6, "test": 6}
    assert {row.values["label"] for row in parts["test"]} == {"cat", "dog"}
    assert all(row.file.name.startswith("val/") for row in parts["validation"])


def test_a_class_that_only_validation_has_is_left_out_by_name(tmp_path):
    for part, name, n in (
        ("train", "cat", 4),
        ("train", "dog", 4),
        ("val", "cat", 2),
        ("val", "newt", 2),
        ("test", "dog", 1),
    ):
        pictures(tmp_path / part / name, n)
    data = OrnsteinDataModule(Image(), root=str(tmp_path), batch_size=4)
    data.setup("fit")
    with pytest.warns(
        UserWarning, match=r"2 of 4 validation items do not fit .*label 'newt', which is none of the 2 classes"
    ):
        batches = list(data.val_dataloader())
    assert sum(len(batch.keys) for batch in batches) == 2


# Tables that are wrong.


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,label\n0.png,a\n0.png,b\n1.png,a\n", "names 1 file on more than one row: 0.png"),
        ("file,label\n0.png,a\n../1.png,b\n", r"names '\.\./1\.png', which lies outside"),
        ("file,label\n0.png,a\n/etc/1.png,b\n", r"names '/etc/1\.png', which lies outside"),
        ("file,label\n0.png,a\n9.png,b\n", "names 1 file that .* does not hold: 9.png"),
        ("file,label\n0.png,a,b\n", "line 2 has 3 cells, the header 2"),
        ("file,label,label\n0.png,a,b\n", "column 'label' stands there more than once"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, table, said):
    pictures(tmp_path)
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        open_source(tmp_path, Image.extensions)


# Real pictures.


def test_tiles_tell_their_captions(shared_data):
    modality = Image(patch=4, alpha="keep", captions="caption", attributes=["category"])
    items = items_of(shared_data / "images" / "dcss_tiles", modality)[::20]
    modality.fit(items)
    assert {item.data.shape for item in items} == {(32, 32, 4)}
    assert np.mean([(item.data[..., 3] == 0).any() for item in items]) > 0.7
    assert [spec.name for spec in modality.conditions] == ["category", "caption"]
    encoded = modality.encode(items[:4], None, RNG)
    assert encoded.state["pixels"].shape == (4, 64, 64)
    assert encoded.cond["caption"].present.all()
