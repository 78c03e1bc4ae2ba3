"""Models are data: one YAML file each, here or anywhere a manifest points."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pipeline.errors import ManifestError, Mark, Problem
from pipeline.schema import did_you_mean, problems
from pipeline.sources import exists, read_text, similar_file
from pipeline.strict_yaml import parse
from pipeline.types import FORMAT_NAMES, Model, Offer, ReferenceLimits, micro_usd


def model_names() -> list[str]:
    """The names of the models that come with the project."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")
    )


def load_model(name: str, beside: Path | None = None) -> Model:
    """The model of this name, or of this file (``*.yaml``, relative to the folder ``beside``).

    Raises:
        ManifestError: for an unknown name, or a model file with mistakes.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(beside or Path(), name)
        if not exists(path):
            raise ManifestError([Problem(None, "model", f"there is no file {name!r}", similar_file(path))])
        return _read(path, str(path))
    if name not in model_names():
        raise ManifestError([Problem(None, "model", f"there is no model {name!r}", did_you_mean(name, model_names()))])
    with as_file(files(__name__).joinpath(f"{name}.yaml")) as path:
        return _read(path, f"{name}.yaml")


def _read(path: Path, file: str) -> Model:
    tree: Any = parse(read_text(path, file), file)
    found = list(problems(tree, "model"))
    if not found:
        for name, offer in tree["gateways"].items():
            for resolution in offer["resolution"]:
                wanted = [ratio for ratio in offer["aspect_ratio"] if ratio != "auto"]
                lacking = [ratio for ratio in wanted if ratio not in tree["sizes"].get(resolution, {})]
                if lacking:
                    fact = f"{resolution} {', '.join(lacking)} is offered but has no size"
                    found.append(Problem(Mark(file, 1, 1), f"gateways.{name}", fact, "add it to `sizes`"))
    if found:
        raise ManifestError(found)
    limits = tree["reference"]
    return Model(
        name=tree["name"],
        title=tree.get("title", tree["name"]),
        sizes={res: {ratio: (wh[0], wh[1]) for ratio, wh in sizes.items()} for res, sizes in tree["sizes"].items()},
        reference=ReferenceLimits(
            _formats(limits["formats"]), limits["max_bytes"], limits["min_side"], float(limits["max_ratio"])
        ),
        offers={name: _offer(name, offer) for name, offer in tree["gateways"].items()},
    )


def _offer(gateway: str, offer: Any) -> Offer:  # noqa: ANN401  # checked against the model schema
    return Offer(
        gateway=gateway,
        id=offer["id"],
        usd=micro_usd(offer["usd"]),
        prompt=tuple(offer["prompt"]),
        references=tuple(offer["references"]),
        resolution=tuple(offer["resolution"]),
        aspect_ratio=tuple(offer["aspect_ratio"]),
        format=_formats(offer["format"]),
        count=offer["count"],
        concurrency=offer.get("concurrency", 2),
        source=offer.get("source", ""),
        per_minute=offer.get("per_minute"),
        fields=dict(offer.get("fields", {})),
        values={name: _words(name, words) for name, words in offer.get("values", {}).items()},
    )


def _words(name: str, words: dict[str, str]) -> dict[str, str]:
    """Our word → the gateway's, of one field."""
    return {FORMAT_NAMES.get(word, word) if name == "format" else word: theirs for word, theirs in words.items()}


def _formats(written: list[str]) -> tuple[str, ...]:
    """Formats by their own names, each once."""
    return tuple(dict.fromkeys(FORMAT_NAMES.get(name, name) for name in written))
