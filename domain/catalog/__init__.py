"""The catalogue: names of models, what each can do, which are on offer, by which endpoint, and how fresh the list is.

Fetching it is a port's business (`ports.catalog.CatalogSource`); how a request is made from a card stands in ``shaping``.
"""
