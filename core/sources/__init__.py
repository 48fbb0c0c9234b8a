"""The way of the data up to items: folder, zip, tar, manifest -> files and rows -> parts -> items."""

from .cache import Cache
from .manifest import file_at
from .opening import open_source
from .reading import read_all, track
from .source import Listing, Row, Source
from .splitting import split
from .store import File, Folder, Memory, Store, Tar, Zip
from .text import as_text

__all__ = [
    "Cache",
    "File",
    "Folder",
    "Listing",
    "Memory",
    "Row",
    "Source",
    "Store",
    "Tar",
    "Zip",
    "as_text",
    "file_at",
    "open_source",
    "read_all",
    "split",
    "track",
]
