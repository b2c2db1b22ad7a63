"""The values that classification produces: what failed, for whom, and with which template it is told.

No rules live here; classify.py reads provider faults, situations.py knows our own failures.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.json import JsonValue


@frozen
class ErrorSubject:
    """Whom and what a failure concerns. Empty strings mean unknown.

    ``requested_model`` is the id the user asked for, ``api_model_id`` what was sent, ``normalized_model_id`` the lookup key.
    """

    requested_model: str = ""
    api_model_id: str = ""
    normalized_model_id: str = ""
    card: ModelCard | None = None
    session_id: str = ""
    user_id: str = ""


@frozen
class ErrorReport:
    """One failure, classified.

    ``code`` is stable (docs/errors.md lists them all), ``template`` is the name of a template setting, ``status`` the HTTP
    status that fits towards an API caller, ``values`` the template variables, raw: neither redacted nor cut.
    """

    code: str
    template: str
    status: int
    values: Mapping[str, JsonValue] = field(factory=dict, repr=False)
