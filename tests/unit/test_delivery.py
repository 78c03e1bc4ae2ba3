"""Contact sheets of real campaigns: what they tell of the past, and how they travel."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import edit, pipeline, results, run, write_campaign
from PIL import Image

from pipeline.report import pdf

OUTPUTS = {"resolution": "1K", "aspect_ratio": ["1:1"], "format": ["png", "webp"]}


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Two products in one prompt: two pictures, four cells, made."""
    manifest = write_campaign(tmp_path / "campaign", count=2, outputs=OUTPUTS)
    run(manifest)
    return manifest


def folder(manifest: Path) -> Path:
    """The output folder."""
    return manifest.parent / "out/test"


def data(sheet: Path | str) -> Any:
    """What a sheet's script is given."""
    text = sheet.read_text() if isinstance(sheet, Path) else sheet
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def shown(manifest: Path) -> Any:
    """The data of the campaign's own sheet."""
    return data(folder(manifest) / "report.html")


def states(found: Any) -> list[str]:
    """Every tile's state."""
    (state,) = [each for each in found["dimensions"] if each["key"] == "state"]
    return [state["values"][of] for of in state["of"]]


def sources(sheet: Path | str) -> list[str]:
    """The addresses of a sheet's thumbnails."""
    text = sheet.read_text() if isinstance(sheet, Path) else sheet
    return re.findall(r'<figure><img src="([^"]*)"', text)


def hrefs(found: Any) -> list[str]:
    """The addresses of a sheet's files."""
    return [href for files in found["tiles"]["files"] for _, href, _, _ in files if href]


# ── what it tells ───────────────────────────────────────────────────────────────────────────────


def test_a_sheet_shows_what_was_made(campaign: Path) -> None:
    """Labels without their formats, keys, hashes of kept originals, files, and thumbnails inside."""
    found, lines = shown(campaign), results(campaign)
    assert found["tiles"]["label"] == [line["label"].removesuffix(".png") for line in lines[::2]]
    assert found["tiles"]["key"] == [line["key"] for line in lines[::2]]
    assert found["tiles"]["sha"] == [line["sha256"] for line in lines[::2]], "the PNG is the kept original"
    assert hrefs(found) == [line["path"] for line in lines]
    assert [name for name, *_ in found["tiles"]["files"][0]] == ["png", "webp"]
    assert (states(found), found["history"]) == (["done"] * 2, {})
    assert found["commands"]["retake"] == f"pipeline run {campaign} --retake"
    assert found["serial"] > 0
    assert len(sources(folder(campaign) / "report.html")) == found["thumbs"]["count"] > 2
    assert all(source.startswith("data:") for source in sources(folder(campaign) / "report.html"))


def test_a_retake_leaves_the_earlier_take_in_the_history(campaign: Path) -> None:
    """With the address of its kept original, its hash and its own thumbnail."""
    before = shown(campaign)
    pipeline("run", campaign, "--retake", "p0")
    found = shown(campaign)
    ((index, (past,)),) = found["history"].items()
    assert index == "0"
    assert (past["take"], past["sha"], past["key"]) == (1, before["tiles"]["sha"][0], found["tiles"]["key"][0])
    assert past["changes"] == []
    assert past["text"] is None
    assert (folder(campaign) / past["href"]).is_file()
    assert past["thumb"] not in (-1, found["tiles"]["thumb"][0])
    (take,) = [each for each in found["dimensions"] if each["key"] == "take"]
    assert [take["values"][of] for of in take["of"]] == ["take 2", "take 1"]


def test_an_edited_prompt_leaves_what_was_shown_before(campaign: Path) -> None:
    """Not made yet: stale, with the picture of before standing there. Made: that picture is its history."""
    before = shown(campaign)
    edit(campaign, prompts={"table": {"text": "Place @Image1 on a marble table."}})
    pipeline("run", campaign, "--only", "p1")
    found = shown(campaign)
    assert states(found) == ["stale", "done"]
    assert [line["state"] for line in results(campaign)] == ["missing", "missing", "done", "done"]
    assert [each["value"] for each in found["totals"] if each["name"] == "stale"] == ["2"]
    for index in ("0", "1"):
        (past,) = found["history"][index]
        assert past["sha"] == before["tiles"]["sha"][int(index)]
        assert past["changes"] == ["prompt changed"]
        assert past["text"] == before["texts"][before["tiles"]["text"][int(index)]]
    assert found["tiles"]["thumb"][0] == found["history"]["0"][0]["thumb"] >= 0
    assert [(href, state) for _, href, _, state in found["tiles"]["files"][0]] == [
        (href, "stale") for _, href, _, _ in before["tiles"]["files"][0]
    ]
    assert (found["tiles"]["sha"][0], found["tiles"]["made"][0]) == ("", 0)
    assert found["reasons"] == ["prompt changed"]


def test_a_label_that_goes_back_shows_what_came_in_between(campaign: Path) -> None:
    """Every picture that it ever showed is remembered, each once, and its current one isn't history."""
    first = shown(campaign)["tiles"]["key"][0]
    prompts = json.loads(campaign.read_text())["prompts"]
    edit(campaign, prompts={"table": {"text": "Place @Image1 on a marble table."}})
    run(campaign)
    second = shown(campaign)["tiles"]["key"][0]
    edit(campaign, prompts=prompts)
    run(campaign)
    found = shown(campaign)
    assert found["tiles"]["key"][0] == first
    assert [past["key"] for past in found["history"]["0"]] == [second]


def test_what_stood_there_is_stale_only_while_it_is_there(campaign: Path) -> None:
    """Its kept original and its files lost: missing."""
    edit(campaign, prompts={"table": {"text": "Place @Image1 on a marble table."}})
    for path in (*folder(campaign).glob("p0/*/*.*"), *folder(campaign).glob(".pipeline/originals/*")):
        path.unlink()
    pipeline("report", campaign)
    found = shown(campaign)
    assert states(found) == ["missing", "stale"], "files of the second one are there"
    assert found["history"]["1"][0]["href"] is None
    assert [bool(href) for _, href, _, _ in found["tiles"]["files"][0]] == [False, False]


def test_a_lost_thumbnail_is_made_again(campaign: Path) -> None:
    """From the kept original, or the reference."""
    thumbs = sorted((folder(campaign) / ".pipeline/thumbs").glob("*.webp"))
    before = {path: path.read_bytes() for path in thumbs}
    for path in thumbs:
        path.unlink()
    pipeline("report", campaign)
    assert {path: path.read_bytes() for path in thumbs} == before
    assert len(sources(folder(campaign) / "report.html")) == len(thumbs)


def approve(manifest: Path, index: int, **changes: Any) -> None:
    """A reviewer's decision on a tile, brought in."""
    tiles = shown(manifest)["tiles"]
    decision = {
        "picture": tiles["key"][index],
        "file": tiles["sha"][index],
        "label": tiles["label"][index],
        "take": 1,
        "decision": "approved",
        "stars": 0,
        "note": "",
        "who": "Ana",
        "when": "2026-11-21T14:03:00Z",
    }
    document = {"version": 1, "campaign": "test", "reviewer": "Ana", "exported": "2026-11-21T14:03:00Z"}
    file = manifest.parent / "decisions.json"
    file.write_text(json.dumps({**document, "decisions": [decision | changes]}))
    pipeline("review", manifest, "--import", file)


def test_decisions_are_on_the_sheet(campaign: Path) -> None:
    """Also where nothing else changed since it was written; a changed prompt says what was approved before."""
    approve(campaign, 0)
    assert "nothing to do" in pipeline("run", campaign).stderr
    found = shown(campaign)
    key, sha = found["tiles"]["key"][0], found["tiles"]["sha"][0]
    assert found["decisions"] == {
        key: [
            {
                "sha": sha,
                "decision": "approved",
                "stars": 0,
                "note": "",
                "who": "Ana",
                "when": "2026-11-21T14:03:00Z",
            }
        ]
    }
    assert {"name": "approved", "value": "1", "tone": "approved"} in found["totals"]
    edit(campaign, prompts={"table": {"text": "Place @Image1 on a marble table."}})
    run(campaign)
    found = shown(campaign)
    assert found["stale"] == {"0": "prompt changed"}
    assert list(found["decisions"]) == [found["history"]["0"][0]["key"]] == [key]
    assert "approved" not in {each["name"] for each in found["totals"]}


# ── how it travels ──────────────────────────────────────────────────────────────────────────────


def test_a_sheet_elsewhere_names_files_by_the_way_that_leads_down(campaign: Path, tmp_path: Path) -> None:
    """From a folder above, from within; elsewhere none, as links would lead nowhere."""
    lines = [line["path"] for line in results(campaign)]
    for place, wanted in (
        (campaign.parent / "for-the-client.html", [f"out/test/{path}" for path in lines]),
        (folder(campaign) / "again.html", lines),
        (folder(campaign) / "p0/mine.html", [path.removeprefix("p0/") for path in lines if path.startswith("p0/")]),
        (tmp_path / "mail/sheet.html", []),
    ):
        pipeline("report", campaign, "-o", place)
        assert hrefs(data(place)) == wanted
        assert all((place.parent / path).is_file() for path in wanted)
        assert all(source.startswith("data:") for source in sources(place))


def test_a_mailed_sheet_shows_its_pictures_sharp(campaign: Path, tmp_path: Path) -> None:
    """As large as they are, where the budget has room; and small where it has not, or an original is damaged."""
    place = tmp_path / "mail/sheet.html"
    pipeline("report", campaign, "-o", place)
    count = len(results(campaign))
    assert max(map(side, sources(place))) == 1024
    assert max(map(side, sources(folder(campaign) / "report.html"))) <= 600
    pipeline("report", campaign, "-o", place, "--inline", "0.1")
    assert max(map(side, sources(place))) <= 600
    for original in (folder(campaign) / ".pipeline/originals").iterdir():
        original.write_bytes(b"damaged")
    shutil.rmtree(folder(campaign) / ".pipeline/thumbs/large")
    pipeline("report", campaign, "-o", place)
    assert max(map(side, sources(place))) <= 600
    assert len(results(campaign)) == count


def side(source: str) -> int:
    """The longer side of an inline picture, in pixels."""
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return max(image.size)


def test_without_room_the_thumbnails_are_copied_beside_the_sheet(campaign: Path, tmp_path: Path) -> None:
    """And it is said where, and what else there is; the campaign's own sheet names them where they lie."""
    place = tmp_path / "mail/sheet.html"
    told = pipeline("report", campaign, "-o", place, "--inline", "0").stderr
    assert f"stand beside the sheet in {tmp_path / 'mail/sheet-thumbs'}: to send it" in told
    assert "--inline MB embeds them" in told
    found = sources(place)
    assert len(found) > 2
    assert all(source.startswith("sheet-thumbs/") and (place.parent / source).is_file() for source in found)
    assert ".pipeline/thumbs" in pipeline("report", campaign, "--inline", "0").stderr
    own = sources(folder(campaign) / "report.html")
    assert all(source.startswith(".pipeline/thumbs/") and (folder(campaign) / source).is_file() for source in own)


def test_little_room_makes_thumbnails_smaller(campaign: Path, tmp_path: Path) -> None:
    """And it is said."""
    place = tmp_path / "sheet.html"
    told = pipeline("report", campaign, "-o", place, "--inline", "0.006").stderr
    assert "were made smaller to fit into the sheet" in told
    assert all(source.startswith("data:") for source in sources(place))
    assert sum(map(len, sources(place))) < 6_000
    assert "thumbnail" not in pipeline("report", campaign, "-o", place).stderr


def test_a_folder_holds_all_that_is_asked_for(campaign: Path, tmp_path: Path) -> None:
    """Made when it isn't there; what lies in it already stays."""
    place = tmp_path / "for/the client"
    assert str(place) in pipeline("report", campaign, "-o", place).stdout
    assert [path.name for path in place.iterdir()] == ["report.html"]
    assert hrefs(data(place / "report.html")) == [], "the files aren't there"
    (place / "letter.txt").write_text("Dear client")
    told = pipeline("report", campaign, "-o", place, "--originals", "--inline", "0").stdout
    assert "with 4 picture files" in told
    lines = results(campaign)
    assert hrefs(data(place / "report.html")) == [line["path"] for line in lines]
    for line in lines:
        assert (place / line["path"]).read_bytes() == (folder(campaign) / line["path"]).read_bytes()
    assert all((place / source).is_file() for source in sources(place / "report.html"))
    assert (place / "letter.txt").read_text() == "Dear client"
    assert not [path for path in place.rglob("*") if path.name.endswith(".part") or path.name == "ledger.sqlite"]


def test_the_output_folder_is_its_own_place(campaign: Path) -> None:
    """Nothing is copied onto itself."""
    before = {path: path.read_bytes() for path in folder(campaign).glob("p?/*/*")}
    pipeline("report", campaign, "-o", folder(campaign), "--inline", "0")
    assert {path: path.read_bytes() for path in folder(campaign).glob("p?/*/*")} == before
    assert not list(folder(campaign).glob("*-thumbs"))


@pytest.mark.parametrize("inline", ["0", "25"])
def test_a_zip_holds_the_same(campaign: Path, tmp_path: Path, inline: str) -> None:
    """Pictures stored as they are; written whole, over what was there."""
    place = tmp_path / "sheet.zip"
    place.write_text("an older one")
    pipeline("report", campaign, "-o", place, "--originals", "--inline", inline)
    with zipfile.ZipFile(place) as archive:
        assert archive.testzip() is None
        page = archive.read("report.html").decode()
        names = set(archive.namelist())
        lines = results(campaign)
        for line in lines:
            assert archive.read(line["path"]) == (folder(campaign) / line["path"]).read_bytes()
            assert archive.getinfo(line["path"]).compress_type == zipfile.ZIP_STORED
    assert hrefs(data(page)) == [line["path"] for line in lines]
    beside = {source for source in sources(page) if not source.startswith("data:")}
    assert bool(beside) == (inline == "0")
    assert names == {"report.html", *beside, *(line["path"] for line in lines)}
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_originals_need_a_place(campaign: Path, tmp_path: Path) -> None:
    """One HTML file has none; and a PDF is asked for in another way."""
    assert "-o FOLDER or -o sheet.zip" in pipeline("report", campaign, "--originals", expect=2).stderr
    place = tmp_path / "x.html"
    assert "-o FOLDER" in pipeline("report", campaign, "-o", place, "--originals", expect=2).stderr
    assert "--pdf" in pipeline("report", campaign, "-o", tmp_path / "x.pdf", expect=2).stderr
    assert list(tmp_path.iterdir()) == [campaign.parent]


def test_what_cannot_be_written_is_named(campaign: Path, tmp_path: Path) -> None:
    """A file where a folder has to be."""
    (tmp_path / "file").write_text("")
    for place in ("file/sheet.html", "file/sheet.zip", "file/folder"):
        assert "can't be written" in pipeline("report", campaign, "-o", tmp_path / place, expect=1).stderr


def test_a_place_that_is_no_place_is_refused(campaign: Path, tmp_path: Path) -> None:
    """An empty variable of a script, and a file where the folder is to be: both are left as they are."""
    (tmp_path / "notes").write_text("mine")
    assert "is no folder" in pipeline("report", campaign, "-o", tmp_path / "notes", expect=2).stderr
    assert (tmp_path / "notes").read_text() == "mine"
    for option in ("-o", "--pdf"):
        assert f"{option} names no file" in pipeline("report", campaign, option, "", expect=2).stderr


def test_a_name_that_is_not_utf8_is_written_and_told(campaign: Path, tmp_path: Path) -> None:
    """The terminal gets an escape for what it can't show."""
    told = pipeline("report", campaign, "-o", tmp_path / "caf\udce9.html", env={"PYTHONIOENCODING": "utf-8:strict"})
    assert r"caf\udce9.html" in told.stdout
    assert len(sources((tmp_path / "caf\udce9.html").read_text())) > 2


def test_no_link_in_the_folder_leads_out(campaign: Path, tmp_path: Path) -> None:
    """A folder that somebody else prepared can't have pictures written elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to/p0").symlink_to(tmp_path / "elsewhere")
    told = pipeline("report", campaign, "-o", tmp_path / "to", "--originals", expect=1).stderr
    assert "leads out" in told
    assert list((tmp_path / "elsewhere").iterdir()) == []


# ── a PDF ───────────────────────────────────────────────────────────────────────────────────────


def fake_browser(tmp_path: Path, script: str) -> str:
    """A program that stands for Chromium."""
    path = tmp_path / "chromium"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_without_a_browser_it_is_said_what_to_do(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    before = (folder(campaign) / "report.html").stat().st_mtime_ns
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    told = pipeline("report", campaign, "--pdf", "x.pdf", expect=1).stderr
    assert "CHROMIUM=no-such-browser: there is no such program" in told
    assert (folder(campaign) / "report.html").stat().st_mtime_ns == before
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pdf.PipelineError, match="apt install chromium"):
        pdf.find_chromium()


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("echo it broke >&2; exit 3", "exit code 3: it broke"),
        ("exit 0", "made no PDF"),
        ('for a; do case $a in --print-to-pdf=*) echo "<html>" > "${a#*=}";; esac; done', "made no PDF"),
        ('for a; do case $a in --print-to-pdf=*) echo "%PDF-1.4" > "${a#*=}";; esac; done', "without pages"),
        ("sleep 60", "not done after 0.2 s"),
    ],
)
def test_a_browser_that_fails_leaves_no_pdf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, wanted: str
) -> None:
    """And what it said is told."""
    monkeypatch.setenv("CHROMIUM", fake_browser(tmp_path, f"exec {script}" if "sleep" in script else script))
    target = tmp_path / "x.pdf"
    with pytest.raises(pdf.PipelineError, match=re.escape(wanted)):
        pdf.print_pdf(tmp_path / "x.html", target, seconds=0.2 if "sleep" in script else 30)
    assert not target.exists()


def test_a_browser_prints_the_sheet_with_its_thumbnails(
    campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given a page of its own, a fresh profile and no network; the PDF is written whole."""
    script = f"""
for a; do echo "$a" >> {tmp_path}/told; p=$a; done
cp "${{p#file://}}" {tmp_path}/page.html
for picture in "$(dirname "${{p#file://}}")"/report-thumbs/*.webp; do cp "$picture" {tmp_path}/first; done
for a; do case $a in
  --print-to-pdf=*) printf '%%PDF-1.4\\n1 0 obj\\n<</Type /Pages\\n/Count 3\\n/Kids []>>\\n' > "${{a#*=}}";;
esac; done"""
    monkeypatch.setenv("CHROMIUM", fake_browser(tmp_path, script))
    target = tmp_path / "sub/x.pdf"
    assert f"PDF: {target}, 3 pages" in pipeline("report", campaign, "--pdf", target).stdout
    assert target.read_bytes().startswith(b"%PDF")
    told = (tmp_path / "told").read_text().splitlines()
    assert {"--headless", "--no-pdf-header-footer", "--host-resolver-rules=MAP * ~NOTFOUND"} <= set(told)
    assert ("--no-sandbox" in told) == (os.geteuid() == 0)
    assert len(sources(tmp_path / "page.html")) > 2
    assert (tmp_path / "first").read_bytes().startswith(b"\xff\xd8\xff"), "a WebP would be unpacked into the PDF"
