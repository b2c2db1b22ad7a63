"""Globs over names of models, as several settings have them: any case, slash or dot spelling."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from fnmatch import translate
from typing import Final

from openrouter_pipe.domain.catalog import ids

_WILD: Final = "*?["


def spellings(model_id: str) -> frozenset[str]:
    """What a glob is compared with: the id with and without preset, with and without each suffix after a colon, in the
    form of `ids.lookup_key`. Suffixes that nobody knows count too: what they change, it is that model."""
    full = ids.lookup_key(model_id)
    name = ids.parse(full).base
    names = {full, name}
    while ":" in name:
        name = name.rpartition(":")[0]
        names.add(name)
    return frozenset(names)


def all_spellings(model_id: str, permanent_slug: str | None = None) -> frozenset[str]:
    """`spellings`, also of the permanent slug, and each without the date of a snapshot and without an alias's tilde."""
    names = spellings(model_id) | (spellings(permanent_slug) if permanent_slug else frozenset())
    bare = names | {name.removeprefix("~") for name in names}
    return bare | {ids.undated(name) for name in bare}


def matches(names: Collection[str], globs: tuple[str, ...]) -> bool:
    """Whether one of the globs, in the form of `ids.lookup_key`, matches one of the names."""
    fits = _pattern(globs).match
    return any(fits(name) for name in names)


@functools.lru_cache(maxsize=1024)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob) for glob in globs) or r"(?!)")


def may_match_vendor(vendor: str, glob: str) -> bool:
    """Whether the glob could match some model of this vendor (lower case), whatever it is called."""
    wild = next((place for place, char in enumerate(glob) if char in _WILD), len(glob))
    literal, start = glob[:wild], f"{vendor}."
    return literal.startswith(start) or (wild < len(glob) and start.startswith(literal))
