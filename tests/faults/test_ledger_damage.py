"""A single flipped bit, in a picture or in the ledger: found, refused, mended for free; by the real command line."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.campaign import HERE, environment
from fakes.ledgers import PARTS, flip, put
from soak.patient import DAMAGES, Patient, a_bit, restored

from pipeline.ledger.backup import backups

FLIPS = 300
"""In the ledgers: see the acceptance of the issue."""


@pytest.fixture(scope="module", params=["finished", "killed"])
def patient(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A campaign that was run, or one whose run was killed; made once, and renewed by who changes it."""
    folder = tmp_path_factory.mktemp(request.param)
    with Patient(folder, killed=request.param == "killed") as made:
        yield made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A campaign that was run."""
    with Patient(tmp_path_factory.mktemp("finished")) as made:
        yield made


# ── acceptance 4: pictures ──────────────────────────────────────────────────────────────────────


def test_every_flipped_bit_in_a_picture_is_named(patient: Patient) -> None:
    """In the first, last, middle and any byte of output files and originals, sizes and times being as they were."""
    for _ in range(100):
        patient.flip_images(random.choice([1, 2, 5, len(patient.images())]))


def test_verify_names_what_is_damaged_and_the_next_run_mends_it_for_free(finished: Patient) -> None:
    """Exit 3 and every file by its name; the run pays nothing, and then all is whole."""
    finished.renew()
    outputs = [path for path in finished.images() if ".pipeline" not in path.parts]
    chosen = random.sample(outputs, 5)
    for path in chosen:
        flip(path, a_bit(path.stat().st_size))
    said = finished.command("verify", expect=3)
    assert [line for line in said.splitlines() if line.endswith(": is damaged")] == [
        f"{path.relative_to(finished.out)}: is damaged" for path in sorted(chosen)
    ]
    assert "files rebuilt" in finished.run()
    assert "0 damaged" in finished.command("verify")
    assert finished.billed == finished.pictures


def test_a_flipped_original_comes_back_from_its_copy(finished: Patient) -> None:
    """A lossless output file has the same bytes: verify itself puts them back, and pays nothing."""
    finished.renew()
    for path in (original := finished.private / "originals").iterdir():
        flip(path, a_bit(path.stat().st_size))
    said = finished.command("verify", expect=3)
    assert said.count("is damaged (put back from a copy)") == finished.pictures
    assert "0 damaged" in finished.command("verify")
    shutil.rmtree(original)
    assert finished.command("verify", expect=3).count("is gone (put back from a copy)") == finished.pictures
    finished.run()
    assert finished.billed == finished.pictures


def test_a_picture_of_which_nothing_whole_is_left_is_paid_on_request_only(finished: Patient) -> None:
    """Its original and all of its files are damaged: verify says so, and --retry-failed pays for that one only."""
    finished.renew()
    line = json.loads((finished.out / "results.jsonl").read_text().splitlines()[0])
    stem = (finished.out / line["path"]).with_suffix("")
    for path in (finished.private / f"originals/{line['key']}.t1.png", stem.with_suffix(".png")):
        flip(path, a_bit(path.stat().st_size))
    said = finished.command("verify", expect=3)
    assert "--retake LABEL makes it anew, and pays" in said, "one of its files is whole"
    flip(stem.with_suffix(".webp"), a_bit(stem.with_suffix(".webp").stat().st_size))
    assert "nothing whole is left of this picture; --retry-failed" in finished.command("verify", expect=3)
    assert json.loads(finished.command("plan", "--json"))["to_make"] == 0
    finished.run(expect=3)
    assert finished.billed == finished.pictures
    finished.command("run", "--allow-private", "--retry-failed")
    assert "0 damaged" in finished.command("verify")
    assert finished.billed == finished.pictures + 1


def test_an_earlier_take_that_is_lost_is_named_once(finished: Patient) -> None:
    """Nobody would ever make it anew: it is forgotten, and nothing is owed for it."""
    finished.renew()
    finished.command("run", "--allow-private", "--retake", "p0/table/1x1*")
    original = next(path for path in (finished.private / "originals").iterdir() if path.name.endswith(".t2.png"))
    original = original.with_name(original.name.replace(".t2.", ".t1."))
    flip(original, a_bit(original.stat().st_size))
    assert str(original.relative_to(finished.out)) in finished.command("verify", expect=3)
    assert "0 damaged" in finished.command("verify")
    finished.run()
    assert finished.billed == finished.pictures + 1


def test_a_file_that_was_removed_with_its_cell_is_named_once(finished: Patient) -> None:
    """A product left the manifest, and its files were removed by hand: that is no damage for ever."""
    finished.renew()
    manifest = json.loads(finished.manifest.read_text())
    less = manifest | {"products": {"things": manifest["products"]["things"][1:]}}
    finished.manifest.write_text(json.dumps(less))
    try:
        finished.run()
        shutil.rmtree(finished.out / "p0")
        assert finished.command("verify", expect=3).count("is gone") == 4
        assert "0 damaged" in finished.command("verify")
    finally:
        finished.manifest.write_text(json.dumps(manifest))
    assert "4 files rebuilt" in finished.run(), "it comes back: free, from the originals"
    assert finished.billed == finished.pictures


# ── acceptance 4: the ledger ────────────────────────────────────────────────────────────────────


def test_a_flipped_bit_in_a_ledger_is_refused_or_changes_nothing(patient: Patient) -> None:
    """Three hundred in file, log, marker and serial: one line that says what to do, or the same plan as before."""
    fates = [patient.flip_ledger(*patient.somewhere()) for _ in range(FLIPS)]
    assert fates.count("refused") > FLIPS / 2
    assert patient.fate() == "the same", "unharmed again, it is trusted again"


def test_the_ends_of_every_part_are_looked_at(patient: Patient) -> None:
    """The first and the last bits of everything that a ledger consists of."""
    for name in PARTS:
        bits = 8 * len(patient.parts.get(name, b""))
        for bit in {*range(min(bits, 16)), *range(max(0, bits - 16), bits)}:
            patient.flip_ledger(name, bit)


def test_the_command_line_refuses_a_flipped_bit(patient: Patient) -> None:
    """`plan`, `status`, `verify` and `run`: exit 1, one line, nothing paid and nothing changed; or the same plan."""
    patient.renew()
    plan, billed = patient.command("plan", "--json"), patient.billed
    for _ in range(8):
        put(patient.private, patient.parts)
        name, bit = patient.somewhere()
        flip(patient.private / name, bit)
        if patient.fate() == "the same":
            assert patient.command("plan", "--json") == plan
            continue
        for words in (["run", "--allow-private"], [random.choice(["plan", "status", "verify"])]):
            said = patient.command(*words, expect=1)
            lines = [line for line in said.splitlines() if "is called at" not in line]
            assert len(lines) == 1, said
            assert "`pipeline restore MANIFEST`" in said
    assert patient.billed == billed


# ── restoring ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("damage", random.Random(4).sample(sorted(DAMAGES), 4))
def test_a_restored_ledger_pays_nothing_again(finished: Patient, damage: str) -> None:
    """Whatever is damaged or gone: restored and run again, everything is there, and the bill is as it was."""
    assert restored(finished, damage) == (0, 0)


@pytest.mark.parametrize("damage", ["a flipped bit", "nothing left but the originals"])
def test_a_restore_after_a_kill_tells_what_it_cannot_bring_back(tmp_path: Path, damage: str) -> None:
    """What the killed run had made is adopted; what was in flight is told of, to be compared with the bill."""
    with Patient(tmp_path, killed=True) as patient:
        assert restored(patient, damage) == (0, 0)


def test_a_restore_that_is_killed_leaves_nothing_to_pay_with(finished: Patient) -> None:
    """Killed in the middle of adopting: a run is refused until a restore has come to its end."""
    finished.renew()
    backups(finished.private)[0].path.unlink()
    flip(finished.private / "ledger.sqlite", 99_999)
    there, ready = os.pipe()
    wait, go = os.pipe()
    words = [sys.executable, str(HERE / "pausing.py"), "adopting", str(ready), str(wait), "8", "restore"]
    words.append(str(finished.manifest))
    with subprocess.Popen(list(map(str, words)), env=environment(), pass_fds=(ready, wait)) as process:
        os.close(ready)
        os.close(wait)
        assert os.read(there, 1) == b".", "it ended before it adopted anything"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    os.close(there)
    os.close(go)
    assert "a restore was cut short: run `pipeline restore MANIFEST` again" in finished.run(expect=1)
    assert f"adopted: {finished.pictures} pictures" in finished.command("restore")
    finished.run()
    finished.command("verify")
    assert finished.billed == finished.pictures


def test_restoring_an_older_backup_adopts_what_came_after_it(finished: Patient) -> None:
    """The pictures that lie here and are not in it are adopted with what they cost: the money is right, too."""
    finished.renew()
    finished.command("run", "--allow-private", "--retake", "p1*")
    billed = finished.billed
    spent = json.loads(finished.command("status", "--json"))["spent_usd"]
    said = finished.command("restore", "--from", backups(finished.private)[-1].path)
    assert f"adopted: {billed - finished.pictures} pictures" in said
    assert "can't be brought back" in said
    finished.run()
    assert finished.billed == billed
    assert json.loads(finished.command("status", "--json"))["spent_usd"] == pytest.approx(spent)


def test_restore_says_one_line_about_a_wrong_file_and_changes_nothing(finished: Patient) -> None:
    """A picture, a folder, nothing at all; and a campaign that was never run."""
    finished.renew()
    for wrong in (finished.images()[0], finished.out, finished.folder / "nowhere"):
        said = finished.command("restore", "--from", wrong, expect=1)
        assert str(wrong) in said
        assert len(said.splitlines()) == 1
        assert finished.fate() == "the same"
    shutil.rmtree(finished.out)
    assert "there is nothing to restore" in finished.command("restore", expect=1)


def test_a_request_in_flight_whose_pictures_lie_here_is_settled_by_a_restore(tmp_path: Path) -> None:
    """A backup knows the request as open, its picture came after: adopted, it is that request's, and counts once."""
    with Patient(tmp_path, killed=True) as patient:
        patient.run()
        billed = patient.billed
        put(
            patient.private, patient.parts
        )  # the ledger of before: two requests are in flight, and their pictures lie here
        (patient.private / "serial").write_text("x")
        said = patient.command("restore", "--from", patient.private / "ledger.sqlite")
        assert "adopted: 4 pictures" in said, "two of the open requests, and two that came later"
        status = json.loads(patient.command("status", "--json"))
        assert status["open_requests"] == []
        assert status["spent_usd"] == pytest.approx(0.028 * billed)
        patient.run()
        assert patient.billed == billed
