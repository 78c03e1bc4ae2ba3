"""What cells are called: their labels and files, each taken by one cell only and safe on every file system."""

from __future__ import annotations

import re
import unicodedata

from pipeline.errors import ManifestError
from pipeline.expand.findings import Findings
from pipeline.paths import Links
from pipeline.prompt import Template, TemplateProblem
from pipeline.types import KeyPath, Manifest

PRIVATE = ".pipeline"
"""The folder inside the output folder that holds the ledger and the kept originals."""
MAX_PART = 200
"""Bytes of one part of a path: most file systems take 255."""
MAX_TOLD = 3
"""Problems of the path that are told one by one: a path without the ratio in it has thousands."""

MAX_TEXT = 150_000_000
"""Signs of all paths and labels together."""
_VARIANTS = re.compile("[\u034f\ufe00-\ufe0f\U000e0100-\U000e01ef]")

_PATH = re.compile(r"[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}(?:/[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}){0,19}")
_BAD_PART = re.compile(
    r"(?:^|/)(?:\.{1,2}|[^/]*[. ]|(?:con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$) *(?:\.[^/]*)?"
    r"|(?:pipeli|report|result)~\d.*)(?:/|\Z)",  # the last are what Windows also calls our own files
    re.IGNORECASE,
)

_AT: KeyPath = ("outputs", "path")


class Names:
    """The names taken so far."""

    def __init__(self, manifest: Manifest, found: Findings) -> None:
        self.found = found
        self.manifest = manifest
        self.native = manifest.outputs.native
        self.signs = 0
        self.links = Links(manifest.outputs.folder)
        for name in ("", "/originals", "/thumbs"):
            self.inside(f"{PRIVATE}{name}")
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
        self.signs += len(label) + 3 * len(file)
        if self.signs > MAX_TEXT:
            fact = f"the paths of all cells have more than {MAX_TEXT // 10**6} million characters"
            raise ManifestError([self.manifest.problem(_AT, fact, "make them shorter")])
        self.inside(file.rpartition("/")[0])
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
            self.path = None  # it would fail for the next cell, too
            return label
        long = not file.isascii() and any(len(part.encode()) > MAX_PART for part in file.split("/"))
        if long or _bad(file) or not (file.isascii() or not _bad(_plain(file))):
            fact = f"{file!r} is no path inside the output folder"
            self.tell(fact, "use plain names and `/`, without `..`, and no reserved name")
        elif not file.endswith((f".{extension}", ".jpeg" if extension == "jpg" else f".{extension}")):
            self.tell(f"{file!r} doesn't end in .{extension}", "end the path in .{{ ext }}")
        return file

    def claim(self, file: str, owner: str, label: str) -> bool:
        """Take a path; False, and a problem, when it is taken (in any case and Unicode form) by another owner."""
        folded = file.lower() if file.isascii() else _plain(file)
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

    def inside(self, folder: str) -> None:
        """Complain of a folder that is a link out of the output folder."""
        link = self.links.out(folder)
        if link:
            fact = f"{link!r} is a link that leads out of the output folder"
            self.found.add(("outputs", "folder"), fact, "remove it; `folder` itself may be a link")

    def tell(self, fact: str, hint: str) -> None:
        """One problem of the path; after a few, they are only counted."""
        self.told += 1
        if self.told <= MAX_TOLD:
            self.found.add(_AT, fact, hint)

    def end(self) -> None:
        """Say how many problems were not told one by one."""
        if self.told > MAX_TOLD:
            self.found.add(_AT, f"and {self.told - MAX_TOLD:,} more such paths")


def _bad(file: str) -> bool:
    """Whether it is no path that stays inside the output folder on every system, beside what is there."""
    if not file.isprintable():
        return True
    return not _PATH.fullmatch(file) or _BAD_PART.search(file) is not None or file.lower().startswith(PRIVATE)


def _plain(file: str) -> str:
    """A path as the most forgetful file system sees it: without case, compatible signs and variants."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", file).casefold())
    return _VARIANTS.sub("", plain)
