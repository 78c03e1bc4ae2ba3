"""Contact sheets for elsewhere: one HTML file, a folder, or a ZIP, with or without the pictures themselves.

A sheet is written whole, also a ZIP of a gigabyte; what lies in a folder already is overwritten where it has the same
name, and otherwise left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import StorageError, UsageError
from pipeline.files import rename_over, sync_file
from pipeline.media import write
from pipeline.paths import check_inside
from pipeline.publish.previews import sharper
from pipeline.publish.showing import SHEET, THUMBS
from pipeline.report.pdf import print_pdf
from pipeline.report.render import render
from pipeline.report.thumbs import INLINE, Thumbs, choose, write_jpegs
from pipeline.report.view import SheetView

_KNOWN = (".html", ".htm", ".zip")
_BESIDE = f"{Path(SHEET).stem}-thumbs"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was written: the sheet, folder or ZIP, how its thumbnails travel, and the files that came with it."""

    path: Path
    thumbs: Thumbs
    beside: str = ""  # the folder of the thumbnails, where that is not in what was written
    originals: int = 0


def deliver(
    sheet: SheetView, folder: Path, target: str | None = None, *, inline: int = INLINE, originals: bool = False
) -> Delivery:
    """Write a contact sheet to where it is wanted. ``folder``: the campaign's output folder.

    ``target``: an ``.html`` file, a ``.zip``, or a folder; None for the sheet's own place in the output folder.
    ``inline``: bytes that the thumbnails may take within it, and larger previews with all of the sheet;
    ``originals``: put the output files there too.

    Raises:
        UsageError: when the target is none of these.
        StorageError: when something can't be read or written.
    """
    place = folder / SHEET if target is None else Path(target)
    if (
        not place.is_dir()
        and re.fullmatch(r"\.[a-z]{2,5}", place.suffix.lower())
        and place.suffix.lower() not in _KNOWN
    ):
        raise UsageError(f"-o {target}: name an .html file, a .zip or a folder; a PDF is --pdf FILE")
    try:
        if target is not None and (place.is_dir() or place.suffix.lower() not in _KNOWN):
            return _as_folder(sheet, folder, place, inline, originals=originals)
        if place.suffix.lower() == ".zip":
            return _as_zip(sheet, folder, place, inline, originals=originals)
        if originals:
            raise UsageError("--originals needs a place for them: -o FOLDER or -o sheet.zip")
        return _as_file(sheet, folder, place, inline)
    except OSError as error:
        named = str(error.filename or place)
        raise StorageError(
            f"{place if named.endswith('.part') else named}: can't be written: {error.strerror or error}"
        ) from None


def _as_file(sheet: SheetView, folder: Path, place: Path, inline: int) -> Delivery:
    own = _same(place, folder / SHEET)
    beside = THUMBS if own else f"{place.stem}-thumbs"
    thumbs = choose(sheet, folder / THUMBS, beside, inline=inline)
    shown = sheet
    if not own:
        shown = moved(sheet, _from(place.parent, folder))
        thumbs = sharper(shown, folder, thumbs, inline)
    if thumbs.how == "beside" and not own:
        _copied(thumbs, place.parent, beside)
    write(str(place), render(shown, thumbs.sources).encode(), str(folder) if own else "")
    return Delivery(place, thumbs, str(place.parent / beside))


def _as_folder(sheet: SheetView, folder: Path, place: Path, inline: int, *, originals: bool) -> Delivery:
    if _same(place, folder):  # they all lie there
        return _as_file(sheet, folder, place / SHEET, inline)
    if os.path.lexists(place) and not place.is_dir():
        raise UsageError(f"-o {place}: is there already, and is no folder: name a folder, an .html file or a .zip")
    place.mkdir(parents=True, exist_ok=True)
    thumbs = choose(sheet, folder / THUMBS, _BESIDE, inline=inline)
    if thumbs.how == "beside":
        _copied(thumbs, place, _BESIDE)
    files = list(_files(sheet, folder)) if originals else []
    shown = moved(sheet, set(files).__contains__)
    thumbs = thumbs if originals else sharper(shown, folder, thumbs, inline)
    for path in files:
        _copy(folder / path, place / path, place)
    page = render(shown, thumbs.sources)
    write(str(place / SHEET), page.encode(), str(place))
    return Delivery(place, thumbs, originals=len(files))


def _as_zip(sheet: SheetView, folder: Path, place: Path, inline: int, *, originals: bool) -> Delivery:
    thumbs = choose(sheet, folder / THUMBS, _BESIDE, inline=inline)
    files = list(_files(sheet, folder)) if originals else []
    shown = moved(sheet, set(files).__contains__)
    thumbs = thumbs if originals else sharper(shown, folder, thumbs, inline)
    page = render(shown, thumbs.sources)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{os.getpid()}-{place.name}.part")
    try:
        with zipfile.ZipFile(temporary, "w", strict_timestamps=False) as archive:
            archive.writestr(SHEET, page.encode(), zipfile.ZIP_DEFLATED)
            for name, file in thumbs.files.items() if thumbs.how == "beside" else ():
                archive.write(file, f"{_BESIDE}/{name}")
            for path in files:  # stored: pictures are compressed already
                archive.write(folder / path, path)
        with temporary.open("rb") as written:
            sync_file(written.fileno())
        rename_over(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
    return Delivery(place, thumbs, originals=len(files))


def deliver_pdf(sheet: SheetView, folder: Path, target: Path) -> int:
    """Print a contact sheet as a PDF; returns the number of its pages.

    Raises:
        PipelineError: when there is no browser to print with, or it fails.
        StorageError: when the file can't be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="pipeline-pdf-", dir=target.parent) as place:  # see print_pdf
            write_jpegs(sheet, folder / THUMBS, Path(place, _BESIDE))
            thumbs = choose(sheet, Path(place, _BESIDE), _BESIDE, inline=0)
            page = Path(place, SHEET)
            page.write_text(render(moved(sheet, lambda _: False), thumbs.sources), "utf-8")
            return print_pdf(page, target)
    except OSError as error:
        raise StorageError(f"{error.filename or target}: can't be written: {error.strerror or error}") from None


def moved(sheet: SheetView, to: Callable[[str], str | bool | None]) -> SheetView:
    """A sheet for another place. ``to`` gives a file's path there; or whether it keeps its path, or has none."""

    def path(old: str | None) -> str | None:
        new = to(old) if old else None
        return old if new is True else new or None

    tiles = (
        replace(
            tile,
            cells=tuple(replace(cell, path=path(cell.path)) for cell in tile.cells),
            history=tuple(replace(past, path=path(past.path)) for past in tile.history),
        )
        for tile in sheet.tiles
    )
    return replace(sheet, tiles=tuple(tiles))


def _from(here: Path, folder: Path) -> Callable[[str], str | bool]:
    """How a sheet in a folder names the files of the output folder: by the way that leads there, when it leads down.

    A sheet elsewhere names none: whoever gets it by mail would follow links that lead nowhere.
    """
    there, base = os.path.realpath(folder), os.path.realpath(here)
    if os.path.commonpath((there, base)) == base:
        prefix = Path(os.path.relpath(there, base)).as_posix()
        return lambda path: True if prefix == "." else f"{prefix}/{path}"
    if os.path.commonpath((there, base)) == there:
        inner = Path(os.path.relpath(base, there)).as_posix() + "/"
        return lambda path: path.removeprefix(inner) if path.startswith(inner) else False
    return lambda _: False


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _files(sheet: SheetView, folder: Path) -> Iterator[str]:
    """The output files that a sheet shows, each once, as far as they are there."""
    paths = dict.fromkeys(cell.path for tile in sheet.tiles for cell in tile.cells if cell.path)
    return (path for path in paths if os.path.isfile(folder / path))  # noqa: PTH113  # thousands of them


def _copied(thumbs: Thumbs, place: Path, beside: str) -> None:
    for name, file in thumbs.files.items():
        _copy(file, place / beside / name, place)


def _copy(source: Path, target: Path, root: Path) -> None:
    """Copy a file so that its final name never holds half of it, and not where a link leads out of a folder."""
    check_inside(str(root), str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{target.name}.part")
    try:
        shutil.copyfile(source, temporary)
        rename_over(temporary, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target if error.filename2 else error.filename)) from None
    finally:
        temporary.unlink(missing_ok=True)
