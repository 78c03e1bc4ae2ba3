"""A picture as people see it: upright, in sRGB, RGB or RGBA with eight bits, whatever the file is like.

The one place where pictures are decoded: results, references, proofs, thumbnails and previews. Orientation (Exif) is
applied here, once, and so are colour profiles. Files are taken apart first (:mod:`pipeline.containers`), so Pillow sees
neither texts nor trailers, and its limits on them don't matter.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFile, UnidentifiedImageError

from pipeline import colour
from pipeline.containers import Container, damage, exif, frames, icc, pixels, split
from pipeline.errors import ForeignFile, KeepError, MediaError, WrongPicture
from pipeline.kinds import codec_fault, described, kind_of

MAX_PIXELS = 64_000_000
_LEAST = 26
"""Bytes of the smallest WebP; no picture in any of the formats is shorter."""
_FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Exif 2.32, tag 0x0112 → what makes the picture upright."""
_FLAT = 2
"""Of 255: a picture without a greater difference is of one colour; lossy formats move it so far."""
_ANIMATED = {"png": "an animated PNG (APNG)", "webp": "an animated WebP"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture file whose parts are all there; its pixels are not decoded yet."""

    file: Container
    image: Image.Image
    orientation: int
    frames: int

    @property
    def kind(self) -> str:
        """``png``, ``jpeg`` or ``webp``."""
        return self.file.kind

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        width, height = self.image.size
        return (height, width) if self.orientation > 4 else (width, height)

    @property
    def animation(self) -> str:
        """What it is, where it has several frames."""
        return f"{_ANIMATED[self.kind]} of {self.frames:,} frames" if self.frames > 1 else ""

    def seen(self) -> Image.Image:
        """The picture (of an animation: its first frame), upright, in sRGB, as RGB, or RGBA with transparency."""
        self.image.load()
        image = as_seen(self.image, _profile(self.file))
        if self.orientation in _TURNS:
            image = image.transpose(_TURNS[self.orientation])
        image.info = {}  # else Pillow would write a profile or a transparent colour that isn't the picture's any more
        return image


def opened(data: bytes) -> Opened:
    """Take a picture file apart and read its header.

    Raises:
        ForeignFile: when it is of another kind.
        WrongPicture: when it has too many pixels.
        MediaError: when it isn't all there, or no whole PNG, JPEG or WebP for another reason.
        KeepError: when this machine can't decode it.
    """
    kind = kind_of(data)
    if not kind:
        raise described(data)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise KeepError("Pillow is set to accept truncated pictures (ImageFile.LOAD_TRUNCATED_IMAGES)")
    if why := codec_fault(kind):
        raise KeepError(f"the picture is a {kind}, and {why}")
    if len(data) < _LEAST:
        raise MediaError("is no PNG, JPEG or WebP picture, but the beginning of one: it ends early")
    file = split(data, kind)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(pixels(file)), formats=[_FORMATS[kind]])
    except UnidentifiedImageError:
        raise MediaError("is no PNG, JPEG or WebP picture that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise WrongPicture("has too many pixels") from None
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise MediaError(f"is damaged: {error}") from None
    return Opened(file, image, _orientation(exif(file)), frames(file))


def decode(data: bytes, most: int = 0, *, still: bool = True) -> Image.Image:
    """A picture as people see it, decoded whole; its ``format`` is Pillow's name of the file's.

    ``most``: pixels that it may have (0: any sane number). ``still``: several frames are refused; else the
    first is taken.

    Raises:
        WrongPicture: for one that has several frames, or more pixels than it may have.
        ForeignFile: for a file of another kind.
        MediaError: for anything else but one whole PNG, JPEG or WebP picture.
        KeepError: when this machine can't decode it.
    """
    try:
        found = opened(data)
    except ForeignFile as error:
        raise ForeignFile(f"the file {error}", error.hint, error.extension) from None
    except MediaError as error:
        raise type(error)(f"the picture {error}") from None
    width, height = found.image.size
    if width * height > (most or MAX_PIXELS):  # before it takes the memory
        raise WrongPicture(f"the picture has {width}×{height} pixels: far more than asked for")
    if still and found.animation:
        raise WrongPicture(f"the picture has several frames: it is {found.animation}")
    if flaw := damage(found.file):
        raise MediaError(f"the picture {flaw}")
    try:
        image = found.seen()
    except MemoryError:
        raise KeepError("there is not enough memory to decode the picture") from None
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise MediaError(f"the picture is damaged: {error}") from None
    image.format = _FORMATS[found.kind]
    return image


def blank(image: Image.Image) -> str:
    """What is strange about a decoded picture that shows nothing: ``transparent``, ``one colour``, or nothing."""
    spans = [span if isinstance(span, tuple) else (span, span) for span in image.getextrema()]
    if image.mode == "RGBA" and spans[3][1] == 0:
        return "transparent"
    return "one colour" if all(high - low <= _FLAT for low, high in spans) else ""


def is_upright(data: bytes) -> bool:
    """Whether a whole picture file needs no turning."""
    return _orientation(exif(split(data, kind_of(data)))) == 1


def as_seen(image: Image.Image, profile: bytes = b"") -> Image.Image:
    """A picture of any mode in sRGB, with eight bits: RGB, or RGBA where it has transparency."""
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    transparent = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(transparent, tuple) and max(transparent) > 255:
        image.load()  # of 16 bits each, of which Pillow keeps the upper eight
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    if not image.has_transparency_data:
        flat = image if image.mode in ("RGB", "CMYK") else image.convert("L" if image.mode in ("1", "L") else "RGB")
        return colour.to_srgb(flat, profile)
    whole = image.convert("RGBA")
    grey = profile and image.mode in ("1", "L", "LA")
    if not profile:
        return whole
    seen = colour.to_srgb(whole.getchannel("R") if grey else whole.convert("RGB"), profile).convert("RGBA")
    seen.putalpha(whole.getchannel("A"))
    return seen


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits with eight, and its transparent grey as an alpha channel: Pillow cuts off what is over 255."""
    image.load()
    if image.mode != "I;16":
        image = image.convert("I").convert("I;16")
    raw = image.tobytes()  # the lower byte first
    low, high = (Image.frombytes("L", image.size, raw[first::2]) for first in (0, 1))
    grey = image.info.get("transparency")
    if not isinstance(grey, int):
        return high
    parts = [
        half.point([255 * (v != wanted) for v in range(256)]) for half, wanted in ((high, grey >> 8), (low, grey & 255))
    ]
    return Image.merge("LA", (high, ImageChops.lighter(*parts)))


def _profile(file: Container) -> bytes:
    """The ICC profile that says what a file's numbers mean; empty for sRGB."""
    if file.kind != "png":
        return icc(file)
    if cicp := file.body(b"cICP"):
        return colour.of_cicp(cicp)
    return icc(file) or (b"" if file.body(b"sRGB") else colour.of_gamma(file.body(b"gAMA"), file.body(b"cHRM")))


def _orientation(data: bytes) -> int:
    """1 to 8, as Exif says it; 1 where it says nothing that can be read."""
    if not data:
        return 1
    found = Image.Exif()
    try:
        found.load(data)
        value = found.get(_ORIENTATION, 1)
    except Exception:  # whatever broken Exif data makes Pillow stumble
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def is_whole(data: bytes) -> bool:
    """Whether bytes are a picture from its first byte to its end."""
    try:
        decode(data)
    except Exception:  # whatever Pillow stumbles over
        return False
    return True
