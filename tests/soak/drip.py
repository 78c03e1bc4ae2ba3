"""Pictures that drip: twenty of them send a byte now and then, and all others are made as if they were not there.

Two runs go side by side on the same machine, one of them with the drippers. Those are given up at their deadline and
fetched again, at once or by a later run; then they come whole, and nothing was paid twice.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from soak.books import read
from soak.paced import end, pace, run, start
from soak.shop import PRODUCTS, Shop, ordered, shopping
from soak.table import Row
from soak.ways import WHOLE

DRIPPERS = 20
OTHERS, FEWEST = 300, 100
DEADLINE, SHORT = 4.0, 1.5
"""Seconds that a picture may take to come, in a full soak and in a small one: of the real 120."""
FETCHES = 2
"""Times that a small soak fetches a picture, of the real 5."""
SLOWER, START = 1.5, 1.0
"""How many times as long the others may take among drippers, and seconds on top of that on a busy machine."""
ONCE = 5
"""Drippers that drip the first time only; the others do as long as the run lasts."""


def campaign(scale: float) -> Iterator[Row]:
    """A run with the drippers beside one without, and one in which they come."""
    begun = time.monotonic()
    pictures = max(FEWEST, round(OTHERS * scale) // PRODUCTS * PRODUCTS) + DRIPPERS
    folder = Path(tempfile.mkdtemp(prefix="soak-drip-"))
    chance = random.Random(random.randrange(10**6))
    calm: list[bool] = []

    def choose(picture: int, sending: int) -> str:
        drippy = picture < DRIPPERS and not calm and (sending == 1 or picture >= ONCE)
        return chance.choice(("drip", "header drips", "stall")) if drippy else WHOLE

    with ExitStack() as stack:
        slow = stack.enter_context(shopping(choose))
        fast = stack.enter_context(shopping(lambda *_: WHOLE))
        full = scale > 0.5
        fetches = {} if full else {"pipeline__engine__finish__FETCHES": FETCHES}
        env = pace(50.0, pipeline__media__DOWNLOAD_SECONDS=DEADLINE if full else SHORT, **fetches)
        runs = []
        for name, shop in (("slow", slow), ("fast", fast)):
            manifest = ordered(folder / name, shop, pictures)
            runs.append((manifest, start(manifest, "--allow-private", env=env, log=folder / f"{name}.txt")))
        slow_manifest, slow_run = runs[0]
        end(runs[1][1], folder / "fast.txt")
        first = end(slow_run, folder / "slow.txt")
        took = time.monotonic() - begun
        calm.append(True)
        second = run(slow_manifest, "--allow-private", env=env, log=folder / "slow.txt")
        billed = slow.state.billed
    with_them, without = seconds(folder / "slow", slow), seconds(folder / "fast", fast)
    takes = len(read(folder / "slow/out/test/.pipeline/ledger.sqlite").pictures)
    row = Row(
        "drip",
        DRIPPERS,
        second["cells"] - second["done"],
        billed.total() - len(billed),
        takes - pictures,
        second["uncertain_cells"],
        time.monotonic() - begun,
        f"{pictures - DRIPPERS} others in {with_them:.1f} s, {without:.1f} s without drippers; "
        f"{first['done']} of {pictures} done in the first run, after {took:.1f} s",
    )
    where = f"{folder}: {row.note}"
    assert with_them <= SLOWER * without + START, where
    assert first["done"] >= pictures - DRIPPERS + ONCE, where
    if not row.bad:
        shutil.rmtree(folder)
    yield row


def seconds(folder: Path, shop: Shop) -> float:
    """From the first submit until the last picture that never dripped was recorded."""
    with closing(sqlite3.connect(folder / "out/test/.pipeline/ledger.sqlite")) as db:
        recorded = db.execute("SELECT sha256, at FROM pictures").fetchall()
    return max(at for digest, at in recorded if shop.whole[digest] >= DRIPPERS) - shop.begun
