"""The command line as a person or a script uses it, from an empty folder to a finished campaign, offline."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.campaign import edit, environment, pipeline, plan, results, run, write_campaign
from fakes.work import HANGS
from jsonschema import Draft202012Validator
from PIL import Image

from pipeline.schema import schema_text

OUTPUTS = {"resolution": "1K", "aspect_ratio": ["1:1"], "format": ["png", "webp"]}


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Two products in one prompt: two pictures, four cells, made."""
    manifest = write_campaign(tmp_path, count=2, outputs=OUTPUTS)
    run(manifest)
    return manifest


def actions(manifest: Path, *arguments: str) -> dict[str, list[str]]:
    """Reason (or "done") → labels, as `plan` says."""
    found: dict[str, list[str]] = {}
    for step in plan(manifest, *arguments)["steps"]:
        found.setdefault(step["reason"] or step["action"], []).append(step["label"])
    return found


def test_a_first_run_makes_every_file_whole(campaign: Path) -> None:
    """Every cell's file is there, in its format and size, and says in its metadata that it is a proof."""
    folder = campaign.parent / "out/test"
    lines = results(campaign)
    assert [line["state"] for line in lines] == ["done"] * 4
    validator = Draft202012Validator(json.loads(schema_text("result")))
    for line in lines:
        validator.validate(line)
        with Image.open(folder / line["path"]) as image:
            image.load()
            assert (image.format, image.size) == (line["format"].upper(), (1024, 1024))
    sidecar = json.loads((folder / lines[0]["path"]).with_suffix(".json").read_text())
    assert sidecar["proof"] is True
    assert "not the model" in sidecar["made_by"]
    assert [reference["slot"] for reference in sidecar["references"]] == ["@Image1"]
    assert [cell["label"] for cell in sidecar["cells"]] == [line["label"] for line in lines[:2]]
    sheet = (folder / "report.html").read_text()
    assert all(f'["{line["format"]}","{line["path"]}",{line["bytes"]},"done"]' in sheet for line in lines)


def test_proofs_are_deterministic(campaign: Path, tmp_path: Path) -> None:
    """The same manifest elsewhere gives the same bytes."""
    again = write_campaign(tmp_path / "again", count=2, outputs=OUTPUTS)
    run(again)
    assert [line["sha256"] for line in results(again)] == [line["sha256"] for line in results(campaign)]


def test_a_second_run_has_nothing_to_do_and_writes_nothing(campaign: Path) -> None:
    """Nothing is made, and no file is touched."""
    folder = campaign.parent / "out/test"
    before = {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*.*")
        if path.suffix in (".png", ".webp", ".json", ".html")
    }
    done = pipeline("run", campaign)
    assert "nothing to do" in done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_an_edited_prompt_remakes_its_pictures_and_shows_the_difference(campaign: Path) -> None:
    """Only the edited prompt's cells are owed, with old → new in `plan -v`."""
    two = {"table": {"text": "Place @Image1 on a table."}, "shelf": {"text": "Put @Image1 on a shelf."}}
    edit(campaign, prompts=two)
    assert run(campaign)["made"] == 2
    edit(campaign, prompts=two | {"table": {"text": "Place @Image1 on a marble table."}})
    found = actions(campaign)
    assert {reason: len(labels) for reason, labels in found.items()} == {"prompt changed": 4, "done": 4}
    shown = pipeline("plan", campaign, "-v").stdout
    assert re.search(r"\+ … .*on a marble table\.", shown)
    assert run(campaign)["made"] == 2
    edit(campaign, prompts=two)
    assert run(campaign)["made"] == 0, "the old picture was kept, and going back to it is free"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: {"products": {"things": [dict(p, name=f"New {p['id']}") for p in data["products"]["things"]]}},
        lambda data: {"products": {"things": [dict(p, tags=["hero"]) for p in data["products"]["things"]]}},
        lambda data: {"products": {"things": data["products"]["things"][::-1]}},
        lambda data: {"budget": {"usd": 3}, "vars": {"unused": 1}},
        lambda data: {"outputs": OUTPUTS | {"format": ["webp", "png"]}},
    ],
    ids=["name", "tags", "order", "unused", "format order"],
)
def test_what_determines_no_picture_remakes_none(campaign: Path, change) -> None:
    """Names that prompts don't use, tags, order and unused variables are no reason to make anything."""
    edit(campaign, **change(json.loads(campaign.read_text())))
    assert set(actions(campaign)) == {"done"}


def test_comments_and_a_moved_reference_remake_nothing(campaign: Path) -> None:
    """A comment, and the same reference bytes under another name, change no key."""
    campaign.write_text("# a comment\n" + campaign.read_text().replace("p1.png", "moved.png"))
    (campaign.parent / "p1.png").rename(campaign.parent / "moved.png")
    assert set(actions(campaign)) == {"done"}


def test_new_reference_bytes_remake_the_pictures_that_show_them(campaign: Path) -> None:
    """Only the product whose photo changed is owed, and the reason names the reference."""
    Image.new("RGB", (401, 400), "black").save(campaign.parent / "p1.png")
    found = actions(campaign)
    assert found["reference changed: product.front"] == ["p1/table/1x1/1K/v1.png", "p1/table/1x1/1K/v1.webp"]
    assert len(found["done"]) == 2


@pytest.mark.parametrize("how", ["delete", "truncate", "overwrite", "empty", "truncate in secret"])
def test_a_missing_or_damaged_file_is_rebuilt_for_free(campaign: Path, how: str) -> None:
    """Whatever happens to an output file, it comes back from the kept original, bit for bit."""
    line = results(campaign)[1]
    path = campaign.parent / "out/test" / line["path"]
    before = path.read_bytes()
    if how == "delete":
        path.unlink()
    else:
        then = path.stat().st_mtime_ns
        path.write_bytes({"overwrite": b"x" * len(before), "empty": b""}.get(how, before[:-10]))
        if how == "truncate in secret":
            os.utime(path, ns=(then, then))
    found = actions(campaign)
    assert found["file missing" if how == "delete" else "file damaged"] == [line["label"]]
    document = run(campaign)
    assert (document["made"], document["rebuilt"]) == (0, 1)
    assert path.read_bytes() == before


def test_a_lost_original_comes_back_from_a_copy_and_is_owed_without_one(campaign: Path) -> None:
    """A lossless output holds the original's bytes; when that is gone too, the picture is made anew."""
    folder = campaign.parent / "out/test"
    lines = results(campaign)
    original = folder / ".pipeline/originals" / f"{lines[0]['key']}.t1.png"
    original.unlink()
    (folder / lines[1]["path"]).unlink()
    assert run(campaign)["rebuilt"] == 1
    assert original.is_file(), "the copy is the original again"
    for path in (original, folder / lines[0]["path"]):
        path.unlink()
    assert actions(campaign)["original lost"]
    assert run(campaign)["made"] == 1


def test_a_damaged_original_is_noticed_and_owed(campaign: Path) -> None:
    """An original of the right size with wrong bytes makes no file; the picture is made anew by the next run."""
    folder = campaign.parent / "out/test"
    for line in results(campaign)[:2]:
        (folder / line["path"]).unlink()
    for original in (folder / ".pipeline/originals").iterdir():
        original.write_bytes(b"x" * original.stat().st_size)
    assert run(campaign, expect=3)["rebuilt"] == 0
    assert run(campaign)["made"] == 1


def test_a_new_format_quality_or_path_is_free(campaign: Path) -> None:
    """Renditions change without a new picture."""
    edit(campaign, outputs=OUTPUTS | {"format": ["png", "webp", "jpeg"], "quality": {"webp": 40}})
    document = run(campaign)
    assert (document["made"], document["rebuilt"]) == (0, 4)
    edit(campaign, outputs=OUTPUTS | {"path": "flat/{{ product.id }}.{{ ext }}"})
    document = run(campaign)
    assert (document["made"], document["rebuilt"]) == (0, 4)
    assert (campaign.parent / "out/test/flat/p0.png").is_file()


def test_a_retake_is_a_new_picture_and_keeps_the_old_one(campaign: Path) -> None:
    """--retake makes take 2 of what it names, once, and take 1 stays."""
    folder = campaign.parent / "out/test"
    before = (folder / results(campaign)[0]["path"]).read_bytes()
    assert run(campaign, "--retake", "p0/*")["made"] == 1
    lines = results(campaign)
    assert [line["take"] for line in lines] == [2, 2, 1, 1]
    assert (folder / lines[0]["path"]).read_bytes() != before
    kept = folder / ".pipeline/originals" / f"{lines[0]['key']}.t1.png"
    assert kept.read_bytes() == before
    assert run(campaign)["made"] == 0
    assert ".t1.png" in (folder / "report.html").read_text()


def test_a_saved_plan_is_run_exactly_and_refused_after_a_change(campaign: Path, tmp_path: Path) -> None:
    """`run plan.json` makes what it planned and nothing else; a changed input makes it refuse."""
    edit(campaign, prompts={"shelf": {"text": "Put @Image1 on a shelf."}})
    saved = tmp_path / "plan.json"
    pipeline("plan", campaign, "-o", saved, "--only", "p1")
    assert run(saved)["made"] == 1
    assert run(saved)["made"] == 0
    edit(campaign, prompts={"shelf": {"text": "Put @Image1 on a high shelf."}})
    refused = pipeline("run", saved, expect=1)
    assert "the inputs changed since the plan was saved" in refused.stderr
    assert run(campaign)["made"] == 2


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        (["--only", "p0"], 2),
        (["--only", "p0/table/*"], 2),
        (["--only", "*.webp"], 2),
        (["--exclude", "*.webp"], 2),
        (["--only", "p*", "--exclude", "p1"], 2),
        (["--tag", "hero"], 2),
    ],
)
def test_a_selection_picks_cells_by_label_and_tag(tmp_path: Path, arguments: list[str], labels: int) -> None:
    """Globs match whole labels or their beginning."""
    manifest = write_campaign(tmp_path, count=2, outputs=OUTPUTS)
    data = json.loads(manifest.read_text())["products"]["things"]
    edit(manifest, products={"things": [data[0] | {"tags": ["hero"]}, data[1]]})
    assert len(plan(manifest, *arguments)["steps"]) == labels


def test_a_selection_that_matches_nothing_is_a_bad_command_line(campaign: Path) -> None:
    """Exit 2 with what to do, instead of a silent success."""
    assert "matches no cell" in pipeline("run", campaign, "--only", "nope", expect=2).stderr
    assert "--retake matches no picture" in pipeline("run", campaign, "--retake", "nope", expect=2).stderr


def test_a_limit_makes_so_many_pictures(tmp_path: Path) -> None:
    """--limit counts pictures, not cells, and the rest is owed."""
    manifest = write_campaign(tmp_path, count=3, outputs=OUTPUTS)
    document = run(manifest, "--limit", "2")
    assert (document["made"], document["done"], document["exit_code"]) == (2, 4, 0)
    assert plan(manifest)["to_make"] == 1


def test_exit_codes_of_plan(campaign: Path) -> None:
    """0 without work, 5 with --detailed-exitcode and work."""
    pipeline("plan", campaign, "--detailed-exitcode", expect=0)
    edit(campaign, prompts={"shelf": {"text": "Put @Image1 on a shelf."}})
    pipeline("plan", campaign, expect=0)
    pipeline("plan", campaign, "--detailed-exitcode", expect=5)


def test_a_broken_reference_fails_its_picture_with_a_reason(tmp_path: Path) -> None:
    """A reference with a damaged body is a warning of the plan where pictures are free, and fails alone in the run."""
    manifest = write_campaign(tmp_path, count=2, outputs=OUTPUTS)
    noise = Image.frombytes("RGB", (400, 400), random.randbytes(480000))
    noise.save(tmp_path / "p0.png")
    data = bytearray((tmp_path / "p0.png").read_bytes())
    data[200_000:200_100] = bytes(100)
    (tmp_path / "p0.png").write_bytes(data)
    assert "a checksum is wrong" in pipeline("plan", manifest).stderr
    document = run(manifest, expect=3)
    assert (document["made"], document["failed"]) == (1, 1)
    failed = [line for line in results(manifest) if line["state"] == "failed"]
    assert {line["product"] for line in failed} == {"p0"}
    assert "can't be drawn" in failed[0]["reason"]


def test_a_paid_provider_is_priced_without_a_key_and_not_called_without(tmp_path: Path) -> None:
    """`plan` prices Runware offline; `run` says which key is missing; proofs need none."""
    manifest = write_campaign(tmp_path, count=2, model="kling-image-o1", provider="runware", outputs=OUTPUTS)
    assert plan(manifest)["usd"] == pytest.approx(0.056)
    assert "RUNWARE_API_KEY is not set" in pipeline("run", manifest, expect=1).stderr
    assert run(manifest, "--provider", "local")["made"] == 2
    assert plan(manifest)["usd"] == pytest.approx(0.056), "a proof is no picture of the model"
    assert (tmp_path / "out/test-proofs/report.html").is_file()
    assert not list((tmp_path / "out/test").rglob("*.png")), "a proof never takes the place of a paid picture"


def test_the_two_executors_make_the_same_files(campaign: Path, tmp_path: Path) -> None:
    """Worker processes give the same bytes as threads."""
    other = write_campaign(tmp_path / "other", count=2, outputs=OUTPUTS)
    run(other, "--executor", "processes", "--workers", "2")
    assert [line["sha256"] for line in results(other)] == [line["sha256"] for line in results(campaign)]
    assert "there is no executor" in pipeline("run", other, "--executor", "nope", "--retake", "*", expect=2).stderr


def test_status_and_report(campaign: Path, tmp_path: Path) -> None:
    """`status` counts cells and money; `report` writes the same sheet again, anywhere."""
    status = json.loads(pipeline("status", campaign, "--json").stdout)
    assert (status["done"], status["make"], status["spent_usd"]) == (4, 0, 0)
    target = tmp_path / "sheet.html"
    pipeline("report", campaign, "-o", target)
    assert target.read_text().count(',"done"]') == 4
    never = write_campaign(tmp_path / "never", count=1)
    assert "never run" in pipeline("report", never, expect=1).stderr


def test_init_makes_a_manifest_that_runs(tmp_path: Path) -> None:
    """`init` then `run` works in an empty folder; a second `init` destroys nothing."""
    pipeline("init", tmp_path / "demo")
    manifest = tmp_path / "demo/campaign.yaml"
    assert pipeline("validate", manifest).stderr == ""
    assert run(manifest, "--limit", "1")["made"] == 1
    assert "is there already" in pipeline("init", tmp_path / "demo", expect=1).stderr


def test_every_command_has_help_with_examples() -> None:
    """Help shows at least one example, and every example is a command line that parses, to a function that exists."""
    from pipeline.cli.app import find_command
    from pipeline.cli.parser import parse_arguments

    commands = re.findall(r"^    ([a-z]+) ", pipeline("--help").stdout, re.MULTILINE)
    assert {"init", "run", "emulate"} <= set(commands)
    for command in commands:
        text = pipeline(command, "--help").stdout
        examples = [line.strip() for line in text.partition("examples:\n")[2].splitlines()]
        assert examples
        for example in examples:
            for part in example.partition("#")[0].split("&&"):
                words = shlex.split(part)
                assert words[0] == "pipeline"
                assert callable(find_command(parse_arguments(words[1:]).command))


def test_models_and_providers_say_what_exists() -> None:
    """The four gateways and local, with prices, for people and for scripts."""
    offers = json.loads(pipeline("providers", "--json").stdout)
    assert {o["provider"]: o["usd"] for o in offers if o["model"] == "kling-image-o1"} == {
        "local": 0,
        "fal": 0.028,
        "aimlapi": 0.0294,
        "eachlabs": 0.028,
        "runware": 0.028,
    }
    assert "1360×768" in pipeline("models").stdout
    assert json.loads(pipeline("models", "--json").stdout)[0]["sizes"]["2K"]["21:9"] == [3104, 1312]
    assert "$0.0294" in pipeline("providers").stdout


@pytest.mark.parametrize(
    "arguments", [["nope"], ["run"], ["run", "x.yaml", "--limit", "-1"], ["plan", "x.yaml", "--nope"], []]
)
def test_a_bad_command_line_exits_with_2(arguments: list[str]) -> None:
    """argparse's own code for what it can't read."""
    pipeline(*arguments, expect=2)


def test_quiet_prints_results_only_and_directory_is_entered(campaign: Path) -> None:
    """-q silences everything but the result; -C works before and after the command."""
    for arguments in (
        ["-C", campaign.parent, "run", "campaign.yaml", "-q"],
        ["run", "campaign.yaml", "-qC", campaign.parent],
    ):
        done = pipeline(*arguments)
        assert done.stderr == ""
        assert done.stdout == f"contact sheet: {campaign.parent / 'out/test/report.html'}\n"
    assert "No such file" in pipeline("-C", campaign.parent / "nope", "models", expect=1).stderr


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    """`pipeline plan -v | head -1` leaves no traceback."""
    manifest = write_campaign(tmp_path, count=8, outputs={"variants": 50, "format": ["png", "webp", "jpeg"]})
    runner = Path(__file__).parent.parent / "fakes/runner.py"
    command = f"{sys.executable} {runner} plan -v {manifest} | head -1"
    done = subprocess.run(  # noqa: S602  # the pipe is the point
        command, shell=True, capture_output=True, text=True, env=environment(), timeout=HANGS, check=True
    )
    assert done.stdout
    assert done.stderr == ""


def test_an_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    """A file where the output folder should be: exit 1 with the path, and nothing was started."""
    manifest = write_campaign(tmp_path, count=1)
    (tmp_path / "out").write_text("in the way")
    assert str(tmp_path / "out/test/.pipeline") in pipeline("run", manifest, expect=1).stderr


@pytest.mark.parametrize("damage", ["empty", "garbage", "gone", "truncated", "foreign"])
def test_a_ledger_that_cant_be_trusted_stops_everything(campaign: Path, damage: str) -> None:
    """A damaged, emptied, lost or foreign ledger is refused with what to do, and left as it is."""
    import sqlite3

    ledger = campaign.parent / "out/test/.pipeline/ledger.sqlite"
    data = ledger.read_bytes()
    for beside in ledger.parent.glob("ledger.sqlite-*"):
        beside.unlink()
    if damage == "gone":
        ledger.unlink()
    elif damage == "foreign":
        ledger.unlink()
        with sqlite3.connect(ledger) as db:
            db.execute("CREATE TABLE other (x)")
        db.close()
    else:
        ledger.write_bytes({"empty": b"", "garbage": b"x" * len(data), "truncated": data[:5000]}[damage])
    for command in ("run", "plan", "status"):
        done = pipeline(command, campaign, expect=1)
        assert "ledger" in done.stderr
        assert "`pipeline restore MANIFEST` brings back its last backup" in done.stderr


def test_prune_removes_the_files_of_cells_that_are_gone_and_nothing_else(campaign: Path) -> None:
    """Files of a dropped product go with their sidecars and empty folders; one that somebody changed stays."""
    folder = campaign.parent / "out/test"
    products = json.loads(campaign.read_text())["products"]["things"]
    lines = results(campaign)
    edit(campaign, products={"things": products[1:]})
    assert run(campaign)["gone_files"] == 2
    assert "2 files of cells that are gone" in pipeline("run", campaign).stderr
    changed = folder / lines[1]["path"]
    changed.write_bytes(b"retouched by hand")
    assert run(campaign, "--prune", "--yes")["gone_files"] == 1
    assert changed.read_bytes() == b"retouched by hand"
    changed.write_bytes(b"")
    changed.unlink()
    assert not (folder / lines[0]["path"]).exists()
    assert len(list(folder.rglob("*.webp"))) == 1 + len(list((folder / ".pipeline/thumbs").iterdir()))
    edit(campaign, products={"things": products})
    assert run(campaign)["made"] == 0, "the originals stayed"


def test_a_retake_makes_nothing_else_that_is_owed(campaign: Path) -> None:
    """--retake of one product leaves a new prompt's pictures for another run."""
    text = {"text": "Place @Image1 on a table."}
    edit(campaign, prompts={"table": text, "shelf": {"text": "Put @Image1 on a shelf."}})
    assert plan(campaign, "--retake", "p0/table")["to_make"] == 1
    assert run(campaign, "--retake", "p0/table")["made"] == 1
    assert plan(campaign)["to_make"] == 2


@pytest.mark.parametrize(
    "text", ["{}", "[]", "nonsense", '{"plan": "campaign-pipeline plan 1"}', '{"plan": 1, "cells": 3}']
)
def test_a_file_that_is_no_saved_plan_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever is in it: one clear line."""
    (tmp_path / "plan.json").write_text(text)
    assert "is no saved plan" in pipeline("run", tmp_path / "plan.json", expect=1).stderr


def test_what_was_published_is_repaired(campaign: Path) -> None:
    """A removed sidecar, emptied results and a damaged sheet come back with the next run, though nothing is owed."""
    folder = campaign.parent / "out/test"
    sidecar = (folder / results(campaign)[0]["path"]).with_suffix(".json")
    before = {path: path.read_bytes() for path in (sidecar, folder / "results.jsonl")}
    sidecar.unlink()
    (folder / "results.jsonl").write_bytes(b"")
    run(campaign)
    (folder / "report.html").write_text("")
    run(campaign)
    assert {path: path.read_bytes() for path in before} == before
    assert (folder / "report.html").read_text().count(',"done"]') == 4


def test_odd_arguments_are_bad_command_lines(campaign: Path) -> None:
    """Values that can't be meant end with 2, also when nothing is owed."""
    for arguments in (
        ["--budget", "nan"],
        ["--budget", "-1"],
        ["--workers", "0"],
        ["--executor", "nope"],
        ["--tag", "nope"],
    ):
        pipeline("run", campaign, *arguments, expect=2)
    for inline in ("-1", "nan", "many"):
        pipeline("report", campaign, "--inline", inline, expect=2)
