"""A picture that is paid is kept: whatever fails on this machine, and whatever it looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import pipeline, plan, results, run, write_campaign
from fakes.emulated import addresses, emulating, provider
from fakes.gateway import FakeGateway, Faults, serving

SQUARE = {"aspect_ratio": ["1:1"], "format": ["png"]}
NO_WEBP = "import sys\nsys.modules['PIL._webp'] = None\n"
LATE = """
from PIL import Image
save = Image.Image.save
def failing(image, where, kind=None, **options):
    if kind == "WEBP" and image.size != (8, 8):
        raise KeyError("WEBP")
    save(image, where, kind, **options)
Image.Image.save = failing
"""
"""An encoder that passes every check beforehand, and fails with the first real picture."""


def campaign(folder: Path, gateway: FakeGateway, name: str = "fake", **keys: Any) -> Path:
    """A campaign at the fake gateway, one request after another."""
    keys = {"outputs": SQUARE} | keys
    return write_campaign(folder, provider={"name": name, "base_url": gateway.url, "concurrency": 1}, **keys)


def broken(folder: Path, code: str) -> dict[str, str]:
    """The environment of a machine on which this code runs first."""
    place = folder / "broken"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(place)}


def billed(gateway: FakeGateway) -> int:
    """How many pictures were paid."""
    return sum(gateway.state.billed.values())


@pytest.mark.parametrize("name", ["fake", "fake-none"])
def test_a_failure_of_this_machine_is_no_damage_of_the_picture(tmp_path: Path, name: str) -> None:
    """Paid, and then the encoder fails: the request stays open, and a healthy machine fetches it free."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, name, count=1)
        first = pipeline("run", manifest, "--json", expect=3, env=broken(tmp_path, LATE))
        assert json.loads(first.stdout)["failed"] == 0
        assert "stays open" in first.stderr
        assert plan(manifest)["failed"] == 0
        again = run(manifest)
    assert (again["made"], again["done"], again["spent_usd"]) == (1, 1, pytest.approx(0.028))
    assert billed(gateway) == gateway.state.submits == 1


def test_a_machine_that_can_keep_nothing_asks_for_no_more(tmp_path: Path) -> None:
    """Several failures in a row end the run with their cause; all that is paid is fetched by the next."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=8)
        said = pipeline("run", manifest, expect=1, env=broken(tmp_path, LATE)).stderr
        assert "KeyError: 'WEBP'" in said
        assert "the next run fetches it again, free" in said
        assert run(manifest)["done"] == 8
    assert set(gateway.state.billed.values()) == {1}


def test_a_missing_codec_is_found_before_anything_is_paid(tmp_path: Path) -> None:
    """Pillow without WebP, which thumbnails need: validate, plan and run say so; status still works."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=1)
        for command in ("validate", "plan", "run"):
            said = pipeline(command, manifest, expect=1, env=broken(tmp_path, NO_WEBP)).stderr
            assert "campaign.yaml:" in said
            assert "can't read and write WEBP" in said
            assert "pip install" in said
        pipeline("status", manifest, env=broken(tmp_path, NO_WEBP))
    assert gateway.state.submits == 0


def test_a_name_that_the_file_system_cannot_hold_is_found_before_anything_is_paid(tmp_path: Path) -> None:
    """A locale without Cyrillic letters: the name is refused while it is only a plan."""
    prompts = {"table": {"vary": {"scene": ["кухня"]}, "text": "@Image1 {{ scene }}"}}
    latin = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=1, prompts=prompts)
        for command in ("validate", "plan", "run"):
            said = pipeline(command, manifest, expect=1, env=latin).stderr
            assert "file system encoding (ascii)" in said
            assert "LC_ALL=C.UTF-8" in said
    assert gateway.state.submits == 0


def test_a_file_in_the_place_of_a_folder_is_found_before_anything_is_paid(tmp_path: Path) -> None:
    """The plan is shown with a warning; the run is refused, and says what to move."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=1)
        blocked = tmp_path / "out/test/p0"
        blocked.parent.mkdir(parents=True)
        blocked.write_text("a file")
        assert "before anything is paid" in pipeline("plan", manifest).stderr
        said = pipeline("run", manifest, expect=1).stderr
        assert f"{blocked}: is a file, and a folder belongs there" in said
    assert gateway.state.submits == 0


@pytest.mark.parametrize("fault", ["small", "shape"])
def test_a_picture_that_is_not_what_was_asked_for_is_kept_aside(tmp_path: Path, fault: str) -> None:
    """20×20 for 1K, or another ratio: failed with the reason, never asked again by itself, and its bytes are kept."""
    faults = Faults(image=lambda _: fault if fault == "shape" else None)
    sized = {"LEAST_AREA": "0.6" if fault == "small" else "0"}
    with serving(faults) as gateway:
        manifest = campaign(tmp_path, gateway, count=1, outputs=SQUARE | {"resolution": ["1K"]})
        first = run(manifest, expect=3, env=sized)
        assert (first["made"], first["failed"], first["usd"]) == (0, 1, pytest.approx(0.028))
        (kept,) = tmp_path.glob("out/test/p0/**/*.wrong.png")
        assert kept.read_bytes().startswith(b"\x89PNG")
        (line,) = results(manifest)
        assert line["state"] == "failed"
        assert {"small": "is too small: it is 20×20", "shape": "has the wrong ratio"}[fault] in line["reason"]
        assert str(kept) in line["reason"]
        assert run(manifest, expect=3, env=sized)["made"] == 0
        assert billed(gateway) == 1
        assert run(manifest, "--retry-failed", env={"LEAST_AREA": "0"}, expect=3 if fault == "shape" else 0)
        assert billed(gateway) == 2


def test_a_resolution_that_nobody_asked_for_is_judged_mildly(tmp_path: Path) -> None:
    """Without `resolution` in the manifest only a thumbnail is refused; the difference is in the record."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway, count=1)
        assert run(manifest, env={"LEAST_AREA": "0.0003"})["made"] == 1
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("out/test/p0/**/*.json"))
    assert (record["width"], record["differs"]) == (20, "1024×1024 was asked for")


WORDS = "up to $0.028 perhaps billed for refusals"


def test_what_refusals_may_have_cost_is_said_in_the_same_words_everywhere(tmp_path: Path) -> None:
    """fal accepts, and refuses while it works: it does not say whether it bills that, so neither do we."""
    prompts = {"table": {"text": "Place @Image1{{ ', forbidden' if product.id == 'p0' else '' }}."}}
    with emulating(gateways=("fal",)) as emulator:
        keys: dict[str, Any] = {"model": "kling-image-o1", "outputs": SQUARE, "prompts": prompts}
        manifest = write_campaign(tmp_path, count=2, provider=provider("fal", concurrency=1), **keys)
        env = addresses(emulator)
        first = pipeline("run", manifest, "--limit", 1, expect=3, env=env)
        assert f"$0.00 this run · {WORDS}" in first.stderr
        stopped = pipeline("run", manifest, "--budget", "0.01", expect=4, env=env)
        assert "stopped by the budget" in stopped.stderr
        document = run(manifest, expect=3, env=env)
        assert (document["usd"], document["run_refusals_usd"]) == (pytest.approx(0.028), 0)
        assert (document["spent_usd"], document["refusals_usd"]) == (pytest.approx(0.028), pytest.approx(0.028))
        capped = pipeline("run", manifest, "--retry-failed", "--budget", "0.01", expect=4, env=env)
        assert f"$0.028 spent, {WORDS}" in capped.stderr
    status = json.loads(pipeline("status", manifest, "--json").stdout)
    assert (status["spent_usd"], status["refusals_usd"]) == (pytest.approx(0.028), pytest.approx(0.028))
    assert WORDS in pipeline("status", manifest).stdout
    assert WORDS in pipeline("status", manifest, "--money").stdout
    assert ",0.028000" in pipeline("status", manifest, "--csv").stdout
    assert "perhaps billed for refusals" in (tmp_path / "out/test/report.html").read_text()
