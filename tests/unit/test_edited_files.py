"""Files that a person edited: never overwritten without a word, set aside, or kept as a take of their picture."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import command, edit, environment, pipeline, plan, results, run, write_campaign
from jsonschema import Draft202012Validator
from PIL import Image

from pipeline.ledger import open_ledger
from pipeline.schema import schema_text

OUTPUTS = {"resolution": "1K", "aspect_ratio": ["1:1"], "format": ["png", "webp"]}
FILE = "p0/table/1x1_1K_v1"


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Two products in one prompt: two pictures, four cells, made."""
    manifest = write_campaign(tmp_path, count=2, outputs=OUTPUTS)
    run(manifest)
    return manifest


def retouched(colour: str = "#123456", kind: str = "PNG", size: tuple[int, int] = (1024, 1024)) -> bytes:
    """What a person makes of a picture."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def out(manifest: Path) -> Path:
    """Its output folder."""
    return manifest.parent / "out/test"


def approve(manifest: Path) -> None:
    """Approve the first picture as it is."""
    told = json.loads((out(manifest) / f"{FILE}.json").read_text())
    label = told["cells"][0]["label"].rpartition(".")[0]
    entry = {"picture": told["key"], "file": told["original"]["sha256"], "label": label, "decision": "approved"}
    entry |= {"who": "Ana", "note": "", "when": "2026-01-01T00:00:00Z"}
    file = manifest.parent / "decisions.json"
    file.write_text(json.dumps({"version": 1, "campaign": "test", "reviewer": "Ana", "decisions": [entry]}))
    pipeline("review", manifest, "--import", file)


def step(manifest: Path, label: str = "p0/table/1x1/1K/v1.png") -> dict[str, Any]:
    """What the plan says of a cell."""
    return next(step for step in plan(manifest)["steps"] if step["label"] == label)


@pytest.mark.parametrize("approved", [True, False])
def test_an_edited_file_is_set_aside_and_reported(campaign: Path, approved: bool) -> None:
    """The plan says so, the run moves it before it writes its own, and every record names it."""
    path, before = out(campaign) / f"{FILE}.png", (out(campaign) / f"{FILE}.png").read_bytes()
    if approved:
        approve(campaign)
    path.write_bytes(retouched())
    assert step(campaign)["reason"] == "edited by hand: will be set aside; keep it with `pipeline adopt`"
    assert plan(campaign)["set_aside"] == [f"{FILE}.png"]
    done = pipeline("run", campaign)
    aside = out(campaign) / f"{FILE}.edited.png"
    assert f"set aside: {aside} (edited by hand)" in done.stderr
    assert (aside.read_bytes(), path.read_bytes()) == (retouched(), before)
    assert [line["set_aside"] for line in results(campaign)[:2]] == [[f"{FILE}.edited.png"], []]
    path.write_bytes(retouched("red"))
    assert run(campaign)["set_aside"] == [str(out(campaign) / f"{FILE}.edited-2.png")]
    path.write_bytes(retouched())
    assert run(campaign)["set_aside"] == [str(aside)], "the same bytes are kept once"
    assert plan(campaign)["frozen"] == approved


def test_an_edit_survives_whatever_else_is_to_be_written(campaign: Path) -> None:
    """Another quality, another take, another picture at its path: each time the edit is set aside first."""
    path = out(campaign) / f"{FILE}.webp"
    for number, what in enumerate(("quality", "retake", "prompt"), 1):
        path.write_bytes(data := retouched(("red", "lime", "blue")[number - 1], "WEBP"))
        if what == "quality":
            edit(campaign, outputs=OUTPUTS | {"quality": {"webp": 40}})
        if what == "prompt":
            edit(campaign, prompts={"table": {"text": "Place @Image1 on a table, again."}})
        name = f"{FILE}.edited{f'-{number}' if number > 1 else ''}.webp"
        assert plan(campaign, *(["--retake", "p0"] if what == "retake" else []))["set_aside"] == [f"{FILE}.webp"]
        assert run(campaign, *(["--retake", "p0"] if what == "retake" else []))["set_aside"] == [
            str(out(campaign) / name)
        ]
        assert (out(campaign) / name).read_bytes() == data
        assert path.read_bytes() != data


def test_a_picture_that_lay_there_before_is_set_aside(tmp_path: Path) -> None:
    """The ledger knows nothing of it, so it is somebody's; what is no picture is written over."""
    manifest = write_campaign(tmp_path, count=2, outputs=OUTPUTS)
    for product, data in (("p0", retouched("red")), ("p1", retouched()[:-40])):
        (out(manifest) / f"{product}/table").mkdir(parents=True)
        (out(manifest) / f"{product}/table/1x1_1K_v1.png").write_bytes(data)
    assert plan(manifest)["set_aside"] == [f"{FILE}.png"]
    assert run(manifest)["set_aside"] == [str(out(manifest) / f"{FILE}.edited.png")]
    assert (out(manifest) / f"{FILE}.edited.png").read_bytes() == retouched("red")


@pytest.mark.parametrize("what", ["more pixels than we take", "several frames"])
def test_a_picture_that_we_would_not_take_is_a_persons_all_the_same(campaign: Path, what: str) -> None:
    """An upscaled file and an animation are no damage."""
    data = io.BytesIO()
    if what == "several frames":
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:])
    else:
        Image.new("1", (8200, 8200)).save(data, "PNG")
    path = out(campaign) / f"{FILE}.png"
    path.write_bytes(data.getvalue())
    assert run(campaign)["set_aside"]
    assert path.with_suffix(".edited.png").read_bytes() == data.getvalue()


@pytest.mark.parametrize("how", ["note", "other form", "no JSON", "an earlier version's"])
def test_a_sidecar_that_a_person_changed_is_set_aside(campaign: Path, how: str) -> None:
    """It is written again when its picture changes, and what a person wrote stays beside it."""
    path = out(campaign) / f"{FILE}.json"
    told = json.loads(path.read_text())
    if how == "an earlier version's":
        del told["seal"], told["by_hand"]
    text = {
        "note": json.dumps(told | {"note": "mine"}),
        "other form": json.dumps(told),
        "no JSON": path.read_text()[1:],
    }
    changed = text.get(how) or json.dumps(told | {"licence": "ours"}, indent=2, ensure_ascii=False) + "\n"
    path.write_text(changed)
    document = run(campaign, "--retake", "p0")
    assert document["set_aside"] == [str(out(campaign) / f"{FILE}.edited.json")]
    assert (out(campaign) / f"{FILE}.edited.json").read_text() == changed
    assert json.loads(path.read_text())["take"] == 2


def test_verify_tells_an_edit_from_damage(campaign: Path) -> None:
    """One file was retouched and one is cut short: each is named as what it is."""
    (out(campaign) / f"{FILE}.png").write_bytes(retouched())
    cut = out(campaign) / "p1/table/1x1_1K_v1.png"
    cut.write_bytes(cut.read_bytes()[:-100])
    done = pipeline("verify", campaign, expect=3)
    assert f"{FILE}.png: was edited by hand: the next run sets it aside; keep it with `pipeline adopt`" in done.stdout
    assert "1 damaged, 1 edited by hand" in done.stderr
    document = run(campaign)
    assert document["set_aside"] == [str(out(campaign) / f"{FILE}.edited.png")]
    assert document["rebuilt"] == 2


# ── adopting ────────────────────────────────────────────────────────────────────────────────────


def adopt(manifest: Path, *words: object, expect: int = 0) -> list[dict[str, Any]]:
    """``pipeline adopt --json`` and what it says."""
    found: list[dict[str, Any]] = json.loads(pipeline("adopt", manifest, "--json", *words, expect=expect).stdout)
    return found


@pytest.mark.parametrize("how", ["in place", "set aside", "by its label"])
def test_an_edited_file_becomes_a_take_of_its_picture(campaign: Path, how: str, tmp_path: Path) -> None:
    """Its other formats follow from it, its records say so, it costs nothing, and the take before is kept."""
    path = out(campaign) / f"{FILE}.png"
    file = {"in place": path, "set aside": path.with_suffix(".edited.png"), "by its label": tmp_path / "mine.png"}[how]
    words = ["--as", "p0/*"] if how == "by its label" else []
    if how == "set aside":
        path.write_bytes(retouched())
        run(campaign)
    else:
        file.write_bytes(retouched())
    approve(campaign)
    (told,) = adopt(campaign, file, *words)
    assert (told["label"], told["take"], told["already"], told["differs"]) == ("p0/table/1x1/1K/v1", 2, False, None)
    assert path.read_bytes() == retouched()
    with Image.open(path.with_suffix(".webp")) as image:
        red, green, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
        assert abs(red - 0x12) + abs(green - 0x34) + abs(blue - 0x56) < 12
    lines = results(campaign)
    assert [(line["take"], line["by_hand"], line["usd"]) for line in lines[:2]] == [(2, "edited by hand", 0)] * 2
    for line in lines:
        Draft202012Validator(json.loads(schema_text("result"))).validate(line)
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert (sidecar["by_hand"], sidecar["take"]) == ("edited by hand", 2)
    assert "edited by hand" in sidecar["made_by"]
    assert "edited by hand" in (out(campaign) / "report.html").read_text()
    assert len(list((out(campaign) / ".pipeline/originals").glob(f"{lines[0]['key']}.t*"))) == 2
    assert file.exists() == (how != "set aside")
    document = run(campaign)
    assert (document["made"], document["rebuilt"], document["set_aside"]) == (0, 0, [])
    assert "0 damaged" in pipeline("verify", campaign).stderr
    assert adopt(campaign, file, *words)[0]["already"], "once is enough"


def test_a_file_of_another_format_is_taken_as_it_is(campaign: Path) -> None:
    """A JPEG saved under the name of a PNG is kept as the JPEG that it is, and the PNG derived from it."""
    path = out(campaign) / f"{FILE}.png"
    path.write_bytes(data := retouched(kind="JPEG", size=(900, 700)))
    assert adopt(campaign, path)[0]["differs"] == "900×700, where 1024×1024 was asked for"
    (kept,) = (out(campaign) / ".pipeline/originals").glob("*.t2.jpg")
    assert kept.read_bytes() == data
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (900, 700))
    assert not list(out(campaign).rglob("*.edited*"))
    assert run(campaign)["rebuilt"] == 0


def test_a_wrong_picture_is_accepted(campaign: Path) -> None:
    """What was kept aside as not what was asked for is taken over, whatever its format, and said to be accepted."""
    (out(campaign) / f"{FILE}.wrong.jpg").write_bytes(retouched(kind="JPEG", size=(300, 200)))
    (told,) = adopt(campaign, out(campaign) / f"{FILE}.wrong.jpg")
    assert (told["take"], told["by_hand"]) == (2, "accepted by hand")
    assert {line["by_hand"] for line in results(campaign)[:2]} == {"accepted by hand"}
    assert not (out(campaign) / f"{FILE}.wrong.jpg").exists()


def test_other_edits_of_an_adopted_picture_are_set_aside(campaign: Path) -> None:
    """Two of its files were edited: one is kept, the other is not lost."""
    (out(campaign) / f"{FILE}.png").write_bytes(retouched("red"))
    (out(campaign) / f"{FILE}.webp").write_bytes(retouched("blue", "WEBP"))
    (told,) = adopt(campaign, out(campaign) / f"{FILE}.png")
    assert told["set_aside"] == [str(out(campaign) / f"{FILE}.edited.webp")]
    assert (out(campaign) / f"{FILE}.edited.webp").read_bytes() == retouched("blue", "WEBP")


def test_an_adopted_picture_survives_the_loss_of_its_ledger(campaign: Path) -> None:
    """Of another shape than was asked for, and adopted again as what it is."""
    (out(campaign) / f"{FILE}.png").write_bytes(retouched(size=(300, 900)))
    adopt(campaign, out(campaign) / f"{FILE}.png")
    before = results(campaign)[:2]
    for path in (out(campaign) / ".pipeline").rglob("*ledger*.sqlite"):
        path.unlink()
    pipeline("restore", campaign)
    run(campaign)
    assert results(campaign)[:2] == before


@pytest.mark.parametrize("what", ["missing", "text", "cut", "elsewhere", "several", "no label", "two files", "sidecar"])
def test_what_is_no_picture_of_this_manifest_is_refused(campaign: Path, tmp_path: Path, what: str) -> None:
    """One line that says what is wrong; nothing has changed."""
    path, words = out(campaign) / f"{FILE}.png", []
    before = {file: file.read_bytes() for file in out(campaign).rglob("*") if file.is_file()}
    match what:
        case "missing":
            path = path.with_suffix(".edited.png")
        case "text" | "cut":
            path = tmp_path / "a.png"
            path.write_bytes(b"no picture" if what == "text" else retouched()[:-30])
            words = ["--as", "p0"]
        case "elsewhere":
            path = tmp_path / "a.png"
        case "several" | "no label":
            words = ["--as", "*" if what == "several" else "p7"]
        case "two files":
            words = [str(path), "--as", "p0"]
        case "sidecar":
            path = path.with_suffix(".json")
    usage = what not in ("missing", "text", "cut")
    done = pipeline("adopt", campaign, path, *words, expect=2 if usage else 1)
    assert len(done.stderr.splitlines()) == 1
    after = {file: file.read_bytes() for file in out(campaign).rglob("*") if file.is_file()}
    assert {k: v for k, v in after.items() if ".pipeline" not in k.parts} == {
        k: v for k, v in before.items() if ".pipeline" not in k.parts
    }
    assert len(list((out(campaign) / ".pipeline/originals").iterdir())) == 2


def test_while_a_run_holds_the_campaign_nothing_is_adopted(campaign: Path) -> None:
    """Refused as every other command that writes."""
    (out(campaign) / f"{FILE}.png").write_bytes(retouched())
    with open_ledger(out(campaign) / ".pipeline", "test"):
        assert "holds" in pipeline("adopt", campaign, out(campaign) / f"{FILE}.png", expect=1).stderr
    assert adopt(campaign, out(campaign) / f"{FILE}.png")[0]["take"] == 2


# ── pruning ─────────────────────────────────────────────────────────────────────────────────────


def dropped(manifest: Path) -> None:
    """Leave the first product out of the manifest."""
    products = json.loads(manifest.read_text())["products"]["things"]
    edit(manifest, products={"things": products[1:]})
    run(manifest)


def test_prune_asks_nobody_and_removes_nothing_where_nobody_can_answer(campaign: Path) -> None:
    """It lists the files and fails with a hint; --yes answers."""
    dropped(campaign)
    done = pipeline("run", campaign, "--prune", expect=1)
    assert f"  {FILE}.png\n  {FILE}.webp\n" in done.stderr
    assert "--prune removes 2 files of cells that are gone: say --yes" in done.stderr
    assert (out(campaign) / f"{FILE}.png").exists()
    pipeline("run", campaign, "--prune", "--yes")
    assert not (out(campaign) / "p0").exists()
    pipeline("run", campaign, "--prune")  # nothing to remove, nothing to ask


@pytest.mark.parametrize("answer", ["y", "n"])
def test_prune_asks_on_a_terminal(campaign: Path, answer: str) -> None:
    """Yes removes what was listed; everything else leaves it."""
    dropped(campaign)
    ours, theirs = pty.openpty()
    given = command("run", campaign, "--prune")
    with subprocess.Popen(given, stdin=theirs, stdout=theirs, stderr=theirs, env=environment()) as process:
        os.close(theirs)
        said = b""
        while b"Go on? [y/N]" not in said and select.select([ours], [], [], 60)[0]:
            said += os.read(ours, 4096)
        os.write(ours, f"{answer}\n".encode())
        try:
            while os.read(ours, 4096):
                pass
        except OSError:  # the terminal is closed
            pass
    os.close(ours)
    assert f"{FILE}.webp".encode() in said
    assert (process.returncode == 0, (out(campaign) / "p0").exists()) == (
        (True, False) if answer == "y" else (False, True)
    )


def test_prune_keeps_what_a_person_changed(campaign: Path) -> None:
    """A retouched file and an annotated sidecar stay, and the file is named."""
    dropped(campaign)
    (out(campaign) / f"{FILE}.png").write_bytes(retouched())
    sidecar = out(campaign) / f"{FILE}.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"note": "mine"}))
    done = pipeline("run", campaign, "--prune", "--yes")
    assert f"--prune keeps {FILE}.png: it was changed" in done.stderr
    assert sorted(path.name for path in (out(campaign) / "p0/table").iterdir()) == [
        "1x1_1K_v1.json",
        "1x1_1K_v1.png",
    ]
