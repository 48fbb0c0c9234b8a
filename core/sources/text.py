"""Files of text as people have them."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


def as_text(content: bytes) -> str:
    """Text in UTF-8, UTF-16 with a mark, or Windows-1252, its lines ended by a line feed.

    Raises:
        ValueError: it is none of these.
    """
    codings = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for coding in codings:
        try:
            text = content.decode(coding)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text):
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise ValueError("is not text in UTF-8, UTF-16 or Windows-1252")
