"""The data plane: one picture from wherever it is to verified files on disk.

:func:`finish` is pure in the sense that counts: called again with the same job it makes the same files, so it may
be run anywhere, any number of times, by any ``concurrent.futures.Executor``. It holds no key and costs nothing.
"Done" means: fetched whole, decoded to the last pixel, of a known format, of the asked shape, written under a
temporary name, synced, and renamed. A whole picture that is not what was asked for is kept aside, and a failure of
this machine is never taken for one of the picture: either may be paid.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from PIL import Image

from pipeline import fetching
from pipeline.addresses import PUBLIC, Reach
from pipeline.aside import set_aside
from pipeline.decoding import as_seen, blank, decode, is_upright, is_whole
from pipeline.errors import DownloadError, ForeignFile, KeepError, MediaError, WrongPicture
from pipeline.files import write_whole
from pipeline.kinds import kind_of
from pipeline.paths import check_inside, read_bytes
from pipeline.proof import Proof, render
from pipeline.types import EXTENSION, RemoteImage

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of one fetched picture, at most; the largest documented size (3104×1312) is 16 MB uncompressed."""
MAX_SIDE = 16_383
"""Pixels: the longest side of a WebP."""
RATIO_TOLERANCE = 0.05
"""Runware's own sizes are up to 1.5 % off the ratio they are named for (1552×656 is 2.366, 21:9 is 2.333)."""
THUMB_BOX = (600, 400)
"""Pixels of a thumbnail, at most: sharp at the size of a tile, some 20 kB."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """A file to derive from an original: where, in which format, at which encoder quality (0: lossless).

    ``known``: the hash of what we last wrote there, if anything: what else lies there is a person's, and set aside.
    """

    path: str
    format: str
    quality: int
    known: str = ""


@dataclass(frozen=True, slots=True)
class PictureJob:
    """What :func:`finish` needs. ``image`` is what to fetch or draw; without one, the kept original is read again.

    ``stem`` is the path of the kept original without its extension, ``ratio`` width ÷ height as asked (None: any),
    ``pixels`` about how many were asked for, ``least`` the fewest that will do (0: any number),
    ``sha256`` the known hash of the original when it was made before, ``copies`` files that may hold the same bytes,
    ``reach`` where it may be fetched from, ``root`` the output folder, which no link may lead out of.
    """

    stem: str
    image: RemoteImage | None
    proof: Proof | None
    ratio: float | None
    renditions: tuple[Rendition, ...]
    thumb: str
    pixels: int = 0
    least: int = 0
    sha256: str | None = None
    copies: tuple[str, ...] = ()
    reach: Reach = PUBLIC
    root: str = ""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as written: path, SHA-256, size, and modification time in ns (to see later that it is untouched).

    ``aside``: where a person's file lies now that was in its place, if there was one.
    """

    path: str
    sha256: str
    bytes: int
    mtime_ns: int
    aside: str = ""


@dataclass(frozen=True, slots=True)
class FinishedPicture:
    """The verified original and its renditions.

    ``blank``: ``one colour`` or ``transparent``, of a fetched one that shows nothing.
    """

    original: WrittenFile
    format: str
    width: int
    height: int
    renditions: tuple[WrittenFile, ...]
    blank: str = ""


def finish(job: PictureJob) -> FinishedPicture:
    """Fetch or draw a picture, verify it, keep the original, and write its renditions and thumbnail.

    Raises:
        DownloadError: when it can't be fetched whole.
        WrongPicture: when it is whole, but not what was asked for; its bytes are kept beside its first file.
        MediaError: when the bytes are no acceptable picture.
        KeepError: when this machine can't decode, encode or write it, though the picture may be whole.
        OSError: when a file can't be written.
    """
    try:
        return _finished(job)
    except (MediaError, KeepError, OSError):
        raise
    except Exception as error:  # the bytes are decoded by now: what fails after that is on our side
        raise KeepError(f"the picture can't be encoded or written here ({type(error).__name__}: {error})") from None


def _finished(job: PictureJob) -> FinishedPicture:
    image: Image.Image
    if job.image is None:
        data, kept = _kept(job)
        image = decode(data, still=False)
    elif job.proof is not None:
        image = _drawn(job.proof)
        data, kept = encode(image, "png", 0), None
        image.format = "PNG"
    else:
        (data, image), kept = _fetched(job), None
    # What lies on its side for a program that reads no Exif data is written upright, also in its own format.
    upright = job.proof is not None or is_upright(data)
    kind = str(image.format).lower()
    original = kept or write(f"{job.stem}.{EXTENSION[kind]}", data, job.root)
    renditions = []
    for rendition in job.renditions:
        same = rendition.format == kind and upright
        content = data if same else encode(image, rendition.format, rendition.quality)
        renditions.append(_write_rendition(rendition, content, job.root))
    if kept is None or not Path(job.thumb).is_file():
        write(job.thumb, thumbnail(image), job.root)
    fetched = job.image is not None and job.proof is None
    return FinishedPicture(
        original, kind, image.width, image.height, tuple(renditions), blank(image) if fetched else ""
    )


def _fetched(job: PictureJob) -> tuple[bytes, Image.Image]:
    """A generated image's bytes, whole and as asked; what comes damaged over the network may come whole next time."""
    remote = job.image or RemoteImage()
    data = download(str(remote.url), job.reach) if remote.data is None else remote.data
    try:
        image = decode(data, 4 * job.pixels)
        check_shape(image.size, job.ratio, job.least)
    except WrongPicture as error:
        raise _kept_aside(job, data, str(error)) from None
    except ForeignFile as error:
        words = f"the gateway sent something else: {error}; {error.hint}"
        if error.extension:
            raise _kept_aside(job, data, words, error.extension) from None
        raise (MediaError if remote.url is None else DownloadError)(words) from None
    except MediaError as error:
        if remote.url is not None:
            raise DownloadError(f"what was fetched is no whole picture: {error}") from None
        raise
    return data, image


def _kept_aside(job: PictureJob, data: bytes, fact: str, extension: str = "") -> WrongPicture:
    """Keep a paid picture that is not what was asked for; the error says where, and what can be done with it.

    ``extension``: what its files are called, where it is in a format that must be converted first.
    """
    stem = Path(job.renditions[0].path).with_suffix("") if job.renditions else Path(job.stem)
    takes = "takes what you made of it" if extension else "takes it as it is"
    extension = extension or EXTENSION[kind_of(data) or "png"]
    if job.root:
        check_inside(job.root, str(stem))
    stem.parent.mkdir(parents=True, exist_ok=True)
    kept = set_aside(stem.with_name(f"{stem.name}.{extension}"), "wrong", data)
    return WrongPicture(f"{fact}; kept as {kept}: `pipeline adopt` {takes}, --retry-failed pays for another")


def _drawn(proof: Proof) -> Image.Image:
    try:
        return render(proof)
    except (OSError, ValueError) as error:
        raise MediaError(f"a reference can't be drawn: {error}") from None


def _kept(job: PictureJob) -> tuple[bytes, WrittenFile | None]:
    """The original's bytes, from the kept file or from an intact copy of it."""
    for path in (*(f"{job.stem}.{extension}" for extension in EXTENSION.values()), *job.copies):
        try:
            data = Path(path).read_bytes()
            stat = Path(path).stat()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == job.sha256:
            own = path.startswith(f"{job.stem}.")
            return data, WrittenFile(path, str(job.sha256), len(data), stat.st_mtime_ns) if own else None
    raise MediaError("the kept original is gone or damaged: the picture must be made anew")


def check_shape(size: tuple[int, int], ratio: float | None, least: int = 0) -> None:
    """Whether a picture has the asked ratio, and at least so many pixels.

    Raises:
        WrongPicture: when its ratio is more than 5 % off, when it is too small, or has a side that no format can hold.
    """
    width, height = size
    if max(size) > MAX_SIDE:
        raise WrongPicture(f"the picture is {width}×{height}: no side may be over {MAX_SIDE:,} pixels")
    if ratio is not None and abs(width / height / ratio - 1) > RATIO_TOLERANCE:
        raise WrongPicture(
            f"the picture has the wrong ratio: it is {width}×{height} ({width / height:.2f}), "
            f"and {ratio:.2f} was asked for"
        )
    if width * height < least:
        raise WrongPicture(
            f"the picture is too small: it is {width}×{height} ({width * height:,} pixels), "
            f"and at least {least:,} pixels were expected for this resolution"
        )


def encode(image: Image.Image, kind: str, quality: int) -> bytes:
    """A picture's bytes in a format: PNG lossless, JPEG flattened on white, WebP lossy."""
    out, seen = io.BytesIO(), as_seen(image)
    if kind == "png":
        # Level 1: a third of the size costs a fifth of the time of level 6, and originals are many.
        seen.save(out, "PNG", compress_level=1)
    elif kind == "jpeg":
        (_flat(seen) if seen.mode == "RGBA" else seen).save(out, "JPEG", quality=quality, progressive=True)
    else:
        seen.save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def _flat(image: Image.Image) -> Image.Image:
    """The picture without transparency, on white."""
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def thumbnail(image: Image.Image, box: tuple[int, int] = THUMB_BOX) -> bytes:
    """A small WebP that fits into ``box`` (width, height in pixels)."""
    small = as_seen(image).copy()
    small.thumbnail(box, reducing_gap=2.0)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=78, method=4)
    return out.getvalue()


def write(path: str, data: bytes, root: str = "") -> WrittenFile:
    """Write a file so that its final name never holds half of it, and not where a link leads out of ``root``."""
    target = Path(path)
    if root:
        check_inside(root, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if root:  # again: the folder may have come into being in between
        check_inside(root, path)
    stat = write_whole(target, data)
    return WrittenFile(path, hashlib.sha256(data).hexdigest(), len(data), stat.st_mtime_ns)


def _write_rendition(rendition: Rendition, content: bytes, root: str) -> WrittenFile:
    """Write an output file; a picture that lies there and is not ours is set aside first."""
    aside = spare(rendition.path, (rendition.known, hashlib.sha256(content).hexdigest()), root)
    return replace(write(rendition.path, content, root), aside=aside)


def spare(path: str, ours: Collection[str], root: str) -> str:
    """Set a file aside that a person put or changed there, before it is overwritten; returns where it lies, or nothing.

    ``ours``: hashes of what we wrote, or are about to write. What is no whole picture is damaged, and not spared.
    """
    target = Path(path)
    if not target.is_file():
        return ""
    if root:
        check_inside(root, path)
    try:
        if hashlib.sha256(target.read_bytes()).hexdigest() in ours or not is_picture(target):
            return ""
    except OSError:  # what can't be read may be anybody's
        pass
    return str(set_aside(target, "edited"))


def is_picture(path: Path) -> bool:
    """Whether a file is a whole picture, also one that no gateway would be believed to have made."""
    try:
        data = read_bytes(path, MAX_BYTES + 1)
    except OSError:
        return False
    if len(data) > MAX_BYTES:  # no damage makes a file of ours so large
        return True
    try:
        decode(data, still=False)
    except WrongPicture:  # an upscaled one
        return True
    except ForeignFile as error:  # exported in another format
        return error.extension != ""
    except Exception:  # whatever Pillow stumbles over
        return False
    return True


def download(url: str, reach: Reach = PUBLIC) -> bytes:
    """:func:`fetch`, for whoever has no event loop."""
    return anyio.run(fetch, url, reach)


async def fetch(url: str, reach: Reach = PUBLIC) -> bytes:
    """Fetch a picture (:func:`pipeline.fetching.fetch`).

    Raises:
        DownloadError: when it can't be had.
    """
    return await fetching.fetch(url, reach, MAX_BYTES, is_whole)
