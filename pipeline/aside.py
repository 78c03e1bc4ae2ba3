"""Files that are set aside: beside where a picture's file belongs, under a name that says why, and never overwritten.

``mug.edited.jpg`` is what a person made of ``mug.jpg`` before we wrote there again; ``mug.wrong.png`` holds a paid
picture that is not what was asked for. Further ones are ``mug.edited-2.jpg``, ``mug.edited-3.jpg``, and so on.
``pipeline adopt`` takes either of them.
"""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias, cast

from pipeline.files import rename_over, sync_folder, write_whole

Word: TypeAlias = Literal["edited", "wrong"]

_NAME = re.compile(r"(?P<stem>.+)\.(?P<word>edited|wrong)(?:-[1-9][0-9]{0,5})?(?P<ext>\.[^.]+)?")


def set_aside(path: Path, word: Word, data: bytes | None = None) -> Path:
    """Move the file at ``path`` under the first free name that says ``word``; or write ``data`` there, whole.

    Returns where it lies. Bytes that lie under such a name already are not kept twice. Only for whoever holds the
    campaign: two at once could choose the same name.

    Raises:
        OSError: when it can't be moved or written; then nothing has changed.
    """
    content = _read(path) if data is None else data
    *taken, free = _names(path, word)
    target = next((name for name in taken if content is not None and _read(name) == content), free)
    if data is not None and target is free:
        write_whole(target, data)
    if data is None:
        rename_over(path, target)  # over the same bytes, or over nothing
        sync_folder(path.parent)
    return target


def belongs_to(path: Path) -> tuple[Path, Word] | None:
    """Where the content of a set-aside file belongs, and why it is aside; None for any other file's name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    return path.with_name(f"{match['stem']}{match['ext'] or ''}"), cast("Word", match["word"])


def _names(path: Path, word: Word) -> list[Path]:
    """The names that are taken already, and the first that is free."""
    names: list[Path] = []
    for number in count(1):
        names.append(path.with_name(f"{path.stem}.{word}{f'-{number}' if number > 1 else ''}{path.suffix}"))
        if not os.path.lexists(names[-1]):
            break
    return names


def _read(path: Path) -> bytes | None:
    """What a file holds; None where that can't be read: then it is moved, and compared with nothing."""
    try:
        return path.read_bytes()
    except OSError:
        return None
