"""Deliveries over real sockets: a genuine one ends a wait, and whatever else arrives changes nothing."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.at_work import at_work
from fakes.work import HANGS

from pipeline.addresses import Reach
from pipeline.engine.hints import Hints
from pipeline.errors import PipelineError, UsageError
from pipeline.models import load_model
from pipeline.types import Provider
from pipeline.webhooks import AGAIN, CLOCKS, EACH, KEPT, MOST, Listener, Place, place

REQUEST = "7b7cbb0c-5a3f-4a4e-9d4b-6f0f7a3d0001"
OTHER = "7b7cbb0c-5a3f-4a4e-9d4b-6f0f7a3d0002"
NOW = 1_700_000_000.0
LOOPBACK = Place("127.0.0.1", 0)
BODY = b'{"status": "OK"}'


def provider(gateway: str, base_url: str | None = None) -> Provider:
    """A provider of the real model."""
    return Provider(gateway, load_model("kling-image-o1").offers[gateway], 28_000, 4, base_url)


class KeyServer(HTTPServer):
    """fal's key set on loopback. ``raw`` is what it answers, ``asked`` the headers of each request for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _KeyHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[dict[str, str]] = []
        self.raw = b""

    def hold(self, *keys: Ed25519PrivateKey, extra: tuple[Any, ...] = ()) -> None:
        """Show the public halves of these keys."""
        raw = [key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in keys]
        entries = [
            {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(x).rstrip(b"=").decode()} for x in raw
        ]
        self.raw = json.dumps({"keys": [*extra, *entries]}).encode()


class _KeyHandler(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        found = self.path == "/.well-known/jwks.json" and self.server.raw
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(self.server.raw)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    """A running key server."""
    with at_work(KeyServer()) as server:
        yield server


def send(
    url: str, body: bytes = BODY, headers: dict[str, str] | None = None, method: str = "POST", *, chunked: bool = False
) -> int:
    """Deliver, and return the status that answers it."""
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=HANGS)) as connection:
        sent: Any = iter([body[:7], body[7:]]) if chunked else body
        connection.request(method, parts.path, sent, headers or {}, encode_chunked=chunked)
        answer = connection.getresponse()
        assert answer.read() == b""
        return answer.status


def signed(
    key: Ed25519PrivateKey, body: bytes = BODY, *, stamp: float = NOW, fal_id: str = "fal-1", user: str = "us|er"
) -> dict[str, str]:
    """The headers of a delivery by fal."""
    given = [fal_id, user, f"{stamp:.0f}"]
    message = "\n".join([*given, hashlib.sha256(body).hexdigest()])
    names = [f"X-Fal-Webhook-{name}" for name in ("Request-Id", "User-Id", "Timestamp", "Signature")]
    return dict(zip(names, [*given, key.sign(message.encode()).hex()], strict=True))


class Stage:
    """A listener with what it told, under a clock that tests set."""

    def __init__(self, *providers: Provider) -> None:
        self.told: list[str] = []
        self.now = NOW
        self.providers = {each.offer.gateway: each for each in providers}
        self.listener = Listener(LOOPBACK, providers, self.told.append, now=lambda: self.now, reach=Reach(private=True))

    def __enter__(self) -> Self:
        self.listener.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.listener.__exit__(*error)

    def job(self, gateway: str, request: str = REQUEST) -> dict[str, str]:
        """What a job of this gateway is given."""
        return self.listener.address(self.providers[gateway], request)


# ── addresses ───────────────────────────────────────────────────────────────────────────────────


def test_each_request_has_an_address_of_its_own() -> None:
    """By gateway and request, different in every run; only Each Labs has a secret beside, and AIML API no webhook."""
    given = [provider(name) for name in ("fal", "aimlapi", "eachlabs", "runware")]
    with Stage(*given) as stage, Stage(*given) as other:
        jobs = [stage.job(name, request) for name in ("fal", "eachlabs", "runware") for request in (REQUEST, OTHER)]
        assert [sorted(job) for job in jobs] == [["webhook"]] * 2 + [["secret", "webhook"]] * 2 + [["webhook"]] * 2
        tokens = [job["webhook"].rpartition("/")[2] for job in jobs] + [job.get("secret") for job in jobs[2:4]]
        assert len(set(tokens)) == len(tokens) == 8
        assert all(len(token or "") == 64 for token in tokens)
        assert stage.job("fal")["webhook"].startswith(f"http://127.0.0.1:{stage.listener.port}/fal/{REQUEST}/")
        assert stage.job("fal") == jobs[0]
        assert other.job("fal")["webhook"].rpartition("/")[2] != tokens[0]
        assert stage.job("aimlapi") == {}


def test_the_public_address_may_have_a_path() -> None:
    """A proxy may keep the prefix or take it away."""
    where = Place("127.0.0.1", 0, "https://example.com/hooks")
    told: list[str] = []
    with Listener(where, [provider("runware")], told.append) as listener:
        public = listener.address(provider("runware"), REQUEST)["webhook"]
        assert public.startswith(f"https://example.com/hooks/runware/{REQUEST}/")
        here = f"http://127.0.0.1:{listener.port}"
        assert send(here + urlsplit(public).path) == 200
        assert send(here + urlsplit(public).path.removeprefix("/hooks") + "?retry=1", b"[]") == 200
    assert told == [REQUEST] * 2


# ── fal ─────────────────────────────────────────────────────────────────────────────────────────


def test_fal_is_believed_by_its_signature(keys: KeyServer) -> None:
    """A signed delivery is told; the keys are asked for once, and without a key of ours."""
    key = Ed25519PrivateKey.generate()
    junk = (
        "x",
        {"x": 3},
        {"crv": "P-256", "x": "AAAA"},
        {"x": "AA"},
        {"x": "é"},
        {"x": base64.b64encode(b"\xff" * 32).decode()},
    )
    keys.hold(Ed25519PrivateKey.generate(), key, extra=junk)
    with Stage(provider("fal", keys.url)) as stage:
        url, other = (stage.job("fal", request)["webhook"] for request in (REQUEST, OTHER))
        assert send(url, headers=signed(key)) == 200
        assert send(other, headers=signed(key, fal_id="fal-2"), chunked=True) == 200
        assert stage.told == [REQUEST, OTHER]
        assert stage.listener.refused == 0
    assert len(keys.asked) == 1
    assert not {"authorization", "x-api-key"} & set(keys.asked[0])


FORGERIES: dict[str, Callable[[dict[str, str], Ed25519PrivateKey], dict[str, str]]] = {
    "another's key": lambda good, key: signed(Ed25519PrivateKey.generate()),
    "another body": lambda good, key: signed(key, b"{}"),
    "another request": lambda good, key: good | {"X-Fal-Webhook-Request-Id": "fal-2"},
    "another user": lambda good, key: good | {"X-Fal-Webhook-User-Id": "me"},
    "another time": lambda good, key: good | {"X-Fal-Webhook-Timestamp": f"{NOW + 1:.0f}"},
    "no signature": lambda good, key: {n: v for n, v in good.items() if "Signature" not in n},
    "no headers": lambda good, key: {},
    "no hex": lambda good, key: good | {"X-Fal-Webhook-Signature": "xyz"},
    "short": lambda good, key: good | {"X-Fal-Webhook-Signature": "abcd"},
    "too old": lambda good, key: signed(key, stamp=NOW - CLOCKS - 1),
    "too new": lambda good, key: signed(key, stamp=NOW + CLOCKS + 1),
    "no time": lambda good, key: good | {"X-Fal-Webhook-Timestamp": "nan"},
    "endless time": lambda good, key: good | {"X-Fal-Webhook-Timestamp": "9" * 5000},
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forged_delivery_of_fal_is_refused(keys: KeyServer, kind: str) -> None:
    """Even at the right address; and it doesn't keep the genuine one out."""
    key = Ed25519PrivateKey.generate()
    keys.hold(key)
    with Stage(provider("fal", keys.url)) as stage:
        url = stage.job("fal")["webhook"]
        assert send(url, headers=FORGERIES[kind](signed(key), key)) == 401
        assert (stage.told, stage.listener.refused) == ([], 1)
        assert send(url, headers=signed(key)) == 200
        assert stage.told == [REQUEST]


@pytest.mark.parametrize("off", [-CLOCKS, CLOCKS])
def test_clocks_may_differ_by_five_minutes(keys: KeyServer, off: float) -> None:
    """Either way, as fal's page says."""
    key = Ed25519PrivateKey.generate()
    keys.hold(key)
    with Stage(provider("fal", keys.url)) as stage:
        assert send(stage.job("fal")["webhook"], headers=signed(key, stamp=NOW + off)) == 200


def test_a_replay_is_answered_and_ignored(keys: KeyServer) -> None:
    """The same again, and the same signed anew; at another request's address it needs that one's token."""
    key = Ed25519PrivateKey.generate()
    keys.hold(key)
    with Stage(provider("fal", keys.url)) as stage:
        url, other = (stage.job("fal", request)["webhook"] for request in (REQUEST, OTHER))
        statuses = [send(url, headers=signed(key)) for _ in range(3)]
        stage.now += 10
        statuses.append(send(url, headers=signed(key, stamp=stage.now)))
        assert (statuses, stage.told) == ([200] * 4, [REQUEST])
        assert send(url.replace(REQUEST, OTHER), headers=signed(key)) == 401
        stage.now += CLOCKS
        assert send(url, headers=signed(key)) == 401
        assert other != url.replace(REQUEST, OTHER)
        assert stage.told == [REQUEST]


def test_keys_are_asked_for_again_when_one_is_new_and_once_a_minute(keys: KeyServer) -> None:
    """A key that fal took up since is found; forgeries can't make us ask more often; after a day all are fetched."""
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    keys.hold(old)
    with Stage(provider("fal", keys.url)) as stage:

        def deliver(key: Ed25519PrivateKey, number: int) -> int:
            url = stage.job("fal")["webhook"]
            return send(url, headers=signed(key, stamp=stage.now, fal_id=f"fal-{number}"))

        assert deliver(old, 0) == 200
        keys.hold(new)
        assert [deliver(new, 1) for _ in range(5)] == [401] * 5, "asked a moment ago"
        assert len(keys.asked) == 1
        stage.now += AGAIN
        assert (deliver(new, 2), deliver(new, 3), len(keys.asked)) == (200, 200, 2)
        assert deliver(old, 4) == 401
        stage.now += KEPT - 1
        assert (deliver(new, 5), len(keys.asked)) == (200, 2)
        stage.now += 1
        keys.hold(old)
        assert (deliver(new, 6), len(keys.asked)) == (401, 3)
        assert deliver(old, 7) == 200


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"keys": 3}', b"[" * 100_000, b" " * (MOST + 1)])
def test_without_keys_nobody_is_believed(keys: KeyServer, raw: bytes) -> None:
    """fal is asked to deliver again, and that is taken once the keys are there."""
    key = Ed25519PrivateKey.generate()
    keys.raw = raw
    with Stage(provider("fal", keys.url)) as stage:
        url = stage.job("fal")["webhook"]
        assert send(url, headers=signed(key)) == 503
        assert (stage.told, stage.listener.refused) == ([], 0)
        keys.hold(key)
        stage.now += AGAIN
        assert send(url, headers=signed(key)) == 200


def test_fal_without_its_package_is_told_before_anything_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that helps; the others need no package."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(PipelineError, match=r"pip install 'campaign-pipeline\[webhooks\]'"):
        Listener(LOOPBACK, [provider("runware"), provider("fal")], print)
    assert Listener(LOOPBACK, [provider("runware"), provider("eachlabs")], print).refused == 0


# ── Each Labs and Runware ───────────────────────────────────────────────────────────────────────


def test_each_labs_is_believed_by_its_secret() -> None:
    """Address and secret, both this request's own; the same again is ignored."""
    with Stage(provider("eachlabs")) as stage:
        job, other = stage.job("eachlabs"), stage.job("eachlabs", OTHER)
        for wrong in ({}, {"X-Webhook-Secret": ""}, {"X-Webhook-Secret": other["secret"]}, {"X-Webhook-Secret": "é"}):
            assert send(job["webhook"], headers=wrong) == 401
        assert send(other["webhook"], headers={"X-Webhook-Secret": job["secret"]}) == 401
        assert (stage.told, stage.listener.refused) == ([], 5)
        assert [send(job["webhook"], headers={"x-webhook-secret": job["secret"]}) for _ in range(2)] == [200, 200]
        assert stage.told == [REQUEST]


def test_runware_is_believed_by_the_address_alone() -> None:
    """One delivery for each result, in each of its shapes; the same again is ignored, and there is an end to them."""
    bodies: list[Any] = [{"imageUUID": "1"}, {"data": [{"imageUUID": "2"}]}, [{"imageUUID": "3"}], {"errors": []}]
    with Stage(provider("runware")) as stage:
        url = stage.job("runware")["webhook"]
        for body in bodies * 2:
            assert send(url, json.dumps(body).encode()) == 200
        assert stage.told == [REQUEST] * 4
        for number in range(EACH + 5):
            assert send(url, json.dumps([number]).encode()) == 200
        assert len(stage.told) == EACH


def test_a_wrong_token_is_refused_everywhere(keys: KeyServer) -> None:
    """Even with the gateway's own proof; so nobody can make us fetch keys, either."""
    key = Ed25519PrivateKey.generate()
    keys.hold(key)
    with Stage(provider("fal", keys.url), provider("eachlabs"), provider("runware")) as stage:
        each = stage.job("eachlabs")
        proofs = {"fal": signed(key), "eachlabs": {"X-Webhook-Secret": each["secret"]}, "runware": {}}
        for gateway, proof in proofs.items():
            start, _, token = stage.job(gateway)["webhook"].rpartition("/")
            for wrong in ("0" * 64, token.upper(), token[:-1], "%E9"):
                assert send(f"{start}/{wrong}", headers=proof) == 401
        other = stage.job("eachlabs")["webhook"].replace("/eachlabs/", "/runware/")
        assert send(other) == 401, "a token is for one gateway"
        assert (stage.told, keys.asked) == ([], [])


# ── what strangers send ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", f"/aimlapi/{REQUEST}/0", f"/runware/{REQUEST}", "/a/b/c/d", "/*"]
)
def test_other_paths_are_not_found(path: str) -> None:
    """And don't count as forged: the internet is full of those who look for something else."""
    with Stage(provider("runware")) as stage:
        assert send(f"http://127.0.0.1:{stage.listener.port}{path}") == 404
        assert stage.listener.refused == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post_delivers(method: str) -> None:
    """At the right address, too."""
    with Stage(provider("runware")) as stage:
        assert send(stage.job("runware")["webhook"], method=method) == 405
        assert stage.told == []


@pytest.mark.parametrize("body", [b"", b"hello", b'{"a": ', b'"text"', b"3", b"\xff\xfe{}", b"[" * 100_000])
def test_garbage_is_no_delivery(body: bytes) -> None:
    """Not even at the right address."""
    with Stage(provider("runware")) as stage:
        assert send(stage.job("runware")["webhook"], body) == 400
        assert stage.told == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_not_read(chunked: bool) -> None:
    """One of exactly a mebibyte is."""
    with Stage(provider("runware")) as stage:
        url = stage.job("runware")["webhook"]
        whole = b"[" + b" " * (MOST - 2) + b"]"
        assert send(url, whole + b" ", chunked=chunked) == 413
        assert stage.told == []
        assert send(url, whole, chunked=chunked) == 200


RAW = [
    b"Content-Length: ten",
    b"Content-Length: -1",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
    b"Content-Length: 50\r\n\r\n{}",
]


@pytest.mark.parametrize("head", RAW)
def test_a_broken_request_breaks_nothing(head: bytes) -> None:
    """It is answered 400, and the next delivery is taken."""
    with Stage(provider("runware")) as stage:
        url = stage.job("runware")["webhook"]
        path = urlsplit(url).path.encode()
        with socket.create_connection(("127.0.0.1", stage.listener.port), timeout=HANGS) as connection:
            connection.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: here\r\n" + head + b"\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
        assert stage.told == []
        assert send(url) == 200


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """An address holds a token, and a terminal may be a log."""
    with Stage(provider("runware")) as stage:
        url = stage.job("runware")["webhook"]
        assert [send(url), send(url, b"x"), send(url + "x"), send(url, method="GET")] == [200, 400, 401, 405]
        with socket.create_connection(("127.0.0.1", stage.listener.port), timeout=HANGS) as connection:
            connection.sendall(b"BREW /" + url.encode() + b" HTTP/9.9\r\n\r\n")
            assert connection.makefile("rb").read()
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")


# ── hints ───────────────────────────────────────────────────────────────────────────────────────


async def ends(hints: Hints, request: str) -> bool:
    """Whether a wait that begins now ends by itself: it has, or never will, when every task waits."""
    ended = False
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            nonlocal ended
            await hints.wait(request, 3600)
            ended = True

        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    return ended


def test_a_hint_ends_a_wait_and_a_forged_one_does_not() -> None:
    """The delivery comes in a thread of the listener's, the wait is in the event loop."""
    hints = Hints()
    ended: list[str] = []

    async def wait() -> None:
        await hints.wait(REQUEST, 3600)
        ended.append(REQUEST)

    async def main(listener: Listener) -> None:
        hints.attach()
        job = listener.address(provider("eachlabs"), REQUEST)
        good = {"X-Webhook-Secret": job["secret"]}

        async def deliver(url: str, headers: dict[str, str]) -> int:
            status = await anyio.to_thread.run_sync(partial(send, url, headers=headers))
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            return status

        with anyio.fail_after(HANGS):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                assert await deliver(job["webhook"], {}) == 401
                assert await deliver(job["webhook"] + "0", good) == 401
                assert ended == []
                assert await deliver(job["webhook"], good) == 200
            assert ended == [REQUEST]
            assert await deliver(job["webhook"], good) == 200
            assert not await ends(hints, REQUEST)

    with Listener(LOOPBACK, [provider("eachlabs")], hints.tell) as listener:
        anyio.run(main, listener)


def test_a_hint_that_comes_before_the_wait_is_kept_for_it() -> None:
    """A gateway may be done before our next wait begins; the wait after that one is whole again."""

    async def main() -> None:
        hints = Hints()
        hints.attach()
        hints.tell(REQUEST)
        hints.tell(REQUEST)
        with anyio.fail_after(HANGS):
            await hints.wait(OTHER, 0.001)
            await hints.wait(REQUEST, 3600)
        assert not await ends(hints, REQUEST)

    anyio.run(main)


def test_a_hint_after_the_run_is_nobodys() -> None:
    """Its loop is closed, and a late delivery is no error."""
    hints = Hints()

    async def main() -> None:
        hints.attach()

    anyio.run(main)
    hints.tell(REQUEST)
    assert not hints._early


# ── the command line's two options ──────────────────────────────────────────────────────────────


def test_both_options_say_where() -> None:
    """Without both there is none; a rehearsal needs only the place to listen at."""
    assert place(None, None, rehearsal=False) is None
    assert place("https://a.example/x/", "0.0.0.0:80", rehearsal=False) == Place("0.0.0.0", 80, "https://a.example/x")  # noqa: S104
    assert place("http://127.0.0.1:8/", "[::1]:0", rehearsal=False) == Place("::1", 0, "http://127.0.0.1:8")
    assert place("http://localhost", "localhost:65535", rehearsal=True) == Place("localhost", 65535, "http://localhost")
    assert place(None, "127.0.0.1:0", rehearsal=True) == LOOPBACK


WRONG = [
    ("https://a.example", None, "add --webhook-listen HOST:PORT"),
    (None, "127.0.0.1:80", "add --webhook-url https://"),
    *(
        ("https://a.example", listen, "is not HOST:PORT")
        for listen in ("", "80", ":80", "a:", "a:b", "a:65536", "::1:80")
    ),
    ("https://a.example", "a:-1", "is not HOST:PORT"),
    ("https://a.example", "a:²", "is not HOST:PORT"),
    ("http://a.example", "a:1", "deliver to https:// only"),
    ("ftp://127.0.0.1", "a:1", "deliver to https:// only"),
    ("a.example", "a:1", "is no address"),
    ("https://", "a:1", "is no address"),
    ("https://a.example/b c", "a:1", "is no address"),
    ("https://a.example:port", "a:1", "is no address"),
    ("https://me:canary@a.example", "a:1", "takes no user name"),
    ("https://a.example/?key=canary", "a:1", "takes no user name, query"),
    ("https://a.example/#canary", "a:1", "takes no user name, query or fragment"),
]


@pytest.mark.parametrize(("url", "listen", "words"), WRONG)
def test_wrong_options_are_explained(url: str | None, listen: str | None, words: str) -> None:
    """As a bad command line, with the next step, and without what may be secret."""
    with pytest.raises(UsageError, match="--webhook-") as caught:
        place(url, listen, rehearsal=False)
    assert words in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_place_that_is_taken_is_told() -> None:
    """With its name, the system's reason and the next step."""
    with Stage() as stage:
        taken = Place("127.0.0.1", stage.listener.port)
        with pytest.raises(PipelineError, match="in use; name an address of this machine and a free port"):
            Listener(taken, [], print).__enter__()
