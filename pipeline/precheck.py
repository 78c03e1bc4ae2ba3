"""What can be checked on this machine before anything is paid: codecs, names, folders and space for what is to come.

A picture that is paid and can't be kept isn't lost, as its request stays open. But it is better not to ask for it.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ManifestError, Problem, StorageError
from pipeline.expand import Expansion
from pipeline.kinds import codec_fault
from pipeline.plan import Plan
from pipeline.types import EXTENSION

LEAST_BYTES = 0.02
"""Bytes per pixel below which no picture of a scene comes (a flat colour may): chosen low, as less space is refused."""
LIKELY_BYTES = 1.5
"""Bytes per pixel that a photographic PNG may take: an estimate, for a warning. The proofs of `init` take about 0.9."""


def check_machine(expansion: Expansion) -> None:
    """Whether this machine can decode and encode all that a manifest asks for, and name its files.

    Raises:
        ManifestError: with what it can't do.
    """
    manifest = expansion.manifest
    # Pictures arrive in any of the formats, and thumbnails are WebP: a machine needs all of them.
    faults = {fault: None for kind in EXTENSION if (fault := codec_fault(kind))}
    hint = "install Pillow's own wheel: pip install --force-reinstall --only-binary :all: pillow"
    problems: list[Problem] = [manifest.problem(("outputs", "format"), fault, hint) for fault in faults]
    wrong = next((cell.file for cell in expansion.cells if not cell.file.isascii() and not _can_name(cell.file)), None)
    if wrong is not None:
        fact = f"this machine's file system encoding ({sys.getfilesystemencoding()}) can't hold the name {wrong!a}"
        problems.append(manifest.problem(("outputs", "path"), fact, "set LC_ALL=C.UTF-8 or PYTHONUTF8=1"))
    if problems:
        raise ManifestError(problems)


def _can_name(file: str) -> bool:
    try:
        os.fsencode(file)
    except UnicodeEncodeError:
        return False
    return True


def check_room(plan: Plan) -> Iterator[str]:
    """Whether what a plan makes can be written: its folders, and the space for it. Yields what may become a problem.

    Raises:
        StorageError: when it certainly can't.
    """
    folder = plan.manifest.outputs.folder
    to_write = [step.cell for step in plan.steps if step.selected and step.action in ("make", "rebuild")]
    for parent in dict.fromkeys(os.path.dirname(f"{folder}/{cell.file}") for cell in to_write):  # noqa: PTH120  # once per cell
        check_folder(Path(parent))
    for cell in to_write:
        if os.path.isdir(f"{folder}/{cell.file}"):  # noqa: PTH112  # as above
            raise StorageError(f"{folder / cell.file}: is a folder, and a picture belongs there: move it away")
    pictures = {cell.picture.key: cell.picture for cell in to_write}
    model = plan.manifest.model
    specs = [picture.spec for picture in pictures.values()]
    pixels = sum(min(model.areas(spec.resolution, spec.aspect_ratio), default=0) for spec in specs)
    free = _free(folder)
    if free < LEAST_BYTES * pixels:
        raise StorageError(
            f"{folder}: No space left: {_mb(free)} are free, and {len(pictures):,} pictures take "
            f"{_mb(LEAST_BYTES * pixels)} at least; free some space, or make fewer (--limit N)"
        )
    likely = LIKELY_BYTES * pixels * (1 + len(to_write) / max(1, len(pictures)))
    if free < likely:
        yield f"{folder}: {_mb(free)} are free, and {len(pictures):,} pictures may take {_mb(likely)}"


def _free(folder: Path) -> float:
    """Bytes that are free for a folder; without end where its file system doesn't say (some in FUSE say that all is
    0).
    """
    try:
        usage = shutil.disk_usage(_existing(folder))
    except OSError:
        return math.inf
    return usage.free if usage.total else math.inf


def check_folder(folder: Path) -> None:
    """Whether files can be made in a folder that may not exist yet.

    Raises:
        StorageError: when they can't.
    """
    there = _existing(folder)
    if not there.is_dir():
        raise StorageError(f"{there}: is a file, and a folder belongs there: move it away")
    if not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(f"{there}: can't be written: change its permissions, or `outputs: folder`")


def _existing(folder: Path) -> Path:
    """The nearest that exists of a folder and those above it."""
    return next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
