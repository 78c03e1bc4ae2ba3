"""Pictures that arrive in every bad way there is, in runs that are killed now and then.

While the runs go on, and after each of them, every file at a final name is read and decoded: none is ever anything but
a whole picture. In the end all are there, and nothing was paid twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from fakes.campaign import results
from PIL import Image

from soak.books import read
from soak.paced import end, pace, run, start
from soak.shop import PRODUCTS, Shop, ordered, shopping
from soak.table import Row
from soak.ways import GOOD, bad_ways

PICTURES = 300
KILLS = 25
RUNS = 12
"""Runs in which all is there, once nobody kills them any more."""
SPEED = 60.0
"""How many times as fast as in reality all goes."""
STUBBORN = 9
"""Sendings that go wrong in a row, for a picture that outlasts a run."""
SECONDS = 1.0
"""In which a picture may come at any speed: of the real 120."""


class Watch:
    """Looks at every file at a final name, again and again, as long as it is entered."""

    def __init__(self, folder: Path, shop: Shop) -> None:
        self.folder, self.shop = folder, shop
        self.seen: dict[tuple[str, int, int], bool] = {}
        self.bad: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()

    def _go_on(self) -> None:
        while not self._over.wait(0.02):
            self.look()

    def look(self) -> None:
        """Read and decode what is new."""
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a temporary file, gone meanwhile
                stat = path.stat()
                mark = (str(path), stat.st_mtime_ns, stat.st_ino)
                if not path.is_file() or path.suffix == ".part" or mark in self.seen:
                    continue
                self.seen[mark] = True
                if wrong := self.wrong(path, path.read_bytes()):
                    self.bad.append(f"{path}: {wrong}")

    def wrong(self, path: Path, data: bytes) -> str | None:
        """What is wrong with a file that is at its final name, if anything."""
        private = ".pipeline" in path.parts and path.parent.name not in ("originals", "thumbs")
        if private or path.suffix in (".json", ".jsonl", ".html"):
            return None
        if path.suffix not in (".png", ".jpg", ".webp"):
            return "a file of no known kind"
        if path.parent.name == "originals":
            return None if hashlib.sha256(data).hexdigest() in self.shop.whole else self.shop.explain(data)
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.verify()
            with Image.open(io.BytesIO(data)) as image:
                image.load()
        except Exception as error:  # whatever it is
            return f"it is no whole picture: {error}"
        return None if image.width == image.height else f"it is {image.width}×{image.height}"


class Script:
    """How each sending of each picture goes: bad ones, each way about as often, and then it arrives."""

    def __init__(self, pictures: int, chance: random.Random) -> None:
        ways = bad_ways()
        chance.shuffle(ways)
        endless = itertools.cycle(ways)
        most = chance.choices((0, 1, 2, 3, 4, STUBBORN), (2, 5, 4, 2, 1, 1), k=pictures)
        self.bad = [[next(endless) for _ in range(number)] for number in most]
        self.chance = chance

    def way(self, picture: int, sending: int) -> str:
        """The n-th sending (from 1) of a picture."""
        bad = self.bad[picture] if picture < len(self.bad) else []
        return bad[sending - 1] if sending <= len(bad) else self.chance.choice(GOOD)


def campaign(scale: float) -> Iterator[Row]:
    """One campaign's pictures."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="soak-downloads-"))
    pictures = max(PRODUCTS, round(PICTURES * scale) // PRODUCTS * PRODUCTS)
    script = Script(pictures, chance)
    with shopping(script.way) as shop, Watch(folder / "out", shop) as watch:
        manifest = ordered(folder, shop, pictures)
        env = pace(SPEED, pipeline__fetching__GRACE=SECONDS, pipeline__fetching__PAUSE=1 / SPEED)
        kills = sum(killed(shop, manifest, env, pictures, chance, folder) for _ in range(max(1, round(KILLS * scale))))
        runs = 0
        done = {"done": 0, "cells": 1}
        while done["done"] < done["cells"] and runs < RUNS:
            done = run(manifest, "--allow-private", env=env, log=folder / "log.txt")
            runs += 1
        billed = shop.state.billed
    books = read(folder / "out/test/.pipeline/ledger.sqlite")
    takes = Counter(key for key, *_ in books.pictures)
    bad = {way: number for way, number in shop.ways.items() if way not in GOOD}
    row = Row(
        "downloads",
        sum(bad.values()),
        done["cells"] - done["done"] + len(watch.bad) + _lost(manifest),
        billed.total() - len(billed),
        takes.total() - len(takes),
        done["uncertain_cells"],
        time.monotonic() - begun,
        f"{done['cells']} pictures, {len(bad)} bad ways, {kills} kills, then {runs} runs; "
        f"{len(watch.seen)} files seen, {len(watch.bad)} bad; {shop.asked_dead} dead links asked again",
    )
    assert not watch.bad, f"seed {seed}, {folder}: {watch.bad[:5]}"
    if not row.bad:
        shutil.rmtree(folder)
    yield row


def _lost(manifest: Path) -> int:
    """Files that are not what was recorded."""
    out = manifest.parent / "out/test"
    return sum(
        hashlib.sha256((out / line["path"]).read_bytes()).hexdigest() != line["sha256"] for line in results(manifest)
    )


def killed(shop: Shop, manifest: Path, env: dict[str, str], pictures: int, chance: random.Random, folder: Path) -> bool:
    """A run that is killed some moments after some sending; whether it lived so long."""
    sendings = shop.sendings.total() + chance.randint(1, max(2, pictures // 6))
    process = start(manifest, "--allow-private", env=env, log=folder / "log.txt")
    with shop.fetched:
        while shop.sendings.total() < sendings and process.poll() is None:
            shop.fetched.wait(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(chance.uniform(0, 0.05))
    if process.poll() is not None:
        end(process, folder / "log.txt")
        return False
    process.kill()
    process.communicate()
    return True
