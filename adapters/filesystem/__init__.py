"""Session-log archives on a local disk: where they lie, how they are written, read and pruned.

Not here: what is recorded (`adapters.observability`), and when a turn has a record at all (`composition.policies`).
"""
