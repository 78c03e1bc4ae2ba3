"""What a :mod:`soak.world` is made of: dialects, offers and a manifest."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fakes.dialect import FakeById

from pipeline.manifest import load
from pipeline.models import load_model
from pipeline.prompt import Template
from pipeline.types import Call, Fate, Flow, Manifest, Offer, Trace
from soak.script import TAG

USD = {"aimlapi": 29_400}
"""Micro-dollars a picture, where it isn't the usual 28,000."""
TELLING = ("aimlapi", "eachlabs", "runware")
"""Gateways that tell what a picture cost, and so may bill less than its price."""
COUNTS = {"fake": 2, "fake-none": 3, "fal": 3, "aimlapi": 2, "eachlabs": 3, "runware": 4}
"""Pictures that one request may make."""


class Tagged:
    """A dialect whose paid call, and what follows it, carry their request's id."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def make(self, job: Any) -> Flow:
        """The same flow, tagged."""
        flow, paid = self._inner.make(job), False
        try:
            call = next(flow)
            while True:
                paid = paid or call.paid
                if paid:
                    call = replace(call, headers={**call.headers, TAG: job.id})
                if 0 < call.after < 1:  # the fakes'
                    call = replace(call, after=2.0)
                call = flow.send((yield call))
        except StopIteration as done:
            images: list[Any] = done.value
            return images
        finally:
            flow.close()


class FakeWithLookup(FakeById):
    """The fake dialect by our id, at a gateway that also tells what became of one."""

    def trace(self, job: Any, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """Ask for it by our id."""
        answer = yield Call("GET", f"{job.base_url}/ours/{job.id}")
        if answer.status == 404 and isinstance(answer.json, dict):
            return Fate("not-accepted", text="it does not know the id")
        return Fate("accepted", answer) if answer.status == 200 and answer.json else Fate("unknown")


@cache
def compiled(text: str) -> Template:
    return Template(text)


_cache: dict[str, Any] = {}


def offers() -> dict[str, Offer]:
    if "offers" not in _cache:
        real = load_model("kling-image-o1").offers
        fake = replace(real["fal"], gateway="fake", id="fake", fields={})
        found = {**real, "fake": fake, "fake-none": replace(fake, gateway="fake-none")}
        _cache["offers"] = {
            name: replace(offer, references=(0, 10), count=COUNTS[name], usd=USD.get(name, 28_000))
            for name, offer in found.items()
            if name in COUNTS
        }
    result: dict[str, Offer] = _cache["offers"]
    return result


def template(folder: Path) -> Manifest:
    """A manifest of three products and one prompt, read once."""
    if "manifest" not in _cache:
        path = folder / "campaign.yaml"
        products = [{"id": f"p{number}", "name": f"Thing {number}", "vars": {"style": ""}} for number in range(3)]
        document = {
            "version": 1,
            "campaign": "model",
            "products": {"things": products[:2], "others": products[2:]},
            "prompts": {"table": {"text": "{{ product.name }} in {{ product.vars.style }}"}},
            "outputs": {"format": ["png"]},
        }
        path.write_text(json.dumps(document))
        _cache["manifest"] = load(str(path))
    manifest: Manifest = _cache["manifest"]
    return manifest
