"""A contact sheet as a PDF, printed by a Chromium that is on this machine.

The options are those of headless Chromium (https://developer.chrome.com/docs/chromium/headless). The page itself lays
its pictures out for paper when the browser tells it that it is printed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pipeline.errors import PipelineError, printable
from pipeline.files import write_whole

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 300.0
"""That printing may take: 10,000 pictures take some 30."""
_PAGES = re.compile(rb"/Type\s*/Pages\b[^>]*?/Count\s+(\d+)|/Count\s+(\d+)[^>]*?/Type\s*/Pages\b", re.DOTALL)


def find_chromium() -> str:
    """The browser to print with: that of the environment's ``CHROMIUM``, or the first one that is installed.

    Raises:
        PipelineError: when there is none.
    """
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None and named:
        raise PipelineError(f"CHROMIUM={named}: there is no such program")
    if found is None:
        raise PipelineError(
            "--pdf needs Chromium or Chrome, and none is installed: `apt install chromium`, or say where it is, "
            "CHROMIUM=/path/to/chromium; or open the sheet in any browser and print it"
        )
    return found


def print_pdf(page: Path, target: Path, *, seconds: float = SECONDS) -> int:
    """Print an HTML file and return the number of its pages.

    Raises:
        PipelineError: when there is no browser, or it fails or takes too long.
        OSError: when the PDF can't be written.
    """
    browser = find_chromium()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, and not hidden: a browser that is a snap has a /tmp of its own, and sees little else.
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-pdf-", dir=target.parent, ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryDirectory(prefix="pipeline-pdf-", ignore_cleanup_errors=True) as profile,
    ):
        made = Path(folder, "sheet.pdf").absolute()
        try:
            done = subprocess.run(  # noqa: S603  # the user's browser, on our own page
                [*_command(browser, profile), f"--print-to-pdf={made}", page.absolute().as_uri()],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PipelineError(f"{browser}: the PDF was not done after {seconds:g} s") from None
        except OSError as error:
            raise PipelineError(f"{browser}: can't be started: {error.strerror}") from None
        data = made.read_bytes() if made.is_file() else b""
        if not data.startswith(b"%PDF"):
            told = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            why = printable("".join(f": {line[:300]}" for line in told))
            raise PipelineError(
                f"{browser}: made no PDF (exit code {done.returncode}{why}); {_snap(browser, target.parent)}open the "
                "sheet in a browser and print it"
            )
    pages = max((int(first or second) for first, second in _PAGES.findall(data)), default=0)
    if not pages:
        raise PipelineError(f"{browser}: made a PDF without pages; open the sheet in a browser and print it")
    write_whole(target, data)
    return pages


def _snap(browser: str, folder: Path) -> str:
    """What to say of a browser that is a snap, as Ubuntu's are, also under other names."""
    path = Path(browser)
    try:
        with path.open("rb") as file:
            script = file.read(4096)
    except OSError:
        script = b""
    if not ("/snap/" in browser or path.resolve().name == "snap" or (script.startswith(b"#!") and b"snap" in script)):
        return ""
    return (
        f"this browser is a snap, which sees only your home folder, without hidden folders, and perhaps not "
        f"{folder.absolute()}: let --pdf write there, or name another browser, CHROMIUM=/path/to/chromium; or "
    )


def _command(browser: str, folder: str) -> list[str]:
    """A browser that knows nothing, keeps nothing and calls nobody.

    It prints once all is loaded. With ``--virtual-time-budget`` it would wait for ever for some dozens of files.
    """
    return [
        browser,
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",  # small in containers
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it doesn't start for root otherwise
        f"--user-data-dir={folder}/profile",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-extensions",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-component-update",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--allow-file-access-from-files",
        "--run-all-compositor-stages-before-draw",
        "--no-pdf-header-footer",
    ]
