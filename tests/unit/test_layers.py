"""The architecture, checked: imports point down only, and only the command line prints."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pipeline

ROOT = Path(pipeline.__file__).parent

# From the ground up; a part may import from parts below it (and from itself), never from its own floor or above.
FLOORS: list[set[str]] = [
    {"pipeline"},
    {"errors", "addresses", "budget", "files", "misfits", "mistakes", "paths", "written"},
    {"aside", "strict_yaml", "proxies", "colour", "containers", "kinds", "causes"},
    {"types", "decoding"},
    {"schema", "proof", "gateways", "references", "network", "votes"},
    {"prompt", "sources", "ledger", "fetching", "keys", "webhooks", "decisions"},
    {"media", "models", "emulator", "unread"},
    {"manifest", "report", "engine"},
    {"expand"},
    {"former"},
    {"approvals", "sidecars"},
    {"verdicts"},
    {"plan"},
    {"precheck", "run"},
    {"byhand", "publish", "restore", "verify"},
    {"executors", "review"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: number for number, floor in enumerate(FLOORS) for part in floor}


def part_of(path: Path) -> str:
    """The part of the pipeline that a file belongs to: a module or a folder at the top."""
    first = path.relative_to(ROOT).parts[0]
    return "pipeline" if first == "__init__.py" else first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The parts of the pipeline that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "pipeline" else [f"pipeline.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "pipeline":
                part = name.split(".")[1] if "." in name else "pipeline"
                found.add(part if (ROOT / part).is_dir() or (ROOT / f"{part}.py").is_file() else "pipeline")
    return found


FILES = sorted(path for path in ROOT.rglob("*.py") if "template" not in path.parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down_only(path: Path) -> None:
    """A file imports from its own part and from floors below, and every part has a floor."""
    part = part_of(path)
    for imported in imports(path) - {part}:
        assert LEVEL[imported] < LEVEL[part], f"{part} imports {imported}"


def test_gateways_know_types_and_errors_only() -> None:
    """A dialect can't reach the ledger, the engine or the network."""
    for path in (ROOT / "gateways").glob("*.py"):
        assert imports(path) <= {"types", "errors", "gateways"}
        modules = {node.names[0].name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)}
        assert not modules & {"httpx", "time", "socket", "os", "random"}


def test_only_the_command_line_prints() -> None:
    """`print` and standard output belong to pipeline/cli."""
    for path in FILES:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not prints or part_of(path) == "cli", path


def test_nothing_names_a_registry_or_this_machine() -> None:
    """No package registry's host and no path of a developer's machine is in the repository."""
    repository = Path(__file__).parent.parent.parent
    words = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", f"{repository}/", f"{Path.home()}/"]
    for folder in ("pipeline", "schemas", "manifests", "tests", "benchmarks", ".ci"):
        for path in (repository / folder).rglob("*"):
            if (
                path.is_file()
                and "out" not in path.parts
                and path.suffix in {".py", ".yaml", ".json", ".md", ".csv", ""}
            ):
                text = path.read_text("utf-8", "replace")
                assert not [word for word in words if word in text], path
