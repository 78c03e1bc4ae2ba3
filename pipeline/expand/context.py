"""What a prompt's template can name, today and as version 1 of the keys had it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.prompt import Template, TemplateProblem
from pipeline.strict_yaml import Scalar
from pipeline.types import Manifest, Product, Prompt
from pipeline.written import Written, is_respelled, value_of


def shown(product: Product) -> dict[str, object]:
    """What ``product`` is in a template."""
    return {
        "id": product.id,
        "name": product.name,
        "set": product.set,
        "tags": " ".join(product.tags),
        "vars": dict(product.vars),
    }


def context_of(
    manifest: Manifest, product: Product, seen: dict[str, object], prompt: Prompt, values: Sequence[Scalar]
) -> dict[str, object]:
    """The names of one place; ``seen``: :func:`shown` of its product, ``values`` of its vary axes."""
    return {
        **manifest.vars,
        "vars": dict(manifest.vars),
        **dict(zip(prompt.vary, values, strict=True)),
        "campaign": manifest.campaign,
        "product": seen,
        "prompt": {"id": prompt.id},
        "set": product.set,
    }


def is_odd(value: object) -> bool:
    """Whether version 1 showed a value in another way: numbers as Python spells them, line breaks as they were read."""
    return is_respelled(value) if isinstance(value, Written) else isinstance(value, str) and "\r" in value


def former_text(
    manifest: Manifest,
    product: Product,
    prompt: Prompt,
    template: Template,
    values: Sequence[Scalar],
    slots: dict[str, str],
) -> Callable[[str], str]:
    """What gives the prompt of a place as version 1 had it; where that refused a value (a null), the text of today.

    It is rendered when somebody asks: few do, and there may be a hundred thousand.
    """

    def render(today: str) -> str:
        before = _before(context_of(manifest, product, shown(product), prompt, values)) | {"slot": slots}
        try:
            return template.render(before).strip()
        except TemplateProblem:
            return today

    return render


def _before(value: Any) -> Any:  # noqa: ANN401  # a context, or anything in one
    if isinstance(value, dict):
        return {name: _before(inner) for name, inner in value.items()}
    return value_of(value)
