"""How fast is a plan? 100,000 cells from 1,000 products: whole command, and µs per cell of each stage.

Prints the whole command's seconds and peak memory, the stages of one plan, and two ratios measured side by side in this
run: what rendering prompts per cell instead of per place would cost, and what comparing with a full ledger costs.

    python benchmarks/plan.py [PRODUCTS]
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from pipeline.expand import PRIVATE, Expansion, expand
from pipeline.ledger import FileRow, Ledger, PictureRow, open_ledger
from pipeline.manifest import load
from pipeline.plan import encoding_of, make_plan
from pipeline.prompt import Template

CELLS_A_PRODUCT = 100


def write_campaign(folder: Path, products: int) -> Path:
    """2 resolutions × 5 ratios × 5 variants × 2 formats of every product."""
    for number in range(20):
        Image.new("RGB", (400, 400), (number * 10, 90, 60)).save(folder / f"{number}.png")
    rows = "".join(
        f"    - {{id: p{n}, name: Product {n}, images: {{front: {n % 20}.png}}, vars: {{colour: shade {n}}}}}\n"
        for n in range(products)
    )
    path = folder / "big.yaml"
    path.write_text(
        f"version: 1\ncampaign: big\nproducts:\n  all:\n{rows}"
        "prompts:\n  table: {text: 'Place @Image1, a {{ product.vars.colour }} {{ product.name }}, on an oak table.'}\n"
        "outputs: {resolution: [1K, 2K], aspect_ratio: ['1:1', '9:16', '16:9', '4:3', '3:4'], "
        "variants: 5, format: [png, webp]}\n"
    )
    return path


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fill(ledger: Ledger, expansion: Expansion) -> None:
    """A ledger that says that everything is done (the files themselves are sparse and empty of meaning)."""
    manifest = expansion.manifest
    steps: list[Callable[[Ledger], None]] = []
    for key, picture in expansion.pictures.items():
        made = ("r", f"originals/{key}", "0", 1, 1, 1, None, 0, 0, 0)
        row = PictureRow(key, 1, picture.spec.key, picture.variant, *made)
        steps.append(lambda to, row=row: to.add_picture(row))  # type: ignore[misc]
    for cell in expansion.cells:
        path = manifest.outputs.folder / cell.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        stamp = path.stat().st_mtime_ns
        file = FileRow(cell.file, cell.picture.key, 1, encoding_of(manifest, cell.format), "0", 0, stamp)
        steps.append(lambda to, file=file: to.add_file(file))  # type: ignore[misc]
    ledger.commit(steps)


def whole_command(manifest: Path) -> tuple[float, float]:
    """Seconds and peak MB of `pipeline plan --json` in a process of its own."""
    command = [sys.executable, "-m", "pipeline", "plan", str(manifest), "-q"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - start
    return took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    products = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as name:
        path = write_campaign(Path(name), products)
        took, memory = whole_command(path)
        manifest = load(str(path))
        loading = seconds(lambda: load(str(path)))
        expansion = expand(manifest)
        cells = len(expansion.cells)
        expanding = min(seconds(lambda: expand(manifest)) for _ in range(3))
        template = Template(manifest.prompts[0].text)
        context = {"product": {"name": "Product", "vars": {"colour": "blue"}}}
        render = seconds(lambda: [template.render(context) for _ in range(products)])
        render_each = seconds(lambda: [template.render(context) for _ in range(cells)])
        prefix = hashlib.sha256(json.dumps(["p" * 200]).encode())

        def hash_keys() -> None:
            for number in range(cells // 2):
                digest = prefix.copy()
                digest.update(b"1K\0001:1\000png")
                hashlib.sha256(f"{digest.hexdigest()}\0{number}".encode()).hexdigest()

        keys = seconds(hash_keys)
        empty = min(seconds(lambda: make_plan(expansion, None)) for _ in range(3))
        with open_ledger(manifest.outputs.folder / PRIVATE, "big") as ledger:
            fill(ledger, expansion)
            full = min(seconds(lambda: make_plan(expansion, ledger)) for _ in range(3))
        again, memory_again = whole_command(path)
    each = 1e6 / cells
    print(f"{cells:,} cells, {len(expansion.pictures):,} pictures, {products:,} products, {os.cpu_count()} processors")
    print(f"pipeline plan, new campaign    {took:6.2f} s  {memory:5.0f} MB")
    print(f"pipeline plan, all done        {again:6.2f} s  {memory_again:5.0f} MB")
    for stage, value in (("load", loading), ("expand (all of it)", expanding), ("  render prompts", render)):
        print(f"{stage:30} {value:6.2f} s  {value * each:5.2f} µs per cell")
    for stage, value in (("  hash keys", keys), ("compare, empty ledger", empty), ("compare, all done", full)):
        print(f"{stage:30} {value:6.2f} s  {value * each:5.2f} µs per cell")
    print(f"ratio: rendering per cell instead of per place costs {render_each / render:.0f}× the rendering")
    print(f"ratio: comparing with a full ledger costs {full / empty:.1f}× comparing with none")


if __name__ == "__main__":
    main()
