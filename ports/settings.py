"""Every setting: name, type, default, bounds, meaning. This is the only list.

The pydantic valves of the Open WebUI adapter, the environment reader, the command line and the table in docs/valves.md
are derived from `SETTINGS`. Names, defaults and bounds equal those of the pipe that operators run today.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

import attrs
from attrs import frozen

from openrouter_pipe.ports import declaring, templates
from openrouter_pipe.ports.declaring import META
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.setting import Kind, Secret, Setting, SettingError, SettingValue

__all__ = [
    "INHERIT",
    "SETTINGS",
    "SETTINGS_BY_NAME",
    "Kind",
    "Secret",
    "Setting",
    "SettingError",
    "SettingValue",
    "Settings",
    "listed_keys",
    "override",
    "read_settings",
    "secrets_of",
]


@frozen(kw_only=True, cache_hash=True)
class Settings:
    """One consistent set of settings, read at the start of a turn and never changed. Field order is display order.

    ``set_by_user`` names the settings whose values are the user's own.
    """

    # Connection
    BASE_URL: str = declaring.text(
        "https://openrouter.ai/api/v1",
        "Address of the OpenRouter API or of a gateway in front of it.",
        env="OPENROUTER_API_BASE_URL",
    )
    API_KEY: Secret = declaring.secret("Provider key.", env="OPENROUTER_API_KEY")
    HTTP_REFERER_OVERRIDE: str = declaring.text("", "Full URL sent as app attribution instead of the default.")
    HTTP_CONNECT_TIMEOUT_SECONDS: int = declaring.whole(10, 1, None, "Seconds allowed for connecting to OpenRouter.")
    HTTP_TOTAL_TIMEOUT_SECONDS: int | None = declaring.whole_or_none(
        None, 1, None, "Seconds allowed for a whole provider request; null = no limit."
    )
    HTTP_SOCK_READ_SECONDS: int = declaring.whole(
        300, 1, None, "Longest silence on a stream, in seconds, before the answer counts as interrupted."
    )
    DEFAULT_LLM_ENDPOINT: str = declaring.choice(
        "responses/chat_completions", "responses", "Endpoint used unless a model is forced."
    )
    FORCE_CHAT_COMPLETIONS_MODELS: str = declaring.text(
        "",
        "Models always sent to the chat completions endpoint: CSV of globs such as `anthropic/*`, slash or dot spelling.",
    )
    FORCE_RESPONSES_MODELS: str = declaring.text(
        "", "Models always sent to the responses endpoint: CSV of globs; wins over FORCE_CHAT_COMPLETIONS_MODELS."
    )
    AUTO_FALLBACK_CHAT_COMPLETIONS: bool = declaring.boolean(
        True, "Re-run on chat completions when responses is not supported."
    )

    # Downloads and attachments
    REMOTE_DOWNLOAD_MAX_RETRIES: int = declaring.whole(3, 0, 10, "Retries of one download.")
    REMOTE_DOWNLOAD_INITIAL_RETRY_DELAY_SECONDS: int = declaring.whole(
        5, 1, 60, "Seconds before the first retry of a download, doubling after each."
    )
    REMOTE_DOWNLOAD_MAX_RETRY_TIME_SECONDS: int = declaring.whole(
        45, 5, 300, "Seconds that all retries of one download may take together."
    )
    REMOTE_FILE_MAX_SIZE_MB: int = declaring.whole(50, 1, 500, "Largest download, in MB.")
    SAVE_REMOTE_FILE_URLS: bool = declaring.boolean(True, "Store what file_url names in the host.")
    SAVE_FILE_DATA_CONTENT: bool = declaring.boolean(True, "Store what file_data carries in the host.")
    BASE64_MAX_SIZE_MB: int = declaring.whole(50, 1, 500, "Largest inline base64, in MB, checked before decoding.")
    IMAGE_UPLOAD_CHUNK_BYTES: int = declaring.whole(
        1048576, 65536, 8388608, "Bytes read at a time when a file of the host is inlined."
    )
    VIDEO_MAX_SIZE_MB: int = declaring.whole(100, 1, 1000, "Largest inline video, in MB.")
    FALLBACK_STORAGE_EMAIL: str = declaring.text(
        "openrouter-pipe@system.local",
        "E-mail of the account that owns uploads made without a user.",
        env="OPENROUTER_STORAGE_USER_EMAIL",
    )
    FALLBACK_STORAGE_NAME: str = declaring.text(
        "OpenRouter Pipe Storage", "Name of that account.", env="OPENROUTER_STORAGE_USER_NAME"
    )
    FALLBACK_STORAGE_ROLE: str = declaring.text(
        "pending", "Role of that account; never an administrator by default.", env="OPENROUTER_STORAGE_USER_ROLE"
    )
    ENABLE_SSRF_PROTECTION: bool = declaring.boolean(True, "Refuse every address that is not globally reachable.")
    ALLOW_INSECURE_HTTP: bool = declaring.boolean(
        False, "Permit http:// downloads from the hosts in ALLOW_INSECURE_HTTP_HOSTS."
    )
    ALLOW_INSECURE_HTTP_HOSTS: str = declaring.text("", "CSV of exact host names that may be reached by http://.")
    MAX_INPUT_IMAGES_PER_REQUEST: int = declaring.whole(5, 1, 20, "Images sent in one provider request, newest first.")
    IMAGE_INPUT_SELECTION: str = declaring.choice(
        "user_turn_only/user_then_assistant",
        "user_then_assistant",
        "Whether recent images of the assistant stand in when the user attached none.",
    )

    # Models and reasoning
    MODEL_ID: str = declaring.text("auto", "`auto` for every model, or a CSV of the model ids to expose.")
    MODEL_CATALOG_REFRESH_SECONDS: int = declaring.whole(
        3600, 60, None, "Age in seconds at which the catalogue is fetched again."
    )
    FREE_MODEL_FILTER: str = declaring.choice(
        "all/only/exclude", "all", "Expose all models, only those that cost nothing, or only those that cost something."
    )
    TOOL_CALLING_FILTER: str = declaring.choice(
        "all/only/exclude", "all", "Expose all models, only those that can call tools, or only those that cannot."
    )
    UPDATE_MODEL_IMAGES: bool = declaring.boolean(True, "Sync model icons into Open WebUI.")
    UPDATE_MODEL_DESCRIPTIONS: bool = declaring.boolean(False, "Sync model descriptions into Open WebUI.")
    UPDATE_MODEL_CAPABILITIES: bool = declaring.boolean(
        True, "Sync the capability check boxes of models into Open WebUI."
    )
    ENABLE_REASONING: bool = declaring.boolean(True, "Ask for reasoning where the model supports it.", per_user=True)
    THINKING_OUTPUT_MODE: str = declaring.choice(
        "open_webui/status/both",
        "open_webui",
        "Where live thinking shows: in the answer, in the status line, or both.",
        per_user=True,
    )
    ENABLE_ANTHROPIC_INTERLEAVED_THINKING: bool = declaring.boolean(
        True, "Let Claude think between tool calls (sends the interleaved-thinking header).", per_user=True
    )
    ENABLE_ANTHROPIC_PROMPT_CACHING: bool = declaring.boolean(True, "Set prompt-cache breakpoints for Claude models.")
    ANTHROPIC_PROMPT_CACHE_TTL: str = declaring.choice("5m/1h", "5m", "Life time of those cache entries.")
    AUTO_CONTEXT_TRIMMING: bool = declaring.boolean(True, "Let OpenRouter trim over-long prompts.")
    REASONING_EFFORT: str = declaring.choice(
        "none/minimal/low/medium/high/xhigh", "medium", "Reasoning effort when the request names none.", per_user=True
    )
    REASONING_SUMMARY_MODE: str = declaring.choice(
        "auto/concise/detailed/disabled",
        "auto",
        "How detailed reasoning summaries are; disabled asks for none.",
        per_user=True,
    )
    GEMINI_THINKING_LEVEL: str = declaring.choice(
        "auto/low/high", "auto", "Thinking level for Gemini 3; auto follows the effort."
    )
    GEMINI_THINKING_BUDGET: int = declaring.whole(
        1024, 0, 65536, "Base thinking budget in tokens for Gemini 2.5, scaled by the effort; 0 = off."
    )
    PERSIST_REASONING_TOKENS: str = declaring.choice(
        "disabled/next_reply/conversation",
        "conversation",
        "How long reasoning is kept for later turns: not at all, until the next reply, or with the conversation.",
        per_user=True,
        user_default="next_reply",
    )
    TASK_MODEL_REASONING_EFFORT: str = declaring.choice(
        "none/minimal/low/medium/high/xhigh", "low", "Reasoning effort of background tasks (titles, tags, ...)."
    )
    USE_MODEL_MAX_OUTPUT_TOKENS: bool = declaring.boolean(
        False, "Ask for the model's maximum output when the request sets no limit."
    )
    MODEL_RULES: str = declaring.model_rules(
        "Defaults and enforced provider routing by model: a JSON list of rules, see docs/catalogue.md; text that cannot be "
        "read stops every request."
    )

    # Tools
    ENABLE_STRICT_TOOL_CALLING: bool = declaring.boolean(True, "Strict JSON Schema for tools.")
    MAX_FUNCTION_CALL_LOOPS: int = declaring.whole(25, 1, None, "Rounds of model and tools in one turn.")
    MAX_PARALLEL_TOOLS_GLOBAL: int = declaring.whole(200, 1, 2000, "Tools running at once in the process.")
    MAX_PARALLEL_TOOLS_PER_REQUEST: int = declaring.whole(5, 1, 50, "Tools running at once in one turn.")
    TOOL_BATCH_CAP: int = declaring.whole(4, 1, 32, "Calls of one tool that run as one batch.")
    TOOL_TIMEOUT_SECONDS: int = declaring.whole(60, 1, 600, "Seconds allowed for one tool call.")
    TOOL_BATCH_TIMEOUT_SECONDS: int = declaring.whole(120, 1, None, "Seconds allowed for one batch of tool calls.")
    TOOL_IDLE_TIMEOUT_SECONDS: int | None = declaring.whole_or_none(
        None, 1, None, "Longest time in seconds without progress of any tool; null = no limit."
    )
    TOOL_SHUTDOWN_TIMEOUT_SECONDS: float = declaring.real(
        10.0, 0, None, "Seconds allowed for cleaning up tool workers; 0 = cancel at once."
    )
    PERSIST_TOOL_RESULTS: bool = declaring.boolean(
        True, "Keep tool calls and their outputs for later turns.", per_user=True
    )
    TOOL_OUTPUT_RETENTION_TURNS: int = declaring.whole(
        10, 0, None, "Turns before large outputs are pruned on replay; 0 = never."
    )
    WEB_SEARCH_MAX_RESULTS: int | None = declaring.whole_or_none(3, 1, 10, "Results asked of web search.")
    AUTO_ATTACH_ORS_FILTER: bool = declaring.boolean(True, "Attach the search filter to models that can search.")
    AUTO_INSTALL_ORS_FILTER: bool = declaring.boolean(True, "Install and update the search filter.")
    AUTO_DEFAULT_OPENROUTER_SEARCH_FILTER: bool = declaring.boolean(
        True, "Switch the search filter on by default, once."
    )

    # Breakers and admission
    MAX_CONCURRENT_REQUESTS: int = declaring.whole(
        200, 1, 2000, "Turns running at once in the process; up to 1000 more wait."
    )
    BREAKER_MAX_FAILURES: int = declaring.whole(5, 1, 50, "Failures within the window that open a breaker.")
    BREAKER_WINDOW_SECONDS: int = declaring.whole(60, 5, 900, "Seconds over which failures are counted.")
    BREAKER_HISTORY_SIZE: int = declaring.whole(5, 1, 200, "Failures remembered per breaker.")

    # Streaming
    SSE_WORKERS_PER_REQUEST: int = declaring.whole(
        4, 1, 8, "Kept for compatibility; without effect, since events are decoded where they are read."
    )
    STREAMING_CHUNK_QUEUE_MAXSIZE: int = declaring.whole(
        0, 0, None, "Kept for compatibility; without effect, since there is no such queue."
    )
    STREAMING_EVENT_QUEUE_MAXSIZE: int = declaring.whole(
        0, 0, None, "Kept for compatibility; without effect, since there is no such queue."
    )
    STREAMING_EVENT_QUEUE_WARN_SIZE: int = declaring.whole(1000, 100, None, "Backlog of events that logs a warning.")
    STREAMING_DELTA_CHAR_LIMIT: int = declaring.whole(
        256, 0, None, "Characters merged into one update under load; 0 = off."
    )
    STREAMING_IDLE_FLUSH_MS: int = declaring.whole(30, 0, None, "Longest time in milliseconds that text is held back.")
    MIDDLEWARE_STREAM_QUEUE_MAXSIZE: int = declaring.whole(
        0, 0, None, "Kept for compatibility; without effect, since nothing is queued on the way to the host."
    )
    MIDDLEWARE_STREAM_QUEUE_PUT_TIMEOUT_SECONDS: float = declaring.real(
        1.0, 0, None, "Seconds of patience with a host that does not read; 0 = no limit."
    )

    # Persistence
    ARTIFACT_ENCRYPTION_KEY: Secret = declaring.secret(
        "Encrypts stored reasoning and tool results when set; part of the table's name."
    )
    ARTIFACT_ENCRYPTION_PREVIOUS_KEYS: Secret = declaring.secret("Comma-separated older keys, for reading only.")
    ENCRYPT_ALL: bool = declaring.boolean(True, "Encrypt all stored artifacts, or reasoning only.")
    ENABLE_LZ4_COMPRESSION: bool = declaring.boolean(
        True, "Compress artifacts before encryption when that makes them smaller."
    )
    MIN_COMPRESS_BYTES: int = declaring.whole(0, 0, None, "Smallest artifact in bytes worth compressing.")
    ARTIFACT_CLEANUP_DAYS: int = declaring.whole(90, 1, 365, "Days that an artifact is kept after it was last read.")
    ARTIFACT_CLEANUP_INTERVAL_HOURS: float = declaring.real(1.0, 0.5, 24, "Hours between clean-ups.")
    DB_BATCH_SIZE: int = declaring.whole(10, 5, 20, "Rows written in one transaction.")
    ENABLE_REDIS_CACHE: bool = declaring.boolean(True, "Allow Redis where the deployment qualifies.")
    REDIS_CACHE_TTL_SECONDS: int = declaring.whole(600, 60, 3600, "Seconds that artifacts stay in the Redis cache.")
    REDIS_PENDING_WARN_THRESHOLD: int = declaring.whole(100, 1, 10000, "Write-behind backlog that logs a warning.")
    REDIS_FLUSH_FAILURE_LIMIT: int = declaring.whole(5, 1, 50, "Failed flushes before artifacts are written directly.")

    # Telemetry and identifiers
    COSTS_REDIS_DUMP: bool = declaring.boolean(False, "Export a cost snapshot of every provider round to Redis.")
    COSTS_REDIS_TTL_SECONDS: int = declaring.whole(900, 60, 3600, "Seconds that cost snapshots stay in Redis.")
    SEND_END_USER_ID: bool = declaring.boolean(False, "Tell OpenRouter the user's id (user, metadata.user_id).")
    SEND_SESSION_ID: bool = declaring.boolean(
        False, "Tell OpenRouter the session's id (session_id, metadata.session_id)."
    )
    SEND_CHAT_ID: bool = declaring.boolean(False, "Tell OpenRouter the chat's id (metadata.chat_id).")
    SEND_MESSAGE_ID: bool = declaring.boolean(False, "Tell OpenRouter the message's id (metadata.message_id).")
    SHOW_FINAL_USAGE_STATUS: bool = declaring.boolean(
        True, "Show time, speed, cost and tokens in the last status line.", per_user=True
    )
    ENABLE_STATUS_CSS_PATCH: bool = declaring.boolean(
        False, "Kept for compatibility; without effect, since the host renders multi-line statuses today."
    )
    LOG_LEVEL: str = declaring.choice(
        "DEBUG/INFO/WARNING/ERROR/CRITICAL",
        "INFO",
        "Level of this pipe's lines in the log of the host.",
        env="GLOBAL_LOG_LEVEL",
    )

    # Session logs
    SESSION_LOG_STORE_ENABLED: bool = declaring.boolean(False, "Write one encrypted archive of log records per turn.")
    SESSION_LOG_DIR: str = declaring.text("session_logs", "Directory of the archives.")
    SESSION_LOG_ZIP_PASSWORD: Secret = declaring.secret("Password of the archives (AES); without it none are written.")
    SESSION_LOG_RETENTION_DAYS: int = declaring.whole(90, 1, None, "Days that archives are kept, by modification time.")
    SESSION_LOG_CLEANUP_INTERVAL_SECONDS: int = declaring.whole(
        3600, 60, None, "Seconds between clean-ups of archives."
    )
    SESSION_LOG_ZIP_COMPRESSION: str = declaring.choice(
        "stored/deflated/bzip2/lzma", "lzma", "Compression of the archives."
    )
    SESSION_LOG_ZIP_COMPRESSLEVEL: int | None = declaring.whole_or_none(
        None, 0, 9, "Compression level for deflated and bzip2; null = default."
    )
    SESSION_LOG_MAX_LINES: int = declaring.whole(20000, 100, 200000, "Newest log records kept per turn.")
    SESSION_LOG_FORMAT: str = declaring.choice("jsonl/text/both", "jsonl", "Files in the archive.")

    # Support and templates
    SUPPORT_EMAIL: str = declaring.text("", "Support address shown in error messages.")
    SUPPORT_URL: str = declaring.text("", "Support page shown in error messages.")
    OPENROUTER_ERROR_TEMPLATE: str = declaring.template(
        templates.OPENROUTER_ERROR, "Shown when OpenRouter rejects a request."
    )
    AUTHENTICATION_ERROR_TEMPLATE: str = declaring.template(templates.AUTHENTICATION_ERROR, "Shown for 401 and 403.")
    INSUFFICIENT_CREDITS_TEMPLATE: str = declaring.template(templates.INSUFFICIENT_CREDITS, "Shown for 402.")
    RATE_LIMIT_TEMPLATE: str = declaring.template(templates.RATE_LIMIT, "Shown for 429.")
    SERVER_TIMEOUT_TEMPLATE: str = declaring.template(templates.SERVER_TIMEOUT, "Shown for 408.")
    PAYLOAD_TOO_LARGE_TEMPLATE: str = declaring.template(templates.PAYLOAD_TOO_LARGE, "Shown for 413.")
    NETWORK_TIMEOUT_TEMPLATE: str = declaring.template(
        templates.NETWORK_TIMEOUT, "Shown when one of our own time limits was hit."
    )
    CONNECTION_ERROR_TEMPLATE: str = declaring.template(
        templates.CONNECTION_ERROR, "Shown when there is no connection."
    )
    SERVICE_ERROR_TEMPLATE: str = declaring.template(templates.SERVICE_ERROR, "Shown for 5xx.")
    INTERNAL_ERROR_TEMPLATE: str = declaring.template(templates.INTERNAL_ERROR, "Shown for anything unexpected.")
    STREAM_INTERRUPTED_TEMPLATE: str = declaring.template(
        templates.STREAM_INTERRUPTED, "Appended when a stream ended early; the text is kept."
    )
    MAX_FUNCTION_CALL_LOOPS_REACHED_TEMPLATE: str = declaring.template(
        templates.MAX_FUNCTION_CALL_LOOPS_REACHED, "Appended when the limit on tool rounds was reached."
    )
    MODEL_RESTRICTED_TEMPLATE: str = declaring.template(
        templates.MODEL_RESTRICTED, "Shown when a model is not allowed here."
    )

    set_by_user: frozenset[str] = frozenset()


_GROUP_STARTS: Final = {
    "BASE_URL": "Connection",
    "REMOTE_DOWNLOAD_MAX_RETRIES": "Downloads and attachments",
    "MODEL_ID": "Models and reasoning",
    "ENABLE_STRICT_TOOL_CALLING": "Tools",
    "MAX_CONCURRENT_REQUESTS": "Breakers and admission",
    "SSE_WORKERS_PER_REQUEST": "Streaming",
    "ARTIFACT_ENCRYPTION_KEY": "Persistence",
    "COSTS_REDIS_DUMP": "Telemetry and identifiers",
    "SESSION_LOG_STORE_ENABLED": "Session logs",
    "SUPPORT_EMAIL": "Support and templates",
}


def _collect() -> tuple[Setting, ...]:
    settings: list[Setting] = []
    group = ""
    for attribute in attrs.fields(Settings):
        if META not in attribute.metadata:
            continue
        group = _GROUP_STARTS.get(attribute.name, group)
        settings.append(attrs.evolve(attribute.metadata[META], group=group, name=attribute.name))
    return tuple(settings)


SETTINGS: Final[tuple[Setting, ...]] = _collect()
"""Every setting, in display order."""

SETTINGS_BY_NAME: Final[Mapping[str, Setting]] = {setting.name: setting for setting in SETTINGS}
"""The same, by name."""

INHERIT: Final = "inherit"
"""The word (any case) by which a user says "the operator's value holds"."""


def read_settings(values: Mapping[str, JsonValue | Secret], environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from given values, the environment and the defaults, in this order of precedence.

    ``environment`` is consulted for the settings that name a variable; blank variables do not count. Unknown names are
    an error, so that a typing mistake is not silently ignored.

    Raises:
        SettingError: an unknown name or a value out of bounds; names the field and the fix.
    """
    unknown = sorted(set(values) - set(SETTINGS_BY_NAME))
    if unknown:
        raise SettingError(unknown[0], "there is no such setting; docs/valves.md lists them all")
    chosen: dict[str, SettingValue] = {}
    for setting in SETTINGS:
        if setting.name in values:
            chosen[setting.name] = setting.parse(values[setting.name])
        elif setting.env and environment and environment.get(setting.env, "").strip():
            chosen[setting.name] = setting.parse(environment[setting.env].strip())
        else:
            chosen[setting.name] = setting.default
    return _build(chosen)


def override(settings: Settings, user_values: Mapping[str, JsonValue]) -> Settings:
    """Lay a user's own values over the operator's.

    Only per-user settings count; null, blank and ``inherit`` in any case mean unset.

    Raises:
        SettingError: a value out of bounds.
    """
    chosen = {setting.name: getattr(settings, setting.name) for setting in SETTINGS}
    own = set(settings.set_by_user)
    for setting in SETTINGS:
        given = user_values.get(setting.name)
        if not setting.per_user or given is None:
            continue
        if isinstance(given, str) and given.strip().lower() in {"", INHERIT}:
            continue
        chosen[setting.name] = setting.parse(given)
        own.add(setting.name)
    return _build(chosen, frozenset(own))


def listed_keys(listed: Secret) -> tuple[Secret, ...]:
    """Keys separated by commas, or, where one holds a comma or a blank at its ends, a JSON list of texts."""
    text = listed.reveal()
    try:
        keys = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        keys = None
    if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        keys = [key.strip() for key in text.split(",")]
    return tuple(Secret(key) for key in keys if key.strip())


def secrets_of(settings: Settings) -> tuple[Secret, ...]:
    """Every secret that these settings hold, each of several older keys by itself."""
    values = (getattr(settings, setting.name) for setting in SETTINGS if setting.secret)
    found = [value for value in values if isinstance(value, Secret) and value]
    return tuple(dict.fromkeys((*found, *listed_keys(settings.ARTIFACT_ENCRYPTION_PREVIOUS_KEYS))))


def _build(chosen: Mapping[str, SettingValue], set_by_user: frozenset[str] = frozenset()) -> Settings:
    make: Callable[..., Settings] = Settings  # type: ignore[explicit-any]  # the values were typed by Setting.parse
    return make(**chosen, set_by_user=set_by_user)
