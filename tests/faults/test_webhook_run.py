"""Whole runs with webhooks: the real command line, deliveries over real sockets, and polls that would come too late."""

from __future__ import annotations

import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fakes.campaign import pipeline, results, run, write_campaign
from fakes.emulated import KEYS, addresses, billed, emulating, provider

from pipeline.emulator import Emulator
from pipeline.types import micro_usd

GATEWAYS = ("fal", "eachlabs", "runware")
SLOW = {"poll": {"first": 60, "every": 60}}
"""Without a hint, a run takes a minute at least."""
FAST = 40.0
"""Seconds: the run ended before any poll would have come by itself."""


def campaign(folder: Path, *providers: dict[str, Any], variants: int = 1) -> Path:
    """A campaign of four products at these providers."""
    outputs = {"aspect_ratio": ["1:1"], "format": ["png"], "variants": variants}
    return write_campaign(folder, count=4, model="kling-image-o1", providers=list(providers), outputs=outputs)


def options() -> list[str]:
    """``--webhook-…`` for a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return ["--webhook-listen", f"127.0.0.1:{port}", "--webhook-url", f"http://127.0.0.1:{port}/hooks"]


def secrets(emulator: Emulator, gateway: str) -> set[bytes]:
    """The tokens and secrets that a gateway was told, from the jobs that it keeps."""
    asked = [job.asked for job in emulator.account(gateway).jobs() if isinstance(job.asked, dict)]
    told = {str(job[name]) for job in asked for name in ("webhookURL", "webhook_url", "webhook_secret") if name in job}
    return {text.rpartition("/")[2].encode() for text in told}


def polls(emulator: Emulator, gateway: str) -> Counter[str]:
    """How often a gateway was asked, by kind of request."""
    return Counter(str(entry["kind"]) for entry in emulator.log(gateway))


@pytest.mark.parametrize("delivery", ["once", "twice", "late"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_run_ends_when_the_deliveries_have_come(tmp_path: Path, gateway: str, delivery: str) -> None:
    """Every picture is made and billed once, and nothing that a delivery was addressed or signed with is kept."""
    with emulating(switches={"webhooks.delivery": delivery}) as emulator:
        manifest = campaign(tmp_path, provider(gateway, **SLOW), variants=2)
        done = pipeline("run", manifest, "--json", *options(), env=addresses(emulator))
        first = json.loads(done.stdout)
        assert first["seconds"] < FAST
        assert (first["made"], first["done"], first["failed"]) == (8, 8, 0)
        assert billed(emulator) == (8, micro_usd(first["spent_usd"]))
        assert polls(emulator, gateway)["submit"] == len(emulator.account(gateway).jobs()) == 4
        again = run(manifest, *options(), env=addresses(emulator))
        assert (again["made"], billed(emulator)[0]) == (0, 8)
        told = secrets(emulator, gateway)
    assert {line["state"] for line in results(manifest)} == {"done"}
    assert "refused" not in done.stderr
    assert len(told) == {"fal": 0, "eachlabs": 8, "runware": 4}[gateway], "fal's stands in the address of the submit"
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in kept] + [done.stdout.encode(), done.stderr.encode()]
    assert len(texts) > 20
    for secret in told:
        assert not any(secret in text for text in texts)
    assert not any(b"/hooks/" in text or b"X-Webhook" in text for text in texts)


@pytest.mark.parametrize(
    ("gateway", "switch", "choice"),
    [("fal", "fal.submit-reply", "webhook"), ("runware", "runware.webhook", "data")],
)
def test_every_documented_shape(tmp_path: Path, gateway: str, switch: str, choice: str) -> None:
    """fal's answer to a submit with a webhook, as its webhooks page shows it; Runware's envelope."""
    with emulating(switches={switch: choice}) as emulator:
        document = run(campaign(tmp_path, provider(gateway, **SLOW)), *options(), env=addresses(emulator))
        assert document["seconds"] < FAST
        assert document["made"] == billed(emulator)[0] == 4


def test_a_pool_delivers_to_one_address(tmp_path: Path) -> None:
    """Three gateways in one run, each by its own scheme; the fourth has no webhook and needs none."""
    pool = [provider(gateway, **SLOW, concurrency=1) for gateway in GATEWAYS] + [provider("aimlapi", concurrency=1)]
    with emulating() as emulator:
        manifest = campaign(tmp_path, *pool, variants=2)
        edited = json.loads(manifest.read_text()) | {"routing": "spread"}
        manifest.write_text(json.dumps(edited))
        document = run(manifest, *options(), env=addresses(emulator))
        assert document["seconds"] < FAST
        assert document["made"] == billed(emulator)[0] == 8
        assert all(emulator.bill(gateway)["pictures"] for gateway in emulator.urls)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_rehearsal_needs_no_public_address(tmp_path: Path, gateway: str) -> None:
    """`--emulate --webhook-listen` alone, at any free port; nothing of it is printed but where it listens."""
    manifest = campaign(tmp_path, provider(gateway, **SLOW))
    given = ["--emulate", "--emulate-speed", "100", "--webhook-listen", "127.0.0.1:0"]
    done = pipeline("run", manifest, "--json", *given)
    document = json.loads(done.stdout)
    assert document["seconds"] < FAST
    assert document["made"] == 4
    assert "listening for webhooks at 127.0.0.1:" in done.stderr
    assert f"/{gateway}/" not in done.stderr


def test_a_refused_picture_is_told_too(tmp_path: Path) -> None:
    """A delivery of a failure ends the wait as well; the failure is read from the gateway, not from the delivery."""
    for gateway in GATEWAYS:
        with emulating() as emulator:
            manifest = campaign(tmp_path / gateway, provider(gateway, **SLOW))
            text = "Place @Image1 on a {% if product.id == 'p1' %}forbidden {% endif %}table."
            edited = json.loads(manifest.read_text()) | {"prompts": {"table": {"text": text}}}
            manifest.write_text(json.dumps(edited))
            document = run(manifest, *options(), env=addresses(emulator), expect=3)
            assert document["seconds"] < FAST
            assert (document["made"], document["failed"]) == (3, 1)


def test_wrong_options_start_nothing(tmp_path: Path) -> None:
    """One line each, before anything is paid; a port that is taken among them."""
    with emulating() as emulator:
        manifest = campaign(tmp_path, provider("runware", **SLOW))
        env = addresses(emulator)
        for given in (["--webhook-listen", "127.0.0.1:0"], ["--webhook-url", "https://example.com"]):
            done = pipeline("run", manifest, *given, expect=2, env=env)
            assert given[0] in done.stderr
        taken = ["--webhook-url", "https://example.com", "--webhook-listen", urlsplit(emulator.urls["fal"]).netloc]
        assert "can't listen there" in pipeline("run", manifest, *taken, expect=1, env=env).stderr
        assert billed(emulator) == (0, 0)
        assert not [entry for entry in emulator.log("runware") if entry["kind"] == "submit"]
    assert KEYS["RUNWARE_API_KEY"] not in done.stderr
