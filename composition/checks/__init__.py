"""The checks of `openrouter-pipe doctor`, one module per group of the production-readiness report.

A check looks, and changes nothing. What it says is evidence and remedy in words without secrets. Not here: running them and
showing what they found (`composition.doctor`), and the command (`composition.doctor_command`).
"""
