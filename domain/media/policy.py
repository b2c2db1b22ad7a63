"""What attachments may be and what becomes of them; made from the settings once per turn."""

from __future__ import annotations

from attrs import field, frozen

from openrouter_pipe.ports.files import FetchPolicy

_MIB = 1024 * 1024


class NotSentError(Exception):
    """An attachment cannot be sent; the message says why, to be shown after "… was not sent: "."""


@frozen
class MediaPolicy:
    """Sizes in bytes, times in seconds.

    ``max_inline`` bounds what one attachment may hold when it travels inside the request, ``max_video`` the same for
    videos. ``chunk`` is the read size for host files. ``save_remote_files`` stores what file addresses name,
    ``save_file_data`` what files carry inline. ``fetch`` holds the rules of downloads, their size included.
    ``deadline`` ends the work on all attachments of a turn, ``parallel`` of which are worked on at a time.
    ``max_images`` counts over the whole request; ``max_pixels`` is what one image may unfold to.
    """

    max_inline: int = 50 * _MIB
    max_video: int = 100 * _MIB
    chunk: int = _MIB
    save_remote_files: bool = True
    save_file_data: bool = True
    fetch: FetchPolicy = field(factory=lambda: FetchPolicy(50 * _MIB))
    deadline: float = 180.0
    parallel: int = 3
    max_images: int = 5
    max_pixels: int = 256_000_000

    def limit(self, kind: str) -> int:
        """How many bytes of this kind go along."""
        return self.max_video if kind == "video" else self.max_inline


def megabytes(size: int) -> str:
    """A limit in the words of its setting."""
    return f"{size / _MIB:.0f} MB" if size >= _MIB else f"{size} bytes"
