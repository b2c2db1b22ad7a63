"""The few lines that unpack a bundle; their source is copied to the top of the bundle, so they import nothing of ours.

Modules live under a private name that carries a hash of their content: two pipes of one version share them, two versions
live side by side. There are two parts, what the host needs to load the function and what the first request needs; each is
unpacked when a module of it, or a traceback, first asks. Sources stay bytes: as text, one emoji would make four of each.
"""

from __future__ import annotations

import base64
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import lzma
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType


class BundleLoader(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of one bundle, under ``root`` and nowhere else.

    The first part begins with a line of JSON: for each module whether it is a package, its part, and where in it the source
    begins and ends.
    """

    def __init__(self, root: str, parts: Sequence[Sequence[str]]) -> None:
        self.root = root
        self._parts = dict(enumerate(parts))
        self._unpacked: dict[int, bytes] = {}
        self._index: dict[str, tuple[bool, int, int, int]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of one of our modules; None for any other, which other finders then look for."""
        if fullname.partition(".")[0] != self.root or fullname not in self._modules():
            return None
        origin = self.get_filename(fullname)
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=self.is_package(fullname))
        spec.has_location = True
        return spec

    def get_filename(self, fullname: str) -> str:
        """A name for tracebacks; no such file exists, the lines come from `get_source`."""
        tail = "/__init__.py" if self.is_package(fullname) else ".py"
        return fullname.replace(".", "/") + tail

    def is_package(self, fullname: str) -> bool:
        """Whether modules live below this one."""
        return self._modules()[fullname][0]

    def get_source(self, fullname: str) -> str:
        """The text of a module; `linecache` and `inspect` ask for it."""
        return self._source(fullname).decode()

    def get_code(self, fullname: str) -> CodeType:
        """The compiled module, free of the future flags of whoever executed the bundle."""
        return compile(self._source(fullname), self.get_filename(fullname), "exec", dont_inherit=True)

    def _source(self, fullname: str) -> bytes:
        _, part, start, end = self._modules()[fullname]
        return self._part(part)[start:end]

    def _modules(self) -> dict[str, tuple[bool, int, int, int]]:
        if not self._index:
            self._index = json.loads(self._part(0).partition(b"\n")[0])
        return self._index

    def _part(self, number: int) -> bytes:
        # Two threads may both unpack. Packed is let go last, so that neither ever finds nothing.
        packed = self._parts[number]
        if packed:
            self._unpacked[number] = lzma.decompress(base64.b64decode("".join(packed)))
            self._parts[number] = ()
        return self._unpacked[number]


def load_bundle(root: str, entry: str, parts: Sequence[Sequence[str]]) -> ModuleType:
    """The entry module of a bundle, loaded once per process however often the bundle is."""
    if not any(getattr(finder, "root", None) == root for finder in sys.meta_path):
        sys.meta_path.insert(0, BundleLoader(root, parts))
    return importlib.import_module(f"{root}.{entry}")
