"""Redaction: takes secrets out of whatever leaves towards logs, errors, archives, metrics and tool outputs.

What goes: credentials by their shape (provider keys, tokens, bearer and basic credentials, cookies, headers and fields
named like a secret, credentials in URLs, private keys, ``encrypted:`` values), the given secrets by value (also as JSON,
URL and base64 write them), e-mail addresses in the host's identity headers, the provider's account ids, and bulk data:
data URLs and base64 runs of more than 100 characters are replaced by their kind and size.

It works on whole strings: whoever handles a stream redacts it when it is complete, or line by line, never by arbitrary
pieces, because a secret cut in two has no shape. Who cuts a long text cuts it first, redacts it then and drops the end, as
far as shapes reach (1,024 characters); the head of a given secret at the end of a text goes however long it is. Nothing
here keeps state between calls.

Time is linear in the text, whatever the text: every pattern starts at a literal or at the first character of a run (seen
by looking one character back), repeats possessively or up to a small bound, and so never reads a character more than a
few times. Patterns are tried only where one of their cue words occurs at all.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from attrs import frozen

from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.settings import Secret

REDACTED: Final = "[redacted]"
SHORTEST_SECRET: Final = 6
"""Secrets of fewer characters are not searched for by value: they would blank ordinary words."""
SHORTEST_HEAD: Final = 12
"""Characters from which on the end of a text is taken for the head of a secret that was cut: longer than what keys begin with."""
LONGEST_BASE64: Final = 100
"""Base64 runs of more characters are replaced by their size."""
DEEPEST_JSON: Final = 100
"""Levels of nesting that are looked into; what lies deeper is dropped."""


class Redactor:
    """Takes out secrets. Immutable, usable from any thread.

    ``secrets`` are taken out by value; ``all_emails`` takes out every e-mail address and not only those of identity
    headers (for console logs; what the model or an archive reads keeps the addresses that people wrote). ``own_only``
    takes out what is the operator's alone (``secrets``, OpenRouter keys, encrypted settings) and leaves everything else as
    it is: for text that must keep its meaning, such as the result of a tool.
    """

    def __init__(self, secrets: Iterable[Secret] = (), *, all_emails: bool = False, own_only: bool = False) -> None:
        spellings = {form for secret in secrets for form in _spellings(secret.reveal())}
        self._spellings = sorted(spellings, key=len, reverse=True)
        self._own_only = own_only
        self._rules = _OWN_RULES if own_only else (*_RULES, _EVERY_EMAIL) if all_emails else _RULES

    def text(self, text: str) -> str:
        """``text`` without secrets, and without the head of one at its end: whoever cut the text may have divided it."""
        text = self._without_head(text)
        for spelling in self._spellings:
            text = text.replace(spelling, REDACTED)
        lowered = text.lower()
        for rule in self._rules:
            if any(cue in lowered for cue in rule.cues):
                text = rule.pattern.sub(rule.replacement, text)
        return text

    def _without_head(self, text: str) -> str:
        start = min((_head_of(spelling, text) for spelling in self._spellings), default=len(text))
        return text[:start] + REDACTED if start < len(text) else text

    def json(self, value: JsonValue) -> JsonValue:
        """``value`` without secrets at any depth; the value of a key named like a secret goes whole."""
        return self._json(value, DEEPEST_JSON)

    def _json(self, value: JsonValue, depth: int) -> JsonValue:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth == 0:
            return "[nested too deep]"
        if isinstance(value, Mapping):
            return {self.text(key): self._member(key, inner, depth) for key, inner in value.items()}
        return [self._json(inner, depth - 1) for inner in value]

    def _member(self, key: str, value: JsonValue, depth: int) -> JsonValue:
        if value is None or isinstance(value, bool):
            return value
        return REDACTED if not self._own_only and _names_secret(key) else self._json(value, depth - 1)


def _head_of(spelling: str, text: str) -> int:
    """Where the part of ``spelling`` begins that ``text`` ends with; its length where it does not, or with a few characters."""
    if text.endswith(spelling):
        return len(text)  # whole, it is found as what it is, and not as its own head where it repeats itself
    head = spelling[:SHORTEST_HEAD]
    start = text.find(head, max(0, len(text) - len(spelling) + 1))
    while start >= 0 and not spelling.startswith(text[start:]):
        start = text.find(head, start + 1)
    return start if start >= 0 else len(text)


def _spellings(secret: str) -> set[str]:
    """How a secret may be written: as it is, and inside JSON, URLs and base64; a list of secrets also one by one."""
    found: set[str] = set()
    for plain in {secret, secret.strip(), *(part.strip() for part in secret.split(","))}:
        if len(plain) < SHORTEST_SECRET:
            continue
        escaped = {json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
        escaped |= {json.dumps(form)[1:-1] for form in tuple(escaped)}
        octets = plain.encode("utf-8", "surrogatepass")
        in_url = {quote(octets, safe=""), quote_plus(octets), quote(octets)}
        in_url |= {re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), form) for form in in_url}
        found |= {plain, repr(plain)[1:-1], *_in_base64(octets), *escaped, *in_url}
    return found


def _in_base64(octets: bytes) -> set[str]:
    """The characters that stand for ``octets`` alone, wherever they begin within base64, in both alphabets."""
    found = {base64.b64encode(octets).decode().rstrip("=")}
    for offset, unsure in ((0, 0), (1, 2), (2, 3)):
        coded = base64.b64encode(b"\0" * offset + octets).decode()
        whole = (offset + len(octets)) * 8 // 6
        found.add(coded[unsure:whole])
    return found | {form.replace("+", "-").replace("/", "_") for form in found}


_SECRET_KEYS: Final = frozenset({"cookie", "setcookie", "authorization", "proxyauthorization", "passwd", "pwd"})
_SECRET_KEY_ENDINGS: Final = (
    "apikey", "password", "passphrase", "secret", "secretkey", "privatekey", "encryptionkey", "accesskey",
    "accesstoken", "refreshtoken", "idtoken", "authtoken", "sessiontoken", "bearertoken",
)  # fmt: skip
_IDENTITY_KEYS: Final = frozenset({"xopenwebuiuseremail", "xopenwebuiusername", "xforwardedemail", "xauthrequestemail"})


def _names_secret(key: str) -> bool:
    if len(key) > 200:
        return False
    plain = key.lower().replace("-", "").replace("_", "").replace(" ", "")
    return plain in _SECRET_KEYS or plain in _IDENTITY_KEYS or plain.endswith(_SECRET_KEY_ENDINGS)


@frozen
class _Rule:
    """One shape of secret. ``cues`` are lower-case words without any of which the pattern cannot match."""

    cues: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]


def _data_url(match: re.Match[str]) -> str:
    kind, body = match["kind"] or "text/plain", match["body"]
    coded = ";base64" in match["parameters"].lower()
    if not coded and len(body) <= LONGEST_BASE64:
        return match[0]
    size = len(body.rstrip("=")) * 3 // 4 if coded else len(body)
    return f"[{kind} data, {size} bytes]"


def _base64_run(match: re.Match[str]) -> str:
    digits = sum(map(len, re.split(r"\\r|\\n|\s", match[0])))
    return f"[base64 data, {digits * 3 // 4} bytes]" if digits > LONGEST_BASE64 else match[0]


def _basic(match: re.Match[str]) -> str:
    """Basic credentials are ``user:password`` in base64; any other word after "basic" is a word."""
    token = match["token"][:4096]
    try:
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        return match[0]
    return match["scheme"] + REDACTED if b":" in decoded else match[0]


def _assigned(match: re.Match[str]) -> str:
    value = match["value"]
    opening = value[: len(value) - len(value.lstrip("\\\"'"))][:5] if value[0] in "\\\"'" else ""
    if value[0] == "\\":
        return match["name"] + opening + REDACTED  # the closing quote is not part of the match
    return match["name"] + opening[:1] + REDACTED + (opening[:1] if value[-1] == value[0] else "")


def _bearer(match: re.Match[str]) -> str:
    return match[0] if match["token"].lower().rstrip(".") in _BEARER_WORDS else match["scheme"] + REDACTED


_BEARER_WORDS: Final = frozenset({"authentication", "authorization", "credential", "credentials", "scheme", "tokens"})

# A value behind a name: in plain quotes, in quotes escaped once (JSON inside JSON), or bare. What is redacted already is
# left alone, so that redacting twice is redacting once.
_QUOTED: Final = r"""(?:"(?:[^"\\\r\n]|\\.)*+"?|'(?:[^'\\\r\n]|\\.)*+'?|\\{1,4}["'](?:[^"'\\\r\n]|\\[^"'\\])*+)"""
_VALUE_AHEAD: Final = r"""\s{0,4}+(?:b(?=["']))?+(?!\\{0,4}["']?\[redacted\])"""
_ASSIGNED: Final = rf"""\\{{0,4}}+["']?\s{{0,4}}+(?:=>|[:=]){_VALUE_AHEAD}"""
_PAIRED: Final = rf"""(?:\\{{0,4}}+["']\s{{0,4}}+,|\\{{0,4}}+["']?\s{{0,4}}+(?:=>|[:=])){_VALUE_AHEAD}"""
_CREDENTIAL_NAMES: Final = (
    r"api[_-]?key|passw(?:or)?d|passphrase|(?:client|app)[_-]?secret|secret[_-]?key|private[_-]?key|encryption[_-]?key"
    r"|access[_-]?key|(?:access|refresh|id|auth|session|bearer)[_-]?token"
)
_QUERY_NAMES: Final = r"key|token|sig|signature|secret|code|x-amz-signature|x-amz-credential|x-amz-security-token"
_ESCAPED: Final = r"(?<=\\[nrtbf])|(?<=\\[xX][0-9A-Fa-f]{2})|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})"
_START: Final = rf"(?:(?<![A-Za-z0-9])|{_ESCAPED})"
"""Where a word begins: also behind the escape of a line end, a blank or a sign, as JSON, Python and URLs write them."""
_RUN: Final = r"[A-Za-z0-9+/_-]"
_EMAIL: Final = r"(?<![\w.+%-])[\w.+%-]{1,128}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+)+"

_ENCRYPTED: Final = _Rule(("encrypted:",), re.compile(r"(encrypted:)[\w+/=-]{4,}+", re.IGNORECASE), rf"\1{REDACTED}")
_OWN_RULES: Final = (_ENCRYPTED, _Rule(("sk-or-",), re.compile(_START + r"sk-or-[\w-]{6,}+", re.IGNORECASE), REDACTED))
_RULES: Final = (
    _Rule(
        ("data:",),
        re.compile(
            _START + r"data:(?P<kind>[a-z0-9.+-]{1,64}+\\?/[a-z0-9.+-]{1,64}+)?"
            r"(?P<parameters>(?:;\s?[a-z0-9=._\"-]{1,64}+){0,4}+),(?P<body>(?:[^\s\"'<>()\[\]{}\\]|\\/)*+)",
            re.IGNORECASE,
        ),
        _data_url,
    ),
    _Rule(
        ("private key",),
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*+(?:-----END [A-Z ]{0,60}-----)?"),
        "[private key]",
    ),
    _Rule(
        ("authorization", "cookie"),
        re.compile(
            rf"(?P<name>(?:authorization|cookie){_PAIRED})(?P<value>digest\s[^\r\n]*+|{_QUOTED}|[^\r\n\"'\\]++)",
            re.IGNORECASE,
        ),
        _assigned,
    ),
    _Rule(
        ("key", "pass", "secret", "token"),
        re.compile(
            rf"(?P<name>(?:{_CREDENTIAL_NAMES}){_ASSIGNED})(?P<value>{_QUOTED}|[^\s\"'\\,;&}}\])]++)", re.IGNORECASE
        ),
        _assigned,
    ),
    _Rule(
        ("api-key", "api_key"),
        re.compile(rf"(?P<name>x-(?:[a-z]{{1,16}}-)?api[_-]key{_PAIRED})(?P<value>{_QUOTED})", re.IGNORECASE),
        _assigned,
    ),
    _Rule(
        ("x-",),
        re.compile(
            rf"(?P<name>(?<![a-z0-9-])x-[a-z0-9-]{{0,60}}?(?:e-?mail|user-name){_PAIRED})"
            rf"(?P<value>{_QUOTED}|[^\r\n\"'\\,}}]++)",
            re.IGNORECASE,
        ),
        _assigned,
    ),
    _Rule(
        ("bearer",),
        re.compile(
            rf"(?P<scheme>{_START}bearer(?:\s|%20|\+){{1,4}}(?:token(?:\s|%20|\+){{1,4}})?)(?P<token>[\w.~+/=-]{{6,}}+)",
            re.IGNORECASE,
        ),
        _bearer,
    ),
    _Rule(
        ("basic",),
        re.compile(
            rf"(?P<scheme>{_START}basic(?:\s|%20|\+){{1,4}})(?P<token>[A-Za-z0-9+/_-]{{4,}}+)={{0,2}}", re.IGNORECASE
        ),
        _basic,
    ),
    _ENCRYPTED,
    _Rule(("://",), re.compile(r"(://)[^\s/?#\"'<>\\]{1,1024}@"), rf"\1{REDACTED}@"),
    _Rule(
        ("=",),
        re.compile(rf"(?P<name>[?&](?:{_QUERY_NAMES})=)[^\s&\"'<>#\\]{{4,}}+", re.IGNORECASE),
        rf"\g<name>{REDACTED}",
    ),
    # Providers mask keys in their messages (sk-or-v1-abc...789); both ends go.
    _Rule(("sk-",), re.compile(_START + r"sk-[\w-]{6,}+(?:[.*…]{2,20}\w{0,16})?", re.IGNORECASE), REDACTED),
    _Rule(("aiza",), re.compile(_START + r"AIza[\w-]{20,}+"), REDACTED),
    _Rule(
        (
            "gsk_",
            "hf_",
            "ghp_",
            "gho_",
            "ghs_",
            "github_pat_",
            "glpat-",
            "xai-",
            "pplx-",
            "r8_",
            "xox",
            "akia",
            "asia",
            "key-",
            "ya29.",
            "k_live_",
            "k_test_",
        ),
        re.compile(
            _START
            + r"(?:(?:gsk_|hf_|gh[pos]_|github_pat_|glpat-|xai-|pplx-|r8_|key-|ya29\.|[sr]k_(?:live|test)_)[\w-]{16,}+"
            r"|xox[abprs]-[\w-]{10,}+|A[KS]IA[A-Z0-9]{16})"
        ),
        REDACTED,
    ),
    # Behind a character of its own run it does not begin: the run would be read once for each beginning in it.
    _Rule(("eyj",), re.compile(rf"(?:(?<![\w-])|{_ESCAPED})" + r"eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?"), REDACTED),
    _Rule(("user_",), re.compile(_START + r"user_[A-Za-z0-9]{20,64}+"), "[account]"),
    # Wrapped base64 first: lines of 60 to 80 characters; then runs without a break.
    _Rule(
        ("\n", "\\n"),
        re.compile(rf"(?<!{_RUN})(?:{_RUN}{{60,80}}+(?:\r?\n|(?:\\r)?\\n))++{_RUN}*+={{0,2}}"),
        _base64_run,
    ),
    _Rule(
        ("",),
        re.compile(rf"(?<!{_RUN}){_RUN}{{{LONGEST_BASE64 + 1},}}+={{0,2}}"),
        _base64_run,
    ),
)
_EVERY_EMAIL: Final = _Rule(("@",), re.compile(_EMAIL), "[e-mail]")
