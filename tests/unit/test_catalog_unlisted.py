"""Which model a name means while there is no catalogue, and when nobody can say."""

from __future__ import annotations

import pytest

from openrouter_pipe.adapters.simulator.catalogue import default_catalogue
from openrouter_pipe.domain.catalog.ids import display_id
from openrouter_pipe.domain.catalog.selection import SelectionPolicy
from openrouter_pipe.domain.catalog.unlisted import unlisted

ANY = SelectionPolicy()


@pytest.mark.parametrize("model", default_catalogue().models, ids=lambda model: model["id"])
def test_every_model_of_the_provider_is_found_by_the_name_that_people_see(model: dict) -> None:
    for name in (model["id"], display_id(model["id"]), f"pipe.{display_id(model['id'])}"):
        found = unlisted(name, "pipe", ANY)
        assert found is not None
        assert found.api_id == model["id"]
        assert found.card.capabilities.inputs == {"text"}
        assert not found.card.capabilities.tools


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a.b:online", "a/b:online"),
        ("a/b:free:nitro", "a/b:free:nitro"),
        ("a/b@preset/mine", "a/b@preset/mine"),
        ("@preset/mine", None),
        ("a", None),
        (".b", None),
        ("a.", None),
        ("a/", None),
        ("", None),
    ],
)
def test_names_of_every_form(name: str, sent: str | None) -> None:
    found = unlisted(name, "pipe", ANY)
    assert (None if found is None else found.api_id) == sent


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (ANY, True),
        (SelectionPolicy("auto"), True),
        (SelectionPolicy("x.y, A.B"), True),
        (SelectionPolicy("a/b:free"), False),
        (SelectionPolicy("x/y"), False),
        (SelectionPolicy("a/b", free="only"), False),
        (SelectionPolicy("a/b", free="exclude"), False),
        (SelectionPolicy(tools="only"), False),
        (SelectionPolicy(tools="exclude"), False),
        (SelectionPolicy(tools="garbage"), False),
    ],
)
def test_what_cannot_be_judged_is_refused(policy: SelectionPolicy, allowed: bool) -> None:
    assert (unlisted("a.b", "pipe", policy) is not None) is allowed
