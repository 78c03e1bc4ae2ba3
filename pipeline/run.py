"""Carrying out a plan: its requests become orders for the engine, its rebuilds jobs for the data plane."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import anyio

from pipeline.addresses import PUBLIC, Reach
from pipeline.budget import Budget
from pipeline.causes import check_authorities
from pipeline.engine import Engine, Event, Order, Outcome
from pipeline.engine.hints import Hints
from pipeline.engine.journal import Journal
from pipeline.errors import KeepError, MediaError, StorageError, first_error
from pipeline.expand import PRIVATE
from pipeline.gateways import DIALECTS
from pipeline.keys import find_keys
from pipeline.ledger import FileRow, Ledger, PictureRow, RequestRow
from pipeline.media import PictureJob, Rendition, finish
from pipeline.paths import is_inside
from pipeline.plan import Plan, PlannedRequest, Step, copies_of, encoding_of, file_damage, gone_words
from pipeline.proof import Proof
from pipeline.proxies import check_proxies
from pipeline.sidecars import is_ours
from pipeline.types import Cell, Manifest, Picture, Provider, Spec

LEAST_AREA = 0.6
"""Share of the asked resolution's pixels below which a picture is not of that resolution: 1K has a quarter of 2K's."""
LEAST_UNASKED = 0.1
"""The same where the manifest names no resolution: then only a thumbnail is refused."""


@dataclass(slots=True)
class Report:
    """What a run did: the engine's outcome, and the pictures whose files were rebuilt from kept originals."""

    outcome: Outcome = field(default_factory=Outcome)
    rebuilt: int = 0
    lost: int = 0
    aside: list[str] = field(default_factory=list)  # where persons' files lie that were in the place of ours


def carry_out(
    plan: Plan,
    ledger: Ledger,
    executor: Executor,
    *,
    budget: int | None = None,
    keys: dict[str, str] | None = None,
    hints: Hints | None = None,
    reach: Reach = PUBLIC,
    events: Callable[[Event], None] = lambda _: None,
    interrupted: Callable[[bool], None] = lambda _: None,
) -> Report:
    """Do what a plan says. ``budget``: one more cap for this run, in micro-dollars; ``keys``: of the providers, by
    name; ``hints``: what webhooks tell; ``reach``: what may be called.

    ``interrupted`` is told of each signal to leave: the first (True), and the second, after which there is no more.

    Raises:
        StorageError: when the ledger or a file can't be written; nothing is submitted after that.
    """
    retakes = {key: take for key, take in plan.takes.items() if take > 1}
    if retakes:
        ledger.commit([_add_wish(key, take) for key, take in retakes.items()])
    anew = {picture.key for request in plan.requests if request.resume is None for picture in request.pictures}
    given_up = [row for row in plan.snapshot.open_requests if row.state == "uncertain" and _shares(row, anew)]
    if given_up:
        ledger.commit([_count_as_spent(row, anew) for row in given_up])
    report = Report()
    _rebuild(plan, ledger, executor, report)
    if plan.requests:
        try:
            engine = partial(
                Engine,
                plan.manifest.providers,
                Journal(ledger),
                executor,
                budget=Budget(plan.caps(budget)),
                keys=keys,
                events=events,
                hints=hints,
                reach=reach,
            )
            report.outcome = anyio.run(_run, engine, list(orders(plan, ledger, reach)), interrupted)
            report.aside += report.outcome.aside
        except BaseExceptionGroup as group:
            raise first_error(group) from None
    return report


def _shares(row: RequestRow, keys: set[str]) -> bool:
    return not {key for key, _ in row.pictures}.isdisjoint(keys)


def _count_as_spent(row: RequestRow, anew: set[str]) -> Callable[[Ledger], None]:
    """Asked for anew by the user's choice: whether it was billed will never be known, so it counts as if it was."""
    return lambda ledger: ledger.split(row, anew)


def keys_for(plan: Plan) -> dict[str, str]:
    """Provider name → key, of the providers that a plan needs; none when there is nothing to ask of them.

    Raises:
        PipelineError: when one is missing.
    """
    return find_keys(_needed(plan), Path(plan.manifest.file).parent)


def check_way(plan: Plan) -> None:
    """Whether the gateways that a plan needs can be called: through the proxies, and with the authorities, that the
    environment names.

    Raises:
        PipelineError: when they can't; nothing was started then.
    """
    places = ([p.base_url] if p.base_url else DIALECTS[p.offer.gateway].origins for p in _needed(plan))
    called = [url for urls in places for url in urls]
    if any(url.startswith("https:") for url in called):
        check_authorities()
    check_proxies(called)


def _needed(plan: Plan) -> tuple[Provider, ...]:
    """The providers that a plan has something to ask of."""
    names = {provider.name for request in plan.requests for provider in (*request.providers, *request.pool)}
    return tuple(provider for provider in plan.manifest.providers if provider.name in names)


async def _run(make: Callable[[], Engine], wanted: list[Order], interrupted: Callable[[bool], None]) -> Outcome:
    engine = make()
    outcome = Outcome()

    async def watch() -> None:
        ways = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # but those that are ignored, as by nohup
        with anyio.open_signal_receiver(*(way for way in ways if signal.getsignal(way) != signal.SIG_IGN)) as signals:
            first = True
            async for _ in signals:
                interrupted(first)
                if not first:
                    os._exit(130)
                first = False
                engine.stop()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        outcome = await engine.run(wanted)
        group.cancel_scope.cancel()
    return outcome


def cancel(
    plan: Plan, ledger: Ledger, executor: Executor, keys: dict[str, str], reach: Reach = PUBLIC
) -> list[tuple[str, str]]:
    """Ask the gateways to stop what they have accepted: (label, what was said) of each request."""
    accepted = [order for order in orders(plan, ledger) if order.state == "accepted"]

    async def ask() -> list[tuple[Order, str]]:
        engine = Engine(plan.manifest.providers, Journal(ledger), executor, keys=keys, reach=reach)
        return await engine.cancel(accepted)

    return [(order.label, said) for order, said in anyio.run(ask)]


def orders(plan: Plan, ledger: Ledger, reach: Reach = PUBLIC) -> Iterable[Order]:
    """The plan's requests as orders; those that only continue come first, as they are paid already."""
    cells: dict[str, list[Cell]] = {}
    for step in plan.steps:
        if step.selected:
            cells.setdefault(step.cell.picture.key, []).append(step.cell)
    for request in sorted(plan.requests, key=lambda request: request.resume is None):
        yield _order(plan, request, cells if request.wanted else {}, ledger, reach)


def _order(plan: Plan, request: PlannedRequest, cells: dict[str, list[Cell]], ledger: Ledger, reach: Reach) -> Order:
    row, manifest = request.resume, plan.manifest
    pictures = request.pictures if row is None else tuple(Picture(key, request.spec, v) for key, v in row.pictures)
    groups = [cells.get(picture.key, []) for picture in pictures]
    state: Literal["new", "intent", "accepted"] = "new"
    if row is not None:
        state = "accepted" if row.state == "accepted" else "intent"
    return Order(
        id=row.id if row else str(uuid.uuid4()),
        spec=request.spec,
        pictures=pictures,
        take=request.take,
        label=request.label,
        providers=tuple(provider.name for provider in request.providers),
        pool=tuple(provider.name for provider in request.pool),
        jobs=tuple(_job(plan, p, request.take, group, reach) for p, group in zip(pictures, groups, strict=True)),
        cells=tuple(tuple((c.label, c.file, encoding_of(manifest, c.format)) for c in group) for group in groups),
        state=state,
        reserved=row.reserved if row else 0,
        receipts=ledger.receipts(row.id) if row else (),
        size=None if request.spec.aspect_ratio == "auto" else expected_size(manifest, request.spec),
        images=row.images if row else (),
        sent=row.created if row else 0.0,
        product=request.product,
        product_set=request.product_set,
    )


def _job(plan: Plan, picture: Picture, take: int, cells: list[Cell], reach: Reach) -> PictureJob:
    """What the data plane does with one image of a request."""
    manifest = plan.manifest
    private = f"{manifest.outputs.folder}/{PRIVATE}"
    label = cells[0].label.rpartition(".")[0] if cells else picture.key
    proof = _proof(manifest, picture, take, label) if picture.spec.proof else None
    areas = manifest.model.areas(picture.spec.resolution, picture.spec.aspect_ratio)
    return PictureJob(
        stem=f"{private}/originals/{picture.key}.t{take}",
        image=None,
        proof=proof,
        ratio=asked_ratio(picture.spec),
        renditions=renditions(manifest, cells, plan.snapshot.files),
        thumb=f"{private}/{thumb_name(picture.key, take)}",
        pixels=max(areas, default=0),
        least=round(_least_area(manifest) * min(areas, default=0)),
        root=str(manifest.outputs.folder),
        reach=reach,
    )


def _least_area(manifest: Manifest) -> float:
    """The share of a resolution's pixels that a picture must have."""
    asked = manifest.holds(("outputs", "resolution")) or any("resolution" in r.where for r in manifest.outputs.include)
    return LEAST_AREA if asked else LEAST_UNASKED


def thumb_name(key: str, take: int) -> str:
    """Where a picture's thumbnail lies, relative to the private folder."""
    return f"thumbs/{key}.t{take}.webp"


def asked_ratio(spec: Spec) -> float | None:
    """Width ÷ height as asked; None for ``auto``."""
    width, colon, height = spec.aspect_ratio.partition(":")
    return int(width) / int(height) if colon else None


def expected_size(manifest: Manifest, spec: Spec) -> tuple[int, int]:
    """Pixels that the spec asks for, by the model's size table; ``auto`` follows the first reference."""
    first = spec.references[0] if spec.references else None
    ratio = first.width / first.height if first and first.height else 1.0
    return manifest.model.size(spec.resolution, spec.aspect_ratio, ratio)


def _proof(manifest: Manifest, picture: Picture, take: int, label: str) -> Proof:
    width, height = expected_size(manifest, picture.spec)
    sources = tuple(reference.source for reference in picture.spec.references)
    roles = tuple(reference.role for reference in picture.spec.references)
    return Proof(picture.spec.prompt, sources, width, height, picture.variant, take, label, roles)


def renditions(manifest: Manifest, cells: Iterable[Cell], files: Mapping[str, FileRow]) -> tuple[Rendition, ...]:
    """What is to be written for cells of one picture; ``files``: as the ledger knows them, by path."""
    folder, quality = manifest.outputs.folder, manifest.outputs.quality
    return tuple(
        Rendition(
            f"{folder}/{cell.file}",
            cell.format,
            quality.get(cell.format, 0),
            files[cell.file].sha256 if cell.file in files else "",
        )
        for cell in cells
    )


def prunable(plan: Plan) -> tuple[list[str], list[str]]:
    """The files of cells that are gone: those that may be removed, and those that somebody changed since."""
    folder = plan.manifest.outputs.folder
    removable: list[str] = []
    changed: list[str] = []
    for row in plan.gone:
        path = f"{folder}/{row.path}"
        ours = not file_damage(path, row) and is_inside(str(folder), path)
        (removable if ours else changed).append(row.path)
    return removable, changed


def prune(plan: Plan, ledger: Ledger, files: Iterable[str]) -> list[str]:
    """Remove these files of cells that are gone, with their sidecars; the originals stay, so nothing is lost.

    Returns:
        those that were removed: what somebody changed since the plan was made is kept, and so is a changed sidecar.
    """
    folder = plan.manifest.outputs.folder
    wanted = {Path(step.cell.file).with_suffix(".json").as_posix() for step in plan.steps}
    still = set(prunable(plan)[0])
    removed = [path for path in files if path in still]
    for path in removed:
        Path(folder, path).unlink(missing_ok=True)
        sidecar = Path(folder, path).with_suffix(".json")
        if sidecar.relative_to(folder).as_posix() not in wanted and sidecar.is_file() and is_ours(sidecar.read_bytes()):
            sidecar.unlink()
    ledger.commit([_forget_file(path) for path in removed])
    for parent in sorted({Path(folder, path).parent for path in removed}, reverse=True):
        while parent != folder and not any(parent.iterdir()):
            parent.rmdir()
            parent = parent.parent  # noqa: PLW2901  # upwards
    return removed


def _forget_file(path: str) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.forget_file(path)


# ── rebuilding files from kept originals ────────────────────────────────────────────────────────


def _rebuild(plan: Plan, ledger: Ledger, executor: Executor, report: Report) -> None:
    groups: dict[str, list[Step]] = {}
    for step in plan.steps:
        if step.selected and step.action == "rebuild":
            groups.setdefault(step.cell.picture.key, []).append(step)
    waiting = {}
    copies, folder = copies_of(plan.snapshot), plan.manifest.outputs.folder
    for key, steps in groups.items():
        row = plan.snapshot.pictures[key]
        same = tuple(f"{folder}/{path}" for path in copies.get(row.sha256, ()))
        job = _rebuild_job(plan, row, [step.cell for step in steps], same)
        waiting[executor.submit(finish, job)] = (row, steps)
    for future in as_completed(waiting):
        row, steps = waiting[future]
        try:
            written = future.result().renditions
        except MediaError:  # neither the original nor a copy of it is whole
            ledger.commit([_lose(row)])
            report.lost += 1
            continue
        except KeepError as error:
            raise StorageError(f"{steps[0].cell.label}: {error}") from None
        except OSError as error:
            raise StorageError(f"{error.filename}: can't be written: {error.strerror}") from None
        encodings = [encoding_of(plan.manifest, step.cell.format) for step in steps]
        files = [
            FileRow(step.cell.file, row.key, row.take, encoding, file.sha256, file.bytes, file.mtime_ns)
            for step, encoding, file in zip(steps, encodings, written, strict=True)
        ]
        labels = [(step.cell.label, row.key, row.spec) for step in steps]
        ledger.commit([*(_add_file(file) for file in files), *(_add_cell(*label) for label in labels)])
        report.rebuilt += len(files)
        report.aside += [file.aside for file in written if file.aside]


def _lose(row: PictureRow) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.lose_picture(row, gone_words(row))


def _add_wish(key: str, take: int) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.add_wish(key, take)


def _add_file(file: FileRow) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.add_file(file)


def _add_cell(label: str, key: str, spec: str) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.add_cell(label, key, spec)


def _rebuild_job(plan: Plan, row: PictureRow, cells: list[Cell], copies: tuple[str, ...]) -> PictureJob:
    folder = plan.manifest.outputs.folder
    original = Path(folder, PRIVATE, row.original)
    return PictureJob(
        stem=str(original.with_suffix("")),
        image=None,
        proof=None,
        ratio=None,
        renditions=renditions(plan.manifest, cells, plan.snapshot.files),
        thumb=f"{folder}/{PRIVATE}/{thumb_name(row.key, row.take)}",
        sha256=row.sha256,
        copies=copies,
        root=str(folder),
    )
