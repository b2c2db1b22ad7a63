"""The three object stores that Open WebUI can keep files in, as small servers on loopback: S3, Google Cloud Storage, Azure.

As much of each interface as the host's own storage classes use with their real client libraries. Signatures are not checked.
``settings`` are the environment variables that lead a host there, ``objects`` what it holds by name. Not here: assertions.
"""

import contextlib
import email
import email.policy
import http.server
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import body_of, running

_DATE = "Sun, 06 Nov 2022 08:49:37 GMT"


@dataclass
class ObjectStore:
    """One store; ``reads`` names the objects whose content was asked for, oldest first."""

    kind: str
    settings: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    parts: dict[int, bytes] = field(default_factory=dict)  # of the one large upload under way


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # clients ask for 100-continue
    store: ObjectStore

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def name(self) -> str:
        """The object's name: the path behind the bucket."""
        return unquote(urlsplit(self.path).path).split("/", 2)[-1]

    def body(self) -> bytes:
        return body_of(self)

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        defaults = {"Content-Type": "application/octet-stream", "ETag": '"0x1"', "Last-Modified": _DATE}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {**defaults, "Content-Length": str(len(content)), **named}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self) -> None:
        self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", Content_Type="application/xml")

    def content(self, name: str, **headers: str) -> None:
        """The object, or the range of it that is asked for."""
        data = self.store.objects.get(name)
        if data is None:
            self.missing()
            return
        if self.command == "HEAD":
            self.answer(200, b"", **{**headers, "Content-Length": str(len(data))})
            return
        self.store.reads.append(name)
        wanted = self.headers.get("x-ms-range") or self.headers.get("Range") or ""
        found = re.match(r"bytes=(\d+)-(\d*)", wanted)
        if not found:
            self.answer(200, data, **headers)
            return
        first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
        headers["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
        self.answer(206, data[first : last + 1], **headers)


class _S3(_Handler):
    """Path-style requests: ``/bucket/key``; large objects come in parts."""

    @property
    def asked(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def do_PUT(self) -> None:
        data, asked = self.body(), self.asked
        if "partNumber" in asked:
            self.store.parts[int(asked["partNumber"][0])] = data
        elif "tagging" not in asked:
            self.store.objects[self.name] = data
        self.answer(200)

    def do_POST(self) -> None:
        self.body()
        if "uploads" in self.asked:
            self.store.parts.clear()
            reply = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        else:
            self.store.objects[self.name] = b"".join(data for _, data in sorted(self.store.parts.items()))
            reply = b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
        self.answer(200, reply, Content_Type="application/xml")

    def do_GET(self) -> None:
        self.content(self.name)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.store.objects.pop(self.name, None)
        self.answer(204)


class _Gcs(_Handler):
    """The JSON interface: ``/storage/v1/b/bucket/o/name``, content under ``/download``, uploads under ``/upload``.

    Uploads over eight megabytes would need a checksum that Python does not have.
    """

    @property
    def name(self) -> str:
        return unquote(urlsplit(self.path).path.rpartition("/")[2])

    def resource(self, name: str) -> None:
        size = str(len(self.store.objects[name]))
        found = {"kind": "storage#object", "name": name, "bucket": "files", "size": size, "generation": "1"}
        self.answer(200, json.dumps(found).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + self.body(), policy=email.policy.HTTP)
        told, content = message.iter_parts()  # type: ignore[attr-defined]
        name = json.loads(told.get_payload(decode=True))["name"]
        self.store.objects[name] = content.get_payload(decode=True)
        self.resource(name)

    def do_GET(self) -> None:
        if "/download/" in self.path or "alt=media" in self.path:
            self.content(self.name)
        elif self.name in self.store.objects:
            self.resource(self.name)
        else:
            self.missing()

    def do_DELETE(self) -> None:
        self.store.objects.pop(self.name, None)
        self.answer(204)


class _Azure(_Handler):
    """Blobs: ``/account/container/name``."""

    @property
    def name(self) -> str:
        return unquote(urlsplit(self.path).path).split("/", 3)[-1]

    def do_PUT(self) -> None:
        self.store.objects[self.name] = self.body()
        self.answer(201, x_ms_request_id=str(uuid.uuid4()), x_ms_request_server_encrypted="true")

    def do_GET(self) -> None:
        self.content(self.name, x_ms_blob_type="BlockBlob", x_ms_request_id=str(uuid.uuid4()))

    def do_HEAD(self) -> None:
        self.do_GET()

    def missing(self) -> None:
        body = b'<?xml version="1.0"?><Error><Code>BlobNotFound</Code><Message>gone</Message></Error>'
        self.answer(404, body, Content_Type="application/xml", x_ms_error_code="BlobNotFound")

    def do_DELETE(self) -> None:
        self.store.objects.pop(self.name, None)
        self.answer(202)


KINDS: dict[str, type[_Handler]] = {"s3": _S3, "gcs": _Gcs, "azure": _Azure}


def _settings(kind: str, url: str) -> dict[str, str]:
    common = {"STORAGE_PROVIDER": kind, "NO_PROXY": "127.0.0.1"}
    match kind:
        case "s3":
            return common | {
                "S3_ENDPOINT_URL": url,
                "S3_BUCKET_NAME": "files",
                "S3_KEY_PREFIX": "open-webui/",
                "S3_REGION_NAME": "us-east-1",
                "S3_ACCESS_KEY_ID": "key",
                "S3_SECRET_ACCESS_KEY": "secret",
                "S3_ADDRESSING_STYLE": "path",
                "S3_ENABLE_TAGGING": "true",
            }
        case "gcs":
            return common | {"STORAGE_EMULATOR_HOST": url, "GCS_BUCKET_NAME": "files", "GOOGLE_CLOUD_PROJECT": "tests"}
        case _:
            key = "c2VjcmV0"  # base64, as real keys are
            return common | {
                "AZURE_STORAGE_ENDPOINT": f"{url}/account",
                "AZURE_STORAGE_CONTAINER_NAME": "files",
                "AZURE_STORAGE_KEY": key,
            }


@contextlib.contextmanager
def object_store(kind: str) -> Iterator[ObjectStore]:
    """A running store of one of ``KINDS``."""
    store = ObjectStore(kind)
    handler = type(f"{kind} store", (KINDS[kind],), {"store": store})
    with running(handler) as url:
        store.settings = _settings(kind, url)
        yield store
