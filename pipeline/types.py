"""The values that flow through the pipeline, in the words of the README's glossary.

Frozen and plain: whoever holds one can read it, no one can change it. Money is in integer
micro-dollars (``usd``: 28_000 is $0.028) so that sums are exact; times are Unix seconds.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pipeline.errors import Mark, Problem
from pipeline.strict_yaml import Map, Scalar, key_path, mark_of

KeyPath: TypeAlias = tuple[str | int, ...]
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

_RATIO = re.compile(r"(?<=\d):(?=\d)")
_NO_NAME = re.compile(r"[\x00-\x2d\x2f:-@[-^`{-\x7f]+")  # ASCII but letters, digits, dot and underscore

EXTENSION = {"png": "png", "jpeg": "jpg", "webp": "webp"}
"""Format → file extension."""
FORMAT_NAMES = {"jpg": "jpeg"}
"""Other names of formats, which are read as ours."""


def micro_usd(dollars: float) -> int:
    """Dollars → micro-dollars, rounded to the nearest."""
    return round(dollars * 1_000_000)


def dollars(usd: int) -> str:
    """Micro-dollars → ``$1.40``, ``$0.028``: two decimals at least, more only where they say something."""
    text = f"{usd / 1_000_000:,.6f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"${whole}.{cents.ljust(2, '0')}"


@lru_cache(maxsize=8192)
def slug(text: str) -> str:
    """A file-name part: letters, digits, ``.``, ``_`` and ``-`` stay, ``16:9`` becomes ``16x9``, the rest ``-``."""
    text = unicodedata.normalize("NFC", text.strip())
    kept = "".join(sign if sign.isascii() or unicodedata.category(sign)[0] in "LMN" else "-" for sign in text)
    return _NO_NAME.sub("-", _RATIO.sub("x", kept)).strip("-.")[:80] or "_"


# ── what a model can do, and where ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ReferenceLimits:
    """What a model takes as a reference image: longest/shortest side as ``max_ratio``, bytes, pixels."""

    formats: tuple[str, ...]
    max_bytes: int
    min_side: int
    max_ratio: float


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as one gateway serves it: its id there, its limits, its price per picture.

    ``per_minute``: requests that the gateway takes in a minute (None: unpublished). ``fields``: what we call something
    → where its value stands in the gateway's input (``references`` → ``inputs.referenceImages``); ``values``: our word
    → the gateway's, where they differ.
    """

    gateway: str
    id: str
    usd: int
    prompt: tuple[int, int]
    references: tuple[int, int]
    resolution: tuple[str, ...]
    aspect_ratio: tuple[str, ...]
    format: tuple[str, ...]
    count: int
    concurrency: int
    source: str
    per_minute: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """An image model: data, read from ``pipeline/models/*.yaml`` or a file of the user's."""

    name: str
    title: str
    sizes: Mapping[str, Mapping[str, tuple[int, int]]]
    reference: ReferenceLimits
    offers: Mapping[str, Offer]

    def size(self, resolution: str, aspect_ratio: str, nearest_to: float = 1.0) -> tuple[int, int]:
        """Pixels (width, height); for ``auto`` the size whose ratio is nearest to ``nearest_to``."""
        sizes = self.sizes[resolution]
        if aspect_ratio in sizes:
            return sizes[aspect_ratio]
        return min(sizes.values(), key=lambda wh: abs(wh[0] / wh[1] - nearest_to))

    def areas(self, resolution: str, aspect_ratio: str) -> list[int]:
        """How many pixels this may come to: at the ratio, or at any of them for ``auto``; empty when unknown."""
        sizes = self.sizes.get(resolution, {})
        named = [sizes[aspect_ratio]] if aspect_ratio in sizes else sizes.values()
        return [width * height for width, height in named]


DEADLINE = 1800.0
"""Seconds that one request may take, unless its provider says otherwise."""


@dataclass(frozen=True, slots=True)
class Polling:
    """When to ask how a request is doing: seconds before the first time, and between all others."""

    first: float
    every: float

    def waits(self) -> Iterator[float]:
        """Seconds to wait before each poll, without end."""
        yield self.first
        yield from itertools.repeat(self.every)


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured gateway. ``usd`` is the price per picture, ``concurrency`` the requests in flight, ``per_minute``
    the most that are made in a minute, ``deadline`` the seconds that one may take.

    ``options`` are the gateway's own extras, ``key_env`` the environment variable that holds its key.
    """

    name: str
    offer: Offer
    usd: int
    concurrency: int
    base_url: str | None
    path: KeyPath = ()
    per_minute: int | None = None
    polling: Polling | None = None
    deadline: float = DEADLINE
    key_env: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    speed: float = 1.0  # how much faster than the real one its gateway works: of an emulator

    @property
    def proof(self) -> bool:
        """Whether its pictures are offline proofs, not the model's."""
        return self.offer.gateway == "local"


# ── the manifest ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Reference:
    """One input image. ``source`` is an absolute path or an https URL; ``digest`` is the SHA-256 of
    its bytes (of its URL, where the bytes can't be known offline). ``width`` and ``height`` are upright;
    ``max_bytes`` is what the model takes (0: any number).
    """

    name: str
    source: str
    digest: str
    role: str | None = None
    width: int = 0
    height: int = 0
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """One product with its images (name → source), variables and tags."""

    id: str
    name: str
    set: str
    images: Mapping[str, str]
    vars: Mapping[str, Scalar]
    tags: tuple[str, ...]
    path: KeyPath


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt template. ``images``: slot name → what it names (``product.front``), in slot order;
    ``vary``: axis → label → value.
    """

    id: str
    text: str
    images: tuple[tuple[str, str], ...] | None
    sets: tuple[str, ...]
    vary: Mapping[str, Mapping[str, Scalar]]
    path: KeyPath


@dataclass(frozen=True, slots=True)
class Rule:
    """One exclude or include rule: dimension → patterns, any of which matches."""

    where: Mapping[str, tuple[str, ...]]
    path: KeyPath


@dataclass(frozen=True, slots=True)
class Outputs:
    """The output matrix, its rules, and how files are named and encoded."""

    resolution: tuple[str, ...]
    aspect_ratio: tuple[str, ...]
    format: tuple[str, ...]
    provider: tuple[str, ...]  # names; empty where it is no axis
    variants: int
    native: bool
    quality: Mapping[str, int]
    exclude: tuple[Rule, ...]
    include: tuple[Rule, ...]
    file: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps in micro-dollars; None is no cap. ``sets``: those of product sets; above ``confirm_above`` a run asks."""

    total: int | None = None
    run: int | None = None
    day: int | None = None
    sets: Mapping[str, int] = field(default_factory=dict)
    confirm_above: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest, checked against its schema. ``source`` is the merged tree with its places."""

    file: str
    campaign: str
    model: Model
    providers: tuple[Provider, ...]
    vars: Mapping[str, Scalar]
    references: Mapping[str, tuple[str, str | None]]
    products: Mapping[str, tuple[Product, ...]]
    prompts: tuple[Prompt, ...]
    outputs: Outputs
    budget: Budget
    source: Map
    routing: str = "failover"
    rehearsal: bool = False  # its gateways are an emulator's
    problems: tuple[Problem, ...] = ()  # found so far; expand raises them with its own

    @property
    def proof(self) -> bool:
        """Whether the pictures are offline proofs."""
        return self.providers[0].proof

    def mark(self, path: KeyPath, *, key: bool = False) -> Mark | None:
        """Where this key path was written, in whichever file."""
        return mark_of(self.source, path, key=key)

    def holds(self, path: KeyPath) -> bool:
        """Whether something is written at exactly this key path."""
        node: Any = self.source
        try:
            for part in path:
                node = node[part]
        except (KeyError, IndexError, TypeError):
            return False
        return True

    def complained(self, path: KeyPath) -> bool:
        """Whether something at or below this key path is wrong already."""
        return any(problem.path.startswith(key_path(path)) for problem in self.problems)

    def problem(self, path: KeyPath, fact: str, hint: str = "", *, warning: bool = False) -> Problem:
        """A problem at this key path."""
        return Problem(self.mark(path), key_path(path), fact, hint, warning)


# ── cells and pictures ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that determines a generated image but its variant number. ``key`` hashes all of it."""

    key: str
    model: str
    proof: bool
    prompt: str
    references: tuple[Reference, ...]
    resolution: str
    aspect_ratio: str
    format: str  # that the gateway is asked for; of the kept original
    provider: str = ""  # where the matrix has an axis of providers: the only one that may make it

    def described(self) -> dict[str, Json]:
        """The parts that the key hashes, for the ledger and for people."""
        return {
            "model": self.model,
            "proof": self.proof,
            "prompt": self.prompt,
            "references": [[r.name, r.digest] for r in self.references],
            "resolution": self.resolution,
            "aspect_ratio": self.aspect_ratio,
            "format": self.format,
            **({"provider": self.provider} if self.provider else {}),
        }


@dataclass(frozen=True, slots=True)
class Picture:
    """One generated image: a spec and a variant number (1, 2, …). ``key`` is its content hash."""

    key: str
    spec: Spec
    variant: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the sheet: a product in a prompt, at one combination of the vary axes."""

    product: Product
    prompt: str
    vary: tuple[tuple[str, str], ...]  # axis, label
    label: str  # enamel-blue/table/breakfast-table


@dataclass(frozen=True, slots=True)
class Cell:
    """One output file: a label, a picture and a format. ``file`` is relative to the output folder."""

    label: str
    place: Place
    picture: Picture
    format: str
    file: str


# ── calls ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP exchange that a flow asks for. ``url`` is absolute; ``after``: seconds to wait before it;
    ``paid``: accepting it costs money, so its intent is committed first and its answer is a receipt.

    ``data``: a body that is no JSON. ``seconds``: how long its answer may take. ``reads``: statuses of 500 and above
    that the dialect reads itself when they come with JSON; all others say nothing. ``merged``: its JSON is a list that
    may travel together with those of other requests; each gets the whole answer.
    """

    method: Literal["GET", "POST", "PUT"]
    url: str
    json: Json = None
    after: float = 0.0
    paid: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    seconds: float = 60.0
    reads: tuple[int, ...] = ()
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP status, lower-case headers, and the body as JSON (None when it is none).

    ``body``: what answered a paid call instead of JSON, as text or as a ``data:`` address; empty otherwise.
    """

    status: int
    headers: Mapping[str, str]
    json: Json
    body: str = ""


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """A generated image, not fetched yet: a URL, inline bytes, or a proof still to be drawn."""

    url: str | None = None
    data: bytes | None = None
    proof: bool = False
    seed: int | None = None
    usd: int | None = None  # micro-dollars, where the gateway tells
    nsfw: bool | None = None  # flagged by the gateway's own check, where it was asked to


@dataclass(frozen=True, slots=True)
class Job:
    """What a dialect needs to make one request: pictures of one spec that differ only in variant.

    ``images`` are the references as the gateway is given them, in slot order: web addresses, data URIs, or ids of
    uploads. ``size`` is in pixels, None for ``auto``. ``base_url`` is empty for the vendor's own address. ``webhook``
    is where the gateway may tell that it is done, ``secret`` what it proves itself with.
    """

    id: str  # ours, a UUID: sent along where the gateway takes it
    offer: Offer
    base_url: str
    spec: Spec
    count: int
    images: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    polling: Polling = Polling(1.0, 2.0)
    deadline: float = DEADLINE
    options: Mapping[str, Json] = field(default_factory=dict)
    webhook: str = ""
    secret: str = ""

    def url(self, vendor: str, path: str) -> str:
        """A path at the vendor's address, or at the one that stands for it."""
        return f"{self.base_url or vendor}{path}"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A reference's file, to be uploaded. ``kind`` is its media type; ``id`` a UUID of ours for this upload."""

    id: str
    name: str
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An uploaded file as requests name it, and for how many seconds it may be used."""

    reference: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Fate:
    """What a gateway's log says of a request whose answer was lost.

    ``accepted``: the answer it would have been; ``not-accepted``: nothing was billed; ``billed``: made and paid, and
    the picture can't be had; ``unknown``: not there, or not there yet; ``lost``: nothing will ever tell.
    """

    kind: Literal["accepted", "not-accepted", "billed", "unknown", "lost"]
    answer: Answer | None = None
    text: str = ""


Settles: TypeAlias = Literal["id", "trace", "none"]
Carried: TypeAlias = Literal["inline", "upload"]
Flow: TypeAlias = Generator[Call, Answer, list[RemoteImage]]
Upload: TypeAlias = Generator[Call, Answer, Uploaded]
Trace: TypeAlias = Generator[Call, Answer, Fate]
Cancel: TypeAlias = Generator[Call, Answer, Literal["asked", "finished", "impossible"]]
