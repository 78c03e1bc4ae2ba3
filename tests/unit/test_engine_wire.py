"""One exchange with a gateway, and several that travel as one: what is sent, what is lost, what is never shown."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from urllib.parse import quote

import anyio
import pytest
from fakes.hostile import DROP, Reply, Spoil, hostile
from fakes.work import HANGS

from pipeline.addresses import Reach
from pipeline.engine.merge import Merge
from pipeline.engine.wire import LEAST_SECRET, Wire
from pipeline.errors import LostAnswer, TryLater
from pipeline.types import Answer, Call, Json

KEY = "canary:0123456789/+abc="


def asked(spoil: Spoil, *, secrets: tuple[str, ...] = (KEY,)) -> Answer:
    """One call through a wire that keeps these secrets, to a server that answers so."""

    async def main(url: str) -> Answer:
        wire = Wire(secrets=secrets, reach=Reach(private=True))
        try:
            return await wire.send(Call("GET", f"{url}/fal-ai/x/requests/1", seconds=10.0))
        finally:
            await wire.close()

    with hostile(spoil) as server:
        return anyio.run(main, server.url)


def answering(body: bytes | Json, headers: dict[str, str] | None = None) -> Spoil:
    """A server that always answers this."""
    return lambda server, request: Reply(200, body, headers or {})


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "spelt",
    [
        KEY,
        KEY.replace("/", "\\/"),
        KEY.replace("+", "\\u002b"),
        "".join(f"\\u{ord(sign):04X}" for sign in KEY),
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        quote(KEY, safe=":+="),
        "".join(f"%{ord(sign):02x}" for sign in KEY),
        KEY.replace("+", "&#43;").replace("/", "&#0047;"),
        KEY.replace("+", "&#x2B;").replace("/", "&#X2f;"),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(b"u:" + KEY.encode()).decode(),
    ],
)
def test_a_secret_is_blotted_out_however_it_is_spelt(spelt: str) -> None:
    """In a text, in the name of a field, in a list; and nothing else with it."""
    answer = asked(answering(f'{{"said": ["bad key {spelt} !"], "{spelt}": 1, "id": "x-1"}}'.encode()))
    assert isinstance(answer.json, dict)
    names, told = list(answer.json), json.dumps(answer.json, ensure_ascii=False)
    assert answer.json["id"] == "x-1"
    assert "***" in names[1]
    assert told.count("***") == 2
    assert "bad key " in told
    assert " !" in told
    assert json.loads(f'"{spelt}"') not in told
    assert KEY[7:15] not in told


def test_a_secret_is_blotted_out_of_headers() -> None:
    """They are read, and kept with the receipt."""
    answer = asked(answering({}, {"X-Echo": f"Key {KEY}", "X-Other": "plain"}))
    assert (answer.headers["x-echo"], answer.headers["x-other"]) == ("Key ***", "plain")


@pytest.mark.parametrize("secret", ["x", "id", "http", "status"])
def test_a_short_secret_blots_nothing(secret: str) -> None:
    """It stands in every answer by chance; blotted out, an answer says nothing any more."""
    assert len(secret) < LEAST_SECRET
    told: Json = {"request_id": "x1", "status_url": "http://127.0.0.1/status"}
    assert asked(answering(told), secrets=(secret,)).json == told


# ── what arrives ────────────────────────────────────────────────────────────────────────────────


def test_an_answer_in_gzip_is_read() -> None:
    """It was not asked for, and some proxies send it all the same."""
    packed = gzip.compress(b'{"request_id": "x"}')
    assert asked(answering(packed, {"Content-Encoding": "gzip"})).json == {"request_id": "x"}


def test_a_connection_that_is_cut_is_a_lost_answer() -> None:
    """Whether the request arrived can't be told."""
    with pytest.raises(LostAnswer):
        asked(lambda server, request: DROP)


def test_an_answer_nested_without_end_is_no_json() -> None:
    """It is read as an answer that says nothing."""
    assert asked(answering(b"[" * 100_000 + b"]" * 100_000)).json is None


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """A proxy that lets nobody through."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.join(HANGS)


def test_what_a_proxy_refuses_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tunnel was never there, so nothing can have been paid: it may be tried again."""
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    async def main() -> None:
        wire = Wire()
        try:
            await wire.send(Call("POST", "https://queue.example/x", json={}, paid=True, seconds=10.0))
        finally:
            await wire.close()

    with refusing() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(TryLater, match="ProxyError: the proxy answered 502 Bad Gateway"):
            anyio.run(main)


# ── calls that travel together ──────────────────────────────────────────────────────────────────


def poll(number: int) -> Call:
    """One part of a merged call."""
    return Call("POST", "http://127.0.0.1/v1", json=[{"task": number}], merged=True)


class Exchanges:
    """Answers with what it was asked; what ``stuck`` says is not answered at all."""

    def __init__(self, stuck: int = 0) -> None:
        self.stuck = stuck
        self.asked: list[Json] = []
        self.out = anyio.Event()

    async def send(self, call: Call) -> Answer:
        self.asked.append(call.json)
        self.out.set()
        if len(self.asked) <= self.stuck:
            await anyio.sleep_forever()
        return Answer(200, {}, call.json)


def parts(answer: Json) -> list[Json]:
    """The parts of an exchange, sorted."""
    assert isinstance(answer, list)
    return sorted(answer, key=str)


def test_calls_of_a_moment_are_one_exchange() -> None:
    """Each caller gets the whole answer."""

    async def main() -> None:
        exchanges = Exchanges()
        merge = Merge(exchanges.send)
        answers: list[Json] = []

        async def one(number: int) -> None:
            answers.append((await merge.send(poll(number))).json)

        with anyio.fail_after(HANGS):
            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(one, number)
        assert len(exchanges.asked) == 1
        assert [parts(answer) for answer in answers] == [[{"task": 0}, {"task": 1}, {"task": 2}]] * 3

    anyio.run(main)


@pytest.mark.parametrize("early", [True, False])
def test_a_leader_that_leaves_takes_nobody_along(early: bool) -> None:
    """Left by its leader, before the exchange or in it, the others ask again, together and without it."""

    async def main() -> None:
        exchanges = Exchanges(stuck=0 if early else 1)
        merge = Merge(exchanges.send)
        answers: list[Json] = []
        leaving = anyio.CancelScope()
        left = anyio.Event()

        async def lead() -> None:
            with leaving:
                await merge.send(poll(0))
            left.set()

        async def follow(number: int) -> None:
            answers.append((await merge.send(poll(number))).json)

        with anyio.fail_after(HANGS):
            async with anyio.create_task_group() as group:
                group.start_soon(lead)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(follow, 1)
                group.start_soon(follow, 2)
                await anyio.wait_all_tasks_blocked()
                if not early:
                    await exchanges.out.wait()
                leaving.cancel()
                await left.wait()
        assert leaving.cancelled_caught
        assert [parts(answer) for answer in answers] == [[{"task": 1}, {"task": 2}]] * 2
        assert len(exchanges.asked) == (1 if early else 2)

    anyio.run(main)


def test_an_exchange_that_fails_fails_for_all_who_wait() -> None:
    """With the same words; and the next one is a new exchange."""

    async def main() -> None:
        async def broken(call: Call) -> Answer:
            raise LostAnswer("the connection broke")

        merge = Merge(broken)
        told: list[str] = []

        async def one(number: int) -> None:
            with pytest.raises(LostAnswer) as caught:
                await merge.send(poll(number))
            told.append(str(caught.value))

        with anyio.fail_after(HANGS):
            async with anyio.create_task_group() as group:
                group.start_soon(one, 1)
                group.start_soon(one, 2)
        assert told == ["the connection broke"] * 2
        assert not merge._open

    anyio.run(main)
