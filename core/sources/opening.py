"""From a path to a source: a folder, an archive, a manifest or one file, with labels by manifest or by subfolder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .manifest import KINDS, Manifest, Value, file_at, is_manifest, need_column, read_manifest
from .source import Listing, Row, Source
from .splitting import SPLITS
from .store import ARCHIVES, File, Folder, Store, archive

LABEL_COLUMNS = ("label", "class")


def open_source(
    root: str | Path, extensions: Sequence[str], labels: str = "auto", label_column: str | None = None
) -> Source:
    """Open a folder, a zip, a tar, a manifest (CSV, TSV, JSON lines) or one file; archives are read in place.

    The files are those with one of the extensions; with a manifest, those that it names. A folder that holds none of
    them and one archive stands for the archive. Folders on top that are all called train, val or test become `split`.

    Args:
        root: path of the folder, archive, manifest or file.
        extensions: endings of the files with their dot, lower case.
        labels: `auto`: a manifest inside the root, or beside an archive, that names its files; else subfolders, where
            every file sits in one; else none. `folder`: subfolders. `none`: no manifest, no label. Else the path of a
            manifest, as it stands or relative to the root.
        label_column: the manifest's column that becomes `label`; None: `label`, else `class`, else no label.

    Raises:
        FileNotFoundError: no such path, or a manifest names files that are not there.
        LookupError: the manifest lacks the label column.
        ValueError: nothing to read, a damaged archive, a manifest that does not fit.
    """
    root = Path(root).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist{_hint(root)}")
    place = _place(root, tuple(extensions))
    if labels in ("none", "folder") and label_column is not None:
        raise ValueError(f"data.label_column={label_column} names a column, and data.labels={labels} reads no manifest")
    manifests = [] if labels in ("none", "folder") else _manifests(place, labels)
    if manifests:
        return _by_manifest(place, manifests, tuple(extensions), label_column)
    if label_column is not None:
        raise LookupError(
            f"{place.store.path} has no manifest, so no column {label_column!r}; give one: data.labels=PATH"
        )
    return _by_name(place, tuple(extensions), labels)


@dataclass(frozen=True)
class _Place:
    """What a root turned out to be: a store, its names, the manifest that was given as root, one single name."""

    root: Path
    store: Store
    names: tuple[str, ...]
    manifest: File | None = None


def _place(root: Path, extensions: tuple[str, ...]) -> _Place:
    if root.is_dir():
        return _folder_place(root, extensions)
    store = archive(root)
    if store is not None:
        return _Place(root, store, tuple(store.names()))
    if is_manifest(file_at(root)):
        inside = _folder_place(root.parent, extensions)
        return _Place(root, inside.store, inside.names, file_at(root))
    if root.name.lower().endswith(extensions):
        return _Place(root, Folder(root.parent), (root.name,))
    if root.name.lower().endswith(KINDS):
        read_manifest(file_at(root)).file_column  # noqa: B018 - raises what is wrong with it
    raise ValueError(
        f"{root} is no folder, archive ({', '.join(ARCHIVES)}), manifest ({', '.join(KINDS)}) or file of this kind "
        f"({', '.join(extensions)})"
    )


def _folder_place(root: Path, extensions: tuple[str, ...]) -> _Place:
    store: Store = Folder(root)
    names = tuple(store.names())
    if not any(_is_data(store, name, extensions) for name in names):
        archives = [name for name in names if "/" not in name and name.lower().endswith(ARCHIVES)]
        if len(archives) > 1:
            raise ValueError(f"{root} holds {len(archives)} archives: give one of them, {' or '.join(archives)}")
        if archives and (inside := archive(root / archives[0])) is not None:
            return _Place(root, inside, tuple(inside.names()))
    return _Place(root, store, names)


def _manifests(place: _Place, labels: str) -> list[Manifest]:
    """The manifests to use: the one that was asked for, or those that name files of the store."""
    if labels != "auto":
        if place.manifest is not None:
            raise ValueError(
                f"{place.root} is a manifest itself: leave out data.labels={labels}, or give its folder as root"
            )
        return [read_manifest(_named_manifest(place, labels))]
    if place.manifest is not None:
        return [read_manifest(place.manifest)]
    files = [File(name, place.store) for name in place.names if name.lower().endswith(KINDS) and name.count("/") < 2]
    if not isinstance(place.store, Folder):
        beside = sorted(place.store.path.parent.iterdir())
        files += [file_at(path) for path in beside if path.is_file() and path.name.lower().endswith(KINDS)]
    elif len(place.names) == 1 and place.root.is_file():
        return []
    found = [read_manifest(file) for file in files if is_manifest(file)]
    fitting = [manifest for manifest in found if manifest.matches(place.store, set(place.names))]
    inside = [manifest for manifest in found if manifest.file.store == place.store]
    if inside and not fitting:
        inside[0].members(place.store, set(place.names))  # raises: none of its files is there
    folders = {str(PurePosixPath(m.file.name).parent) for m in fitting if m.file.store == place.store}
    if len(fitting) > 1 and len(folders) < len(
        fitting
    ):  # several are one table only where each has a folder of its own
        names = " or ".join(manifest.file.name for manifest in fitting)
        raise ValueError(
            f"several tables name files of {place.store.path}: choose data.labels={names}, or data.labels=none"
        )
    return fitting


def _named_manifest(place: _Place, labels: str) -> File:
    if labels in place.names:
        return File(labels, place.store)
    folder = place.root if place.root.is_dir() else place.root.parent
    for path in (Path(labels).expanduser(), folder / labels):
        if path.is_file():
            return file_at(path)
    raise FileNotFoundError(
        f"data.labels={labels}: no such file, neither as it stands nor in {place.root}; or use auto, folder or none"
    )


def _by_manifest(
    place: _Place, manifests: Sequence[Manifest], extensions: tuple[str, ...], label_column: str | None
) -> Source:
    rows: list[Row] = []
    for manifest in manifests:
        column = label_column
        if column is None:
            column = next((name for name in LABEL_COLUMNS if name in manifest.columns), None)
        else:
            need_column(column, manifest.columns, manifest.file.location)
        members = manifest.members(place.store, set(place.names))
        for name, cells in zip(members, manifest.rows, strict=True):
            values = {key: cell for key, cell in cells.items() if key != manifest.file_column}
            if column is not None and column in cells:
                values["label"] = cells[column]
            rows.append(Row(File(name, place.store), values))
    names = [row.file.name for row in rows]
    if not any(name.lower().endswith(extensions) or not PurePosixPath(name).suffix for name in names):
        raise ValueError(f"{manifests[0].file.location} names no file with {', '.join(extensions)}: {_others(names)}")
    words, _ = _split_by_folder(names)
    if words and not any("split" in row.values for row in rows):
        rows = [Row(row.file, {**row.values, "split": word}) for row, word in zip(rows, words, strict=True)]
    tables = ", ".join(manifest.file.name for manifest in manifests)
    return Listing(tuple(rows), _about(place, rows, f"rows of {tables}"))


def _by_name(place: _Place, extensions: tuple[str, ...], labels: str) -> Source:
    names = [name for name in place.names if _is_data(place.store, name, extensions)]
    if not names:
        raise ValueError(f"{place.root} holds no file with {', '.join(extensions)}: {_others(place.names)}")
    words, paths = _split_by_folder(names)
    bare = [name for name, path in zip(names, paths, strict=True) if len(path) == 1]
    if labels == "folder" and bare:
        raise ValueError(
            f"data.labels=folder: {len(bare):,} of {len(names):,} files of {place.root} sit in no subfolder: "
            + ", ".join(bare[:3])
        )
    labelled = labels != "none" and not bare
    rows = []
    for i, name in enumerate(names):
        values: dict[str, Value] = {"label": paths[i][0]} if labelled else {}
        rows.append(Row(File(name, place.store), {**values, "split": words[i]} if words else values))
    classes = f"{len({path[0] for path in paths}):,} classes by subfolder" if labelled else "no labels"
    return Listing(tuple(rows), _about(place, rows, classes))


def _split_by_folder(names: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The part of each file where all lie in folders called train, val, test or the like, and the path below that."""
    paths = [PurePosixPath(name).parts for name in names]
    while len({path[0] for path in paths}) == 1 and paths[0][0].lower() not in SPLITS and min(map(len, paths)) > 2:
        paths = [path[1:] for path in paths]  # one folder around everything is neither a part nor a class
    if not all(len(path) > 1 and path[0].lower() in SPLITS for path in paths):
        return [], paths
    return [SPLITS[path[0].lower()] for path in paths], [path[1:] for path in paths]


def _is_data(store: Store, name: str, extensions: tuple[str, ...]) -> bool:
    return name.lower().endswith(extensions) and not is_manifest(File(name, store))


def _about(place: _Place, rows: Sequence[Row], labels: str) -> str:
    left = len(place.names) - len(rows)
    rest = f"; {left:,} other files left out" if left else ""
    return f"{len(rows):,} files of {place.store.path}, {labels}{rest}"


def _others(names: Sequence[str]) -> str:
    if not names:
        return "it is empty"
    kinds: Mapping[str, int] = Counter(PurePosixPath(name).suffix.lower() or "no extension" for name in names)
    most = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return f"there are {', '.join(f'{count:,} with {kind}' for kind, count in most[:5])}"


def _hint(root: Path) -> str:
    """Name the part of the path that does exist, where that is not the folder of the root."""
    parents = root.absolute().parents
    above = next((parent for parent in parents if parent.exists()), parents[0])
    return "" if above == parents[0] else f" ({above} does, and nothing below it of that name)"
