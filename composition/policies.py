"""Settings become policies here: each module of the domain gets the frozen values it obeys, fresh for every turn."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from openrouter_pipe.domain.admission import AdmissionPolicy
from openrouter_pipe.domain.breakers import BreakerPolicy
from openrouter_pipe.domain.catalog.routing import EndpointPolicy
from openrouter_pipe.domain.catalog.selection import SelectionPolicy
from openrouter_pipe.domain.clean_up import CleanUpPolicy
from openrouter_pipe.domain.errors.policy import ErrorPolicy
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.domain.media.policy import MediaPolicy
from openrouter_pipe.domain.policies import StreamingPolicy, TurnPolicies
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.rules import ModelRules
from openrouter_pipe.domain.tools.policy import ToolPolicy
from openrouter_pipe.ports.artifacts import StorePolicy
from openrouter_pipe.ports.files import FetchPolicy
from openrouter_pipe.ports.model_rules import ModelRulesError, parse_model_rules
from openrouter_pipe.ports.provider import Connection, Endpoint
from openrouter_pipe.ports.settings import SETTINGS, Kind, SettingError, Settings, listed_keys, secrets_of

_log: Final = logging.getLogger(__name__)

APP_TITLE: Final = "openrouter-pipe"
"""The name under which requests are attributed."""

APP_REFERER: Final = "https://github.com/openrouter-pipe/openrouter-pipe"
"""The address under which requests are attributed unless HTTP_REFERER_OVERRIDE names another."""


_ONE_DOWNLOAD: Final = 135.0
"""Seconds that one download may take on top of all its retries."""


_THINKING: Final = {"open_webui": "boxes"}
"""The one value of THINKING_OUTPUT_MODE that has another name inside."""


def connection(settings: Settings) -> Connection:
    """Where and how to reach OpenRouter."""
    return Connection(
        base_url=settings.BASE_URL,
        api_key=settings.API_KEY,
        referer=referer(settings.HTTP_REFERER_OVERRIDE),
        title=APP_TITLE,
        connect_timeout=settings.HTTP_CONNECT_TIMEOUT_SECONDS,
        read_timeout=settings.HTTP_SOCK_READ_SECONDS,
        total_timeout=settings.HTTP_TOTAL_TIMEOUT_SECONDS,
        event_queue_warn_size=settings.STREAMING_EVENT_QUEUE_WARN_SIZE,
    )


def referer(override: str) -> str:
    """The operator's attribution address when it is a full http(s) URL, else ours."""
    candidate = override.strip()
    if is_full_url(candidate):
        return candidate
    if candidate:
        _warn_of_referer(candidate)
    return APP_REFERER


@functools.lru_cache(maxsize=64)
def _warn_of_referer(candidate: str) -> None:
    """Once for each value: the setting is read at every turn."""
    _log.warning("HTTP_REFERER_OVERRIDE is not a full http(s) URL and is not sent: %r", candidate[:200])


def is_full_url(text: str) -> bool:
    """Whether ``text`` is an absolute http(s) URL fit for a header."""
    if not text.isascii() or any(char <= " " or char == "\x7f" for char in text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def store_policy(settings: Settings, pipe_id: str) -> StorePolicy:
    """How artifacts are kept for this pipe."""
    return StorePolicy(
        pipe_id=pipe_id,
        key=settings.ARTIFACT_ENCRYPTION_KEY,
        previous_keys=listed_keys(settings.ARTIFACT_ENCRYPTION_PREVIOUS_KEYS),
        encrypt_all=settings.ENCRYPT_ALL,
        compress=settings.ENABLE_LZ4_COMPRESSION,
        min_compress_bytes=settings.MIN_COMPRESS_BYTES,
        batch_size=settings.DB_BATCH_SIZE,
    )


def fetch_policy(settings: Settings) -> FetchPolicy:
    """How files are downloaded; `attrs.evolve` it for another limit than REMOTE_FILE_MAX_SIZE_MB."""
    hosts = settings.ALLOW_INSECURE_HTTP_HOSTS.split(",") if settings.ALLOW_INSECURE_HTTP else []
    return FetchPolicy(
        max_bytes=settings.REMOTE_FILE_MAX_SIZE_MB * 1024 * 1024,
        guard_addresses=settings.ENABLE_SSRF_PROTECTION,
        insecure_hosts=frozenset(host.strip().lower() for host in hosts if host.strip()),
        max_retries=settings.REMOTE_DOWNLOAD_MAX_RETRIES,
        first_retry_delay=settings.REMOTE_DOWNLOAD_INITIAL_RETRY_DELAY_SECONDS,
        max_retry_time=settings.REMOTE_DOWNLOAD_MAX_RETRY_TIME_SECONDS,
        max_time=settings.REMOTE_DOWNLOAD_MAX_RETRY_TIME_SECONDS + _ONE_DOWNLOAD,
    )


def media_policy(settings: Settings) -> MediaPolicy:
    """What attachments may be."""
    return MediaPolicy(
        max_inline=settings.BASE64_MAX_SIZE_MB * 1024 * 1024,
        max_video=settings.VIDEO_MAX_SIZE_MB * 1024 * 1024,
        chunk=settings.IMAGE_UPLOAD_CHUNK_BYTES,
        save_remote_files=settings.SAVE_REMOTE_FILE_URLS,
        save_file_data=settings.SAVE_FILE_DATA_CONTENT,
        fetch=fetch_policy(settings),
        max_images=settings.MAX_INPUT_IMAGES_PER_REQUEST,
    )


def clean_up_policy(settings: Settings, pipe_id: str) -> CleanUpPolicy:
    """When artifacts are deleted."""
    return CleanUpPolicy(
        interval=settings.ARTIFACT_CLEANUP_INTERVAL_HOURS * 3600,
        keep=timedelta(days=settings.ARTIFACT_CLEANUP_DAYS),
        store=store_policy(settings, pipe_id),
    )


@functools.lru_cache(maxsize=128)
def turn_policies(settings: Settings, pipe_id: str = "openrouter") -> TurnPolicies:
    """All policies of one turn; made once for the same settings."""
    return TurnPolicies(
        connection=connection(settings),
        catalog_refresh_seconds=settings.MODEL_CATALOG_REFRESH_SECONDS,
        selection=SelectionPolicy(
            settings.MODEL_ID, settings.FREE_MODEL_FILTER, settings.TOOL_CALLING_FILTER, host_prefix=pipe_id
        ),
        endpoint=EndpointPolicy(
            Endpoint(settings.DEFAULT_LLM_ENDPOINT),
            settings.FORCE_CHAT_COMPLETIONS_MODELS,
            settings.FORCE_RESPONSES_MODELS,
            settings.AUTO_FALLBACK_CHAT_COMPLETIONS,
        ),
        shaping=shaping_policy(settings),
        history=HistoryPolicy(
            tool_output_retention_turns=settings.TOOL_OUTPUT_RETENTION_TURNS,
            max_input_images=settings.MAX_INPUT_IMAGES_PER_REQUEST,
            image_input_selection=settings.IMAGE_INPUT_SELECTION,
            persist_reasoning=settings.PERSIST_REASONING_TOKENS,
            persist_tool_results=settings.PERSIST_TOOL_RESULTS,
        ),
        media=media_policy(settings),
        tools=tool_policy(settings),
        admission=AdmissionPolicy(settings.MAX_CONCURRENT_REQUESTS),
        breaker=BreakerPolicy(
            settings.BREAKER_MAX_FAILURES, settings.BREAKER_WINDOW_SECONDS, settings.BREAKER_HISTORY_SIZE
        ),
        store=store_policy(settings, pipe_id),
        errors=ErrorPolicy(
            templates={
                setting.name: str(getattr(settings, setting.name) or setting.default)
                for setting in SETTINGS
                if setting.kind is Kind.TEMPLATE
            },
            support_email=settings.SUPPORT_EMAIL,
            support_url=settings.SUPPORT_URL,
        ),
        streaming=StreamingPolicy(
            delta_char_limit=settings.STREAMING_DELTA_CHAR_LIMIT,
            idle_flush_seconds=settings.STREAMING_IDLE_FLUSH_MS / 1000,
            thinking_output_mode=_THINKING.get(settings.THINKING_OUTPUT_MODE, settings.THINKING_OUTPUT_MODE),
            show_final_usage_status=settings.SHOW_FINAL_USAGE_STATUS,
        ),
    )


@functools.lru_cache(maxsize=128)
def log_redaction(settings: Settings) -> Callable[[str], str]:
    """How log lines are redacted: everything that errors hide, and e-mail addresses anywhere."""
    return Redactor(secrets_of(settings), all_emails=True).text


def shaping_policy(settings: Settings) -> ShapingPolicy:
    """How requests are shaped."""
    return ShapingPolicy(
        enable_reasoning=settings.ENABLE_REASONING,
        reasoning_effort=settings.REASONING_EFFORT,
        reasoning_summary_mode=settings.REASONING_SUMMARY_MODE,
        gemini_thinking_level=settings.GEMINI_THINKING_LEVEL,
        gemini_thinking_budget=settings.GEMINI_THINKING_BUDGET,
        enable_anthropic_interleaved_thinking=settings.ENABLE_ANTHROPIC_INTERLEAVED_THINKING,
        enable_anthropic_prompt_caching=settings.ENABLE_ANTHROPIC_PROMPT_CACHING,
        anthropic_prompt_cache_ttl=settings.ANTHROPIC_PROMPT_CACHE_TTL,
        auto_context_trimming=settings.AUTO_CONTEXT_TRIMMING,
        use_model_max_output_tokens=settings.USE_MODEL_MAX_OUTPUT_TOKENS,
        task_model_reasoning_effort=settings.TASK_MODEL_REASONING_EFFORT,
        send_end_user_id=settings.SEND_END_USER_ID,
        send_session_id=settings.SEND_SESSION_ID,
        send_chat_id=settings.SEND_CHAT_ID,
        send_message_id=settings.SEND_MESSAGE_ID,
        web_search_max_results=settings.WEB_SEARCH_MAX_RESULTS,
        rules=model_rules(settings),
    )


def model_rules(settings: Settings) -> ModelRules:
    """The rules by model; raises `SettingError` for text that cannot be read, so that nothing leaves without them."""
    try:
        return ModelRules(parse_model_rules(settings.MODEL_RULES))
    except ModelRulesError as problem:
        raise SettingError("MODEL_RULES", str(problem)) from None


def tool_policy(settings: Settings) -> ToolPolicy:
    """How tools are run."""
    return ToolPolicy(
        max_loops=settings.MAX_FUNCTION_CALL_LOOPS,
        max_parallel_global=settings.MAX_PARALLEL_TOOLS_GLOBAL,
        max_parallel_per_request=settings.MAX_PARALLEL_TOOLS_PER_REQUEST,
        batch_cap=settings.TOOL_BATCH_CAP,
        timeout=settings.TOOL_TIMEOUT_SECONDS,
        batch_timeout=settings.TOOL_BATCH_TIMEOUT_SECONDS,
        idle_timeout=settings.TOOL_IDLE_TIMEOUT_SECONDS,
        shutdown_timeout=settings.TOOL_SHUTDOWN_TIMEOUT_SECONDS,
        strict=settings.ENABLE_STRICT_TOOL_CALLING,
    )
