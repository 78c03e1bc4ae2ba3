"""The output matrix: which combinations of the output axes a place has, after its include and exclude rules."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from pipeline.errors import ManifestError
from pipeline.expand.findings import Findings
from pipeline.schema import did_you_mean
from pipeline.types import EXTENSION, KeyPath, Manifest, Place, Rule

MAX_CELLS = 200_000
"""More is refused before it is built: at $0.028 a picture this is thousands of dollars in one manifest."""
MAX_VARIANT = 100

OUTPUT_AXES = ("resolution", "aspect_ratio", "variant", "format", "provider")
_GLOB = re.compile(r"[*?\[]")


class Combo(NamedTuple):
    """One combination of the output axes."""

    resolution: str
    aspect_ratio: str
    variant: int
    format: str
    provider: str = ""  # empty where the matrix has no such axis


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

    def cap(self) -> None:
        """Refuse too large a matrix before building it."""
        outputs = self.manifest.outputs
        cells = 0
        shape = len(outputs.resolution) * len(outputs.aspect_ratio) * len(outputs.format) * outputs.variants
        shape *= len(outputs.provider) or 1
        for prompt in self.manifest.prompts:
            products = sum(len(self.manifest.products.get(name, ())) for name in prompt.sets)
            cells += products * math.prod(len(values) for values in prompt.vary.values()) * shape
        if cells > MAX_CELLS:
            fact = f"the matrix has {cells:,} cells, and the most is {MAX_CELLS:,}"
            hint = "shorten an axis, or split the campaign into several manifests"
            raise ManifestError([*self.manifest.problems, self.manifest.problem(("outputs",), fact, hint)])
        self.whole = _whole(self.manifest)

    def at(self, place: Place) -> list[Combo]:
        """The combinations of a place."""
        attributes = {
            "product": (place.product.id,),
            "prompt": (place.prompt,),
            "set": (place.product.set,),
            "tag": place.product.tags,
        } | {axis: (label,) for axis, label in place.vary}
        include = tuple(i for i, rule in enumerate(self.outputs.include) if _matches_place(rule, attributes))
        exclude = tuple(i for i, rule in enumerate(self.outputs.exclude) if _matches_place(rule, attributes))
        combos = self.known.get((include, exclude))
        if combos is None:
            combos = self.known[include, exclude] = self.combos(include, exclude)
        self.cells += len(combos)
        if self.cells > MAX_CELLS:
            fact = f"the include rules make more than {MAX_CELLS:,} cells"
            raise ManifestError([self.manifest.problem(("outputs", "include"), fact, "narrow them")])
        return combos

    def combos(self, include: tuple[int, ...], exclude: tuple[int, ...]) -> list[Combo]:
        """The combinations where these rules apply."""
        outputs = self.outputs
        combos = dict.fromkeys(self.whole)
        for index in include:
            rule = outputs.include[index]
            more = list(self.included(rule))
            if more:
                self.hits.add(rule.path)
            combos.update(dict.fromkeys(more))
        for index in exclude:
            rule = outputs.exclude[index]
            gone = [combo for combo in combos if _matches_combo(rule, combo)]
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
        for rule in (*self.outputs.include, *self.outputs.exclude):
            if rule.path not in self.hits and not self.manifest.complained(rule.path):
                self.found.add(rule.path, "the rule matches nothing", self.hint(rule))

    def hint(self, rule: Rule) -> str:
        """For a rule that matched nothing: the first value in it that nothing has."""
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


def _matches_place(rule: Rule, attributes: dict[str, tuple[str, ...]]) -> bool:
    for key, patterns in rule.where.items():
        if key in OUTPUT_AXES:
            continue
        names = attributes.get(key, ())
        if not any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
            return False
    return True


def _matches_combo(rule: Rule, combo: Combo) -> bool:
    for axis, value in zip(Combo._fields, combo, strict=True):
        patterns = rule.where.get(axis)
        if patterns is not None and not any(fnmatchcase(str(value), pattern) for pattern in patterns):
            return False
    return True
