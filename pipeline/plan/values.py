"""What a plan is made of: steps, selections, planned requests, and the plan itself with its price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from pipeline.budget import Cap, midnight
from pipeline.expand import Expansion, provider_lacks
from pipeline.ledger import FileRow, RequestRow, Snapshot
from pipeline.plan.selectors import Named, matches
from pipeline.types import Cell, Manifest, Picture, Provider, Spec
from pipeline.verdicts import BEFORE, UNDECIDED, Verdicts

REJECTED = "rejected"
"""What ``--retake`` takes instead of a glob: the pictures whose current take is rejected."""

Action: TypeAlias = Literal["done", "rebuild", "make", "failed", "uncertain"]
"""done: nothing to do · rebuild: from the kept original, free · make: owed · failed: refused before, not asked
again by itself, or approved and lost · uncertain: perhaps paid, answer lost, not asked again by itself."""


class Step(NamedTuple):
    """One cell with what is to be done for it, and why. ``selected``: whether this run is to do it."""

    cell: Cell
    action: Action
    reason: str
    selected: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cells a run is about: words (see :mod:`pipeline.plan.selectors`), tags, and the most pictures to make.

    ``pictures``: only cells of these (keys); ``named``: the cells of the words about what changes.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    limit: int | None = None
    pictures: frozenset[str] | None = None
    named: Named = field(default_factory=dict)

    def __contains__(self, cell: object) -> bool:
        """Whether a cell is selected (the limit is counted elsewhere)."""
        if not isinstance(cell, Cell):
            return False
        if self.pictures is not None and cell.picture.key not in self.pictures:
            return False
        if self.only and not any(matches(cell, word, self.named) for word in self.only):
            return False
        if any(matches(cell, word, self.named) for word in self.exclude):
            return False
        return not self.tags or any(tag in cell.place.product.tags for tag in self.tags)


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A paid job still to be done: pictures of one spec and take that differ only in variant.

    ``providers``: who can make it, in order of preference; ``resume``: the open request that this continues, ``pool``
    who can make it should that turn out never to have been accepted.
    """

    spec: Spec
    pictures: tuple[Picture, ...]
    take: int
    label: str
    providers: tuple[Provider, ...]
    resume: RequestRow | None = None
    pool: tuple[Provider, ...] = ()
    wanted: bool = True
    product: str = ""
    product_set: str = ""

    @property
    def usd(self) -> int:
        """What it will cost, in micro-dollars: nothing more when it was accepted; at most its price when an earlier
        run may not have reached the gateway.
        """
        if self.resume is not None:
            return self.resume.reserved if self.resume.state == "intent" and self.wanted else 0
        return self.providers[0].usd * len(self.pictures)

    @property
    def most(self) -> int:
        """The most that it can cost, in micro-dollars, whoever of its pool makes it in the end."""
        if self.resume is not None and not self.usd:
            return 0
        makers = self.providers if self.resume is None else self.pool
        return max([self.usd, *(provider.usd * len(self.pictures) for provider in makers)])


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of all cells and the requests of the selected ones.

    ``held``: approved pictures that a retake asked for, and leaves out; ``lost``: approved pictures that are not here;
    ``strange``: files (relative to the output folder) that a person made and that a run sets aside, to write its own.
    """

    expansion: Expansion
    snapshot: Snapshot
    steps: tuple[Step, ...]
    requests: tuple[PlannedRequest, ...]
    takes: dict[str, int]  # the take that is owed, of each picture to make
    gone: tuple[FileRow, ...] = ()  # files of cells that the manifest no longer has
    selection: Selection = Selection()
    verdicts: Verdicts = UNDECIDED
    held: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    strange: frozenset[str] = frozenset()

    @property
    def manifest(self) -> Manifest:
        """The manifest it was made from."""
        return self.expansion.manifest

    @property
    def usd(self) -> int:
        """The price now, in micro-dollars."""
        return sum(request.usd for request in self.requests)

    def caps(self, budget: int | None = None) -> list[Cap]:
        """What every cap has left for a run, in micro-dollars; ``budget`` is one more cap of this run."""
        wanted, committed = self.manifest.budget, self.snapshot.committed
        found = []
        if wanted.total is not None:
            found.append(Cap("budget.usd", wanted.total, wanted.total - sum(committed.values())))
        if wanted.day is not None:
            left = wanted.day - sum(usd for (_, today), usd in committed.items() if today)
            found.append(Cap("budget.day_usd", wanted.day, left, since=midnight(), until=midnight(1)))
        for name, usd in wanted.sets.items():
            left = usd - committed.get((name, True), 0) - committed.get((name, False), 0)
            found.append(Cap(f"budget.set_usd.{name}", usd, left, product_set=name))
        for name, run in (("budget.run_usd", wanted.run), ("--budget", budget)):
            if run is not None:
                found.append(Cap(name, run, run, run=True))
        return found

    def price_of(self, cap: Cap) -> int:
        """How much of the price now falls under a cap, in micro-dollars, beyond what it holds already."""
        return sum(request.usd for request in self._under(cap) if cap.run or request.resume is None)

    def most(self, budget: int | None = None) -> int:
        """The most that a run can add to the bill, in micro-dollars: as far as its caps let it go."""
        caps = self.caps(budget)
        prices: Counter[str] = Counter()
        for request in self.requests:
            prices[request.product_set] += request.most
        for cap in caps:
            if cap.product_set is not None and cap.product_set in prices:
                prices[cap.product_set] = min(prices[cap.product_set], self._room(cap))
        return min([prices.total(), *(self._room(cap) for cap in caps if cap.product_set is None)])

    def keys_under(self, caps: Iterable[Cap]) -> frozenset[str]:
        """The pictures that are still to be paid, and fall under any of these caps."""
        paid = (request for cap in caps for request in self._under(cap) if request.usd)
        return frozenset(picture.key for request in paid for picture in request.pictures)

    def _room(self, cap: Cap) -> int:
        """How much a run can add to the bill under a cap: what it holds of earlier runs' calls may come to it too."""
        held = sum(request.usd for request in self._under(cap) if request.resume is not None and not cap.run)
        return cap.left + held if cap.left >= 0 else 0

    def _under(self, cap: Cap) -> Iterator[PlannedRequest]:
        return (request for request in self.requests if cap.covers(request.product_set))

    @property
    def work(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.requests) or any(step.selected and step.action == "rebuild" for step in self.steps)

    def counted(self, action: Action) -> int:
        """How many selected cells have this action."""
        return sum(step.selected and step.action == action for step in self.steps)

    # ── what reviewers decided ──────────────────────────────────────────────────────────────────

    @property
    def stale(self) -> Mapping[str, str]:
        """Label without format → what differs from the picture that was approved there."""
        return self.verdicts.stale

    def word(self, step: Step) -> str:
        """What was decided about a cell's picture, where its reason doesn't say so."""
        key, label = step.cell.picture.key, step.cell.label.rpartition(".")[0]
        found = ""
        if step.cell.file in self.strange and "set aside" not in step.reason:
            found = "a picture that is not ours lies there: will be set aside"
        elif key in self.verdicts.frozen and key not in self.lost:
            found = f"frozen: {self.verdicts.frozen[key].words()}"
        elif key in self.verdicts.rejected:
            found = self.verdicts.rejected[key].words()
        elif label in self.stale:
            found = f"{BEFORE}: {self.stale[label]}"
        others = self.verdicts.differing.get(key, ())[:-1]
        found = "" if found in step.reason else found
        return "; but ".join((*([found] if found else []), *(each.words() for each in others)))

    @property
    def differing(self) -> int:
        """On how many selected pictures, as they are now, reviewers don't agree."""
        return len({step.cell.picture.key for step in self.steps if step.selected} & self.verdicts.differing.keys())

    @property
    def frozen(self) -> int:
        """How many selected pictures are approved, here, and so never made again."""
        keys = {step.cell.picture.key for step in self.steps if step.selected}
        return len((keys & self.verdicts.frozen.keys()) - self.lost)

    @property
    def stale_approvals(self) -> int:
        """How many approvals are of another picture than is owed, or shown, at selected labels now."""
        labels = {step.cell.label.rpartition(".")[0] for step in self.steps if step.selected}
        return len({self.verdicts.against[label].picture for label in labels & self.stale.keys()})

    @property
    def rejected(self) -> tuple[str, ...]:
        """The selected pictures (keys) whose current take is rejected, and which this plan doesn't make anew."""
        if not self.verdicts.rejected:
            return ()
        keys = (step.cell.picture.key for step in self.steps if step.selected and step.action in ("done", "rebuild"))
        return tuple(key for key in dict.fromkeys(keys) if key in self.verdicts.rejected)

    def price_anew(self, keys: Iterable[str]) -> int:
        """What it would cost to make these pictures once more, in micro-dollars."""
        specs = (self.expansion.pictures[key].spec for key in keys)
        return sum(able_providers(self.manifest, spec)[0].usd for spec in specs)


def able_providers(manifest: Manifest, spec: Spec) -> list[Provider]:
    """Who can make a spec: in the manifest's order, or the cheapest first."""
    able = [
        provider
        for provider in manifest.providers
        if spec.provider in ("", provider.name) and not provider_lacks(provider.offer, spec)
    ]
    return sorted(able, key=lambda provider: provider.usd) if manifest.routing == "cheapest" else able
