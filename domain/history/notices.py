"""What of our own notices inside answers stays in the house when the answer goes back to the provider.

Lives here: taking out whom a notice was shown to. Not here: the notices themselves (ports/templates.py).
"""

from __future__ import annotations

import re
from typing import Final

_WHO: Final = re.compile(
    r"(?P<foot>^- Error ID: `[0-9a-f]{16}`\n(?:- Time: [^\n]*\n)?)(?:- (?:Session|User): [^\n]*(?:\n|\Z))+",
    re.MULTILINE,
)


def without_ids(text: str) -> str:
    """``text`` without the lines in which the foot of a notice of ours names session and user.

    Whether the provider learns these ids is for the SEND settings to say, not for an error of an earlier turn.
    """
    return _WHO.sub(lambda match: match["foot"], text) if "- Error ID: `" in text else text
