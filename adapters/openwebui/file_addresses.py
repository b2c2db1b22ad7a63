"""Addresses of the host's own files, in every spelling that a message may hold. Not here: whether a user may read them."""

from __future__ import annotations

import os
import re
from typing import Any, Final
from urllib.parse import urlsplit

_ID: Final = r"[0-9A-Za-z_-]{1,128}"
_PATH: Final = re.compile(rf"/api/v1/files/({_ID})(?:/content(?:/[^?#]*)?)?/?(?:[?#].*)?\Z", re.DOTALL)
_BARE: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_IS_ID: Final = re.compile(rf"{_ID}\Z")
_LONGEST: Final = 2048


def is_file_id(value: str) -> bool:
    """Whether this can be the id of a file: no path, no dots, nothing that a file system or a URL would read."""
    return _IS_ID.match(value) is not None


def file_url(file_id: str) -> str:
    """Where the host serves a file's content."""
    return f"/api/v1/files/{file_id}/content"


def locate(address: str, own_hosts: frozenset[str]) -> str | None:
    """The id of the host's file that ``address`` names: a path, a full URL of one of ``own_hosts``, or a bare id."""
    address = address.strip() if len(address) <= _LONGEST else ""
    if _BARE.match(address):
        return address
    if address.startswith("/") and not address.startswith("//"):
        found = _PATH.match(address)
        return found[1] if found else None
    try:
        parts = urlsplit(address)
        if parts.scheme.lower() not in {"http", "https"} or (parts.hostname or "") not in own_hosts:
            return None
    except ValueError:
        return None
    # A host may be served below a path of its own.
    found = _PATH.search(parts.path)
    return found[1] if found else None


def own_hosts(request: Any) -> frozenset[str]:
    """The names under which the host is called, as far as this call and its settings tell."""
    found: set[str] = set()
    headers = getattr(request, "headers", None) or {}
    for candidate in (
        str(getattr(request, "base_url", "") or ""),
        str(headers.get("origin") or "") if hasattr(headers, "get") else "",
        os.environ.get("WEBUI_URL", ""),
    ):
        try:
            found.add(urlsplit(candidate).hostname or "")
        except ValueError:
            continue
    return frozenset(found - {""})
