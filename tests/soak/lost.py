"""Lost answers: one submit in twenty is billed and its answer cut, others are cut before they are accepted.

Each Labs and Runware find every one again. At fal nobody can say what was accepted, and AIML API's log tells of a bill
and never gives the picture: those are uncertain, each named with its amount. A following run asks for none of them, and
`--uncertain retry` finishes them all.
"""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fakes.campaign import write_campaign
from fakes.emulated import GATEWAYS, addresses, emulating, provider

from pipeline.emulator import Emulator, Fault
from soak.books import audit
from soak.paced import pace, run, status
from soak.table import Row

PICTURES, FEWEST = 400, 60
PRODUCTS = 20
SPEED = 50.0
PATIENCE = 2.0
"""Seconds after which AIML API's log has what it will have: of the real 900."""
TELLS = ("eachlabs", "runware")
"""Gateways that find every lost answer again."""
USD = {"fal": "$0.028", "aimlapi": "$0.0294"}
FAULTS = (
    Fault("submit", "reset-after", chance=0.05),
    Fault("submit", "reset-before", chance=0.02),
    Fault("submit", "status-after", chance=0.01, value="502"),
    Fault("submit", "status", chance=0.01, value="500"),
    Fault("submit", "truncated", chance=0.01),
    Fault("submit", "html", chance=0.01),
)


def campaign(scale: float) -> Iterator[Row]:
    """Each gateway, in a small soak one that tells and one that doesn't, all at once."""
    seed = random.randrange(10**6)
    gateways = GATEWAYS if scale > 0.5 else (random.choice(TELLS), random.choice(tuple(USD)))
    with ThreadPoolExecutor(len(gateways)) as pool:
        yield from pool.map(lost, gateways, itertools.repeat(scale), itertools.count(seed))


def lost(gateway: str, scale: float, seed: int) -> Row:
    """The runs of one gateway."""
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"soak-lost-{gateway}-"))
    pictures = max(FEWEST, round(PICTURES * scale) // PRODUCTS * PRODUCTS)
    tells = gateway in TELLS
    with emulating(gateways=(gateway,), faults=FAULTS, seed=seed, limits={}) as emulator:
        env = addresses(emulator) | pace(SPEED, pipeline__gateways__aimlapi__Aimlapi__patience=PATIENCE)
        manifest = write_campaign(
            folder,
            count=PRODUCTS,
            model="kling-image-o1",
            providers=[provider(gateway)],
            prompts={
                f"table{n}": {"text": f"Place @Image1, {{{{ product.name }}}}, on table {n}."}
                for n in range(pictures // PRODUCTS)
            },
            outputs={"aspect_ratio": ["1:1"], "format": ["png"]},
            budget={"usd": 1000},
        )
        log = folder / "log.txt"
        first = run(manifest, env=env, log=log)
        hit = Counter(str(entry["fault"]) for entry in emulator.log(gateway) if entry["fault"])
        jobs = emulator.account(gateway).jobs()
        found = audit(folder / "out/test", jobs, cells=pictures, variants=1, tells=tells)
        wrong = [text for _, text in found.wrong] + list(_told(manifest, env, gateway, found.uncertain))
        wrong += _again(emulator, gateway, manifest, env, log)
    kinds = Counter(kind for kind, _ in found.wrong)
    row = Row(
        f"lost {gateway}",
        hit.total(),
        kinds["lost"] + len(wrong) - len(found.wrong),
        kinds["paid twice"],
        kinds["recorded twice"],
        found.uncertain,
        time.monotonic() - begun,
        f"{pictures} pictures, {first['done']} done at once; {', '.join(f'{n} {name}' for name, n in hit.items())}",
    )
    for text in wrong:
        print(f"lost {gateway}, seed {seed}, {folder}: {text}", flush=True)  # noqa: T201  # what the soak is for
    if not row.bad:
        shutil.rmtree(folder)
    return row


def _told(manifest: Path, env: dict[str, str], gateway: str, uncertain: int) -> Iterator[str]:
    """Every uncertain request is named by `status`, with its amount."""
    lines = [line.strip() for line in status(manifest, env).splitlines()]
    named = [line for line in lines if line.startswith("uncertain: ") and ", request " in line]
    priced = [line for line in named if "/table" in line and line.endswith(f", {USD.get(gateway, '?')}")]
    if not len(named) == len(priced) == uncertain:
        yield f"{uncertain} are uncertain; status names {len(named)}, with their amount {len(priced)}"


def _again(emulator: Emulator, gateway: str, manifest: Path, env: dict[str, str], log: Path) -> Iterator[str]:
    """A following run asks for nothing; one that is told to asks for what is uncertain, and everything is there."""

    def submits() -> int:
        return sum(entry["kind"] == "submit" for entry in emulator.log(gateway))

    emulator.faults(gateway, ())
    asked = submits()
    second: dict[str, Any] = run(manifest, env=env, log=log)
    if submits() != asked:
        yield f"a following run made {submits() - asked} submits"
    last: dict[str, Any] = run(manifest, "--uncertain", "retry", env=env, log=log)
    if submits() - asked != second["uncertain_cells"]:
        yield f"{submits() - asked} submits for {second['uncertain_cells']} uncertain pictures"
    if last["done"] != last["cells"] or last["exit_code"]:
        yield f"{last['cells'] - last['done']} pictures are not there, exit {last['exit_code']}"
