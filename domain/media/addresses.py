"""Which addresses may be fetched."""

from __future__ import annotations

from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, WebTarget


class OutboundGuard:
    """`AddressGuard` of the product."""

    def target(self, url: str, policy: FetchPolicy) -> WebTarget:
        """Read and judge a URL."""
        raise FileAccessError("downloads are not available")

    def admits(self, address: str, policy: FetchPolicy) -> bool:
        """Whether a connection to this address may be made."""
        return False
