"""Request shaping: from what a chat asks, the model's card and the operator's policy to one `ProviderRequest`.

Pure functions over frozen values, one module per concern; ``shape`` puts them together and ``recovery`` answers
refusals. How a request is spelled on a wire is the provider adapter's business.
"""
