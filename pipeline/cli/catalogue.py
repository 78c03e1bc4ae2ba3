"""``pipeline models`` and ``pipeline providers``: what exists, its limits and prices."""

from __future__ import annotations

import argparse
import json

from pipeline.cli.console import Console
from pipeline.cli.show import table
from pipeline.models import load_model, model_names
from pipeline.schema import schema_text
from pipeline.types import dollars


def models(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline models``."""
    found = [load_model(name) for name in model_names()]
    if arguments.json:
        documents = [
            {
                "name": model.name,
                "title": model.title,
                "sizes": {r: {ratio: list(size) for ratio, size in sizes.items()} for r, sizes in model.sizes.items()},
                "reference": {
                    "formats": list(model.reference.formats),
                    "max_bytes": model.reference.max_bytes,
                    "min_side": model.reference.min_side,
                    "max_ratio": model.reference.max_ratio,
                },
                "gateways": list(model.offers),
            }
            for model in found
        ]
        console.answer = documents
        return 0
    for model in found:
        console.result(console.style(f"{model.name}  {model.title}", "bold"))
        ratios = list(next(iter(model.sizes.values())))
        rows = [("", *ratios)]
        rows += [(name, *("×".join(map(str, sizes[ratio])) for ratio in ratios)) for name, sizes in model.sizes.items()]
        for line in table(rows):
            console.result(f"  {line}")
        limits = model.reference
        console.result(
            f"  references: {', '.join(limits.formats)}, up to {limits.max_bytes / 1e6:g} MB, "
            f"sides of {limits.min_side} pixels or more, up to 1:{limits.max_ratio:g}"
        )
        console.result(f"  offered by: {', '.join(model.offers)} (see `pipeline providers`)")
    return 0


def providers(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline providers``."""
    from pipeline.gateways import DIALECTS

    offers = [(model.name, offer) for model in map(load_model, model_names()) for offer in model.offers.values()]
    if arguments.json:
        documents = [
            {
                "provider": offer.gateway,
                "model": name,
                "model_id": offer.id,
                "usd": offer.usd / 1e6,
                "key": DIALECTS[offer.gateway].key or None,
                "settles": DIALECTS[offer.gateway].settles,
                "options": options_of(offer.gateway),
                "prompt": list(offer.prompt),
                "references": list(offer.references),
                "resolution": list(offer.resolution),
                "aspect_ratio": list(offer.aspect_ratio),
                "format": list(offer.format),
                "count": offer.count,
                "concurrency": offer.concurrency,
                "per_minute": offer.per_minute,
                "source": offer.source,
            }
            for name, offer in offers
        ]
        console.answer = documents
        return 0
    rows = [("provider", "model", "price", "prompt", "references", "auto", "per request", "at once", "key")]
    rows += [
        (
            offer.gateway,
            name,
            dollars(offer.usd) if offer.usd else "free",
            f"{offer.prompt[0]}–{offer.prompt[1]:,}",
            f"{offer.references[0]}–{offer.references[1]}",
            "yes" if "auto" in offer.aspect_ratio else "no",
            str(offer.count),
            str(offer.concurrency),
            DIALECTS[offer.gateway].key,
        )
        for name, offer in offers
    ]
    lines = list(table(rows))
    console.result(console.style(lines[0], "dim"))
    for line in lines[1:]:
        console.result(line)
    if console.verbose:
        for name, offer in offers:
            console.result(f"\n{console.style(f'{offer.gateway}: {name}', 'bold')}")
            console.result(f"  id: {offer.id}")
            console.result(f"  source: {offer.source}")
            console.result(f"  a lost answer is settled by: {_SETTLES[DIALECTS[offer.gateway].settles]}")
            for option, text in options_of(offer.gateway).items():
                console.result(f"  options.{option}: {text}")
    else:
        console.note("more of each, and its options: pipeline providers -v")
    return 0


_SETTLES = {
    "id": "our own id: nothing is uncertain",
    "trace": "a search in the account's log",
    "none": "nothing: held as uncertain, until you say --uncertain retry",
}


def options_of(gateway: str) -> dict[str, str]:
    """A gateway's options, as the manifest's schema describes them."""
    options = json.loads(schema_text("manifest"))["$defs"].get(f"options_{gateway}", {}).get("properties", {})
    return {
        name: option["description"] + (f" One of {', '.join(map(str, option['enum']))}." if "enum" in option else "")
        for name, option in options.items()
    }
