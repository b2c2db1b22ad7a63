"""Open WebUI as front end: class ``Pipe``, its valves, reading of requests, rendering of answers, files, events.

Open WebUI is never imported when this package is imported: what the running host can do is looked up when it is first
needed, by feature. Nothing of the domain is known here; a `PipeServices` made by the composition does the work.
"""

from openrouter_pipe.adapters.openwebui.host import Host, detect
from openrouter_pipe.adapters.openwebui.pipe import PipeServices, make_pipe_class
from openrouter_pipe.adapters.openwebui.setup_needed import make_setup_class
from openrouter_pipe.adapters.openwebui.valves import make_user_valves, make_valves, settings_from

__all__ = [
    "Host",
    "PipeServices",
    "detect",
    "make_pipe_class",
    "make_setup_class",
    "make_user_valves",
    "make_valves",
    "settings_from",
]
