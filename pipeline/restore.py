"""After a ledger was put back: the pictures that lie here and that it doesn't know are adopted, not paid again.

A kept original is named after its picture's key and take, and the key is a hash of all that determines the picture:
so a whole file under that name is that picture. What else is known of it is read from its sidecar or from
``results.jsonl``; a price that nothing tells is taken to be the provider's.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import MediaError, StorageError
from pipeline.expand import PRIVATE, Expansion
from pipeline.files import write_whole
from pipeline.ledger import Ledger, PictureRow, RequestRow
from pipeline.media import check_shape, decode
from pipeline.run import asked_ratio
from pipeline.types import Cell, micro_usd

_ORIGINAL = re.compile(r"([0-9a-f]+)\.t([0-9]+)\.(?:png|jpg|webp)")


def adopt(expansion: Expansion, ledger: Ledger) -> int:
    """Make every whole original that belongs to a picture of the manifest known to the ledger; returns how many.

    One that an open request has asked for is that request's, which is settled when all of its pictures are here.
    """
    folder = expansion.manifest.outputs.folder
    known = {(row.key, row.take) for row in ledger.pictures()}
    asked = {(key, row.take): row for row in ledger.open_requests() for key, _ in row.pictures}
    cells: dict[str, list[Cell]] = {}
    for cell in expansion.cells:
        cells.setdefault(cell.picture.key, []).append(cell)
    results = _results(folder / "results.jsonl")
    adopted = 0
    for path in sorted((folder / PRIVATE / "originals").glob("*")):
        match = _ORIGINAL.fullmatch(path.name)
        if match is None or match[1] not in cells or (match[1], int(match[2])) in known:
            continue
        take = int(match[2])
        showing, request = cells[match[1]], asked.get((match[1], take))
        told = results.get((match[1], take), {}) | _sidecar(folder, showing, take)
        price = request.reserved // len(request.pictures) if request else expansion.manifest.providers[0].usd
        found = _found(path, folder, showing, take, _Told.read(told, price))
        if found is not None:
            ledger.commit(_steps(found, showing[0], request, str(told.get("provider") or "")))
            adopted += 1
    ledger.settle_adopted()
    return adopted


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of a picture from elsewhere: its price in micro-dollars, and the hash that it should have."""

    usd: int
    sha256: str | None
    seed: int | None

    @staticmethod
    def read(told: dict[str, Any], price: int) -> _Told:
        """From a sidecar, a line of results, or nothing; a value of the wrong kind tells nothing."""
        usd, seed, original = told.get("usd"), told.get("seed"), told.get("original")
        sane = isinstance(usd, int | float) and not isinstance(usd, bool) and math.isfinite(usd) and 0 <= usd < 10**6
        sha256 = original.get("sha256") if isinstance(original, dict) else None
        return _Told(
            micro_usd(float(usd)) if sane and usd is not None else price,
            sha256 if isinstance(sha256, str) else None,
            seed if isinstance(seed, int) and abs(seed) < 2**63 else None,
        )


def _found(path: Path, folder: Path, cells: list[Cell], take: int, told: _Told) -> PictureRow | None:
    """The picture that a file holds; None when it is damaged, and so is every copy of it."""
    picture = cells[0].picture
    try:
        data = _whole(path, folder, cells, told.sha256)
        image = decode(data)
        check_shape(image.size, asked_ratio(picture.spec))
        at = path.stat().st_mtime
    except (MediaError, OSError):
        return None
    return PictureRow(
        key=picture.key,
        take=take,
        spec=picture.spec.key,
        variant=picture.variant,
        request=str(uuid.uuid4()),
        original=f"originals/{path.name}",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=image.width,
        height=image.height,
        seed=told.seed,
        usd=told.usd,
        seconds=0.0,
        at=at,
    )


def _whole(path: Path, folder: Path, cells: list[Cell], sha256: str | None) -> bytes:
    """A kept original's bytes; where it is known to be damaged, they come from an output file that is a copy of it.

    Raises:
        MediaError: when there is none.
    """
    data = path.read_bytes()
    if sha256 in (None, hashlib.sha256(data).hexdigest()):
        return data
    for cell in cells:
        copy = folder / cell.file
        if copy.is_file() and hashlib.sha256(data := copy.read_bytes()).hexdigest() == sha256:
            try:
                write_whole(path, data)
            except OSError as error:
                raise StorageError(f"{path}: can't be written: {error.strerror}") from None
            return data
    raise MediaError("the kept original is damaged")


def _steps(
    row: PictureRow, cell: Cell, request: RequestRow | None, provider: str
) -> Iterator[Callable[[Ledger], None]]:
    """What records an adopted picture: with the request that is open for it, or one that stands for a forgotten one."""
    spec = cell.picture.spec
    if request is not None:
        own = row._replace(request=request.id)
        yield lambda ledger: ledger.add_picture(own)
        return
    forgotten = RequestRow(
        id=row.request,
        spec=row.spec,
        pictures=((row.key, row.variant),),
        take=row.take,
        provider=provider,
        gateway="",
        model=spec.model,
        address="",
        label=cell.label,
        state="made",
        reserved=row.usd,
        usd=row.usd,
        created=min(row.at, time.time()),
        error="adopted from its file after a restore",
        product=cell.place.product.id,
        product_set=cell.place.product.set,
    )
    yield lambda ledger: ledger.add_spec(spec)
    yield lambda ledger: ledger.add_request(forgotten)
    yield lambda ledger: ledger.add_picture(row)


def _sidecar(folder: Path, cells: list[Cell], take: int) -> dict[str, Any]:
    """What the file beside a picture's first cell says of this take."""
    for cell in cells:
        for name in (f"{cell.file.rpartition('.')[0]}.json", f"{cell.file}.json"):
            try:
                told = json.loads((folder / name).read_text("utf-8"))
                if (told["key"], told["take"]) == (cell.picture.key, take):
                    return dict(told)
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue  # it only helps
    return {}


def _results(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """(key, take) → what the last results say of it."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return found
    for text in lines:
        try:
            line = json.loads(text)
            found[str(line["key"]), int(line["take"])] = dict(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # likewise
    return found
