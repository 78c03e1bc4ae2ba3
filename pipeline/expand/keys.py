"""The keys of specs and pictures: a hash of all that determines a picture, and of nothing else.

Names, paths, comments and the order of a manifest are no part of a key. Nor is what an editor, Git or a Mac changes in
a text when it saves it: line breaks and the Unicode form.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence

from pipeline.types import Reference

VERSION = "2"
BEFORE = "1"
"""The version until 2026-11. It took texts as they were, and numbers as Python writes them: ``19.90`` as ``19.9``."""


def prefix(version: str, model: str, proof: bool, text: str, references: Sequence[Reference]) -> hashlib._Hash:
    """The part of a key that all outputs of a place share."""
    parts = [version, model, proof, text, [reference.digest for reference in references]]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode() + b"\0")


def place_prefix(model: str, proof: bool, text: str, references: Sequence[Reference]) -> hashlib._Hash:
    """:func:`prefix` of today's version, for a text in any Unicode form."""
    same = text if text.isascii() else unicodedata.normalize("NFC", text)
    return prefix(VERSION, model, proof, same, references)


def spec_key(shared: hashlib._Hash, resolution: str, aspect_ratio: str, kind: str, provider: str) -> str:
    """A spec's key; ``shared``: its :func:`prefix`."""
    digest = shared.copy()
    shape = (resolution, aspect_ratio, kind, provider) if provider else (resolution, aspect_ratio, kind)
    digest.update("\0".join(shape).encode())
    return digest.hexdigest()


def picture_key(spec: str, variant: int) -> str:
    """A picture's key: its spec's and the variant."""
    return hashlib.sha256(f"{spec}\0{variant}".encode()).hexdigest()[:32]
