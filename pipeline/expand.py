"""A manifest → its cells: every product × prompt × vary × output, named, hashed and checked.

``expand`` decides nothing about what is owed: it is a function of the manifest and the bytes of its references.
Prompts are rendered once per product and vary combination, keys are hashed from a shared prefix, and the size of the
matrix is capped before any of it is built.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ManifestError, Mark, MediaError, Problem
from pipeline.prompt import Template, TemplateProblem, check_slots
from pipeline.references import read_reference, url_digest
from pipeline.schema import did_you_mean
from pipeline.strict_yaml import key_path
from pipeline.types import (
    EXTENSION,
    Cell,
    KeyPath,
    Manifest,
    Offer,
    Picture,
    Place,
    Product,
    Prompt,
    Reference,
    Rule,
    Spec,
    slug,
)

MAX_CELLS = 200_000
"""More is refused before it is built: at $0.028 a picture this is thousands of dollars in one manifest."""
MAX_VARIANT = 100
PRIVATE = ".pipeline"
"""The folder inside the output folder that holds the ledger and the kept originals."""

_GLOB = re.compile(r"[*?\[]")
_PATH = re.compile(r"[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}(?:/[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}){0,19}")
_BAD_PART = re.compile(
    r"(?:^|/)(?:\.{1,2}|[^/]*[. ]|(?:con|prn|aux|nul|com\d|lpt\d)(?:\.[^/]*)?)(?:/|$)", re.IGNORECASE
)
_OUTPUT_AXES = ("resolution", "aspect_ratio", "variant", "format")


class Combo(NamedTuple):
    """One combination of the output axes."""

    resolution: str
    aspect_ratio: str
    variant: int
    format: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """All cells in the manifest's order, the distinct pictures behind them, and warnings."""

    manifest: Manifest
    cells: tuple[Cell, ...]
    pictures: dict[str, Picture]
    warnings: tuple[Problem, ...]

    def fingerprint(self) -> str:
        """A digest of every input that decides what is made and where: labels, keys and files."""
        digest = hashlib.sha256()
        for cell in self.cells:
            digest.update(f"{cell.label}\0{cell.picture.key}\0{cell.file}\n".encode())
        return digest.hexdigest()


def expand(manifest: Manifest) -> Expansion:
    """All cells of a manifest.

    Raises:
        ManifestError: with every problem of the manifest, its own included.
    """
    return _Expander(manifest).run()


@dataclass(slots=True)
class _Findings:
    """Problems by place and fact, each with the products it was met at."""

    manifest: Manifest
    met: dict[tuple[KeyPath, str, str, str, bool], dict[str, None]] = field(default_factory=dict)

    def add(  # one line of a report has these parts
        self, path: KeyPath, fact: str, hint: str = "", *, at: str = "", word: str = "", warning: bool = False
    ) -> None:
        self.met.setdefault((path, fact, hint, word, warning), {})[at] = None

    def problems(self) -> Iterator[Problem]:
        for (path, fact, hint, word, warning), at in self.met.items():
            ids = [name for name in at if name]
            many = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
            where = f" (product {ids[0]}{many})" if ids else ""
            mark = self.manifest.mark(path)
            yield Problem(_find_word(mark, word), key_path(path), fact + where, hint, warning)


def _find_word(mark: Mark | None, word: str) -> Mark | None:
    """The place of ``word`` in the text that starts at ``mark``, or ``mark`` when it isn't found."""
    if mark is None or not word:
        return mark
    try:
        lines = Path(mark.file).read_text("utf-8-sig").splitlines()
    except (OSError, ValueError):
        return mark
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    for number, line in enumerate(lines[mark.line - 1 : mark.line + 200], mark.line):
        found = pattern.search(line, mark.column - 1 if number == mark.line else 0)
        if found:
            return Mark(mark.file, number, found.start() + 1)
    return mark


class _Expander:
    """One expansion: the manifest, what was found wrong, and what is shared between cells."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.found = _Findings(manifest)
        self.facts: dict[tuple[str, str], Reference] = {}
        self.pictures: dict[str, Picture] = {}
        self.cells: list[Cell] = []
        self.labels: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.hits: set[KeyPath] = set()
        self.combos_for: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Combo]] = {}
        self.matrix = _matrix(manifest)
        self.path = self.template(manifest.outputs.file, ("outputs", "path"), is_path=True)

    def run(self) -> Expansion:
        self.cap()
        self.unused_references()
        templates = {p.id: self.template(p.text, (*p.path, "text")) for p in self.manifest.prompts}
        images = {p.id: self.image_templates(p) for p in self.manifest.prompts}
        for group in self.manifest.products.values():
            for product in group:
                for prompt in self.manifest.prompts:
                    if product.set in prompt.sets:
                        self.prompt(product, prompt, templates[prompt.id], images[prompt.id])
        for rule in (*self.manifest.outputs.include, *self.manifest.outputs.exclude):
            if rule.path not in self.hits:
                self.found.add(rule.path, "the rule matches nothing", self.rule_hint(rule))
        problems = [*self.manifest.problems, *self.found.problems()]
        errors = [problem for problem in problems if not problem.warning]
        if not self.cells and not errors:
            errors.append(self.manifest.problem(("outputs",), "no cell is left", "check the exclude rules"))
        if errors:
            raise ManifestError(errors)
        warnings = tuple(problem for problem in problems if problem.warning)
        return Expansion(self.manifest, tuple(self.cells), self.pictures, warnings)

    def cap(self) -> None:
        """Refuse too large a matrix before building it."""
        outputs = self.manifest.outputs
        cells = 0
        shape = len(outputs.resolution) * len(outputs.aspect_ratio) * len(outputs.format) * outputs.variants
        for prompt in self.manifest.prompts:
            products = sum(len(self.manifest.products.get(name, ())) for name in prompt.sets)
            cells += products * math.prod(len(values) for values in prompt.vary.values()) * shape
        if cells > MAX_CELLS:
            fact = f"the matrix has {cells:,} cells, and the most is {MAX_CELLS:,}"
            hint = "shorten an axis, or split the campaign into several manifests"
            raise ManifestError([*self.manifest.problems, self.manifest.problem(("outputs",), fact, hint)])

    def template(self, text: str, path: KeyPath, *, is_path: bool = False) -> Template | None:
        try:
            return Template(text, path=is_path)
        except TemplateProblem as problem:
            self.found.add(path, problem.fact, problem.hint, word=problem.word)
            return None

    def image_templates(self, prompt: Prompt) -> list[tuple[str, str, Template | None]] | None:
        if prompt.images is None:
            return None
        path: KeyPath = (*prompt.path, "images")
        return [
            (slot, written, self.template(written, path) if "{{" in written else None)
            for slot, written in prompt.images
        ]

    def unused_references(self) -> None:
        written = " ".join(name for prompt in self.manifest.prompts for _, name in prompt.images or ())
        for name in self.manifest.references:
            if f"references.{name}" not in written and "{{" not in written:
                fact = "the reference is used by no prompt"
                self.found.add(("references", name), fact, f"add references.{name} to a prompt's images", warning=True)

    # ── one product in one prompt ───────────────────────────────────────────────────────────────

    def prompt(
        self,
        product: Product,
        prompt: Prompt,
        template: Template | None,
        images: list[tuple[str, str, Template | None]] | None,
    ) -> None:
        shown = {
            "id": product.id,
            "name": product.name,
            "set": product.set,
            "tags": " ".join(product.tags),
            "vars": dict(product.vars),
        }
        for labels in itertools.product(*(values.items() for values in prompt.vary.values())):
            vary = tuple(zip(prompt.vary, (label for label, _ in labels), strict=True))
            context: dict[str, object] = {
                **self.manifest.vars,
                "vars": dict(self.manifest.vars),
                **dict(zip(prompt.vary, (value for _, value in labels), strict=True)),
                "campaign": self.manifest.campaign,
                "product": shown,
                "prompt": {"id": prompt.id},
                "set": product.set,
            }
            label = "/".join((product.id, prompt.id, *(slug(name) for _, name in vary)))
            place = Place(product, prompt.id, vary, label)
            slots, references = self.references(product, prompt, images, context)
            text = self.text(product, prompt, template, context | {"slot": slots}, len(references))
            self.place(place, prompt, text, references, context)

    def references(
        self,
        product: Product,
        prompt: Prompt,
        images: list[tuple[str, str, Template | None]] | None,
        context: dict[str, object],
    ) -> tuple[dict[str, str], tuple[Reference, ...]]:
        """Slot name → ``@ImageN``, and the references in slot order."""
        if images is None:
            images = [(name, f"product.{name}", None) for name in product.images]
        slots: dict[str, str] = {}
        result = []
        for number, (slot, written, template) in enumerate(images, 1):
            name = written
            if template is not None:
                try:
                    name = template.render(context).strip()
                except TemplateProblem as problem:
                    self.found.add(
                        (*prompt.path, "images"), problem.fact, problem.hint, at=product.id, word=problem.word
                    )
            slots[slot] = f"@Image{number}"
            if name.startswith("product."):
                slots.setdefault("product", f"@Image{number}")
            reference = self.reference(product, prompt, name, number)
            if reference is not None:
                result.append(reference)
        return slots, tuple(result)

    def reference(self, product: Product, prompt: Prompt, name: str, number: int) -> Reference | None:
        group, _, key = name.partition(".")
        role: str | None = None
        path: KeyPath
        if group == "product" and key in product.images:
            source, path = product.images[key], (*product.path, "images", key)
        elif group == "references" and key in self.manifest.references:
            source, role = self.manifest.references[key]
            path = ("references", key)
        else:
            known = [f"product.{k}" for k in product.images] + [f"references.{k}" for k in self.manifest.references]
            place: KeyPath = (*prompt.path, "images")
            place = (*place, number - 1) if prompt.images and self.manifest.mark((*place, number - 1)) else place
            fact = f"there is no image {name!r}"
            if group == "product" and "{{" not in name:
                self.found.add(place, f"{fact} here", did_you_mean(name, known), at=product.id)
            elif "{{" not in name:
                self.found.add(place, fact, did_you_mean(name, known))
            return None
        if (name, source) not in self.facts:
            self.facts[name, source] = self.read(name, source, role, path)
        return self.facts[name, source]

    def read(self, name: str, source: str, role: str | None, path: KeyPath) -> Reference:
        if "://" in source:
            return Reference(name, source, url_digest(source), role)
        if not Path(source).is_file():
            return Reference(name, source, "", role)  # reported by the manifest already
        try:
            facts = read_reference(source)
        except MediaError as error:
            self.found.add(path, str(error), "give a PNG, JPEG or WebP picture")
            return Reference(name, source, "", role)
        for fact in facts.lacks(self.manifest.model.reference):
            hint = f"(as {self.manifest.model.title} states it)"
            self.found.add(path, fact, hint, warning=self.manifest.proof)
        return Reference(name, source, facts.digest, role, facts.width, facts.height)

    def text(
        self,
        product: Product,
        prompt: Prompt,
        template: Template | None,
        context: dict[str, object],
        count: int,
    ) -> str:
        """The rendered prompt, its slots checked."""
        path: KeyPath = (*prompt.path, "text")
        if template is None:
            return ""
        try:
            text = template.render(context).strip()
        except TemplateProblem as problem:
            hint = problem.hint
            if problem.word in _OUTPUT_AXES:
                hint = "a prompt is rendered once for all outputs: it can't name an output axis"
            self.found.add(path, problem.fact, hint, at=product.id, word=problem.word)
            return ""
        errors, warnings = check_slots(text, count)
        for word, fact, hint in errors:
            self.found.add(path, fact, hint, at=product.id, word=word)
        for word, fact, hint in warnings:
            self.found.add(path, fact, hint, word=word, warning=True)
        return text

    # ── one place: its outputs ──────────────────────────────────────────────────────────────────

    def place(
        self,
        place: Place,
        prompt: Prompt,
        text: str,
        references: tuple[Reference, ...],
        context: dict[str, object],
    ) -> None:
        attributes = {
            "product": (place.product.id,),
            "prompt": (place.prompt,),
            "set": (place.product.set,),
            "tag": place.product.tags,
        } | {axis: (label,) for axis, label in place.vary}
        outputs = self.manifest.outputs
        include = tuple(i for i, rule in enumerate(outputs.include) if _matches_place(rule, attributes))
        exclude = tuple(i for i, rule in enumerate(outputs.exclude) if _matches_place(rule, attributes))
        combos = self.combos_for.get((include, exclude))
        if combos is None:
            combos = self.combos_for[include, exclude] = self.combos(include, exclude)
        if not combos:
            return
        if len(self.cells) + len(combos) > MAX_CELLS:
            fact = f"the include rules make more than {MAX_CELLS:,} cells"
            raise ManifestError([self.manifest.problem(("outputs", "include"), fact, "narrow them")])
        prefix = _prefix(self.manifest, text, references)
        specs: dict[tuple[str, str, str], Spec] = {}
        vary = "_".join(slug(label) for _, label in place.vary)
        shared = context | {"vary": vary} | dict(place.vary)
        for combo in combos:
            wanted = combo.format if outputs.native else "png"
            shape = (combo.resolution, combo.aspect_ratio, wanted)
            spec = specs.get(shape)
            if spec is None:
                spec = specs[shape] = self.spec(prefix, text, references, shape)
                self.capable(spec, place, prompt)
            picture = self.picture(spec, combo.variant)
            self.cell(place, combo, picture, shared)

    def combos(self, include: tuple[int, ...], exclude: tuple[int, ...]) -> list[Combo]:
        """The outputs of a place where these rules apply."""
        outputs = self.manifest.outputs
        combos = dict.fromkeys(self.matrix)
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
        outputs = self.manifest.outputs
        matrix: dict[str, list[str]] = {
            "resolution": list(outputs.resolution),
            "aspect_ratio": list(outputs.aspect_ratio),
            "variant": [str(number) for number in range(1, outputs.variants + 1)],
            "format": list(outputs.format),
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
        for resolution, ratio, variant, kind in itertools.product(*axes):
            if kind not in EXTENSION:
                self.found.add((*rule.path, "format"), f"{kind!r} is no format", did_you_mean(kind, EXTENSION))
            elif not variant.isdecimal() or not 1 <= int(variant) <= MAX_VARIANT:
                self.found.add(
                    (*rule.path, "variant"), f"{variant!r} is no variant", f"variants are 1 to {MAX_VARIANT}"
                )
            else:
                yield Combo(resolution, ratio, int(variant), kind)

    def spec(
        self, prefix: hashlib._Hash, text: str, references: tuple[Reference, ...], shape: tuple[str, str, str]
    ) -> Spec:
        digest = prefix.copy()
        digest.update("\0".join(shape).encode())
        return Spec(digest.hexdigest(), self.manifest.model.name, self.manifest.proof, text, references, *shape)

    def picture(self, spec: Spec, variant: int) -> Picture:
        key = hashlib.sha256(f"{spec.key}\0{variant}".encode()).hexdigest()[:32]
        picture = self.pictures.get(key)
        if picture is None:
            picture = self.pictures[key] = Picture(key, spec, variant)
        return picture

    def cell(self, place: Place, combo: Combo, picture: Picture, shared: dict[str, object]) -> None:
        extension = EXTENSION[combo.format]
        ratio = combo.aspect_ratio.replace(":", "x")
        label = f"{place.label}/{ratio}/{combo.resolution}/v{combo.variant}.{extension}"
        if label in self.labels:
            self.found.add(
                (*_prompt_path(place), "vary"),
                f"two cells have the label {label}",
                "give the values other labels",
            )
            return
        context = {
            **shared,
            "aspect_ratio": combo.aspect_ratio,
            "resolution": combo.resolution,
            "variant": combo.variant,
            "format": combo.format,
            "ext": extension,
        }
        file = self.file(context, label, extension)
        self.labels[label] = file
        self.claim(file, label, label)
        stem = file if self.manifest.outputs.native else file.rpartition(".")[0]
        self.claim(f"{stem}.json", picture.key, label)
        self.cells.append(Cell(label, place, picture, combo.format, file))

    def file(self, context: dict[str, object], label: str, extension: str) -> str:
        """The rendered output path, checked to stay inside the output folder on every system."""
        at: KeyPath = ("outputs", "path")
        if self.path is None:
            return label
        try:
            file = self.path.render(context)
        except TemplateProblem as problem:
            self.found.add(at, problem.fact, problem.hint, word=problem.word)
            return label
        if not _PATH.fullmatch(file) or _BAD_PART.search(file) or file.casefold().startswith(PRIVATE):
            fact = f"{file!r} is no path inside the output folder"
            self.found.add(at, fact, "use plain names and `/`, without `..`, and no reserved name")
        elif not file.endswith((f".{extension}", ".jpeg" if extension == "jpg" else f".{extension}")):
            self.found.add(at, f"{file!r} doesn't end in .{extension}", "end the path in .{{ ext }}")
        return file

    def claim(self, file: str, owner: str, label: str) -> None:
        """Take a path; two owners of one (in any case and Unicode form) are a problem."""
        folded = file.lower() if file.isascii() else unicodedata.normalize("NFC", file).casefold()
        other = self.files.setdefault(folded, owner)
        if other != owner:
            axes = "product.id, prompt.id, vary, aspect_ratio, resolution, variant and ext"
            first = next((name for name, path in self.labels.items() if path.lower() == file.lower()), "another cell")
            fact = f"two cells have the path {file!r}: {first} and {label}"
            if len(self.found.met) < 20:
                self.found.add(("outputs", "path"), fact, f"name what tells them apart ({axes})")

    # ── what a provider can make ────────────────────────────────────────────────────────────────

    def capable(self, spec: Spec, place: Place, prompt: Prompt) -> None:
        """At least one provider must be able to make it; else say what each lacks."""
        lacks = [(provider, provider_lacks(provider.offer, spec)) for provider in self.manifest.providers]
        if any(not lack for _, lack in lacks):
            return
        at: dict[str, KeyPath] = {
            "resolution": self.axis_path("resolution", spec.resolution),
            "aspect_ratio": self.axis_path("aspect_ratio", spec.aspect_ratio),
            "format": self.axis_path("format", spec.format),
            "prompt": (*prompt.path, "text"),
            "references": (*prompt.path, "images") if prompt.images is not None else prompt.path,
        }
        for provider, lack in lacks:
            for what, fact, hint in lack:
                self.found.add(
                    at[what],
                    f"provider {provider.name}: {fact}",
                    hint,
                    at=place.product.id if what in ("prompt", "references") else "",
                )

    def axis_path(self, axis: str, value: str) -> KeyPath:
        """Where a value of an output axis was written: in the matrix, or in an include rule."""
        listed = getattr(self.manifest.outputs, axis)
        path: KeyPath = ("outputs", axis)
        if value in listed:
            return (*path, listed.index(value)) if self.manifest.mark((*path, 0)) else path
        for rule in self.manifest.outputs.include:
            if value in rule.where.get(axis, ()):
                return (*rule.path, axis)
        return path

    def rule_hint(self, rule: Rule) -> str:
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
        }
        for prompt in manifest.prompts:
            for axis, values in prompt.vary.items():
                known[axis] = [*known.get(axis, ()), *values]
        for axis, patterns in rule.where.items():
            names = list(known.get(axis, ()))
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    return f"no {axis} is {pattern!r}: {did_you_mean(pattern, names)}"
        return "its parts exist, but never together"


def _prompt_path(place: Place) -> KeyPath:
    return ("prompts", place.prompt)


def _matrix(manifest: Manifest) -> list[Combo]:
    outputs = manifest.outputs
    return [
        Combo(resolution, ratio, variant, kind)
        for ratio in outputs.aspect_ratio
        for resolution in outputs.resolution
        for variant in range(1, outputs.variants + 1)
        for kind in outputs.format
    ]


def _matches_place(rule: Rule, attributes: dict[str, tuple[str, ...]]) -> bool:
    for key, patterns in rule.where.items():
        if key in _OUTPUT_AXES:
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


def _prefix(manifest: Manifest, text: str, references: tuple[Reference, ...]) -> hashlib._Hash:
    """The part of a key that all outputs of a place share. Names and paths are no part of it."""
    parts = ["1", manifest.model.name, manifest.proof, text, [reference.digest for reference in references]]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode() + b"\0")


def provider_lacks(offer: Offer, spec: Spec) -> list[tuple[str, str, str]]:
    """Why this offer can't make this spec: (what, fact, next step) each; empty when it can."""
    found = []
    at_most = f"the most is {offer.prompt[1]:,}"
    if not offer.prompt[0] <= len(spec.prompt) <= offer.prompt[1]:
        hint = at_most if len(spec.prompt) > offer.prompt[1] else f"the least is {offer.prompt[0]}"
        found.append(("prompt", f"the prompt has {len(spec.prompt):,} characters", hint))
    count = len(spec.references)
    if not offer.references[0] <= count <= offer.references[1]:
        least, most = offer.references
        found.append(("references", f"the prompt has {count} references", f"it takes {least} to {most}"))
    for what in ("resolution", "aspect_ratio", "format"):
        value, known = getattr(spec, what), getattr(offer, what)
        if value not in known:
            found.append((what, f"{what} {value!r} is not offered", did_you_mean(value, known)))
    if spec.aspect_ratio == "auto" and not count and offer.gateway == "runware":
        found.append(("aspect_ratio", "auto needs a reference image", "name a ratio"))
    return found
