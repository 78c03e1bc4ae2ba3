"""Files as phones, print shops and other programs write them: whole ones are taken, cut and foreign ones are named."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import pytest
from fakes.photos import ADOBE_RGB, DISPLAY_P3, chunk, grey_profile, saved, scene, turned, with_chunks
from kit import TABLE, complaints, manifest, warnings
from PIL import Image, ImageChops

from pipeline.colour import of_cicp
from pipeline.decoding import blank, decode, opened
from pipeline.errors import ForeignFile, MediaError, WrongPicture
from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.media import is_picture
from pipeline.references import prepared, read_reference

KINDS = ["PNG", "JPEG", "WEBP"]
LARGE = b"x" * 2_000_000
MP4 = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + random.Random(1).randbytes(300_000)


def jpeg_with_thumbnail() -> bytes:
    """A photo of 200 kB with a whole JPEG inside its Exif data."""
    noise = Image.effect_noise((700, 700), 80).convert("RGB")
    data, small = saved(noise, "JPEG"), saved(scene((160, 120)), "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + small
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


def several(kind: str) -> bytes:
    """Two frames."""
    out = io.BytesIO()
    scene().save(out, kind, save_all=True, append_images=[scene().rotate(180)], duration=100)
    return out.getvalue()


PNG, JPEG, WEBP = (saved(scene(), kind) for kind in KINDS)
WHOLE = {
    "tEXt of 2 MB": with_chunks(PNG, chunk(b"tEXt", b"parameters\0" + LARGE)),
    "zTXt of 2 MB": with_chunks(PNG, chunk(b"zTXt", b"parameters\0\0" + zlib.compress(LARGE))),
    "iTXt of 2 MB": with_chunks(PNG, chunk(b"iTXt", b"p\0\1\0\0\0" + zlib.compress(LARGE))),
    "80 texts of 1 MB": with_chunks(PNG, *[chunk(b"zTXt", b"p\0\0" + zlib.compress(LARGE[:999_000]))] * 80),
    "a text with a wrong checksum": with_chunks(PNG, chunk(b"tEXt", b"a\0b")[:-1] + b"?"),
    "a profile of 2 MB": saved(scene(), "PNG", icc_profile=DISPLAY_P3.ljust(2_000_000, b"\0")),
    "a tRNS of the wrong length": with_chunks(PNG, chunk(b"tRNS", b"\0\x10")),
    **{f"{len(tail)} bytes behind a PNG": PNG + tail for tail in (b"\n", b"\0" * 500, MP4)},
    **{f"{len(tail)} bytes behind a JPEG": JPEG + tail for tail in (b"\n", b"\0" * 70_000, MP4, b"\xff\xda" * 9)},
    "zeros behind a WebP": WEBP + b"\0" * 100,
    "a WebP that counts a byte that isn't written": WEBP[:4] + struct.pack("<I", len(WEBP) - 7) + WEBP[8:],
    "a thumbnail in Exif": jpeg_with_thumbnail(),
    "a second picture (MPO)": several("MPO"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture_is_one_whatever_is_around_it(tmp_path: Path, name: str) -> None:
    """As a result and as a reference; it is sent without all that, and its pixels stay as they are."""
    path = tmp_path / "a.png"
    path.write_bytes(WHOLE[name])
    image, facts = decode(WHOLE[name]), read_reference(str(path))
    assert (facts.width, facts.height) == image.size
    sent = prepared(WHOLE[name])
    assert ImageChops.difference(decode(sent), image).getbbox() is None
    assert len(sent) <= len(WHOLE[name])
    assert prepared(sent) is sent


CUT = {
    "in its thumbnail": jpeg_with_thumbnail()[:3000],
    "behind its thumbnail": jpeg_with_thumbnail()[:60_000],
    "and padded with zeros": jpeg_with_thumbnail()[:60_000] + b"\0" * 2000,
    "in a text": WHOLE["tEXt of 2 MB"][:1_000_000] + b"IEND\xaeB`\x82",
    **{f"{data[:4]!r} by {missing}": data[:-missing] for data in (PNG, JPEG, WEBP) for missing in (2, 100)},
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_picture_is_found(tmp_path: Path, name: str) -> None:
    """As a result and as a reference, also where a thumbnail has the mark of its end."""
    path = tmp_path / "a.png"
    path.write_bytes(CUT[name])
    with pytest.raises(MediaError, match="ends early"):
        read_reference(str(path))
    with pytest.raises(MediaError, match="ends early"):
        decode(CUT[name])


def box(brand: bytes) -> bytes:
    """The beginning of an ISO media file."""
    return struct.pack(">I", 20) + b"ftyp" + brand + b"\0\0\0\0" + brand + b"\0" * 50


FOREIGN = {
    "a HEIC photo": (box(b"heic"), "convert it: magick photo.jpg photo-1.jpg", "heic"),
    "an AVIF picture": (box(b"avif"), "convert it: magick photo.jpg photo-1.jpg", "avif"),
    "an MP4 video": (box(b"isom"), "ffmpeg -i photo.jpg", "mp4"),
    "a TIFF picture": (saved(scene(), "TIFF"), "convert it: magick photo.jpg photo.png", "tif"),
    "a GIF picture": (saved(scene(), "GIF"), "convert it: magick photo.jpg photo.png", "gif"),
    "a BMP picture": (saved(scene(), "BMP"), "convert it: magick photo.jpg photo.png", "bmp"),
    "a PDF document": (b"%PDF-1.7\n", "convert it: magick photo.jpg photo.png", "pdf"),
    "a Photoshop file (PSD)": (b"8BPS\0\1", "convert it: magick photo.jpg photo.png", "psd"),
    "an SVG drawing": (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "convert it: magick photo.jpg photo.png", "svg"),
    "a web page": (b"\n<!DOCTYPE html><html><title>Virus scan warning</title></html>", "download the picture", ""),
    "JSON text": (b'{"error": "no such file"}', "save the picture itself", ""),
    "XML text": (b"<Error><Code>AccessDenied</Code></Error>", "save the picture itself", ""),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "run `git lfs pull`", ""),
    "an empty file": (b"", "save it again", ""),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    """Whatever it is called: what it is, and what to do, with its name; and a person's is told from damage."""
    data, hint, extension = FOREIGN[name]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ForeignFile) as caught:
        read_reference(str(path))
    assert str(caught.value) == f"is no PNG, JPEG or WebP picture, but {name}"
    assert hint in caught.value.hint
    assert is_picture(path) == bool(extension)
    mug = {"id": "mug", "name": "Mug", "images": {"front": "photo.jpg"}}
    (said,) = complaints(tmp_path, products={"mugs": [mug]})
    assert name in said
    assert hint in said


@pytest.mark.parametrize(("kind", "words"), [("PNG", "an animated PNG (APNG)"), ("WEBP", "an animated WebP")])
def test_an_animation_is_named(tmp_path: Path, kind: str, words: str) -> None:
    """As a result it is refused; as a reference its first frame is sent, and a warning says so."""
    data = several(kind)
    with pytest.raises(WrongPicture) as caught:
        decode(data)
    assert f"it is {words} of 2 frames" in str(caught.value)
    sent = opened(prepared(data))
    assert (sent.frames, sent.size) == (1, (480, 320))
    assert decode(data, still=False).getpixel((80, 80))[:3] == pytest.approx((220, 40, 30), abs=6)
    (tmp_path / "a.png").write_bytes(data)
    mug = {"id": "mug", "name": "Mug", "images": {"front": "a.png"}}
    assert f"products.mugs[0].images.front: is {words} of 2 frames" in warnings(tmp_path, products={"mugs": [mug]})


def test_a_damaged_reference_is_found_before_it_costs(tmp_path: Path) -> None:
    """A PNG by its checksums, a JPEG by decoding it; where pictures are free it is a warning."""
    path, products = tmp_path / "a.png", {"mugs": [{"id": "mug", "name": "Mug", "images": {"front": "a.png"}}]}
    for data in (
        PNG[:200] + bytes([PNG[200] ^ 1]) + PNG[201:],
        JPEG.replace(b"\xff\xda\x00\x0c\x03", b"\xff\xda\x00\x0c\x09"),
    ):
        path.write_bytes(data)
        assert any("front: is damaged" in words for words in warnings(tmp_path, products=products))
        (said,) = complaints(tmp_path, products=products, providers=["fal"])
        assert "front: is damaged" in said


# ── references as they are sent ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_a_reference_is_sent_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    """Programs that know nothing of Exif see it as people do; where and by which camera it was taken is not sent."""
    data = turned(scene(), kind, orientation)
    assert b"SERIAL-4711" in data
    sent = prepared(data)
    assert b"SERIAL-4711" not in sent
    with Image.open(io.BytesIO(sent)) as image:
        assert (image.format, image.size, dict(image.getexif())) == (kind, (480, 320), {})
        assert image.convert("RGB").getpixel((80, 80)) == pytest.approx((220, 40, 30), abs=6)
        assert image.convert("RGB").getpixel((400, 240)) == pytest.approx((60, 20, 80), abs=6)
    (tmp_path / "a.png").write_bytes(data)
    facts = read_reference(str(tmp_path / "a.png"))
    assert (facts.width, facts.height) == (480, 320)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_is_dropped_without_touching_a_pixel(kind: str) -> None:
    """Exif, XMP, IPTC and comments go; the profile and the compressed pixels stay."""
    plain = saved(scene(), kind, icc_profile=ADOBE_RGB)
    assert prepared(plain) is plain
    full = turned(scene(), kind, 1, icc_profile=ADOBE_RGB, **({} if kind == "PNG" else {"xmp": b"<x:xmpmeta/>"}))
    if kind == "JPEG":
        iptc = b"Photoshop 3.0\0" + b"8BIM" + b"SERIAL-4711"
        full = full[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + b"\xff\xfe\0\x06Eva!" + full[2:]
    elif kind == "PNG":
        full = with_chunks(full, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>"), chunk(b"tIME", b"1234567"))
    sent = prepared(full)
    assert not [word for word in (b"SERIAL", b"xmpmeta", b"Eva!", b"tIME", b"Exif") if word in sent]
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(sent)) as after:
        assert before.info["icc_profile"] == after.info["icc_profile"]
        assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is None


def test_a_turned_reference_keeps_to_the_size_that_the_model_takes() -> None:
    """A JPEG loses quality for that; a PNG can't, and says so before anything is paid."""
    noise = Image.effect_noise((400, 300), 90).convert("RGB")
    data = turned(noise, "JPEG", 6)
    best = len(prepared(data))
    assert len(prepared(data, best)) == best
    assert len(prepared(data, best // 2)) <= best // 2
    with pytest.raises(MediaError, match="when it is turned upright, and the model takes"):
        prepared(turned(noise, "PNG", 6), 10_000)


def test_a_proof_tells_what_the_model_would_not_take(tmp_path: Path) -> None:
    """The limits of the model are those of the paid run: warnings here, with the upright size."""
    (tmp_path / "a.png").write_bytes(turned(scene((1200, 200)), "JPEG", 6))
    mug = {"id": "mug", "name": "Mug", "images": {"front": "a.png"}}
    found = expand(load(manifest(tmp_path, products={"mugs": [mug]}, prompts={"table": TABLE}))).warnings
    assert any("is 1200×200, and the model takes" in str(each) for each in found)


# ── colours ─────────────────────────────────────────────────────────────────────────────────────


def flat(colour: tuple[int, int, int], *chunks: bytes) -> tuple[int, ...]:
    """What becomes of one colour in a PNG with these chunks."""
    seen = decode(with_chunks(saved(Image.new("RGB", (8, 8), colour), "PNG"), *chunks)).getpixel((4, 4))
    assert isinstance(seen, tuple)
    return seen


SRGB_POINTS = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def test_what_a_png_says_of_its_colours() -> None:
    """cICP comes before iCCP, that before sRGB, and that before gAMA and cHRM; expected values by their formulas."""
    gama = chunk(b"gAMA", struct.pack(">I", 100_000))
    wide = chunk(b"iCCP", b"p\0\0" + zlib.compress(DISPLAY_P3))
    assert flat((128, 64, 32), gama) == pytest.approx((188, 137, 99), abs=1)
    assert flat((128, 64, 32), gama, chunk(b"cHRM", SRGB_POINTS)) == pytest.approx((188, 137, 99), abs=1)
    assert flat((128, 64, 32), chunk(b"gAMA", struct.pack(">I", 45_455))) == (128, 64, 32)
    assert flat((128, 64, 32), chunk(b"sRGB", b"\0"), gama) == (128, 64, 32)
    assert flat((200, 60, 60), wide, gama) == pytest.approx((218, 42, 52), abs=1)
    assert flat((200, 60, 60), chunk(b"cICP", b"\x0c\x0d\0\1")) == pytest.approx((218, 42, 52), abs=1)
    assert flat((200, 60, 60), chunk(b"cICP", b"\1\x0d\0\1"), wide) == (200, 60, 60)
    for unknown in (b"", b"\1", b"\2\2\2\2", b"\xff\xff\0\1"):
        assert of_cicp(unknown) == b""


def test_hdr_white_is_white() -> None:
    """PQ at 203 nits and HLG at 75 % are diffuse white (BT.2408); what is brighter is white too."""
    for signal, curve in ((148, 16), (191, 18), (255, 16), (255, 18)):
        assert flat((signal,) * 3, chunk(b"cICP", bytes((9, curve, 0, 1)))) == pytest.approx((255, 255, 255), abs=3)
    assert max(flat((40, 40, 40), chunk(b"cICP", b"\x09\x10\0\1"))) < 60


UNUSABLE = [b"", b"junk", DISPLAY_P3[:200], DISPLAY_P3[:-500], grey_profile(2.2), b"\0" * 9999]


@pytest.mark.parametrize("profile", UNUSABLE)
def test_a_profile_that_can_not_be_used_is_ignored(profile: bytes) -> None:
    """A broken one, and one of grey in a picture with colours."""
    for kind in KINDS:
        seen = decode(saved(scene(), kind, icc_profile=profile)).getpixel((80, 80))
        assert seen == pytest.approx((220, 40, 30), abs=3)


def test_a_picture_that_shows_nothing() -> None:
    """All of one colour but for the noise of an encoder, or fully transparent; a faint drawing is neither."""
    grey = Image.new("RGB", (64, 64), (90, 91, 92))
    clear = scene().convert("RGBA")
    clear.putalpha(0)
    assert [blank(decode(saved(grey, kind))) for kind in KINDS] == ["one colour"] * 3
    assert blank(decode(saved(clear, "PNG"))) == "transparent"
    grey.putpixel((3, 3), (96, 91, 92))
    assert [blank(each) for each in (grey, decode(PNG))] == ["", ""]
