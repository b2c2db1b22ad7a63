"""The machine itself: clock, identifiers, chance. Nothing here is specific to a host or a provider."""

from openrouter_pipe.adapters.system.clock import SystemClock, SystemRandomness
from openrouter_pipe.adapters.system.ids import CROCKFORD, SystemIds

__all__ = ["CROCKFORD", "SystemClock", "SystemIds", "SystemRandomness"]
