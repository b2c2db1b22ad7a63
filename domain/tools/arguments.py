"""The arguments of a function call: from a model's text to what the tool's own schema means. Not here: running it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from openrouter_pipe.domain.tools.restoring import restore
from openrouter_pipe.ports.json import JsonObject, JsonValue

_MAX_ARGUMENTS: Final = 1024 * 1024  # characters; beyond it a model has gone astray
_TOO_DEEP: Final = "The arguments are nested too deeply."


def read_arguments(text: str, parameters: JsonObject) -> dict[str, JsonValue]:
    """The arguments as the schema ``parameters`` means them.

    Raises:
        ValueError: as `parse_arguments`; also when a recursive schema is followed too deep.
    """
    arguments = parse_arguments(text)
    try:
        return restore(arguments, parameters)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def parse_arguments(text: str) -> Mapping[str, JsonValue]:
    """The arguments of a call: a JSON object, or nothing.

    Raises:
        ValueError: not JSON, not an object, nested too deep or longer than 1 MiB; the message is for the model.
    """
    if len(text) > _MAX_ARGUMENTS:
        raise ValueError(f"The arguments are longer than {_MAX_ARGUMENTS} characters.")
    if not text.strip():
        return {}
    try:
        arguments: JsonValue = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        raise ValueError(f"The arguments are not valid JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"The arguments must be a JSON object, not {type(arguments).__name__}.")  # noqa: TRY004
    return arguments
