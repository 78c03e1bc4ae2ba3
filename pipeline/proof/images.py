"""The reference images of a proof: decoded once, small, upright, RGB or RGBA."""

from __future__ import annotations

import functools
import io
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps, ImageStat

from pipeline.decoding import as_seen, opened
from pipeline.errors import MediaError, WrongPicture
from pipeline.kinds import kind_of
from pipeline.paths import read_bytes
from pipeline.proof.ink import font, plain, shorten

# How everything in a proof is scaled.
FAST = Image.Resampling.BILINEAR
SMOOTH = Image.Resampling.BICUBIC
SHARP = Image.Resampling.HAMMING  # no ringing: Lanczos puts a pale rim around cut-outs

_LONGEST = 1280  # pixels kept of a reference: enough for a hero at 2K, and 6 MB at most in the cache
MAX_BYTES = 64 * 2**20
"""Of a reference's file, at most."""
_OTHERS = ("GIF", "TIFF", "BMP")  # no manifest can name them
_TEXTURES = ("surface", "fabric")  # the roles that say so, whatever the picture looks like


@dataclass(frozen=True, slots=True)
class Reference:
    """One slot's picture. The image is shared between threads: never drawn upon."""

    slot: int
    image: Image.Image  # RGBA cropped to what is visible, or RGB
    texture: bool  # looks the same everywhere: fabric, wood, stone
    role: str = ""  # what the manifest says it is for: "surface" and "fabric" mean something here

    @property
    def cutout(self) -> bool:
        """Whether it is an object without a background."""
        return self.image.mode == "RGBA"


def load(source: str, slot: int, role: str | None = None) -> Reference:
    """Load a reference by its path, or draw a placeholder card for an http(s) URL, which is never fetched.

    Raises ``OSError`` when the file is missing or broken, ``ValueError`` when Pillow refuses it.
    """
    if source.lower().startswith(("http://", "https://")):
        return Reference(slot, _placeholder(source), texture=False)
    status = Path(source).stat()
    image, texture = _decode(source, status.st_mtime_ns, status.st_size)
    named = (role or "").strip().lower()
    if named in _TEXTURES and image.mode == "RGB" and not texture:  # its middle, then, without what is around it
        across, down = image.width // 5, image.height // 5
        image, texture = image.crop((across, down, image.width - across, image.height - down)), True
    return Reference(slot, image, texture, named)


@functools.lru_cache(maxsize=16)
def _decode(path: str, _mtime_ns: int, _size: int) -> tuple[Image.Image, bool]:
    try:
        data = read_bytes(Path(path), MAX_BYTES)
        if kind_of(data):
            found = opened(data)
            found.image.draft(None, (_LONGEST, _LONGEST))
            image = found.seen()
        else:
            image = as_seen(ImageOps.exif_transpose(Image.open(io.BytesIO(data), formats=_OTHERS)))
        image = _small(_cut_out(image))
    except (WrongPicture, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path}: {error}") from error
    except (MediaError, SyntaxError, EOFError, struct.error) as error:  # how some decoders say "broken"
        raise OSError(f"{path}: {error}") from error
    return image, image.mode == "RGB" and _is_texture(image)


def _cut_out(clear: Image.Image) -> Image.Image:
    """RGB, or RGBA cropped to what is visible when something can be seen through."""
    if clear.mode == "RGB":
        return clear
    alpha = clear.getchannel("A")
    if not any(alpha.histogram()[:250]):
        return clear.convert("RGB")
    faded = alpha.point([max(0, round((v - 12) * 255 / 243)) for v in range(256)])
    box = faded.getbbox()  # without the faintest part of a shadow, and so without an edge where it is cut
    if box is None:  # nothing to be seen: a blank card says so
        return Image.new("RGB", clear.size, "white")
    clear.putalpha(faded)
    return clear.crop(box)


def _small(image: Image.Image) -> Image.Image:
    scale = _LONGEST / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _is_texture(image: Image.Image) -> bool:
    """Tell whether sixteen large patches hardly differ: in colour, or but for a sheen, with grain in each."""
    patches = image.resize((4, 4), Image.Resampling.BOX)
    if max(ImageStat.Stat(patches).stddev) < 11:
        return True
    light, *hues = ImageStat.Stat(patches.convert("YCbCr")).stddev
    close = image.convert("L").resize((256, 256), FAST, reducing_gap=2.0)
    grain = ImageChops.difference(close, close.filter(ImageFilter.BoxBlur(8)))
    return light < 24 and max(hues) < 6.5 and ImageStat.Stat(grain).mean[0] > 3


def _placeholder(url: str) -> Image.Image:
    """Draw a card that names a remote image."""
    card = Image.new("RGB", (640, 480), (226, 225, 221))
    draw = ImageDraw.Draw(card)
    draw.line((0, 0, 640, 480), (214, 212, 207), 3)
    draw.line((0, 480, 640, 0), (214, 212, 207), 3)
    draw.rounded_rectangle((70, 165, 570, 315), 14, (236, 235, 231))
    parts = urlsplit(url)
    name = plain(PurePosixPath(parts.path).name) or "image"
    draw.text((320, 215), shorten(name, 460, font(40)), (70, 68, 64), font(40), anchor="mm")
    host = plain(parts.hostname or "") or "remote image"
    draw.text((320, 272), shorten(host, 460, font(28)), (130, 127, 121), font(28), anchor="mm")
    return card
