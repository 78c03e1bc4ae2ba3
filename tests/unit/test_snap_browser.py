"""A Chromium that is a snap sees some folders only: what it needs lies beside the PDF, and no part of it stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes.campaign import pipeline, run, write_campaign

from pipeline.errors import PipelineError
from pipeline.report import pdf

CONFINED = """#!/bin/sh
# sees one folder, and nothing in it that is hidden
for a; do case $a in --print-to-pdf=*) made=${{a#*=}};; esac; page=${{a#file://}}; done
for path in "$made" "$page"; do
  case $path in */.*) echo "ERR_ACCESS_DENIED" >&2; exit 1;; {home}/*) ;; *) echo NOT_FOUND >&2; exit 1;; esac
done
[ -r "$page" ] || exit 1
printf '%%PDF-1.4\\n1 0 obj\\n<</Type /Pages\\n/Count 1\\n/Kids []>>\\n' > "$made"
"""


def browser(path: Path, script: str) -> str:
    """A program that stands for one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


def test_a_browser_that_sees_the_folder_of_the_pdf_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page, pictures and PDF lie there, whatever TMPDIR says; only the PDF stays."""
    manifest = write_campaign(tmp_path / "campaign", count=1)
    run(manifest)
    home = tmp_path / "home"
    monkeypatch.setenv("CHROMIUM", browser(tmp_path / "chromium", CONFINED.format(home=home)))
    pipeline("report", manifest, "--pdf", home / "new" / "x.pdf")
    assert [path.name for path in (home / "new").iterdir()] == ["x.pdf"]


@pytest.mark.parametrize("end", ["exit 3", "kill -9 $$", 'mkdir "${1%/*}/left"; exit 0'])
def test_a_browser_that_fails_leaves_nothing_beside_the_pdf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The folder of the PDF is a person's."""
    monkeypatch.setenv("CHROMIUM", browser(tmp_path / "chromium", f"#!/bin/sh\n{end}\n"))
    target = tmp_path / "home/x.pdf"
    with pytest.raises(PipelineError, match="made no PDF"):
        pdf.print_pdf(tmp_path / "x.html", target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["path", "link", "script"])
def test_a_snap_that_makes_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """In its own folder, as a link to the program that starts all snaps, or as the script of another package."""
    script = "#!/bin/sh\nexit 0\n"
    path = tmp_path / "bin/chromium"
    if kind == "path":
        path = tmp_path / "snap/bin/chromium"
        browser(path, script)
    elif kind == "link":
        browser(tmp_path / "usr/snap", script)
        path.parent.mkdir()
        path.symlink_to(tmp_path / "usr/snap")
    else:
        browser(path, "#!/bin/sh\n: exec /snap/bin/chromium\n")
    monkeypatch.setenv("CHROMIUM", str(path))
    target = tmp_path / "x.pdf"
    words = f"this browser is a snap, which sees only your home folder, .* perhaps not {re.escape(str(tmp_path))}: let"
    with pytest.raises(PipelineError, match=words):
        pdf.print_pdf(tmp_path / "x.html", target)


def test_another_browser_is_no_snap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of snaps where there is none."""
    monkeypatch.setenv("CHROMIUM", browser(tmp_path / "chromium", "#!/bin/sh\nexit 0\n"))
    with pytest.raises(PipelineError) as caught:
        pdf.print_pdf(tmp_path / "x.html", tmp_path / "x.pdf")
    assert "snap" not in str(caught.value).replace(str(tmp_path), "")
