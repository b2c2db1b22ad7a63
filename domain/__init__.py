"""The product's rules: everything that is true whatever the host, the provider's wire or the database may be.

Nothing here touches network, disk, environment, wall clock or chance; what is needed of those is asked of a port.
"""
