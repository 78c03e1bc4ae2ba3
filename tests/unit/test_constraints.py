"""constraints.txt, with which `make` and CI install: complete, exact and within the ranges of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
LINES = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PINS = {canonicalize_name(Requirement(line).name): next(iter(Requirement(line).specifier)).version for line in LINES}


def asked() -> list[Requirement]:
    """What pyproject.toml asks for: to build, to run and to develop."""
    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    project = document["project"]
    lists = [document["build-system"]["requires"], project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for texts in lists for text in texts]


def test_every_line_is_an_exact_version() -> None:
    """No range, no address, no host: a name and its version, and where it holds."""
    assert LINES
    assert [line for line in LINES if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.!+]+( ; [^:/@]+)?", line)] == []


def test_what_pyproject_asks_for_is_within_its_range() -> None:
    """Every direct requirement has a version here, and one that its range allows."""
    wrong = [str(each) for each in asked() if not each.specifier.contains(PINS.get(canonicalize_name(each.name), "0"))]
    assert wrong == []


def test_what_those_need_is_listed_too() -> None:
    """Whatever an installed package of a listed version requires is listed itself."""
    waiting, seen, missing = asked(), set(), set()
    while waiting:
        needed = waiting.pop()
        name = canonicalize_name(needed.name)
        if name in seen or (needed.marker and not needed.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        if name not in PINS:
            missing.add(name)
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # the build backend lives in an environment of its own
        if found.version == PINS[name]:  # else `make test-latest` installed a newer one
            waiting += [Requirement(text) for text in found.requires or []]
    assert missing == set()
