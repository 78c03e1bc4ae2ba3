"""Colours as people see them: pixels from the colour space that a file names to sRGB.

Browsers and viewers convert by the profile in a file, while JPEGs, WebPs and thumbnails that we make have none. So
everything that is encoded again is converted to sRGB first. A profile that is broken, or of another kind of colours
than the pixels, is ignored, as browsers do. They take no notice of the Exif fields of colour either.

What a PNG says comes in the order of PNG Specification (Third Edition) §4.3: cICP, iCCP, sRGB, then gAMA and cHRM.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

from PIL import Image, ImageCms

Point: TypeAlias = tuple[float, float]
Row: TypeAlias = tuple[float, float, float]
Matrix: TypeAlias = tuple[Row, Row, Row]

_D65: Point = (0.3127, 0.3290)
_SRGB: tuple[Point, Point, Point, Point] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_PRIMARIES = {
    1: _SRGB,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
"""ITU-T H.273 table 2: red, green, blue, white of BT.709, BT.2020, DCI-P3 and Display P3."""
_SRGB_GAMMA = 1 / 2.2
_NEAR = 0.05
"""Of a gamma: libpng takes one that is so near for the same (PNG_GAMMA_THRESHOLD_FIXED)."""
_D50: Row = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_STEPS = 1024  # of a tone curve
_WHITE_NITS = 203.0
"""Brightness of diffuse white (ITU-R BT.2408): what is brighter in an HDR picture is shown white."""
_SPACES = {"L": "GRAY", "CMYK": "CMYK"}
_SAME = 2  # of 255: a profile that moves no colour further is sRGB


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An L, RGB or CMYK picture as RGB in sRGB; ``profile`` (ICC) says what its numbers mean, empty: sRGB."""
    if profile and (converted := _converted(image, profile)) is not None:
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture converted; None where the profile can't be used, or is sRGB anyway."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if space != _SPACES.get(image.mode, "RGB"):
            return None
        # Perceptual, as the profile's maker meant it, and without black point compensation, as in browsers.
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, image.mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        if image.mode == "RGB" and _changes_nothing(transform):
            return None
        return transform.apply(image)
    except Exception:  # whatever the colour engine stumbles over: a broken profile is ignored
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    cube = bytes(value for number in range(216) for value in (number // 36 * 51, number // 6 % 6 * 51, number % 6 * 51))
    same = transform.apply(Image.frombytes("RGB", (216, 1), cube)).tobytes()
    return max(abs(a - b) for a, b in zip(cube, same, strict=True)) <= _SAME


# ── what PNG chunks say, as a profile ───────────────────────────────────────────────────────────


def of_cicp(cicp: bytes) -> bytes:
    """The profile that a PNG's cICP chunk names (ITU-T H.273); empty for sRGB, or where it is none that we know."""
    if len(cicp) != 4 or cicp[2] != 0 or cicp[0] not in _PRIMARIES or cicp[1] not in _CURVES:
        return b""
    return b"" if cicp[0] == 1 and cicp[1] == 13 else _profile(_PRIMARIES[cicp[0]], _CURVES[cicp[1]])


def of_gamma(gama: bytes, chrm: bytes) -> bytes:
    """The profile that a PNG's gAMA and cHRM chunks describe; empty for sRGB. What one of them lacks is sRGB's."""
    gamma = int.from_bytes(gama, "big") / 100_000 if len(gama) == 4 else 0.0
    numbers = [value / 100_000 for value in struct.unpack(">8I", chrm)] if len(chrm) == 32 else []
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    white, *primaries = points or [_D65, *_SRGB[:3]]
    near = all(
        abs(a - b) < 0.002 for ours, own in zip(primaries, _SRGB, strict=False) for a, b in zip(ours, own, strict=True)
    )
    plain = not gamma or abs(gamma / _SRGB_GAMMA - 1) < _NEAR
    if (near and plain) or gamma > 10:
        return b""
    try:
        return _profile((*primaries, white), _srgb_curve if plain else lambda value: value ** (1 / gamma))
    except (ArithmeticError, struct.error):  # points that make no triangle
        return b""


def _srgb_curve(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def _bt709_curve(value: float) -> float:
    """BT.709 as it is shown (BT.1886), and not as it was filmed."""
    return math.pow(value, 2.4)


def _pq_curve(value: float) -> float:
    """SMPTE ST 2084, 1 for diffuse white."""
    root = math.pow(value, 1 / 78.84375)
    light = math.pow(max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root), 1 / 0.1593017578125)
    return light * 10_000 / _WHITE_NITS


def _hlg_curve(value: float) -> float:
    """ARIB STD-B67 at 1000 nits, 1 for diffuse white, which is 75 % of the signal (BT.2408)."""

    def light(signal: float) -> float:
        bright = (math.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        return signal * signal / 3 if signal <= 0.5 else bright

    return math.pow(light(value) / light(0.75), 1.2)


_CURVES: dict[int, Callable[[float], float]] = {
    **dict.fromkeys((1, 6, 14, 15), _bt709_curve),
    4: lambda value: value**2.2,
    5: lambda value: value**2.8,
    8: lambda value: value,
    13: _srgb_curve,
    16: _pq_curve,
    18: _hlg_curve,
}
"""ITU-T H.273 table 3: from the signal to light, each from 0 to 1."""


def _profile(points: Sequence[Point], curve: Callable[[float], float]) -> bytes:
    """An ICC profile (version 2, ICC.1:2001-04) of a display with these points and this tone curve."""
    columns = _to_d50(points)
    table = b"".join(struct.pack(">H", round(min(1.0, curve(step / (_STEPS - 1))) * 65535)) for step in range(_STEPS))
    tone = b"curv\0\0\0\0" + struct.pack(">I", _STEPS) + table
    tags = {b"wtpt": _xyz(_D50), b"rXYZ": _xyz(columns[0]), b"gXYZ": _xyz(columns[1]), b"bXYZ": _xyz(columns[2])}
    tags |= {b"rTRC": tone, b"gTRC": tone, b"bTRC": tone}
    at, index = 132 + 12 * len(tags), b""
    for name, body in tags.items():
        index += name + struct.pack(">II", at, len(body))
        at += len(body)
    head = struct.pack(">I4sI4s4s4s", at, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ").ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(round(value * 65536) for value in _D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + b"".join(tags.values())


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _to_d50(points: Sequence[Point]) -> Matrix:
    """Red, green and blue in XYZ, as ICC profiles have them: their sum is D50, adapted by Bradford's matrix."""
    *primaries, white = ((x / y, 1.0, (1 - x - y) / y) for x, y in points)
    wanted = _times(_BRADFORD, white)
    matrix = _turned(primaries[0], primaries[1], primaries[2])
    amounts = _solved(matrix, white)
    lights = [tuple(value * amount for value in primary) for primary, amount in zip(primaries, amounts, strict=True)]
    ratios = [new / old for new, old in zip(_times(_BRADFORD, _D50), wanted, strict=True)]
    found = []
    for light in lights:
        cones = _times(_BRADFORD, (light[0], light[1], light[2]))
        found.append(_solved(_BRADFORD, (cones[0] * ratios[0], cones[1] * ratios[1], cones[2] * ratios[2])))
    return found[0], found[1], found[2]


def _times(matrix: Matrix, value: Row) -> Row:
    a, b, c = (sum(x * y for x, y in zip(row, value, strict=True)) for row in matrix)
    return a, b, c


def _turned(a: Row, b: Row, c: Row) -> Matrix:
    return (a[0], b[0], c[0]), (a[1], b[1], c[1]), (a[2], b[2], c[2])


def _solved(matrix: Matrix, value: Row) -> Row:
    """The x of matrix · x = value, by Cramer's rule."""
    columns = _turned(*matrix)
    whole = _volume(*columns)
    a, b, c = columns
    return _volume(value, b, c) / whole, _volume(a, value, c) / whole, _volume(a, b, value) / whole


def _volume(a: Row, b: Row, c: Row) -> float:
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])
