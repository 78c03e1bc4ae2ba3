"""What a provider can make: its offer held against what is wanted."""

from __future__ import annotations

from functools import lru_cache

from pipeline.expand.findings import Findings
from pipeline.schema import did_you_mean
from pipeline.types import KeyPath, Manifest, Offer, Place, Prompt, Spec

_SHAPE = ("resolution", "aspect_ratio", "format")


def check_offers(manifest: Manifest, found: Findings, spec: Spec, place: Place, prompt: Prompt, *, whole: bool) -> None:
    """At least one provider must be able to make a spec; else say what each lacks, where it was written.

    Not ``whole``: its prompt or references are broken already, and only its shape is held against the offers.
    """
    lacks = [
        (provider, [lack for lack in provider_lacks(provider.offer, spec) if whole or lack[0] in _SHAPE])
        for provider in manifest.providers
        if spec.provider in ("", provider.name)
    ]
    if any(not lack for _, lack in lacks):
        return
    at: dict[str, KeyPath] = {
        "resolution": _axis_path(manifest, "resolution", spec.resolution),
        "aspect_ratio": _axis_path(manifest, "aspect_ratio", spec.aspect_ratio),
        "format": _axis_path(manifest, "format", spec.format),
        "prompt": (*prompt.path, "text"),
        "references": (*prompt.path, "images") if prompt.images is not None else prompt.path,
    }
    for provider, lack in lacks:
        for what, fact, hint in lack:
            product = place.product.id if what in ("prompt", "references") else ""
            found.add(at[what], f"provider {provider.name}: {fact}", hint, at=product)


def _axis_path(manifest: Manifest, axis: str, value: str) -> KeyPath:
    """Where a value of an output axis was written: in the matrix, or in an include rule."""
    listed = getattr(manifest.outputs, axis)
    path: KeyPath = ("outputs", axis)
    if value in listed:
        return (*path, listed.index(value)) if manifest.mark((*path, 0)) else path
    for rule in manifest.outputs.include:
        if value in rule.where.get(axis, ()):
            return (*rule.path, axis)
    return path


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
            found.append((what, f"{what} {value!r} is not offered", _nearest(value, known)))
    if spec.aspect_ratio == "auto" and not count and offer.gateway == "runware":
        found.append(("aspect_ratio", "auto needs a reference image", "name a ratio"))
    return found


@lru_cache(maxsize=256)
def _nearest(value: str, known: tuple[str, ...]) -> str:
    """What is offered instead; asked for every cell anew."""
    return did_you_mean(value, known)
