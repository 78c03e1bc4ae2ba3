"""What lies in an output folder about its pictures: sidecars and ``results.jsonl``, read as a stranger's.

A sidecar ends with a seal, the hash of all that is above it, so that one which a person changed is known as theirs.
What they say of a picture is enough to know that it was paid, when, and for how much, where no ledger does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.aside import Word
from pipeline.expand import PRIVATE, Expansion
from pipeline.former import known_to, settled
from pipeline.ledger import Ledger, Snapshot
from pipeline.paths import read_bytes
from pipeline.types import Cell, Json, micro_usd

RESULTS = "results.jsonl"
BY_HAND: Mapping[Word, str] = {"edited": "edited by hand", "wrong": "accepted by hand"}
"""What a person did with a picture that ``pipeline adopt`` has taken, by the word in its file's name."""
_MOST_BYTES = 4 * 1024 * 1024
_MOST_RESULTS = 1024 * 1024 * 1024
_MOST_TAKE = 10**6
_SEAL = "seal"
_BEFORE_SEALS = {
    *("key", "take", "variant", "proof", "made_by", "prompt", "references", "model", "provider", "model_id"),
    *("parameters", "width", "height", "seed", "usd", "seconds", "made_at", "nsfw", "request", "request_at_gateway"),
    *("original", "cells"),
}
"""The fields of a sidecar of the versions that put no seal on it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a sidecar, or the results, tell of one take of a picture; a value of the wrong kind tells nothing.

    ``usd`` in micro-dollars, ``at`` in Unix seconds; ``sha256`` is the original's; ``files``: path (relative to the
    output folder), hash and encoding of its output files; ``by_hand``: what a person did, where this take is one's.
    """

    key: str
    take: int
    proof: bool
    provider: str = ""
    model_id: str = ""
    seed: int | None = None
    usd: int | None = None
    seconds: float = 0.0
    at: float | None = None
    nsfw: int | None = None
    sha256: str = ""
    files: tuple[tuple[str, str, str], ...] = ()
    by_hand: str = ""


def sealed(body: dict[str, Json]) -> bytes:
    """The bytes of a sidecar."""
    return _text(body | {_SEAL: _digest(body)})


def is_ours(data: bytes) -> bool:
    """Whether a sidecar's bytes are as they were written, by this version or an earlier one."""
    told = _object(data)
    if told is None:
        return False
    body = {name: value for name, value in told.items() if name != _SEAL}
    if _SEAL in told:
        return told[_SEAL] == _digest(body) and data == _text(told)
    return told.keys() <= _BEFORE_SEALS and data == _text(told)


def read_sidecar(path: Path, key: str = "") -> Told | None:
    """What a sidecar tells; None where there is none that can be read, or none of the picture with this key."""
    try:
        data = read_bytes(path, _MOST_BYTES)
    except OSError:
        return None
    if key.encode() not in data:  # before it is parsed: there may be thousands
        return None
    told = _object(data)
    found = None if told is None else _read(told)
    return found if found is not None and key in ("", found.key) else None


def read_all(folder: Path) -> dict[str, Told]:
    """Key → the newest take that any sidecar in a folder, or the results, tell of."""
    found: dict[str, Told] = {}
    if not folder.is_dir():
        return found
    for told in (*_sidecars(folder), *read_results(folder / RESULTS).values()):
        if told.key not in found or found[told.key].take < told.take:
            found[told.key] = told
    return found


def unadopted(expansion: Expansion, ledger: Ledger | None, snapshot: Snapshot) -> list[Told]:
    """What lies in the output folder of paid pictures that the ledger knows nothing of: they were made, and it is gone,
    new, or of before. Proofs and rehearsals cost nothing: they are simply made again.
    """
    folder = expansion.manifest.outputs.folder
    known = known_to(snapshot)
    expansion = settled(expansion, known)
    cells = [cell for cell in expansion.cells if not cell.picture.spec.proof and cell.picture.key not in known]
    if not cells or expansion.manifest.rehearsal or not folder.is_dir():
        return []
    if known:  # then they lie where they belong; else anywhere
        every = {told.key: told for cell in cells if (told := beside(folder, cell, "")) is not None}
    else:
        every = read_all(folder)
    here = settled(expansion, known | every.keys())
    found = [every[key] for key in here.pictures if key in every and key not in known]
    before = ledger.asked() if found and ledger else frozenset()
    return [each for each in found if not each.proof and each.key not in before]


def beside(folder: Path, cell: Cell, key: str) -> Told | None:
    """What the sidecar of a cell tells of the picture with this key (empty: of any)."""
    names = f"{cell.file.rpartition('.')[0]}.json", f"{cell.file}.json"
    return next((told for name in names if (told := read_sidecar(folder / name, key))), None)


def read_results(path: Path) -> dict[tuple[str, int], Told]:
    """(key, take) → what the last results say of it."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    try:
        lines = read_bytes(path, _MOST_RESULTS).splitlines()
    except OSError:
        return {}
    for line in map(_object, lines):
        if line is None or not isinstance(line.get("take"), int) or not isinstance(line.get("made_at"), str):
            continue
        own = found.setdefault((str(line.get("key")), line["take"]), line | {"cells": []})
        own["cells"].append({"path": line.get("path"), "sha256": line.get("sha256")})
    return {where: told for where, line in found.items() if (told := _read(line))}


def _sidecars(folder: Path) -> Iterator[Told]:
    """All sidecars, in a fixed order."""
    for path in sorted(folder.rglob("*.json")):
        if path.relative_to(folder).parts[0] != PRIVATE and (told := read_sidecar(path)) is not None:
            yield told


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _text(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(_text(body)).hexdigest()


def _read(told: dict[str, Any]) -> Told | None:
    key, take, original = told.get("key"), told.get("take"), told.get("original")
    if not isinstance(key, str) or not isinstance(take, int) or not 1 <= take <= _MOST_TAKE:
        return None
    seed, usd, nsfw = told.get("seed"), _number(told.get("usd"), 10**6), told.get("nsfw")
    return Told(
        key=key,
        take=int(take),
        proof=told.get("proof") is True,
        provider=_words(told.get("provider")),
        model_id=_words(told.get("model_id")),
        seed=seed if isinstance(seed, int) and abs(seed) < 2**63 else None,
        usd=None if usd is None else micro_usd(usd),
        seconds=_number(told.get("seconds"), 10**9) or 0.0,
        at=_moment(told.get("made_at")),
        nsfw=int(nsfw) if isinstance(nsfw, bool) else None,
        sha256=_words(original.get("sha256")) if isinstance(original, dict) else "",
        files=tuple(_files(told.get("cells"))),
        by_hand=next((words for words in BY_HAND.values() if words == told.get("by_hand")), ""),
    )


def _files(cells: object) -> Iterator[tuple[str, str, str]]:
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict) and isinstance(cell.get("path"), str) and isinstance(cell.get("sha256"), str):
            path = cell["path"]
            if path and "\0" not in path and not path.startswith(("/", PRIVATE)) and ".." not in path.split("/"):
                yield path, cell["sha256"], _words(cell.get("encoding"))


def _words(value: object) -> str:
    return value[:200] if isinstance(value, str) and value.isprintable() else ""


def _number(value: object, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < most else None  # NaN is neither


def _moment(value: object) -> float | None:
    """Unix seconds of an ISO time; None where it is none, or lies before there were such pictures, or ahead."""
    try:
        at = datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at.timestamp() if at.year > 2000 and at <= datetime.now(UTC) else None
