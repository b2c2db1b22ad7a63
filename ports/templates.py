"""The built-in texts of the template settings; the language they are written in is explained in docs/errors.md."""

from __future__ import annotations

from typing import Final

OPENROUTER_ERROR: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

AUTHENTICATION_ERROR: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

INSUFFICIENT_CREDITS: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

RATE_LIMIT: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

SERVER_TIMEOUT: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

PAYLOAD_TOO_LARGE: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

NETWORK_TIMEOUT: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

CONNECTION_ERROR: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

SERVICE_ERROR: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

INTERNAL_ERROR: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

STREAM_INTERRUPTED: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

MAX_FUNCTION_CALL_LOOPS_REACHED: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""

MODEL_RESTRICTED: Final = """\
### {heading}

{detail}

Error ID: `{error_id}`
"""
