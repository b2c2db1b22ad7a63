"""The vocabulary that domain and adapters share: frozen values and protocols.

No behaviour beyond validation lives here, and nothing of ours is imported from outside this package. Whoever wants to
know what a front end hears, what a provider streams or what a store keeps reads these files and no others.
"""
