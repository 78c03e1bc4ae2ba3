"""What a gateway, a network and a user may do to a run: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from fakes.campaign import edit, owed, pipeline, plan, results, run, start, wait_for_line, write_campaign
from fakes.gateway import FakeGateway, Faults, serving
from fakes.work import HANGS


def campaign(folder: Path, gateway: FakeGateway, name: str = "fake", **keys: object) -> Path:
    """A campaign of six pictures in twelve cells at the fake gateway."""
    return write_campaign(folder, provider={"name": name, "base_url": gateway.url, "concurrency": 4}, **keys)


def test_pays_once_for_each_picture_and_writes_every_format(tmp_path: Path) -> None:
    """Six pictures are billed once each, though two formats of each are written; a second run bills nothing."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway)
        first = run(manifest)
        again = run(manifest)
    assert (first["made"], first["done"], first["usd"]) == (6, 12, pytest.approx(0.168))
    assert (again["made"], again["usd"], again["exit_code"]) == (0, 0, 0)
    assert sum(gateway.state.billed.values()) == 6 == len(owed(results(manifest)))
    assert gateway.state.submits == 6


def test_variants_share_a_request_and_raising_them_pays_for_one(tmp_path: Path) -> None:
    """Two variants come of one request; a third is one more picture, not three."""
    outputs = {"aspect_ratio": "1:1", "variants": 2}
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, outputs=outputs)
        run(manifest)
        assert (gateway.state.submits, sum(gateway.state.billed.values())) == (3, 6)
        edit(manifest, outputs=outputs | {"variants": 3})
        assert run(manifest)["made"] == 3
    assert (gateway.state.submits, sum(gateway.state.billed.values())) == (6, 9)


@pytest.mark.parametrize("headers", [{}, {"retry-after": "0.05"}, {"retry-after": "soon"}, {"retry-after": "-3"}])
def test_not_now_is_tried_again(tmp_path: Path, headers: dict[str, str]) -> None:
    """429 with every kind of Retry-After delays a run and costs nothing."""
    with serving(Faults(submit=lambda n: (429, headers) if n <= 3 else None)) as gateway:
        document = run(campaign(tmp_path, gateway))
    assert document["made"] == 6
    assert sum(gateway.state.billed.values()) == 6


@pytest.mark.parametrize("fault", ["drop-before", "drop-after", "garbage"])
def test_a_lost_answer_is_settled_by_our_id(tmp_path: Path, fault: str) -> None:
    """Where the gateway knows our id, a lost answer is asked for again and never billed twice."""
    with serving(Faults(submit=lambda n: fault if n <= 3 else None)) as gateway:
        document = run(campaign(tmp_path, gateway))
    assert document["made"] == 6
    assert sum(gateway.state.billed.values()) == 6
    assert max(gateway.state.billed.values()) == 1


@pytest.mark.parametrize("fault", ["drop-before", "drop-after", "garbage", "status"])
def test_a_lost_answer_without_an_id_is_held_as_uncertain(tmp_path: Path, fault: str) -> None:
    """Where nothing can settle a lost answer, the request is shown and priced, and never silently paid again."""
    answer = (502, {}) if fault == "status" else fault
    with serving(Faults(submit=lambda n: answer if n == 1 else None)) as gateway:
        manifest = campaign(tmp_path, gateway, "fake-none")
        document = run(manifest, expect=3)
        again = run(manifest, expect=3)
    assert (document["made"], document["uncertain"]) == (5, 1)
    assert (again["made"], gateway.state.submits) == (0, 6)
    states = [cell["state"] for cell in results(manifest)]
    assert (states.count("done"), states.count("uncertain")) == (10, 2)
    status = json.loads(pipeline("status", manifest, "--json").stdout)
    assert status["uncertain_usd"] == pytest.approx(0.028)
    assert [request["state"] for request in status["open_requests"]] == ["uncertain"]


def test_a_refused_picture_fails_alone_and_is_not_asked_again(tmp_path: Path) -> None:
    """Moderation fails its picture with the vendor's words; the next run doesn't ask, --retry-failed does."""
    prompts = {"table": {"text": "Place @Image1, {{ product.name }}, on a table."}}
    faults = Faults(refuse=lambda prompt: "Thing 1" in prompt)
    with serving(faults) as gateway:
        manifest = campaign(tmp_path, gateway, prompts=prompts)
        document = run(manifest, expect=3)
        assert (document["made"], document["failed"]) == (4, 2)
        assert run(manifest, expect=3)["failed"] == 0
        assert gateway.state.submits == 6
        reasons = {cell["reason"] for cell in results(manifest) if cell["state"] == "failed"}
        assert reasons == {"content policy: no <b>tea</b>"}
        faults.refuse = lambda prompt: False
        assert run(manifest, "--retry-failed")["made"] == 2
    assert max(gateway.state.billed.values()) == 1


def test_a_stopped_account_hands_its_pictures_to_the_next_provider(tmp_path: Path) -> None:
    """401 stops a lane at once; what it had not submitted is made by the other provider of the pool."""
    with serving(Faults(submit=lambda n: (401, {}))) as bad, serving() as good:
        providers = [
            {"name": "first", "gateway": "fake", "base_url": bad.url, "concurrency": 1},
            {"name": "second", "gateway": "fake", "base_url": good.url},
        ]
        manifest = write_campaign(tmp_path, providers=providers)
        document = run(manifest)
    assert document["made"] == 6
    assert (bad.state.submits, sum(bad.state.billed.values())) == (1, 0)
    assert sum(good.state.billed.values()) == 6
    assert {cell["provider"] for cell in results(manifest)} == {"second"}


def test_a_key_that_is_revoked_while_polling_hands_nothing_on(tmp_path: Path) -> None:
    """What one gateway accepted is never given to another, even when its account stops in the middle."""
    with serving(Faults(poll=lambda n: 401)) as first, serving() as second:
        providers = [
            {"name": "first", "gateway": "fake", "base_url": first.url, "concurrency": 2},
            {"name": "second", "gateway": "fake", "base_url": second.url},
        ]
        manifest = write_campaign(tmp_path, providers=providers)
        run(manifest, expect=3)
        accepted = sum(first.state.billed.values())
        assert 1 <= accepted <= 2
        first.faults.poll = lambda n: 200
        assert run(manifest)["done"] == 12
    assert sum(first.state.billed.values()) + sum(second.state.billed.values()) == 6


def test_a_poll_that_answers_nonsense_loses_nothing(tmp_path: Path) -> None:
    """HTML with 200, or 500, while polling: asked again, and the accepted request is kept."""
    with serving(Faults(poll=lambda n: {1: 0, 2: 500, 3: 0}.get(n, 200))) as gateway:
        assert run(campaign(tmp_path, gateway))["made"] == 6
    assert sum(gateway.state.billed.values()) == 6


def test_an_accepted_request_is_fetched_though_nobody_wants_it_any_more(tmp_path: Path) -> None:
    """The prompt changes while a request is in flight: its picture is kept and its price settled, not lost."""
    with serving(Faults(polls=10**9)) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        old = json.loads(manifest.read_text())["prompts"]
        process = start(manifest)
        wait_for_submits(gateway, 1, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANGS)
        gateway.faults.polls = 0
        edit(manifest, prompts={"table": {"text": "Place @Image1 on a shelf."}})
        assert run(manifest)["made"] == 2
        assert json.loads(pipeline("status", manifest, "--json").stdout)["spent_usd"] == pytest.approx(0.056)
        edit(manifest, prompts=old)
        assert run(manifest)["made"] == 0, "the old picture is there already"
    assert sum(gateway.state.billed.values()) == 2


def test_an_api_call_never_follows_a_redirect(tmp_path: Path) -> None:
    """The client that carries keys goes nowhere else than where it was told to go."""
    with serving() as elsewhere:
        headers = {"location": f"{elsewhere.url}/make"}
        with serving(Faults(submit=lambda n: (307, headers))) as gateway:
            run(campaign(tmp_path, gateway, count=1, outputs={}), expect=3)
    assert (elsewhere.state.submits, gateway.state.submits) == (0, 1)


def test_a_stopped_account_alone_leaves_pictures_pending(tmp_path: Path) -> None:
    """Without another provider the pictures stay owed, and the run says why."""
    with serving(Faults(submit=lambda n: (402, {}))) as gateway:
        done = pipeline("run", campaign(tmp_path, gateway), expect=3)
    assert "provider fake stopped: the account can't be used (402)" in done.stderr
    assert sum(gateway.state.billed.values()) == 0


@pytest.mark.parametrize("fault", ["short", "html", "gone", "bad"])
def test_a_bad_download_is_fetched_again_for_free(tmp_path: Path, fault: str) -> None:
    """A cut, wrong or expired download never lands at the final name, and is fetched again without paying."""
    with serving(Faults(image=lambda n: fault if n == 1 else None)) as gateway:
        manifest = campaign(tmp_path, gateway)
        document = run(manifest)
    assert document["done"] == 12
    assert (sum(gateway.state.billed.values()), gateway.state.images) == (6, 7)
    assert not list(tmp_path.rglob("*.part"))


def test_a_picture_that_never_comes_stays_open_and_is_continued_for_free(tmp_path: Path) -> None:
    """Every download is cut: no file at any final name, nothing settled; the next run fetches without paying."""
    faults = Faults(image=lambda n: "short")
    with serving(faults) as gateway:
        manifest = campaign(tmp_path, gateway)
        assert run(manifest, expect=3)["made"] == 0
        assert not list((tmp_path / "out/test").rglob("*.png"))
        faults.image = lambda n: None
        assert run(manifest)["made"] == 6
    assert (gateway.state.submits, sum(gateway.state.billed.values())) == (6, 6)


def test_a_picture_of_the_wrong_shape_is_no_picture(tmp_path: Path) -> None:
    """A picture of another ratio than asked for fails, with both ratios in the reason."""
    with serving(Faults(image=lambda n: "shape" if n == 1 else None)) as gateway:
        manifest = campaign(tmp_path, gateway, outputs={"aspect_ratio": "16:9"})
        run(manifest, expect=3)
    failed = [cell for cell in results(manifest) if cell["state"] == "failed"]
    assert len(failed) == 1
    assert "1.78 was asked for" in failed[0]["reason"]


def test_fewer_pictures_than_asked_are_owed_again(tmp_path: Path) -> None:
    """A request that makes one of two pictures leaves one owed, and the next run asks for that one only."""
    faults = Faults(lose=1)
    with serving(faults) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={"variants": 2})
        first = run(manifest, expect=3)
        faults.lose = 0
        second = run(manifest)
    assert (first["made"], first["failed"], second["made"]) == (1, 1, 1)
    assert sum(gateway.state.billed.values()) == 3


def test_the_budget_is_never_exceeded_and_the_next_run_continues(tmp_path: Path) -> None:
    """$0.10 buys three pictures of $0.028 and no fourth, at any concurrency; a larger budget makes the rest."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, budget={"usd": 0.10})
        first = run(manifest, expect=4)
        assert (first["made"], first["pending"]) == (3, 3)
        assert run(manifest, expect=4)["made"] == 0
        assert sum(gateway.state.billed.values()) == 3
        edit(manifest, budget={"usd": 1})
        assert run(manifest, "--budget", "0.06", expect=4)["made"] == 2
        assert run(manifest)["made"] == 1
    assert (sum(gateway.state.billed.values()), max(gateway.state.billed.values())) == (6, 1)


def test_what_a_refused_request_had_reserved_is_free_again(tmp_path: Path) -> None:
    """A refusal costs nothing, so the budget for one picture still buys one."""
    prompts = {"table": {"text": "Place @Image1, {{ product.name }}, on a table."}}
    with serving(Faults(refuse=lambda prompt: "Thing 0" in prompt)) as gateway:
        provider = {"name": "fake", "base_url": gateway.url, "concurrency": 1}
        manifest = write_campaign(tmp_path, provider=provider, count=2, prompts=prompts, outputs={})
        assert run(manifest, "--budget", "0.03", expect=3)["made"] == 1


def test_a_wish_for_a_retake_stays_until_it_is_made(tmp_path: Path) -> None:
    """A retake that the budget cut short is continued by a plain run, and none is made twice."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway)
        run(manifest)
        assert run(manifest, "--retake", "*", "--budget", "0.06", expect=4)["made"] == 2
        assert run(manifest)["made"] == 4
        assert run(manifest)["made"] == 0
    assert [cell["take"] for cell in results(manifest)] == [2] * 12
    assert sum(gateway.state.billed.values()) == 12


def test_an_intent_whose_gateway_is_gone_stays_open(tmp_path: Path) -> None:
    """Accepted, answer lost, and then nobody listens: the order is not given up, and not paid again later."""
    with serving(Faults(submit=lambda n: "drop-after")) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        assert run(manifest, expect=3)["failed"] == 0
        gateway.faults.submit = lambda n: (503, {"retry-after": "0"})
        assert run(manifest, expect=3)["failed"] == 0
        gateway.faults.submit = lambda n: (402, {})
        assert run(manifest, expect=3)["failed"] == 0
        gateway.faults.submit = lambda n: None
        assert run(manifest)["made"] == 1
    assert sum(gateway.state.billed.values()) == 1


@pytest.mark.parametrize("name", ["fake", "fake-none"])
def test_a_gateway_that_stops_answering_polls_is_continued_later(tmp_path: Path, name: str) -> None:
    """Accepted, and then only 500: the run ends without the pictures, and the next one fetches them, unpaid."""
    with serving(Faults(poll=lambda n: 500)) as gateway:
        manifest = campaign(tmp_path, gateway, name, count=2, outputs={})
        document = run(manifest, expect=3)
        assert (document["made"], document["failed"]) == (0, 0)
        gateway.faults.poll = lambda n: 200
        assert run(manifest)["made"] == 2
    assert (gateway.state.submits, sum(gateway.state.billed.values())) == (2, 2)


def test_a_lost_answer_and_then_no_place_is_continued_by_the_same_id(tmp_path: Path) -> None:
    """Accepted with the answer lost, then 429 for the rest of the run: never asked for under a new id."""
    with serving(Faults(submit=lambda n: "drop-after" if n == 1 else (429, {"retry-after": "0"}))) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        assert run(manifest, expect=3)["failed"] == 0
        gateway.faults.submit = lambda n: None
        assert run(manifest)["made"] == 1
    assert sum(gateway.state.billed.values()) == 1


def test_an_unreachable_gateway_costs_nothing_and_ends(tmp_path: Path) -> None:
    """Nobody listens: the lane stops and says so, and the picture is owed the next time."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
    said = pipeline("run", manifest, expect=3).stderr
    assert "can't reach the gateway" in said
    assert plan(manifest)["to_make"] == 1


def wait_for_submits(gateway: FakeGateway, number: int, process: subprocess.Popen[str]) -> None:
    """Until the gateway has seen so many submits."""
    while gateway.state.submits < number:
        assert process.poll() is None, process.communicate()
        os.sched_yield()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", ["fake", "fake-none"])
def test_an_interrupt_leaves_cleanly_with_everything_persisted(tmp_path: Path, sign: signal.Signals, name: str) -> None:
    """One signal: exit 130 within 10 s; what was accepted is continued by the next run, not paid again."""
    with serving(Faults(polls=10**9)) as gateway:
        manifest = campaign(tmp_path, gateway, name)
        process = start(manifest)
        wait_for_submits(gateway, 4, process)
        process.send_signal(sign)
        _, stderr = process.communicate(timeout=HANGS)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        accepted = sum(gateway.state.billed.values())
        assert accepted == 4
        gateway.faults.polls = 0
        assert run(manifest)["done"] == 12
    assert (sum(gateway.state.billed.values()), max(gateway.state.billed.values())) == (6, 1)


def test_an_interrupt_waits_for_the_answer_to_a_paid_call(tmp_path: Path) -> None:
    """Where a lost answer can't be settled, leaving in the middle of a paid call would lose it: its receipt is kept."""
    release = threading.Event()

    def hang(_: int) -> None:
        release.wait(HANGS)

    with serving(Faults(submit=hang)) as gateway:
        manifest = campaign(tmp_path, gateway, "fake-none", count=1, outputs={})
        process = start(manifest)
        wait_for_submits(gateway, 1, process)
        process.send_signal(signal.SIGINT)
        wait_for_line(process, "stopping")
        release.set()
        process.communicate(timeout=HANGS)
        assert process.returncode == 130
        assert run(manifest)["made"] == 1
    assert (gateway.state.submits, sum(gateway.state.billed.values())) == (1, 1)


def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    """Two signals: out at once, even while a paid call hangs; the next run settles it by its id."""
    release = threading.Event()

    def hang(_: int) -> None:
        release.wait(HANGS)

    with serving(Faults(submit=hang)) as gateway:
        manifest = campaign(tmp_path, gateway)
        process = start(manifest)
        wait_for_submits(gateway, 1, process)
        process.send_signal(signal.SIGINT)
        wait_for_line(process, "stopping")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANGS)
        release.set()
        gateway.faults.submit = lambda _: None
        assert process.returncode == 130
        assert run(manifest)["done"] == 12
    assert max(gateway.state.billed.values()) == 1


def test_a_second_runner_leaves_at_once_and_says_who_holds_it(tmp_path: Path) -> None:
    """Two runs on one campaign: the second exits with 1 and names the first's pid."""
    with serving(Faults(polls=10**9)) as gateway:
        manifest = campaign(tmp_path, gateway)
        process = start(manifest)
        wait_for_submits(gateway, 1, process)
        second = pipeline("run", manifest, expect=1)
        process.kill()
        process.communicate()
        gateway.faults.polls = 0
        assert f"pid {process.pid}" in second.stderr
        assert run(manifest)["done"] == 12
    assert max(gateway.state.billed.values()) == 1
