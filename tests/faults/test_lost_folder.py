"""A hidden folder that was left out, pictures that are gone: what was paid once is never paid again without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import pipeline, plan, results, run, write_campaign
from fakes.gateway import FakeGateway, serving

from pipeline.ledger import open_ledger
from pipeline.sidecars import is_ours

OUTPUTS = {"resolution": "1K", "aspect_ratio": ["1:1"], "format": ["png", "webp"]}


@dataclass
class Paid:
    """A campaign of two paid pictures, made, and what the gateway billed."""

    manifest: Path
    gateway: FakeGateway

    @property
    def out(self) -> Path:
        return self.manifest.parent / "out/test"

    @property
    def billed(self) -> int:
        return sum(self.gateway.state.billed.values())

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(pipeline("status", self.manifest, "--json").stdout)
        return found

    def sidecars(self) -> list[Path]:
        return sorted(self.out.glob("p*/**/*.json"))

    def dated(self, moment: str) -> None:
        """As if the pictures were made then: sidecars as the version before wrote them, without a seal."""
        for path in self.sidecars():
            told = json.loads(path.read_text()) | {"made_at": moment}
            told = {name: value for name, value in told.items() if name not in ("seal", "by_hand", "differs")}
            told["cells"] = [{n: v for n, v in cell.items() if n != "encoding"} for cell in told["cells"]]
            path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")


@pytest.fixture
def paid(tmp_path: Path) -> Iterator[Paid]:
    with serving() as gateway:
        manifest = write_campaign(
            tmp_path, count=2, outputs=OUTPUTS, provider={"name": "fake", "base_url": gateway.url}
        )
        assert run(manifest)["made"] == 2
        yield Paid(manifest, gateway)


def test_a_folder_without_its_ledger_is_refused_and_adopted(paid: Paid) -> None:
    """plan, run, verify and report refuse and name the next step; restore adopts; nothing is paid again."""
    before = results(paid.manifest)
    shutil.rmtree(paid.out / ".pipeline")
    for command in ("plan", "run", "verify", "report"):
        said = pipeline(command, paid.manifest, expect=1).stderr
        assert "2 pictures made here before" in said
        assert f"`pipeline restore {paid.manifest}`" in said
        assert not (paid.out / ".pipeline").exists()
    assert "2 pictures made here before" in pipeline("status", paid.manifest).stderr
    assert "adopted: 2 pictures" in pipeline("restore", paid.manifest).stdout
    document = run(paid.manifest)
    assert (document["made"], document["rebuilt"], paid.billed) == (0, 0, 2)
    assert results(paid.manifest) == before
    assert pipeline("verify", paid.manifest).stderr.count("0 damaged") == 1


@pytest.mark.parametrize("new", ["an empty one", "a run of something else"])
def test_a_new_ledger_that_knows_nothing_of_what_lies_here_is_refused(paid: Paid, new: str) -> None:
    """Another program made a ledger after the folder was lost: that is no reason to pay again."""
    shutil.rmtree(paid.out / ".pipeline")
    aside = paid.out.parent / "aside"
    if new == "an empty one":
        with open_ledger(paid.out / ".pipeline", "test"):
            pass
    else:
        paid.out.rename(aside)
        run(paid.manifest, "--only", "p0")
        shutil.copytree(aside / "p1", paid.out / "p1")
    assert "made here before" in pipeline("run", paid.manifest, expect=1).stderr
    pipeline("restore", paid.manifest)
    assert run(paid.manifest)["made"] == 0
    assert paid.billed == (2 if new == "an empty one" else 3)


def test_what_is_adopted_counts_when_it_was_paid_and_not_today(paid: Paid) -> None:
    """Provider, cost and date come from sidecars, also from those of earlier versions: no cap of today knows of it."""
    spent = paid.status()["spent_usd"]
    paid.dated("2026-01-02T03:04:05Z")
    shutil.rmtree(paid.out / ".pipeline")
    said = pipeline("plan", paid.manifest, expect=1).stderr
    assert "2026-01-02" in said
    pipeline("restore", paid.manifest)
    accounts = json.loads(pipeline("status", paid.manifest, "--money", "--json").stdout)["accounts"]
    assert {(row["day"], row["provider"]) for row in accounts} == {("2026-01-02", "fake")}
    assert paid.status()["spent_usd"] == pytest.approx(spent)
    manifest = json.loads(paid.manifest.read_text()) | {"budget": {"day_usd": 1}}
    paid.manifest.write_text(json.dumps(manifest))
    (cap,) = plan(paid.manifest)["budget"]
    assert (cap["name"], cap["left_usd"]) == ("budget.day_usd", 1)
    run(paid.manifest)
    assert {line["made_at"] for line in results(paid.manifest)} == {"2026-01-02T03:04:05Z"}
    assert all(is_ours(path.read_bytes()) for path in paid.sidecars())
    assert not list(paid.out.rglob("*.edited*"))


@pytest.mark.parametrize("sidecars", [True, False])
def test_the_best_that_is_left_becomes_the_original(paid: Paid, sidecars: bool) -> None:
    """The lossless file is the original again, byte for byte; a lossy one is kept where nothing better is left."""
    kept = {path.name.partition(".")[0]: path.read_bytes() for path in (paid.out / ".pipeline/originals").iterdir()}
    lines = {line["path"]: line for line in results(paid.manifest)}
    lossy = paid.out / "p1/table/1x1_1K_v1.webp"
    before = lossy.read_bytes()
    shutil.rmtree(paid.out / ".pipeline")
    lossy.with_suffix(".png").unlink()
    for path in () if sidecars else paid.sidecars():
        path.unlink()
    said = pipeline("restore", paid.manifest).stdout
    assert "1 from a rendition, as the original is gone" in said
    found = {path.name: path.read_bytes() for path in (paid.out / ".pipeline/originals").iterdir()}
    key = {product: lines[f"{product}/table/1x1_1K_v1.png"]["key"] for product in ("p0", "p1")}
    assert found == {f"{key['p0']}.t1.png": kept[key["p0"]], f"{key['p1']}.t1.webp": before}
    document = run(paid.manifest)
    assert (document["made"], document["rebuilt"], paid.billed) == (0, 1, 2)
    assert lossy.read_bytes() == before


def test_of_a_picture_that_is_gone_a_restore_knows_that_it_was_paid(paid: Paid) -> None:
    """Only its sidecar is left: it has failed, and --retry-failed pays for it."""
    spent = paid.status()["spent_usd"]
    shutil.rmtree(paid.out / ".pipeline")
    for path in (paid.out / "p1").rglob("*.[pw]*"):
        path.unlink()
    assert "1 picture made before and gone" in pipeline("restore", paid.manifest).stderr
    assert paid.status()["spent_usd"] == pytest.approx(spent)
    assert run(paid.manifest, expect=3)["made"] == 0
    reasons = {line["reason"] for line in results(paid.manifest) if line["state"] == "failed"}
    assert len(reasons) == 1
    assert reasons.pop().startswith("was made on 20")
    assert paid.billed == 2
    assert run(paid.manifest, "--retry-failed")["made"] == 1


def test_other_campaigns_and_hostile_files_block_nothing(paid: Paid) -> None:
    """Sidecars of pictures that this manifest doesn't have, and what is no sidecar at all, are passed over."""
    shutil.rmtree(paid.out / ".pipeline")
    for number, path in enumerate(paid.sidecars()):
        told = json.loads(path.read_text())
        path.write_text(json.dumps(told | {"key": f"{number:032x}"}))
    (paid.out / "results.jsonl").write_text('[]\n{"key": []}\n"x"\n\x00\n')
    for number, text in enumerate(["", "[", "[" * 100_000, "[]", '{"key": 1}', '{"key": "x", "take": 1e999}']):
        (paid.out / f"{number}.json").write_text(text)
    assert plan(paid.manifest)["to_make"] == 2


def test_a_sidecar_leads_nowhere_outside(paid: Paid, tmp_path: Path) -> None:
    """Paths in a sidecar that lead out of the output folder are not followed, and absurd values tell nothing."""
    secret = tmp_path / "secret.png"
    shutil.copy(paid.out / "p0/table/1x1_1K_v1.png", secret)
    shutil.rmtree(paid.out / ".pipeline")
    for path in paid.sidecars():
        told = json.loads(path.read_text())
        for cell in told["cells"]:
            (paid.out / cell["path"]).unlink()
            cell["path"] = f"../../{secret.name}"
        absurd = {"usd": -5, "seed": 10**400, "made_at": "yesterday", "nsfw": "no", "take": 1, "by_hand": "by magic"}
        path.write_text(json.dumps(told | absurd))
    (paid.out / "results.jsonl").unlink()
    assert "2 pictures made before and gone" in pipeline("restore", paid.manifest).stderr
    assert not list((paid.out / ".pipeline").rglob("*.png"))
    assert paid.status()["spent_usd"] > 0


def test_proofs_are_simply_made_again(tmp_path: Path) -> None:
    """Nothing was paid for them: no refusal, the same files."""
    manifest = write_campaign(tmp_path, count=1, outputs=OUTPUTS)
    run(manifest)
    before = results(manifest)
    shutil.rmtree(tmp_path / "out/test/.pipeline")
    assert run(manifest)["made"] == 1
    assert [line["sha256"] for line in results(manifest)] == [line["sha256"] for line in before]
    assert not list((tmp_path / "out").rglob("*.edited*"))


@pytest.mark.parametrize("how", ["removed", "damaged", "damaged in secret"])
def test_a_picture_that_is_lost_is_not_paid_again_by_itself(paid: Paid, how: str) -> None:
    """Whatever became of its original and files: it has failed, until --retry-failed."""
    line = results(paid.manifest)[0]
    original = paid.out / f".pipeline/originals/{line['key']}.t1.png"
    whole = original.read_bytes()
    for path in (original, paid.out / line["path"]):
        if how == "removed":
            path.unlink()
        else:
            path.write_bytes(b"x" * (len(whole) - (how == "damaged")))
    for _ in range(2):
        assert run(paid.manifest, expect=3)["made"] == 0
    steps = {step["label"]: step for step in plan(paid.manifest)["steps"]}
    assert steps[line["label"]]["action"] == "failed"
    assert steps[line["label"]]["reason"].partition(":")[0].startswith("was made on 20")
    assert steps[line["label"]]["reason"].partition(":")[0].endswith(", and is gone")
    assert plan(paid.manifest)["usd"] == 0
    assert paid.billed == 2
    original.write_bytes(whole)
    pipeline("restore", paid.manifest)
    document = run(paid.manifest)
    assert (document["made"], paid.billed) == (0, 2), "put back, it is whole again"


def test_retry_failed_pays_for_a_lost_picture_once(paid: Paid) -> None:
    """Asked for by the user, it is made as another take."""
    line = results(paid.manifest)[0]
    (paid.out / f".pipeline/originals/{line['key']}.t1.png").unlink()
    shutil.rmtree(paid.out / "p0")
    assert plan(paid.manifest, "--retry-failed")["to_make"] == 1
    assert run(paid.manifest, "--retry-failed")["made"] == 1
    assert run(paid.manifest, "--retry-failed")["made"] == 0
    assert paid.billed == 3


def test_what_verify_finds_lost_is_not_paid_again_by_itself(paid: Paid) -> None:
    """All takes of it are gone: the last one is what has failed, and a retake pays for that one."""
    run(paid.manifest, "--retake", "p0")
    line = results(paid.manifest)[0]
    for original in (paid.out / ".pipeline/originals").glob(f"{line['key']}.*"):
        original.unlink()
    shutil.rmtree(paid.out / "p0")
    assert "--retry-failed makes it again, and pays" in pipeline("verify", paid.manifest, expect=3).stdout
    assert run(paid.manifest, expect=3)["made"] == 0
    assert paid.billed == 3
    assert run(paid.manifest, "--retry-failed")["made"] == 1
    assert paid.billed == 4
    assert results(paid.manifest)[0]["take"] == 2
