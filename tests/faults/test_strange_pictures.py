"""Pictures as gateways really send them, through whole runs: taken, marked, or kept aside; never in flight for ever."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from fakes.campaign import pipeline, results, run
from fakes.hostile import Asked, Hostile, Reply, Spoil, campaign, hostile, states
from fakes.photos import DISPLAY_P3, saved, scene, turned
from PIL import Image

SIZE = (1024, 1024)


def sending(*pictures: bytes, kind: str = "image/png") -> Spoil:
    """A gateway that sends these pictures, the last one from then on."""
    left = list(pictures)

    def spoil(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != "picture":
            return None
        return Reply(200, left.pop(0) if len(left) > 1 else left[0], {"Content-Type": kind})

    return spoil


def animated() -> bytes:
    """An APNG of two frames."""
    out = io.BytesIO()
    scene(SIZE).save(out, "PNG", save_all=True, append_images=[scene(SIZE).rotate(180)], duration=100)
    return out.getvalue()


def heic() -> bytes:
    """What looks like a phone's photo."""
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 5000


@pytest.mark.parametrize(
    ("data", "words", "extension"),
    [
        (animated(), "an animated PNG (APNG) of 2 frames", "png"),
        (heic(), "no PNG, JPEG or WebP picture, but a HEIC photo; convert it: magick picture.heic picture.jpg", "heic"),
        (saved(scene(SIZE), "GIF"), "no PNG, JPEG or WebP picture, but a GIF picture", "gif"),
    ],
    ids=["apng", "heic", "gif"],
)
def test_a_whole_file_that_is_no_still_picture_is_kept_aside(
    tmp_path: Path, data: bytes, words: str, extension: str
) -> None:
    """It is paid, so the request is settled, and its bytes are kept for people under their own extension."""
    with hostile(sending(data)) as server:
        manifest = campaign(tmp_path, "fal")
        assert run(manifest, env=server.env, expect=3)["failed"] == 1
        assert states(manifest) == ["made"]
        (line,) = results(manifest)
        assert words in line["reason"]
        (kept,) = tmp_path.glob(f"out/test/p0/**/*.wrong.{extension}")
        assert kept.read_bytes() == data
        assert run(manifest, env=server.env, expect=3)["made"] == 0
        assert server.billed == 1
    if extension == "png":
        pipeline("adopt", manifest, kept)
        assert run(manifest)["done"] == 1
    else:
        kept.with_suffix(".png").write_bytes(saved(scene(SIZE), "PNG"))
        pipeline("adopt", manifest, kept.with_suffix(".png"))
        assert run(manifest)["done"] == 1


def test_a_web_page_in_the_place_of_a_picture_is_asked_for_again(tmp_path: Path) -> None:
    """What a server out of order sends is named, the request stays open, and the next run has the picture."""
    page = b"<!DOCTYPE html><html>We will be back soon</html>"
    with hostile(sending(*[page] * 5, saved(scene(SIZE), "PNG"))) as server:
        manifest = campaign(tmp_path, "fal")
        first = pipeline("run", manifest, "--json", env=server.env, expect=3)
        assert "the gateway sent something else" in first.stderr
        assert "but a web page" in first.stderr
        assert json.loads(first.stdout)["failed"] == 0
        assert run(manifest, env=server.env)["made"] == 1
        assert server.billed == 1


@pytest.mark.parametrize("word", ["one colour", "transparent"])
def test_a_picture_that_shows_nothing_is_marked_and_counts_as_done(tmp_path: Path, word: str) -> None:
    """In the run's words, results.jsonl, the sidecar and the sheet; also after a restore without the ledger."""
    image = Image.new("RGB", SIZE) if word == "one colour" else Image.new("RGBA", SIZE)
    with hostile(sending(saved(image, "PNG"))) as server:
        manifest = campaign(tmp_path, "fal")
        done = pipeline("run", manifest, "--json", env=server.env)
    document = json.loads(done.stdout)
    (line,) = results(manifest)
    assert (document["done"], document["blank"], line["blank"], line["state"]) == (1, [line["label"]], word, "done")
    said = "all of one colour" if word == "one colour" else "fully transparent"
    assert f"{line['label']} is {said}: look at the sheet" in done.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("out/test/p0/**/*.json"))
    assert record["original"]["blank"] == word
    assert f'"blank":{{"0":"{word}"}}' in (tmp_path / "out/test/report.html").read_text().replace('": ', '":')
    for path in (tmp_path / "out/test/.pipeline").glob("ledger*"):
        path.unlink()
    pipeline("restore", manifest)
    run(manifest)
    assert [each["blank"] for each in results(manifest)] == [word]


def test_proofs_and_pictures_that_show_something_are_not_marked(tmp_path: Path) -> None:
    """Neither in the results nor in words."""
    with hostile(sending(saved(scene(SIZE), "PNG"))) as server:
        manifest = campaign(tmp_path, "fal")
        assert run(manifest, env=server.env)["blank"] == []
        assert results(manifest)[0]["blank"] is None
    assert run(manifest, "--provider", "local")["blank"] == []


@pytest.mark.parametrize("gateway", ["fal", "runware"])
@pytest.mark.parametrize("way", ["inline", "upload"])
def test_a_phone_photo_is_sent_upright_and_without_its_place(tmp_path: Path, gateway: str, way: str) -> None:
    """Whether it travels inline or is uploaded; the key is made of the file as it is, and nothing is paid again."""
    sent: list[bytes] = []

    def look(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind == "picture":
            return Reply(200, saved(scene(SIZE), "PNG"))
        body = asked.body if isinstance(asked.body, bytes) else json.dumps(asked.body).encode()
        sent.extend(base64.b64decode(part.split(b'"')[0]) for part in body.split(b";base64,")[1:])
        if asked.kind == "upload" and isinstance(asked.body, bytes) and asked.body.startswith(b"\xff\xd8"):
            sent.append(asked.body)
        return None

    with hostile(look) as server:
        manifest = campaign(tmp_path, gateway, settings={"options": {"references": way}})
        (tmp_path / "p0.png").write_bytes(turned(scene((480, 400)), "JPEG", 6, icc_profile=DISPLAY_P3))
        assert run(manifest, env=server.env)["made"] == 1
        assert run(manifest, env=server.env)["made"] == 0
        assert server.billed == 1
    assert sent
    for data in sent:
        assert b"SERIAL-4711" not in data
        with Image.open(io.BytesIO(data)) as image:
            assert (image.size, dict(image.getexif())) == ((480, 400), {})
            assert image.getpixel((80, 80)) == pytest.approx((240, 0, 0), abs=12)
