"""Images that a model made: stored in the host where it offers a store, else passed on as they are."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import attrs

from openrouter_pipe.domain.media import data_urls, kinds
from openrouter_pipe.domain.media.policy import NotSentError
from openrouter_pipe.domain.streaming.reducer import ImageReady
from openrouter_pipe.ports.chat import ChatEvent, ImageProduced, ItemClosed
from openrouter_pipe.ports.files import FileAccessError, FileBytes, FileStore

_log = logging.getLogger(__name__)

_MOST_BYTES: Final = 256 * 1024 * 1024  # the provider's answer is bounded before; this bounds what is decoded of it
_THREAD_CHARS: Final = 64 * 1024
_STORED: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


async def keep_image(image: ImageReady, files: FileStore | None) -> tuple[ChatEvent, ...]:
    """Store the image and tell where it is.

    Only raster types are stored, by their bytes and not by what is claimed: anything else in the host's own origin could
    run script.
    """
    url = image.item.url or ""
    stored = await _stored(url, files) if files is not None and data_urls.is_data_url(url) else None
    produced = ImageProduced(stored or url)
    if image.index is None:
        return (produced,)
    return (produced, ItemClosed(image.index, attrs.evolve(image.item, url=stored or url, payload={})))


async def _stored(url: str, files: FileStore) -> str | None:
    try:
        content = await asyncio.to_thread(_read, url) if len(url) > _THREAD_CHARS else _read(url)
        saved = await files.save(content)
    except (FileAccessError, NotSentError) as error:
        _log.warning("a generated image is passed on as sent, it could not be stored: %s", str(error))
        return None
    return saved.url


def _read(url: str) -> FileBytes:
    checked = data_urls.check(data_urls.parse(url, _MOST_BYTES))
    media = kinds.sniff(checked.head)
    if media is None or media.mime not in _STORED:
        raise NotSentError("it is not a PNG, JPEG, WebP or GIF image")
    name = f"generated-image{kinds.extension(media.mime)}"
    return FileBytes(data_urls.decode(checked), media.mime, name)
