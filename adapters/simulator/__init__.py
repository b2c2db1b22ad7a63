"""A local OpenRouter: the provider's HTTP interface with scripted answers and faults, on a socket or in process.

What lives here: an ASGI application (``app.create_app``), a catalogue of realistic models, scenarios that replay the
provider's documented streams on both endpoints, request validation, faults, and two ways to reach it: ``transport``
(in process, for httpx) and ``server`` (a real socket). It knows nothing of the pipe: any OpenRouter client may use it.

What does not: any client code, any setting of the pipe, anything that needs the network beyond the loopback.
"""
