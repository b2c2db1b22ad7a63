"""An in-memory implementation of every port: no file, no socket, no host.

These are products, not mocks: the contract suites prove them equal to the real adapters, and whoever builds another front
end or tests against this project uses them through `openrouter_pipe.composition.in_memory`.
"""

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.catalogue import MemoryCatalogueCopy
from openrouter_pipe.adapters.memory.files import MemoryFileStore
from openrouter_pipe.adapters.memory.host_models import MemoryHostFunctions, MemoryHostModels, MemoryIcons
from openrouter_pipe.adapters.memory.provider import Script, ScriptedCatalog, ScriptedProvider, answer, card_entry
from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock, SteadyRandomness
from openrouter_pipe.adapters.memory.session_logs import MemorySessionLogs
from openrouter_pipe.adapters.memory.telemetry import MemoryCostSink, MemoryMetrics, NullMetrics
from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.adapters.memory.web import MemoryFetcher

__all__ = [
    "CountingIds",
    "ManualClock",
    "MemoryArtifactStore",
    "MemoryCatalogueCopy",
    "MemoryCostSink",
    "MemoryFetcher",
    "MemoryFileStore",
    "MemoryHostFunctions",
    "MemoryHostModels",
    "MemoryIcons",
    "MemoryMetrics",
    "MemorySessionLogs",
    "MemoryToolbox",
    "NullMetrics",
    "Script",
    "ScriptedCatalog",
    "ScriptedProvider",
    "SteadyRandomness",
    "answer",
    "card_entry",
]
