"""Sources: what is found in folders, archives and manifests, how it is divided, and what is said of what is wrong."""

import io
import json
import pickle
import tarfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import File, Folder, Memory, Row, open_source, read_all, split, track

TXT = (".txt",)
TREE = {"cats/1.txt": b"one", "cats/2.txt": b"two", "dogs/3.TXT": b"three", "notes.md": b"x", ".hidden.txt": b"h"}


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:" + {".gz": "gz", ".xz": "xz", ".bz2": "bz2"}.get(path.suffix, "")) as archive:
        for name, content in reversed(files.items()):  # an order of its own
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(source) -> list[tuple]:
    return [(row.file.name, row.file.read(), dict(row.values)) for row in source.rows()]


def rows_of(names, **values) -> list[Row]:
    store = Memory("memory", dict.fromkeys(names, b""))
    return [Row(File(name, store), {k: v[i] for k, v in values.items()}) for i, name in enumerate(names)]


# What is found.


@pytest.mark.parametrize("kind", ["folder", "x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.tar.bz2"])
def test_a_folder_and_its_archives_are_one_source(tmp_path, kind):
    folder = folder_of(tmp_path / "folder", TREE)
    make = {"zip": zip_of, "lder": folder_of}.get(kind.rpartition(".")[2][-4:], tar_of)
    found = open_source(make(tmp_path / kind, TREE), TXT)
    assert contents(found) == [
        ("cats/1.txt", b"one", {"label": "cats"}),
        ("cats/2.txt", b"two", {"label": "cats"}),
        ("dogs/3.TXT", b"three", {"label": "dogs"}),
    ]
    assert found.fingerprint() == open_source(folder, TXT).fingerprint()
    assert "2 classes by subfolder" in found.about()


def test_a_folder_around_everything_is_no_class(tmp_path):
    found = open_source(zip_of(tmp_path / "x.zip", {f"all/{name}": c for name, c in TREE.items()}), TXT)
    assert [row.values["label"] for row in found.rows()] == ["cats", "cats", "dogs"]


def test_mac_leftovers_are_no_files(tmp_path):
    found = open_source(zip_of(tmp_path / "x.zip", {"a/1.txt": b"1", "__MACOSX/a/._1.txt": b"x"}), TXT)
    assert [row.file.name for row in found.rows()] == ["a/1.txt"]


def test_top_folders_called_train_and_test_are_the_official_split(tmp_path):
    files = {"train/cats/1.txt": b"1", "train/dogs/2.txt": b"2", "val/cats/3.txt": b"3", "test/dogs/4.txt": b"4"}
    rows = open_source(folder_of(tmp_path, files), TXT).rows()
    assert [(row.values["split"], row.values["label"]) for row in rows] == [
        ("test", "dogs"),
        ("train", "cats"),
        ("train", "dogs"),
        ("validation", "cats"),
    ]


def test_files_beside_subfolders_have_no_label_unless_asked(tmp_path):
    folder_of(tmp_path, {"a/1.txt": b"1", "2.txt": b"2"})
    assert all("label" not in row.values for row in open_source(tmp_path, TXT).rows())
    with pytest.raises(ValueError, match=r"1 of 2 files .* sit in no subfolder: 2\.txt"):
        open_source(tmp_path, TXT, labels="folder")


def test_linked_folders_are_read_once(tmp_path):
    folder = folder_of(tmp_path / "data", {"a/1.txt": b"1"})
    (folder / "a/loop").symlink_to(folder)
    (folder / "b").symlink_to(folder_of(tmp_path / "elsewhere", {"2.txt": b"2"}))
    assert [row.file.name for row in open_source(folder, TXT).rows()] == ["a/1.txt", "b/2.txt"]


def test_one_file_is_a_source(tmp_path):
    folder_of(tmp_path, TREE)
    (row,) = open_source(tmp_path / "cats/1.txt", TXT).rows()
    assert (row.file.name, row.file.read(), row.file.location) == ("1.txt", b"one", str(tmp_path / "cats/1.txt"))


# Manifests.

TABLE = b'file,label,age,code,note\ncats/2.txt,tom,3,007,\n./cats/1.txt,tim,4.5,008,"a, b"\n'


def test_columns_get_the_narrowest_type_and_empty_cells_no_value(tmp_path):
    source = open_source(folder_of(tmp_path, {**TREE, "labels.csv": TABLE}), TXT)
    assert contents(source) == [
        ("cats/2.txt", b"two", {"label": "tom", "age": 3.0, "code": "007"}),
        ("cats/1.txt", b"one", {"label": "tim", "age": 4.5, "code": "008", "note": "a, b"}),
    ]
    assert "rows of labels.csv; 3 other files left out" in source.about()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "\ufeffFile;label\r\ncats\\1.txt;7\r\n"),
        ("x.tsv", "label\tfilename\n7\tcats/1.txt\n"),
        ("cats/x.csv", "path,label\n1.txt,7\n"),
        ("metadata.jsonl", '{"file_name": "cats/1.txt", "label": 7, "boxes": [1, 2], "note": null}\n\n'),
    ],
)
def test_every_kind_of_manifest_is_found(tmp_path, name, text):
    files = {**TREE, name: text.encode()}
    for path in (folder_of(tmp_path / "folder", files), zip_of(tmp_path / "x.zip", files)):
        (row,) = open_source(path, TXT).rows()
        assert (row.file.name, dict(row.values)) == ("cats/1.txt", {"label": 7})


def test_a_manifest_beside_an_archive_is_found_by_archive_folder_and_manifest(tmp_path):
    zip_of(tmp_path / "x.zip", TREE)
    folder_of(tmp_path, {"labels.csv": TABLE, "prices.csv": b"day,path\n1,up\n", "numbers.csv": b"1,2\n"})
    found = [open_source(tmp_path / name, TXT) for name in (".", "x.zip", "labels.csv")]
    assert [contents(source) for source in found] == [contents(found[0])] * 3
    assert [row.values["label"] for row in found[0].rows()] == ["tom", "tim"]


def test_manifests_of_subfolders_are_joined(tmp_path):
    files = {"train/1.txt": b"1", "train/m.csv": b"file_name,label\n1.txt,a\n"}
    files |= {"test/1.txt": b"2", "test/m.csv": b"file_name,label\n1.txt,b\n"}
    rows = open_source(folder_of(tmp_path, files), TXT).rows()
    assert {(r.file.name, r.values["label"], r.values["split"]) for r in rows} == {
        ("train/1.txt", "a", "train"),
        ("test/1.txt", "b", "test"),
    }


def test_labels_can_be_chosen(tmp_path):
    folder_of(tmp_path, {**TREE, "a.csv": b"file,kind\ncats/1.txt,x\n", "b.csv": b"file,label\ncats/1.txt,y\n"})
    with pytest.raises(ValueError, match=r"choose data\.labels=a\.csv or b\.csv"):
        open_source(tmp_path, TXT)
    assert [row.values["label"] for row in open_source(tmp_path, TXT, labels="b.csv").rows()] == ["y"]
    chosen = open_source(tmp_path, TXT, labels=str(tmp_path / "a.csv"), label_column="kind")
    assert [row.values["label"] for row in chosen.rows()] == ["x"]
    assert [row.values for row in open_source(tmp_path, TXT, labels="none").rows()] == [{}, {}, {}]
    assert len(open_source(tmp_path, TXT, labels="folder").rows()) == 3


def test_the_column_class_is_the_label_where_there_is_no_other(tmp_path):
    folder_of(tmp_path, {**TREE, "a.csv": b"file,class\ncats/1.txt,x\n"})
    assert open_source(tmp_path, TXT).rows()[0].values == {"class": "x", "label": "x"}


def test_a_table_of_data_is_no_manifest(tmp_path):
    files = {"1.csv": b"time,value\n0,1\n", "2.csv": b"# no header\n", "labels.csv": b"file,label\n2.csv,b\n1.csv,a\n"}
    (tmp_path / "zipped").mkdir()
    folder_of(tmp_path / "zipped", {"labels.csv": files["labels.csv"]})
    zip_of(tmp_path / "zipped/x.zip", {k: v for k, v in files.items() if k != "labels.csv"})
    for path in (folder_of(tmp_path / "folder", files), tmp_path / "zipped", tmp_path / "zipped/labels.csv"):
        assert [row.file.name for row in open_source(path, (".csv",)).rows()] == ["2.csv", "1.csv"]
    assert len(open_source(tmp_path / "folder", (".csv",), labels="none").rows()) == 2
    assert len(open_source(tmp_path / "folder/1.csv", (".csv",)).rows()) == 1


MANIFESTS = [
    (
        b"file,label\ncats/1.txt,a\ncats/8.txt,b\n9.txt,c\n",
        r"names 2 files that .* does not hold: cats/8\.txt, 9\.txt$",
    ),
    (b"file,label\n9.txt,c\n", r"names 1 file that .* does not hold: 9\.txt$"),
    (b"file,label\ncats/1.txt,a\n../secret.txt,b\n", r"names '\.\./secret\.txt', which lies outside"),
    (b"file,label\ncats/1.txt,a\n/etc/x.txt,b\n", r"names '/etc/x\.txt', which lies outside"),
    (b"file,label\ncats/1.txt,a\ncats/1.txt,b\n", r"names 1 file on more than one row: cats/1\.txt; one row per file"),
    (b"file,label\ncats/1.txt,a\n,b\n", r"row 2 names no file in column 'file'"),
    (b"file,label\ncats/1.txt,a,b\n", r"line 2 has 3 cells, the header 2"),
    (b"file,label\n", r"has no rows"),
    (b"file,file\ncats/1.txt,a\n", r"column 'file' stands there more than once"),
    (b"file,label\ncats/1.txt,\xff\n", r"is not text in UTF-8"),
    (b"file,label\nnotes.md,a\n", r"names no file with \.txt: there are 1 with \.md"),
]


@pytest.mark.parametrize(("table", "message"), MANIFESTS)
@pytest.mark.parametrize("make", [folder_of, zip_of])
def test_what_is_wrong_with_a_manifest_is_said(tmp_path, make, table, message):
    path = make(tmp_path / "x.zip", {**TREE, "labels.csv": table})
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        open_source(path, TXT)
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_needs_a_column_of_files_and_the_label_column(tmp_path):
    folder_of(tmp_path, {**TREE, "a.csv": b"files,kind\ncats/1.txt,x\n", "b.csv": b"file,kind\ncats/1.txt,x\n"})
    for how in ({"root": tmp_path / "a.csv"}, {"root": tmp_path, "labels": "a.csv"}):
        with pytest.raises(ValueError, match=r"no column of file names: it has files, kind; .*\(perhaps 'files'\)"):
            open_source(**how, extensions=TXT)
    with pytest.raises(LookupError, match=r"no column 'kinds': it has file, kind; did you mean 'kind'"):
        open_source(tmp_path, TXT, labels="b.csv", label_column="kinds")


def test_no_option_is_ignored(tmp_path):
    folder_of(tmp_path, TREE)
    with pytest.raises(LookupError, match=r"has no manifest, so no column 'kind'"):
        open_source(tmp_path, TXT, label_column="kind")
    with pytest.raises(ValueError, match=r"data\.labels=folder reads no manifest"):
        open_source(tmp_path, TXT, labels="folder", label_column="kind")
    with pytest.raises(FileNotFoundError, match=r"data\.labels=lables\.csv: no such file"):
        open_source(tmp_path, TXT, labels="lables.csv")


# Roots that cannot be read.


def test_what_is_wrong_with_a_root_is_said(tmp_path):
    folder_of(tmp_path, {"empty/.x": b"", "other/a.wav": b"", "other/b.wav": b"", "other/c": b"", "x.bin": b"x"})
    for name in ("two/a.zip", "two/b.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        zip_of(tmp_path / name, TREE)
    cases = [
        ("missing", FileNotFoundError, r"missing does not exist$"),
        ("missing/a/b", FileNotFoundError, r"b does not exist \(.* does, and nothing below it of that name\)"),
        ("empty", ValueError, r"holds no file with \.txt: it is empty"),
        ("other", ValueError, r"holds no file with \.txt: there are 2 with \.wav, 1 with no extension"),
        ("two", ValueError, r"holds 2 archives: give one of them, a\.zip or b\.zip"),
        ("x.bin", ValueError, r"x\.bin is no folder, archive .* or file of this kind \(\.txt\)"),
    ]
    for name, error, message in cases:
        with pytest.raises(error, match=message):
            open_source(tmp_path / name, TXT)


@pytest.mark.parametrize("kind", ["x.zip", "x.tar", "x.tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.97])
def test_an_archive_cut_short_is_refused(tmp_path, kind, share):
    path = (zip_of if kind == "x.zip" else tar_of)(tmp_path / kind, {f"{i}.txt": bytes([i]) * 700 for i in range(20)})
    whole = path.read_bytes()
    # A tar ends in up to 10 kB of zeros, which may be missing.
    length = len(whole.rstrip(b"\0")) if kind == "x.tar" else len(whole)
    path.write_bytes(whole[: int(length * share)])
    with pytest.raises(ValueError, match=r"is not a whole (zip|tar) archive .*cut short"):
        open_source(path, TXT)


def test_a_tar_cut_between_two_files_is_refused(tmp_path):
    path = tar_of(tmp_path / "x.tar", {f"{i}.txt": b"x" * 512 for i in range(20)})
    path.write_bytes(path.read_bytes()[: 1024 * 7])
    with pytest.raises(ValueError, match="its end is missing"):
        open_source(path, TXT)


def test_a_text_named_zip_is_refused_and_names_stand_once(tmp_path):
    (tmp_path / "x.zip").write_text("hello")
    with pytest.raises(ValueError, match="is not a whole zip archive"):
        open_source(tmp_path / "x.zip", TXT)
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("a.txt", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", "2")
    with pytest.raises(ValueError, match=r"holds 1 names more than once: a\.txt"):
        open_source(tmp_path / "y.zip", TXT)


def test_a_damaged_member_is_a_bad_item(tmp_path):
    path = zip_of(tmp_path / "x.zip", {"a.txt": bytes(range(256)) * 9, "b.txt": b"fine"})
    raw = bytearray(path.read_bytes())
    raw[60] ^= 255
    path.write_bytes(raw)
    first, second = open_source(path, TXT).rows()
    with pytest.raises(BadItem, match=r"x\.zip!a\.txt: cannot be read"):
        first.file.read()
    assert second.file.read() == b"fine"


# Fingerprints and processes.


def test_the_fingerprint_names_content_and_values(tmp_path):
    def mark(files):
        path = zip_of(tmp_path / "x.zip", files)
        return open_source(path, TXT).fingerprint()

    base = mark(TREE)
    assert base == mark(dict(reversed(TREE.items())))
    assert base == mark({**TREE, "notes.md": b"other"})  # not part of the data
    changes = [{"cats/1.txt": b"oNe"}, {"cats/9.txt": b"one"}, {"labels.csv": TABLE}]
    marks = [mark({**TREE, **change}) for change in changes]
    assert len({base, *marks}) == 4


def lengths(rows):
    return [len(row.file.read()) for row in rows]


@pytest.mark.parametrize("kind", ["x.zip", "x.tar.gz", "folder"])
def test_rows_go_to_worker_processes(tmp_path, kind):
    files = {f"{i:03d}.txt": bytes([i]) * (i + 1) * 50 for i in range(40)}
    make = {"zip": zip_of, "gz": tar_of}.get(kind.rpartition(".")[2], folder_of)
    rows = open_source(make(tmp_path / kind, files), TXT).rows()
    expected = lengths(rows)  # the parent's handles are open when the children are made
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        assert list(pool.map(lengths, [rows] * 6)) == [expected] * 6
    assert lengths(pickle.loads(pickle.dumps(rows))) == expected
    assert len(pickle.dumps(rows[0])) < 1000


# Parts.


def test_a_hash_gives_the_fractions_and_never_divides_a_group():
    n = 20000
    rows = rows_of([f"{i}.txt" for i in range(n)], person=[i // 5 for i in range(n)])
    for group_by, groups in ((None, n), ("person", n // 5)):
        parts = split(rows, 1, (0.7, 0.2, 0.1), group_by)
        for part, share in zip(("train", "validation", "test"), (0.7, 0.2, 0.1), strict=True):
            spread = (share * (1 - share) / groups) ** 0.5
            assert abs(len(parts[part]) / n - share) < 4 * spread
    people = [{row.values["person"] for row in part} for part in parts.values()]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    assert sorted(r.file.name for part in parts.values() for r in part) == sorted(r.file.name for r in rows)


def test_added_files_move_no_other_and_the_seed_matters():
    names = [f"{i}.txt" for i in range(300)]
    part_of = {r.file.name: part for part, rows in split(rows_of(names[::2]), 3).items() for r in rows}
    after = {r.file.name: part for part, rows in split(rows_of(names), 3).items() for r in rows}
    assert all(after[name] == part for name, part in part_of.items())
    other = {r.file.name: part for part, rows in split(rows_of(names), 4).items() for r in rows}
    assert other != after


def test_the_official_split_holds_and_a_missing_part_comes_from_its_training_rows():
    n = 3000
    words = [("train", "Val", "TEST")[i % 3] for i in range(n)]
    parts = split(rows_of([str(i) for i in range(n)], split=words))
    assert {k: len(v) for k, v in parts.items()} == {"train": 1000, "validation": 1000, "test": 1000}

    words = ["train" if i % 3 else "val" for i in range(n)]
    rows = rows_of([str(i) for i in range(n)], split=words, person=[i // 2 for i in range(n)])
    parts = split(rows, 0, (0.6, 0.2, 0.2), "person")
    assert {r.file.name for r in parts["validation"]} == {str(i) for i in range(0, n, 3)}
    assert abs(len(parts["test"]) / 2000 - 0.25) < 0.06  # 0.2 of 0.6 + 0.2
    assert not {r.values["person"] for r in parts["test"]} & {r.values["person"] for r in parts["train"]}


def test_what_cannot_be_divided_is_said():
    rows = rows_of(["a", "b"], split=["train", "tset"])
    with pytest.raises(ValueError, match=r"1 of 2 rows have a split that is none of train, .*b has split 'tset'"):
        split(rows)
    whole = rows_of(["a", "b", "c"], split=["train", "val", "test"], person=[1, 2, 3])
    with pytest.raises(ValueError, match=r"data\.group_by=person: an official split gives all three parts"):
        split(whole, group_by="person")
    rows = rows_of(["a", "b"], person=[1, 2])
    with pytest.raises(LookupError, match=r"no column 'persn': it has person; did you mean 'person'"):
        split(rows, group_by="persn")
    with pytest.raises(ValueError, match=r"1 of 3 rows have no value of 'person': memory!c"):
        split([*rows, *rows_of(["c"])], group_by="person")
    for wrong in ((0.5, 0.5), (0.5, 0.6, -0.1), (0.5, 0.1, 0.1)):
        with pytest.raises(ValueError, match=r"data\.split="):
            split(rows, fractions=wrong)
    with pytest.raises(ValueError, match="no training rows"):
        split(rows, fractions=(0, 0.5, 0.5))


# Reading.


class Reader:
    """A modality that finds files with the byte 0 bad."""

    def read(self, file, row):
        content = file.read()
        if b"\0" in content:
            raise BadItem(file.location, "holds a zero")
        return Item(content, dict(row), file.name)


def made(good, bad):
    files = {f"{i:05d}": b"\0" if i < bad else b"x" for i in range(good + bad)}
    store = Memory("memory", files)
    return [Row(File(name, store)) for name in files]


@pytest.mark.parametrize(
    ("good", "bad", "share"), [(999, 1, 0.001), (71, 29, 0.29), (93, 7, 0.07), (10, 0, 0), (1, 99, 1.0), (99, 1, 0.01)]
)
def test_bad_items_within_the_share_are_named(good, bad, share):
    items, named = read_all(Reader(), made(good, bad), share)
    assert [item.key for item in items] == [f"{i:05d}" for i in range(bad, good + bad)]
    assert [error.path for error in named] == [f"memory!{i:05d}" for i in range(bad)]


@pytest.mark.parametrize(("good", "bad", "share"), [(999, 1, 0), (998, 2, 0.001), (98, 2, 0.01), (9, 1, 0.01)])
def test_bad_items_past_the_share_stop(good, bad, share):
    message = rf"{bad} of {good + bad:,} files .* more than data\.max_bad_share={share:g} .*memory!00000: holds a zero"
    with pytest.raises(ValueError, match=message) as caught:
        read_all(Reader(), made(good, bad), share)
    allowed = float(str(caught.value).rpartition("=")[2])  # the advice works
    assert len(read_all(Reader(), made(good, bad), allowed)[1]) == bad


def test_nothing_but_bad_items_is_never_allowed():
    with pytest.raises(ValueError, match=r"none of the 5 files can be read: memory!00000: .*; \.\.\.$"):
        read_all(Reader(), made(0, 5), 1.0)
    with pytest.raises(ValueError, match=r"data\.max_bad_share=1\.5: a share"):
        read_all(Reader(), made(1, 0), 1.5)
    assert read_all(Reader(), []) == ([], [])


def test_the_share_counts_over_the_whole_of_which_the_rows_are_a_part():
    before = read_all(Reader(), made(9, 1), 0.1)[1]
    items, bad = read_all(Reader(), made(0, 1), 0.02, before=before, total=100)
    assert (items, len(bad)) == ([], 1)  # none of this part, but others
    with pytest.raises(ValueError, match=r"2 of 100 files \(2\.00%\) .*memory!00000: holds a zero; memory!00000"):
        read_all(Reader(), made(0, 1), 0.01, before=before, total=100)


def test_a_compressed_tar_is_read_in_its_own_order(tmp_path):
    files = {f"{i}.txt": bytes([i + 1]) for i in range(30)}
    rows = open_source(tar_of(tmp_path / "x.tar.gz", files), TXT).rows()
    seen = []

    class Watch(Reader):
        def read(self, file, row):
            seen.append(file.store.position(file.name))
            return super().read(file, row)

    items, _ = read_all(Watch(), rows)
    assert seen == sorted(seen)
    assert [item.key for item in items] == [row.file.name for row in rows]


def test_the_bar_is_shown_for_what_is_slow_only(capsys):
    assert list(track(range(5), "reading", 5)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""
    assert list(track(range(5), "reading", 5, after_s=0.0)) == [0, 1, 2, 3, 4]
    assert "5/5" in capsys.readouterr().err


# Real data.


def test_the_real_archives_are_read_as_they_are(shared_data):
    folder = shared_data / "images"
    signs = [open_source(folder / "sign_digits" / name, (".jpg",)) for name in ("", "sign_digits_64.zip", "labels.csv")]
    rows = signs[0].rows()
    assert len(rows) == 1710
    assert {row.values["label"] for row in rows} == set(range(10))
    assert len({row.values["subject"] for row in rows}) == 184
    assert len({source.fingerprint() for source in signs}) == 1
    assert rows[0].file.read()[:2] == b"\xff\xd8"

    cells = folder / "blood_cells" / "cells_64.zip"
    by_table, by_folder = open_source(cells, (".jpg",)), open_source(cells, (".jpg",), labels="folder")
    words = {"val": "validation", "train": "train"}
    assert {(r.file.name, r.values["label"], words[r.values["split"]]) for r in by_table.rows()} == {
        (r.file.name, r.values["label"], r.values["split"]) for r in by_folder.rows()
    }
    tiles = open_source(folder / "dcss_tiles", (".png",), label_column="category").rows()
    assert len(tiles) == 3727
    assert len({row.values["label"] for row in tiles}) == 8


def test_json_rows_are_objects(tmp_path):
    folder_of(tmp_path, {**TREE, "m.jsonl": json.dumps({"file": "cats/1.txt"}).encode() + b"\n[1]\n"})
    with pytest.raises(ValueError, match=r"m\.jsonl: line 2 is a list; one object per line"):
        open_source(tmp_path, TXT)
    (tmp_path / "m.jsonl").write_text('{"file": "cats/1.txt"}\n{"file": \n')
    with pytest.raises(ValueError, match=r"m\.jsonl: line 2 is not JSON"):
        open_source(tmp_path, TXT)


def test_a_folder_names_the_path_of_its_files(tmp_path):
    folder_of(tmp_path, {"a b/ü.txt": b"1"})
    (row,) = open_source(str(tmp_path), TXT).rows()
    assert row.file == File("a b/ü.txt", Folder(tmp_path))
    assert row.file.location == str(tmp_path / "a b/ü.txt")


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_whose_names_lead_out_of_them_are_refused(tmp_path, kind, name):
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for each in ("good.txt", name):
                archive.writestr(each, "x")
    else:
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for each in ("good.txt", name):
                info = tarfile.TarInfo(each)
                info.size = 1
                archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="holds 1 names that lead out of it"):
        open_source(tmp_path / f"a.{kind}", (".txt",))
