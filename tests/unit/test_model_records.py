"""What may be written into the host's records of models, and what is an administrator's."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.catalog.records import (
    CAPABILITIES,
    DEFAULT_FILTERS,
    DESCRIPTION,
    FILTERS,
    IMAGE,
    RecordPolicy,
    plan,
)
from openrouter_pipe.ports.catalog import Capabilities, ModelCard
from openrouter_pipe.ports.host_models import HostModel
from openrouter_pipe.ports.json import JsonValue

CARD = ModelCard("a/b", "A: B", description="Says things.", capabilities=Capabilities(tools=True))
ICON, OTHER_ICON = "data:image/png;base64,AAAA", "data:image/png;base64,BBBB"
ALL = RecordPolicy(True, True, True, True, True, search_filter="openrouter_search")
NONE = RecordPolicy(False, False, False, False, False)
ID = "pipe.a.b"


def synced(
    record: HostModel | None = None, card: ModelCard = CARD, policy: RecordPolicy = ALL, icon: str | None = ICON
) -> HostModel:
    """The record after a synchronisation."""
    change = plan(ID, card, record, policy, icon)
    if change is not None:
        return change.model
    assert record is not None
    return record


def edited(record: HostModel, **meta: JsonValue) -> HostModel:
    """What an administrator makes of it."""
    return evolve(record, meta={**record.meta, **meta})


def test_a_new_record_holds_everything() -> None:
    change = plan(ID, CARD, None, ALL, ICON)
    assert change is not None
    assert change.is_new
    assert (change.model.id, change.model.name) == (ID, "A: B")
    meta = change.model.meta
    assert (meta[IMAGE], meta[DESCRIPTION]) == (ICON, "Says things.")
    assert (meta[FILTERS], meta[DEFAULT_FILTERS]) == (["openrouter_search"], ["openrouter_search"])
    assert meta[CAPABILITIES] == {
        "vision": False, "file_upload": True, "web_search": True, "image_generation": False, "code_interpreter": True,
        "citations": True, "status_updates": True, "usage": True,
    }  # fmt: skip


def test_the_second_time_nothing_is_written() -> None:
    assert plan(ID, CARD, synced(), ALL, ICON) is None


def test_everything_off_writes_nothing() -> None:
    assert plan(ID, CARD, None, NONE, ICON) is None
    assert plan(ID, evolve(CARD, name="New"), synced(), NONE, OTHER_ICON) is None


@pytest.mark.parametrize(
    ("policy", "keys"),
    [
        (evolve(NONE, images=True), {IMAGE}),
        (evolve(NONE, descriptions=True), {DESCRIPTION}),
        (evolve(NONE, capabilities=True), {CAPABILITIES}),
        (evolve(NONE, attach_filter=True, search_filter="f"), {FILTERS}),
    ],
)
def test_each_switch_writes_its_own(policy: RecordPolicy, keys: set[str]) -> None:
    assert set(synced(policy=policy).meta) == {*keys, "openrouter_pipe"}


def test_what_the_catalogue_changes_is_followed() -> None:
    card = evolve(CARD, name="A: B2", description="Says more.", capabilities=Capabilities(inputs=frozenset({"image"})))
    record = synced(synced(), card, icon=OTHER_ICON)
    assert (record.name, record.meta[IMAGE], record.meta[DESCRIPTION]) == ("A: B2", OTHER_ICON, "Says more.")
    capabilities = record.meta[CAPABILITIES]
    assert isinstance(capabilities, dict)
    assert (capabilities["vision"], capabilities["web_search"]) == (True, False)


@pytest.mark.parametrize("key", [IMAGE, DESCRIPTION])
@pytest.mark.parametrize("value", ["data:image/png;base64,CCCC", "", None])
def test_an_administrators_text_stays(key: str, value: JsonValue) -> None:
    record = edited(synced(), **{key: value})
    card = evolve(CARD, description="Says more.")
    assert synced(record, card, icon=OTHER_ICON).meta[key] == value


def test_an_administrators_name_stays() -> None:
    record = evolve(synced(), name="Our own B")
    assert synced(record, evolve(CARD, name="A: B2")).name == "Our own B"


def test_an_administrators_check_box_stays_and_the_others_follow() -> None:
    before = synced()
    capabilities = before.meta[CAPABILITIES]
    assert isinstance(capabilities, dict)
    record = edited(before, capabilities={**capabilities, "vision": True, "usage": False, "memory": True})
    after = synced(record, evolve(CARD, capabilities=Capabilities(image_output=True, tools=True))).meta[CAPABILITIES]
    assert isinstance(after, dict)
    assert (after["vision"], after["usage"], after["memory"], after["image_generation"]) == (True, False, True, True)


def test_a_record_that_was_there_before_us_keeps_what_it_says() -> None:
    theirs = HostModel(
        ID, "Mine", {IMAGE: "/mine.png", DESCRIPTION: "Mine.", CAPABILITIES: {"vision": True}, "tags": [1]}
    )
    record = synced(theirs)
    assert record.name == "Mine"
    assert (record.meta[IMAGE], record.meta[DESCRIPTION], record.meta["tags"]) == ("/mine.png", "Mine.", [1])
    capabilities = record.meta[CAPABILITIES]
    assert isinstance(capabilities, dict)
    assert (capabilities["vision"], capabilities["citations"]) == (True, True)


@pytest.mark.parametrize("default", ["/static/favicon.png", "", None])
def test_the_hosts_own_default_icon_is_none(default: JsonValue) -> None:
    assert synced(HostModel(ID, "A: B", {IMAGE: default})).meta[IMAGE] == ICON


def test_a_switch_that_an_administrator_took_off_stays_off() -> None:
    record = edited(synced(), **{FILTERS: ["other"], DEFAULT_FILTERS: []})
    after = synced(record, evolve(CARD, description="Says more."))
    assert (after.meta[FILTERS], after.meta[DEFAULT_FILTERS]) == (["other"], [])


def test_the_default_is_seeded_once() -> None:
    record = edited(synced(), **{DEFAULT_FILTERS: []})
    assert synced(record, evolve(CARD, description="Says more.")).meta[DEFAULT_FILTERS] == []


def test_without_the_default_the_switch_is_off() -> None:
    assert DEFAULT_FILTERS not in synced(policy=evolve(ALL, default_filter=False)).meta


def test_a_model_that_cannot_search_gets_no_switch_and_loses_ours() -> None:
    mute = evolve(CARD, capabilities=Capabilities(text_output=False, image_output=True))
    assert FILTERS not in synced(card=mute).meta
    record = edited(synced(), **{FILTERS: ["other", "openrouter_search"]})
    after = synced(record, mute)
    assert (after.meta[FILTERS], after.meta[DEFAULT_FILTERS]) == (["other"], [])


def test_a_companion_that_is_gone_is_named_nowhere() -> None:
    gone = evolve(ALL, search_filter=None, gone=frozenset({"openrouter_search"}))
    record = edited(synced(), **{FILTERS: ["other", "openrouter_search"]})
    after = synced(record, policy=gone)
    assert (after.meta[FILTERS], after.meta[DEFAULT_FILTERS]) == (["other"], [])
    again = synced(after, policy=evolve(ALL, search_filter="openrouter_search_2"))
    assert again.meta[FILTERS] == ["other", "openrouter_search_2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([IMAGE, DESCRIPTION, CAPABILITIES, FILTERS, DEFAULT_FILTERS, "openrouter_pipe", "tags"])


@given(st.dictionaries(KEYS, JSON))
def test_any_record_is_taken_and_settles_after_one_time(meta: dict[str, JsonValue]) -> None:
    once = synced(HostModel(ID, "x", meta))
    assert plan(ID, CARD, once, ALL, ICON) is None
    assert once.meta.get("tags") == meta.get("tags")


CATALOGUE = st.builds(
    lambda text, sees, searches: (
        evolve(
            CARD,
            name=f"A: {text}",
            description=text,
            capabilities=Capabilities(tools=searches, inputs=frozenset({"text", "image"} if sees else {"text"})),
        ),
        f"data:image/png;base64,{text}",
    ),
    st.sampled_from(["AAAA", "BBBB"]),
    st.booleans(),
    st.booleans(),
)
EDITS = st.sampled_from(
    [
        ("name", "A: AAAA"),
        (IMAGE, "data:image/png;base64,AAAA"),
        (DESCRIPTION, "AAAA"),
        (DESCRIPTION, ""),
        ("vision", True),
        ("vision", False),
        (DEFAULT_FILTERS, []),
    ]
)


def taken_in_hand(record: HostModel, key: str, value: JsonValue) -> HostModel:
    if key == "name":
        return evolve(record, name=str(value))
    if key == "vision":
        capabilities = record.meta[CAPABILITIES]
        assert isinstance(capabilities, dict)
        return edited(record, **{CAPABILITIES: {**capabilities, "vision": value}})
    return edited(record, **{key: value})


def shown(record: HostModel, key: str) -> JsonValue:
    if key == "name":
        return record.name
    capabilities = record.meta[CAPABILITIES]
    assert isinstance(capabilities, dict)
    return capabilities["vision"] if key == "vision" else record.meta.get(key)


@given(CATALOGUE, st.lists(CATALOGUE | EDITS, max_size=8))
def test_an_edit_survives_also_a_catalogue_that_agrees_with_it_for_a_while(
    first: tuple[ModelCard, str], steps: list[tuple[ModelCard, str] | tuple[str, JsonValue]]
) -> None:
    record = synced(card=first[0], icon=first[1])
    theirs: dict[str, JsonValue] = {}
    for one, two in steps:
        if isinstance(one, ModelCard):
            record = synced(record, one, icon=str(two))
        elif one not in theirs and shown(record, one) != two and (two != [] or record.meta.get(one)):
            record = taken_in_hand(record, one, two)
            theirs[one] = two
        assert {key: shown(record, key) for key in theirs} == theirs


def test_a_default_that_was_taken_off_stays_off_when_the_companion_comes_again() -> None:
    record = edited(synced(), **{DEFAULT_FILTERS: []})
    away = synced(record, policy=evolve(ALL, search_filter=None, gone=frozenset({"openrouter_search"})))
    assert away.meta[FILTERS] == []
    back = synced(away)
    assert (back.meta[FILTERS], back.meta[DEFAULT_FILTERS]) == (["openrouter_search"], [])
