"""What a model's record in the host should say, and what of it may be written.

The rule: an administrator's word counts. We remember in the record itself what we wrote last (`MEMORY`); a field is written
when it is unset or still holds what we wrote, and never otherwise. What an administrator takes away stays away.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from attrs import frozen

from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.host_models import HostModel
from openrouter_pipe.ports.json import JsonObject, JsonValue

MEMORY: Final = "openrouter_pipe"
"""The entry in a record's meta that holds what we wrote last."""
IMAGE: Final = "profile_image_url"
DESCRIPTION: Final = "description"
CAPABILITIES: Final = "capabilities"
FILTERS: Final = "filterIds"
DEFAULT_FILTERS: Final = "defaultFilterIds"
LONGEST_DESCRIPTION: Final = 4_000
_UNSET: Final[tuple[JsonValue, ...]] = (None, "", "/static/favicon.png", "/favicon.png")


@frozen
class RecordPolicy:
    """What is synchronised. ``search_filter`` is the id of the installed companion, None when there is none;
    ``gone`` are ids of companions that no longer exist and must not be named any more."""

    images: bool
    descriptions: bool
    capabilities: bool
    attach_filter: bool
    default_filter: bool
    search_filter: str | None = None
    gone: frozenset[str] = frozenset()

    @property
    def writes(self) -> bool:
        """Whether anything is synchronised at all."""
        return self.images or self.descriptions or self.capabilities or self.attach_filter or self.default_filter


@frozen
class Change:
    """One record to write. ``fields`` names what changes, for people; ``is_new`` tells a new record."""

    model: HostModel
    fields: tuple[str, ...]
    is_new: bool


def capabilities_of(card: ModelCard) -> dict[str, JsonValue]:
    """The host's check boxes: the first five by what the model can do, the rest because the pipe delivers them.

    Files are always accepted: the host or the platform reads documents for models that cannot.
    """
    able = card.capabilities
    return {
        "vision": "image" in able.inputs,
        "file_upload": True,
        "web_search": can_search(card),
        "image_generation": able.image_output,
        "code_interpreter": able.text_output,
        "citations": True,
        "status_updates": True,
        "usage": True,
    }


def can_search(card: ModelCard) -> bool:
    """Whether a web search can be attached to requests for this model."""
    return card.capabilities.text_output and (card.capabilities.tools or card.capabilities.web_search)


def plan(
    model_id: str, card: ModelCard, record: HostModel | None, policy: RecordPolicy, icon: str | None = None
) -> Change | None:
    """The record as it should be; None when nothing changes. ``icon`` is a data URL, None if there is none."""
    if not policy.writes:
        return None
    draft = _Draft(record or HostModel(model_id, card.name), is_new=record is None)
    draft.name(card.name)
    if policy.images and icon:
        draft.field(IMAGE, icon)
    if policy.descriptions and card.description:
        draft.field(DESCRIPTION, card.description[:LONGEST_DESCRIPTION])
    if policy.capabilities:
        draft.capabilities(capabilities_of(card))
    draft.forget(policy.gone)
    if policy.search_filter is not None:
        draft.filter(policy.search_filter, attach=policy.attach_filter and can_search(card), policy=policy)
    return draft.change()


def cleared(record: HostModel, policy: RecordPolicy) -> Change | None:
    """A record of ours whose model is not on offer: it is left as it is, but names no companion that is gone."""
    if not policy.writes:
        return None
    draft = _Draft(record, is_new=False)
    draft.forget(policy.gone)
    return draft.change()


class _Draft:
    """A record on its way; remembers what it writes."""

    def __init__(self, record: HostModel, *, is_new: bool) -> None:
        self._record = record
        self._is_new = is_new
        self._name = record.name
        self._meta: dict[str, JsonValue] = dict(record.meta)
        self._memory = dict(_mapping(record.meta.get(MEMORY)))
        self._fields: list[str] = []

    def name(self, name: str) -> None:
        """The catalogue's name, unless somebody chose another; the host shows the record's."""
        if not self._is_new and self._name != name and self._memory.get("name") == _digest(self._name):
            self._name = name
            self._memory["name"] = _digest(name)
            self._fields.append("name")
        if self._name == name:
            self._memory.setdefault("name", _digest(name))

    def field(self, key: str, wanted: str) -> None:
        """One text."""
        present = self._meta.get(key)
        if present == wanted:
            # Where we have written something else, it is the administrator's, though it reads the same for now.
            self._memory.setdefault(key, _digest(wanted))
        elif (present in _UNSET and key not in self._memory) or self._memory.get(key) == _digest(present):
            self._meta[key] = wanted
            self._memory[key] = _digest(wanted)
            self._fields.append(key)

    def capabilities(self, wanted: Mapping[str, JsonValue]) -> None:
        """The check boxes, each for itself."""
        present = dict(_mapping(self._meta.get(CAPABILITIES)))
        written = dict(_mapping(self._memory.get(CAPABILITIES)))
        for key, value in wanted.items():
            if present.get(key) == value:
                written.setdefault(key, value)
            elif (key not in present and key not in written) or (key in written and present.get(key) == written[key]):
                present[key] = written[key] = value
                self._fields.append(key)
        self._meta[CAPABILITIES] = present
        self._memory[CAPABILITIES] = written

    def filter(self, filter_id: str, *, attach: bool, policy: RecordPolicy) -> None:
        """The search switch: attached once, seeded as a default once."""
        attached = _texts(self._meta.get(FILTERS))
        was = self._memory.get("filter") == filter_id
        if attach and filter_id not in attached and not was:
            self._meta[FILTERS] = [*attached, filter_id]
            self._fields.append("search filter")
        elif not attach and policy.attach_filter and was and filter_id in attached:
            self._meta[FILTERS] = [one for one in attached if one != filter_id]
            self._drop_default(filter_id)
            self._memory.pop("filter", None)
            self._fields.append("search filter")
        if attach:
            self._memory["filter"] = filter_id
        defaults = _texts(self._meta.get(DEFAULT_FILTERS))
        if policy.default_filter and filter_id in _texts(self._meta.get(FILTERS)) and "default" not in self._memory:
            if filter_id not in defaults:
                self._meta[DEFAULT_FILTERS] = [*defaults, filter_id]
                self._fields.append("search by default")
            self._memory["default"] = True

    def forget(self, gone: frozenset[str]) -> None:
        """Ids of companions that no longer exist: the host may refuse to start with them.

        What an administrator took away before stays remembered, for the day on which the companion is there again.
        """
        named_by = {
            memory: self._memory.get("filter") in _texts(self._meta.get(key))
            for key, memory in ((FILTERS, "filter"), (DEFAULT_FILTERS, "default"))
        }
        for key in (FILTERS, DEFAULT_FILTERS):
            named = _texts(self._meta.get(key))
            if gone.intersection(named):
                self._meta[key] = [one for one in named if one not in gone]
                self._fields.append("removed search filter")
        if self._memory.get("filter") in gone:
            for memory in [memory for memory, named in named_by.items() if named]:
                self._memory.pop(memory, None)

    def change(self) -> Change | None:
        """What is to be written; nothing where only our memory would change."""
        if not self._fields and not self._is_new:
            return None
        self._meta[MEMORY] = self._memory
        record = HostModel(self._record.id, self._name, self._meta)
        return Change(record, tuple(dict.fromkeys(self._fields)), self._is_new)

    def _drop_default(self, filter_id: str) -> None:
        defaults = _texts(self._meta.get(DEFAULT_FILTERS))
        if filter_id in defaults:
            self._meta[DEFAULT_FILTERS] = [one for one in defaults if one != filter_id]
            self._memory.pop("default", None)


def _digest(value: JsonValue) -> str:
    return sha256(value.encode(errors="replace")).hexdigest()[:16] if isinstance(value, str) else ""


def _mapping(value: JsonValue) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _texts(value: JsonValue) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []
