"""What the operator says about errors: texts and where to ask for help. Nothing else lives here."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class ErrorPolicy:
    """Templates by the name of their setting (``AUTHENTICATION_ERROR_TEMPLATE``, …) and the operator's support addresses.

    A template that is missing or renders to nothing is replaced by the built-in one.
    """

    templates: Mapping[str, str] = field(factory=dict, repr=False)
    support_email: str = ""
    support_url: str = ""
