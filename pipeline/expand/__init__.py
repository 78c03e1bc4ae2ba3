"""A manifest → its cells: every product × prompt × vary × output, named, hashed and checked.

``expand`` decides nothing about what is owed: it is a function of the manifest and the bytes of its references.
Prompts are rendered once per product and vary combination, keys are hashed from a shared prefix, and the size of the
matrix is capped before any of it is built.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ForeignFile, ManifestError, MediaError, Problem
from pipeline.expand.context import context_of, former_text, is_odd, shown
from pipeline.expand.findings import Findings
from pipeline.expand.keys import picture_key, place_prefix, spec_key
from pipeline.expand.matrix import MAX_CELLS, OUTPUT_AXES, Combo, Matrix
from pipeline.expand.names import PRIVATE, Names
from pipeline.expand.offers import check_offers, provider_lacks
from pipeline.mistakes import single_braces
from pipeline.prompt import Template, TemplateProblem, check_slots, with_line_feeds
from pipeline.references import read_reference, url_digest
from pipeline.schema import did_you_mean
from pipeline.sources import exists
from pipeline.strict_yaml import without_collector
from pipeline.types import (
    EXTENSION,
    Cell,
    KeyPath,
    Manifest,
    Picture,
    Place,
    Product,
    Prompt,
    Reference,
    Spec,
    slug,
)

PATIENCE = 10_000
"""Cells after which a mistake that was found is told at once, and no others are looked for."""
MAX_PARTS = 30_000
"""Parts of all templates together; compiling that many takes a second."""
MAX_STEPS = 20_000_000
"""Parts of templates, as often as they are rendered: some ten seconds."""
MAX_TEXT = 150_000_000
"""Bytes of all rendered prompts, or of all paths and labels together."""

__all__ = ["MAX_CELLS", "PRIVATE", "Expansion", "expand", "provider_lacks"]


@dataclass(frozen=True, slots=True)
class Expansion:
    """All cells in the manifest's order, the distinct pictures behind them, and warnings.

    ``former``: spec key → what makes the prompt of version 1 of the keys from today's, where they may differ;
    ``respelled``: labels of the pictures that were made from such a prompt, and keep their keys (see
    :mod:`pipeline.former`).
    """

    manifest: Manifest
    cells: tuple[Cell, ...]
    pictures: dict[str, Picture]
    warnings: tuple[Problem, ...]
    former: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    respelled: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """A digest of every input that decides what is made, where, and at which price."""
        digest = hashlib.sha256(f"{self.manifest.routing}\n".encode())
        for provider in self.manifest.providers:
            digest.update(f"{provider.name}\0{provider.offer.gateway}\0{provider.offer.id}\0{provider.usd}\n".encode())
        for cell in self.cells:
            digest.update(f"{cell.label}\0{cell.picture.key}\0{cell.file}\n".encode())
        return digest.hexdigest()


@without_collector()
def expand(manifest: Manifest) -> Expansion:
    """All cells of a manifest.

    Raises:
        ManifestError: with every problem of the manifest, its own included.
    """
    return _Expander(manifest).run()


class _Expander:
    """One expansion: the manifest, what was found wrong, and what is shared between cells."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.found = Findings(manifest)
        self.matrix = Matrix(manifest, self.found)
        self.names = Names(manifest, self.found)
        self.facts: dict[tuple[str, str], Reference] = {}
        self.pictures: dict[str, Picture] = {}
        self.cells: list[Cell] = []
        self.former: dict[str, Callable[[str], str]] = {}
        self.odd = any(map(is_odd, manifest.vars.values()))
        self.variables = {name for group in manifest.products.values() for each in group for name in each.vars}
        self.parts = self.bytes = 0

    def run(self) -> Expansion:
        self.matrix.cap()
        templates = {p.id: self.template(p.text, (*p.path, "text"), p.vary) for p in self.manifest.prompts}
        images = {p.id: self.image_templates(p) for p in self.manifest.prompts}
        self.effort(templates, images)
        for prompt in self.manifest.prompts:
            self.unused_axes(prompt, [templates[prompt.id], *(each for _, _, each in images[prompt.id] or ())])
        seen: set[str] = set()
        for group in self.manifest.products.values():
            for product in group:
                if product.id.casefold() in seen:
                    continue  # told already: the ids are taken
                if len(self.cells) > PATIENCE and self.wrong():
                    raise ManifestError([*self.manifest.problems, *self.found.problems(warnings=False)], None)
                seen.add(product.id.casefold())
                for prompt in self.manifest.prompts:
                    if product.set in prompt.sets:
                        self.prompt(product, prompt, templates[prompt.id], images[prompt.id])
        self.matrix.unmatched()
        self.names.end()
        self.unused_references()
        problems = [*self.manifest.problems, *self.found.problems()]
        errors = [problem for problem in problems if not problem.warning]
        if not self.cells and not errors:
            errors.append(self.manifest.problem(("outputs",), "no cell is left", "check the exclude rules"))
        if errors:
            raise ManifestError(errors)
        warnings = tuple(problem for problem in problems if problem.warning)
        return Expansion(self.manifest, tuple(self.cells), self.pictures, warnings, self.former)

    def wrong(self) -> bool:
        """Whether a mistake was found already."""
        return bool(self.found.facts[False]) or any(not problem.warning for problem in self.manifest.problems)

    def template(self, text: str, path: KeyPath, vary: Iterable[str] = ()) -> Template | None:
        try:
            template = Template(text)
        except TemplateProblem as problem:
            self.found.add(path, problem.fact, problem.hint, word=problem.word)
            return None
        names = {"product", "prompt", "slot", "vars", "set", "campaign", *self.manifest.vars, *vary}
        for written, right in single_braces(text, names):
            self.found.add(path, f"{written} is sent as it is", f"write {right}", word=written, warning=True)
        self.parts += template.parts
        if self.parts > MAX_PARTS:
            fact = f"the templates up to here have more than {MAX_PARTS:,} parts"
            raise ManifestError([self.manifest.problem(path, fact, "say them more simply, or split the campaign")])
        return template

    def effort(
        self,
        templates: dict[str, Template | None],
        images: dict[str, list[tuple[str, str, Template | None]] | None],
    ) -> None:
        """Refuse what would take too long to render, before it is begun."""
        steps = 0
        for prompt in self.manifest.prompts:
            every = [templates[prompt.id], *(template for _, _, template in images[prompt.id] or ())]
            parts = sum(template.parts for template in every if template is not None)
            products = sum(len(self.manifest.products.get(name, ())) for name in prompt.sets)
            steps += products * math.prod(len(values) for values in prompt.vary.values()) * parts
            if steps > MAX_STEPS:
                fact = f"rendering it for every product takes more than {MAX_STEPS:,} steps"
                path: KeyPath = (*prompt.path, "text")
                raise ManifestError([self.manifest.problem(path, fact, "say it more simply, or split the campaign")])

    def image_templates(self, prompt: Prompt) -> list[tuple[str, str, Template | None]] | None:
        if prompt.images is None:
            return None
        path: KeyPath = (*prompt.path, "images")
        return [
            (slot, written, self.template(written, path) if "{{" in written else None)
            for slot, written in prompt.images
        ]

    def unused_axes(self, prompt: Prompt, templates: Sequence[Template | None]) -> None:
        """Warn of an axis whose values all give the same picture."""
        if None in templates[:1]:
            return
        said = frozenset[str]().union(*(template.names for template in templates if template is not None))
        for axis, values in prompt.vary.items():
            if axis not in said and len(values) > 1:
                fact = f"the prompt never says {axis!r}: all {len(values)} values give the same picture"
                path: KeyPath = (*prompt.path, "vary", axis)
                self.found.add(path, fact, f"write {{{{ {axis} }}}} into the text", warning=True)

    def unused_references(self) -> None:
        used = {name for name, _ in self.facts}
        for name in self.manifest.references:
            if f"references.{name}" not in used:
                hint = f"add references.{name} to a prompt's images, or remove it"
                self.found.add(("references", name), "the reference is used by no prompt", hint, warning=True)

    # ── one product in one prompt ───────────────────────────────────────────────────────────────

    def prompt(
        self,
        product: Product,
        prompt: Prompt,
        template: Template | None,
        images: list[tuple[str, str, Template | None]] | None,
    ) -> None:
        seen = shown(product)
        odd = self.odd or any(map(is_odd, (product.name, *product.vars.values())))
        for labels in itertools.product(*(values.items() for values in prompt.vary.values())):
            vary = tuple(zip(prompt.vary, (label for label, _ in labels), strict=True))
            values = tuple(value for _, value in labels)
            context = context_of(self.manifest, product, seen, prompt, values)
            label = "/".join((product.id, prompt.id, *(slug(name) for _, name in vary)))
            place = Place(product, prompt.id, vary, label)
            slots, references = self.references(product, prompt, images, context)
            count = None if references is None else len(references)
            text = self.text(product, prompt, template, context | {"slot": slots}, count)
            former = None
            if template is not None and (odd or any(map(is_odd, values))):
                former = former_text(self.manifest, product, prompt, template, values, slots)
            self.place(place, prompt, text, references, context, former)

    def references(
        self,
        product: Product,
        prompt: Prompt,
        images: list[tuple[str, str, Template | None]] | None,
        context: dict[str, object],
    ) -> tuple[dict[str, str], tuple[Reference, ...] | None]:
        """Slot name → ``@ImageN``, and the references in slot order (None when one is missing)."""
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
            reference = self.reference(product, prompt, name, slot, number)
            if reference is not None:
                result.append(reference)
        return slots, tuple(result) if len(result) == len(images) else None

    def reference(self, product: Product, prompt: Prompt, name: str, slot: str, number: int) -> Reference | None:
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
            place: KeyPath = prompt.path if prompt.images is None else (*prompt.path, "images", slot)
            place = place if self.manifest.holds(place) else (*prompt.path, "images", number - 1)
            fact = f"there is no image {name!r}"
            if self.found.often(place):
                return None
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
        if not exists(Path(source)):
            return Reference(name, source, "", role)  # reported by the manifest already
        try:
            facts = read_reference(source)
        except MediaError as error:
            hint = error.hint if isinstance(error, ForeignFile) else "give a PNG, JPEG or WebP picture"
            self.found.add(path, str(error), hint)
            return Reference(name, source, "", role)
        limits = self.manifest.model.reference
        for fact in facts.lacks(limits):
            hint = f"{self.manifest.model.title} says so"
            self.found.add(path, fact, hint, warning=self.manifest.proof)
        if facts.flaw:
            self.found.add(path, facts.flaw, "save it again", warning=self.manifest.proof)
        if facts.animation:
            self.found.add(path, f"is {facts.animation}", "only its first picture is sent", warning=True)
        return Reference(name, source, facts.digest, role, facts.width, facts.height, limits.max_bytes)

    def text(
        self,
        product: Product,
        prompt: Prompt,
        template: Template | None,
        context: dict[str, object],
        count: int | None,
    ) -> str | None:
        """The rendered prompt, its slots checked against ``count`` references; None when it can't be rendered."""
        path: KeyPath = (*prompt.path, "text")
        if template is None or self.found.often(path):
            return None
        try:
            text = with_line_feeds(template.render(context).strip())
        except TemplateProblem as problem:
            hint = problem.hint
            if problem.word in OUTPUT_AXES:
                hint = "a prompt is rendered once for all outputs: it can't name an output axis"
            elif problem.word in self.variables - product.vars.keys():
                hint = f"other products have it: give {product.id} one, or write `| default('…')` behind it"
            self.found.add(path, problem.fact, hint, at=product.id, word=problem.word)
            return None
        errors, warnings = check_slots(text, count) if count is not None else ([], [])
        for word, fact, hint in errors:
            self.found.add(path, fact, hint, at=product.id, word=word)
        for word, fact, hint in warnings:
            self.found.add(path, fact, hint, word=word, warning=True)
        for name in template.said:
            if _is_blank(context, name):
                fact, hint = f"{'.'.join(name)} is empty", "give it a value, or write an `if` around it"
                self.found.add(path, fact, hint, at=product.id, word=name[-1], warning=True)
        self.bytes += sys.getsizeof(text)
        if self.bytes > MAX_TEXT:
            fact = f"the prompts up to here render to more than {MAX_TEXT // 10**6} MB"
            raise ManifestError([self.manifest.problem(path, fact, "make them shorter, or split the campaign")])
        return text

    # ── one place: its outputs ──────────────────────────────────────────────────────────────────

    def place(
        self,
        place: Place,
        prompt: Prompt,
        text: str | None,
        references: tuple[Reference, ...] | None,
        context: dict[str, object],
        former: Callable[[str], str] | None,
    ) -> None:
        combos = self.matrix.at(place)
        whole = text is not None and references is not None  # what is broken already is not checked further
        text, references = text or "", references or ()
        prefix = place_prefix(self.manifest.model.name, self.manifest.proof, text, references)
        specs: dict[tuple[str, ...], Spec] = {}
        vary = "_".join(slug(label) for _, label in place.vary)
        shared = context | {"vary": vary} | dict(place.vary)
        for combo in combos:
            wanted = combo.format if self.manifest.outputs.native else "png"
            shape = (combo.resolution, combo.aspect_ratio, wanted, combo.provider)
            spec = specs.get(shape)
            if spec is None:
                key = spec_key(prefix, *shape)
                spec = Spec(key, self.manifest.model.name, self.manifest.proof, text, references, *shape)
                specs[shape] = spec
                if former is not None:
                    self.former[key] = former
                check_offers(self.manifest, self.found, spec, place, prompt, whole=whole)
            self.cell(place, combo, self.picture(spec, combo.variant), shared)

    def picture(self, spec: Spec, variant: int) -> Picture:
        key = picture_key(spec.key, variant)
        picture = self.pictures.get(key)
        if picture is None:
            picture = self.pictures[key] = Picture(key, spec, variant)
        return picture

    def cell(self, place: Place, combo: Combo, picture: Picture, shared: dict[str, object]) -> None:
        extension = EXTENSION[combo.format]
        ratio = combo.aspect_ratio.replace(":", "x")
        provider = f"{combo.provider}/" if combo.provider else ""
        label = f"{place.label}/{ratio}/{combo.resolution}/{provider}v{combo.variant}.{extension}"
        context = {
            **shared,
            "aspect_ratio": combo.aspect_ratio,
            "resolution": combo.resolution,
            "variant": combo.variant,
            "provider": combo.provider,
            "format": combo.format,
            "ext": extension,
        }
        file = self.names.file(label, picture.key, context, extension)
        if file is None and not self.manifest.problems:  # two products of one id are told already
            path: KeyPath = ("prompts", place.prompt, "vary")
            self.found.add(path, f"two cells have the label {label}", "give the values other labels")
        if file is None:
            return
        self.cells.append(Cell(label, place, picture, combo.format, file))


def _is_blank(context: dict[str, object], name: tuple[str, ...]) -> bool:
    """Whether a template shows nothing under this name."""
    value: object = context
    for part in name:
        value = value.get(part) if isinstance(value, dict) else None
    return isinstance(value, str) and not str.strip(value)
