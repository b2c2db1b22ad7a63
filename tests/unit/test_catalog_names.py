"""Names of models: every spelling finds its model, and every id maps back to exactly itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.catalog import ids
from openrouter_pipe.domain.catalog.catalog import Catalog
from openrouter_pipe.ports.catalog import ModelCard


def card(model_id: str, created: int = 0, canonical: str = "") -> ModelCard:
    return ModelCard(id=model_id, name=model_id, created=created, canonical_slug=canonical)


CATALOG = Catalog(
    [
        card("openai/gpt-4o", canonical="openai/gpt-4o-permanent"),
        card("openai/gpt-4o:free"),
        card("openai/gpt-4o-2024-05-13", 1),
        card("openai/gpt-4o-2024-11-20", 2),
        card("openai/o9-2025-01-01", 10),
        card("openai/o9-2025-06-01", 20),
        card("anthropic/claude-x-20250101", 5),
        card("vendor/family/deep"),
        card("Vendor/CamelCase"),
        card("~anthropic/claude-latest"),
        card("openrouter/auto"),
    ]
)


@pytest.mark.parametrize(
    ("name", "api_id"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai.gpt-4o", "openai/gpt-4o"),
        ("pipe.openai.gpt-4o", "openai/gpt-4o"),
        ("PIPE.OpenAI.GPT-4o", "openai/gpt-4o"),
        ("pipe.openai/gpt-4o", "openai/gpt-4o"),
        ("openai.gpt-4o:free", "openai/gpt-4o:free"),
        ("openai/gpt-4o:nitro", "openai/gpt-4o:nitro"),
        ("openai/gpt-4o:free:online", "openai/gpt-4o:free:online"),
        ("openai.gpt-4o:EXACTO", "openai/gpt-4o:exacto"),
        ("openai/gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai.gpt-4o-2024-11-20:floor", "openai/gpt-4o-2024-11-20:floor"),
        ("openai/o9", "openai/o9-2025-06-01"),
        ("openai/o9:thinking", "openai/o9-2025-06-01:thinking"),
        ("anthropic.claude-x", "anthropic/claude-x-20250101"),
        ("vendor.family.deep", "vendor/family/deep"),
        ("vendor.camelcase", "Vendor/CamelCase"),
        ("~anthropic.claude-latest", "~anthropic/claude-latest"),
        ("openai/gpt-4o@preset/my-slug", "openai/gpt-4o@preset/my-slug"),
        ("pipe.openai.gpt-4o:nitro@preset.My-Slug", "openai/gpt-4o:nitro@preset/My-Slug"),
        ("@preset/alone", "@preset/alone"),
        ("pipe.@preset.alone", "@preset/alone"),
        ("openai/gpt-4o-permanent", "openai/gpt-4o"),
        ("openrouter.auto", "openrouter/auto"),
    ],
)
def test_every_spelling_finds_its_model(name: str, api_id: str) -> None:
    found = CATALOG.resolve(name, "pipe")
    assert found is not None
    assert (found.requested, found.api_id) == (name, api_id)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "pipe.",
        "nobody/nothing",
        "openai/gpt-4o:unknown",
        "openai/gpt-4o-2023-01-01",
        "gpt-4o",
        ":free",
        "@preset/",
        "openai/gpt-4o@preset/",
    ],
)
def test_unknown_names_find_nothing(name: str) -> None:
    assert CATALOG.resolve(name, "pipe") is None


def test_a_pipe_named_like_a_vendor_hides_no_model() -> None:
    for name in ("openrouter.openai.gpt-4o", "openai.gpt-4o", "openrouter.openrouter.auto", "openrouter.auto"):
        assert CATALOG.resolve(name, "openrouter") is not None, name


def test_display_id_and_lookup_key() -> None:
    assert ids.display_id("vendor/a/b") == "vendor.a.b"
    assert ids.lookup_key(" Pipe.Vendor/A ", "pipe") == "vendor.a"
    assert ids.lookup_key("pipe.v.a", "pipe.") == "v.a"
    assert ids.lookup_key("pipeline.v.a", "pipe") == "pipeline.v.a"


SLUGS = st.from_regex(
    r"[a-z]{1,6}/[a-z][a-z0-9]{0,5}(-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}))?(:(free|thinking|beta))?", fullmatch=True
)


@given(st.lists(SLUGS, unique=True, max_size=25), st.sampled_from(["", "pipe", "a", "openai"]))
def test_every_id_maps_back_to_exactly_itself(model_ids: list[str], prefix: str) -> None:
    catalog = Catalog([card(model_id, len(model_id)) for model_id in model_ids])
    for model_id in model_ids:
        for name in (model_id, ids.display_id(model_id), f"pipe.{ids.display_id(model_id)}"):
            found = catalog.resolve(name, "pipe" if name.startswith("pipe.") else "")
            assert found is not None
            assert found.card.id == found.api_id == model_id
    assert [c.id for c in catalog.cards] == model_ids


@given(st.text(max_size=60), st.text(max_size=10))
def test_no_name_breaks_it(name: str, prefix: str) -> None:
    CATALOG.resolve(name, prefix)
