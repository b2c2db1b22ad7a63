"""A model without a catalogue: what is sent while there has never been a list, so that a bad start locks nobody out.

Of such a model nothing is known but its name, so nothing is sent for it but text. Where the operator restricts models by what
they cost or can do, nobody can say whether it is among them, and it is refused.
"""

from __future__ import annotations

from attrs import evolve

from openrouter_pipe.domain.catalog import ids
from openrouter_pipe.domain.catalog.catalog import Catalog, ResolvedModel
from openrouter_pipe.domain.catalog.selection import SelectionPolicy, restriction_reasons
from openrouter_pipe.ports.catalog import ModelCard


def unlisted(name: str, host_prefix: str, policy: SelectionPolicy) -> ResolvedModel | None:
    """The model that ``name`` most likely means, or None: it is no id, or ``policy`` cannot be judged or forbids it.

    In the display spelling the first dot stands for the slash after the vendor.
    """
    base = ids.parse(ids.without_prefix(name.strip(), host_prefix)).base
    while (shorter := ids.split_variant(base))[1]:
        base = shorter[0]
    model_id = base if "/" in base else base.replace(".", "/", 1)
    vendor, slash, slug = model_id.partition("/")
    if not vendor or not slash or not slug:
        return None
    alone = Catalog((ModelCard(model_id, model_id),))
    found = alone.resolve(name, host_prefix)
    if (
        found is None
        or (policy.free, policy.tools) != ("all", "all")
        or restriction_reasons(found, alone, policy, host_prefix)
    ):
        return None
    return evolve(found, listed=False)
