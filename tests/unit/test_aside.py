"""Files that are set aside: names, order, and nothing that is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.aside import belongs_to, set_aside


def test_a_file_moves_to_the_first_free_name(tmp_path: Path) -> None:
    """What lies under a name already stays, and the next number is taken."""
    for number, name in enumerate(["a.edited.jpg", "a.edited-2.jpg", "a.edited-3.jpg"]):
        (tmp_path / "a.jpg").write_bytes(b"%d" % number)
        assert set_aside(tmp_path / "a.jpg", "edited") == tmp_path / name
        assert not (tmp_path / "a.jpg").exists()
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"1", b"2", b"0"]


def test_data_is_written_beside_where_it_belongs(tmp_path: Path) -> None:
    """The file at the path itself is left alone."""
    (tmp_path / "a.png").write_bytes(b"ours")
    assert set_aside(tmp_path / "a.png", "wrong", b"theirs") == tmp_path / "a.wrong.png"
    assert (tmp_path / "a.png").read_bytes() == b"ours"
    assert (tmp_path / "a.wrong.png").read_bytes() == b"theirs"


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    """Set aside again, given or moved, a content keeps the name that it has."""
    set_aside(tmp_path / "a.png", "wrong", b"one")
    set_aside(tmp_path / "a.png", "wrong", b"two")
    assert set_aside(tmp_path / "a.png", "wrong", b"one").name == "a.wrong.png"
    (tmp_path / "a.png").write_bytes(b"two")
    assert set_aside(tmp_path / "a.png", "wrong").name == "a.wrong-2.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wrong-2.png", "a.wrong.png"]


@pytest.mark.parametrize(
    ("name", "original", "word"),
    [
        ("a.edited.jpg", "a.jpg", "edited"),
        ("a.edited-2.jpg", "a.jpg", "edited"),
        ("v1.2.wrong-17.png", "v1.2.png", "wrong"),
        ("a.edited.json", "a.json", "edited"),
        ("a.edited", "a", "edited"),
    ],
)
def test_a_name_tells_where_it_belongs(tmp_path: Path, name: str, original: str, word: str) -> None:
    """The name of a set-aside file leads back to the file that it belongs beside."""
    assert belongs_to(tmp_path / name) == (tmp_path / original, word)


@pytest.mark.parametrize("name", ["a.jpg", "edited.jpg", ".edited.jpg", "a.edited-0.jpg", "a.editedx.jpg"])
def test_another_name_belongs_to_nothing(name: str) -> None:
    """Names that are not ours are not read as ours."""
    assert belongs_to(Path(name)) is None
