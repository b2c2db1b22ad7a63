"""The read-only endpoints: models, key, credits, generations.

What lives here: path and query to a status and a JSON body. Not here: authorization, HTTP, inference.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from openrouter_pipe.adapters.simulator.catalogue import Catalogue, endpoints
from openrouter_pipe.adapters.simulator.record import RequestLog
from openrouter_pipe.adapters.simulator.turn import Turn

Json = dict[str, Any]

PUBLIC = re.compile(r"^/(models(/count|/[^/]+/[^/]+/endpoints)?|model/[^/]+/[^/]+|endpoints/zdr)$")
_ENDPOINTS = re.compile(r"^/models/([^/]+)/([^/]+)/endpoints$")
_MODEL = re.compile(r"^/model/([^/]+)/([^/]+)$")
_CREDITS = {"total_credits": 100.5, "total_usage": 25.75}
_NOT_FOUND = (404, {"error": {"message": "Resource not found", "code": 404}})


def answer(
    path: str, query: Mapping[str, str], catalogue: Catalogue, log: RequestLog, misses: int
) -> tuple[int, Json] | None:
    """Status and body of a GET; None for a path that does not exist."""
    match path:
        case "/models" | "/models/user":
            return _models(path, query, catalogue)
        case "/models/count":
            return 200, {"data": {"count": len(catalogue.select(query))}}
        case "/key":
            return 200, {"data": _key()}
        case "/credits":
            return 200, {"data": dict(_CREDITS)}
        case "/endpoints/zdr":
            listed = [model for model in catalogue.select({}) if not model["id"].endswith(":free")]
            return 200, {"data": [row for model in listed for row in endpoints(model)[:1]]}
        case "/generation":
            row = log.generation(query.get("id", ""), misses)
            return (200, {"data": row}) if row else _NOT_FOUND
    if found := _ENDPOINTS.match(path):
        model = catalogue.get(unquote(f"{found[1]}/{found[2]}"))
        return (200, {"data": _model_endpoints(model)}) if model else _NOT_FOUND
    if found := _MODEL.match(path):
        model = catalogue.get(unquote(f"{found[1]}/{found[2]}"))
        return (200, {"data": model}) if model else _NOT_FOUND
    return None


def _models(path: str, query: Mapping[str, str], catalogue: Catalogue) -> tuple[int, Json]:
    rows = catalogue.select(query)
    total = len(rows)
    following = None
    if "limit" in query or "offset" in query:
        try:
            limit, offset = int(query.get("limit", "500")), int(query.get("offset", "0"))
        except ValueError:
            limit, offset = 0, 0
        if not 1 <= limit <= 1000 or offset < 0:
            issue = '[{"path":["limit"],"message":"limit is 1 to 1000, offset at least 0"}]'
            return 400, {"success": False, "error": {"name": "ZodError", "message": issue}}
        if offset + limit < total:
            following = f"/api/v1{path}?offset={offset + limit}&limit={limit}"
        rows = rows[offset : offset + limit]
    return 200, {"data": rows, "total_count": total, "links": {"next": following}}


def _model_endpoints(model: Json) -> Json:
    kept = {key: model[key] for key in ("id", "name", "created", "description", "architecture")}
    return kept | {"endpoints": endpoints(model)}


def _key() -> Json:
    spent = dict.fromkeys(("usage", "usage_daily", "usage_weekly", "usage_monthly"), 25.5)
    own = dict.fromkeys(("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"), 0)
    return {
        "label": "sk-or-v1-sim...ulated",
        "limit": 100,
        "limit_remaining": 74.5,
        "limit_reset": "monthly",
        **spent,
        **own,
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": "user_simulated",
        "expires_at": None,
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
        "free_model_daily_requests": {"used": 3, "limit": 1000, "remaining": 997},
        "allowed_data_regions": ["global"],
    }


def generation_row(generation_id: str, turn: Turn, model: str, headers: Mapping[str, str], created: int) -> Json:
    """What ``/generation`` tells of a finished generation; token counts are the request's, costs are rough."""
    absent = (
        "upstream_id preset_id provider_responses moderation_latency num_media_completion num_media_prompt "
        "num_input_audio_prompt num_search_results num_fetches web_search_engine upstream_inference_cost "
        "cache_discount app_id workspace_id router request_id response_cache_source_id"
    )
    counted = turn.input_tokens
    return {
        **dict.fromkeys(absent.split()),
        "id": generation_id,
        # The published enumeration has no word for the Responses endpoint.
        "api_type": "completions",
        "session_id": turn.body.get("session_id"),
        "model": model,
        "provider_name": "FakeProvider",
        "created_at": datetime.fromtimestamp(created, UTC).isoformat(),
        "streamed": turn.stream,
        "cancelled": False,
        "finish_reason": "stop",
        "native_finish_reason": "stop",
        "latency": 120,
        "generation_time": 480,
        "tokens_prompt": counted,
        "tokens_completion": 12,
        "native_tokens_prompt": counted,
        "native_tokens_completion": 12,
        "native_tokens_completion_images": 0,
        "native_tokens_reasoning": 0,
        "native_tokens_cached": 0,
        "usage": 0.0001,
        "total_cost": 0.0001,
        "is_byok": False,
        "service_tier": "default",
        "data_region": "global",
        "origin": headers.get("http-referer", ""),
        "http_referer": headers.get("http-referer"),
        "user_agent": headers.get("user-agent"),
        "external_user": turn.body.get("user"),
    }
