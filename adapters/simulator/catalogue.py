"""The catalogue: the tables of ``catalogue_data`` expanded into the provider's ``Model`` and ``PublicEndpoint`` objects.

What lives here: building the models, finding one by a requested id, the list's filters. Not here: HTTP, behaviour.
Source of every field: the provider contract, section 7.1.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from openrouter_pipe.adapters.simulator import catalogue_data as data

Json = dict[str, Any]

ROUTING_SUFFIXES = ("nitro", "floor", "exacto", "online")
_MODALITIES = {"t": "text", "i": "image", "f": "file", "a": "audio", "v": "video", "e": "embeddings"}
_SCENARIO_CREATED = 1_790_000_000
_MONTH = timedelta(days=30)


@frozen
class _Family:
    """One line of the table, split."""

    vendor: str
    slug: str
    name: str
    members: str
    context: str
    output: str
    modalities: str
    prompt: str
    completion: str
    released: str
    reasoning: str
    parameters: str
    variants: str


@frozen
class Catalogue:
    """The models on offer, by id."""

    models: tuple[Json, ...]
    _by_id: Mapping[str, Json] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {model["id"]: model for model in self.models})

    def get(self, model_id: str) -> Json | None:
        """The model of exactly this id."""
        return self._by_id.get(model_id)

    def resolve(self, requested: str) -> Json | None:
        """The model that answers a requested id: routing suffixes and presets are stripped, as the provider does."""
        base, _, _preset = requested.partition("@preset/")
        if not base:
            return self._by_id.get("openrouter/auto")
        found = self._by_id.get(base)
        while found is None and ":" in base:
            base, _, suffix = base.rpartition(":")
            if suffix not in ROUTING_SUFFIXES:
                return None
            found = self._by_id.get(base)
        if found is not None and "alias_target" in found:
            return self._by_id.get(found["alias_target"]["slug"], found)
        return found

    def select(self, query: Mapping[str, str]) -> list[Json]:
        """The list after the provider's filters; by default only models that can answer with text."""
        wanted = query.get("output_modalities", "text")
        rows: Iterable[Json] = self.models
        if wanted != "all":
            outputs = set(wanted.split(","))
            rows = [row for row in rows if outputs & set(row["architecture"]["output_modalities"])]
        if inputs := query.get("input_modalities"):
            rows = [row for row in rows if set(inputs.split(",")) <= set(row["architecture"]["input_modalities"])]
        if parameters := query.get("supported_parameters"):
            rows = [row for row in rows if set(parameters.split(",")) <= set(row["supported_parameters"])]
        if text := query.get("q", "").lower():
            rows = [row for row in rows if text in row["id"] or text in row["name"].lower()]
        ordered = list(rows)
        if query.get("sort") == "newest":
            ordered.sort(key=lambda row: -int(row["created"]))
        return ordered


@lru_cache(maxsize=1)
def default_catalogue() -> Catalogue:
    """Every family, variant, router, alias and scenario model. Built once per process; treat the dicts as read-only."""
    models: dict[str, Json] = {}
    for line in data.FAMILIES.strip().splitlines():
        for model in _family_models(_Family(*line.split("|"))):
            models.setdefault(model["id"], model)
    for alias, target in data.ALIASES.items():
        models[alias] = _alias(alias, models[target])
    for slug, name in data.ROUTERS.items():
        models[f"openrouter/{slug}"] = _router(slug, name)
    for slug, description in data.SCENARIO_MODELS.items():
        models[f"sim/{slug}"] = _scenario_model(slug, description)
    ordered = sorted(
        models.values(), key=lambda model: (model["id"].startswith("sim/"), -model["created"], model["id"])
    )
    return Catalogue(tuple(ordered))


def endpoints(model: Json) -> list[Json]:
    """The ``PublicEndpoint`` objects of a model."""
    _, providers = data.VENDORS.get(model["id"].split("/")[0].lstrip("~"), ("", (("FakeProvider", "fakeprovider"),)))
    rows = []
    for place, (provider, tag) in enumerate(providers):
        quantization = tag.rpartition("/")[2] if tag.endswith(("/fp8", "/bf16")) else None
        rows.append(
            {
                "name": f"{provider} | {model['canonical_slug']}",
                "model_id": model["id"],
                "model_name": model["name"],
                "context_length": model["context_length"] or 4096,
                "pricing": model["pricing"],
                "provider_name": provider,
                "tag": tag,
                "quantization": quantization,
                "max_completion_tokens": model["top_provider"]["max_completion_tokens"],
                "max_prompt_tokens": None,
                "supported_parameters": model["supported_parameters"],
                "status": 0 if place == 0 else -2,
                "uptime_last_5m": 100,
                "uptime_last_30m": 99.8 - place,
                "uptime_last_1d": 99.5 - place,
                "supports_implicit_caching": provider in {"OpenAI", "DeepSeek", "Google"},
                "supports_voice_cloning": False,
                "latency_last_30m": {"p50": 420.0 + 50 * place, "p75": 700.0, "p90": 1300.0, "p99": 4100.0},
                "throughput_last_30m": {"p50": 78.0 - 5 * place, "p75": 60.0, "p90": 41.0, "p99": 12.0},
            }
        )
    return rows


def provider_tags(model: Json) -> set[str]:
    """What ``provider.only`` and ``provider.ignore`` may name for this model: full tags and their base slugs."""
    tags = {row["tag"] for row in endpoints(model)}
    return tags | {tag.split("/")[0] for tag in tags}


def _family_models(family: _Family) -> Iterator[Json]:
    released = datetime.strptime(family.released, "%Y-%m-%d").replace(tzinfo=UTC)
    for place, member in enumerate(family.members.split(",")):
        part, has_name, shown = member.partition("=")
        slug = family.slug.format(part)
        name = family.name.format(shown if has_name else part)
        model = _model(family, f"{family.vendor}/{slug}", name, released + place * _MONTH, 0.75**place)
        yield model
        for variant in filter(None, family.variants.split(",")):
            yield _variant(model, variant)


def _model(family: _Family, model_id: str, name: str, released: datetime, scale: float) -> Json:
    vendor_name = data.VENDORS[family.vendor][0]
    inputs, outputs = ([_MODALITIES[code] for code in side] for side in family.modalities.split(">"))
    context = int(family.context) * 1000
    reasoning = data.REASONING[family.reasoning]
    parameters = set(data.PARAMETERS[family.parameters].split())
    if family.reasoning != "none":
        parameters.add("include_reasoning")
    if reasoning is not None:
        parameters |= {"reasoning", "reasoning_effort"} if reasoning.get("supported_efforts") else {"reasoning"}
    model: Json = {
        "id": model_id,
        "canonical_slug": f"{model_id}-{released:%Y%m%d}",
        "name": f"{vendor_name}: {name}",
        "created": int(released.timestamp()),
        "description": f"{name} by {vendor_name}, as the simulator offers it. [Docs](https://openrouter.ai/{model_id})",
        "context_length": context,
        "hugging_face_id": f"{family.vendor}/{name.replace(' ', '-')}"
        if family.parameters in {"open", "bare"}
        else None,
        "architecture": _architecture(inputs, outputs, _tokenizer(model_id)),
        "pricing": _pricing(family, inputs, scale),
        "top_provider": {
            "context_length": context,
            "max_completion_tokens": int(family.output) * 1000 or None,
            "is_moderated": family.vendor in {"openai", "anthropic"},
        },
        "per_request_limits": None,
        "supported_parameters": sorted(parameters),
        "default_parameters": _default_parameters(family.parameters),
        "expiration_date": "2026-12-31" if released.year < 2024 else None,
        "knowledge_cutoff": f"{released - 6 * _MONTH:%Y-%m-%d}" if released.year >= 2025 else None,
        "supported_voices": ["alloy", "verse"] if "audio" in outputs else None,
        "links": {"details": f"/api/v1/models/{model_id}/endpoints"},
    }
    if reasoning is not None:
        model["reasoning"] = dict(reasoning)
    if released.year >= 2026:
        model["benchmarks"] = {"design_arena": []}
    return model


def _default_parameters(profile: str) -> Json | None:
    if profile in {"old", "image"}:
        return None
    empty = dict.fromkeys(
        ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "repetition_penalty")
    )
    return empty | ({"temperature": 0.7, "top_p": 0.95} if profile == "open" else {})


def _architecture(inputs: list[str], outputs: list[str], tokenizer: str) -> Json:
    return {
        "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": tokenizer,
        "instruct_type": "llama3" if tokenizer == "Llama3" else None,
    }


def _tokenizer(model_id: str) -> str:
    vendor, slug = model_id.split("/", 1)
    if vendor == "google" and slug.startswith("gemma"):
        return "Gemma"
    if vendor == "meta-llama" and slug.startswith("llama-4"):
        return "Llama4"
    return data.TOKENIZERS.get(vendor, "Other")


def _pricing(family: _Family, inputs: list[str], scale: float) -> Json:
    prompt, completion = (float(price) * scale / 1e6 for price in (family.prompt, family.completion))
    pricing: Json = {"prompt": _usd(prompt), "completion": _usd(completion)}
    if "image" in inputs:
        pricing["image"] = _usd(prompt * 258)
    if "audio" in inputs:
        pricing["audio"] = _usd(prompt * 2)
    if family.vendor in {"openai", "anthropic", "x-ai", "google", "perplexity"}:
        pricing["web_search"] = "0.01"
        pricing["input_cache_read"] = _usd(prompt / 10)
    if family.vendor == "anthropic":
        pricing["input_cache_write"] = _usd(prompt * 1.25)
        pricing["input_cache_write_1h"] = _usd(prompt * 2)
    if family.reasoning == "gemini-pro":
        pricing["internal_reasoning"] = pricing["completion"]
        pricing["overrides"] = [
            {"min_prompt_tokens": 200000, "prompt": _usd(prompt * 2), "completion": _usd(completion * 1.5)}
        ]
    if family.vendor == "deepseek" and family.reasoning == "effort-hm":
        pricing["discount"] = 0.25
        pricing["overrides"] = [{"utc_start": 1630, "utc_end": 30, "prompt": _usd(prompt / 2)}]
    if "i" in family.modalities.split(">")[1]:
        pricing["image_output"] = _usd(completion * 1290)
    return pricing


def _usd(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".") or "0"


def _variant(model: Json, variant: str) -> Json:
    """``:free`` costs nothing, ``:thinking`` always reasons, ``:extended`` writes more, ``snapshot`` is dated."""
    if variant == "snapshot":
        day = datetime.fromtimestamp(model["created"], UTC)
        dated = f"{model['id']}-{day:%Y-%m-%d}"
        return model | {"id": dated, "name": f"{model['name']} ({day:%Y-%m-%d})", "links": _links(dated)}
    twin = model | {
        "id": model["id"] + variant,
        "name": f"{model['name']} ({variant[1:]})",
        "links": _links(model["id"] + variant),
    }
    if variant == ":free":
        twin["pricing"] = {"prompt": "0", "completion": "0", "request": "0", "image": "0"}
    if variant == ":thinking":
        twin["reasoning"] = {"mandatory": True, "supported_efforts": None, "supports_max_tokens": True}
        twin["supported_parameters"] = sorted({*model["supported_parameters"], "reasoning", "include_reasoning"})
    if variant == ":extended":
        twin["top_provider"] = model["top_provider"] | {"max_completion_tokens": 64000}
    return twin


def _links(model_id: str) -> Json:
    return {"details": f"/api/v1/models/{model_id}/endpoints"}


def _alias(alias: str, target: Json) -> Json:
    return target | {
        "id": alias,
        "name": f"{target['name']} (latest)",
        "alias_target": {"name": target["name"], "slug": target["id"]},
        "links": _links(alias),
    }


def _router(slug: str, name: str) -> Json:
    model_id = f"openrouter/{slug}"
    price = "0" if slug == "free" else "-1"
    return _bare(model_id, name, "A router: the price depends on the model it picks.", ["text", "image", "file"]) | {
        "pricing": {"prompt": price, "completion": price},
        "architecture": _architecture(["text", "image", "file"], ["text"], "Router") | {"modality": None},
        "context_length": None if slug == "fusion" else 2_000_000,
        "top_provider": {"context_length": None, "max_completion_tokens": None, "is_moderated": False},
        "default_parameters": None,
    }


def _scenario_model(slug: str, description: str) -> Json:
    outputs = ["text", "image"] if slug == "image" else ["text"]
    model = _bare(f"sim/{slug}", f"Simulator: {slug}", description, ["text", "image", "file", "audio", "video"])
    model["architecture"] = _architecture(model["architecture"]["input_modalities"], outputs, "Other")
    model["reasoning"] = {
        "mandatory": False,
        "supported_efforts": None,
        "default_enabled": True,
        "supports_max_tokens": True,
    }
    return model


def _bare(model_id: str, name: str, description: str, inputs: list[str]) -> Json:
    parameters = f"{data.PARAMETERS['open']} parallel_tool_calls reasoning include_reasoning reasoning_effort verbosity"
    return {
        "id": model_id,
        "canonical_slug": model_id,
        "name": name,
        "created": _SCENARIO_CREATED,
        "description": description,
        "context_length": 1_000_000,
        "hugging_face_id": "",
        "architecture": _architecture(inputs, ["text"], "Other"),
        "pricing": {"prompt": "0.000001", "completion": "0.000002"},
        "top_provider": {"context_length": 1_000_000, "max_completion_tokens": 64_000, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": sorted(set(parameters.split())),
        "default_parameters": {},
        "expiration_date": None,
        "knowledge_cutoff": None,
        "supported_voices": None,
        "links": _links(model_id),
    }
