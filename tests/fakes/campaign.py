"""Small campaigns to run, and the real command line to run them with."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

from fakes.work import HANGS
from pipeline.cli import main

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


def environment() -> dict[str, str]:
    """The environment of a child process that imports this checkout (or the installed wheel, when it is told so)."""
    nobody = dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull)  # that Git knows
    return {**os.environ, **nobody, "NO_COLOR": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def write_campaign(folder: Path, *, count: int = 3, provider: dict[str, Any] | str = "local", **keys: Any) -> Path:
    """A manifest with ``count`` products in one prompt; ``keys`` replace its top-level keys."""
    folder.mkdir(parents=True, exist_ok=True)
    colours = ["red", "green", "blue", "olive", "navy", "teal", "maroon", "purple"]
    for number in range(count):
        colour = colours[number] if number < len(colours) else f"#{number * 1999 % 2**24:06x}"
        Image.new("RGB", (400, 400), colour).save(folder / f"p{number}.png")
    manifest: dict[str, Any] = {
        "version": 1,
        "campaign": "test",
        "model": str(HERE / "model.yaml"),
        "providers": [provider],
        "products": {
            "things": [
                {"id": f"p{number}", "name": f"Thing {number}", "images": {"front": f"p{number}.png"}}
                for number in range(count)
            ]
        },
        "prompts": {"table": {"text": "Place @Image1 on a table."}},
        "outputs": {"aspect_ratio": ["1:1", "16:9"], "format": ["png", "webp"]},
    }
    manifest |= keys
    path = folder / "campaign.yaml"
    path.write_text(json.dumps(manifest, indent=2))
    return path


def edit(path: Path, **keys: Any) -> None:
    """Replace top-level keys of a manifest made by :func:`write_campaign`."""
    path.write_text(json.dumps(json.loads(path.read_text()) | keys, indent=2))


def command(*arguments: object, env: dict[str, str] | None = None) -> list[str]:
    """How to run the command line with the fakes, whose manifests name them on loopback.

    Where the environment says what to call instead, or an emulator stands for all, that is option enough.
    """
    given = [str(argument) for argument in arguments]
    named = "--emulate" in given or any(name.endswith("_BASE_URL") for name in env or {})
    private = ["--allow-private"] if given[:1] in (["run"], ["cancel"]) and not named else []
    return [sys.executable, str(HERE / "runner.py"), *given, *private]


def pipeline(
    *arguments: object, expect: int = 0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line with the fakes to its end; it must exit as expected, without a traceback."""
    given = command(*arguments, env=env)
    done = subprocess.run(
        given, capture_output=True, text=True, env=environment() | (env or {}), timeout=HANGS, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def inside(*arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """:func:`pipeline` in this process, for commands that stay offline: in a tenth of the time."""
    given, out, err = [str(argument) for argument in arguments], io.StringIO(), io.StringIO()
    with contextlib.chdir(Path.cwd()), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(given)
        except SystemExit as end:
            code = int(end.code or 0)
    assert code == expect, f"exit {code}\n{out.getvalue()}\n{err.getvalue()}"
    return subprocess.CompletedProcess(given, code, out.getvalue(), err.getvalue())


def run(manifest: Path, *arguments: object, expect: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
    """``pipeline run --json`` and what it says."""
    done = pipeline("run", manifest, "--json", *arguments, expect=expect, env=env)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def start(manifest: Path, *arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """``pipeline run`` in the background."""
    given = command("run", manifest, *arguments, env=env)
    env = environment() | (env or {})
    return subprocess.Popen(given, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_line(process: subprocess.Popen[str], word: str) -> str:
    """What a process says on standard error until it says this."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if word in line:
            return said
    raise AssertionError(f"it never said {word!r}: {said}")


def plan(manifest: Path, *arguments: object, expect: int = 0) -> dict[str, Any]:
    """``pipeline plan --json`` and what it says."""
    document: dict[str, Any] = json.loads(pipeline("plan", manifest, "--json", *arguments, expect=expect).stdout)
    return document


def results(manifest: Path) -> list[dict[str, Any]]:
    """The lines of results.jsonl."""
    text = (manifest.parent / "out/test/results.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def owed(cells: list[dict[str, Any]]) -> Counter[str]:
    """Key → 1 for every distinct picture: what a gateway should have billed, whatever happened."""
    return Counter({cell["key"]: 1 for cell in cells})
