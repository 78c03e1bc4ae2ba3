"""Pictures that come inside answers: every spelling of base64 is read, and what is no picture is none."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from fakes.campaign import run
from fakes.hostile import Asked, Hostile, Reply, campaign, hostile, picture, states

from pipeline.gateways import pictures
from pipeline.gateways.pictures import image

PNG = picture(1) + b"\xfb\xef\xbe\xff" * 3  # ends in "++" and "//": the alphabets differ in these
PLAIN = base64.b64encode(PNG).decode()
JPEG = b"\xff\xd8\xff\xe0 and so on"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 "


def lines(text: str, end: str) -> str:
    """A text in lines of 76 characters, each with its end."""
    return "".join(text[start : start + 76] + end for start in range(0, len(text), 76))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "no padding": lambda text: text.rstrip("="),
    "surplus padding": lambda text: text.rstrip("=") + "====",
    "lines": lambda text: lines(text, "\n"),
    "lines of Windows": lambda text: lines(text, "\r\n"),
    "old lines of a Mac": lambda text: lines(text, "\r"),
    "tabs and spaces": lambda text: "\t " + lines(text, "\n \t"),
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "URL-safe without padding": lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
    "data address": lambda text: f"data:image/png;base64,{text}",
    "data address without a type": lambda text: f"data:;base64,{text}",
    "data address of no picture's type": lambda text: f"data:application/octet-stream;base64,{text}",
    "upper case": lambda text: f"DATA:IMAGE/PNG;BASE64,{text}",
    "parameters": lambda text: f'data:image/png;charset=utf-8;name="a, b;c.png";base64,{text}',
    "spaces in its head": lambda text: f" data:image/png; base64 , {text}",
    "a type without data:": lambda text: f"image/png;base64,{text}",
    "data address in lines": lambda text: f"data:image/png;base64,\n{lines(text, chr(10))}",
    "base64 that does not say so": lambda text: f"data:image/png,{text}",
    "percent-encoded": lambda text: f"data:image/png;base64,{quote(text, safe='')}",
    "percent-encoded, all of it": lambda text: quote(f"data:image/png;base64,{text}", safe=""),
    "percent-encoded in lower case": lambda text: text.replace("+", "%2b").replace("/", "%2f").replace("=", "%3d"),
    "percent-encoded lines": lambda text: lines(text, "%0D%0A"),
    "JSON in JSON": json.dumps,
    "JSON with slashes escaped": lambda text: text.replace("/", "\\/"),
    "JSON in JSON, in lines": lambda text: json.dumps(lines(text, "\r\n")),
    "Unicode escapes": lambda text: text.replace("+", "\\u002b").replace("=", "\\u003D"),
    "everything at once": lambda text: json.dumps(
        "DATA:image/png;charset=utf-8;Base64," + lines(text.replace("+", "-").replace("/", "_").rstrip("="), "%0a\n")
    ),
}


@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_is_read(spell: Callable[[str], str], extra: int) -> None:
    """Byte for byte, for each of the three ways in which base64 can end."""
    data = PNG + b"\xff" * extra
    found = image(spell(base64.b64encode(data).decode()))
    assert found is not None
    assert (found.url, found.data) == (None, data)


def test_a_picture_without_base64_is_read() -> None:
    """All of its bytes percent-encoded, as RFC 2397 has it."""
    data = PNG + bytes(range(256))
    found = image(f"data:image/png,{quote_from_bytes(data)}")
    assert found is not None
    assert found.data == data


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP], ids=["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    "field", ["url", "imageURL", "image_url", "b64_json", "imageBase64Data", "imageDataURI", "base64", "file_data"]
)
@pytest.mark.parametrize("start", ["", "data:image/any;base64,"])
def test_every_field_takes_every_spelling(field: str, data: bytes, start: str) -> None:
    """A ``data:`` address where base64 is documented, base64 where a link is; empty fields beside it say nothing."""
    entry: dict[str, Any] = {"url": None, "b64_json": "", "imageURL": 7, field: start + base64.b64encode(data).decode()}
    found = image(entry)
    assert found is not None
    assert (found.url, found.data) == (None, data)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        True,
        [],
        {},
        [PLAIN],
        {"url": {"b64_json": PLAIN}},
        {"prompt": PLAIN},
        "",
        "   ",
        "====",
        "pending",
        "file:///etc/passwd",
        "data:",
        "data:image/png;base64,",
        "data:image/png;base64,AAAA",
        "data:text/html,<html>sorry</html>",
        "data:image/png;base64," + base64.b64encode(b"<html>sorry</html>").decode(),
        base64.b64encode(b"GIF89a").decode(),
        PLAIN[:-5] + "!!!!!",
        PLAIN[:80] + "=" + PLAIN[80:],
        PLAIN[: 4 * 30 + 1],
        PLAIN + "é",
        "\\" + PLAIN,
        PLAIN[:40] + '\\"' + PLAIN[40:],
        "data:image/png;base64," * 1000,
    ],
    ids=repr,
)
def test_what_is_no_picture_is_none(value: Any) -> None:
    """Words, other files, cut or broken base64, and fields that hold no picture."""
    assert image(value) is None


def test_a_large_picture_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few copies of it, also where every second character is a line break; above the limit it is not looked at."""
    data = PNG + bytes(3_000_000)
    text = "\n".join(base64.b64encode(data).decode())
    tracemalloc.start()
    try:
        found = image(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.data == data
    assert peak < 4 * len(text)
    monkeypatch.setattr(pictures, "MOST_CHARACTERS", len(text) - 1)
    assert image(text) is None


# ── end to end ──────────────────────────────────────────────────────────────────────────────────


ANSWERS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "aimlapi": ("submit", lambda text: {"data": [{"b64_json": text}]}),
    "fal": ("result", lambda text: {"images": [{"url": text}]}),
    "eachlabs": ("result", lambda text: {"status": "success", "output": [text]}),
}


@pytest.mark.parametrize("gateway", ["aimlapi", "fal", "eachlabs", "runware"])
@pytest.mark.parametrize("spelling", ["data address in lines", "URL-safe without padding", "plain"])
def test_an_inline_picture_is_made(tmp_path: Path, gateway: str, spelling: str) -> None:
    """It is the only copy of what was paid: made by the first run, paid once."""

    def inside(server: Hostile, asked: Asked) -> Reply | None:
        text = SPELLINGS[spelling](base64.b64encode(picture(1)).decode())
        kind, body = ANSWERS.get(gateway, ("result", None))
        if asked.kind != kind:
            return None
        if kind == "submit":
            server.accept(asked)
        if body is not None:
            return Reply(200, body(text))
        task = asked.task["taskUUID"]
        return Reply(200, {"data": [{"taskUUID": task, "imageUUID": "i", "imageBase64Data": text}]})

    with hostile(inside) as server:
        manifest = campaign(tmp_path, gateway)
        done = run(manifest, env=server.env)
        assert (done["made"], done["uncertain"], server.billed, states(manifest)) == (1, 0, 1, ["made"])
    (kept,) = (tmp_path / "out/test/.pipeline/originals").iterdir()
    assert kept.read_bytes() == picture(1)
