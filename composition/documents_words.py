"""What the generated tables say beside what the code tells: meanings and conditions, by the code's own names.

A name that is missing here, or that the code does not have, fails the table (`composition.documents_tables.worded`).
Numbers do not stand here: `{place}` is replaced by the constant that `composition.documents_limits` finds there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ERROR_CODES: Final[Mapping[str, str]] = {
    "authentication": "Key missing, refused, not permitted, or at its own limit",
    "insufficient_credits": "Credits of account or key do not suffice",
    "server_timeout": "OpenRouter gave up waiting",
    "payload_too_large": "Too many or too large attachments",
    "rate_limit": "Limit of OpenRouter or of the upstream provider",
    "openrouter_error": "Request rejected: moderation and routing (also with 403), no endpoint, limits of the model, invalid",
    "service_error": "OpenRouter or the provider has a problem, or its answer cannot be read (502)",
    "network_timeout": "Our own time limits, before anything was shown",
    "connection_error": "Refused, reset, DNS, TLS, before anything was shown",
    "stream_interrupted": "The answer broke off; what was shown stays",
    "internal_error": "Anything unexpected in the pipe",
    "loops_reached": "MAX_FUNCTION_CALL_LOOPS rounds of tools",
    "model_restricted": "MODEL_ID, FREE_MODEL_FILTER or TOOL_CALLING_FILTER exclude the model",
    "model_not_found": "No such model in the catalogue",
    "bad_request": "The request itself cannot be understood",
    "not_configured": "No usable API key or base URL yet",
    "server_busy": "MAX_CONCURRENT_REQUESTS turns run and {domain.admission:AdmissionPolicy.max_waiting} wait",
    "breaker_open": "BREAKER_MAX_FAILURES failures of this user within BREAKER_WINDOW_SECONDS",
    "configuration_error": "A stored setting cannot be used; the text names the setting and its bounds",
}

TEMPLATE_VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "error_id": ("16 hex characters, also in the log", "all"),
    "timestamp": ("UTC ISO 8601 with Z", "all"),
    "session_id": ("host session", "all"),
    "user_id": ("host user", "all"),
    "support_email": ("SUPPORT_EMAIL", "all"),
    "support_url": ("SUPPORT_URL", "all"),
    "heading": ("short title of the failure", "provider"),
    "detail": ("what the provider said, whole", "provider"),
    "sanitized_detail": ("the same with markup neutralised", "provider"),
    "provider": ("upstream provider name", "provider"),
    "model_identifier": ("best known name of the model", "provider"),
    "requested_model": ("id the user asked for", "provider"),
    "api_model_id": ("id sent to the provider", "provider"),
    "normalized_model_id": ("lookup key", "provider"),
    "openrouter_code": ("code from the error object", "provider"),
    "openrouter_message": ("message from the error object", "provider"),
    "upstream_type": ("error type inside the provider's raw error", "provider"),
    "upstream_message": ("message inside it", "provider"),
    "reason": ("first moderation or rejection reason", "provider"),
    "request_id": ("provider request id", "provider"),
    "request_id_reference": ("sentence naming it", "provider"),
    "moderation_reasons": ("list of reasons", "provider"),
    "flagged_excerpt": ("text that was flagged", "provider"),
    "raw_body": ("raw error body, redacted and cut", "provider"),
    "context_limit_tokens": ("context length of the model", "provider"),
    "max_output_tokens": ("output limit of the model", "provider"),
    "include_model_limits": ("true when limits help", "provider"),
    "metadata_json": ("error metadata as JSON", "provider"),
    "provider_raw_json": ("provider's raw error as JSON", "provider"),
    "native_finish_reason": ("as reported", "stream"),
    "error_chunk_id": ("id of the failing chunk", "stream"),
    "error_chunk_created": ("its time", "stream"),
    "streaming_provider": ("provider named by the stream", "stream"),
    "streaming_model": ("model named by the stream", "stream"),
    "retry_after_seconds": ("seconds to wait", "429"),
    "rate_limit_type": ("what was limited", "429"),
    "required_cost": ("credits needed", "402"),
    "account_balance": ("credits left", "402"),
    "diagnostics": ("operator hints", "provider"),
    "error_type": ("class of failure", "generic"),
    "status_code": ("HTTP status", "generic"),
    "timeout_seconds": ("limit that was hit", "timeouts"),
    "endpoint": ("address that failed", "connection"),
    "restriction_reasons": ("why the model is not allowed", "restricted"),
    "model_id_filter": ("MODEL_ID", "restricted"),
    "free_model_filter": ("FREE_MODEL_FILTER", "restricted"),
    "tool_calling_filter": ("TOOL_CALLING_FILTER", "restricted"),
    "max_function_call_loops": ("the limit", "loops"),
}

_WORKERS: Final = "there are several workers, and it is "
DOCTOR_CHECKS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "minimum functional": {
        "host version": (
            "Open WebUI is older than {composition.checks.functional:OLDEST_HOST}",
            "the version is none of a release",
        ),
        "packages": ("one is missing", ""),
        "settings": ("one cannot be read or is out of bounds", ""),
        "key present": ("there is none", ""),
        "key decryptable": ("WEBUI_SECRET_KEY is another than when it was saved", ""),
        "BASE_URL": ("it is no address, or http:// to another machine", "it holds credentials"),
        "catalogue": ("it cannot be read, or no model is on offer", ""),
        "model rules": ("MODEL_RULES cannot be read", "a glob matches no model of the catalogue"),
        "key accepted": (
            "the provider refuses it, has no credits for it, or does not answer",
            "there is no `/key` endpoint (gateways)",
        ),
        "clock": (
            "it is more than {composition.checks.functional:_SKEW_FAILS} seconds off the provider's",
            "more than {composition.checks.functional:_SKEW_WARNS} seconds",
        ),
    },
    "recommended security": {
        "WEBUI_SECRET_KEY": (
            "it is a well-known default",
            "it is missing, shorter than {composition.checks.security:_SHORTEST} characters, or monotonous",
        ),
        "secrets at rest": ("", "a secret valve is stored unencrypted"),
        "SSRF protection": ("it is off", ""),
        "https only": ("", "http:// downloads are allowed"),
        "egress policy": ("(cannot be seen from here)", ""),
    },
    "persistence": {
        "encryption key": (
            "it cannot be decrypted",
            "it is missing while something is kept, shorter than {composition.checks.persistence:_SHORTEST_KEY} characters,"
            " or listed as an older one too",
        ),
        "ENCRYPT_ALL": ("", "it is off"),
        "retention": ("", ""),
        "database": ("it does not answer, is not there, or cannot be written", ""),
        "table": ("it lacks columns", "rows lie under older keys"),
        "rows readable": ("one of the {adapters.sql.health:SAMPLE} newest rows opens with none of the keys", ""),
        "age of rows": ("the newest is from the future: the clock was set back", ""),
    },
    "multi-worker": {
        "UVICORN_WORKERS": ("", ""),
        "REDIS_URL": ("", f"{_WORKERS}not set"),
        "WEBSOCKET_MANAGER": ("", f"{_WORKERS}not `redis`"),
        "WEBSOCKET_REDIS_URL": ("", f"{_WORKERS}not set"),
        "the Python package redis": ("", f"{_WORKERS}missing"),
        "ENABLE_REDIS_CACHE": ("", f"{_WORKERS}off"),
        "Redis reachable": ("it does not answer as it should", "it evicts keys that do not expire"),
    },
    "telemetry": {
        "metrics directory": ("it cannot be written", ""),
        "metrics library": ("a directory is named and prometheus-client is missing", ""),
        "cost export": ("", "it is on without Redis"),
        "identifiers": ("", ""),
    },
    "session logs": {
        "enabled": ("", ""),
        "password": (
            "it is missing or cannot be decrypted",
            "it is shorter than {composition.checks.session_logs:_SHORTEST_PASSWORD} characters",
        ),
        "library": ("pyzipper is missing", ""),
        "directory": ("it cannot be written, or a folder of archives is a link", "it is a link itself"),
        "private": ("", "other accounts of the machine may enter it"),
        "free space": (
            "less than {composition.checks.session_logs:_FAIL_FREE|bytes}",
            "less than {composition.checks.session_logs:_WARN_FREE|bytes}",
        ),
        "age of archives": ("the newest is from the future: the clock was set back", ""),
        "retention": ("", ""),
    },
}
"""By group and check: when it fails, when it warns."""

VALIDATE_LINES: Final[Mapping[str, str]] = {
    "settings": "one cannot be read",
    "catalogue": "it cannot be fetched, or no model is on offer",
    "streamed chat": "there is no answer; a warning when all of it comes at once after more than "
    "{composition.validations:_SLOW} seconds (a proxy holds streams back)",
    "tool call": "the tool was not called, or the answer did not go on",
    "image": "it was not sent, or there is no answer; skipped for models without image input",
    "file": "the same, for a PDF of one page",
    "two-turn replay": "the second turn does not send the first one's call and result, or the database cannot be used",
    "error 401": "the template leaves a placeholder or is empty, or the error is taken for another; a warning without error ID",
    "error 429": "the same",
    "provider error": "the same, for 502",
    "session log": "no archive is written, or the password does not open it; skipped when session logs are off",
    "clean-up": "what the run stored cannot be removed",
}

METRICS: Final[Mapping[str, tuple[str, str, str]]] = {
    "turns": (
        "counter",
        "turns",
        "kind (`chat`, `task`), outcome (`completed`, `cancelled`, or the code of the failure)",
    ),
    "turns_running": ("gauge", "turns", ""),
    "turns_waiting": ("gauge", "turns", ""),
    "turn_seconds": ("histogram", "seconds", "kind"),
    "time_to_first_event_seconds": ("histogram", "seconds", "kind"),
    "tokens": ("counter", "tokens", "direction (`input`, `output`)"),
    "cost_usd": ("counter", "US dollars", ""),
    "breakers_open": ("gauge", "breakers", "scope (`request`, `tool`, `store`)"),
    "catalog_age_seconds": ("gauge", "seconds; absent before the first", ""),
    "tool_calls": ("counter", "calls", "outcome (`ok`, `failed`)"),
    "artifact_reads": ("counter", "artifacts", ""),
    "artifact_writes": ("counter", "artifacts", ""),
    "artifact_store_failures": ("counter", "times", ""),
    "artifact_backlog": ("gauge", "artifacts; each worker's latest look, so take the maximum", ""),
    "artifact_cache_hits": ("counter", "artifacts", ""),
    "artifact_cache_misses": ("counter", "artifacts", ""),
    "artifact_direct_writes": ("counter", "writes", ""),
    "artifact_flushes": ("counter", "batches", "outcome (`ok`, `failed`)"),
    "session_logs": ("counter", "session logs", "outcome (`written`, `failed`, `dropped`)"),
}
"""Kind, unit, labels, by the name without prefix."""

ARTIFACT_COLUMNS: Final[Mapping[str, str]] = {
    "id": "primary key; the marker",
    "chat_id": "a row is readable for this chat only",
    "message_id": "cut to fit",
    "model_id": "cut to fit",
    "item_type": "`reasoning`, `function_call`, `function_call_output`, `message`",
    "payload": "the item, or its envelope",
    "is_encrypted": "whether the payload is an envelope",
    "created_at": "UTC; last read or written",
}

SESSION_LOG_FIELDS: Final[Mapping[str, str]] = {
    "ts": "UTC, ISO 8601 with microseconds and Z",
    "level": "DEBUG to CRITICAL",
    "logger": "name of the logger",
    "request_id": "of the turn",
    "user_id": "of the host",
    "session_id": "of the host",
    "chat_id": "of the host",
    "message_id": "of the host",
    "event_type": "`log` for words, else what structure the message is",
    "module": "where it was logged",
    "func": "the function",
    "lineno": "the line",
    "exception": "traceback; only where there is one",
    "message": "words, or the structure as JSON text",
}

KNOBS: Final[Mapping[str, str]] = {
    "scenario": "name of a scenario, whatever the model",
    "text": "number of words of the answer (deltas, for `long`)",
    "speed": "events per second",
    "delay_ms": "milliseconds before the first byte, headers included",
    "chunk": "bytes per write",
    "crlf": "CRLF line ends",
    "comments": "a keep-alive comment before every n-th event",
    "padding": "spaces before a JSON body",
    "fault": "a fault of the connection or stream: {faults}",
    "after": "events before the fault (`reset` with 0: before the response headers)",
    "shape": "form 1 to 4 of `fault=error`",
    "status": "an HTTP status instead of an answer",
    "kind": "error type of that status",
    "retry_after": "seconds in its Retry-After",
    "times": "the fault or status strikes only the first n requests",
    "path": "for queued faults: the path that it waits for",
}

ENVIRONMENT: Final[Mapping[str, str]] = {
    "OPENROUTER_PIPE_METRICS_DIR": "folder into which each worker writes its metrics; without it none are kept",
    "OPENROUTER_PIPE_DIAGNOSTICS": "`true`: one more model that examines the installation, for administrators only",
    "WEBUI_SECRET_KEY": "encrypts secret valves at rest; the pipe reads them with the same key",
    "WEBUI_URL": "addresses of Open WebUI's own files",
    "DATABASE_URL": "the host's database, where artifacts are kept",
    "DATABASE_TYPE": "with _USER, _PASSWORD, _HOST, _PORT and _NAME: the same, in parts",
    "DATABASE_SCHEMA": "schema of the host's tables in PostgreSQL",
    "DATABASE_ENABLE_SQLITE_WAL": "`true`: the journal of SQLite is WAL",
    "DATA_DIR": "the host's data folder: `webui.db`, the last good catalogue",
    "REDIS_URL": "the Redis of the host",
    "REDIS_KEY_PREFIX": "beginning of every key",
    "REDIS_CLUSTER": "`true`: a cluster",
    "REDIS_SENTINEL_HOSTS": "comma-separated; with REDIS_SENTINEL_PORT",
    "REDIS_SENTINEL_PORT": "port of the sentinels",
    "REDIS_SOCKET_TIMEOUT": "seconds; may shorten our own limit",
    "REDIS_SOCKET_CONNECT_TIMEOUT": "seconds; the same for connecting",
    "UVICORN_WORKERS": "more than one: Redis is used when its other prerequisites are met",
    "WEBSOCKET_MANAGER": "`redis`: a prerequisite of Redis",
    "WEBSOCKET_REDIS_URL": "the same",
    "SSL_CERT_FILE": "certificates that are trusted; also SSL_CERT_DIR",
    "HTTPS_PROXY": "proxies, as everywhere; also HTTP_PROXY, ALL_PROXY, NO_PROXY",
    "NO_COLOR": "any value: the command line writes nothing but text",
}
