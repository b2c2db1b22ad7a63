"""Tools: schemas made fit for strict calling, the queue that runs calls, the policy both obey.

What a tool is and where it runs is the front end's business (`ports.tools.Toolbox`); nothing here knows a host.
"""
