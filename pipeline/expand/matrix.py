"""The output matrix: which combinations of the output axes a place has, after its include and exclude rules."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase, translate
from typing import NamedTuple

from pipeline.errors import MOST_PROBLEMS, ManifestError
from pipeline.expand.findings import Findings
from pipeline.schema import did_you_mean
from pipeline.types import EXTENSION, KeyPath, Manifest, Place, Rule

MAX_CELLS = 200_000
"""More is refused before it is built: at $0.028 a picture this is thousands of dollars in one manifest."""
MAX_VARIANT = 100
MAX_COMPARISONS = 3_000_000
"""Of rules with places and outputs: a second. A hundred rules for ten thousand places."""
_HINTS = 10  # rules that matched nothing for which the nearest name is looked for

OUTPUT_AXES = ("resolution", "aspect_ratio", "variant", "format", "provider")
_GLOB = re.compile(r"[*?\[]")
_COUNTED = 10**15  # a number that is still read; the next can have a million digits


class Combo(NamedTuple):
    """One combination of the output axes."""

    resolution: str
    aspect_ratio: str
    variant: int
    format: str
    provider: str = ""  # empty where the matrix has no such axis


class Wanted:
    """What a rule wants of one dimension: names, or globs."""

    __slots__ = ("globs", "names")

    def __init__(self, patterns: Iterable[str]) -> None:
        globs = [pattern for pattern in patterns if _GLOB.search(pattern)]
        self.globs = [re.compile(translate(glob)).match for glob in globs]
        self.names = frozenset(patterns) - set(globs)

    def has(self, name: str) -> bool:
        """Whether a name is wanted."""
        return name in self.names or any(match(name) for match in self.globs)

    @property
    def cost(self) -> int:
        """Comparisons that one question takes."""
        return 1 + len(self.globs)


class Matrix:
    """The matrix of a manifest; places to which the same rules apply share their combinations."""

    def __init__(self, manifest: Manifest, found: Findings) -> None:
        self.manifest = manifest
        self.outputs = manifest.outputs
        self.found = found
        self.whole: list[Combo] = []
        self.hits: set[KeyPath] = set()
        self.known: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Combo]] = {}
        self.cells = 0
        self.comparisons = 0
        self.include = [_of_places(rule) for rule in self.outputs.include]
        self.exclude = [_of_places(rule) for rule in self.outputs.exclude]

    def cap(self) -> None:
        """Refuse too large a matrix before building it."""
        outputs = self.manifest.outputs
        cells = places = 0
        shape = len(outputs.resolution) * len(outputs.aspect_ratio) * len(outputs.format) * outputs.variants
        shape *= len(outputs.provider) or 1
        for prompt in self.manifest.prompts:
            products = sum(len(self.manifest.products.get(name, ())) for name in prompt.sets)
            here = products * math.prod(len(values) for values in prompt.vary.values())
            places, cells = places + here, cells + here * shape
        if cells > MAX_CELLS:
            many = f"{cells:,}" if cells < _COUNTED else f"more than {_COUNTED:,}"
            fact = f"the matrix has {many} cells, and the most is {MAX_CELLS:,}"
            hint = "shorten an axis, or split the campaign into several manifests"
            raise ManifestError([*self.manifest.problems, self.manifest.problem(("outputs",), fact, hint)])
        tags = max((len(product.tags) for group in self.manifest.products.values() for product in group), default=0)
        for rule in (*self.include, *self.exclude):
            each = sum(wanted.cost * (max(tags, 1) if key == "tag" else 1) for key, wanted in rule.items())
            self.compare(places * (1 + each))
        self.whole = _whole(self.manifest)

    def compare(self, number: int) -> None:
        """Count comparisons, before they are made.

        Raises:
            ManifestError: when they are too many to wait for.
        """
        self.comparisons += number
        if self.comparisons > MAX_COMPARISONS:
            fact = f"the include and exclude rules take more than {MAX_COMPARISONS:,} comparisons"
            raise ManifestError([self.manifest.problem(("outputs",), fact, "use fewer of them, or fewer globs")])

    def at(self, place: Place) -> list[Combo]:
        """The combinations of a place."""
        attributes = {
            "product": (place.product.id,),
            "prompt": (place.prompt,),
            "set": (place.product.set,),
            "tag": place.product.tags,
        } | {axis: (label,) for axis, label in place.vary}
        include = tuple(i for i, rule in enumerate(self.include) if _matches_place(rule, attributes))
        exclude = tuple(i for i, rule in enumerate(self.exclude) if _matches_place(rule, attributes))
        combos = self.known.get((include, exclude))
        if combos is None:
            combos = self.known[include, exclude] = self.combos(include, exclude)
        self.cells += len(combos)
        self.capped(self.cells)
        return combos

    def capped(self, cells: int) -> None:
        """Refuse more cells than there may be."""
        if cells > MAX_CELLS:
            fact = f"the include rules make more than {MAX_CELLS:,} cells"
            raise ManifestError([self.manifest.problem(("outputs", "include"), fact, "narrow them")])

    def combos(self, include: tuple[int, ...], exclude: tuple[int, ...]) -> list[Combo]:
        """The combinations where these rules apply."""
        outputs = self.outputs
        self.compare(len(self.whole))
        combos = dict.fromkeys(self.whole)
        for index in include:
            rule = outputs.include[index]
            more = list(self.included(rule))
            if more:
                self.hits.add(rule.path)
            combos.update(dict.fromkeys(more))
            self.capped(len(combos))
        for index in exclude:
            rule = outputs.exclude[index]
            wanted = {axis: Wanted(rule.where[axis]) for axis in Combo._fields if axis in rule.where}
            self.compare(len(combos) * (1 + sum(each.cost for each in wanted.values())))
            gone = [combo for combo in combos if _matches_combo(wanted, combo)]
            if gone:
                self.hits.add(rule.path)
            for combo in gone:
                del combos[combo]
        return list(combos)

    def included(self, rule: Rule) -> Iterator[Combo]:
        """What an include rule adds: what it leaves open is taken from the matrix."""
        outputs = self.outputs
        matrix: dict[str, list[str]] = {
            "resolution": list(outputs.resolution),
            "aspect_ratio": list(outputs.aspect_ratio),
            "variant": [str(number) for number in range(1, outputs.variants + 1)],
            "format": list(outputs.format),
            "provider": list(outputs.provider) or [""],
        }
        axes = []
        for axis, values in matrix.items():
            wanted = rule.where.get(axis)
            if wanted is None:
                axes.append(values)
                continue
            chosen: list[str] = []
            for pattern in wanted:
                chosen += (
                    [value for value in values if fnmatchcase(value, pattern)] if _GLOB.search(pattern) else [pattern]
                )
            axes.append(list(dict.fromkeys(chosen)))
        if math.prod(map(len, axes)) > MAX_CELLS:
            fact = f"the rule makes more than {MAX_CELLS:,} cells"
            raise ManifestError([self.manifest.problem(rule.path, fact, "narrow it")])
        self.compare(3 * math.prod(map(len, axes)))  # what is made is dearer than what is compared
        for resolution, ratio, variant, kind, provider in itertools.product(*axes):
            if kind not in EXTENSION:
                self.hits.add(rule.path)
                self.found.add((*rule.path, "format"), f"{kind!r} is no format", did_you_mean(kind, EXTENSION))
            elif not variant.isdecimal() or not 1 <= int(variant) <= MAX_VARIANT:
                self.hits.add(rule.path)
                self.found.add(
                    (*rule.path, "variant"), f"{variant!r} is no variant", f"variants are 1 to {MAX_VARIANT}"
                )
            else:
                yield Combo(resolution, ratio, int(variant), kind, provider)

    def unmatched(self) -> None:
        """Complain of the rules that matched nothing."""
        rules = [rule for rule in (*self.outputs.include, *self.outputs.exclude) if rule.path not in self.hits]
        rules = [rule for rule in rules if not self.manifest.complained(rule.path)][: MOST_PROBLEMS + 1]
        known = self.names() if rules else {}
        for number, rule in enumerate(rules):
            hint = self.hint(rule, known) if number < _HINTS else ""
            self.found.add(rule.path, "the rule matches nothing", hint)

    def names(self) -> dict[str, Iterable[str]]:
        """The names that there are, by dimension."""
        manifest = self.manifest
        products = [product for group in manifest.products.values() for product in group]
        known: dict[str, Iterable[str]] = {
            "product": [product.id for product in products],
            "prompt": [prompt.id for prompt in manifest.prompts],
            "set": list(manifest.products),
            "tag": {tag for product in products for tag in product.tags},
            "resolution": manifest.outputs.resolution,
            "aspect_ratio": manifest.outputs.aspect_ratio,
            "format": manifest.outputs.format,
            "variant": map(str, range(1, manifest.outputs.variants + 1)),
            "provider": manifest.outputs.provider,
        }
        for prompt in manifest.prompts:
            for axis, values in prompt.vary.items():
                known[axis] = [*known.get(axis, ()), *values]
        return known

    def hint(self, rule: Rule, known: Mapping[str, Iterable[str]]) -> str:
        """For a rule that matched nothing: the first value in it that nothing has."""
        for axis, patterns in rule.where.items():
            if axis in OUTPUT_AXES and rule in self.outputs.include and not _GLOB.search("".join(patterns)):
                continue  # an include rule may name what the matrix lacks
            names = list(known.get(axis, ()))
            if not names:
                return "no product has a tag" if axis == "tag" else f"there is no {axis}"
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    return f"no {axis} is {pattern!r}: {did_you_mean(pattern, names)}"
        return "its parts exist, but never together"


def _whole(manifest: Manifest) -> list[Combo]:
    outputs = manifest.outputs
    return [
        Combo(resolution, ratio, variant, kind, provider)
        for ratio in outputs.aspect_ratio
        for resolution in outputs.resolution
        for provider in outputs.provider or ("",)
        for variant in range(1, outputs.variants + 1)
        for kind in outputs.format
    ]


def _of_places(rule: Rule) -> dict[str, Wanted]:
    """What a rule wants of the place itself."""
    return {key: Wanted(patterns) for key, patterns in rule.where.items() if key not in OUTPUT_AXES}


def _matches_place(rule: Mapping[str, Wanted], attributes: Mapping[str, tuple[str, ...]]) -> bool:
    return all(any(map(wanted.has, attributes.get(key, ()))) for key, wanted in rule.items())


def _matches_combo(rule: Mapping[str, Wanted], combo: Combo) -> bool:
    return all(wanted.has(str(getattr(combo, axis))) for axis, wanted in rule.items())
