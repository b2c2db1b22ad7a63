"""From where an attachment is to the part that carries it: read or fetched, judged, turned into base64, stored in the host.

Base64 is made piece by piece while bytes arrive, in one growing string: content costs a third more than its size, once.
Not here: what goes along (`judging`), and the order and the limits of a turn's attachments (`resolve`).
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Final, TypeVar

import attrs
from attrs import field, frozen

from openrouter_pipe.domain.media import data_urls, judging
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.domain.media.data_urls import Checked, InlineText
from openrouter_pipe.domain.media.judging import Verdict, judge
from openrouter_pipe.domain.media.kinds import HEAD_BYTES, IMAGE
from openrouter_pipe.domain.media.policy import MediaPolicy, NotSentError, megabytes
from openrouter_pipe.ports.files import FileAccessError, FileBytes, FileStore, RemoteFetcher
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, Part, VideoPart

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_THREAD_CHARS: Final = 64 * 1024
_STEP: Final = 3 * 128 * 1024  # bytes hashed and turned into base64 in one go: about a millisecond


@frozen
class Loaded:
    """A part that can be sent. ``digest`` is the SHA-256 of its content, empty where it travels as an address."""

    part: Part = field(repr=False)
    digest: str = ""


@frozen(eq=False)
class Loader:
    """Loads the attachments of one turn.

    ``store`` and ``fetcher`` may be missing; what needs them is refused then. Raises `NotSentError` or `FileAccessError`.
    """

    store: FileStore | None
    fetcher: RemoteFetcher
    inputs: frozenset[str]
    policy: MediaPolicy

    async def load(self, part: Part, *, keep: bool) -> Loaded:
        """The part as it is sent; with ``keep`` the host stores what it is to store."""
        match part:
            case ImagePart(url=url) | VideoPart(url=url):
                return await self._address(part, url, keep=keep)
            case AudioPart(data=data) if data_urls.is_data_url(data) or data[:8].lower().startswith(
                ("http:", "https:")
            ):
                return await self._address(part, data, keep=keep)
            case AudioPart(data=data):
                return await self._inline(part, InlineText(data, 0, f"audio/{part.format}"), keep=False)
            case FilePart(host_id=str() as file_id):
                return await self._host_file(part, file_id)
            case FilePart(data_url=str() as data) if data_urls.is_data_url(data):
                return await self._address(part, data, keep=keep and self.policy.save_file_data)
            case FilePart(data_url=str() as data):
                return await self._inline(part, InlineText(data), keep=keep and self.policy.save_file_data)
            case FilePart(url=str() as url):
                return await self._address(part, url, keep=keep)
            case _:
                raise NotSentError("it has no content")

    async def _address(self, part: Part, url: str, *, keep: bool) -> Loaded:
        if data_urls.is_data_url(url):
            limit = self._limit(part)
            inline = await _beside(len(url), lambda: data_urls.parse(url, limit))
            return await self._inline(part, inline, keep=keep)
        file_id = self.store.locate(url) if self.store is not None else None
        if file_id is not None:
            return await self._host_file(part, file_id)
        if not url[:8].lower().startswith(("http://", "https://")):
            raise NotSentError("its address is not one that can be read")
        if isinstance(part, VideoPart) or (isinstance(part, FilePart) and not self.policy.save_remote_files):
            return self._as_address(part, url)
        return await self._remote(part, url, keep=keep)

    async def _inline(self, part: Part, inline: InlineText, *, keep: bool) -> Loaded:
        data_urls.bounded(inline, self._limit(part))
        checked = await _beside(len(inline.text), lambda: data_urls.check(inline))
        verdict = self._judge(part, checked.head, checked.inline.mime, _name(part))
        if checked.size > self.policy.limit(verdict.media.kind):
            raise NotSentError(f"it is larger than {megabytes(self.policy.limit(verdict.media.kind))}")
        if keep and (verdict.media.kind == IMAGE or isinstance(part, FilePart)):
            await self._keep_inline(checked, verdict)
        text = await _beside(len(inline.text), lambda: _prefixed(checked.inline, verdict.prefix))
        return Loaded(verdict.build(text), checked.digest)

    async def _host_file(self, part: Part, file_id: str) -> Loaded:
        if self.store is None:
            raise NotSentError("there is no host to read it from")
        limit = max(self.policy.max_inline, self.policy.max_video)
        file = await self.store.read(file_id, limit, self.policy.chunk)
        async with aclosing(file.chunks) as chunks:
            return await self._encode(part, chunks, file.content_type, _name(part) or file.name)

    async def _remote(self, part: Part, url: str, *, keep: bool) -> Loaded:
        key = f"url:{url}"
        stored = await self._kept(key)
        if stored is not None:
            try:
                return await self._host_file(part, stored)
            except FileAccessError:
                keep = False  # the host has a record of it, but its content no more
        judging.refuse_unread(judging.wanted(part) or "pdf", self.inputs)
        limit = min(self.policy.fetch.max_bytes, self._limit(part))
        host_limit = await self.store.limit() if self.store is not None else None
        policy = attrs.evolve(self.policy.fetch, max_bytes=min(limit, host_limit or limit))
        if not keep or self.store is None:
            file = await self.fetcher.stream(url, policy)
            async with aclosing(file.chunks) as chunks:
                return await self._encode(part, chunks, file.content_type, _name(part) or file.name)
        content = await self.fetcher.fetch(url, policy)
        name = _name(part) or content.name
        verdict = self._judge(part, content.data[:HEAD_BYTES], content.content_type, name)
        stored = await self._keep(key, attrs.evolve(content, content_type=verdict.media.mime, name=verdict.name))
        if stored is not None:
            del content  # read again from the host, in pieces, rather than held beside its base64
            return await self._host_file(part, stored)
        claimed, pieces = content.content_type, await _beside(len(content.data), partial(_pieces, content.data))
        del content  # from here on each piece goes as soon as it has been encoded
        return await self._encode(part, _taken(pieces), claimed, name)

    def _as_address(self, part: Part, url: str) -> Loaded:
        """An address that the provider fetches itself: a public one, which says nothing of our network."""
        judging.refuse_unread(judging.wanted(part) or judging.claimed_kind(part) or "pdf", self.inputs)
        OutboundGuard().target(url, attrs.evolve(self.policy.fetch, guard_addresses=True, insecure_hosts=frozenset()))
        return Loaded(part)

    def _judge(self, part: Part, head: bytes, claimed: str, name: str) -> Verdict:
        return judge(part, head, claimed, name, self.inputs, self.policy)

    def _limit(self, part: Part) -> int:
        """The limit before it is known what the content is."""
        if isinstance(part, FilePart):
            return max(self.policy.max_inline, self.policy.max_video)
        return self.policy.limit(judging.wanted(part))

    async def _encode(self, part: Part, chunks: AsyncIterable[bytes], claimed: str, name: str) -> Loaded:
        """Base64 of content that arrives in pieces."""
        text, verdict, limit, size, rest = "", None, 0, 0, b""
        digest = hashlib.sha256()
        async for chunk in _whole_head(chunks):
            if verdict is None:
                verdict = self._judge(part, chunk[:HEAD_BYTES], claimed, name)
                text, limit = verdict.prefix, self.policy.limit(verdict.media.kind)
            size += len(chunk)
            if size > limit:
                raise NotSentError(f"it is larger than {megabytes(limit)}")
            for piece in _cut(chunk):
                digest.update(piece)
                joined = rest + piece
                whole = len(joined) - len(joined) % 3
                rest = joined[whole:]
                # CPython grows a string in place that only one local variable holds; a list would be held beside the result.
                text += binascii.b2a_base64(memoryview(joined)[:whole], newline=False).decode("ascii")
                await asyncio.sleep(0)
        if verdict is None:
            raise NotSentError("it is empty")
        text += binascii.b2a_base64(rest, newline=False).decode("ascii")
        return Loaded(verdict.build(text), digest.hexdigest())

    async def _keep_inline(self, checked: Checked, verdict: Verdict) -> None:
        key = f"sha256:{checked.digest}"
        if await self._kept(key) is None and self.store is not None:
            data = await _beside(checked.size, lambda: data_urls.decode(checked))
            await self._keep(key, FileBytes(data, verdict.media.mime, verdict.name))

    async def _kept(self, key: str) -> str | None:
        if self.store is None:
            return None
        try:
            return await self.store.kept(key)
        except FileAccessError:
            return None

    async def _keep(self, key: str, content: FileBytes) -> str | None:
        """Store once under ``key``; a host that does not store costs the copy, not the attachment."""
        if self.store is None:
            return None
        try:
            return (await self.store.keep(key, content)).id
        except FileAccessError as error:
            _log.warning(
                "an attachment was not stored in the host: %s", str(error)
            )  # not the error, which holds the content
            return None


async def _beside(size: int, work: Callable[[], _T]) -> _T:
    """Do it in a thread if there is much of it."""
    return await asyncio.to_thread(work) if size > _THREAD_CHARS else work()


def _cut(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _STEP] for at in range(0, len(data), _STEP))


def _pieces(data: bytes) -> deque[bytes]:
    return deque(_cut(data))


async def _whole_head(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The same pieces; the first of them is large enough to be judged by, however little came at a time."""
    head: bytes | None = b""
    async for chunk in chunks:
        if head is None:
            yield chunk
            continue
        head += chunk
        if len(head) >= HEAD_BYTES:
            yield head
            head = None
    if head:
        yield head


async def _taken(pieces: deque[bytes]) -> AsyncGenerator[bytes, None]:
    while pieces:
        yield pieces.popleft()


def _prefixed(inline: InlineText, prefix: str) -> str:
    """The base64 behind its prefix; what already reads so is not copied."""
    if len(prefix) == inline.start and inline.text.startswith(prefix):
        return inline.text
    text = prefix
    for piece in inline.pieces():
        text += piece
    return text


def _name(part: Part) -> str:
    match part:
        case FilePart(filename=str() as name) if name:
            return name
        case FilePart(url=str() as url) | ImagePart(url=url) | VideoPart(url=url):
            return judging.name_in(url)
        case _:
            return ""
