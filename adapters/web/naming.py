"""Type and name of a download, from what the server says of it: cleaned, and to be believed by nobody."""

from __future__ import annotations

import re
import unicodedata
from email.message import Message
from typing import Final
from urllib.parse import unquote

UNKNOWN_TYPE: Final = "application/octet-stream"
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")
_MAX_NAME: Final = 120
_MAX_HEADER: Final = 2048


def content_type(header: str) -> str:
    """``type/subtype`` in lower case, without parameters; `UNKNOWN_TYPE` for anything else."""
    kind = header[:_MAX_HEADER].partition(";")[0].strip().lower()
    return kind if _TYPE.fullmatch(kind) else UNKNOWN_TYPE


def file_name(disposition: str, path: str) -> str:
    """The name of Content-Disposition, else the last part of the URL's path; no folders, nothing invisible; may be empty."""
    return _clean(_attached(disposition)) or _clean(
        unquote(path.partition("?")[0].rpartition("/")[2], errors="replace")
    )


def _attached(disposition: str) -> str:
    if not disposition or len(disposition) > _MAX_HEADER:
        return ""
    message = Message()
    try:
        message["content-disposition"] = disposition
        return message.get_filename("") or ""
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""  # the parser of the standard library gives up on some malformed parameters


def _clean(name: str) -> str:
    visible = "".join(char for char in name if unicodedata.category(char)[0] != "C")
    last = visible.replace("\\", "/").rpartition("/")[2].strip(" .")
    stem, dot, ending = last.rpartition(".")
    if len(last) > _MAX_NAME and dot and len(ending) <= 10:
        return stem[: _MAX_NAME - len(ending) - 1] + dot + ending
    return last[:_MAX_NAME]
