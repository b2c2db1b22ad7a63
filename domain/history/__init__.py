"""History: from the messages a host hands over to the items a provider is sent.

Marker grammar, host records of tool use, replay of stored items, pairing and repair, pruning, images of earlier turns.
Shaping for one model (parameters, caching, foreign reasoning) and the store itself live elsewhere.
"""
