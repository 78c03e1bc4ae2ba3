"""Ways to be billed twice that a hostile tester found; each is closed, and stays closed."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import edit, pipeline, plan, results, run, start, write_campaign
from fakes.gateway import FakeGateway, Faults, serving
from fakes.work import HANGS
from faults.test_gateway_faults import campaign, wait_for_submits

from pipeline.ledger import open_ledger


def billed(*gateways: FakeGateway) -> int:
    """Pictures that these gateways were paid for."""
    return sum(sum(gateway.state.billed.values()) for gateway in gateways)


def killed_in_flight(manifest: Path, gateway: FakeGateway, submits: int = 1, state: str = "accepted") -> None:
    """A run killed with -9 when this many requests are in this state in its ledger."""
    process = start(manifest)
    wait_for_submits(gateway, submits, process)
    ledger = manifest.parent / "out/test/.pipeline/ledger.sqlite"
    while count_requests(ledger, state) < submits:
        assert process.poll() is None
    kill(process)


def count_requests(ledger: Path, state: str) -> int:
    """How many requests of a state a ledger holds, asked from outside."""
    db = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        return int(db.execute("SELECT count(*) FROM requests WHERE state = ?", (state,)).fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def kill(process: subprocess.Popen[str]) -> None:
    """At once, without a word."""
    process.kill()
    process.communicate()


def test_a_saved_retake_is_made_once_however_often_it_is_run(tmp_path: Path) -> None:
    """A plan with retakes that is cut short and run again makes each retake once; run a third time, none."""
    with serving() as gateway:
        manifest, saved = campaign(tmp_path, gateway), tmp_path / "plan.json"
        run(manifest)
        pipeline("plan", manifest, "--retake", "*", "-o", saved)
        assert run(saved, "--budget", "0.085", expect=4)["made"] == 3
        assert run(saved)["made"] == 3
        assert run(saved)["made"] == 0
        assert billed(gateway) == 12


def test_the_same_retake_command_continues_what_was_cut_short(tmp_path: Path) -> None:
    """The message says "run again": the very same command must not retake what it has retaken."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway)
        run(manifest)
        assert run(manifest, "--retake", "*", "--budget", "0.06", expect=4)["made"] == 2
        assert run(manifest, "--retake", "*")["made"] == 4
        assert billed(gateway) == 12


def test_a_broken_request_that_nobody_wants_is_not_asked_for_anew(tmp_path: Path) -> None:
    """The prompt changed while a request was in flight, and it broke: only the new picture is bought."""
    with serving(Faults(polls=10**9)) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        killed_in_flight(manifest, gateway)
        edit(manifest, prompts={"table": {"text": "Place @Image1 on a shelf."}})
        assert plan(manifest)["usd"] == pytest.approx(0.028)
        gateway.faults.polls, gateway.faults.broken_jobs = 0, set(gateway.state.jobs)
        run(manifest)
        assert billed(gateway) == 2
        assert len(gateway.state.jobs) == 2


def test_a_cap_of_a_run_holds_for_requests_of_earlier_runs(tmp_path: Path) -> None:
    """Intents that may never have arrived count for --budget, in the plan and in the run."""
    with serving(Faults(submit=lambda n: "drop-before")) as gateway:
        manifest = campaign(tmp_path, gateway, outputs={"aspect_ratio": "1:1"})
        process = start(manifest)
        wait_for_submits(gateway, 3, process)
        kill(process)
        gateway.faults.submit = lambda n: None
        assert plan(manifest)["usd"] == pytest.approx(0.084)
        run(manifest, "--budget", "0", expect=4)
        assert billed(gateway) == 0
        run(manifest, "--budget", "0.03", expect=4)
        assert billed(gateway) == 1
        run(manifest)
        assert billed(gateway) == 3


@pytest.mark.parametrize("change", ["base_url", "gateway"])
def test_an_open_request_belongs_to_its_account_not_to_a_name(tmp_path: Path, change: str) -> None:
    """The same provider name at another address or gateway is another account: nothing is asked of it."""
    with serving(Faults(polls=10**9)) as first, serving() as second:
        entry: dict[str, Any] = {"name": "main", "gateway": "fake", "base_url": first.url}
        manifest = write_campaign(tmp_path, count=1, outputs={}, provider=entry)
        killed_in_flight(manifest, first)
        first.faults.polls = 0
        other = {"base_url": second.url} if change == "base_url" else {"gateway": "fake-none"}
        edit(manifest, providers=[entry | other])
        run(manifest, expect=3)
        assert billed(first, second) == 1
        edit(manifest, providers=[entry])
        assert run(manifest)["made"] == 1
        assert billed(first, second) == 1


def test_a_pool_asks_nobody_for_more_than_it_makes_at_once(tmp_path: Path) -> None:
    """What the first provider hands over fits the second one's limit of pictures per request."""
    model = (Path(__file__).parent.parent / "fakes/model.yaml").read_text()
    (tmp_path / "model.yaml").write_text(model.replace("id: fake-without-id", "id: fake-without-id, count: 1"))
    with serving(Faults(submit=lambda n: (401, {}))) as first, serving() as second:
        providers = [
            {"name": "fake", "base_url": first.url, "concurrency": 1},
            {"name": "fake-none", "base_url": second.url},
        ]
        outputs = {"variants": 4}
        manifest = write_campaign(tmp_path, count=1, providers=providers, outputs=outputs, model="model.yaml")
        assert run(manifest)["made"] == 4
        assert second.state.submits == 4


def test_a_refusal_after_a_lost_answer_is_not_believed(tmp_path: Path) -> None:
    """Accepted and the answer lost, then 409 to the same id: it may be billed, so it is held and priced."""
    with serving(Faults(submit=lambda n: "drop-after" if n == 1 else (409, {}))) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        run(manifest, expect=3)
        gateway.faults.submit = lambda n: None
        run(manifest, "--retry-failed")
        assert billed(gateway) == 1


def test_a_request_that_is_forgotten_over_there_keeps_its_price(tmp_path: Path) -> None:
    """Accepted, and then 404 for ever: perhaps billed, and counted, so that the campaign's cap holds."""
    with serving(Faults(poll=lambda n: 404)) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={"variants": 1}, budget={"usd": 0.05})
        run(manifest, expect=3)
        assert json.loads(pipeline("status", manifest, "--json").stdout)["refusals_usd"] == pytest.approx(0.028)
        run(manifest, "--retry-failed", expect=4)
        assert billed(gateway) == 1


def test_a_saved_plan_holds_for_its_price_only(tmp_path: Path) -> None:
    """A plan saved at $0.028 a picture is refused when the provider costs more now."""
    with serving() as gateway:
        manifest, saved = campaign(tmp_path, gateway, count=1, outputs={}), tmp_path / "plan.json"
        pipeline("plan", manifest, "-o", saved)
        edit(manifest, providers=[{"name": "fake", "base_url": gateway.url, "usd": 5}])
        assert "the inputs changed" in pipeline("run", saved, expect=1).stderr
        assert billed(gateway) == 0


def test_the_lock_holds_though_its_file_is_removed(tmp_path: Path) -> None:
    """Deleting .pipeline/lock doesn't let a second runner in."""
    with serving(Faults(polls=10**9)) as gateway:
        manifest = campaign(tmp_path, gateway)
        process = start(manifest)
        wait_for_submits(gateway, 1, process)
        (tmp_path / "out/test/.pipeline/lock").unlink()
        assert "another run holds this campaign" in pipeline("run", manifest, expect=1).stderr
        kill(process)


def test_a_damaged_retake_is_not_replaced_by_the_take_before(tmp_path: Path) -> None:
    """Take 2 was chosen over take 1: when it is damaged, take 1 doesn't come back; take 2 is made again on request."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        run(manifest)
        run(manifest, "--retake", "*")
        folder, line = tmp_path / "out/test", results(manifest)[0]
        kept = folder / ".pipeline/originals" / f"{line['key']}.t2.png"
        kept.write_bytes(b"x" * kept.stat().st_size)
        (folder / line["path"]).unlink()
        run(manifest, expect=3)
        assert (plan(manifest)["to_make"], plan(manifest)["failed"]) == (0, 1)
        assert run(manifest, "--retry-failed")["made"] == 1
        assert results(manifest)[0]["take"] == 2


def test_a_full_disk_ends_a_run_with_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """A folder appears where a picture should go: one clear line, exit 1; removed, the next run pays nothing."""
    faults = Faults()
    with serving(faults) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        blocked = tmp_path / "out/test" / plan(manifest)["steps"][0]["path"]
        faults.image = lambda _: blocked.mkdir(parents=True, exist_ok=True)
        done = pipeline("run", manifest, expect=1)
        assert f"{blocked}: can't be written" in done.stderr
        shutil.rmtree(blocked)
        faults.image = lambda _: None
        assert run(manifest)["made"] == 1
        assert billed(gateway) == 1


def test_waiting_for_a_turn_is_not_uncertain(tmp_path: Path) -> None:
    """Only 429 was ever answered, and the user left: nothing was accepted, so nothing is held as perhaps paid."""
    with serving(Faults(submit=lambda n: (429, {"retry-after": "60"}))) as gateway:
        manifest = campaign(tmp_path, gateway, "fake-none", count=1, outputs={})
        process = start(manifest)
        wait_for_submits(gateway, 1, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANGS)
        gateway.faults.submit = lambda n: None
        assert run(manifest)["made"] == 1
        assert billed(gateway) == 1


def test_a_request_whose_pictures_are_all_there_is_settled_without_asking(tmp_path: Path) -> None:
    """A run that died between the last picture and the bill: the next one settles it from the ledger alone."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        run(manifest)
        with open_ledger(tmp_path / "out/test/.pipeline", "test") as ledger:
            sql = "UPDATE requests SET state = 'accepted', usd = 0, settled = NULL"
            ledger.commit([lambda ledger: ledger._db.execute(sql)])
        polls = gateway.state.polls
        gateway.faults.poll = lambda n: 404  # it has forgotten the job: were it asked, the request would be failed
        assert run(manifest, expect=0)["made"] == 0
        assert gateway.state.polls == polls
    status = json.loads(pipeline("status", manifest, "--json").stdout)
    assert (status["spent_usd"], status["open_requests"]) == (pytest.approx(0.028), [])


def test_a_refused_retake_leaves_the_take_before_it(tmp_path: Path) -> None:
    """Moderation refuses take 2: told once, exit 3; take 1 stays done, and the next run has nothing to do."""
    faults = Faults()
    with serving(faults) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs={})
        run(manifest)
        faults.refuse = lambda prompt: True
        assert run(manifest, "--retake", "*", expect=3)["failed"] == 1
        document = run(manifest)
        assert (document["made"], document["done"]) == (0, 1)
        assert [(cell["state"], cell["take"]) for cell in results(manifest)] == [("done", 1)]
