"""Errors: every failure becomes a stable code, a template and its values, and then a text that can be shown.

Here live classification, the template language and the rendering of the last event of a failed turn. Not here: the
built-in texts (ports/templates.py), redaction (domain/redaction.py), and any decision about trying again.
"""
