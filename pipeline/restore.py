"""After a ledger was put back: the pictures that lie here and that it doesn't know are adopted, not paid again.

A kept original is named after its picture's key and take, and the key is a hash of all that determines the picture: so
a whole file under that name is that picture. Where the kept originals are gone too, a sidecar or ``results.jsonl``
still says which output files are of which picture: the one that is the original, byte for byte, is kept as that again,
else the best rendition that is whole. Who made it, when, and for how much they tell as well; a price that nothing tells
is taken to be the provider's. Of a picture of which nothing whole is left, it is remembered that it was made and paid.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pipeline.budget import midnight
from pipeline.decoding import blank, decode
from pipeline.errors import MediaError, StorageError
from pipeline.expand import PRIVATE, Expansion
from pipeline.former import kept_in, known_to, settled
from pipeline.ledger import HAND, FileRow, Ledger, PictureRow, RequestRow
from pipeline.media import MAX_BYTES, check_shape, write
from pipeline.paths import is_inside, read_bytes
from pipeline.plan import encoding_of, gone_words
from pipeline.run import asked_ratio
from pipeline.sidecars import RESULTS, Told, beside, read_all, read_results
from pipeline.types import EXTENSION, Cell

_ORIGINAL = re.compile(r"([0-9a-f]+)\.t([0-9]+)\.(?:png|jpg|webp)")


@dataclass(slots=True)
class Adopted:
    """How many pictures a restore made known: ``pictures`` that lie here, of which ``renditions`` lack the original;
    and those of which nothing is left but that they were made (``gone``).
    """

    pictures: int = 0
    renditions: int = 0
    gone: int = 0


def adopt(expansion: Expansion, ledger: Ledger) -> Adopted:
    """Make every picture of the manifest that lies here known to the ledger.

    One that an open request has asked for is that request's, which is settled when all of its pictures are here.

    Raises:
        StorageError: when an original can't be written.
    """
    restore = _Restore(expansion, ledger)
    restore.originals()
    restore.rest()
    ledger.settle_adopted()
    return restore.done


@dataclass(frozen=True, slots=True)
class _File:
    """A whole file of a picture. ``path`` is relative to the output folder, ``original``: it is the original, or has
    its very bytes.
    """

    path: str
    data: bytes
    sha256: str
    kind: str
    width: int
    height: int
    mtime_ns: int
    original: bool
    encoding: str = ""
    blank: str = ""


class _Restore:
    def __init__(self, expansion: Expansion, ledger: Ledger) -> None:
        self.manifest = expansion.manifest
        self.folder = expansion.manifest.outputs.folder
        self.ledger = ledger
        self.now = ledger.snapshot()
        self.known = {(row.key, row.take) for row in ledger.pictures()}
        self.every = read_all(self.folder)
        here = known_to(self.now) | kept_in(self.folder) | self.every.keys()
        requests = ledger.requests("state IN ('intent', 'accepted', 'uncertain', 'made')")
        self.asked = {(key, row.take): row for row in requests for key, _ in row.pictures}
        self.cells: dict[str, list[Cell]] = {}
        for cell in settled(expansion, here).cells:
            self.cells.setdefault(cell.picture.key, []).append(cell)
        self.results = read_results(self.folder / RESULTS)
        self.done = Adopted()

    def originals(self) -> None:
        """Adopt the kept originals, all takes of them."""
        for path in sorted((self.folder / PRIVATE / "originals").glob("*")):
            match = _ORIGINAL.fullmatch(path.name)
            if match is None or match[1] not in self.cells or (match[1], int(match[2])) in self.known:
                continue
            told = self.told_of(match[1], int(match[2]))
            if (found := self.whole(path, told)) is not None:
                self.add(told, found)

    def told_of(self, key: str, take: int) -> Told:
        """What a sidecar or the results tell of a take."""
        for cell in self.cells[key]:
            told = beside(self.folder, cell, key)
            if told is not None and told.take == take:
                return told
        return self.results.get((key, take)) or Told(key, take, proof=self.cells[key][0].picture.spec.proof)

    def rest(self) -> None:
        """Adopt what sidecars and results tell of, from the output files; what is gone is known to have been made."""
        newest: dict[str, int] = {}
        for key, take in self.known:
            newest[key] = max(take, newest.get(key, 0))
        for told in self.every.values():
            if told.key not in self.cells or told.take <= newest.get(told.key, 0):
                continue
            files = self.files(told)
            best = max(files, default=None, key=lambda file: (file.original, file.kind == "png", len(file.data)))
            if best is not None:
                self.add(told, best)
            elif not told.proof:
                self.add_gone(told)

    def whole(self, path: Path, told: Told) -> _File | None:
        """A kept original; where it is known to be damaged, an output file that is a copy of it."""
        try:
            file = self.read(path.relative_to(self.folder).as_posix(), told)
        except OSError:
            return None
        if file is not None and told.sha256 in ("", file.sha256):
            ratio = None if told.sha256 or told.by_hand else asked_ratio(self.cells[told.key][0].picture.spec)
            try:
                check_shape((file.width, file.height), ratio)
            except MediaError:
                return None
            return replace(file, original=True)
        return next((copy for copy in self.files(told) if copy.original), None)

    def files(self, told: Told) -> list[_File]:
        """The output files of a take that are whole and as they were written."""
        found = []
        for path, sha256, encoding in told.files:
            try:
                file = self.read(path, told) if is_inside(str(self.folder), f"{self.folder}/{path}") else None
            except OSError:
                continue
            if file is not None and file.sha256 == sha256:
                found.append(replace(file, encoding=encoding or encoding_of(self.manifest, file.kind)))
        return found

    def read(self, path: str, told: Told) -> _File | None:
        """A file, where it is a whole picture."""
        data, stat = read_bytes(self.folder / path, MAX_BYTES), (self.folder / path).stat()
        try:
            image = decode(data, still=False)
        except MediaError:
            return None
        sha256, kind = hashlib.sha256(data).hexdigest(), str(image.format).lower()
        # A file in the format of the original holds its bytes; that is all that can be said where no sidecar is.
        original = sha256 == told.sha256 if told.sha256 else kind == self.cells[told.key][0].picture.spec.format
        return _File(
            path, data, sha256, kind, image.width, image.height, stat.st_mtime_ns, original, blank=blank(image)
        )

    def add(self, told: Told, file: _File) -> None:
        """Make a picture known, with the files of it that are as they were written."""
        original = f"originals/{told.key}.t{told.take}.{EXTENSION[file.kind]}"
        if file.path != f"{PRIVATE}/{original}":
            try:
                write(f"{self.folder}/{PRIVATE}/{original}", file.data, str(self.folder))
            except OSError as error:
                raise StorageError(f"{error.filename}: can't be written: {error.strerror}") from None
        row = self.row(told, original, file)
        steps = [*self.steps(row, told, file.original), *self.shown(row, told)]
        if file.blank and not (told.proof or told.by_hand):
            steps.append(partial(Ledger.mark_blank, key=row.key, take=row.take, word=file.blank))
        self.ledger.commit(steps)
        self.known.add((told.key, told.take))
        self.done.pictures += 1
        self.done.renditions += not file.original

    def row(self, told: Told, original: str, file: _File | None) -> PictureRow:
        """A picture as it will be known; ``file``: what is left of it."""
        picture = self.cells[told.key][0].picture
        request = self.asked.get((told.key, told.take))
        price = request.reserved // len(request.pictures) if request else self.manifest.providers[0].usd
        at = told.at
        if at is None:  # a copied file is as young as its copy, so a sidecar without a date is of no day of ours
            mtime = file.mtime_ns / 1e9 if file else time.time()
            at = mtime if file and file.path.startswith(PRIVATE) else min(mtime, midnight() - 1)
        return PictureRow(
            key=told.key,
            take=told.take,
            spec=picture.spec.key,
            variant=picture.variant,
            request=request.id if request else str(uuid.uuid4()),
            original=original,
            sha256=file.sha256 if file else told.sha256,
            bytes=len(file.data) if file else 0,
            width=file.width if file else 0,
            height=file.height if file else 0,
            seed=told.seed,
            usd=price if told.usd is None else told.usd,
            seconds=told.seconds,
            at=min(at, time.time()),
            nsfw=told.nsfw,
        )

    def steps(self, row: PictureRow, told: Told, original: bool) -> Iterator[Callable[[Ledger], None]]:
        """What records an adopted picture: with the request that made it, or one that stands for a forgotten one."""
        if (row.key, row.take) not in self.asked:
            yield from self.forgotten(row, told, "" if original else "a rendition: the original is gone")
        yield lambda ledger: ledger.add_picture(row)

    def forgotten(self, row: PictureRow, told: Told, note: str) -> Iterator[Callable[[Ledger], None]]:
        """What stands for the request of a picture that no ledger remembers."""
        cell = self.cells[row.key][0]
        spec, words = cell.picture.spec, "adopted from its file after a restore"
        request = RequestRow(
            id=row.request,
            spec=row.spec,
            pictures=((row.key, row.variant),),
            take=row.take,
            provider=told.provider,
            gateway=HAND if told.by_hand else "",
            model=told.model_id or spec.model,
            address="",
            label=cell.label,
            state="made",
            reserved=row.usd,
            usd=row.usd,
            created=row.at,
            error=told.by_hand or ": ".join(filter(None, (words, note))),
            product=cell.place.product.id,
            product_set=cell.place.product.set,
        )
        yield lambda ledger: ledger.add_spec(spec)
        yield lambda ledger: ledger.add_request(request)

    def shown(self, row: PictureRow, told: Told) -> Iterator[Callable[[Ledger], None]]:
        """The output files of a picture that are there, so that they are not written again."""
        labels = {cell.file: cell.label for cell in self.cells[row.key]}
        for file in self.files(told):
            known = FileRow(file.path, row.key, row.take, file.encoding, file.sha256, len(file.data), file.mtime_ns)
            yield partial(Ledger.add_file, row=known)
            if file.path in labels:
                yield partial(Ledger.add_cell, label=labels[file.path], key=row.key, spec=row.spec)

    def add_gone(self, told: Told) -> None:
        """Remember that a picture was made and paid, though nothing of it is left."""
        failure = self.now.failures.get(told.key)
        if failure is not None and failure.permanent:
            return
        kind = EXTENSION[self.cells[told.key][0].picture.spec.format]
        row = self.row(told, f"originals/{told.key}.t{told.take}.{kind}", None)
        request = self.asked.get((told.key, told.take))
        if request is not None and request.state != "made":
            return  # it may come yet
        steps = [] if request else list(self.forgotten(row, told, "nothing of it is left"))
        steps.append(lambda ledger: ledger.add_wish(row.key, row.take))
        steps.append(lambda ledger: ledger.add_failure(row.key, gone_words(row), permanent=True))
        self.ledger.commit(steps)
        self.done.gone += 1
