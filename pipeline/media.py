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
import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from PIL import Image, ImageFile, UnidentifiedImageError

from pipeline import fetching
from pipeline.addresses import PUBLIC, Reach
from pipeline.aside import set_aside
from pipeline.errors import DownloadError, KeepError, MediaError, WrongPicture
from pipeline.files import write_whole
from pipeline.kinds import codec_fault, kind_of
from pipeline.paths import check_inside, read_bytes
from pipeline.proof import Proof, render
from pipeline.types import EXTENSION, RemoteImage

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of one fetched picture, at most; the largest documented size (3104×1312) is 16 MB uncompressed."""
MAX_PIXELS = 64_000_000
MAX_SIDE = 16_383
"""Pixels: the longest side of a WebP."""
RATIO_TOLERANCE = 0.05
"""Runware's own sizes are up to 1.5 % off the ratio they are named for (1552×656 is 2.366, 21:9 is 2.333)."""
THUMB_BOX = (600, 400)
"""Pixels of a thumbnail, at most: sharp at the size of a tile, some 20 kB."""

_FORMATS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}


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
    """The verified original and its renditions."""

    original: WrittenFile
    format: str
    width: int
    height: int
    renditions: tuple[WrittenFile, ...]


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
        image = decode(data)
    elif job.proof is not None:
        image = _drawn(job.proof)
        data, kept = encode(image, "png", 0), None
        image.format = "PNG"
    else:
        (data, image), kept = _fetched(job), None
    kind = _FORMATS[str(image.format)]
    original = kept or write(f"{job.stem}.{EXTENSION[kind]}", data, job.root)
    renditions = []
    for rendition in job.renditions:
        same = rendition.format == kind
        content = data if same else encode(image, rendition.format, rendition.quality)
        renditions.append(_write_rendition(rendition, content, job.root))
    if kept is None or not Path(job.thumb).is_file():
        write(job.thumb, thumbnail(image), job.root)
    return FinishedPicture(original, kind, image.width, image.height, tuple(renditions))


def _fetched(job: PictureJob) -> tuple[bytes, Image.Image]:
    """A generated image's bytes, whole and as asked; what comes damaged over the network may come whole next time."""
    remote = job.image or RemoteImage()
    data = download(str(remote.url), job.reach) if remote.data is None else remote.data
    try:
        image = decode(data, job.pixels)
    except MediaError as error:
        if remote.url is not None:
            raise DownloadError(f"what was fetched is no whole picture: {error}") from None
        raise _kept_aside(job, data, error) if isinstance(error, WrongPicture) else error from None
    try:
        check_shape(image.size, job.ratio, job.least)
    except WrongPicture as error:
        raise _kept_aside(job, data, error) from None
    return data, image


def _kept_aside(job: PictureJob, data: bytes, error: WrongPicture) -> WrongPicture:
    """Keep a paid picture that is not what was asked for; the error then says where, and what can be done with it."""
    stem = Path(job.renditions[0].path).with_suffix("") if job.renditions else Path(job.stem)
    extension = EXTENSION[kind_of(data) or "png"]
    if job.root:
        check_inside(job.root, str(stem))
    stem.parent.mkdir(parents=True, exist_ok=True)
    kept = set_aside(stem.with_name(f"{stem.name}.{extension}"), "wrong", data)
    return WrongPicture(f"{error}; kept as {kept}: `pipeline adopt` takes it as it is, --retry-failed pays for another")


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


def decode(data: bytes, pixels: int = 0) -> Image.Image:
    """A picture from its bytes, decoded whole; ``pixels``: about how many are expected (0: any sane number).

    Pillow's ``verify`` accepts half a JPEG, and ``load`` accepts a PNG without its end: both are needed, and neither
    misses a file's very last bytes.

    Raises:
        WrongPicture: for one that has several frames, or far more pixels than were asked for.
        MediaError: for anything else but one whole PNG, JPEG or WebP frame of a sane size.
        KeepError: when this machine can't decode it.
    """
    if not data:
        raise MediaError("the file is empty")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise KeepError("Pillow is set to accept truncated pictures (ImageFile.LOAD_TRUNCATED_IMAGES)")
    if (kind := kind_of(data)) and (why := codec_fault(kind)):
        raise KeepError(f"the picture is a {kind}, and {why}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as probe:
                if probe.width * probe.height > (4 * pixels or MAX_PIXELS):  # before it takes the memory
                    raise WrongPicture(f"the picture has {probe.width}×{probe.height} pixels: far more than asked for")
                if getattr(probe, "n_frames", 1) != 1:
                    raise WrongPicture("the picture has several frames")
                probe.verify()
            image = Image.open(io.BytesIO(data), formats=tuple(_FORMATS))
            image.load()
            _plain(image, alpha=True)  # a palette may lack colours that its pixels name
    except UnidentifiedImageError:
        raise MediaError("the bytes are no PNG, JPEG or WebP picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError("the picture has too many pixels") from None
    except MemoryError:
        raise KeepError("there is not enough memory to decode the picture") from None
    except MediaError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise MediaError(f"the picture is damaged: {error}") from None
    if not _ended(data, str(image.format)):
        raise MediaError("the picture ends early")
    return image


def _ended(data: bytes, kind: str) -> bool:
    """Whether a file has the mark of its end, after its last scan if it is a JPEG; a WebP says its length itself."""
    if kind == "PNG":
        return b"IEND\xaeB`\x82" in data
    return kind != "JPEG" or data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) >= 0


def encode(image: Image.Image, kind: str, quality: int) -> bytes:
    """A picture's bytes in a format: PNG lossless, JPEG flattened on white, WebP lossy."""
    out = io.BytesIO()
    if kind == "png":
        # Level 1: a third of the size costs a fifth of the time of level 6, and originals are many.
        _plain(image, alpha=True).save(out, "PNG", compress_level=1)
    elif kind == "jpeg":
        _plain(image, alpha=False).save(out, "JPEG", quality=quality, progressive=True)
    else:
        _plain(image, alpha=True).save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def _plain(image: Image.Image, *, alpha: bool) -> Image.Image:
    """RGB, or RGBA where the picture has transparency and the format keeps it."""
    transparent = image.has_transparency_data
    if not transparent:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    if alpha:
        return rgba
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def thumbnail(image: Image.Image, box: tuple[int, int] = THUMB_BOX) -> bytes:
    """A small WebP that fits into ``box`` (width, height in pixels)."""
    small = _plain(image, alpha=True).copy()
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
        decode(data)
    except Exception:  # whatever Pillow stumbles over
        return _is_larger(data)
    return True


def _is_larger(data: bytes) -> bool:
    """Whether a picture has more frames or pixels than we take: an upscaled one, an animation."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as probe:
                return getattr(probe, "n_frames", 1) != 1 or probe.width * probe.height > MAX_PIXELS
    except Image.DecompressionBombError:
        return True
    except Exception:  # likewise
        return False


def download(url: str, reach: Reach = PUBLIC) -> bytes:
    """:func:`fetch`, for whoever has no event loop."""
    return anyio.run(fetch, url, reach)


async def fetch(url: str, reach: Reach = PUBLIC) -> bytes:
    """Fetch a picture (:func:`pipeline.fetching.fetch`).

    Raises:
        DownloadError: when it can't be had.
    """
    return await fetching.fetch(url, reach, MAX_BYTES, _is_whole)


def _is_whole(data: bytes) -> bool:
    """Whether bytes are a picture from its first byte to its end."""
    try:
        decode(data)
    except Exception:  # whatever Pillow stumbles over
        return False
    return True
