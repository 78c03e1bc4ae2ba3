"""Hostile manifests: a corpus of what somebody may have put into a pull request, and what is said of each.

Every case is refused: with exit code 1, in the words that stand here, and with nothing written. Texts are made when
they are asked for, as some are large.
"""

from __future__ import annotations

from fakes.hostile_manifests.files import FILES
from fakes.hostile_manifests.images import IMAGES
from fakes.hostile_manifests.kit import GOOD, Case, from_file
from fakes.hostile_manifests.matrix import MATRIX
from fakes.hostile_manifests.mistakes import MANY_MISTAKES
from fakes.hostile_manifests.places import LINKS, PATHS
from fakes.hostile_manifests.shape import SHAPE
from fakes.hostile_manifests.templates import TEMPLATES

__all__ = ["CASES", "GOOD", "HEAVY", "SAMPLE", "Case", "from_file"]

CASES = [*SHAPE, *MANY_MISTAKES, *MATRIX, *TEMPLATES, *FILES, *IMAGES, *PATHS, *LINKS]
HEAVY = frozenset(
    [
        "many undefined paths",
        "rendered often",
        "long texts often",
        "many bad paths",
        "many product files",
        "many templates",
        "many lacking images",
        "many undefined names",
        "many like keys",
        "many json maps",
        "one bad product of many",
        "many equal ids",
        "includes say the same",
        "too many rules",
        "many axes",
        "many numbers for products",
        "many anchors",
        "many globs, many places",
        "many equal paths",
        "many empty slots",
        "extends half a bomb often",
        "many prompts",
        "many missing pictures",
        "many unknown keys",
        "many resolutions",
        "many rules, many places",
        "many unoffered ratios",
        "csv with wide rows",
        "duplicate keys",
        "many empty lists",
        "just few enough values",
        "csv with bad rows",
        "many rules for nothing of much",
        "many variables",
        "many products with a mistake",
        "json with bad rows",
        "many values",
        "many equal values",
        "many tags",
        "many tags of a product",
        "json with a huge key",
        "many broken prompts",
        "huge value",
    ]
)
"""Cases that take a quarter of a second or more, as they are just under what is refused at once."""
SAMPLE = frozenset(
    [
        "many undefined paths",
        "many json maps",
        "one bad product of many",
        "many globs, many places",
        "csv with bad rows",
        "duplicate keys",
        "many products with a mistake",
        "json with a huge key",
    ]
)
"""The heavy cases that the test suite runs; the soak runs them all."""
