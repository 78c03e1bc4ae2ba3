"""Pictures that a person made or accepted: a file becomes a take of its picture, for nothing.

The file may be an output file that was edited where it lies, one that was set aside, or any other with the picture's
label. It is kept as the take's original, byte for byte; whatever it lacks of what was asked for, a person has decided.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.aside import Word, belongs_to
from pipeline.decoding import decode
from pipeline.errors import MediaError, PipelineError, StorageError, UsageError
from pipeline.expand import PRIVATE, Expansion
from pipeline.ledger import HAND, FileRow, Ledger, PictureRow, RequestRow
from pipeline.media import MAX_BYTES, FinishedPicture, PictureJob, check_shape, finish, write
from pipeline.paths import read_bytes
from pipeline.plan import encoding_of, named_by
from pipeline.run import expected_size, renditions, thumb_name
from pipeline.sidecars import BY_HAND
from pipeline.types import EXTENSION, Cell, Picture


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file: the take that it is, ``already`` before; ``differs``: how it is not what was asked for;
    ``aside``: where other edited files of the picture lie now, which were in the way of its renditions.
    """

    label: str
    take: int
    already: bool = False
    differs: str = ""
    aside: tuple[str, ...] = ()


def belongs(expansion: Expansion, file: Path, label: str | None) -> tuple[Picture, Word]:
    """The picture that a file is meant for, by a label (or glob of labels), or by where the file lies; and whether it
    was edited, or is a wrong one that is accepted.

    Raises:
        UsageError: when that is no picture of this manifest, or several.
    """
    aside = belongs_to(file)
    word: Word = "edited" if aside is None else aside[1]
    if label is not None:
        keys = named_by(expansion.cells, [label])
        if len(keys) != 1:
            raise UsageError(f"--as {label}: names {len(keys):,} pictures, and must name one")
        return expansion.pictures[keys.pop()], word
    own = [cell for cell in _at(expansion, file) if Path(cell.file).name == file.name]
    if own:
        return own[0].picture, "edited"
    beside = list(_at(expansion, aside[0])) if aside else []
    named = [cell for cell in beside if aside and Path(cell.file).name == aside[0].name]
    found = {cell.picture.key: cell.picture for cell in named or beside}
    if len(found) == 1:
        return found.popitem()[1], word
    raise UsageError(f"{file}: is no file of a picture of this manifest: say which one it is with --as LABEL")


def _at(expansion: Expansion, path: Path) -> Iterator[Cell]:
    """The cells whose file is this one, whatever its format."""
    folder = os.path.realpath(expansion.manifest.outputs.folder)
    place = Path(os.path.realpath(path.parent), path.name)
    if place.is_relative_to(folder):
        stem = place.relative_to(folder).with_suffix("").as_posix()
        yield from (cell for cell in expansion.cells if cell.file.rpartition(".")[0] == stem)


def take_in(expansion: Expansion, ledger: Ledger, file: Path, picture: Picture, word: Word) -> Taken:
    """Make a file the current take of a picture, with its renditions; an aside file is removed once it is kept.

    Raises:
        PipelineError: when it can't be read, or is no whole picture.
        StorageError: when something can't be written.
    """
    return _Hand(expansion, ledger, picture).take(file, word)


class _Hand:
    def __init__(self, expansion: Expansion, ledger: Ledger, picture: Picture) -> None:
        self.manifest = expansion.manifest
        self.folder = str(expansion.manifest.outputs.folder)
        self.ledger = ledger
        self.picture = picture
        self.cells = [cell for cell in expansion.cells if cell.picture.key == picture.key]
        self.label = self.cells[0].label.rpartition(".")[0]
        self.snapshot = ledger.snapshot()
        self.takes = [row for row in ledger.pictures() if row.key == picture.key]

    def take(self, file: Path, word: Word) -> Taken:
        name = os.path.relpath(os.path.realpath(file.parent), os.path.realpath(self.folder))
        name = Path(name, file.name).as_posix()
        if (before := self.before(name)) is not None and not file.exists():
            return Taken(self.label, before, already=True)
        data, kind, size = _picture(file)
        sha256 = hashlib.sha256(data).hexdigest()
        known = self.snapshot.files.get(name)
        current = self.takes[-1] if self.takes else None
        if current is not None and sha256 in (current.sha256, _written(known, current)):
            self.drop(file, current)
            return Taken(self.label, current.take, already=True)
        take = self.next()
        stem = f"{self.folder}/{PRIVATE}/originals/{self.picture.key}.t{take}"
        try:
            original = write(f"{stem}.{EXTENSION[kind]}", data, self.folder)
            done = finish(self.job(stem, take, sha256, name))
        except OSError as error:
            raise StorageError(f"{error.filename or file}: can't be written: {error.strerror or error}") from None
        row = self.row(take, Path(original.path).name, done, time.time())
        self.ledger.commit([*self.steps(row, word, name), *self.shown(row, done)])
        self.drop(file, row)
        aside = tuple(written.aside for written in done.renditions if written.aside)
        return Taken(self.label, take, differs=self.differs(size), aside=aside)

    def before(self, name: str) -> int | None:
        """The take that a file of this name became before."""
        rows = {row.id: row for row in self.ledger.requests(f"gateway = '{HAND}'")}
        return next((row.take for row in self.takes if row.request in rows and rows[row.request].address == name), None)

    def next(self) -> int:
        """A take that no other is, was, or will be when an open request comes to its end."""
        made = [row.take for row in self.ledger.requests() for key, _ in row.pictures if key == self.picture.key]
        folder = Path(self.folder, PRIVATE, "originals")
        kept = (path.name.split(".")[1] for path in folder.glob(f"{self.picture.key}.t*"))
        return 1 + max([0, *made, *(row.take for row in self.takes), *(int(t[1:]) for t in kept if t[1:].isdecimal())])

    def job(self, stem: str, take: int, sha256: str, name: str) -> PictureJob:
        """The renditions of a take; the file itself is kept by now, so it may be written over."""
        own = self.snapshot.files.get(name)
        files = self.snapshot.files
        if own is not None or any(cell.file == name for cell in self.cells):
            files = files | {name: FileRow(name, self.picture.key, take, "", sha256, 0, 0)}
        return PictureJob(
            stem=stem,
            image=None,
            proof=None,
            ratio=None,
            renditions=renditions(self.manifest, self.cells, files),
            thumb=f"{self.folder}/{PRIVATE}/{thumb_name(self.picture.key, take)}",
            sha256=sha256,
            root=self.folder,
        )

    def row(self, take: int, original: str, done: FinishedPicture, now: float) -> PictureRow:
        return PictureRow(
            key=self.picture.key,
            take=take,
            spec=self.picture.spec.key,
            variant=self.picture.variant,
            request=str(uuid.uuid4()),
            original=f"originals/{original}",
            sha256=done.original.sha256,
            bytes=done.original.bytes,
            width=done.width,
            height=done.height,
            seed=None,
            usd=0,
            seconds=0.0,
            at=now,
        )

    def steps(self, row: PictureRow, word: Word, name: str) -> Iterator[Callable[[Ledger], None]]:
        """What records a take: a request that was never sent stands for the hand that made it."""
        cell, spec = self.cells[0], self.picture.spec
        made = [request for request in self.ledger.requests() if any(key == row.key for key, _ in request.pictures)]
        request = RequestRow(
            id=row.request,
            spec=row.spec,
            pictures=((row.key, row.variant),),
            take=row.take,
            provider=made[-1].provider if made else "",
            gateway=HAND,
            model=made[-1].model if made else spec.model,
            address=name,
            label=cell.label,
            state="made",
            reserved=0,
            usd=0,
            created=row.at,
            error=BY_HAND[word],
            product=cell.place.product.id,
            product_set=cell.place.product.set,
        )
        yield partial(Ledger.add_spec, spec=spec)
        yield partial(Ledger.add_request, row=request)
        yield partial(Ledger.add_picture, row=row)

    def shown(self, row: PictureRow, done: FinishedPicture) -> Iterator[Callable[[Ledger], None]]:
        for cell, file in zip(self.cells, done.renditions, strict=True):
            encoding = encoding_of(self.manifest, cell.format)
            known = FileRow(cell.file, row.key, row.take, encoding, file.sha256, file.bytes, file.mtime_ns)
            yield partial(Ledger.add_file, row=known)
            yield partial(Ledger.add_cell, label=cell.label, key=row.key, spec=row.spec)

    def differs(self, size: tuple[int, int]) -> str:
        """How a picture is not what was asked for, in words."""
        asked = expected_size(self.manifest, self.picture.spec)
        return "" if size == asked else f"{size[0]}×{size[1]}, where {asked[0]}×{asked[1]} was asked for"

    def drop(self, file: Path, row: PictureRow) -> None:
        """Remove a file that was set aside, now that its bytes are kept."""
        kept = Path(self.folder, PRIVATE, row.original)
        if belongs_to(file) is None or not any(_at_aside(cell, file, self.folder) for cell in self.cells):
            return
        try:
            if kept.read_bytes() == file.read_bytes():
                file.unlink()
        except OSError:
            return  # it only lies about


def _written(known: FileRow | None, row: PictureRow) -> str:
    """The hash of an output file, if it was written for this take."""
    return known.sha256 if known is not None and (known.key, known.take) == (row.key, row.take) else ""


def _at_aside(cell: Cell, file: Path, folder: str) -> bool:
    """Whether a file was set aside from beside a cell's, and is no cell's own."""
    aside = belongs_to(file)
    place = Path(os.path.realpath(file.parent), file.name)
    own = Path(os.path.realpath(folder), cell.file)
    return aside is not None and place != own and place.parent == own.parent and aside[0].stem == own.stem


def _picture(file: Path) -> tuple[bytes, str, tuple[int, int]]:
    """A file's bytes, format and size in pixels.

    Raises:
        PipelineError: when it can't be read, or is no whole picture.
    """
    try:
        data = read_bytes(file, MAX_BYTES + 1)
    except OSError as error:
        raise PipelineError(f"{file}: can't be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise PipelineError(f"{file}: has over {MAX_BYTES // 2**20} MiB: save it smaller")
    try:
        image = decode(data, still=False)
        check_shape(image.size, None)
    except MediaError as error:
        raise PipelineError(f"{file}: is no whole picture: {error}") from None
    return data, str(image.format).lower(), image.size
