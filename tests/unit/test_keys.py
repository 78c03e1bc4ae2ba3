"""Where keys come from: the environment, and .env files in every form in which people and their programs leave them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import keys
from pipeline.errors import PipelineError
from pipeline.keys import find_keys
from pipeline.models import load_model
from pipeline.types import Provider

FAL = Provider("fal", load_model("kling-image-o1").offers["fal"], 28_000, 1, None)
RUNWARE = Provider("runware", load_model("kling-image-o1").offers["runware"], 28_000, 1, None)


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the manifest; no key is in the environment, and none is here."""
    for name in ("FAL_KEY", "RUNWARE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "beside"


@contextmanager
def pipe(path: Path, *contents: bytes) -> Iterator[list[int]]:
    """A named pipe that a password manager writes: one content each time that somebody reads it."""
    os.mkfifo(path)
    served: list[int] = []

    def serve() -> None:
        for content in contents:
            with path.open("wb") as out:
                out.write(content)
            served.append(len(content))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield served
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "content",
    [
        b"FAL_KEY=a:b",
        b"FAL_KEY=a:b\r\nOTHER=1\r\n",
        b"\xef\xbb\xbfFAL_KEY=a:b\n",
        "FAL_KEY=a:b\r\n".encode("utf-16"),
        b"\xfe\xff" + "FAL_KEY=a:b\n".encode("utf-16-be"),
        b"export FAL_KEY=a:b\n",
        b"FAL_KEY='a:b'\n",
        b'FAL_KEY="a:b"  # mine\n',
        b"  FAL_KEY = a:b  \n",
        b"# caf\xe9, in Latin-1\nFAL_KEY=a:b\n",
        b"NAME=Jos\xe9\nFAL_KEY=a:b\n",
        b"no line of one\n\n=\nFAL_KEY=a:b\n",
        b"FAL_KEY=old\nFAL_KEY=a:b\n",
    ],
)
def test_a_file_in_any_form(beside: Path, content: bytes) -> None:
    """Line ends, encodings, quotes, comments and ``export``."""
    (beside / ".env").write_bytes(content)
    assert find_keys((FAL,), beside) == {"fal": "a:b"}


def test_a_key_that_is_no_text_is_no_key(beside: Path) -> None:
    """What can't be read is not sent."""
    (beside / ".env").write_bytes(b"FAL_KEY=caf\xe9\n")
    with pytest.raises(PipelineError, match="FAL_KEY is no key"):
        find_keys((FAL,), beside)


def test_the_environment_comes_first_then_the_file_here(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each variable is looked for by itself."""
    (beside / ".env").write_text("FAL_KEY=beside\nRUNWARE_API_KEY=beside\n")
    Path(".env").write_text("FAL_KEY=here\nRUNWARE_API_KEY=\n")
    assert find_keys((FAL, RUNWARE), beside) == {"fal": "here", "runware": "beside"}
    monkeypatch.setenv("FAL_KEY", "mine")
    assert find_keys((FAL, RUNWARE), beside) == {"fal": "mine", "runware": "beside"}


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_read_once(beside: Path, linked: bool) -> None:
    """For all providers, also where the folder here is that of the manifest, or links to its file."""
    with pipe(
        Path(".env"),
        b"FAL_KEY=a:b\n",
    ) as served:
        if linked:
            (beside / ".env").symlink_to(Path(".env").absolute())
        with pytest.raises(PipelineError, match="RUNWARE_API_KEY is not set"):
            find_keys((FAL, RUNWARE), beside if linked else Path())
    assert len(served) == 1
    Path(".env").unlink()
    with pipe(Path(".env"), b"FAL_KEY=a:b\nRUNWARE_API_KEY=k\n"):
        assert find_keys((FAL, RUNWARE), Path()) == {"fal": "a:b", "runware": "k"}


def test_a_pipe_is_not_read_where_no_key_is_needed(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading may ask somebody for a fingerprint."""
    os.mkfifo(".env")
    monkeypatch.setenv("FAL_KEY", "mine")
    assert find_keys((FAL,), beside) == {"fal": "mine"}


def test_a_pipe_that_comes_late_and_in_pieces(beside: Path) -> None:
    """Somebody has to unlock it first."""
    os.mkfifo(".env")
    asked = threading.Event()

    def serve() -> None:
        asked.wait(5)
        with open(".env", "wb", buffering=0):  # noqa: PTH123  # a pipe: somebody who writes nothing
            pass
        with open(".env", "wb", buffering=0) as out:  # noqa: PTH123  # as above
            out.write(b"FAL_")
            out.write(b"KEY=a:b\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    asked.set()
    assert find_keys((FAL,), beside) == {"fal": "a:b"}
    thread.join(5)


def test_a_pipe_that_nobody_writes_ends(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it is, and what to do."""
    monkeypatch.setattr(keys, "PIPE_SECONDS", 0.05)
    os.mkfifo(beside / ".env")
    with pytest.raises(PipelineError, match=r"\.env: is a pipe, .* unlock the password manager"):
        find_keys((FAL,), beside)


def test_a_pipe_without_end_is_left(beside: Path) -> None:
    """No file of variables is so large."""
    os.mkfifo(".env")

    def serve() -> None:
        with open(".env", "wb") as out:  # noqa: PTH123  # a pipe
            try:
                while True:
                    out.write(b"A=1\n" * 10_000)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with pytest.raises(PipelineError, match="larger than 1 MiB"):
        find_keys((FAL,), beside)
    thread.join(5)
    (beside / ".env").write_bytes(b"#" * (2**20 + 1))
    Path(".env").unlink()
    with pytest.raises(PipelineError, match="larger than 1 MiB"):
        find_keys((FAL,), beside)


@pytest.mark.parametrize("kind", ["folder", "socket", "device"])
def test_what_is_no_file_is_passed_over_and_named(beside: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment is often called .env: the key may be elsewhere."""
    if kind == "folder":
        Path(".env").mkdir()
    elif kind == "device":
        Path(".env").symlink_to("/dev/zero")
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(".env")
        server.close()
    with pytest.raises(PipelineError, match=r"FAL_KEY is not set.*; \.env is no file, and was not read"):
        find_keys((FAL,), beside)
    (beside / ".env").write_text("FAL_KEY=a:b")
    assert find_keys((FAL,), beside) == {"fal": "a:b"}


def test_a_file_that_can_not_be_read_is_named(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's words."""
    real = os.open

    def refuse(path: object, *more: object) -> int:
        if str(path).endswith(".env"):
            raise PermissionError(13, "Permission denied")
        return real(path, *more)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PipelineError, match=r"^\.env: can't be read: Permission denied"):
        find_keys((FAL,), beside)
    Path(".env").symlink_to(".env")
    monkeypatch.undo()
