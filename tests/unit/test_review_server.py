"""`pipeline review`: the sheet over real sockets. Who may ask and for what, what follows a run, and what is written."""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from fakes.campaign import HERE, command, edit, environment, pipeline, run, write_campaign
from fakes.work import HANGS
from PIL import Image

import pipeline.review.sheets as room
from pipeline.approvals import approvals_file, read_approvals
from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.review import MOST, Sheets, serve
from pipeline.review.server import _Handler

WHEN = "2026-01-02T03:04:{:02}Z"
JPEG = {"aspect_ratio": ["1:1", "16:9"], "format": ["png", "jpeg"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A campaign of three products that was run, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    run(write_campaign(folder, count=3, outputs=JPEG))
    return folder


@pytest.fixture
def manifest(made, tmp_path):
    """A copy of it, of a test's own."""
    return Path(shutil.copytree(made, tmp_path / "c"), "campaign.yaml")


class Page:
    """An open page: what a browser would do for it. ``told``: what the server said to who serves it."""

    def __init__(self, url, sheets, told):
        self.url, self.sheets, self.told = url, sheets, told
        self.parts = urlsplit(url)
        self.origin = f"http://{self.parts.netloc}"
        self.token = self.parts.path.strip("/")
        self.client = httpx.Client(trust_env=False, timeout=HANGS)

    def get(self, address="", **how):
        return self.client.get(self.url + address, **how)

    def data(self):
        return self.get("data.json").json()

    def raw(self, method, target, body=None, headers=None):
        """One request exactly as it is given, and the status, headers and body that answer it."""
        with contextlib.closing(http.client.HTTPConnection(self.parts.netloc, timeout=HANGS)) as connection:
            given = {"Host": self.parts.netloc, **(headers or {})}
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                for each in value if isinstance(value, list) else [value] if value is not None else []:
                    connection.putheader(name, each)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def decide(self, *decisions, campaign="test", headers=None):
        """Send decisions as the page does."""
        body = {"version": 1, "campaign": campaign, "reviewer": "Ana", "decisions": decisions}
        return self.client.post(
            self.url + "decisions", json=body, headers={"Origin": self.origin} if headers is None else headers
        )

    def until(self, good):
        """Ask as the page does until what it is given is good."""
        since, end = "", time.monotonic() + HANGS
        while time.monotonic() < end:
            answer = self.get(f"data.json?since={since}")
            if answer.status_code == 200:
                since = answer.json()["serial"]
                if good(answer.json()):
                    return answer.json()
            else:
                assert answer.status_code in (204, 503), answer.text
        raise AssertionError("the page never showed it")


@contextlib.contextmanager
def open_page(manifest):
    told = []
    sheets = Sheets(lambda: expand(load(str(manifest))), told.append)
    with serve(sheets) as url:
        page = Page(url, sheets, told)
        with page.client:
            yield page
        assert not any(page.token in text for text in told)


@pytest.fixture
def page(manifest):
    with open_page(manifest) as opened:
        yield opened


def decision(data, tile=0, word="approved", second=0, **changes):
    """A decision on a tile of the sheet."""
    tiles = data["tiles"]
    return {
        "picture": tiles["key"][tile],
        "file": tiles["sha"][tile],
        "label": tiles["label"][tile],
        "take": 1,
        "decision": word,
        "stars": 0,
        "note": "",
        "who": "Ana",
        "when": WHEN.format(second),
    } | changes


def decided(manifest):
    """What is decided on each picture."""
    return read_approvals(load(str(manifest))).by_key


def hrefs(data):
    tiles = data["tiles"]
    return [file[1] for files in tiles["files"] for file in files if file[1]]


def states(data):
    of = next(each for each in data["dimensions"] if each["key"] == "state")
    return [of["values"][value] for value in of["of"]]


# ── what is served ──────────────────────────────────────────────────────────────────────────────


def test_the_page_is_the_sheet_and_may_call_home(page):
    """With its data inside, its thumbnails by address, and every header that a page with a secret address needs."""
    answer = page.get()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    inside = json.loads(re.search(r'id="data">(.*?)</script>', answer.text, re.DOTALL)[1])
    assert {**inside["served"], "who": ""} == {"decisions": "decisions", "data": "data.json", "who": ""}
    assert inside == page.data()
    assert len(inside["tiles"]["label"]) == 6
    assert "connect-src 'self'" in html.unescape(answer.text)
    assert "data:image" not in answer.text
    for name in ("", "data.json", inside["thumbs"]["urls"][0], hrefs(inside)[0], "nothing"):
        headers = page.get(name).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "access-control-allow-origin" not in headers


def test_all_pictures_that_the_sheet_names_are_served_and_nothing_else(page, manifest):
    """By their own addresses only, with their own bytes and types."""
    data, out = page.data(), manifest.parent / "out/test"
    named = [*hrefs(data), *data["thumbs"]["urls"]]
    assert len(named) == 12 + 6 + 3
    for href in named:
        assert not href.startswith("/")
        answer, path = page.get(href), out / unquote(href)
        assert answer.content == path.read_bytes()
        kind = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}[path.suffix]
        assert answer.headers["Content-Type"] == kind
        head = page.client.head(page.url + href)
        assert (head.content, head.headers["Content-Length"]) == (b"", str(path.stat().st_size))
    shutil.copyfile(out / hrefs(data)[0], out / "other.png")
    shutil.copyfile(out / hrefs(data)[0], manifest.parent / "above.png")
    private = ".pipeline/ledger.sqlite .pipeline/campaign.json .pipeline/thumbs .pipeline/thumbs/ results.jsonl"
    others = f"other.png report.html {private} . .. / // decisions.json ../../approvals.yaml p0"
    for name in [*others.split(), hrefs(data)[0] + "/", "x/../" + hrefs(data)[0]]:
        status, _, body = page.raw("GET", f"/{page.token}/{name}")
        assert (status, body) == (404, b""), name
    for up in ("..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "....//", "p0/../../.."):
        for name in ("above.png", "campaign.yaml", "p0.png"):
            assert page.raw("GET", f"/{page.token}/{up}/{name}")[0] == 404


def test_a_link_leads_nowhere(page, manifest, tmp_path):
    """Whoever can put a link in the place of a picture has not made the server read other files."""
    out = manifest.parent / "out/test"
    file, folder = hrefs(page.data())[:2]
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (out / file).unlink()
    (out / file).symlink_to(secret)
    assert page.get(file).status_code == 404
    (out / folder).unlink()
    (out / folder).mkdir()
    assert page.get(folder).status_code == 404
    (out / folder).rmdir()
    os.mkfifo(out / folder)
    assert page.get(folder).status_code == 404
    (out / folder).unlink()
    assert page.get(folder).status_code == 404


# ── who may ask ─────────────────────────────────────────────────────────────────────────────────


def test_without_the_token_there_is_nothing(page):
    """Whatever is asked, and however: no words, and no sign that there is a server of ours."""
    wrong = ["x" * len(page.token), page.token[:-1], page.token + "x", page.token.swapcase(), "%00", "é"]
    targets = [
        "/",
        "*",
        "/data.json",
        "/decisions",
        *(f"/{each}/{name}" for each in wrong for name in ("", "data.json")),
    ]
    for target in targets:
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"):
            if target.isascii():
                sent = {"Origin": page.origin, "Content-Type": "application/json"}
                status, headers, body = page.raw(method, target, b"{}" if method == "POST" else None, sent)
                assert (status, body) == (404, b""), (method, target)
                assert headers["Content-Length"] == "0"
    assert page.raw("GET", f"http://{page.parts.netloc}/{page.token}/")[0] == 404
    assert page.raw("GET", f"/{page.token}", headers={"Host": "evil.example"})[0] == 421


def test_who_may_not_ask_keeps_no_connection(page):
    """A page of another origin could else hold all of them, and nobody else would get one."""
    assert page.raw("GET", "/")[1]["Connection"] == "close"
    assert page.raw("GET", f"/{page.token}/", headers={"Host": "evil.example"})[1]["Connection"] == "close"
    assert page.raw("GET", f"/{page.token}/data.json")[1]["Connection"] is None


def test_the_address_without_its_last_slash_leads_to_the_page(page):
    """As it is easily lost when it is copied."""
    status, headers, _ = page.raw("GET", f"/{page.token}")
    assert (status, headers["Location"]) == (308, f"/{page.token}/")
    assert page.client.get(page.url.rstrip("/"), follow_redirects=True).text == page.get().text


def test_only_our_own_names_are_answered(page):
    """A name that was led to this machine is another site's (DNS rebinding)."""
    port = page.parts.port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"[::1]:{port}", ""):
        assert page.raw("GET", page.parts.path, headers={"Host": host})[::2] == (421, b""), host
    assert page.raw("GET", page.parts.path, headers={"Host": None})[0] == 421
    assert page.raw("GET", page.parts.path, headers={"Host": [page.parts.netloc, "evil.example"]})[0] == 421
    for host in (f"localhost:{port}", f"LOCALHOST:{port}", f"127.0.0.1:{port}"):
        assert page.raw("GET", page.parts.path, headers={"Host": host})[0] == 200


def test_only_this_machine_is_listened_to(page):
    """The port is free on all other addresses of this machine."""
    with socket.socket() as other:
        other.bind(("127.0.0.2", page.parts.port))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "own"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_decisions_come_from_the_page_itself(page, manifest, headers, status):
    """A page of another origin decides nothing, even if it knew the address."""
    data = page.data()
    headers = {name: page.origin if value == "own" else value for name, value in headers.items()}
    assert page.decide(decision(data), headers=headers).status_code == status
    assert len(decided(manifest)) == (status == 200)


def test_by_its_other_name_the_page_may_decide_too(page, manifest):
    """Each of the two names is an origin of its own."""
    other = f"localhost:{page.parts.port}"
    document = {"version": 1, "campaign": "test", "reviewer": "Ana", "decisions": [decision(page.data())]}
    body, kind = json.dumps(document).encode(), {"Content-Type": "application/json"}
    target = page.parts.path + "decisions"
    assert page.raw("POST", target, body, kind | {"Host": other, "Origin": page.origin})[0] == 403
    assert decided(manifest) == {}
    assert page.raw("POST", target, body, kind | {"Host": other, "Origin": f"http://{other}"})[0] == 200
    assert len(decided(manifest)) == 1


def test_other_methods_are_refused(page):
    """And what is only to be read, or only to be written, can't be used the other way."""
    sent = {"Origin": page.origin, "Content-Type": "application/json"}
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"):
        for name in ("", "decisions"):
            status, headers, body = page.raw(method, page.parts.path + name, headers=sent)
            assert (status, headers["Allow"], body) == (405, "GET, HEAD, POST", b""), method
    assert page.get("decisions").status_code == 405
    for name in ("", "data.json", hrefs(page.data())[0]):
        assert page.raw("POST", page.parts.path + name, b"{}", sent)[0] == 405


def test_nonsense_is_answered_without_a_word(page):
    """The standard library would repeat the request, and with it the token."""
    for line in (
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"GET /" + b"x" * 70000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", page.parts.port), timeout=HANGS) as connection:
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))  # called here
        assert answer == b"" or answer.partition(b"\r\n\r\n")[2] == b"", answer
        assert b"<" not in answer
    assert page.get().status_code == 200


# ── decisions ───────────────────────────────────────────────────────────────────────────────────


def test_a_decision_is_written_and_shown(page, manifest):
    """The same file as `--import` writes; and what did not change is not sent again."""
    data = page.data()
    assert page.get(f"data.json?since={data['serial']}").status_code == 204
    answer = page.decide(decision(data, 0), decision(data, 1, "rejected", note="too dark"))
    assert (answer.status_code, answer.json()) == (200, {"adopted": 2, "older": 0, "unknown": 0})
    assert {d.words() for d in decided(manifest).values()} == {"approved by Ana", "rejected by Ana: too dark"}
    newer = page.until(lambda it: len(it["decisions"]) == 2)
    assert newer["serial"] != data["serial"]
    assert page.get(f"data.json?since={newer['serial']}").status_code == 204
    assert page.get(f"data.json?since={data['serial']}").json() == newer
    before = approvals_file(load(str(manifest))).stat()
    again = page.decide(decision(data, 0), decision(data, 1, "rejected", note="too dark"))
    assert again.json()["adopted"] == 0
    assert approvals_file(load(str(manifest))).stat() == before
    withdrawn = page.decide(decision(data, 0, "", second=9), decision(data, 1, "rejected", note="too dark"))
    assert withdrawn.json()["adopted"] == 1
    assert [each.decision for each in decided(manifest).values() if not each.withdrawn] == ["rejected"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"{}", "text/plain", 415, ""),
        (b"{}", "application/x-www-form-urlencoded", 415, ""),
        (b"{", "application/json", 400, "decisions:1:2: not valid JSON"),
        (b"\xff", "application/json; charset=utf-8", 400, "decisions:1:1: is not UTF-8 text"),
        (b"[]", "application/json", 400, "decisions:1:1"),
        (b"", "application/json", 400, "decisions:1:1: not valid JSON"),
        (b"[" * 100_000, "application/json", 400, "not valid JSON"),
        (b'{"version": 1, "campaign": "other", "reviewer": "", "decisions": []}', "application/json", 400, "'other'"),
        (b'{"version": 1, "campaign": "test", "reviewer": "", "decisions": [{}]}', "application/json", 400, "picture"),
    ],
)
def test_what_is_no_decision_is_refused_with_words(page, manifest, body, kind, status, words):
    """They are shown to who decided; nothing is written."""
    target = page.parts.path + "decisions"
    got, headers, told = page.raw("POST", target, body, {"Origin": page.origin, "Content-Type": kind})
    assert got == status
    assert words in told.decode()
    assert headers.get("Content-Type", "text/plain; charset=utf-8") == "text/plain; charset=utf-8"
    assert not approvals_file(load(str(manifest))).exists()


def test_too_much_is_refused(page, manifest):
    """By its length as it is said, and by its length as it comes."""
    kind = {"Origin": page.origin, "Content-Type": "application/json"}
    answer = page.client.post(page.url + "decisions", content=b" " * (MOST + 1), headers=kind)
    assert (answer.status_code, "--import" in answer.text) == (413, True)
    pieces = (b" " * 65536 for _ in range(MOST // 65536 + 1))
    assert page.client.post(page.url + "decisions", content=pieces, headers=kind).status_code == 413
    assert page.raw("POST", page.parts.path + "decisions", headers=kind | {"Content-Length": "x"})[0] == 400
    assert page.client.post(page.url + "decisions", content=b" " * MOST, headers=kind).status_code == 400
    chunks = json.dumps({"version": 1, "campaign": "test", "reviewer": "", "decisions": [decision(page.data())]})
    sent = page.client.post(
        page.url + "decisions", content=iter([chunks[:9].encode(), chunks[9:].encode()]), headers=kind
    )
    assert sent.status_code == 200
    assert len(decided(manifest)) == 1


def test_decisions_at_once_all_land(page, manifest, tmp_path):
    """From several pages, and from `review --import` in another process."""
    data = page.data()
    ben = tmp_path / "ben.json"
    document = {"version": 1, "campaign": "test", "reviewer": "Ben", "decisions": [decision(data, 5, who="Ben")]}
    ben.write_text(json.dumps(document))
    other = subprocess.Popen(command("review", manifest, "--import", ben), env=environment(), stdout=subprocess.PIPE)
    with ThreadPoolExecutor(10) as pool:
        while other.poll() is None:
            posts = [pool.submit(page.decide, decision(data, number % 5, second=number)) for number in range(20)]
            assert {post.result().status_code for post in posts} == {200}
    assert other.wait() == 0, other.communicate()
    other.stdout.close()
    found = decided(manifest)
    assert {each.who for each in found.values()} == {"Ana", "Ben"}
    assert len(found) == 6
    assert sorted(each.when for each in found.values()) == [WHEN.format(n) for n in (0, 15, 16, 17, 18, 19)]


# ── while other things go on ────────────────────────────────────────────────────────────────────


def test_the_page_follows_a_run_and_may_decide_meanwhile(page, manifest):
    """A real run in another process holds the ledger; it makes what the manifest has come to name since."""
    data = page.data()
    Image.new("RGB", (400, 400), "white").save(manifest.parent / "p9.png")
    things = json.loads(manifest.read_text())["products"]["things"]
    edit(manifest, products={"things": [*things, {"id": "p9", "name": "Thing 9", "images": {"front": "p9.png"}}]})
    owed = page.until(lambda it: len(it["tiles"]["label"]) == 8)
    assert states(owed).count("missing") == 2
    told, ready = os.pipe()
    wait, go = os.pipe()
    words = [sys.executable, str(HERE / "pausing.py"), "publishing", str(ready), str(wait), "8", "run", str(manifest)]
    process = subprocess.Popen(words, env=environment(), pass_fds=(ready, wait), stderr=subprocess.PIPE, text=True)
    os.close(ready)
    os.close(wait)
    try:
        assert os.read(told, 1) == b".", process.communicate()
        assert "another run holds this campaign" in pipeline("run", manifest, expect=1).stderr
        now = page.until(lambda it: set(states(it)) == {"done"})
        assert page.get(hrefs(now)[-1]).headers["Content-Type"] == "image/jpeg"
        new = now["tiles"]["label"].index(next(label for label in now["tiles"]["label"] if label.startswith("p9/")))
        assert page.decide(decision(data), decision(now, new, "rejected")).json()["adopted"] == 2
        assert len(page.until(lambda it: it["decisions"])["decisions"]) == 2
        assert process.poll() is None
    finally:
        os.close(go)
        _, said = process.communicate(timeout=HANGS)
        os.close(told)
    assert process.returncode == 0, said
    assert len(decided(manifest)) == 2
    assert run(manifest, "--retake", "rejected")["made"] == 1
    after = page.until(lambda it: it["history"])
    assert after["tiles"]["sha"][new] != now["tiles"]["sha"][new]
    past = after["history"][str(new)][0]
    assert page.get(past["href"]).status_code == 200
    assert page.told == []


def test_a_broken_manifest_keeps_the_last_good_sheet(page, manifest):
    """It is said once, what is decided is still written, and the sheet follows when it is mended."""
    data, good = page.data(), manifest.read_text()
    manifest.write_text(good.replace('"products"', '"prodcuts"'))
    for _ in range(3):
        assert page.get().status_code == 200
    assert len(page.told) == 1
    assert "prodcuts" in page.told[0]
    assert "the sheet stays as it was" in page.told[0]
    assert page.decide(decision(data)).status_code == 200
    assert page.until(lambda it: it["decisions"])["tiles"]["label"] == data["tiles"]["label"]
    manifest.unlink()
    assert page.get().status_code == 200
    assert len(page.told) == 2
    manifest.write_text(good)
    edit(manifest, outputs=JPEG | {"aspect_ratio": ["1:1"]})
    assert len(page.until(lambda it: len(it["tiles"]["label"]) == 3)["tiles"]["label"]) == 3
    assert len(page.told) == 2


def test_an_edited_picture_changes_the_sheet(page, manifest):
    """A reference image is as much of a manifest as its text."""
    Image.new("RGB", (400, 400), "white").save(manifest.parent / "p0.png")
    stale = page.until(lambda it: "stale" in states(it))
    assert states(stale).count("stale") == 2


def test_broken_approvals_are_told_and_the_server_goes_on(page, manifest):
    """Nothing is shown, nor decided, beside a file that can't be read; nothing of it is lost."""
    data = page.data()
    page.decide(decision(data))
    file = approvals_file(load(str(manifest)))
    good = file.read_text()
    broken = f"<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> other\n"
    file.write_text(broken)
    for answer in (page.get(), page.decide(decision(data, 1))):
        assert (answer.status_code, "Git left a conflict here" in answer.text) == (503, True)
    assert file.read_text() == broken
    file.write_text(good)
    assert page.get().status_code == 200
    assert page.decide(decision(data, 1)).status_code == 200
    assert len(decided(manifest)) == 2


def test_a_lost_ledger_is_told_and_the_server_goes_on(page, manifest):
    """As long as it is away."""
    private = manifest.parent / "out/test/.pipeline"
    page.get()
    for name in ("ledger.sqlite", "serial"):
        (private / name).rename(private / f"{name}.away")
    answer = page.get()
    assert (answer.status_code, "the ledger is gone" in answer.text) == (503, True)
    for name in ("ledger.sqlite", "serial"):
        (private / f"{name}.away").rename(private / name)
    assert page.get().status_code == 200


def test_what_nobody_foresaw_is_told(page, monkeypatch):
    """With its kind, without the address; the next one is served."""

    def fails(*_, **__):
        raise RuntimeError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(room, "parse_decisions", fails)
        answer = page.decide()
        assert (answer.status_code, answer.text) == (500, "RuntimeError: no such thing")
    assert page.told == ["the review page could not be served: RuntimeError: no such thing"]
    assert page.get().status_code == 200


def test_one_sheet_is_drawn_at_a_time_and_not_for_each_commit(page, manifest, monkeypatch):
    """Pages that ask meanwhile are content with the one before; one that is opened gets the newest."""
    before = page.data()["serial"]
    page.decide(decision(page.data()))
    drawing, go = threading.Event(), threading.Event()
    times = []

    def slow(*given, **how):
        times.append(threading.current_thread())
        drawing.set()
        assert go.wait(HANGS)
        return sheet_view(*given, **how)

    sheet_view = room.sheet_view
    monkeypatch.setattr(room, "sheet_view", slow)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(page.get)
        try:
            assert drawing.wait(HANGS)
            assert page.get(f"data.json?since={before}").status_code == 204
        finally:
            go.set()
        assert opened.result().status_code == 200
    assert len(times) == 1
    monkeypatch.setattr(room, "sheet_view", sheet_view)
    now = page.data()
    assert now["serial"] != before
    page.sheets._rest = time.monotonic() + 3600
    page.decide(decision(page.data(), 1))
    assert page.get(f"data.json?since={now['serial']}").status_code == 204
    assert page.get().text.count('"sha":"') == 2
    assert len(page.get(f"data.json?since={now['serial']}").json()["decisions"]) == 2


def test_one_connection_serves_many_requests(page):
    """A page asks every two seconds."""
    with contextlib.closing(http.client.HTTPConnection(page.parts.netloc, timeout=HANGS)) as connection:
        for name in ("", "data.json", hrefs(page.data())[0], "nothing"):
            connection.request("GET", page.parts.path + name)
            answer = connection.getresponse()
            answer.read()
            assert not answer.will_close
        connection.request("GET", page.parts.path, body=b"GET / HTTP/1.1\r\n\r\n")
        assert connection.getresponse().will_close


# ── the checks, checked ─────────────────────────────────────────────────────────────────────────


def test_each_guard_is_what_holds(page, manifest, monkeypatch, tmp_path):
    """Without it, just what these tests send would go through: they fail for no other reason."""
    data = page.data()
    with monkeypatch.context() as broken:
        broken.setattr(_Handler, "_judged", lambda _: None)
        assert page.raw("GET", "/x/")[0] == 200
        assert page.raw("GET", page.parts.path, headers={"Host": "evil.example"})[0] == 200
    with monkeypatch.context() as broken:
        broken.setattr(_Handler, "_doubtful", lambda _: None)
        assert page.decide(decision(data), headers={"Origin": "http://evil.example"}).status_code == 200
    with monkeypatch.context() as broken:
        broken.setattr(room, "is_inside", lambda *_: True)
        path = manifest.parent / "out/test" / hrefs(data)[0]
        path.unlink()
        (tmp_path / "secret.png").write_bytes(b"secret")
        path.symlink_to(tmp_path / "secret.png")
        assert page.get(hrefs(data)[0]).content == b"secret"
        files = {"../../campaign.yaml.png": str(manifest)}
        broken.setattr(page.sheets, "_sheet", room.replace(page.sheets._sheet, files=files))
        target = f"{page.parts.path}../../campaign.yaml.png"
        assert page.raw("GET", target)[2] == manifest.read_bytes()


# ── the command ─────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def reviewing(manifest, *arguments):
    """`pipeline review` in a process of its own, and the line that it printed when it was ready."""
    words = command("review", manifest, *arguments)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen(words, env=environment(), text=True, **pipes)
    guard = threading.Timer(HANGS, process.kill)
    guard.start()
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, line.rstrip("\n")
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_serves_until_it_is_told_to_end(manifest, way):
    """One line on standard output is the address, which is said nowhere else; it ends well."""
    with reviewing(manifest) as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[A-Za-z0-9_-]{32}/", url)
        page = Page(url, None, [])
        with page.client:
            data = page.data()
            assert page.decide(decision(data)).status_code == 200
            assert page.raw("GET", "/x/")[0] == 404
            assert page.raw("BREW", page.parts.path)[0] == 405
            assert page.decide({}).status_code == 400
            manifest.write_text("version: [" + page.token[:4])
            assert page.get().status_code == 200
            process.send_signal(way)
            out, err = process.communicate(timeout=HANGS)
        assert (process.returncode, out) == (0, "")
        assert "approvals.yaml" in err
        assert "the sheet stays as it was" in err
        assert page.token not in err
        assert "Traceback" not in err
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)


def test_the_command_takes_a_port_and_tells_scripts(manifest):
    """A port of one's choice; as JSON; and what is taken already is an error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with reviewing(manifest, "--port", port, "--json", "-q") as (process, line):
        assert urlsplit(json.loads(line)["url"]).port == port
        taken = pipeline("review", manifest, "--port", port, expect=1)
        assert f"can't listen on port {port} of 127.0.0.1: Address already in use; choose another" in taken.stderr
        assert taken.stdout == ""
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=HANGS) == ("", "")
        assert process.returncode == 0
    assert "leave it out" in pipeline("review", manifest, "--port", port, "--import", "x.json", expect=2).stderr


def test_there_must_be_something_to_review(tmp_path):
    """A campaign that was never run, and a manifest that is broken, are told of at once."""
    manifest = write_campaign(tmp_path / "new")
    assert "was never run; `pipeline run` it first" in pipeline("review", manifest, expect=1).stderr
    edit(manifest, prompts={})
    assert "prompts" in pipeline("review", manifest, expect=1).stderr
