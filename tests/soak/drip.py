"""Pictures that drip: twenty of them send a byte now and then, and all others are made as if they were not there.

The first run has all the time in the world, and is killed when it has made the others: if the drippers held them up, it
would never come to that. In the next run the drippers are given up at their deadline and fetched again, at once or by a
later run; then they come whole, and nothing was paid twice.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from soak.books import read
from soak.paced import LONGEST, pace, run, start
from soak.shop import PRODUCTS, Shop, ordered, shopping
from soak.table import Row
from soak.ways import WHOLE

DRIPPERS = 20
OTHERS, FEWEST = 300, 100
DEADLINE, SHORT = 4.0, 1.5
"""Seconds in which a picture may come at any speed, in a full soak and in a small one: of the real 120."""
FETCHES = 2
"""Times that a small soak fetches a picture, of the real 5."""
PATIENT = 1e6
"""Seconds that a picture may take in the first run."""
ONCE = 5
"""Drippers that drip the first time only; the others do as long as the run lasts."""


def campaign(scale: float) -> Iterator[Row]:
    """A run that has made the others, one in which the drippers are given up, and one in which they come."""
    begun = time.monotonic()
    pictures = max(FEWEST, round(OTHERS * scale) // PRODUCTS * PRODUCTS) + DRIPPERS
    folder = Path(tempfile.mkdtemp(prefix="soak-drip-"))
    chance = random.Random(random.randrange(10**6))
    calm: list[bool] = []

    def choose(picture: int, sending: int) -> str:
        drippy = picture < DRIPPERS and not calm and (sending <= 2 or picture >= ONCE)
        return chance.choice(("drip", "header drips", "stall")) if drippy else WHOLE

    full, log = scale > 0.5, folder / "log.txt"
    fetches = {} if full else {"pipeline__engine__finish__FETCHES": FETCHES}
    env = pace(50.0, pipeline__fetching__GRACE=DEADLINE if full else SHORT, **fetches)
    with shopping(choose) as shop:
        manifest = ordered(folder, shop, pictures)
        beside = others(manifest, shop, pictures - DRIPPERS, log)
        first = run(manifest, "--allow-private", env=env, log=log)
        calm.append(True)
        second = run(manifest, "--allow-private", env=pace(50.0), log=log)
        billed = shop.state.billed
    takes = len(read(folder / "out/test/.pipeline/ledger.sqlite").pictures)
    row = Row(
        "drip",
        DRIPPERS,
        second["cells"] - second["done"],
        billed.total() - len(billed),
        takes - pictures,
        second["uncertain_cells"],
        time.monotonic() - begun,
        f"{pictures - DRIPPERS} others beside {beside} that dripped; {first['done']} of {pictures} after the next run",
    )
    if not row.bad:
        shutil.rmtree(folder)
    yield row


def others(manifest: Path, shop: Shop, number: int, log: Path) -> int:
    """A run that is killed when it has made so many pictures that don't drip; how many dripped beside them."""
    patience = dict.fromkeys(("STALL", "GRACE", "LONGEST"), PATIENT)
    env = pace(50.0, **{f"pipeline__fetching__{name}": seconds for name, seconds in patience.items()})
    process = start(manifest, "--allow-private", env=env, log=log)
    guard = threading.Timer(LONGEST, process.kill)  # no measure: without drippers in the way it takes some seconds
    guard.start()
    try:
        while made(manifest, shop) < number:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            assert process.poll() is None, f"the drippers held up the others: {log.read_text()[-3000:]}"
    finally:
        guard.cancel()
        process.kill()
        process.communicate()
    return sum(way != WHOLE for way in shop.ways.elements())


def made(manifest: Path, shop: Shop) -> int:
    """How many pictures are recorded that never dripped."""
    ledger = manifest.parent / "out/test/.pipeline/ledger.sqlite"
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        recorded = db.execute("SELECT sha256 FROM pictures").fetchall()
        return sum(shop.whole[digest] >= DRIPPERS for (digest,) in recorded)
    return 0  # there is none yet
