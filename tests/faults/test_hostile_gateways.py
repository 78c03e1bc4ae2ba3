"""Answers that no document promises, end to end: what a hostile tester found, so that it stays found.

Every test counts what the server was made to bill: nothing is paid twice, and what is paid is kept.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import edit, pipeline, run
from fakes.emulated import GATEWAYS, KEYS
from fakes.hostile import DROP, Asked, Hostile, Reply, campaign, first, hostile, ledger, picture, states
from fakes.work import HANGS

from pipeline.ledger import open_ledger
from pipeline.types import micro_usd

USD = 28_000
"""Micro-dollars of a picture at fal, Each Labs and Runware."""


def test_the_server_is_honest_by_itself(tmp_path: Path) -> None:
    """Nothing spoilt: everything is made, and billed once."""
    with hostile() as server:
        manifest = campaign(tmp_path, *GATEWAYS, count=2, variants=2)
        assert run(manifest, env=server.env)["made"] == server.billed == 16


# ── answers that say half of it ─────────────────────────────────────────────────────────────────


def test_runware_an_error_of_a_whole_poll_fails_nothing(tmp_path: Path) -> None:
    """Three requests share a POST, and its error names none of them: all stay open, and none is bought again."""
    oops = {"errors": [{"code": "internalServerError", "message": "try again"}]}
    with hostile(first("result", Reply(400, oops))) as server:
        manifest = campaign(tmp_path, "runware", count=3)
        assert run(manifest, env=server.env, expect=3)["failed"] == 0
        last = run(manifest, env=server.env)
        assert (last["done"], server.billed) == (3, 3)
        assert server.kinds.count("submit") == 3
        assert set(states(manifest)) == {"made"}


def test_runware_half_a_synchronous_answer_is_kept(tmp_path: Path) -> None:
    """Two results and one error: two pictures, at their cost; only the third is asked for again."""

    def two_of_three(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "submit" or server.jobs:
            return None
        task = server.accept(asked, 2)
        error = {"code": "inferenceError", "taskUUID": task, "message": "one result failed"}
        return Reply(200, {"data": server.results(task), "errors": [error]})

    with hostile(two_of_three) as server:
        manifest = campaign(tmp_path, "runware", variants=3, settings={"options": {"delivery": "sync"}})
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["failed"], server.billed) == (2, 1, 2)
        assert micro_usd(done["spent_usd"]) == 2 * USD
        last = run(manifest, env=server.env)
        assert (last["made"], server.billed) == (1, 3)


def test_runware_a_timeout_of_a_synchronous_call_is_polled(tmp_path: Path) -> None:
    """The task goes on in the background: it is asked for, not bought again."""

    def late(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "submit":
            return None
        error = {"code": "timeout", "taskUUID": server.accept(asked), "message": "it goes on: use getResponse"}
        return Reply(200, {"errors": [error]})

    with hostile(late) as server:
        manifest = campaign(tmp_path, "runware", settings={"options": {"delivery": "sync"}})
        assert run(manifest, env=server.env)["made"] == 1
        assert (server.billed, states(manifest)) == (1, ["made"])


def test_runware_fewer_results_than_asked_for(tmp_path: Path) -> None:
    """Two of three, none under way, no error: it ends with the two, and the third failed for now."""

    def two(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind == "submit" and not server.jobs:
            server.accept(asked, 2)
            return Reply(200, {"data": [{"taskType": "imageInference", "taskUUID": asked.task["taskUUID"]}]})
        return None

    with hostile(two) as server:
        manifest = campaign(tmp_path, "runware", variants=3)
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["failed"], done["uncertain"]) == (2, 1, 0)
        assert states(manifest) == ["made"]
        assert (run(manifest, env=server.env)["made"], server.billed) == (1, 3)


@pytest.mark.parametrize("gateway", ["aimlapi", "fal"])
def test_one_picture_of_two_without_an_address(tmp_path: Path, gateway: str) -> None:
    """The good one is kept."""

    def halved(server: Hostile, asked: Asked) -> Reply | None:
        if gateway == "aimlapi" and asked.kind == "submit":
            pictures = server.jobs[server.accept(asked)].pictures
            return Reply(200, {"data": [{"url": pictures[0]}, {"url": None, "b64_json": None}]})
        if gateway == "fal" and asked.kind == "result":
            return Reply(200, {"images": [{"url": next(iter(server.jobs.values())).pictures[0]}, None]})
        return None

    with hostile(halved) as server:
        manifest = campaign(tmp_path, gateway, variants=2)
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["uncertain"], server.billed) == (1, 0, 2)
        assert states(manifest) == ["made"]


@pytest.mark.parametrize("status", [401, 400])
def test_runware_details_that_can_not_be_read(tmp_path: Path, status: int) -> None:
    """They say nothing of the task: it is not uncertain, and the next run has its picture."""
    code = "invalidApiKey" if status == 401 else "internalServerError"
    details = first("details", Reply(status, {"errors": [{"code": code, "message": "oops"}]}))
    with hostile(first("result", Reply(200, {"data": []}), 4), details) as server:
        manifest = campaign(tmp_path, "runware")
        done = run(manifest, env=server.env, expect=3)
        assert (done["failed"], done["uncertain"]) == (0, 0)
        assert server.kinds.count("details") == 1
        assert states(manifest) == ["accepted"]
        assert (run(manifest, env=server.env)["made"], server.billed) == (1, 1)


def test_fal_a_result_that_does_not_come_at_once(tmp_path: Path) -> None:
    """Redirected, unknown, late, in conflict, too early: no final refusal, and not uncertain; the next run has it."""
    odd = [first("result", Reply(status, {"detail": "x"}, {"Location": "/x"})) for status in (302, 404, 408, 409, 425)]
    with hostile(*odd) as server:
        manifest = campaign(tmp_path, "fal", count=5)
        done = run(manifest, env=server.env, expect=3)
        assert (done["failed"], done["uncertain"]) == (0, 0)
        assert set(states(manifest)) <= {"accepted", "made"}
        assert run(manifest, env=server.env)["done"] == server.billed == 5


# ── lost answers ────────────────────────────────────────────────────────────────────────────────


def test_eachlabs_a_log_that_can_not_be_read(tmp_path: Path) -> None:
    """Whether what was lost was accepted is not known: it stays open, and is found when the log can be read."""
    unread: list[Any] = [{"data": []}, {"executions": None}, [], {"error": "temporarily unavailable"}]
    logs = [first("log", Reply(200, body)) for body in unread]
    with hostile(first("submit", DROP, 4, accept=True), *logs) as server:
        manifest = campaign(tmp_path, "eachlabs", count=4)
        assert run(manifest, env=server.env, expect=3)["failed"] == 0
        assert (server.billed, states(manifest)) == (4, ["intent"] * 4)
        assert server.kinds.count("log") == 4
        assert (run(manifest, env=server.env)["made"], server.billed) == (4, 4)


def test_fal_a_part_of_what_is_uncertain_is_asked_for_again(tmp_path: Path) -> None:
    """Two pictures in one lost request: the one that is asked for again is paid again, and the other waits."""
    with hostile(first("submit", DROP, accept=True)) as server:
        manifest = campaign(tmp_path, "fal", variants=2)
        assert run(manifest, env=server.env, expect=3)["uncertain"] == 2
        run(manifest, "--uncertain", "retry", "--limit", "1", env=server.env, expect=3)
        assert server.billed == 2 + 1
        last = run(manifest, env=server.env, expect=3)
        assert (last["made"], last["done"], server.billed) == (0, 1, 3)
        assert sorted(states(manifest)) == ["failed", "made", "uncertain"]
        assert ledger(manifest, "SELECT reserved FROM requests WHERE state = 'uncertain'") == [(USD,)]


def test_408_to_a_submit_is_a_lost_answer(tmp_path: Path) -> None:
    """It may come from in between, after the request was accepted: not refused, and not taken for unbilled."""
    gateways = ["fal", "aimlapi", "eachlabs"]
    with hostile(first("submit", Reply(408, {"message": "Request Timeout"}), 3, accept=True)) as server:
        manifest = campaign(tmp_path, *gateways)
        assert run(manifest, env=server.env, expect=3)["failed"] == 0
        assert not set(states(manifest)) & {"refused", "failed"}
        assert run(manifest, env=server.env, expect=3)["failed"] == 0
        assert server.billed == len(gateways)


def test_eachlabs_killed_in_the_submit_and_less_wanted_since(tmp_path: Path) -> None:
    """Nine were asked for and none accepted: now that one is wanted, one is made."""

    def killing(server: Hostile, asked: Asked) -> Reply | None:
        return server.kill() if asked.kind == "submit" and server.kinds.count("submit") == 1 else None

    with hostile(killing) as server:
        manifest = campaign(tmp_path, "eachlabs", variants=9)
        server.killed(manifest)
        assert states(manifest) == ["intent"]
        edit(manifest, outputs={"aspect_ratio": ["1:1"], "format": ["png"], "variants": 1})
        assert run(manifest, env=server.env)["done"] == server.billed == 1
        assert "intent" not in states(manifest)


def test_eachlabs_killed_after_it_was_accepted_and_not_wanted_since(tmp_path: Path) -> None:
    """The next run finds it and keeps its picture, and buys only what is wanted now."""

    def killing(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "submit" or server.jobs:
            return None
        server.accept(asked)
        return server.kill()

    with hostile(killing) as server:
        manifest = campaign(tmp_path, "eachlabs")
        server.killed(manifest)
        edit(manifest, prompts={"table": {"text": "Another text for @Image1."}})
        assert run(manifest, env=server.env)["done"] == 1
        assert (server.billed, states(manifest)) == (2, ["made", "made"])
        assert ledger(manifest, "SELECT count(*), sum(usd) FROM pictures") == [(2, 2 * USD)]
        assert run(manifest, env=server.env)["made"] == 0


def test_eachlabs_two_equal_requests_in_flight(tmp_path: Path) -> None:
    """One loses its answer while the other still waits for its own: each gets a prediction of its own."""
    arrived, searched, numbers = threading.Event(), threading.Event(), itertools.count(1)

    def racing(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind == "log":
            searched.set()
        if asked.kind != "submit":
            return None
        number, job = next(numbers), server.accept(asked)
        if number == 1:
            arrived.wait(HANGS)
            return DROP
        arrived.set()
        searched.wait(0.5)  # a slow answer; test_model.py has this race in virtual time
        return Reply(200, {"status": "success", "predictionID": job})

    with hostile(racing) as server:
        manifest = campaign(tmp_path, "eachlabs", variants=18)
        assert run(manifest, env=server.env)["made"] == server.billed == 18
        assert ledger(manifest, "SELECT count(DISTINCT sha256), count(*) FROM pictures") == [(18, 18)]
        assert len(server.jobs) == 2


def test_runware_polls_of_several_requests_share_a_post(tmp_path: Path) -> None:
    """Eight requests are in work until one POST asks for them all; the one that fails leaves the others alone."""
    together: list[int] = []

    def working(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "result":
            return None
        together.append(len(asked.body))
        tasks = [task["taskUUID"] for task in asked.body]
        if max(together) < 8:
            return Reply(200, {"data": [{"taskUUID": task, "status": "processing"} for task in tasks]})
        bad = next(iter(server.jobs))
        error = {"code": "invalidProviderContent", "taskUUID": bad, "message": "flagged"}
        data = [entry for task in tasks if task != bad for entry in server.results(task)]
        return Reply(200, {"data": data, "errors": [error] if bad in tasks else []})

    with hostile(working) as server:
        manifest = campaign(tmp_path, "runware", count=8, settings={"concurrency": 8})
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["failed"]) == (7, 1)
        assert max(together) == 8


# ── pictures that do not come ───────────────────────────────────────────────────────────────────


def test_fal_results_that_break_after_the_picture_was_made(tmp_path: Path) -> None:
    """A result, a download of 503, then results of 500: the order stays open, and nothing is bought again."""
    counted = itertools.count(1)

    def breaking(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind == "result" and 2 <= next(counted) <= 5:
            return Reply(500, {"detail": "Internal server error", "error_type": "internal_error"})
        return None

    with hostile(first("picture", Reply(503)), breaking) as server:
        manifest = campaign(tmp_path, "fal")
        assert run(manifest, env=server.env, expect=3)["failed"] == 0
        assert states(manifest) == ["accepted"]
        assert (run(manifest, env=server.env)["made"], server.billed) == (1, 1)


def test_fal_results_that_break_after_a_picture_was_recorded(tmp_path: Path) -> None:
    """One of two is recorded: its request is never settled for less."""
    counted = itertools.count(1)

    def breaking(server: Hostile, asked: Asked) -> Reply | None:
        if asked.path == "/picture/2.png" and server.kinds.count("result") <= 1:
            return Reply(503)
        if asked.kind == "result" and 2 <= next(counted) <= 5:
            return Reply(500, {"detail": "Internal server error", "error_type": "internal_error"})
        return None

    with hostile(breaking) as server:
        manifest = campaign(tmp_path, "fal", variants=2)
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["failed"], states(manifest)) == (1, 0, ["accepted"])
        last = run(manifest, env=server.env)
        assert (last["done"], server.billed) == (2, 2)
        assert micro_usd(last["spent_usd"]) == 2 * USD


def test_a_palette_without_its_colours_is_no_whole_picture(tmp_path: Path) -> None:
    """Paid and broken: said so, without a traceback; the others are made, and this one is fetched again, free."""

    def broken(server: Hostile, asked: Asked) -> Reply | None:
        return Reply(200, _without_palette()) if asked.path == "/picture/1.png" else None

    with hostile(broken) as server:
        manifest = campaign(tmp_path, "fal", count=3)
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["failed"], done["uncertain"]) == (2, 0, 0)
        assert sorted(states(manifest)) == ["accepted", "made", "made"]
        assert (run(manifest, env=server.env, expect=3)["made"], server.billed) == (0, 3)


def test_a_link_that_is_not_there_yet(tmp_path: Path) -> None:
    """404 right after it was made is no expiry: the next run has it, at no cost."""
    yet: list[bool] = []
    with hostile(lambda server, asked: Reply(404) if asked.kind == "picture" and not yet else None) as server:
        manifest = campaign(tmp_path, *GATEWAYS)
        assert run(manifest, env=server.env, expect=3)["failed"] == 0
        assert states(manifest) == ["accepted"] * 4
        yet.append(True)
        assert (run(manifest, env=server.env)["made"], server.billed) == (4, 4)


def test_a_link_that_has_expired(tmp_path: Path) -> None:
    """Gone, hours after it was made: that is final, counted at its price, and not bought again by itself."""
    with hostile(lambda server, asked: Reply(404) if asked.kind == "picture" else None) as server:
        manifest = campaign(tmp_path, "fal")
        assert run(manifest, env=server.env, expect=3)["failed"] == 0
        with open_ledger(manifest.parent / "out/test/.pipeline", "test") as ledger:
            ledger.commit([lambda ledger: ledger._db.execute("UPDATE requests SET created = created - 7200")])
        done = run(manifest, env=server.env, expect=3)
        assert (done["failed"], micro_usd(done["spent_usd"]), states(manifest)) == (1, USD, ["failed"])
        assert (run(manifest, env=server.env, expect=3)["failed_cells"], server.billed) == (1, 1)


def test_only_what_can_not_be_had_waits(tmp_path: Path) -> None:
    """Of two links one is gone and one stumbles: the second is made in the same run, and none is called failed."""

    def links(server: Hostile, asked: Asked) -> Reply | None:
        return Reply(404) if asked.path == "/picture/1.png" and not mended else None

    mended: list[bool] = []
    stumbling = first("picture", Reply(503), 3)
    with hostile(links, stumbling) as server:
        manifest = campaign(tmp_path, "fal", variants=2)
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["failed"], done["uncertain"]) == (1, 0, 0)
        assert ledger(manifest, "SELECT count(*) FROM failures") == [(0,)]
        mended.append(True)
        assert (run(manifest, env=server.env)["done"], server.billed) == (2, 2)


def _without_palette() -> bytes:
    """A PNG with indexed colours, and no PLTE chunk."""
    whole = bytearray(picture(1))
    header = whole.index(b"IHDR") + 4
    whole[header + 9] = 3  # the colour type: indexed
    whole[header + 13 : header + 17] = struct.pack(">I", zlib.crc32(whole[header - 4 : header + 13]))
    return bytes(whole)


# ── money ───────────────────────────────────────────────────────────────────────────────────────


def test_eachlabs_a_cost_that_can_not_be(tmp_path: Path) -> None:
    """Made or failed, at less than nothing or at a fortune: counted at the price."""
    costs = [-1000, "-5", 5e8, 1e12, 1e14]

    def absurd(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "result":
            return None
        number = list(server.jobs).index(asked.path.rpartition("/")[2])
        told = server.honest(asked).body | {"metrics": {"cost": costs[number // 2]}}
        failed = {"status": "error", "output": {"error": "bad", "retryable": False}}
        return Reply(200, told | failed if number % 2 else told)

    with hostile(absurd) as server:
        manifest = campaign(tmp_path, "eachlabs", count=10)
        done = run(manifest, env=server.env, expect=3)
        assert (done["made"], done["failed"]) == (5, 5)
        assert ledger(manifest, "SELECT usd FROM requests") == [(USD,)] * 10
        assert ledger(manifest, "SELECT usd FROM pictures") == [(USD,)] * 5
        assert (micro_usd(done["spent_usd"]), micro_usd(done["refusals_usd"])) == (5 * USD, 5 * USD)


# ── keys and words ──────────────────────────────────────────────────────────────────────────────

KEY = KEYS["FAL_KEY"]
SPELT = [
    KEY.replace("/", "\\/"),
    KEY.replace("+", "\\u002b"),
    KEY.replace(":", "%3a").replace("/", "%2f").replace("+", "%2b"),
    KEY.replace("/", "%2F"),
    KEY.replace("+", "&#43;").replace("/", "&#47;"),
    KEY.replace("+", "&#x2B;").replace("/", "&#x2f;"),
]
"""As it may stand in the JSON of an answer."""


def test_a_key_in_another_spelling_is_left_nowhere(tmp_path: Path) -> None:
    """A gateway that echoes it in an error: not in the output, the ledger, the record or the report."""
    body = f'{{"detail": "bad key {", ".join(SPELT)} !"}}'.encode()
    with hostile(first("submit", Reply(422, body))) as server:
        manifest = campaign(tmp_path, "fal")
        done = pipeline("run", manifest, env=server.env, expect=3)
        left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        spellings = [KEY, *SPELT, *(json.loads(f'"{text}"') for text in SPELT)]
        for trace in (done.stdout.encode(), done.stderr.encode(), *left):
            assert not [text for text in spellings if text.encode() in trace]
        assert any(b"bad key ***, ***" in trace for trace in left), "the rest of the sentence is kept"


def test_a_short_key_does_not_blot_the_answers(tmp_path: Path) -> None:
    """What stands in every answer by chance is no secret."""
    with hostile() as server:
        manifest = campaign(tmp_path, "fal")
        assert run(manifest, env=server.env | {"FAL_KEY": "id"})["made"] == server.billed == 1


def test_an_env_file_in_utf16_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some editors write it; and a variable of blanks in the environment does not hide the file."""
    relative = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(Path(path).resolve()) for path in relative if path))
    with hostile() as server:
        manifest = campaign(tmp_path / "campaign", "fal")
        monkeypatch.chdir(tmp_path)
        path = manifest.parent / ".env"
        path.write_bytes(f"FAL_KEY={KEY}".encode("utf-16"))
        assert run(manifest, env=server.env | {"FAL_KEY": "  "})["made"] == server.billed == 1


def test_a_vendors_words_do_not_steer_the_terminal(tmp_path: Path) -> None:
    """Escapes in what a gateway says are not printed, and not kept."""
    words = "no \x1b[2J\x1b]0;owned\x07 \u202e tea \x00 \x9b31m"
    with hostile(first("submit", Reply(422, {"detail": words}))) as server:
        manifest = campaign(tmp_path, "fal")
        done = pipeline("run", manifest, env=server.env, expect=3)
        status = pipeline("status", manifest, env=server.env)
        plan = pipeline("plan", manifest, "-v", env=server.env)
        said = "".join(text for end in (done, status, plan) for text in (end.stdout, end.stderr))
        assert "tea" in said
        assert not {sign for sign in said if not sign.isprintable()} - {"\n"}
        assert "\x1b" not in (manifest.parent / "out/test/report.html").read_text()


def test_an_answer_in_gzip_is_read(tmp_path: Path) -> None:
    """Though it was not asked for: it is an acceptance, not a lost answer."""

    def zipped(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "submit":
            return None
        data = gzip.compress(json.dumps({"request_id": server.accept(asked)}).encode())
        return Reply(200, data, {"Content-Encoding": "gzip"})

    with hostile(zipped) as server:
        manifest = campaign(tmp_path, "fal")
        assert run(manifest, env=server.env)["made"] == server.billed == 1
