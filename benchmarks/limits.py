"""How much of a gateway's published limits a run uses: Each Labs' 100 creates a minute and 10 in flight.

The emulator counts, with its clock (and so the limits) ten times as fast. Printed: creates a minute against what the
limits allow, and how often the emulator had to refuse.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from pipeline.emulator import Settings, serve

SPEED = 10.0
PICTURES = 400


def campaign(folder: Path) -> Path:
    """A manifest of so many pictures, each of its own product."""
    Image.new("RGB", (400, 400), "teal").save(folder / "product.png")
    products = [{"id": f"p{n}", "images": {"front": "product.png"}} for n in range(PICTURES)]
    manifest = {
        "version": 1,
        "campaign": "limits",
        "providers": ["eachlabs"],
        "products": {"all": products},
        "prompts": {"table": {"text": "Place @Image1 on a table, view {{ product.id }}."}},
    }
    path = folder / "campaign.yaml"
    path.write_text(json.dumps(manifest))
    return path


def measure(name: str, latency: tuple[float, float]) -> None:
    """One run against an emulator whose jobs take so long, and how near it came to what is allowed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Settings(gateways=("eachlabs",), speed=SPEED, latency=latency, pictures="plain")) as emulator,
    ):
        manifest = campaign(Path(folder))
        command = [sys.executable, __file__, "run", str(manifest), emulator.urls["eachlabs"]]
        subprocess.run(command, check=True, capture_output=True)
        bill, jobs = emulator.bill("eachlabs"), emulator.account("eachlabs").jobs()
    first, last = jobs[0].created, max(job.finished for job in jobs)
    seconds = sum(latency) / 2
    minutes = (PICTURES - 1) // 100  # that must pass before the last hundred may begin
    ideal = max(minutes * 60 + (PICTURES - minutes * 100) * seconds / 10, PICTURES * seconds / 10)
    used = ideal / (last - first)
    print(
        f"{name}: {PICTURES / (last - first) * 60:.1f} creates/min, {used:.1%} of what the limits allow; "
        f"most in a minute {bill['most_creates_per_minute']} of 100, in flight {bill['peak_in_flight']} of 10, "
        f"refused {bill['rejected_rate'] + bill['rejected_concurrency']}"
    )


def child(manifest: str, url: str) -> int:
    """The run itself: a rehearsal's pace against an emulator that is watched from outside."""
    from dataclasses import replace

    from pipeline.addresses import Reach
    from pipeline.executors import find_executor, open_executor
    from pipeline.expand import PRIVATE, expand
    from pipeline.ledger import open_ledger
    from pipeline.manifest import load
    from pipeline.plan import make_plan
    from pipeline.run import carry_out

    loaded = load(manifest, places={"eachlabs": url})
    providers = tuple(replace(p, speed=SPEED) for p in loaded.providers)
    expansion = expand(replace(loaded, providers=providers))
    with open_ledger(loaded.outputs.folder / PRIVATE, loaded.campaign) as ledger:
        plan = make_plan(expansion, ledger)
        with open_executor(find_executor("threads"), 2) as executor:
            report = carry_out(plan, ledger, executor, keys={"eachlabs": "benchmark"}, reach=Reach(private=True))
    return 0 if report.outcome.made == PICTURES else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(child(sys.argv[2], sys.argv[3]))
    measure("100 creates/min, jobs of 3 to 5 s", (3.0, 5.0))
    measure("10 in flight,    jobs of 8 to 12 s", (8.0, 12.0))
