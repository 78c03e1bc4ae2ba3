"""The vendors' own example requests, as manifests: what we send is their JSON, but for ids and what we say ourselves.

``vendor/*.json`` holds the JSON of the examples word for word: fal's model page of ``fal-ai/kling-image/o1``, Each
Labs' of ``kling-o1``, AIML API's of ``klingai/image-o1``, and Runware's of ``klingai:kling-image@o1``.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import anyio
import pytest

from pipeline.budget import Budget
from pipeline.engine.carry import Carrier
from pipeline.engine.drive import Drive
from pipeline.engine.hints import Hints
from pipeline.engine.lane import Lane
from pipeline.engine.wire import Wire
from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.plan import make_plan
from pipeline.run import orders
from pipeline.types import Call, Json

HERE = Path(__file__).parent
MANIFESTS = HERE.parent.parent / "manifests/vendor"


@dataclass(frozen=True)
class Vendor:
    """Where an example is sent to and with which key; what we send beyond it (path → value and why), and the ids."""

    url: str
    header: dict[str, str]
    added: dict[str, tuple[Json, str]]
    ids: frozenset[str] = field(default_factory=frozenset)


ONE = (1, "the vendor's default, said because a request may ask for several")
PNG = ("png", "the vendor's default, said because renditions are made from a lossless original")
FAL = Vendor(
    # The page's curl calls fal.run/…, which loses a paid picture with its connection: the queue has the same paths.
    url="https://queue.fal.run/fal-ai/kling-image/o1",
    header={"Authorization": "Key KEY"},
    added={
        "resolution": ("1K", "the vendor's default, and ours"),
        "num_images": ONE,
        "aspect_ratio": ("auto", "the vendor's default, said in the manifest, as ours is 1:1"),
        "output_format": PNG,
    },
)
AIMLAPI = Vendor(
    url="https://api.aimlapi.com/v1/images/generations",
    header={"Authorization": "Bearer KEY"},
    added={
        "resolution": ("1K", "the vendor's default, and ours"),
        "num_images": ONE,
        "aspect_ratio": ("16:9", "the vendor's default, said in the manifest, as ours is 1:1"),
        "output_format": PNG,
    },
)
EACHLABS = Vendor(
    url="https://api.eachlabs.ai/v1/prediction/",
    header={"X-API-Key": "KEY"},
    added={
        "version": ("0.0.1", "the version that the model page states: one of the vendor's guides requires it"),
        "input.resolution": ("1K", "the vendor's default, and ours"),
        "input.num_images": ONE,
        "input.aspect_ratio": ("auto", "the vendor's default, said in the manifest, as ours is 1:1"),
        "input.output_format": PNG,
    },
)
RUNWARE = Vendor(
    url="https://api.runware.ai/v1",
    header={"Authorization": "Bearer KEY"},
    added={
        "numberResults": ONE,
        "outputFormat": ("JPG", "the vendor's default, said in the manifest, as ours is png"),
        "deliveryMethod": ("async", "not the vendor's default: a picture outlives the connection that asked for it"),
        "includeCost": (True, "not the vendor's default: the ledger keeps what the vendor says it cost"),
    },
    ids=frozenset({"taskUUID"}),
)
EXAMPLES = {
    "fal-full": FAL,
    "fal-required": FAL,
    "eachlabs": EACHLABS,
    "aimlapi-t-rex": AIMLAPI,
    "runware-automaton-tailor": RUNWARE,
    "runware-volcanic-choir": RUNWARE,
    "runware-velvet-canopy": RUNWARE,
    "runware-reading-nook": RUNWARE,
}


def sent(name: str) -> tuple[Call, dict[str, str]]:
    """The paid call of a manifest's one request, made as a run makes it, and the headers that authorise it."""
    plan = make_plan(expand(load(str(MANIFESTS / f"{name}.yaml"))), None)
    (order,) = orders(plan, None)  # no request is continued, so no ledger is asked
    (provider,) = plan.manifest.providers
    session = SimpleNamespace(hints=Hints(), carrier=Carrier(None, {}), budget=Budget())
    drive = Drive(session, Lane(provider, Wire()), order)
    anyio.run(drive.carry)  # web addresses travel as they are: nobody is asked for anything
    call = next(drive.dialect.make(drive.job))
    assert call.paid
    return call, drive.dialect.headers("KEY", drive.job.options)


def flat(tree: Json, path: str = "") -> dict[str, Json]:
    """Dotted path → value, lists being values."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {
        name: value for key, inner in tree.items() for name, value in flat(inner, f"{path}.{key}".strip(".")).items()
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_we_send_is_the_vendors_example(name: str) -> None:
    """Every key of the vendor's JSON has the vendor's value; every other key is a default that we say, by this list."""
    vendor = EXAMPLES[name]
    example = flat(json.loads((HERE / f"vendor/{name}.json").read_text("utf-8")))
    call, header = sent(name)
    body = call.json
    if vendor is RUNWARE:
        (body,) = body  # tasks travel in a list
    ours = flat(body)
    assert (call.method, call.url, header) == ("POST", vendor.url, vendor.header)
    assert {key: ours.get(key) for key in example.keys() - vendor.ids} == {
        key: value for key, value in example.items() if key not in vendor.ids
    }
    assert {key: ours[key] for key in ours.keys() - example.keys()} == {
        key: value for key, (value, _) in vendor.added.items() if key not in example
    }


@pytest.mark.parametrize("name", [name for name, vendor in EXAMPLES.items() if vendor.ids])
def test_an_id_is_our_own(name: str) -> None:
    """Runware's ``taskUUID`` is a UUID v4 of ours, another for every request."""
    example = json.loads((HERE / f"vendor/{name}.json").read_text("utf-8"))["taskUUID"]
    ids = [call.json[0]["taskUUID"] for call, _ in (sent(name), sent(name))]
    assert len({example, *ids}) == 3
    assert [uuid.UUID(found).version for found in ids] == [4, 4]


def test_the_model_is_fals_address() -> None:
    """fal's body names no model: the path does, and it is that of the page's curl, which calls the other host."""
    page = "https://fal.run/fal-ai/kling-image/o1"
    for name in ("fal-full", "fal-required"):
        assert urlsplit(sent(name)[0].url).path == urlsplit(page).path


def test_every_example_has_a_manifest_and_its_json() -> None:
    """The two folders hold these examples and nothing else."""
    assert {path.stem for path in MANIFESTS.glob("*.yaml")} == set(EXAMPLES)
    assert {path.stem for path in (HERE / "vendor").glob("*.json")} == set(EXAMPLES)
