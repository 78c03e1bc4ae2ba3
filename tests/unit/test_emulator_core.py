"""The emulator over real sockets: a whole exchange with AIML API, every fault on the wire, limits, bill and control."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import socket
import threading

import httpx
import pytest
from fakes.work import HANGS
from kit import png
from PIL import Image

from pipeline.emulator import GATEWAYS, Account, Fault, Settings, serve
from pipeline.emulator.pictures import Shelf, data_uri, look, nearest_ratio, size_of

PATH = "/v1/images/generations"
ASK = {"model": "klingai/image-o1", "prompt": "A mug on a table", "image_urls": ["https://example.org/mug.png"]}
NEVER = (1e7, 1e7)


@contextlib.contextmanager
def aiml(key="k", **settings):
    """An emulated AIML API, a thousand times faster than life, and a client that holds its key."""
    given = {"gateways": ("aimlapi",), "speed": 1000.0, "pictures": "tiny"} | settings
    with serve(Settings(**given)) as emulator:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(base_url=emulator.urls["aimlapi"], headers=headers, trust_env=False, timeout=HANGS) as client:
            client.emulator = emulator
            yield client


def switched(**choices):
    return {"switches": {f"aimlapi.{name.replace('_', '-')}": choice for name, choice in choices.items()}}


def faulty(kind, at="submit", nth=(1,), **more):
    return {"faults": (Fault(at=at, kind=kind, nth=nth, **more),)}


def ask(client, headers=None, **changes):
    body = {key: value for key, value in (ASK | changes).items() if value is not None}
    return client.post(PATH, json=body, headers=headers)


def rows(client, **query):
    reply = client.get("/v2/logs", params={"period": "24h"} | query)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def bill(client):
    return client.emulator.bill("aimlapi")


def picture(reply):
    """The link of the first picture."""
    return reply.json()["data"][0]["url"]


def is_error(reply, status):
    """Whether a reply is an error in AIML's shape, and nothing was billed."""
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"message", "path", "requestId", "statusCode", "timestamp"}
    assert (reply.json()["path"], reply.json()["statusCode"]) == (str(reply.url.path), status)
    return True


# ── AIML API ────────────────────────────────────────────────────────────────────────────────────


def test_a_whole_exchange():
    with aiml() as client:
        reply = ask(client, {"X-Client-Request-Id": "batch7:row-1.a"}, num_images=2, aspect_ratio="3:2")
        assert reply.status_code == 200
        assert reply.headers["x-client-request-id"] == "batch7:row-1.a"
        assert reply.headers["x-aimlapi-credits-used"] == "117600"
        assert float(reply.headers["x-aimlapi-usd-spent"]) == 0.0588
        assert set(reply.json()) == {"data", "meta"}
        assert reply.json()["meta"] == {"usage": {"credits_used": 117_600}}
        assert [set(item) for item in reply.json()["data"]] == [{"url"}, {"url"}]
        files = [httpx.get(item["url"], trust_env=False) for item in reply.json()["data"]]  # public: no key
        assert [file.headers["content-type"] for file in files] == ["image/png"] * 2
        assert [look(file.content) for file in files] == [("png", 60, 40)] * 2
        assert files[0].content != files[1].content

        (row,) = rows(client)
        assert row["inference_id"] == reply.headers["x-inference-id"]
        assert (row["client_request_id"], row["status"]) == ("batch7:row-1.a", "succeeded")
        assert row["cost"] == {"usd": 0.0588, "credits": 117_600}
        assert client.get("/v1/billing/balance").json()["balance"] == 200_000_000 - 117_600

        told = bill(client)
        assert (told["requests"], told["pictures"], told["usd_micro"], told["usd"]) == (1, 2, 58_800, 0.0588)
        assert (told["keys_seen"], told["peak_in_flight"], told["most_creates_per_minute"]) == (1, 1, 1)
        (job,) = told["jobs"]
        assert (job["client"], job["ratio"], job["size"], job["count"]) == ("batch7:row-1.a", "3:2", [1248, 832], 2)


@pytest.mark.parametrize(
    ("resolution", "size", "form"),
    [("1K", (1360, 768), "jpeg"), ("2K", (2720, 1536), "webp"), (None, (1360, 768), "png")],
)
def test_drawn_pictures_have_the_published_size(resolution, size, form):
    with aiml(pictures="drawn") as client:
        reference = "data:image/png;base64," + base64.b64encode(png()).decode()
        asked = {"image_urls": [reference, ASK["image_urls"][0]], "output_format": form}
        url = picture(ask(client, resolution=resolution, **asked))
        first = client.get(url)
        assert first.headers["content-type"] == f"image/{form}"
        assert look(first.content) == (form, *size)
        assert client.get(url).content == first.content
        head = client.head(url)
        assert (head.content, int(head.headers["content-length"])) == (b"", len(first.content))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"model": "klingai/image-o2"}, "model"),
        ({"model": None}, "body"),
        ({"prompt": None}, "body"),
        ({"prompt": "x" * 4001}, "prompt"),
        ({"image_urls": []}, "image_urls"),
        ({"image_urls": ["https://example.org/a.png"] * 11}, "image_urls"),
        ({"image_urls": "https://example.org/a.png"}, "image_urls"),
        ({"image_urls": ["mug.png"]}, "image_urls.0"),
        ({"image_urls": ["https://a.org/a.png", "aGVsbG8="]}, "image_urls.1"),
        ({"image_urls": ["data:image/png;base64,aGVsbG8="]}, "image_urls.0"),
        ({"aspect_ratio": "auto"}, "aspect_ratio"),
        ({"resolution": "1k"}, "resolution"),
        ({"output_format": "jpg"}, "output_format"),
        ({"num_images": 0}, "num_images"),
        ({"num_images": 10}, "num_images"),
        ({"num_images": "2"}, "num_images"),
        ({"provider": "runware"}, "provider"),
        ({"seed": 1}, "body"),
    ],
)
def test_what_the_document_does_not_allow_is_refused(changes, place):
    with aiml() as client:
        reply = ask(client, **changes)
        assert is_error(reply, 400)
        assert f"at {place}:" in reply.json()["message"]
        assert bill(client)["requests"] == 0


def test_what_the_document_allows_is_taken():
    with aiml() as client:
        most = {"prompt": "x" * 4000, "image_urls": ["https://example.org/a.png"] * 10, "provider": "KlingAI"}
        assert ask(client, **most, num_images=9).status_code == 200
        assert ask(client, headers={"X-Client-Request-Id": "ümlaut".encode()}).status_code == 200
        assert ask(client, headers={"X-Client-Request-Id": "a" * 129}).status_code == 200
        assert [row["client_request_id"] for row in rows(client)] == [None, None, None]


def test_bodies_that_are_no_json_object_are_refused():
    with aiml() as client:
        for content, kind in (
            (b"{", "application/json"),
            (b"[]", "application/json"),
            (json.dumps(ASK).encode(), "text/plain"),
        ):
            assert is_error(client.post(PATH, content=content, headers={"Content-Type": kind}), 400)


def test_keys():
    with aiml(key=None) as client:
        assert is_error(ask(client), 401)
        assert is_error(ask(client, {"Authorization": "Key k"}), 401)
        assert is_error(client.get("/v2/logs", params={"period": "1h"}), 401)
        assert client.get("/v1/models").status_code == 200  # needs none
    with aiml(key="any") as client:
        assert ask(client).status_code == 200
        assert is_error(client.get("/v2/logs?period=1h&key_prefix=other"), 403)
        assert client.get("/v2/logs?period=1h&key_prefix=an").json()["pagination"]["total"] == 1
    with serve(Settings(gateways=("aimlapi",), key="right", latency=(0, 0))) as emulator:
        for key, status in (("wrong", 401), ("right", 200)):
            headers = {"Authorization": f"Bearer {key}"}
            reply = httpx.post(emulator.urls["aimlapi"] + PATH, json=ASK, headers=headers, trust_env=False)
            assert reply.status_code == status
        assert emulator.bill("aimlapi")["keys_seen"] == 2


def test_the_answer_of_the_overview_page_is_a_switch():
    with aiml(**switched(response="overview", status="201")) as client:
        reply = ask(client)
        assert reply.status_code == 201
        assert set(reply.json()) == {"created", "data", "model", "object", "usage"}
        assert set(reply.json()["data"][0]) == {"url", "b64_json", "revised_prompt"}


def test_pictures_inside_the_answer_are_a_switch():
    with aiml(**switched(inline="null")) as client:
        assert ask(client).json()["data"][0]["b64_json"] is None
    with aiml(**switched(inline="b64")) as client:
        (item,) = ask(client, aspect_ratio="1:1").json()["data"]
        assert item["url"] is None
        assert look(base64.b64decode(item["b64_json"])) == ("png", 20, 20)


def test_the_other_switches():
    with aiml(**switched(long_prompt="refuse", unknown_fields="ignore", localhost="refuse")) as client:
        assert is_error(ask(client, prompt="x" * 2501), 400)
        assert is_error(ask(client, image_urls=["http://127.0.0.1:9/a.png"]), 400)
        assert ask(client, seed=1, prompt="x" * 2500).status_code == 200
    with aiml(**switched(error="sloppy")) as client:
        reply = ask(client, model="none")
        assert (reply.status_code, '"statusCode": "400"' in reply.text) == (400, True)
        with pytest.raises(ValueError, match="delimiter"):
            reply.json()
    with aiml(**switched(balance="0.05")) as client:
        assert is_error(ask(client, num_images=2), 403)
        assert ask(client).status_code == 200
        assert is_error(ask(client), 403)
    with aiml(**switched(response="nonsense")) as client:
        assert "nonsense" in ask(client).json()["message"]


@pytest.mark.parametrize("shape", ["error", "fal"])
def test_moderation_refuses_without_a_charge(shape):
    with aiml(**faulty("moderated", nth=(2,)), **switched(moderated=shape)) as client:
        for reply in (ask(client, prompt="a Forbidden mug"), ask(client)):
            assert reply.status_code == 400
            assert set(reply.json()) >= ({"statusCode"} if shape == "error" else {"detail"})
        assert ask(client).status_code == 200
        assert [(row["status"], row["cost"]["credits"]) for row in rows(client)] == [
            ("succeeded", 58_800),
            ("failed", 0),
            ("failed", 0),
        ]
        assert (bill(client)["requests"], bill(client)["pictures"], bill(client)["usd_micro"]) == (3, 1, 29_400)


def test_the_catalogue():
    with aiml(key=None) as client:
        reply = client.get("/v1/models", params={"id": "klingai/image-o1", "include": "pricing"})
        (entry,) = reply.json()["data"]
        assert entry["pricing"] == {"kind": "fixed", "units": [{"unit": "image", "price": 0.0294, "per": 1}]}
        again = client.get(str(reply.url), headers={"If-None-Match": reply.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get("/v1/models?id=other/model").json()["data"] == []
        assert "pricing" not in client.get("/v1/models").json()["data"][0]
        assert client.get("/v1/nothing", headers={"Authorization": "Bearer k"}).status_code == 404


def test_logs_are_filtered_and_paged():
    with aiml() as client:
        for name in ("a", "b", "c"):
            ask(client, {"X-Client-Request-Id": name})
        ask(client, prompt="forbidden")
        assert [row["client_request_id"] for row in rows(client)] == [None, "c", "b", "a"]
        page = client.get("/v2/logs?period=7d&status=succeeded&limit=2").json()
        assert [row["client_request_id"] for row in page["data"]] == ["c", "b"]
        assert page["pagination"] == {"limit": 2, "offset": 0, "total": 3, "has_more": True}
        page = client.get("/v2/logs?period=7d&status=succeeded&limit=2&offset=2").json()
        assert (len(page["data"]), page["pagination"]["has_more"]) == (1, False)
        assert len(rows(client, status=["succeeded", "failed"])) == 4
        assert len(rows(client, model="image-o1")) == 4
        assert rows(client, model="klingai/image-o1,other") == []
        created = rows(client)[0]["created"]
        within = client.get("/v2/logs", params={"start": created.replace("Z", ""), "end": created}).json()["data"]
        assert created in [row["created"] for row in within]  # no offset: UTC
        assert client.get("/v2/logs?start=2020-01-01&end=2020-02-01").json()["data"] == []
        assert client.get("/v2/logs?period=1h", headers={"Authorization": "Bearer other"}).json()["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "start=2026-01-01",
        "period=1h&start=2026-01-01&end=2026-01-02",
        "period=0h",
        "period=2w",
        "period=93d",
        "start=2026-01-02&end=2026-01-01",
        "start=2026-01-01&end=2026-06-01",
        "start=yesterday&end=2026-06-01",
        "period=1h&status=succeeded,failed",
        "period=1h&limit=101",
        "period=1h&limit=0",
        "period=1h&offset=-1",
        "period=1h&" + "&".join(["model=a"] * 51),
    ],
)
def test_wrong_questions_to_the_logs_are_refused(query):
    with aiml() as client:
        assert is_error(client.get(f"/v2/logs?{query}"), 400)


def test_logs_are_told_two_hundred_times_a_minute():
    with aiml(speed=1.0) as client:
        assert {client.get("/v2/logs?period=1h").status_code for _ in range(200)} == {200}
        assert is_error(client.get("/v2/logs?period=1h"), 429)


def test_a_client_that_gives_up_pays_all_the_same(monkeypatch, capfd):
    go = threading.Event()
    with aiml(latency=NEVER) as client:
        account = client.emulator.account("aimlapi")
        monkeypatch.setattr(account, "rest", lambda _: go.wait(HANGS))
        with pytest.raises(httpx.ReadTimeout):
            client.post(PATH, json=ASK, headers={"X-Client-Request-Id": "lost"}, timeout=0.1)
        while not account.jobs():  # it may not have read the request yet
            client.get("/_emulator/bill")
        assert rows(client) == []  # it still runs
        monkeypatch.setattr(account, "now", lambda: account.jobs()[0].finished)
        go.set()
        assert [(row["client_request_id"], row["status"]) for row in rows(client)] == [("lost", "succeeded")]
        assert bill(client)["usd_micro"] == 29_400
    assert capfd.readouterr() == ("", "")


# ── faults on the wire ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "requests"), [("reset-before", 0), ("reset-after", 1)])
def test_cut_connections(kind, requests):
    with aiml(**faulty(kind)) as client:
        with pytest.raises(httpx.TransportError):
            ask(client)
        assert bill(client)["requests"] == requests == len(rows(client))
        assert ask(client).status_code == 200


@pytest.mark.parametrize(("kind", "value", "requests"), [("status", "503", 0), ("status-after", "504", 1)])
def test_error_statuses(kind, value, requests):
    with aiml(**faulty(kind, value=value)) as client:
        assert is_error(ask(client), int(value))
        assert bill(client)["requests"] == requests


def test_there_is_no_losing_what_was_refused():
    with aiml(**faulty("reset-after", nth=(1, 2))) as client:
        assert is_error(ask(client, model="none"), 400)
        with pytest.raises(httpx.TransportError):
            ask(client)


@pytest.mark.parametrize("value", ["", "7", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-1", "1e99"])
def test_too_many_requests(value):
    with aiml(**faulty("429", value=value)) as client:
        reply = ask(client)
        assert is_error(reply, 429)
        assert reply.headers.get("retry-after", "") == value
        assert bill(client)["requests"] == 0


@pytest.mark.parametrize("kind", ["truncated", "short"])
@pytest.mark.parametrize("at", ["submit", "picture"])
def test_bodies_that_end_early(kind, at):
    with aiml(**faulty(kind, at)) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="complete message"):
            client.get(picture(ask(client)))
        assert bill(client)["requests"] == 1
        assert client.get(picture(ask(client))).status_code == 200


def test_pages_instead_of_answers():
    with aiml(**faulty("html")) as client:
        reply = ask(client)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html")
        assert "<html>" in reply.text
        assert bill(client)["requests"] == 1


def test_slow_bodies():
    with aiml(faults=(Fault("submit", "slow", nth=(1, 2), value="0.4"),)) as client:
        with pytest.raises(httpx.ReadTimeout), client.stream("POST", PATH, json=ASK, timeout=0.01) as reply:
            reply.read()
        assert picture(ask(client)).startswith("http")
        assert bill(client)["requests"] == 2


@pytest.mark.parametrize(
    ("kind", "value", "status", "type_", "is_picture"),
    [
        ("expired", "", 403, "text/plain", False),
        ("status", "500", 500, "text/plain", False),
        ("429", "3", 429, "text/plain", False),
        ("wrong-type", "", 200, "text/html", True),
        ("not-picture", "", 200, "image/png", False),
    ],
)
def test_pictures_that_are_none(kind, value, status, type_, is_picture):
    with aiml(**faulty(kind, "picture", value=value)) as client:
        url = picture(ask(client))
        reply = client.get(url)
        assert (reply.status_code, reply.headers["content-type"]) == (status, type_)
        assert (look(reply.content) is not None) == is_picture
        assert look(client.get(url).content)  # only the first time


def test_refusing_until_resumed():
    with aiml(**faulty("refuse")) as client:
        with pytest.raises(httpx.TransportError):
            ask(client)
        with pytest.raises(httpx.ConnectError):
            ask(client)
        assert httpx.post(f"{client.emulator.control}/aimlapi/resume", trust_env=False).json() == {"paused": False}
        assert ask(client).status_code == 200
        assert bill(client)["requests"] == 1


def test_which_requests_a_fault_hits():
    assert [n for n in range(1, 10) if Fault("submit", "html", every=3).hits(n, "")] == [3, 6, 9]
    some = Fault("submit", "html", chance=0.3)
    hit = [n for n in range(1, 1001) if some.hits(n, "1")]
    assert 250 < len(hit) < 350
    assert hit == [n for n in range(1, 1001) if some.hits(n, "1")] != [n for n in range(1, 1001) if some.hits(n, "2")]


@pytest.mark.parametrize(
    "given",
    [
        "html",
        {"at": "submit"},
        {"at": "somewhere", "kind": "html", "every": 1},
        {"at": "submit", "kind": "unknown", "every": 1},
        {"at": "submit", "kind": "html"},
        {"at": "submit", "kind": "html", "every": "1"},
        {"at": "submit", "kind": "html", "nth": 1},
        {"at": "submit", "kind": "html", "chance": "often"},
        {"at": "submit", "kind": "status", "every": 1, "value": "bad"},
        {"at": "submit", "kind": "slow", "every": 1},
        {"at": "poll", "kind": "moderated", "every": 1},
        {"at": "submit", "kind": "html", "every": 1, "more": 1},
    ],
)
def test_wrong_faults_are_refused(given):
    with aiml() as client:
        reply = client.post("/_emulator/faults", json=[given])
        assert (reply.status_code, list(reply.json())) == (400, ["error"])


def test_faults_are_replaced_at_run_time():
    with aiml(faults=(Fault("submit", "status", every=1, value="500"),)) as client:
        assert is_error(ask(client), 500)
        assert client.post("/_emulator/faults", json=[{"at": "submit", "kind": "429", "nth": [2]}]).status_code == 200
        assert [ask(client).status_code for _ in range(3)] == [200, 429, 200]
        client.emulator.faults("aimlapi", [])
        assert ask(client).status_code == 200
        log = client.get("/_emulator/log").json()
        assert [(line["kind"], line["status"], line["fault"]) for line in log][:3] == [
            ("submit", 500, "status"),
            ("submit", 200, ""),
            ("submit", 429, "429"),
        ]
        assert {line["path"] for line in log} == {PATH}


# ── links ───────────────────────────────────────────────────────────────────────────────────────


def test_links_expire_and_cannot_be_guessed():
    with aiml(url_seconds=0.0) as client:
        assert client.get(picture(ask(client))).status_code == 403
    with aiml() as client:
        url = picture(ask(client))
        assert client.get(url.replace("signature=", "signature=0")).status_code == 403
        assert client.get(url.partition("?")[0]).status_code == 403
        assert client.get(url.replace("/1.png", "/2.png")).status_code == 404
        assert client.get(url.replace("/1.png", "/1.jpg")).status_code == 404
        assert client.get(url).status_code == 200


# ── control ─────────────────────────────────────────────────────────────────────────────────────


def test_pause_and_resume_keep_the_port_and_the_account():
    with (
        serve(Settings(gateways=("fal", "aimlapi"), latency=(0, 0))) as emulator,
        httpx.Client(trust_env=False) as client,
    ):
        url, headers = emulator.urls["aimlapi"] + PATH, {"Authorization": "Bearer k"}
        assert client.post(url, json=ASK, headers=headers).status_code == 200
        assert client.post(f"{emulator.control}/aimlapi/pause").json() == {"paused": True}
        for _ in range(2):  # the open connection is cut as well
            with pytest.raises(httpx.TransportError):
                client.post(url, json=ASK, headers=headers)
        assert client.get(emulator.urls["fal"] + "/_emulator/bill").status_code == 200
        assert client.get(f"{emulator.control}/aimlapi/bill").json()["requests"] == 1
        emulator.pause("aimlapi")  # twice is once
        assert client.post(f"{emulator.control}/_emulator/resume").json()["aimlapi"] == {"paused": False}
        assert client.post(url, json=ASK, headers=headers).status_code == 200
        assert client.get(f"{emulator.control}/aimlapi/bill").json() == emulator.bill("aimlapi")
        assert len(client.get(f"{emulator.control}/aimlapi/log").json()) == 2
        assert client.get(f"{emulator.control}/other/bill").status_code == 404
        assert client.get(f"{emulator.control}/aimlapi/nothing").status_code == 404


def served_in_a_row():
    """An emulator on the first five ports in a row that are free."""
    for port in range(20_011, 60_000, 97):
        context = serve(Settings(port=port))
        with contextlib.suppress(OSError):
            return context, context.__enter__(), port
    raise AssertionError("no five free ports")


def test_all_four_listen_on_ports_in_a_row():
    context, emulator, port = served_in_a_row()
    try:
        assert list(emulator.urls) == list(GATEWAYS)
        ports = [int(url.rpartition(":")[2]) for url in (*emulator.urls.values(), emulator.control)]
        assert ports == list(range(port, port + 5))
    finally:
        context.__exit__(None, None, None)


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="unknown gateway other"), serve(Settings(gateways=("other",))):
        pass
    with aiml() as client:
        taken = int(client.emulator.control.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), serve(Settings(gateways=("fal",), port=taken)):
            pass


def test_closing_lets_held_requests_go():
    errors = []

    def hold(url):
        try:
            httpx.post(url, json=ASK, headers={"Authorization": "Bearer k"}, trust_env=False, timeout=HANGS)
        except httpx.TransportError as error:
            errors.append(error)

    with aiml(latency=NEVER) as client:
        held = threading.Thread(target=hold, args=(client.emulator.urls["aimlapi"] + PATH,))
        held.start()
        while not client.emulator.account("aimlapi").running():
            client.get("/_emulator/bill")
    held.join(HANGS)
    assert len(errors) == 1


def test_a_body_in_chunks_is_a_body():
    with aiml() as client:
        text = json.dumps(ASK).encode()
        reply = client.post(PATH, content=iter([text[:20], text[20:]]), headers={"Content-Type": "application/json"})
        assert reply.status_code == 200


def test_a_broken_request_harms_nobody(capfd):
    with aiml() as client:
        address = ("127.0.0.1", int(client.emulator.urls["aimlapi"].rpartition(":")[2]))
        for text in (
            b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        ):
            with socket.create_connection(address, timeout=HANGS) as wire:
                wire.sendall(text)
                wire.shutdown(socket.SHUT_WR)
                assert wire.recv(100) == b""
        assert ask(client).status_code == 200
    assert capfd.readouterr() == ("", "")


# ── account ─────────────────────────────────────────────────────────────────────────────────────


class Clocked:
    """An account whose clock stands still until it is set."""

    def __init__(self, monkeypatch, gateway, **settings):
        self.account = Account(gateway, Settings(**({"latency": (10.0, 10.0)} | settings)))
        self.time = 1000.0
        monkeypatch.setattr(self.account, "now", lambda: self.time)

    def create(self, name, **more):
        given = {
            "id": name,
            "asked": {"prompt": name},
            "prompt": name,
            "references": [],
            "count": 1,
            "size": None,
            "ratio": "1:1",
            "format": "png",
            "usd_each": 28_000,
        }
        return self.account.create(**(given | more))

    def state(self, name):
        return self.account.job(name).state(self.time)


def test_a_job_over_fals_limit_waits_for_its_turn(monkeypatch):
    fal = Clocked(monkeypatch, "fal", limits={"fal": {"concurrent": 2}})
    for name in "abcde":
        assert fal.account.admit() is None
        fal.create(name)
        fal.time += 1.0
    assert [fal.account.job(name).started for name in "abcde"] == [1000, 1001, 1010, 1011, 1020]
    assert [fal.account.position(fal.account.job(name)) for name in "abcde"] == [0, 0, 0, 1, 2]
    assert fal.account.running() == 2
    fal.account.cancel(fal.account.job("c"))  # waited: free; the others move up
    fal.account.cancel(fal.account.job("a"))  # ran: paid
    assert [fal.account.job(name).billed for name in "ac"] == [28_000, 0]
    assert [fal.state(name) for name in "abcde"] == ["cancelled", "running", "cancelled", "running", "queued"]
    assert fal.account.job("d").started == fal.time
    fal.account.fail(fal.account.job("e"), "late")
    assert (fal.state("e"), fal.account.job("e").billed) == ("failed", 0)
    assert fal.account.bill()["peak_in_flight"] == 5


def test_each_labs_limits_are_the_published_ones(monkeypatch):
    each = Clocked(monkeypatch, "eachlabs")
    for number in range(10):
        assert each.account.admit() is None
        each.create(str(number))
    assert each.account.admit() == "concurrency"
    each.account.cancel(each.account.job("0"))
    assert each.account.job("0").billed == 0
    assert each.account.admit() is None  # and nothing comes of it
    assert each.account.admit() == "concurrency"
    each.account.settle()
    for number in range(10, 99):  # the hundredth creation of this minute is the last
        each.account.job(str(number - 9)).cancelled = True
        assert each.account.admit() is None
        each.create(str(number))
    each.account.job("98").cancelled = True
    assert each.account.admit() == "rate"
    told = each.account.bill()
    assert (told["rejected_concurrency"], told["rejected_rate"], told["peak_in_flight"]) == (2, 1, 10)


def test_the_rate_is_counted_over_a_sliding_minute(monkeypatch):
    aimlapi = Clocked(monkeypatch, "aimlapi", latency=(0.0, 0.0), limits={"aimlapi": {"creates_per_minute": 3}})
    admitted = []
    for second in range(0, 121, 10):
        aimlapi.time = 1000.0 + second
        if aimlapi.account.admit() is None:
            aimlapi.create(str(second))
            admitted.append(second)
    assert admitted == [0, 10, 20, 60, 70, 80, 120]
    assert (aimlapi.account.bill()["most_creates_per_minute"], aimlapi.account.bill()["rejected_rate"]) == (3, 6)
    free = Clocked(monkeypatch, "runware")
    assert {free.account.admit() for _ in range(1000)} == {None}


def test_a_limit_is_kept_over_the_wire():
    def hold():
        with contextlib.suppress(httpx.TransportError):  # the end of the emulator lets it go
            ask(client)

    with aiml(latency=NEVER, limits={"aimlapi": {"concurrent": 1}}) as client:
        first = threading.Thread(target=hold)
        first.start()
        while not client.emulator.account("aimlapi").running():
            client.get("/_emulator/bill")
        assert is_error(ask(client), 429)
        assert (bill(client)["requests"], bill(client)["rejected_concurrency"]) == (1, 1)
    first.join(HANGS)


def test_the_digest_is_of_what_was_asked(monkeypatch):
    account = Clocked(monkeypatch, "runware")
    asked = {"positivePrompt": "a mug", "taskUUID": "1", "webhookURL": "http://127.0.0.1:1/"}
    jobs = [account.create(name, asked=asked | {"taskUUID": name}) for name in "ab"]
    other = account.create("c", asked=asked | {"positivePrompt": "a cup"})
    assert jobs[0].digest == jobs[1].digest == hashlib.sha256(b'{"positivePrompt":"a mug"}').hexdigest() != other.digest
    assert jobs[0].urls("") != jobs[1].urls("")


def test_latencies_are_repeatable(monkeypatch):
    def spans(seed):
        clocked = Clocked(monkeypatch, "runware", latency=(4.0, 9.0), seed=seed)
        return [round(clocked.create(name).finished - 1000.0, 6) for name in "abcd"]

    assert spans(1) == spans(1) != spans(2)
    assert len(set(spans(1))) == 4
    assert all(4 <= span <= 9 for span in spans(1))


def test_auto_takes_the_ratio_of_an_upload(monkeypatch):
    clocked = Clocked(monkeypatch, "fal", pictures="tiny")
    clocked.account.upload("b/wide.png", png(size=(640, 360)), "image/png")
    assert clocked.account.uploaded("b/wide.png") == (png(size=(640, 360)), "image/png")
    seen = {}
    for name, reference in {
        "own": "http://127.0.0.1:1/files/b/wide.png",
        "other": "https://example.org/wide.png",
    }.items():
        made = clocked.create(name, ratio="auto", references=[reference], format="jpeg").picture(1)
        with Image.open(io.BytesIO(made)) as image:
            seen[name] = (image.format, *image.size)
    assert seen == {"own": ("JPEG", 320, 180), "other": ("JPEG", 20, 20)}
    assert look(clocked.create("odd", ratio="5:4").picture(1)) == ("png", 100, 80)  # of no Kling model


# ── pictures ────────────────────────────────────────────────────────────────────────────────────


def test_sizes():
    assert size_of("1K", "16:9") == (1360, 768)
    assert size_of("2k", "21:9") == (3104, 1312)
    assert size_of("1K", "auto") is None
    assert size_of("1K", "5:4") == (1152, 912)
    assert [nearest_ratio(*size) for size in ((1360, 768), (1000, 1010), (880, 1168))] == ["16:9", "1:1", "3:4"]


def test_data_uris():
    assert data_uri("data:image/png;base64,aGk=") == (b"hi", "image/png")
    assert [data_uri(text) for text in ("aGk=", "data:,hi", "data:image/png;base64,a", "https://a.org/")] == [None] * 4
    assert look(b"no picture") is None


def test_the_shelf_forgets_what_was_not_wanted_longest():
    shelf = Shelf(most=10)
    for name in "abc":
        shelf.put(name, b"1234")
        shelf.get("a")
    assert [shelf.get(name) for name in "abc"] == [b"1234", None, b"1234"]
    shelf.put("c", b"a picture larger than everything")
    assert [shelf.get(name) is not None for name in "abc"] == [False, False, True]
