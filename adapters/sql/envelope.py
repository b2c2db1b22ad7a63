"""The envelope: how an item's JSON becomes the value of the payload column, and back.

Version 1 (read for ever, never written): one flag byte (0 plain, 1 LZ4 frame) and the JSON text, sealed with Fernet under
``urlsafe-b64(SHA-256(key))``; stored as ``{"ciphertext": token, "enc_v": 1}``.

Version 2: the same plaintext, sealed with AES-256-GCM under a key derived from the operator's by HKDF-SHA-256; associated
data are table, id and chat id, so that a row moved elsewhere does not open. ``{"ciphertext": b64(nonce + sealed), "enc_v": 2}``.

Plain rows hold the JSON object itself. Values that databases refuse (NUL, lone surrogates, NaN, infinity) are carried as
``{"json_text": "…"}``, the object's JSON text in pure ASCII inside a string, where nothing is left for a database to read.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

import lz4.frame
from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openrouter_pipe.ports.artifacts import StorePolicy
from openrouter_pipe.ports.json import JsonObject, JsonValue

VERSION: Final = 2
_PLAIN, _LZ4 = b"\x00", b"\x01"
_NONCE_BYTES: Final = 12
_DERIVATION: Final = b"openrouter-pipe artifact envelope v2"
_TEXT_KEY: Final = "json_text"
_ENVELOPE_KEYS: Final = {"ciphertext", "enc_v"}
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LARGEST: Final = 256 * 1024 * 1024
"""Bytes that a decompressed item may have; more is an attack or an accident."""


class EnvelopeError(Exception):
    """A payload that cannot be sealed or opened; says why, never what it holds."""


@frozen
class Place:
    """Where a row belongs; sealed into it."""

    table: str
    id: str
    chat_id: str

    def associated_data(self) -> bytes:
        """The bytes that version 2 authenticates beside the ciphertext."""
        return "\x00".join((self.table, self.id, self.chat_id)).encode("utf-8", "surrogatepass")


@frozen
class Sealed:
    """The value of the payload column and of is_encrypted."""

    payload: dict[str, JsonValue] = field(repr=False)
    is_encrypted: bool


def seal(payload: JsonObject, place: Place, policy: StorePolicy, *, is_reasoning: bool) -> Sealed:
    """Make the stored form; raises `EnvelopeError` for what is no JSON."""
    text = _dump(payload)
    key = policy.key.reveal()
    if not key or not (policy.encrypt_all or is_reasoning):
        return Sealed(_storable(payload, text), is_encrypted=False)
    plaintext = _pack(text.encode("ascii"), policy)
    nonce = os.urandom(_NONCE_BYTES)
    sealed = _aead(key).encrypt(nonce, plaintext, place.associated_data())
    ciphertext = base64.b64encode(nonce + sealed).decode("ascii")
    return Sealed({"ciphertext": ciphertext, "enc_v": VERSION}, is_encrypted=True)


def unseal(stored: str, place: Place, keys: Sequence[str], *, is_encrypted: bool) -> dict[str, JsonValue]:
    """The item's JSON from the column's text; ``keys`` in the order to try. Raises `EnvelopeError`."""
    value = _load(stored)
    if is_encrypted or value.keys() == _ENVELOPE_KEYS:
        return _load(_decrypt(value, place, keys))
    text = value.get(_TEXT_KEY)
    if len(value) == 1 and isinstance(text, str):
        return _load(text)
    return value


def _decrypt(envelope: Mapping[str, JsonValue], place: Place, keys: Sequence[str]) -> str:
    ciphertext, version = envelope.get("ciphertext"), envelope.get("enc_v")
    if not isinstance(ciphertext, str):
        raise EnvelopeError("the envelope has no ciphertext")
    if version not in {1, VERSION} or isinstance(version, bool):
        raise EnvelopeError("the envelope's version is unknown")
    for key in keys:
        if not key:
            continue
        opened = _open_v1(ciphertext, key) if version == 1 else _open_v2(ciphertext, place, key)
        if opened is not None:
            return _unpack(opened)
    raise EnvelopeError("no key opens it, or it was changed or moved")


def _open_v1(ciphertext: str, key: str) -> bytes | None:
    try:
        return _fernet(key).decrypt(ciphertext.encode("utf-8", "replace"))
    except (InvalidToken, ValueError):
        return None


def _open_v2(ciphertext: str, place: Place, key: str) -> bytes | None:
    try:
        raw = base64.b64decode(ciphertext, validate=True)
        return _aead(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.associated_data())
    except (InvalidTag, binascii.Error, ValueError):
        return None


def _pack(data: bytes, policy: StorePolicy) -> bytes:
    if policy.compress and len(data) >= policy.min_compress_bytes:
        compressed: bytes = lz4.frame.compress(data)
        if len(compressed) < len(data):
            return _LZ4 + compressed
    return _PLAIN + data


def _unpack(packed: bytes) -> str:
    flag, data = packed[:1], packed[1:]
    if flag == _LZ4:
        try:
            decompressor = lz4.frame.LZ4FrameDecompressor()
            data = decompressor.decompress(data, max_length=_LARGEST)
        except (RuntimeError, EOFError) as error:
            raise EnvelopeError("its compressed data is broken") from error
        if not decompressor.eof:
            raise EnvelopeError("its compressed data is cut or too large")
    elif flag != _PLAIN:
        raise EnvelopeError("its flag byte is unknown")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EnvelopeError("it is not text") from error


def _storable(payload: JsonObject, text: str) -> dict[str, JsonValue]:
    """The object itself where databases take it, else its text in a string."""
    if payload.keys() in ({_TEXT_KEY}, _ENVELOPE_KEYS):
        return {_TEXT_KEY: text}  # an item that looks like a form of ours
    if "\\u0000" in text or "NaN" in text or "Infinity" in text or (_SURROGATE.search(text) and _has_lone_half(text)):
        return {_TEXT_KEY: text}
    return _load(text)


def _has_lone_half(text: str) -> bool:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _dump(payload: JsonObject) -> str:
    try:
        return json.dumps(payload, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvelopeError(f"the item is no JSON ({type(error).__name__})") from error


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError("not a JSON value")


def _load(text: str) -> dict[str, JsonValue]:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EnvelopeError("it is not JSON") from error
    if not isinstance(value, dict):
        raise EnvelopeError("it is not a JSON object")
    return value


@functools.lru_cache(maxsize=16)
def _aead(key: str) -> AESGCM:
    material = key.encode("utf-8", "surrogatepass")
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_DERIVATION).derive(material))


@functools.lru_cache(maxsize=16)
def _fernet(key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()))
