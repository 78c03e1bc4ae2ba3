"""All four gateways end to end: the real command line, real sockets, and the emulator's own bill."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fakes.campaign import HERE, environment, pipeline, plan, results, run, write_campaign
from fakes.emulated import GATEWAYS, KEYS, addresses, billed, emulating, provider, realistic
from fakes.work import HANGS

from pipeline.emulator import Emulator, Fault
from pipeline.types import micro_usd

OUTPUTS: dict[str, Any] = {"aspect_ratio": ["1:1"], "format": ["png"]}


def small(folder: Path, *providers: dict[str, Any], count: int = 4, **keys: Any) -> Path:
    """A campaign of ``count`` pictures of the real model at these providers."""
    keys = {"model": "kling-image-o1", "outputs": OUTPUTS} | keys
    return write_campaign(folder, count=count, providers=list(providers), **keys)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_the_realistic_campaign(tmp_path: Path, gateway: str) -> None:
    """Every distinct picture billed once, the ledger's sum the emulator's to the micro-dollar, a second run free."""
    with emulating() as emulator:
        manifest = realistic(tmp_path, provider(gateway))
        first = run(manifest, env=addresses(emulator))
        assert first["done"] == first["cells"] > 600
        lines = results(manifest)
        pictures = {line["key"] for line in lines}
        assert billed(emulator)[0] == len(pictures) > 250
        assert micro_usd(first["spent_usd"]) == billed(emulator)[1]
        assert {line["provider"] for line in lines} == {gateway}
        assert run(manifest, env=addresses(emulator))["made"] == 0
        assert billed(emulator)[0] == len(pictures)


@pytest.mark.parametrize("gateway", ["fal", "eachlabs", "runware"])
def test_a_reference_is_uploaded_once(tmp_path: Path, gateway: str) -> None:
    """Four pictures of two prompts share two uploads, and so does the next run."""
    with emulating() as emulator:
        prompts = {name: {"text": f"Place @Image1 on a {name}."} for name in ("table", "chair")}
        manifest = small(tmp_path, provider(gateway), count=2, prompts=prompts)
        assert run(manifest, env=addresses(emulator))["made"] == 4
        uploads = [entry for entry in emulator.log(gateway) if entry["kind"] == "upload"]
        assert run(manifest, "--retake", "*", env=addresses(emulator))["made"] == 4
        again = [entry for entry in emulator.log(gateway) if entry["kind"] == "upload"]
    assert 2 <= len(uploads) <= 4, "one or two calls each"
    assert len(again) == len(uploads)


@pytest.mark.parametrize("gateway", ["fal", "runware"])
def test_references_may_travel_inline(tmp_path: Path, gateway: str) -> None:
    """With `references: inline` nothing is uploaded."""
    with emulating() as emulator:
        manifest = small(tmp_path, provider(gateway, options={"references": "inline"}))
        assert run(manifest, env=addresses(emulator))["made"] == 4
        assert not [entry for entry in emulator.log(gateway) if entry["kind"] == "upload"]


VARIANTS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("fal", {}, {"sync_mode": True, "queue_priority": "low", "object_lifetime": 3600, "max_queue_length": 500}),
    ("aimlapi", {}, {"provider": "fal"}),
    ("eachlabs", {"eachlabs.auth": "bearer"}, {"auth": "bearer"}),
    ("eachlabs", {}, {"trailing_slash": True}),
    ("runware", {}, {"delivery": "sync"}),
    ("runware", {}, {"outputType": "dataURI", "ttl": 3600, "outputQuality": 90}),
    ("runware", {}, {"outputType": "base64Data", "delivery": "sync", "safety": {"checkContent": True, "mode": "fast"}}),
]


@pytest.mark.parametrize(("gateway", "switches", "options"), VARIANTS)
def test_documented_options(tmp_path: Path, gateway: str, switches: dict[str, str], options: dict[str, Any]) -> None:
    """The gateway accepts each option as its documents say, and the pictures come all the same."""
    with emulating(switches=switches) as emulator:
        manifest = small(tmp_path, provider(gateway, options=options), outputs=OUTPUTS | {"variants": 3}, count=2)
        assert run(manifest, env=addresses(emulator))["made"] == 6
        assert billed(emulator)[0] == 6


def test_a_rehearsal_needs_no_key_and_has_its_own_folder(tmp_path: Path) -> None:
    """`--emulate`: pictures beside the real ones' place, the bill in the end, nothing owed less than before."""
    manifest = small(tmp_path, {"name": "eachlabs"}, count=2)
    done = pipeline("run", manifest, "--emulate", "--emulate-speed", "50")
    assert "would have billed $0.056 for 2 pictures" in done.stderr
    assert (tmp_path / "out/test-rehearsal/report.html").is_file()
    assert not (tmp_path / "out/test").exists()
    assert plan(manifest)["to_make"] == 2
    assert "would have billed $0.00 for 0 pictures" in pipeline("run", manifest, "--emulate").stderr


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_moderated_prompt_is_refused_for_good(tmp_path: Path, gateway: str) -> None:
    """What the vendor says reaches the user; it is not asked again by itself; the others are made."""
    with emulating() as emulator:
        prompts = {"table": {"text": "Place @Image1 on a {% if product.id == 'p1' %}forbidden {% endif %}table."}}
        manifest = small(tmp_path, provider(gateway), prompts=prompts)
        first = run(manifest, env=addresses(emulator), expect=3)
        assert (first["made"], first["failed"]) == (3, 1)
        reason = next(line["reason"] for line in results(manifest) if line["state"] == "failed")
        assert "answered" in reason or ":" in reason
        requests = [entry for entry in emulator.log(gateway) if entry["kind"] == "submit"]
        assert run(manifest, env=addresses(emulator), expect=3)["failed"] == 0
        assert [entry for entry in emulator.log(gateway) if entry["kind"] == "submit"] == requests


LOST = ["reset-after", "truncated", "html", "status-after"]


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("gateway", ["runware", "eachlabs"])
def test_a_lost_answer_is_found_again(tmp_path: Path, gateway: str, kind: str) -> None:
    """Billed, and the answer lost: the job is adopted, by its id or by the account's log, and nothing is paid twice."""
    fault = Fault("submit", kind, every=2, value="502" if kind == "status-after" else "")
    with emulating(faults=(fault,)) as emulator:
        manifest = small(tmp_path, provider(gateway, concurrency=4), count=8)
        done = run(manifest, env=addresses(emulator))
        assert (done["made"], done["uncertain"]) == (8, 0)
        assert billed(emulator)[0] == 8
        assert micro_usd(done["spent_usd"]) == billed(emulator)[1]


@pytest.mark.parametrize("gateway", ["aimlapi", "fal"])
def test_a_lost_answer_that_can_not_be_had_is_held(tmp_path: Path, gateway: str) -> None:
    """It is uncertain, named and priced, and only `--uncertain retry` pays for it again."""
    with emulating(faults=(Fault("submit", "reset-after", nth=(2,)),)) as emulator:
        manifest = small(tmp_path, provider(gateway, concurrency=1))
        first = run(manifest, env=addresses(emulator), expect=3)
        assert (first["made"], first["uncertain"]) == (3, 1)
        assert billed(emulator)[0] == 4
        assert run(manifest, env=addresses(emulator), expect=3)["made"] == 0
        status = json.loads(pipeline("status", manifest, "--json", env=addresses(emulator)).stdout)
        assert [row["state"] for row in status["open_requests"]] == ["uncertain"]
        assert status["uncertain_usd"] == pytest.approx(0.0294 if gateway == "aimlapi" else 0.028)
        assert run(manifest, "--uncertain", "retry", env=addresses(emulator))["made"] == 1
        assert billed(emulator)[0] == 5
        status = json.loads(pipeline("status", manifest, "--json", env=addresses(emulator)).stdout)
        assert status["uncertain_usd"] == 0
        assert micro_usd(status["spent_usd"]) == billed(emulator)[1]


# fal can't tell what was lost before it was accepted from what was lost after, nor what a 503 means: held.
NOT_ACCEPTED = [
    ("fal", "429"),
    *((gateway, kind) for gateway in GATEWAYS[1:] for kind in ("reset-before", "429", "status")),
]


@pytest.mark.parametrize(("gateway", "kind"), NOT_ACCEPTED)
def test_what_was_not_accepted_is_asked_again(tmp_path: Path, gateway: str, kind: str) -> None:
    """Cut before it was accepted, 429, 503: everything is made, and billed once."""
    value = {"429": "0", "status": "503"}.get(kind, "")
    with emulating(faults=(Fault("submit", kind, every=3, value=value),)) as emulator:
        manifest = small(tmp_path, provider(gateway, concurrency=2), count=6)
        done = run(manifest, env=addresses(emulator))
        assert (done["made"], billed(emulator)[0]) == (6, 6)


@pytest.mark.parametrize("value", ["", "0.02", "soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "NaN"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_every_kind_of_retry_after(tmp_path: Path, gateway: str, value: str) -> None:
    """Seconds, a date, absent, absurd: all of them mean later, none of them an error or a second bill."""
    with emulating(faults=(Fault("submit", "429", nth=(1, 2, 4), value=value),)) as emulator:
        manifest = small(tmp_path, provider(gateway, concurrency=2))
        assert run(manifest, env=addresses(emulator))["made"] == 4
        assert billed(emulator)[0] == 4


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("kind", ["expired", "wrong-type", "short", "not-picture", "reset-before"])
def test_a_picture_that_does_not_come_whole_is_fetched_again(tmp_path: Path, gateway: str, kind: str) -> None:
    """Nothing wrong stays under the final name, and nothing is paid again."""
    with emulating(faults=(Fault("picture", kind, nth=(1, 3)),)) as emulator:
        manifest = small(tmp_path, provider(gateway, concurrency=1))
        done = run(manifest, env=addresses(emulator))
        assert (done["made"], billed(emulator)[0]) == (4, 4)


@pytest.mark.parametrize("gateway", ["fal", "eachlabs", "runware"])
@pytest.mark.parametrize("kind", ["reset-before", "html", "truncated", "429", "status"])
def test_a_poll_that_fails_is_asked_again(tmp_path: Path, gateway: str, kind: str) -> None:
    """A gateway that stumbles while the job runs costs nothing but time."""
    value = {"429": "0", "status": "500"}.get(kind, "")
    with emulating(faults=(Fault("poll", kind, every=3, value=value),)) as emulator:
        manifest = small(tmp_path, provider(gateway))
        done = run(manifest, env=addresses(emulator))
        assert (done["made"], billed(emulator)[0]) == (4, 4)


# ── pools ───────────────────────────────────────────────────────────────────────────────────────


def test_routing(tmp_path: Path) -> None:
    """failover keeps to the first, cheapest to the cheapest, spread uses all; the record says who made what."""
    pool = [provider("aimlapi"), provider("fal"), provider("runware")]
    for routing, expected in (
        ("failover", {"aimlapi"}),
        ("cheapest", {"fal"}),
        ("spread", {"aimlapi", "fal", "runware"}),
    ):
        with emulating() as emulator:
            pool = [{**entry, "concurrency": 1} for entry in pool]
            manifest = small(tmp_path / routing, *pool, count=6, routing=routing)
            assert run(manifest, env=addresses(emulator))["made"] == 6
            assert {line["provider"] for line in results(manifest)} == expected
            assert billed(emulator)[0] == 6


def test_providers_side_by_side(tmp_path: Path) -> None:
    """As an axis of the matrix each provider makes its own picture of every cell."""
    with emulating() as emulator:
        outputs = OUTPUTS | {"provider": ["fal", "runware"]}
        manifest = small(tmp_path, provider("fal"), provider("runware"), count=2, outputs=outputs)
        assert run(manifest, env=addresses(emulator))["made"] == 4
        assert [emulator.bill(name)["pictures"] for name in ("fal", "runware")] == [2, 2]
        assert all(f"/{line['provider']}/" in line["label"] for line in results(manifest))
        assert run(manifest, env=addresses(emulator))["made"] == 0


@pytest.mark.parametrize(("first", "second"), [("runware", "fal"), ("fal", "eachlabs"), ("eachlabs", "aimlapi")])
def test_a_gateway_that_dies_hands_its_pictures_on(tmp_path: Path, first: str, second: str) -> None:
    """Connections refused mid-run, then 402: everything is finished on the other, and nothing twice."""
    dying = [Fault("submit", "refuse", nth=(4,)), Fault("submit", "status", nth=tuple(range(5, 500)), value="402")]
    with emulating() as emulator:
        emulator.faults(first, dying)
        manifest = small(tmp_path, provider(first, concurrency=2), provider(second, concurrency=2), count=24)
        # What the dead gateway had accepted is not asked of the other: it comes with a later run.
        done = run(manifest, env=addresses(emulator), expect=3)
        assert done["failed"] == 0
        assert done["made"] >= 20
        emulator.resume(first)
        last = run(manifest, env=addresses(emulator), expect=3 if done["uncertain"] else 0)
        assert last["done"] + done["uncertain"] == last["cells"] == 24
        assert done["uncertain"] <= (first == "fal"), "only what was on the wire when it died"
        assert billed(emulator)[0] <= 24
        assert emulator.bill(first)["pictures"] <= 4


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


def spellings() -> Iterator[bytes]:
    """Each key as it might turn up: plain, percent-encoded, in base64 at any offset."""
    for key in KEYS.values():
        raw = key.encode()
        yield raw
        yield quote(key, safe="").encode()
        for lead in range(3):
            start = -lead % 3
            whole = raw[start : start + (len(raw) - start) // 3 * 3]
            yield base64.b64encode(whole)
            yield base64.urlsafe_b64encode(whole)


def traces(emulator: Emulator, manifest: Path) -> Iterator[bytes]:
    """Everything that a run leaves behind, and says."""
    for arguments in (("plan", manifest, "-v"), ("status", manifest), ("run", manifest, "-v")):
        for code in (0, 3):
            try:
                done = pipeline(*arguments, env=addresses(emulator), expect=code)
            except AssertionError:
                continue
            yield (done.stdout + done.stderr).encode()
    yield from (path.read_bytes() for path in manifest.parent.rglob("*") if path.is_file())


def test_no_key_is_left_anywhere(tmp_path: Path) -> None:
    """After faults of every kind at every gateway: in no file, page of the ledger, log, error or report."""
    faults = tuple(Fault("submit", kind, every=number, value="502") for number, kind in enumerate(LOST, 3))
    with emulating(faults=(*faults, Fault("submit", "status", nth=(11,), value="401"))) as emulator:
        for gateway in GATEWAYS:
            manifest = small(tmp_path / gateway, provider(gateway, concurrency=2), count=12)
            found = list(traces(emulator, manifest))
            assert len(found) > 30, "there is something to search"
            for trace in found:
                assert not [spelling for spelling in spellings() if spelling in trace]
            with sqlite3.connect(manifest.parent / "out/test/.pipeline/ledger.sqlite") as db:
                assert db.execute("SELECT count(*) FROM receipts").fetchone()[0] > 0
            db.close()


# ── cancelling ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("gateway", ["fal", "eachlabs", "runware"])
def test_what_is_in_flight_can_be_cancelled(tmp_path: Path, gateway: str) -> None:
    """After an interrupt: asked to stop where the gateway can, marked so, and not made again by itself."""
    with emulating(latency=(1500.0, 1500.0)) as emulator:
        manifest = small(tmp_path, provider(gateway), count=2)
        command = [sys.executable, str(HERE / "runner.py"), "run", str(manifest)]
        process = subprocess.Popen(command, env=environment() | addresses(emulator), stderr=subprocess.DEVNULL)
        while _receipts(manifest) < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(HANGS) == 130
        said = pipeline("cancel", manifest, env=addresses(emulator)).stdout
        if gateway == "runware":
            assert said.count("no way to stop it") == 2
            return
        assert said.count("asked to stop") == 2
        last = run(manifest, env=addresses(emulator), expect=3)
        assert (last["made"], last["failed"], last["usd"]) == (0, 2, 0)
        assert len([entry for entry in emulator.log(gateway) if entry["kind"] == "submit"]) == 2
        assert "nothing is in flight" in pipeline("cancel", manifest, env=addresses(emulator)).stdout


def _receipts(manifest: Path) -> int:
    """How many paid calls the ledger knows the answers of."""
    path = manifest.parent / "out/test/.pipeline/ledger.sqlite"
    if not path.is_file():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM receipts").fetchone()[0])
