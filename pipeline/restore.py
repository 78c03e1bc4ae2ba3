"""After a ledger was put back: the pictures that lie here and that it doesn't know are adopted, not paid again.

A kept original is named after its picture's key and take, and the key is a hash of all that determines the picture:
so a whole file under that name is that picture. What it cost is read from ``results.jsonl``, or taken to be the price.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import MediaError
from pipeline.expand import PRIVATE, Expansion
from pipeline.ledger import Ledger, PictureRow, RequestRow
from pipeline.media import check_shape, decode
from pipeline.run import asked_ratio
from pipeline.types import Cell, micro_usd

_ORIGINAL = re.compile(r"([0-9a-f]+)\.t([0-9]+)\.(?:png|jpg|webp)")


def adopt(expansion: Expansion, ledger: Ledger) -> int:
    """Make every whole original that belongs to a picture of the manifest known to the ledger; returns how many."""
    folder = expansion.manifest.outputs.folder
    known = {(row.key, row.take) for row in ledger.pictures()}
    told = _told(folder / "results.jsonl")
    cells = {cell.picture.key: cell for cell in reversed(expansion.cells)}
    adopted = 0
    for path in sorted((folder / PRIVATE / "originals").glob("*")):
        match = _ORIGINAL.fullmatch(path.name)
        cell = cells.get(match[1]) if match else None
        if match is None or cell is None or (match[1], int(match[2])) in known:
            continue
        price = expansion.manifest.providers[0].usd
        line = told.get((match[1], int(match[2])), {})
        row = _row(path, cell, int(match[2]), micro_usd(float(line["usd"])) if line.get("usd") else price)
        if row is not None:
            ledger.commit(_steps(row, cell, str(line.get("provider") or "")))
            adopted += 1
    return adopted


def _row(path: Path, cell: Cell, take: int, usd: int) -> PictureRow | None:
    """The picture that a file holds; None when it is damaged."""
    spec = cell.picture.spec
    try:
        data = path.read_bytes()
        image = decode(data)
        check_shape(image.size, asked_ratio(spec))
    except (MediaError, OSError):
        return None
    return PictureRow(
        key=cell.picture.key,
        take=take,
        spec=spec.key,
        variant=cell.picture.variant,
        request=str(uuid.uuid4()),
        original=f"originals/{path.name}",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=image.width,
        height=image.height,
        seed=None,
        usd=usd,
        seconds=0.0,
        at=path.stat().st_mtime,
    )


def _steps(row: PictureRow, cell: Cell, provider: str) -> Iterator[Callable[[Ledger], None]]:
    """What records an adopted picture, with a request that stands for the forgotten one."""
    request = RequestRow(
        id=row.request,
        spec=row.spec,
        pictures=((row.key, row.variant),),
        take=row.take,
        provider=provider,
        gateway="",
        model=cell.picture.spec.model,
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
    yield lambda ledger: ledger.add_spec(cell.picture.spec)
    yield lambda ledger: ledger.add_request(request)
    yield lambda ledger: ledger.add_picture(row)


def _told(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """(key, take) → what the last results say of it."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    try:
        for text in path.read_text("utf-8").splitlines():
            line = json.loads(text)
            found[line["key"], int(line["take"])] = line
    except (OSError, ValueError, KeyError, TypeError):
        return found  # it only helps
    return found
