"""Every key that the artifact cache and queue use; nothing else in Redis is ever read or written by them."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from attrs import frozen

GROUP: Final = "flushers"


@frozen
class Keys:
    """The keys of one pipe in one deployment: ``{pipe}:{host's prefix}:…``.

    The braced part makes all of them share one slot of a Redis cluster, so that scripts can touch several at once.
    """

    pipe_id: str
    prefix: str = "open-webui"

    @property
    def own(self) -> str:
        """What every key starts with."""
        pipe = quote(self.pipe_id, safe="")
        return f"{pipe}:{{{pipe}/{quote(self.prefix, safe='-_.') or 'open-webui'}}}"

    @property
    def base(self) -> str:
        """What the keys of artifacts start with."""
        return f"{self.own}:artifacts"

    def catalog(self, which: str) -> str:
        """A copy of the catalogue (string); ``which`` stands for the provider's address and the account."""
        return f"{self.own}:catalog:{which}"

    def catalog_turn(self, which: str) -> str:
        """Whose turn it is to fetch it (string)."""
        return f"{self.own}:catalog:{which}:turn"

    def clean_up(self, task: str) -> str:
        """Exists since a worker last did this part of the clean-up (string)."""
        return f"{self.own}:clean-up:{task}"

    @property
    def stream(self) -> str:
        """Rows that are not in the database yet (stream)."""
        return f"{self.base}:pending"

    @property
    def rejected(self) -> str:
        """The latest entries that could not be written (stream, at most a hundred)."""
        return f"{self.base}:rejected"

    @property
    def swept(self) -> str:
        """When rows were last deleted without telling which (string, seconds since 1970): older copies do not count."""
        return f"{self.base}:swept"

    def row(self, one: str) -> str:
        """A row (string); without expiry until it is in the database."""
        return f"{self.base}:row:{one}"

    def gone(self, one: str) -> str:
        """Exists when a row was deleted, so that the queue does not bring it back."""
        return f"{self.base}:gone:{one}"

    def generation(self, chat_id: str) -> str:
        """Counts how often a chat was deleted; rows of earlier generations are dead."""
        return f"{self.base}:generation:{quote(chat_id, safe='')}"
