"""The name `pipeline` belongs to others too: the command works beside them, or says who took it and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fakes.campaign import environment, write_campaign

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages: this one, as a wheel lays it out."""
    place = tmp_path / "site"
    shutil.copytree(REPOSITORY / "pipeline", place / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / "schemas", place / "pipeline/schemas")
    shutil.copy(REPOSITORY / "campaign_pipeline.py", place)
    install(place, "campaign-pipeline", *sorted(path.relative_to(place) for path in place.rglob("*.*")))
    return place


def install(place: Path, name: str, *files: Path) -> None:
    """Record that these files are of a distribution, as pip does."""
    info = place / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{path.as_posix()},sha256=x,{(place / path).stat().st_size}" for path in files]
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,"]) + "\n")


def command(site: Path, *words: object, here: Path, path: str = "", module: bool = False) -> tuple[int, str]:
    """The exit code of ``campaign-pipeline``, or of ``python -m``, and all that it says."""
    found = [path, str(site)] if path else [str(site)]
    start = f"import sys; sys.path[:0] = {found}; import campaign_pipeline; sys.exit(campaign_pipeline.main())"
    line = [sys.executable, "-P", "-c", start]
    env = environment() | {"PYTHONPATH": ""}
    if module:
        line = [sys.executable, "-m", "campaign_pipeline"]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [path, str(site)]))
    done = subprocess.run([*line, *map(str, words)], cwd=here, env=env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize("kind", ["nothing", "a script", "a folder", "a package"])
def test_something_here_of_that_name_is_not_in_the_way(site: Path, tmp_path: Path, kind: str, module: bool) -> None:
    """A script or folder of one's own, found first by PYTHONPATH or by ``python -m``: nothing of it runs."""
    manifest = write_campaign(tmp_path / "own", count=1)
    folder = manifest.parent
    if kind == "a script":
        (folder / "pipeline.py").write_text("print('my own script')\n")
    elif kind != "nothing":
        (folder / "pipeline").mkdir()
        (folder / "pipeline/__init__.py").write_text("print('my own script')\n" if kind == "a package" else "")
    code, said = command(site, "validate", manifest, here=folder, path=str(folder), module=module)
    assert (code, "valid" in said, "my own script" in said) == (0, True, False)
    code, said = command(site, "run", manifest, "--executor", "processes", here=folder, path=str(folder), module=module)
    assert (code, "my own script" in said) == (0, False), said


def test_a_package_that_was_installed_over_it_is_named(site: Path, tmp_path: Path) -> None:
    """By its distribution, with the file and the next step; so is one that left nothing when it went."""
    first = site / "pipeline/__init__.py"
    first.write_text("'''Asset packaging.'''\n")
    install(site, "django-pipeline", Path("pipeline/__init__.py"))
    code, said = command(site, "--version", here=tmp_path)
    assert code == 1
    assert f"{first}: is of django-pipeline, and campaign-pipeline needs the name" in said
    assert "uninstall django-pipeline, then pip install --force-reinstall --no-deps campaign-pipeline" in said
    first.unlink()
    code, said = command(site, "--version", here=tmp_path)
    assert code == 1
    assert f"{first}: is gone, perhaps with another package" in said
    assert "pip install --force-reinstall" in said


@pytest.mark.parametrize("change", ["overwritten", "removed"])
def test_a_part_that_is_not_ours_any_more_is_named(site: Path, tmp_path: Path, change: str) -> None:
    """A module of the same name in another package, which would fail somewhere in a run."""
    part = site / "pipeline/types.py"
    part.write_text("class Filter: ...\n")
    install(site, "pipeline-ai", Path("pipeline/types.py"))
    if change == "removed":
        part.unlink()
    code, said = command(site, "--version", here=tmp_path)
    assert code == 1
    assert f"{part}: not as campaign-pipeline installed it, but overwritten by pipeline-ai or removed" in said


def test_files_that_others_added_are_not_in_the_way(site: Path, tmp_path: Path) -> None:
    """Beside ours, under names that we don't have."""
    (site / "pipeline/storage.py").write_text("raise SystemExit(9)\n")
    install(site, "django-pipeline", Path("pipeline/storage.py"))
    assert command(site, "--version", here=tmp_path)[0] == 0


def test_both_commands_look_first() -> None:
    """Also the old one, which another package may have replaced."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == dict.fromkeys(("campaign-pipeline", "pipeline"), "campaign_pipeline:main")


@pytest.mark.parametrize("module", ["pipeline", "campaign_pipeline"])
def test_both_modules_are_the_command(tmp_path: Path, module: str) -> None:
    """``python -m`` with either name."""
    env = environment() | {"PYTHONPATH": str(REPOSITORY)}
    line = [sys.executable, "-P", "-m", module]
    version = subprocess.run([*line, "--version"], env=env, capture_output=True, text=True, check=True)
    assert version.stdout.startswith("campaign-pipeline ")
    usage = subprocess.run([*line, "plan", "--help"], env=env, capture_output=True, text=True, check=True)
    assert usage.stdout.startswith(f"usage: python -m {module} plan ")
