"""Paths that others chose: only files are read, and nothing is written where a link leads out of the output folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.work import HANGS
from kit import manifest, write

from pipeline.media import write as write_file
from pipeline.paths import Links, check_inside, is_inside, read_bytes

ROOT = Path(__file__).parents[2]


def test_reads_no_more_than_it_may(tmp_path):
    """A file is read up to the limit, whatever size it says it has."""
    path = write(tmp_path / "a", b"12345")
    assert read_bytes(path, 3) == b"123"
    assert read_bytes(path, 9) == b"12345"
    assert len(read_bytes(Path("/proc/self/pagemap"), 1000)) == 1000


@pytest.mark.parametrize("kind", ["pipe", "zeros", "folder"])
def test_reads_files_only(tmp_path, kind):
    """A pipe, a device and a folder are refused, and at once: a pipe that nobody writes to is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    path = {"pipe": tmp_path / "pipe", "zeros": Path("/dev/zero"), "folder": tmp_path}[kind]
    with pytest.raises(OSError, match=r"it is no file|Is a directory"):
        read_bytes(path, 10)


@pytest.mark.parametrize(
    ("link", "to", "inside"),
    [
        ("a", "b", True),
        ("a", ".", True),
        ("a", "..", False),
        ("a", "../root2", False),
        ("a", "/", False),
        ("a", "/nowhere/at/all", False),
        ("a/b", "../c", True),
        ("a/b", "../../..", False),
        ("a", "a", True),  # a loop leads nowhere: nothing can be written there
    ],
)
def test_a_link_leads_out_or_not(tmp_path, link, to, inside):
    """What counts is where a link leads in the end, and a folder whose name begins alike is another one."""
    root = tmp_path / "root"
    (root / "a/b").parent.mkdir(parents=True) if "/" in link else root.mkdir()
    (tmp_path / "root2").mkdir()
    (root / link).symlink_to(to)
    assert is_inside(str(root), str(root / link)) is inside
    assert Links(root).out(f"{link}/x/y") == ("" if inside else link)
    if not inside:
        with pytest.raises(OSError, match="leads out of the output folder") as caught:
            check_inside(str(root), str(root / link / "x.png"))
        assert caught.value.filename == str(root / link / "x.png")


def test_the_output_folder_may_be_a_link(tmp_path):
    """Only links inside it matter."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").symlink_to("elsewhere")
    assert is_inside(str(tmp_path / "root"), str(tmp_path / "root/a/b"))
    write_file(str(tmp_path / "root/a/b.txt"), b"x", str(tmp_path / "root"))
    assert (tmp_path / "elsewhere/a/b.txt").read_bytes() == b"x"


def test_an_output_folder_that_is_not_there_has_no_links(tmp_path):
    """Nothing is looked for below a folder that is not there."""
    links = Links(tmp_path / "root")
    assert links.out("a/b/c") == ""
    assert links.absent == {"", "a", "a/b", "a/b/c"}


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path):
    """Neither the file nor the folders that would lead to it."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "root/a").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="leads out of the output folder"):
        write_file(str(tmp_path / "root/a/b/c.txt"), b"x", str(tmp_path / "root"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_that_is_a_link_is_replaced_not_followed(tmp_path):
    """A link in the place of a picture is overwritten; what it led to stays as it was."""
    theirs = write(tmp_path / "theirs.txt", "mine")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a.txt").symlink_to(theirs)
    write_file(str(tmp_path / "root/a.txt"), b"x", str(tmp_path / "root"))
    assert theirs.read_text() == "mine"
    assert not (tmp_path / "root/a.txt").is_symlink()


RUN = """
import sys
from pathlib import Path
import pipeline.run
from pipeline.cli import main

carry_out = pipeline.run.carry_out

def between(*arguments, **options):
    link = Path(sys.argv[1])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(sys.argv[2])
    return carry_out(*arguments, **options)

pipeline.run.carry_out = between
sys.exit(main(["run", "-q", sys.argv[3]]))
"""


@pytest.mark.parametrize("folder", ["mug", "mug/table", ".pipeline/originals", ".pipeline/thumbs"])
def test_a_link_made_between_plan_and_write_ends_the_run(tmp_path, folder):
    """A run whose plan was fine ends with 1 and one line, and writes nothing outside; the next is refused at once."""
    file, outside = manifest(tmp_path), tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "out/c" / folder
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-c", RUN, str(link), str(outside), file]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=HANGS)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert f" c: {link}/" in line
    assert line.endswith(": can't be written: a link on the way leads out of the output folder")
    assert list(outside.iterdir()) == []
    again = [sys.executable, "-m", "pipeline", "run", file]
    done = subprocess.run(again, env=environment, capture_output=True, text=True, check=False, timeout=HANGS)
    assert done.returncode == 1
    assert f"{folder!r} is a link that leads out of the output folder" in done.stderr
