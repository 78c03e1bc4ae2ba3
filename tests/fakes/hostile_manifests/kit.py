"""What the cases are made of: a good manifest, ways to spoil it, and what may lie beside it."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

GOOD = """\
version: 1
campaign: c
products:
  mugs:
    - {id: mug, name: Blue mug, images: {front: mug.png}, vars: {colour: blue}, tags: [hero]}
prompts:
  table: {text: "Place @Image1, a {{ product.name }}, on a table."}
"""
"""A good manifest; a case that starts with it adds what is wrong below."""
MANY = 290_000  # values, just under what a manifest may have
HUGE = 31 * 2**20  # bytes, just under what a file may have


@dataclass(frozen=True, slots=True)
class Case:
    """``text``: the manifest, or what makes it; ``words``: what must be said; ``files``: makes what lies beside it."""

    name: str
    text: str | bytes | Callable[[], str | bytes]
    words: str
    files: Callable[[Path], object] = lambda _: None

    def write(self, folder: Path) -> None:
        """Write ``m.yaml``, the picture that it names, and what else belongs to it."""
        (folder / "mug.png").write_bytes(png())
        text = self.text() if callable(self.text) else self.text
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        (folder / "m.yaml").write_bytes(data)
        self.files(folder)


def png(width: int = 320, height: int = 320) -> bytes:
    """A plain picture."""
    data = io.BytesIO()
    Image.new("RGB", (width, height), "blue").save(data, "PNG")
    return data.getvalue()


def bomb_png(side: int) -> bytes:
    """A small file that says it is an enormous picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def good(**changes: str) -> str:
    """The good manifest with some of its lines changed: the products, the prompts, or ``more`` below."""
    text = GOOD
    if "products" in changes:
        text = text.replace(
            text[text.index("products:") : text.index("prompts:")], f"products: {changes['products']}\n"
        )
    if "prompts" in changes:
        text = text[: text.index("prompts:")] + f"prompts: {changes['prompts']}\n"
    return text + changes.get("more", "")


def prompt(text: str, more: str = "") -> str:
    """The good manifest with another prompt."""
    return good(prompts="{table: {text: " + json.dumps(text) + more + "}}")


def path(written: str, more: str = "") -> str:
    """The good manifest with another output path."""
    return good(more=f"outputs: {{path: {json.dumps(written, ensure_ascii=False)}{more}}}\n")


def product(**keys: object) -> str:
    """The good manifest with one other product."""
    return good(products=json.dumps({"mugs": [{"id": "mug", "images": {"front": "mug.png"}} | keys]}))


def numbered(count: int, each: str, joint: str = "\n") -> str:
    """``each`` so many times, with its number in it."""
    return joint.join(each.replace("#", str(number)) for number in range(count))


def crowd(count: int, text: str = "a", more: str = "") -> str:
    """A manifest of so many products in one prompt."""
    products = "{mugs: [" + numbered(count, "{id: p#}", ",") + "]}"
    return good(products=products, prompts="{t: {text: " + text + "}}", more=more)


def beside(name: str, content: str | bytes | Callable[[], str]) -> Callable[[Path], object]:
    """Makes a file beside the manifest."""

    def make(folder: Path) -> None:
        text = content() if callable(content) else content
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)

    return make


def sparse(name: str, size: int) -> Callable[[Path], object]:
    """Makes a file of a size that takes no room."""

    def make(folder: Path) -> None:
        with (folder / name).open("wb") as out:
            out.truncate(size)

    return make


def fifo(name: str) -> Callable[[Path], object]:
    """Makes a pipe that nobody writes to: whoever opens it waits for ever."""
    return lambda folder: os.mkfifo(folder / name)


def link(name: str, to: str) -> Callable[[Path], object]:
    """Makes a link."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(to)

    return make


def from_file(name: str) -> str:
    """The good manifest with its products in a file of their own."""
    return good(products="{mugs: {from: " + json.dumps(name) + "}}")


ALIAS_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 40)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: *a{n - 1}}}\n" for n in range(1, 40))
MUCH = "expands to more than 300,000 values"
