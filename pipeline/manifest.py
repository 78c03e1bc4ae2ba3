"""A manifest file → a checked, frozen :class:`~pipeline.types.Manifest`.

Everything that one key can get wrong is found here, all at once; what takes several keys together
(templates, slots, rules, paths, what a provider can make) is found by :mod:`pipeline.expand`.
"""

from __future__ import annotations

import itertools
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.addresses import refusal
from pipeline.errors import MOST_PROBLEMS, ManifestError, Mark, Problem
from pipeline.gateways import DIALECTS
from pipeline.mistakes import expiry, spreadsheet_error
from pipeline.models import load_model
from pipeline.schema import definitions, did_you_mean, problems, quick
from pipeline.sources import exists, read_products, read_tree, resolve, similar_file
from pipeline.strict_yaml import MAX_NODES, Map, Room, Scalar, Seq, key_path, mark_of, without_collector
from pipeline.types import (
    DEADLINE,
    FORMAT_NAMES,
    Budget,
    KeyPath,
    Manifest,
    Model,
    Offer,
    Outputs,
    Polling,
    Product,
    Prompt,
    Provider,
    Rule,
    micro_usd,
)
from pipeline.written import as_written

DEFAULT_PATH = (
    "{{ product.id }}/{{ prompt.id }}/"
    "{% if vary %}{{ vary }}_{% endif %}{{ aspect_ratio }}_{{ resolution }}_"
    "{% if provider %}{{ provider }}_{% endif %}v{{ variant }}.{{ ext }}"
)
DIMENSIONS = frozenset(
    ["product", "prompt", "set", "tag", "resolution", "aspect_ratio", "format", "variant", "provider"]
)
"""What rules select by, beside the vary axes."""
RESERVED = DIMENSIONS | {"vars", "slot", "references", "campaign", "ext", "vary"}
"""Names that templates and rules give a meaning: no variable and no vary axis may take one."""

_AXES = ("resolution", "aspect_ratio", "format")


@without_collector()
def load(
    file: str,
    *,
    providers: list[str] | None = None,
    places: Mapping[str, str] | None = None,
    rehearsal: bool = False,
) -> Manifest:
    """Read, merge and check a manifest. ``providers`` (names) replaces those it lists.

    ``places``: gateway → the address to call instead of its own and of what the manifest says. ``rehearsal``: the
    pictures are an emulator's, and lie in a folder of their own.

    What is wrong with a manifest of the right shape stands in its ``problems``, so that
    :func:`pipeline.expand.expand` can report it together with all it finds itself.

    Raises:
        ManifestError: when the files can't be read or don't fit the schema.
    """
    room = Room(MAX_NODES)
    tree = read_tree(file, room)
    if "plan" in tree and "fingerprint" in tree:
        raise ManifestError([Problem(tree.mark, "", "is a saved plan, no manifest", f"pipeline run {file}")])
    if "products" not in tree and "prompts" not in tree:
        fact = "is no manifest by itself: it has neither products nor prompts"
        raise ManifestError([Problem(tree.mark, "", fact, "house rules are for others to `extends`")])
    found = list(itertools.islice(problems(tree, "manifest"), MOST_PROBLEMS + 1))
    if len(found) > MOST_PROBLEMS:
        raise ManifestError(found[:MOST_PROBLEMS], None)
    reader = _Reader(tree, file, providers, dict(places or {}), room, rehearsal=rehearsal)
    if found:
        reader.files_only()
        raise ManifestError([*found, *reader.found])
    return reader.manifest()


def _from_file(tree: Map, name: str, value: Map, room: Room) -> tuple[Seq, list[Problem]]:
    """The products of ``products.NAME: {from: …}`` and what is wrong with them.

    Raises:
        ManifestError: when that is too much to go on.
    """
    path: KeyPath = ("products", name, "from")
    mark = mark_of(tree, path)
    written = str(value["from"])
    base = mark.file if mark else ""
    where = resolve(base, written)
    empty = Seq(value.mark)
    if not exists(where):
        return empty, [Problem(mark, key_path(path), f"there is no file {written!r}", similar_file(where))]
    try:
        rows = read_products(str(Path(Path(base).parent, written)), where, room)
    except ManifestError as error:
        return empty, error.problems
    found: list[Problem] = []
    good, more = quick("manifest", "product").is_valid, 0
    for index, row in enumerate(rows):
        if good(row):
            continue
        if len(found) >= MOST_PROBLEMS:
            more += 1
            continue
        for problem in problems(row, "manifest", definition="product", root=row if isinstance(row, Map) else None):
            inner = key_path(("products", name, index))
            joined = f"{inner}.{problem.path}" if problem.path else inner
            found.append(Problem(problem.mark or rows.marks[index], joined, problem.fact, problem.hint))
    if more:
        raise ManifestError(found, more)
    return rows, found


class _Reader:
    """Turns a tree that fits the schema into dataclasses, collecting what the schema can't see."""

    def __init__(
        self,
        tree: Map,
        file: str,
        providers: list[str] | None,
        places: dict[str, str],
        room: Room,
        *,
        rehearsal: bool,
    ) -> None:
        self.tree: Any = tree
        self.room = room
        self.there: set[Path] = set()  # images that were found: many products share one
        self.places = places
        self.rehearsal = rehearsal
        self.file = file
        self.split: set[str] = set()  # product sets with tags that were split at spaces
        self.chosen = providers
        self.found: list[Problem] = []

    def complain(self, path: KeyPath, fact: str, hint: str = "", *, key: bool = False) -> None:
        self.found.append(Problem(mark_of(self.tree, path, key=key), key_path(path), fact, hint))
        if len(self.found) > MOST_PROBLEMS:
            raise ManifestError(self.found, None)

    def doubt(self, path: KeyPath, fact: str, hint: str) -> None:
        """Warn of what is most likely a mistake."""
        if sum(problem.warning for problem in self.found) < MOST_PROBLEMS:
            self.found.append(Problem(mark_of(self.tree, path), key_path(path), fact, hint, warning=True))

    def files_only(self) -> None:
        """What can be said of the files that a manifest of the wrong shape names."""
        for name, value in _items(self.tree.get("products")):
            if isinstance(value, Map) and isinstance(value.get("from"), str):
                value, found = _from_file(self.tree, name, value, self.room)  # noqa: PLW2901  # the file's products
                self.found += found
                self.tree["products"].put(name, value, *self.tree["products"].marks[name])
            for index, row in enumerate(value if isinstance(value, Seq) else ()):
                for image, written in _items(row.get("images") if isinstance(row, Map) else None):
                    if isinstance(written, str):
                        self.image(("products", name, index, "images", image), written)
        for name, value in _items(self.tree.get("references")):
            if isinstance(value, str):
                self.image(("references", name), value)

    def manifest(self) -> Manifest:
        tree = self.tree
        products = {name: self.product_set(name, value) for name, value in tree["products"].items()}
        self.unique_products(products)
        prompts = tuple(self.prompt(name, value, products) for name, value in tree["prompts"].items())
        self.reserved(("vars",), tree.get("vars", {}))
        references = {name: self.reference(name, value) for name, value in tree.get("references", {}).items()}
        model = self.model()
        providers = self.providers(model) if model else ()
        outputs = self.outputs(tree.get("outputs", {}), providers, proofs=self.proofs_of_paid(model, providers))
        if model is None or not providers:
            raise ManifestError(self.found)
        return Manifest(
            file=self.file,
            campaign=tree["campaign"],
            model=model,
            providers=providers,
            vars=self.scalars(("vars",), tree.get("vars", {})),
            references=references,
            products=products,
            prompts=prompts,
            outputs=outputs,
            budget=self.budget(tree.get("budget", {}), products),
            source=tree,
            routing=tree.get("routing", "failover"),
            rehearsal=self.rehearsal,
            problems=tuple(self.found),
        )

    def model(self) -> Model | None:
        mark = mark_of(self.tree, ("model",))
        try:
            return load_model(self.tree.get("model", "kling-image-o1"), Path(mark.file if mark else self.file).parent)
        except ManifestError as error:
            for problem in error.problems:
                self.found.append(problem if problem.mark else Problem(mark, problem.path, problem.fact, problem.hint))
            return None

    def providers(self, model: Model) -> tuple[Provider, ...]:
        listed = self.listed()
        by_name = {(entry if isinstance(entry, str) else entry["name"]): entry for entry in listed}
        chosen = [by_name.get(name, name) for name in self.chosen] if self.chosen else listed
        result: list[Provider] = []
        for index, entry in enumerate(chosen):
            path: KeyPath = ("providers",) if self.chosen else ("providers", index)
            settings: Any = {"name": entry} if isinstance(entry, str) else entry
            gateway = settings.get("gateway", settings["name"])
            offer = model.offers.get(gateway)
            if offer is None:
                fact, hint = f"no gateway {gateway!r} offers {model.name}", did_you_mean(gateway, model.offers)
                self.found.append(Problem(None, "--provider", fact, hint))
                if entry in listed:
                    self.found.pop()
                    self.complain(path, fact, hint)
                continue
            if gateway not in DIALECTS:
                self.complain(path, f"this version can't call {gateway!r}", did_you_mean(gateway, DIALECTS))
            if any(other.name == settings["name"] for other in result):
                self.complain(path, f"the provider {settings['name']!r} is listed twice", "give one another `name`")
            result.append(self.provider(path, settings, offer))
        if len({provider.proof for provider in result}) > 1:
            self.complain(
                ("providers",), "`local` makes proofs: it can't share a pool with paid providers", "remove it"
            )
        return tuple(result)

    def provider(self, path: KeyPath, settings: Any, offer: Offer) -> Provider:  # noqa: ANN401  # fits the schema
        at = path if mark_of(self.tree, (*path, "name")) else self.place_of(settings["name"])
        base_url = self.places.get(offer.gateway) or settings.get("base_url")
        if base_url is not None and not _is_address(base_url):
            hint = "for example http://127.0.0.1:8080"
            if base_url == self.places.get(offer.gateway):
                fact = f"{offer.gateway.upper()}_BASE_URL is {base_url!r}, and that is no address"
                self.found.append(Problem(None, "environment", fact, hint))
            else:
                self.complain((*at, "base_url"), f"{base_url!r} is no address", hint)
        options = settings.get("options", {})
        known = f"options_{offer.gateway}"
        if known in definitions("manifest"):
            self.found += problems(options, "manifest", definition=known, at=(*at, "options"), root=self.tree)
        poll = settings.get("poll")
        return Provider(
            name=settings["name"],
            offer=offer,
            usd=micro_usd(settings["usd"]) if "usd" in settings else offer.usd,
            concurrency=int(settings.get("concurrency", offer.concurrency)),
            base_url=base_url.rstrip("/") if base_url else None,
            path=path,
            per_minute=int(settings["per_minute"]) if "per_minute" in settings else offer.per_minute,
            polling=Polling(float(poll["first"]), float(poll["every"])) if poll else None,
            deadline=float(settings.get("deadline", DEADLINE)),
            key_env=settings.get("key_env"),
            options=json.loads(json.dumps(options)),
        )

    def place_of(self, name: str) -> KeyPath:
        """Where the manifest lists a provider."""
        names = [entry if isinstance(entry, str) else entry["name"] for entry in self.listed()]
        return ("providers", names.index(name)) if name in names else ("providers",)

    def image(self, path: KeyPath, written: str) -> str:
        """The absolute path of an image, or its https URL."""
        if "://" in written:
            why = refusal(written) if written.startswith("https://") else ""
            if any(sign in written for sign in ' "<>\\') or not written.isprintable():
                why = ""
            if why is not None:
                fact = f"{written!r} can't be fetched by a gateway" + (f": {why}" if why else "")
                self.complain(path, fact, "use an https URL or a file's path")
            elif (until := expiry(written)) is not None:
                fact = "the link is signed, and stops working" + (f" on {until}" if until else " after some time")
                self.doubt(path, fact, "use a link that lasts, or a file")
            return written
        mark = mark_of(self.tree, path)
        where = resolve(mark.file if mark else self.file, written)
        if where not in self.there:
            if exists(where):
                self.there.add(where)
            else:
                self.complain(path, f"there is no file {written!r}", similar_file(where))
        return str(where)

    def reference(self, name: str, value: Any) -> tuple[str, str | None]:  # noqa: ANN401  # fits the schema
        if isinstance(value, str):
            return self.image(("references", name), value), None
        return self.image(("references", name, "image"), value["image"]), value.get("role")

    def product_set(self, name: str, value: Any) -> tuple[Product, ...]:  # noqa: ANN401  # fits the schema
        extra_vars: dict[str, Any] = {}
        extra_tags: list[str] = []
        if isinstance(value, Map):
            extra_vars = self.scalars(("products", name, "vars"), value.get("vars", {}))
            extra_tags = list(value.get("tags", []))  # type: ignore[arg-type]  # fits the schema
            rows, found = _from_file(self.tree, name, value, self.room)
            self.found += found
            if found:
                return ()
            self.tree["products"].put(name, rows, *self.tree["products"].marks[name])
            value = rows
        if not value:
            self.complain(("products", name), "the product set is empty", "add a product, or remove the set")
        return tuple(
            self.product(("products", name, index), name, row, extra_vars, extra_tags)
            for index, row in enumerate(value)
        )

    def product(
        self,
        path: KeyPath,
        set_name: str,
        row: Any,  # noqa: ANN401  # fits the schema
        extra_vars: dict[str, Any],
        extra_tags: list[str],
    ) -> Product:
        images = {name: self.image((*path, "images", name), written) for name, written in row.get("images", {}).items()}
        tags = mark_of(row, ("tags",))
        if tags and tags.written and set_name not in self.split:
            self.split.add(set_name)
            hint = "separate tags by ; and write a tag of two words with a hyphen"
            self.doubt((*path, "tags"), f"{tags.written!r} is read as the tags {', '.join(row['tags'])}", hint)
        self.sheet_error((*path, "name"), row.get("name", ""))
        return Product(
            id=row["id"],
            name=row.get("name", row["id"]),
            set=set_name,
            images=images,
            vars=extra_vars | self.scalars((*path, "vars"), row.get("vars", {})),
            tags=tuple(dict.fromkeys([*extra_tags, *row.get("tags", [])])),
            path=path,
        )

    def scalars(self, path: KeyPath, values: Any) -> dict[str, Scalar]:  # noqa: ANN401  # fits the schema
        """Variables or the values of an axis, numbers as they are written."""
        result = {}
        for name, value in values.items():
            self.sheet_error((*path, name), value)
            result[name] = as_written(value, values.marks[name][1].written)
        return result

    def sheet_error(self, path: KeyPath, value: object) -> None:
        """Warn of a value that a spreadsheet could not compute."""
        if isinstance(value, str) and (error := spreadsheet_error(value)):
            self.doubt(
                path, f"{error} is what a spreadsheet shows for an error", "correct the formula, and save it again"
            )

    def budget(self, written: Any, products: Mapping[str, object]) -> Budget:  # noqa: ANN401  # fits the schema
        sets = written.get("set_usd", {})
        for name in sets:
            if name not in products:
                hint = did_you_mean(name, products)
                self.complain(("budget", "set_usd", name), f"there is no product set {name!r}", hint, key=True)
        amounts = (written.get(name) for name in ("usd", "run_usd", "day_usd", "confirm_above"))
        total, run, day, above = (None if usd is None else micro_usd(usd) for usd in amounts)
        return Budget(total, run, day, {name: micro_usd(usd) for name, usd in sets.items()}, above)

    def unique_products(self, products: dict[str, tuple[Product, ...]]) -> None:
        first: dict[str, Product] = {}
        for product in (product for group in products.values() for product in group):
            twin = first.setdefault(product.id.casefold(), product)
            if twin is not product:
                place = mark_of(self.tree, (*twin.path, "id"))
                self.complain((*product.path, "id"), f"the id {product.id!r} is taken by {place}", "ids are unique")

    def prompt(self, name: str, value: Any, products: dict[str, Any]) -> Prompt:  # noqa: ANN401  # fits the schema
        path: KeyPath = ("prompts", name)
        sets = value.get("products", list(products))
        for index, wanted in enumerate(sets):
            if wanted not in products:
                hint = did_you_mean(wanted, products)
                self.complain((*path, "products", index), f"there is no product set {wanted!r}", hint)
        vary = {axis: self.axis((*path, "vary", axis), values) for axis, values in value.get("vary", {}).items()}
        self.reserved((*path, "vary"), vary)
        for axis in vary:
            if axis in self.tree.get("vars", {}):
                self.complain((*path, "vary", axis), f"{axis!r} is also a variable in `vars`", "rename one", key=True)
        images = value.get("images")
        if isinstance(images, list):
            images = list(zip(_slot_names(images), images, strict=True))
        elif images is not None:
            images = list(images.items())
        return Prompt(
            id=name,
            text=value["text"],
            images=None if images is None else tuple(images),
            sets=tuple(sets),
            vary=vary,
            path=path,
        )

    def axis(self, path: KeyPath, values: Any) -> dict[str, Any]:  # noqa: ANN401  # fits the schema
        if isinstance(values, Map):
            return self.scalars(path, values)
        result: dict[str, Any] = {}
        for index, (value, mark) in enumerate(zip(values, values.marks, strict=True)):
            text = as_written(value, mark.written)
            label = unicodedata.normalize("NFC", str(text))
            if label in result:
                self.complain((*path, index), f"{label!r} is listed twice", "remove one")
            result[label] = text
        return result

    def reserved(self, path: KeyPath, names: Any) -> None:  # noqa: ANN401  # any mapping
        for name in names:
            if name in RESERVED:
                self.complain((*path, name), f"{name!r} has a meaning of its own in templates", "rename it", key=True)

    def proofs_of_paid(self, model: Model | None, providers: tuple[Provider, ...]) -> bool:
        """Whether this makes proofs of a campaign whose own providers are paid."""
        if model is None or not providers or not providers[0].proof:
            return False
        own = [entry if isinstance(entry, str) else entry.get("gateway", entry["name"]) for entry in self.listed()]
        return any(gateway != "local" for gateway in own)

    def listed(self) -> list[Any]:
        """The providers as the manifest lists them."""
        return list(self.tree.get("providers", ["local"]))

    def outputs(self, value: Any, providers: tuple[Provider, ...], *, proofs: bool) -> Outputs:  # noqa: ANN401  # fits the schema
        defaults = {"resolution": ["1K"], "aspect_ratio": ["1:1"], "format": ["png"]}
        axes = {}
        for axis in _AXES:
            given = value.get(axis, defaults[axis])
            axes[axis] = (given,) if isinstance(given, str) else tuple(given)
        axes["format"] = tuple(FORMAT_NAMES.get(name, name) for name in axes["format"])
        if len(set(axes["format"])) < len(axes["format"]):
            self.complain(("outputs", "format"), "jpg and jpeg are one format", "remove one")
        quality = value.get("quality", {})
        if {"jpg", "jpeg"} <= quality.keys():
            self.complain(("outputs", "quality", "jpg"), "jpg and jpeg are one format", "remove one", key=True)
        mark = mark_of(self.tree, ("outputs", "folder")) if "folder" in value else None
        folder = resolve(mark.file if mark else self.file, value.get("folder", f"out/{self.tree['campaign']}"))
        folder = Path(os.path.normpath(folder))
        if proofs:  # never in the place of paid pictures
            folder = folder.with_name(f"{folder.name}-proofs")
        if self.rehearsal:
            folder = folder.with_name(f"{folder.name}-rehearsal")
        known = [provider.name for provider in providers]
        for index, name in enumerate(value.get("provider", [])):
            if providers and name not in known and not self.chosen:
                self.complain(
                    ("outputs", "provider", index), f"there is no provider {name!r}", did_you_mean(name, known)
                )
        return Outputs(
            **axes,
            provider=tuple(name for name in value.get("provider", []) if name in known),
            variants=int(value.get("variants", 1)),  # 2.0 is a whole number too
            native=value.get("native", False),
            quality={"jpeg": 90, "webp": 85}
            | {FORMAT_NAMES.get(name, name): int(level) for name, level in quality.items()},
            exclude=self.rules("exclude", value, known),
            include=self.rules("include", value, known),
            file=value.get("path", DEFAULT_PATH),
            folder=folder,
        )

    def rules(self, kind: str, value: Any, providers: list[str]) -> tuple[Rule, ...]:  # noqa: ANN401  # fits the schema
        known = DIMENSIONS.union(*(prompt.get("vary", ()) for prompt in self.tree["prompts"].values()))
        result = []
        for index, rule in enumerate(value.get(kind, [])):
            path: KeyPath = ("outputs", kind, index)
            for key in rule:
                if key not in known:
                    self.complain((*path, key), f"there is no dimension {key!r}", did_you_mean(key, known), key=True)
            where = {key: _patterns(wanted, rule.marks[key][1]) for key, wanted in rule.items()}
            if "format" in where:
                where["format"] = tuple(FORMAT_NAMES.get(name, name) for name in where["format"])
            if "provider" in where and self.chosen and not set(where["provider"]) <= set(providers):
                if kind == "exclude":
                    continue  # of providers that aren't used now
                del where["provider"]
            for name in where.get("provider", ()):
                if providers and name not in providers and not any(sign in name for sign in "*?["):
                    hint = did_you_mean(name, providers)
                    self.complain((*path, "provider"), f"there is no provider {name!r}", hint)
            result.append(Rule(where, path))
        return tuple(result)


def _patterns(wanted: Any, mark: Mark) -> tuple[str, ...]:  # noqa: ANN401  # fits the schema
    """What a rule wants of one dimension, numbers as they are written."""
    marked: Any = zip(wanted, wanted.marks, strict=True) if isinstance(wanted, Seq) else [(wanted, mark)]
    texts = (str(as_written(each, place.written)) for each, place in marked)
    return tuple(unicodedata.normalize("NFC", text) for text in texts)


def _is_address(url: str) -> bool:
    """Whether a base_url can be called at all."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _items(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # anything at all
    return iter(value.items() if isinstance(value, Map) else ())


def _slot_names(images: list[str]) -> list[str]:
    """Slot names for a list: the last part of each; the first product image is also ``product`` (see expand)."""
    names: list[str] = []
    for number, written in enumerate(images, 1):
        name = written.rpartition(".")[2].strip()
        names.append(name if name.isidentifier() and name not in names else f"image{number}")
    return names
