"""Observability: the pipe's own logging inside a host that has logging of its own.

Here live the request-scoped context of log records, the one handler of the pipe's logger and the in-memory record of a
turn. Not here: what is redacted (the caller hands in a function), archives on disk, and anything global to the host: no
root logger, handler, level or factory is ever changed.
"""
