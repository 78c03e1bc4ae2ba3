"""A gateway's studio: the reference pictures it was given, and the pictures it makes, each when first wanted."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.emulator import pictures

Size = tuple[int, int]


class Studio:
    """Uploads, references and finished pictures of one gateway."""

    def __init__(self) -> None:
        self._shelf = pictures.Shelf()
        self._uploads: dict[str, tuple[bytes, str]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def upload(self, name: str, data: bytes, kind: str) -> None:
        """Keep an uploaded file with its media type."""
        self._uploads[name] = (data, kind)

    def uploaded(self, name: str) -> tuple[bytes, str] | None:
        """The uploaded file of this name."""
        return self._uploads.get(name)

    def bytes_of(self, reference: str) -> bytes | None:
        """The bytes of a reference: of a data URI or an upload; None for what would have to be fetched."""
        given = pictures.data_uri(reference)
        if given:
            return given[0]
        parts = urlsplit(reference).path.strip("/").split("/")
        names = ["/".join(parts[start:]) for start in range(len(parts))]
        for name in (*names, parts[-1].partition(".")[0]):
            if name in self._uploads:
                return self._uploads[name][0]
        return None

    def drawn(self, name: str, number: int, prompt: str, references: list[str], size: Size, form: str) -> bytes:
        """The bytes of a drawn picture under its name, made unless they are still here."""
        data = self._shelf.get(name)
        if data is None:
            data = pictures.drawn(prompt, self._drawable(references), size, form, number)
            self._shelf.put(name, data)
        return data

    def size(self, references: list[str], ratio: str, resolution: str) -> Size:
        """Pixels of a ratio; ``auto`` follows the first reference, or is square when that is not at hand."""
        if ratio == "auto":
            known = self.bytes_of(references[0]) if references else None
            seen = pictures.look(known) if known else None
            ratio = pictures.nearest_ratio(seen[1], seen[2]) if seen else "1:1"
        return pictures.size_of(resolution, ratio) or pictures.SIZES["1:1"]

    def close(self) -> None:
        """Remove what is kept on disk."""
        with self._lock:
            self._closed = True
            folder, self._folder = self._folder, None
        if folder:
            folder.cleanup()

    def _drawable(self, references: list[str]) -> list[str]:
        """References as a proof takes them: paths for those whose bytes are known, URLs for the others."""
        with self._lock:
            if self._closed:  # a picture that is still being drawn: nobody waits for it
                raise OSError("the emulator has ended")
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="emulator-")
            folder = Path(self._folder.name)
        drawn = []
        for number, reference in enumerate(references, 1):
            data = self.bytes_of(reference)
            url = reference if reference.startswith(("http://", "https://")) else f"https://emulated/{number}"
            drawn.append((data and pictures.kept(data, folder)) or url)
        return drawn
