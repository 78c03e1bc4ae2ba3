"""The sheet as it is now: drawn anew when the ledger, the decisions or the manifest change, and not more often."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from pipeline.approvals import Merge, adopt, approvals_file, parse_decisions, read_approvals
from pipeline.errors import PipelineError
from pipeline.expand import PRIVATE, Expansion
from pipeline.ledger import read_ledger
from pipeline.ledger.seal import SERIAL
from pipeline.paths import is_inside
from pipeline.plan import make_plan
from pipeline.publish import THUMBS, sheet_view
from pipeline.report.data import data, lesser, link, pictured
from pipeline.report.render import render
from pipeline.report.thumbs import linked
from pipeline.report.view import SheetView
from pipeline.sources import resolve
from pipeline.strict_yaml import Map, Seq

Stamp: TypeAlias = tuple[int, ...] | None

_REST = 3
"""How many times as long as it took to draw the sheet pages wait until it is drawn again, while a run goes on."""
_SHEETS = 1_000_000  # of one serial of the ledger, at most
_LEAVE = 5.0  # seconds for decisions that are being written when the server ends


class NoDecisions(PipelineError):
    """What was sent are no decisions on this campaign."""


@dataclass(frozen=True)
class Sheet:
    """The sheet at one moment.

    ``serial`` differs between any two of them. ``files``: relative address → path, of all pictures that it names.
    """

    serial: int
    expansion: Expansion
    view: SheetView
    thumbs: dict[str, str]
    files: dict[str, str]

    @cached_property
    def page(self) -> bytes:
        """The whole page."""
        return render(self.view, self.thumbs, served=True).encode()

    @cached_property
    def data(self) -> bytes:
        """What a page that is open needs to show this one."""
        return json.dumps(data(self.view, self.thumbs, served=True), separators=(",", ":")).encode()


class Sheets:
    """The sheet of one campaign, and the way for decisions into its file. Any thread may ask.

    ``read`` reads the manifest, again whenever it changes; ``tell`` is told what is wrong with it then, by any thread.

    Raises:
        PipelineError: when there is none now: the manifest is broken, or was never run.
    """

    def __init__(self, read: Callable[[], Expansion], tell: Callable[[str], None]) -> None:
        self._read = read
        self._tell = tell
        self._said = ""
        self._building = threading.Lock()
        self._writing = threading.Lock()
        self.written = 0  # decisions that came in so far
        self._drawn = 0
        self._rest = 0.0  # pages are content with what there is until then
        self._expansion = read()
        self._inputs = _stamps(_inputs(self._expansion))
        self._stamp = self._stamped()
        self._sheet = self._draw()

    def fresh(self) -> Sheet:
        """The sheet as it is at this moment.

        Raises:
            PipelineError: when it can't be drawn.
        """
        with self._building:
            return self._refreshed()

    def newer(self, since: str) -> Sheet | None:
        """The sheet, unless it is the one of this serial. It may be a little older than :meth:`fresh`.

        Raises:
            PipelineError: when it can't be drawn.
        """
        if self._building.acquire(blocking=False):  # else a thread draws it already; the page asks again
            try:
                if time.monotonic() >= self._rest:
                    self._refreshed()
            finally:
                self._building.release()
        sheet = self._sheet
        return None if since == str(sheet.serial) else sheet

    def file(self, address: str) -> str | None:
        """The path of a picture that the sheet names by this address, if no link leads out of the output folder."""
        sheet = self._sheet
        path = sheet.files.get(address)
        return path if path and is_inside(str(sheet.expansion.manifest.outputs.folder), path) else None

    def adopt(self, sent: bytes) -> Merge:
        """Merge decisions, as a page sends them, into the file beside the manifest.

        Raises:
            NoDecisions: when they are none.
            PipelineError: when they can't be written.
        """
        expansion = self._sheet.expansion
        try:
            decisions = parse_decisions(sent, "decisions", expansion.manifest.campaign)
        except PipelineError as error:
            raise NoDecisions(str(error)) from None
        with self._writing, read_ledger(expansion.manifest.outputs.folder / PRIVATE) as ledger:
            merge = adopt(expansion, ledger, decisions)
        self.written += len(merge.adopted) + len(merge.withdrawn)
        return merge

    def close(self) -> None:
        """Let decisions that are being written come to their end; none are adopted any more."""
        self._writing.acquire(timeout=_LEAVE)  # for good

    def tell(self, text: str) -> None:
        """Say what is wrong to who serves the sheet."""
        with contextlib.suppress(OSError):  # nobody listens any more
            self._tell(text)

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────

    def _refreshed(self) -> Sheet:
        """The sheet, drawn anew if anything that it shows has changed."""
        self._reread()
        stamp = self._stamped()
        if stamp != self._stamp:
            began = time.monotonic()
            self._sheet = self._draw()
            self._stamp = stamp  # as it was before: what came in between makes another one
            now = time.monotonic()
            self._rest = now + _REST * (now - began)
        return self._sheet

    def _reread(self) -> None:
        """Read the manifest again if it has changed. While it is broken, the last good one counts."""
        inputs = _stamps(self._inputs)
        if inputs == self._inputs and not self._said:
            return
        try:
            expansion = self._read()
        except PipelineError as error:
            if str(error) != self._said:
                self._said = str(error)
                self.tell(f"{self._said}\nthe sheet stays as it was until this is mended")
            return
        self._said = ""
        self._expansion = expansion
        # A file's stamp of before it was read, so that no change is overlooked.
        self._inputs = {file: inputs[file] if file in inputs else _stat(file) for file in _inputs(expansion)}
        self._stamp = ()

    def _stamped(self) -> tuple[object, ...]:
        """What changes with each commit to the ledger, and with each decision."""
        manifest = self._expansion.manifest
        folder = manifest.outputs.folder / PRIVATE
        try:
            serial = (folder / SERIAL).read_bytes()
        except OSError:
            serial = b""
        return str(folder), serial, _stat(str(approvals_file(manifest)))

    def _draw(self) -> Sheet:
        expansion = self._expansion
        manifest = expansion.manifest
        approvals = read_approvals(manifest)
        with read_ledger(manifest.outputs.folder / PRIVATE) as ledger:
            if ledger is None:
                raise PipelineError(f"{manifest.file}: this campaign was never run; `pipeline run` it first")
            view = sheet_view(make_plan(expansion, ledger, approvals=approvals), ledger, approvals=approvals)
        self._drawn += 1
        view = replace(view, serial=view.serial * _SHEETS + self._drawn % _SHEETS)
        folder = str(manifest.outputs.folder)
        there = _names(f"{folder}/{THUMBS}")
        thumbs = linked((name for name in (*pictured(view), *lesser(view)) if name in there), THUMBS)
        paths = (*_paths(view), *(f"{THUMBS}/{name}" for name in thumbs))
        files = {address: f"{folder}/{path}" for path in paths if (address := link(path))}
        return Sheet(view.serial, expansion, view, thumbs, files)


def _paths(view: SheetView) -> Iterator[str]:
    """The pictures that a sheet links to, relative to the output folder."""
    for tile in view.tiles:
        yield from (cell.path for cell in tile.cells if cell.path)
        yield from (past.path for past in tile.history if past.path)


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208  # thousands of them
    except OSError:
        return frozenset()


# ── what a manifest is read from ────────────────────────────────────────────────────────────────


def _inputs(expansion: Expansion) -> set[str]:
    """The files that a manifest consists of, and the reference images."""
    source = expansion.manifest.source
    found = {expansion.manifest.file, *_files(source)}
    if isinstance(model := source.get("model"), str):
        found.add(str(resolve(source.marks["model"][1].file, model)))  # or there is no such file: a model by name
    references = (each.source for picture in expansion.pictures.values() for each in picture.spec.references)
    return found | {each for each in references if "://" not in each}


def _files(node: Any) -> Iterator[str]:  # noqa: ANN401  # any YAML
    if isinstance(node, Map | Seq):
        yield node.mark.file
        for value in node.values() if isinstance(node, Map) else node:
            yield from _files(value)


def _stamps(files: Iterable[str]) -> dict[str, Stamp]:
    return {file: _stat(file) for file in files}


def _stat(file: str) -> Stamp:
    """What tells one state of a file from another; None where there is none."""
    try:
        stat = os.stat(file)  # noqa: PTH116  # thousands of them
    except (OSError, ValueError):
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
