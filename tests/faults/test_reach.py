"""Runs whose manifest or gateway leads into a private network: refused, told where, and nothing connects there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import pipeline, run, write_campaign
from fakes.gateway import serving
from fakes.hostile import Asked, Hostile, Reply, campaign, hostile, states
from fakes.internet import Trap, trap


@pytest.fixture
def wolf() -> Iterator[Trap]:
    """Where nothing may connect."""
    with trap() as made:
        yield made


def unleashed(*arguments: object, expect: int) -> str:
    """What the command line says without ``--allow-private``."""
    # An address for a gateway that isn't used: the helper adds the option where the environment gives none.
    return pipeline(*arguments, env={"FAL_BASE_URL": "http://127.0.0.1:1"}, expect=expect).stderr


# ── the manifest ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:{}", "it is no https:// address"),
        ("https://127.0.0.1:{}", "127.0.0.1 is in a private network"),
        ("https://0x7f.1:{}/v1", "0x7f.1 is in a private network"),
        ("https://localhost:{}", "localhost is in a private network"),
        ("https://[::1]:{}", "::1 is in a private network"),
        ("https://user:word@example.com:{}", "it holds a user name or a password"),
    ],
)
def test_a_base_url_out_of_reach_ends_a_run_before_it_begins(
    tmp_path: Path, wolf: Trap, address: str, why: str
) -> None:
    """Told with its place and the way out, before anything is asked for, made or written."""
    provider = {"name": "fake", "base_url": address.format(wolf.port)}
    manifest = write_campaign(tmp_path, provider=provider)
    lines = manifest.read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if '"base_url"' in line)
    said = unleashed("run", manifest, expect=1)
    column = lines[number - 1].index(": ") + 3
    hint = "--allow-private permits it, for an emulator or a proxy of your own"
    assert said.splitlines()[0] == f"{manifest}:{number}:{column}: providers[0].base_url: {why}; {hint}"
    assert not wolf.sprung
    assert not (tmp_path / "out").exists()
    assert unleashed("cancel", manifest, expect=1) == said


def test_the_option_permits_it(tmp_path: Path) -> None:
    """Given to the run that needs it; it isn't remembered."""
    with serving() as gateway:
        manifest = write_campaign(tmp_path, count=1, provider={"name": "fake", "base_url": gateway.url})
        assert "--allow-private" in unleashed("run", manifest, expect=1)
        assert gateway.state.submits == 0
        assert run(manifest)["made"] == gateway.state.submits == 2
        assert "--allow-private" in unleashed("run", manifest, expect=1)


def test_a_saved_plan_is_no_way_around_it(tmp_path: Path, wolf: Trap) -> None:
    """The address is the manifest's all the same."""
    provider = {"name": "fake", "base_url": f"https://127.0.0.1:{wolf.port}"}
    manifest, saved = write_campaign(tmp_path, provider=provider), tmp_path / "plan.json"
    pipeline("plan", manifest, "-o", saved)
    assert "127.0.0.1 is in a private network" in unleashed("run", saved, expect=1)
    assert not wolf.sprung


def test_every_provider_out_of_reach_is_told(tmp_path: Path) -> None:
    """All at once, each at its place; what the environment gives is not among them."""
    providers = [
        {"name": "runware", "base_url": "http://127.0.0.1:2"},
        {"name": "fal", "base_url": "http://10.0.0.1"},
        {"name": "other", "gateway": "eachlabs", "base_url": "https://10.0.0.1"},
    ]
    manifest = write_campaign(tmp_path, model="kling-image-o1", providers=providers)
    said = [line for line in unleashed("run", manifest, expect=1).splitlines() if "base_url" in line]
    assert [line.split(": ")[1] for line in said] == ["providers[0].base_url", "providers[2].base_url"]


# ── the answers ─────────────────────────────────────────────────────────────────────────────────


def leading(kind: str, wolf: Trap, scheme: str) -> Any:
    """A gateway that names an address in a private network where it should name one of its own."""

    def spoil(server: Hostile, asked: Asked) -> Reply | None:
        there = f"{scheme}://127.0.0.1:{wolf.port}/x.png"
        if kind == "picture" and asked.kind == "submit":
            server.accept(asked)
            job = list(server.jobs.values())[-1]
            job.pictures[:] = [f"{there}?token=canary" for _ in job.pictures]
            reply = {"request_id": list(server.jobs)[-1], "predictionID": list(server.jobs)[-1], "status": "success"}
            return Reply(200, reply | {"data": [{"url": url} for url in job.pictures]})
        if kind == "redirect" and asked.kind == "picture":
            return Reply(302, b"", {"Location": f"{there}?token=canary"})
        if kind == "upload" and asked.kind == "upload":
            names = dict.fromkeys(("upload_url", "presigned_url"), f"{there}?token=canary")
            return Reply(200, names | {"file_url": "https://x.example/f.png", "public_url": "https://x.example/f.png"})
        return None

    return spoil


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("kind", "gateway"),
    [
        ("picture", "fal"),
        ("picture", "aimlapi"),
        ("picture", "eachlabs"),
        ("redirect", "runware"),
        ("redirect", "fal"),
        ("upload", "fal"),
        ("upload", "eachlabs"),
    ],
)
def test_an_answer_that_leads_into_a_private_network(
    tmp_path: Path, wolf: Trap, kind: str, gateway: str, scheme: str
) -> None:
    """Nothing connects there; what is paid stays open, what could not be uploaded is not asked for at all."""
    with hostile(leading(kind, wolf, scheme)) as server:
        manifest = campaign(tmp_path, gateway)
        said = pipeline("run", manifest, env=server.env, expect=3)
        assert not wolf.sprung
        assert server.billed == (0 if kind == "upload" else 1)
        assert states(manifest) == ([] if kind == "upload" else ["accepted"])
    why = "no https:// address" if scheme == "http" else r"127.0.0.1 is in a private network"
    assert why in said.stderr
    left = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.suffix in (".html", ".jsonl", ".log")]
    for text in (said.stdout.encode(), said.stderr.encode(), *left):
        assert b"canary" not in text
