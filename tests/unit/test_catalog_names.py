"""Names of models: every spelling finds its model, and every id maps back to exactly itself."""

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.catalog import ids
from openrouter_pipe.domain.catalog.catalog import Catalog, shown_id
from openrouter_pipe.domain.catalog.selection import SelectionPolicy, exposed
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
        card("cohere/command-08-2024"),
        card("cohere/command-12-2023"),
        card("deep/r1-20241105", 9),
        card("deep/r1-2025-01-20", 3),
        card("deep/chat-0324", 4),
        card("deep/chat-1226", 2),
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
        ("cohere/command", "cohere/command-08-2024"),
        ("cohere.command-12-2023", "cohere/command-12-2023"),
        ("deep/r1", "deep/r1-2025-01-20"),
        ("deep/r1:free", "deep/r1-2025-01-20:free"),
        ("deep.chat", "deep/chat-0324"),
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


def shown(catalog: Catalog) -> dict[str, str]:
    return {c.id: shown_id(c) for c in catalog.cards}


SAME = {
    # ids with the times of their creation -> how each is shown
    "the first by id": ({"a/b.c": 0, "a.b/c": 0}, {"a/b.c": "a/b.c", "a.b/c": "a.b.c"}),
    "the oldest": ({"a/b.c": 1, "a.b/c": 2}, {"a/b.c": "a.b.c", "a.b/c": "a.b/c"}),
    "the oldest of three": (
        {"a/b.c": 3, "a.b/c": 2, "a/b/c": 1},
        {"a/b.c": "a/b.c", "a.b/c": "a.b/c", "a/b/c": "a.b.c"},
    ),
    "its own spelling": ({"a/b.c": 1, "a.b.c": 9}, {"a/b.c": "a/b.c", "a.b.c": "a.b.c"}),
    "letters apart": ({"A/b": 1, "a/B": 2, "a/b": 3}, {"A/b": "A.b", "a/B": "a.B", "a/b": "a.b"}),
    "letters and dots": ({"A/b.c": 3, "a.b/c": 2, "a/b.c": 1}, {"A/b.c": "A.b.c", "a.b/c": "a.b/c", "a/b.c": "a.b.c"}),
    "with variants": (
        {"a/b.c:free": 1, "a.b/c:free": 2, "a/b.c": 4, "a.b/c": 3},
        {"a/b.c:free": "a.b.c:free", "a.b/c:free": "a.b/c:free", "a/b.c": "a/b.c", "a.b/c": "a.b.c"},
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_models_that_look_the_same_are_shown_apart_whatever_their_order(case: str) -> None:
    created, wanted = SAME[case]
    others = ["openai/gpt-4.1", "x/y/z"]
    for model_ids in itertools.permutations(created):
        catalog = Catalog([card(model_id, created.get(model_id, 0)) for model_id in (*model_ids, *others)])
        assert shown(catalog) == {**wanted, "openai/gpt-4.1": "openai.gpt-4.1", "x/y/z": "x.y.z"}
        for model_id, name in wanted.items():
            for spelling in (model_id, name, f"pipe.{name}", f"PIPE.{model_id}", f"pipe.{name}:nitro"):
                found = catalog.resolve(spelling, "pipe")
                assert found is not None
                assert found.card.id == model_id, spelling
                assert found.api_id.removesuffix(":nitro") == model_id


def test_what_is_listed_of_models_that_look_the_same_leads_back_to_them() -> None:
    catalog = Catalog([card("a/b.c", 1), card("a.b/c", 2)])
    wanted = "a/b.c, a.b/c:nitro, a.b/c@preset/mine, a/b.c:floor@preset/p"
    listed = exposed(catalog, SelectionPolicy(model_ids=wanted))
    assert [shown_id(one) for one in listed] == [
        "a.b.c",
        "a.b/c:nitro",
        "a.b/c@preset/mine",
        "a.b.c:floor@preset.p",
    ]
    for one, name in zip(listed, wanted.split(", "), strict=True):
        found = catalog.resolve(f"pipe.{shown_id(one)}", "pipe")
        assert found is not None
        assert found.api_id == one.id == name


def test_a_slash_in_any_case_still_names_the_model_that_is_written_so() -> None:
    catalog = Catalog([card("a/b.c"), card("a.b/c")])
    for name, model_id in {"A/B.C": "a/b.c", "pipe.A.b/C": "a.b/c", "A.B.C": "a.b/c", "a/b/c": "a.b/c"}.items():
        found = catalog.resolve(name, "pipe")
        assert found is not None
        assert found.card.id == model_id, name


ANY_IDS = st.from_regex(r"[aAb./]{1,7}(:free)?", fullmatch=True)


@given(st.lists(st.tuples(ANY_IDS, st.integers(0, 3)), unique_by=lambda pair: pair[0], max_size=12), st.randoms())
def test_every_id_shown_is_unique_and_leads_back_in_any_order(models: list[tuple[str, int]], rng: Random) -> None:
    catalog = Catalog([card(*model) for model in models])
    names = shown(catalog)
    assert len(set(names.values())) == len(models)
    for model_id, name in names.items():
        for spelling in (name, model_id, f"pipe.{name}"):
            found = catalog.resolve(spelling, "pipe")
            assert found is not None
            assert found.api_id == model_id
    rng.shuffle(models)
    assert shown(Catalog([card(*model) for model in models])) == names
