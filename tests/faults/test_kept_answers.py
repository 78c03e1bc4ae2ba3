"""An answer to a paid call that can't be read is kept, and a version that can read it makes the picture for free."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import pipeline, run
from fakes.emulated import KEYS
from fakes.hostile import Asked, Hostile, Reply, Spoil, campaign, hostile, ledger, picture, states

from pipeline import run as carrying_out
from pipeline.cli import main
from pipeline.engine.wire import MAX_WORDS
from pipeline.gateways import DIALECTS
from pipeline.gateways.aimlapi import Aimlapi
from pipeline.gateways.eachlabs import Eachlabs
from pipeline.gateways.fal import Fal
from pipeline.gateways.runware import Runware
from pipeline.types import Answer, Flow, Job

PICTURE = base64.b64encode(picture(1)).decode()
SYNC = {"runware": {"delivery": "sync"}}
KEPT = "SELECT answer FROM receipts WHERE step < 0"


def odd(body: Callable[[Hostile, str], Any], headers: dict[str, str] | None = None, status: int = 200) -> Spoil:
    """A gateway that accepts every submit, and answers it in a shape that nobody knows."""

    def spoil(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "submit" or asked.task.get("taskUUID") in server.jobs:
            return None
        return Reply(status, body(server, server.accept(asked)), headers or {})

    return spoil


def later(dialect: Any, known: Callable[[Any], Any]) -> Any:
    """The dialect of a later version, which knows one more shape of the answer to the paid call."""

    def read(answer: Answer) -> Answer:
        try:
            return Answer(200, answer.headers, known(answer.json))
        except (KeyError, IndexError, TypeError):
            return answer

    class Later(type(dialect)):  # type: ignore[misc]
        def make(self, job: Job) -> Flow:
            flow = super().make(job)
            call = next(flow)
            try:
                while True:
                    answer = yield call
                    call = flow.send(read(answer) if call.paid else answer)
            except StopIteration as done:
                return done.value

        def remote_id(self, receipt: Answer) -> str:
            return str(super().remote_id(read(receipt)))

    return Later()


SHAPES: dict[str, tuple[Any, Callable[[Hostile, str], Any], Callable[[Any], Any]]] = {
    "aimlapi": (
        Aimlapi(),
        lambda server, job: {"results": [{"picture": PICTURE}]},
        lambda told: {"data": [{"b64_json": told["results"][0]["picture"]}]},
    ),
    "fal": (
        Fal(),
        lambda server, job: {"queued": {"as": job}},
        lambda told: {"request_id": told["queued"]["as"]},
    ),
    "eachlabs": (
        Eachlabs(),
        lambda server, job: [{"prediction": job}],
        lambda told: {"id": told[0]["prediction"]},
    ),
    "runware": (
        Runware(),
        lambda server, job: {"result": [{"taskUUID": job, "imageBase64Data": PICTURE}]},
        lambda told: {"data": told["result"]},
    ),
}


def rerun(manifest: Path, server: Hostile, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """``pipeline run`` in this process, where a test may have registered another dialect."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(carrying_out, "LEAST_UNASKED", 0.0)  # as in fakes.runner: the pictures are tiny
    return main(["run", str(manifest), *arguments])


@pytest.mark.parametrize("options", [[], ["--uncertain", "retry"]], ids=["run", "retry"])
@pytest.mark.parametrize("gateway", SHAPES)
def test_a_later_version_reads_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: str, options: list[str]
) -> None:
    """The next run of it makes the picture, with no further paid call; also when it is told to ask again."""
    dialect, body, known = SHAPES[gateway]
    with hostile(odd(body)) as server:
        manifest = campaign(tmp_path, gateway, settings={"options": SYNC[gateway]} if gateway in SYNC else None)
        done = pipeline("run", manifest, env=server.env, expect=3)
        assert "its answer is kept for a later version" in done.stderr
        assert states(manifest) == (["intent"] if gateway == "runware" else ["uncertain"])
        ((text,),) = ledger(manifest, KEPT)
        assert json.loads(text)["json"] == body(server, next(iter(server.jobs)))
        monkeypatch.setitem(DIALECTS, gateway, later(dialect, known))
        assert rerun(manifest, server, monkeypatch, *options) == 0
        assert (server.kinds.count("submit"), server.billed, states(manifest)) == (1, 1, ["made"])
        assert ledger(manifest, KEPT) == []
        assert rerun(manifest, server, monkeypatch, *options) == 0
        assert server.kinds.count("submit") == 1
    assert len(list((tmp_path / "out/test/.pipeline/originals").iterdir())) == 1


def test_what_can_still_not_be_read_is_held(tmp_path: Path) -> None:
    """Every run tries it and pays nothing; only ``--uncertain retry`` asks again, once."""
    body = SHAPES["fal"][1]
    with hostile(lambda server, asked: None if server.billed else odd(body)(server, asked)) as server:
        manifest = campaign(tmp_path, "fal")
        for _ in range(3):
            done = run(manifest, env=server.env, expect=3)
            assert (done["uncertain_cells"], server.billed, len(ledger(manifest, KEPT))) == (1, 1, 1)
        words = "the answer to the paid call could not be read, and is kept: it may have been made, and paid"
        assert words in pipeline("plan", manifest, "--json", env=server.env).stdout
        assert run(manifest, "--uncertain", "retry", env=server.env)["made"] == 1
        assert (server.billed, states(manifest)) == (2, ["failed", "made"])


SECRET = KEYS["FAL_KEY"]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"<html>made, with " + SECRET.encode() + b"</html>", "<html>made, with ***</html>"),
        ("<p>gemacht: schön</p>".encode(), "<p>gemacht: schön</p>"),
        (picture(1), f"data:;base64,{PICTURE}"),
        (b"\xff" + SECRET.encode(), "data:;base64," + base64.b64encode(b"\xff***").decode()),
        (b"x" * MAX_WORDS + SECRET.encode(), "x" * MAX_WORDS + "***"),
    ],
    ids=["words with the key", "words", "a picture", "bytes with the key", "many words"],
)
@pytest.mark.parametrize("status", [200, 502])
def test_what_is_no_json_is_kept_without_the_key(tmp_path: Path, body: bytes, kept: str, status: int) -> None:
    """As text, or in base64 where it is none."""
    with hostile(odd(lambda server, job: body, {"X-Trace": f"key {SECRET}"}, status)) as server:
        manifest = campaign(tmp_path, "fal", settings={"options": {"references": "inline"}})
        run(manifest, env=server.env, expect=3)
        assert server.billed == 1
    ((text,),) = ledger(manifest, KEPT)
    answer = json.loads(text)
    assert (answer["status"], answer["json"], answer["body"]) == (status, None, kept)
    assert answer["headers"]["x-trace"] == "key ***"
