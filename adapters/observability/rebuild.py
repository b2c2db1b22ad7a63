"""Values of the ports from the JSON of a record: the way back from `openrouter_pipe.adapters.observability.values`.

What is read is told by the type that is expected, never by the record: a class must be one of those that the type names.
Fields that nobody knows are left out, so that records of newer and older versions can be read; what was no value (a toolbox,
a file store, a time) takes its default. Redacted values stay as they are.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar, cast

import attrs

from openrouter_pipe.adapters.observability.values import TAG
from openrouter_pipe.ports.json import JsonValue

_T = TypeVar("_T")
_DEEPEST: Final = 80
_SCALARS: Final = (bool, int, float, str)


class RebuildError(ValueError):
    """The JSON is not what was expected; the message names the place in it."""


class _Json:
    """Stands for a part that is JSON itself and stays so."""


_JSON_NAMES: Final = {"JsonValue": _Json, "JsonObject": _Json, "JsonScalar": _Json}


def rebuild(kind: type[_T], value: JsonValue, where: str = "", given: Mapping[str, object] | None = None) -> _T:
    """The value of type ``kind`` (a class of the ports) that was told as ``value``.

    ``given`` are fields of the value that are not read, by name; ``where`` names the place in errors. Raises `RebuildError`.
    """
    return cast("_T", _read(kind, value, where or kind.__name__, _DEEPEST, given or {}))


def rebuild_one_of(kinds: object, value: JsonValue, where: str) -> object:
    """The same where ``kinds`` is a union of classes, such as `ProviderEvent`, or a tuple of them."""
    return _read(kinds, value, where, _DEEPEST, {})


def _read(kind: Any, value: Any, where: str, depth: int, given: Mapping[str, object]) -> Any:
    if depth == 0:
        raise RebuildError(f"{where}: nested too deep")
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _read(_chosen(typing.get_args(kind), value, where), value, where, depth, given)
    if kind is _Json or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return value
    if kind is None or kind is types.NoneType:
        return _checked(value is None, value, where, "null")
    if kind in _SCALARS:
        fits = type(value) is kind or (kind is float and type(value) is int)
        return _checked(fits, value, where, kind.__name__)
    if isinstance(origin, type) and issubclass(origin, Sequence | frozenset):
        _checked(isinstance(value, list), value, where, "a list")
        inner = typing.get_args(kind)[0]
        found = [_read(inner, one, f"{where}[{number}]", depth - 1, {}) for number, one in enumerate(value)]
        return frozenset(found) if issubclass(origin, frozenset) else tuple(found)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, value, where)
    if attrs.has(kind):
        return _instance(kind, value, where, depth, given)
    raise RebuildError(f"{where}: cannot be read from a record")


def _checked(fits: bool, value: Any, where: str, wanted: str) -> Any:
    if not fits:
        raise RebuildError(f"{where}: {wanted} is expected, not {type(value).__name__}")
    return value


def _member(kind: type[Enum], value: Any, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(one.value) for one in kind)
        raise RebuildError(f"{where}: one of {known} is expected") from None


def _chosen(kinds: Sequence[Any], value: Any, where: str) -> Any:
    """The member of a union that ``value`` is told as."""
    if isinstance(value, dict) and (named := [kind for kind in kinds if _is_named(kind, value.get(TAG))]):
        return named[0]
    for kind in kinds:
        origin = typing.get_origin(kind)
        is_list = isinstance(origin, type) and issubclass(origin, Sequence | frozenset)
        is_map = isinstance(origin, type) and issubclass(origin, Mapping)
        if (
            kind is _Json
            or (value is None and kind is types.NoneType)
            or (isinstance(value, list) and is_list)
            or (isinstance(value, dict) and is_map)
            or (isinstance(value, _SCALARS) and (type(value) is kind or (kind is float and type(value) is int)))
            or (isinstance(kind, type) and issubclass(kind, Enum) and value in {one.value for one in kind})
        ):
            return kind
    if types.NoneType in kinds and not any(attrs.has(kind) for kind in kinds) and isinstance(value, str):
        raise RebuildError(f"{where}: cannot be read from a record")
    names = ", ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    told = value.get(TAG) if isinstance(value, dict) else type(value).__name__
    raise RebuildError(f"{where}: one of {names} is expected, not {str(told)[:80]}")


def _is_named(kind: Any, name: object) -> bool:
    return isinstance(kind, type) and attrs.has(kind) and kind.__name__ == name


def _instance(kind: Any, value: Any, where: str, depth: int, given: Mapping[str, object]) -> Any:
    if not isinstance(value, dict) or value.get(TAG, kind.__name__) != kind.__name__:
        told = value.get(TAG) if isinstance(value, dict) else type(value).__name__
        raise RebuildError(f"{where}: {kind.__name__} is expected, not {str(told)[:80]}")
    hints, found = _hints(kind), dict(given)
    for field in attrs.fields(kind):
        name = field.name
        if name in found or name not in value or (_is_foreign(hints[name]) and field.default is not attrs.NOTHING):
            continue
        found[name] = _read(hints[name], value[name], f"{where}.{name}", depth - 1, {})
    missing = [one.name for one in attrs.fields(kind) if one.default is attrs.NOTHING and one.name not in found]
    if missing:
        raise RebuildError(f"{where}: {missing[0]} is missing")
    return kind(**found)


@functools.cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(kind, localns=dict(_JSON_NAMES))


def _is_foreign(kind: Any) -> bool:
    """Whether values of this type are no values at all: protocols, callables, times."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    return not any(_is_readable(one) for one in kinds if one is not types.NoneType)


def _is_readable(kind: Any) -> bool:
    if kind is _Json or kind in _SCALARS:
        return True
    origin = typing.get_origin(kind)
    if isinstance(origin, type):
        return issubclass(origin, Sequence | frozenset | Mapping)
    return isinstance(kind, type) and (attrs.has(kind) or issubclass(kind, Enum))
