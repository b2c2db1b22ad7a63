"""The built-in texts of the template settings; the language they are written in is explained in docs/errors.md.

Each says what happened, what to do, and how to find the failure again. Lines whose variable is empty are not shown.
"""

from __future__ import annotations

from typing import Final

_FOOT: Final = """
- Error ID: `{error_id}`
- Time: {timestamp}
- Session: {session_id}
- User: {user_id}
- Support: {support_email}
- Support: {support_url}
"""

OPENROUTER_ERROR: Final = (
    """\
### {heading}

{sanitized_detail}

{{#if moderation_reasons}}

**Reasons given:**
{moderation_reasons}
{{/if}}
{{#if flagged_excerpt}}

**Flagged text:** {flagged_excerpt}
{{/if}}
{{#if include_model_limits}}

**Limits of this model:**
- Context: {context_limit_tokens} tokens
- Answer: {max_output_tokens} tokens
{{/if}}

**What to do:** change the message, its attachments or the chat's settings as told above, or choose another model.
{{#if include_model_limits}}
A new chat or a shorter message helps when the conversation has become too long.
{{/if}}

- Model: {model_identifier}
- Provider: {provider}
- Code: {openrouter_code}
- {request_id_reference}"""
    + _FOOT
)

AUTHENTICATION_ERROR: Final = (
    """\
### {heading}

{sanitized_detail}

**What to do:** this has to be set right by whoever runs this service: the OpenRouter API key, its limits and its permissions.
Trying again does not help before that.

- Status: {status_code}
- Model: {model_identifier}
- {request_id_reference}"""
    + _FOOT
)

INSUFFICIENT_CREDITS: Final = (
    """\
### {heading}

{sanitized_detail}

- Needed: {required_cost}
- Left: {account_balance}
- Limited by: {rate_limit_type}

**What to do:** credits are added at [openrouter.ai/credits](https://openrouter.ai/credits) by whoever runs this service.
A shorter chat, a lower limit on the answer's length or a cheaper model may work now.
{{#if retry_after_seconds}}
It may also work in {retry_after_seconds} seconds, when running requests have ended.
{{/if}}

- Model: {model_identifier}
- {request_id_reference}"""
    + _FOOT
)

RATE_LIMIT: Final = (
    """\
### {heading}

{sanitized_detail}

- Limited: {rate_limit_type}
- Try again in: {retry_after_seconds} seconds

**What to do:** wait a little and send the message again, or choose another model.

- Model: {model_identifier}
- Provider: {provider}
- {request_id_reference}"""
    + _FOOT
)

SERVER_TIMEOUT: Final = (
    """\
### {heading}

{sanitized_detail}

**What to do:** send the message again. If this repeats, shorten the chat or choose another model.

- Model: {model_identifier}
- Provider: {provider}
- {request_id_reference}"""
    + _FOOT
)

PAYLOAD_TOO_LARGE: Final = (
    """\
### {heading}

{sanitized_detail}

{{#if include_model_limits}}

**Limits of this model:**
- Context: {context_limit_tokens} tokens
- Answer: {max_output_tokens} tokens
{{/if}}

**What to do:** attach fewer or smaller files, or start a new chat.

- Model: {model_identifier}
- Provider: {provider}
- {request_id_reference}"""
    + _FOOT
)

NETWORK_TIMEOUT: Final = (
    """\
### {heading}

OpenRouter did not answer in the time that is allowed here.

- Limit: {timeout_seconds} seconds

**What to do:** send the message again. If this repeats, choose a faster model.

- Model: {model_identifier}"""
    + _FOOT
)

CONNECTION_ERROR: Final = (
    """\
### {heading}

No connection to OpenRouter could be made, or it broke off.

{sanitized_detail}

**What to do:** send the message again in a moment. If this repeats, whoever runs this service has to look at its network.

- Address: {endpoint}
- Model: {model_identifier}"""
    + _FOOT
)

SERVICE_ERROR: Final = (
    """\
### {heading}

{sanitized_detail}

**What to do:** send the message again in a moment, or choose another model.

- Try again in: {retry_after_seconds} seconds
- Status: {status_code}
- Model: {model_identifier}
- Provider: {provider}
- {request_id_reference}"""
    + _FOOT
)

INTERNAL_ERROR: Final = (
    """\
### {heading}

{sanitized_detail}

**What to do:** send the message again. If this repeats, report it with the error ID; the log tells more under the same ID.

- Kind: {error_type}"""
    + _FOOT
)

STREAM_INTERRUPTED: Final = (
    """\
### {heading}

{sanitized_detail} What arrived before is kept.

**What to do:** ask the model to continue, or regenerate the answer.

- Model: {model_identifier}
- Provider: {streaming_provider}
- {request_id_reference}"""
    + _FOOT
)

MAX_FUNCTION_CALL_LOOPS_REACHED: Final = (
    """\
### {heading}

The model kept calling tools and was stopped after {max_function_call_loops} rounds. What it found is kept.

**What to do:** ask it to continue or to answer with what it has, or split the task. The limit is MAX_FUNCTION_CALL_LOOPS.
"""
    + _FOOT
)

MODEL_RESTRICTED: Final = (
    """\
### {heading}

The model {requested_model} may not be used here.

**Why:**
{restriction_reasons}

**What to do:** choose another model from the list.

- Allowed models: {model_id_filter}
- Free models: {free_model_filter}
- Tool-calling models: {tool_calling_filter}"""
    + _FOOT
)
