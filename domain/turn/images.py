"""Images that a model made: stored in the host where it offers a store, else passed on as they are."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from typing import Final

import attrs

from openrouter_pipe.domain.streaming.reducer import ImageReady
from openrouter_pipe.ports.chat import ChatEvent, ImageProduced, ItemClosed
from openrouter_pipe.ports.files import FileAccessError, FileBytes, FileStore

_log = logging.getLogger(__name__)

_THREAD_CHARS: Final = 64 * 1024
_EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


async def keep_image(image: ImageReady, files: FileStore | None) -> tuple[ChatEvent, ...]:
    """Store the image and tell where it is.

    Only raster types are stored: anything else in the host's own origin could run script.
    """
    url = image.item.url or ""
    stored = await _stored(url, files) if files is not None and url.startswith("data:") else None
    produced = ImageProduced(stored or url)
    if image.index is None:
        return (produced,)
    return (produced, ItemClosed(image.index, attrs.evolve(image.item, url=stored or url, payload={})))


async def _stored(url: str, files: FileStore) -> str | None:
    head, _, body = url[len("data:") :].partition(",")
    kind, *flags = (word.strip().lower() for word in head.split(";"))
    extension = _EXTENSIONS.get(kind)
    if extension is None or "base64" not in flags:
        _log.warning("a generated image of type %r cannot be stored and is passed on as sent", kind[:40])
        return None
    try:
        data = await asyncio.to_thread(_decode, body) if len(body) > _THREAD_CHARS else _decode(body)
        saved = await files.save(FileBytes(data, kind, f"generated-image.{extension}"))
    except (FileAccessError, binascii.Error, ValueError) as error:
        _log.warning("a generated image could not be stored: %s", type(error).__name__)
        return None
    return saved.url


def _decode(body: str) -> bytes:
    return base64.b64decode(body, validate=True)
