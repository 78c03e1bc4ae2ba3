"""fal's other hosts, on the same port: file uploads (rest.fal.ai, v3.fal.media), prices (api.fal.ai), webhook keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.util
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.emulator.account import Account
from pipeline.emulator.core import Reply, Request, Settings
from pipeline.emulator.fal_input import MODELS
from pipeline.types import Json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TOKEN_SECONDS = 3600
USER = "emulator"

_FOLDER = "/files/b/emulator/"
_PUT = "/storage/upload/put/"


class Rest:
    """Uploads as fal's Python client makes them, the price list, and the signing of webhooks."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._secret = hashlib.sha256(f"fal webhooks {settings.seed}".encode()).digest()
        self._awaited: dict[str, str] = {}  # id of an upload that was announced → its content type

    def is_upload(self, request: Request) -> bool:
        """Whether a request belongs to an upload."""
        return request.path.startswith(("/storage/", "/files/upload"))

    def is_open(self, request: Request) -> bool:
        """Whether a request needs no API key: uploads carry a token or a signed link instead, files are public."""
        return request.path.startswith((_FOLDER, _PUT, "/files/upload", "/.well-known/", "/v1/meta"))

    def handle(self, request: Request) -> Reply | None:
        """Answer a request to one of these hosts; None when it is to another."""
        match request.method, request.path:
            case "GET", "/.well-known/jwks.json":
                return Reply(json={"keys": [self._public_key()]})
            case "GET", "/v1/meta":
                return Reply(json={"webhook_ip_ranges": ["127.0.0.1/32"]})
            case "GET", "/v1/models/pricing":
                return _prices(request)
            case "POST", "/storage/auth/token":
                return self._token(request)
            case "POST", "/files/upload":
                return self._upload(request)
            case "POST", "/storage/upload/initiate":
                return self._announce(request)
            case "PUT", path if path.startswith(_PUT):
                return self._put(request)
            case "GET", path if path.startswith(_FOLDER):
                found = self._account.uploaded(path.removeprefix(_FOLDER))
                return Reply(data=found[0], kind=found[1]) if found else Reply(404, {"detail": "Not Found"})
        return None

    def is_gone(self, url: str, base: str) -> bool:
        """Whether a link into this emulator's uploads leads nowhere."""
        start = base + _FOLDER
        return url.startswith(start) and self._account.uploaded(url.removeprefix(start)) is None

    # ── uploads (fal's Python client, and its documentation of the CDN) ─────────────────────────

    def _token(self, request: Request) -> Reply:
        if request.query.get("storage_type") != "fal-cdn-v3":
            return Reply(400, {"detail": "storage_type must be fal-cdn-v3"})
        ends = datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS)
        token = f"{ends.timestamp():.0f}.{uuid.uuid4().hex}"
        signed = f"{token}.{self._seal(token)}"
        told: Json = {
            "token": signed,
            "token_type": "Bearer",
            "base_url": request.base,
            "expires_at": ends.isoformat(timespec="seconds"),
        }
        return Reply(json=told)

    def _seal(self, token: str) -> str:
        return hmac.new(self._secret, token.encode(), "sha256").hexdigest()

    def _is_ours(self, authorization: str) -> bool:
        scheme, _, signed = authorization.partition(" ")
        token, _, seal = signed.rpartition(".")
        good = hmac.compare_digest(seal.encode(), self._seal(token).encode())
        return scheme.lower() == "bearer" and good and float(token.partition(".")[0]) > time.time()

    def _upload(self, request: Request) -> Reply:
        if not self._is_ours(request.headers.get("authorization", "")):
            return Reply(401, {"detail": "Invalid or expired token"})
        kind = request.headers.get("content-type", "")
        if not kind:
            return Reply(400, {"detail": "Content-Type is required"})
        name = _file_id(request.headers.get("x-fal-file-name", "upload.bin"))
        self._account.upload(name, request.body, kind)
        return Reply(json={"access_url": request.base + _FOLDER + name})

    def _announce(self, request: Request) -> Reply:
        body = request.json()
        if request.query.get("storage_type") not in ("gcs", "fal-cdn-v3"):
            return Reply(400, {"detail": "storage_type must be gcs or fal-cdn-v3"})
        if not isinstance(body, dict) or not all(isinstance(body.get(k), str) for k in ("file_name", "content_type")):
            return Reply(422, {"detail": "file_name and content_type are required"})
        name = _file_id(str(body["file_name"]))
        self._awaited[name] = str(body["content_type"])
        upload = f"{request.base}{_PUT}{name}?signature={self._seal(name)}"
        return Reply(json={"upload_url": upload, "file_url": request.base + _FOLDER + name})

    def _put(self, request: Request) -> Reply:
        name = request.path.removeprefix(_PUT)
        kind = self._awaited.get(name)
        if kind is None or not hmac.compare_digest(
            request.query.get("signature", "").encode(), self._seal(name).encode()
        ):
            return Reply(403, {"detail": "The signature of the link does not match"})
        if request.headers.get("content-type") != kind:
            return Reply(403, {"detail": f"The link was made for Content-Type {kind}"})
        self._account.upload(name, request.body, kind)
        return Reply(data=b"", kind="text/plain")

    # ── signing (fal's webhooks page) ───────────────────────────────────────────────────────────

    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._secret)

    def _public_key(self) -> Json:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        raw = self._key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "emulator", "x": x}

    def signed(self, request_id: str, body: Json) -> tuple[bytes, Mapping[str, str]]:
        """A webhook's bytes and headers: Ed25519 over request id, user id, Unix time and the body's SHA-256."""
        data = json.dumps(body, ensure_ascii=False).encode()
        now = str(int(time.time()))
        message = "\n".join([request_id, USER, now, hashlib.sha256(data).hexdigest()])
        return data, {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": USER,
            "X-Fal-Webhook-Timestamp": now,
            "X-Fal-Webhook-Signature": self._key().sign(message.encode()).hex(),
        }


def can_sign() -> bool:
    """Whether the package that signs webhooks is there; it is no dependency of the emulator's other parts."""
    return importlib.util.find_spec("cryptography") is not None


def _prices(request: Request) -> Reply:
    asked = request.all("endpoint_id")
    if not asked or not all(name in MODELS for each in asked for name in each.split(",")):
        return Reply(404, {"detail": "Unknown endpoint_id"})
    rows: list[Json] = [
        {"endpoint_id": name, "unit_price": MODELS[name].usd / 1_000_000, "unit": "images", "currency": "USD"}
        for each in asked
        for name in each.split(",")
    ]
    return Reply(json={"prices": rows})


def _file_id(name: str) -> str:
    """A name of its own for an uploaded file, with the extension it had."""
    ending = urlsplit(name).path.rpartition(".")[2]
    return f"{uuid.uuid4().hex}.{ending}" if ending.isalnum() and "." in name else uuid.uuid4().hex
