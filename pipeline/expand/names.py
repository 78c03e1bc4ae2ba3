"""What cells are called: their labels and files, each taken by one cell only and safe on every file system."""

from __future__ import annotations

import re
import unicodedata

from pipeline.expand.findings import Findings
from pipeline.prompt import Template, TemplateProblem
from pipeline.types import KeyPath, Manifest

PRIVATE = ".pipeline"
"""The folder inside the output folder that holds the ledger and the kept originals."""
MAX_PART = 200
"""Bytes of one part of a path: most file systems take 255."""
MAX_TOLD = 3
"""Problems of the path that are told one by one: a path without the ratio in it has thousands."""

_PATH = re.compile(r"[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}(?:/[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}){0,19}")
_BAD_PART = re.compile(
    r"(?:^|/)(?:\.{1,2}|[^/]*[. ]|(?:con|prn|aux|nul|com\d|lpt\d)(?:\.[^/]*)?)(?:/|$)", re.IGNORECASE
)

_AT: KeyPath = ("outputs", "path")


class Names:
    """The names taken so far."""

    def __init__(self, manifest: Manifest, found: Findings) -> None:
        self.found = found
        self.native = manifest.outputs.native
        self.told = 0
        self.labels: set[str] = set()
        # Path, folded → whose it is, and the label that took it.
        self.taken = {"report.html": ("", "the contact sheet"), "results.jsonl": ("", "the results")}
        self.folders: dict[str, tuple[str, str]] = {}
        try:
            self.path: Template | None = Template(manifest.outputs.file, path=True)
        except TemplateProblem as problem:
            self.path = None
            found.add(_AT, problem.fact, problem.hint, word=problem.word)

    def file(self, label: str, key: str, context: dict[str, object], extension: str) -> str | None:
        """The file of a cell, taken together with its sidecar; None when the label is taken already."""
        if label in self.labels:
            return None
        file = self.rendered(context, label, extension)
        self.labels.add(label)
        stem = file if self.native else file.rpartition(".")[0]
        if self.claim(file, label, label):
            self.claim(f"{stem}.json", key, label)
        return file

    def rendered(self, context: dict[str, object], label: str, extension: str) -> str:
        """The rendered output path, checked to stay inside the output folder on every system."""
        if self.path is None:
            return label
        try:
            file = self.path.render(context)
        except TemplateProblem as problem:
            self.found.add(_AT, problem.fact, problem.hint, word=problem.word)
            return label
        long = not file.isascii() and any(len(part.encode()) > MAX_PART for part in file.split("/"))
        if long or not _PATH.fullmatch(file) or _BAD_PART.search(file) or file.casefold().startswith(PRIVATE):
            fact = f"{file!r} is no path inside the output folder"
            self.tell(fact, "use plain names and `/`, without `..`, and no reserved name")
        elif not file.endswith((f".{extension}", ".jpeg" if extension == "jpg" else f".{extension}")):
            self.tell(f"{file!r} doesn't end in .{extension}", "end the path in .{{ ext }}")
        return file

    def claim(self, file: str, owner: str, label: str) -> bool:
        """Take a path; False, and a problem, when it is taken (in any case and Unicode form) by another owner."""
        folded = file.lower() if file.isascii() else unicodedata.normalize("NFC", file).casefold()
        other, first = self.folders.get(folded) or self.taken.setdefault(folded, (owner, label))
        folder = folded.rpartition("/")[0]
        while folder and folder not in self.folders and other == owner:
            other, first = self.taken.get(folder, (owner, label))
            self.folders[folder] = ("", label)  # a folder is no file of any owner
            folder = folder.rpartition("/")[0]
        if other == owner:
            return True
        axes = "product.id, prompt.id, vary, aspect_ratio, resolution, variant and ext"
        self.tell(f"two cells have the path {file!r}: {first} and {label}", f"name what differs ({axes})")
        return False

    def tell(self, fact: str, hint: str) -> None:
        """One problem of the path; after a few, they are only counted."""
        self.told += 1
        if self.told <= MAX_TOLD:
            self.found.add(_AT, fact, hint)

    def end(self) -> None:
        """Say how many problems were not told one by one."""
        if self.told > MAX_TOLD:
            self.found.add(_AT, f"and {self.told - MAX_TOLD:,} more such paths")
