"""The commands ``campaign-pipeline`` and ``pipeline``: they make sure that ``pipeline`` is this project's package.

Others have the name too: a script or folder of one's own, and distributions that install a package ``pipeline`` over
this one. So this module has a name of its own, looks before it imports anything, and says what took the name.
``python -m campaign_pipeline`` is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path

NAME = "campaign-pipeline"
HOME = Path(__file__).resolve().parent
"""Where this project's ``pipeline`` lies: beside this module."""
MARK = b'"""campaign-pipeline:'
"""How its ``__init__.py`` begins."""


def main() -> int:
    """Run the command line, or say why it can't be run; returns the exit code."""
    if why := taken():
        print(f"{why}\nnothing was started", file=sys.stderr)  # noqa: T201  # a part of the command line
        return 1
    if not _is_found():  # a script or folder of that name comes first: in this folder, or by PYTHONPATH
        sys.path.insert(0, str(HOME))
        sys.modules.pop("pipeline", None)
    from pipeline.cli import main as run

    return run()


def taken() -> str:
    """Why ``pipeline`` beside this module is not this project's, and what to do; empty when it is."""
    first = HOME / "pipeline/__init__.py"
    try:
        ours = first.read_bytes().startswith(MARK)
    except OSError:
        return f"{first}: is gone, perhaps with another package that had the name `pipeline`: {_again()}"
    if not ours:
        others = ", ".join(sorted(set(_owners()))) or "another package"
        return f"{first}: is of {others}, and campaign-pipeline needs the name `pipeline`: {_again(others)}"
    wrong = [str(path) for path in _changed()]
    if wrong:
        others = ", ".join(sorted(set(_owners())))
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        by = f" by {others}" if others else ""
        return (
            f"{wrong[0]}{more}: not as campaign-pipeline installed it, but overwritten{by} or removed: {_again(others)}"
        )
    return ""


def _again(others: str = "") -> str:
    first = f"uninstall {others}, then " if others and others != "another package" else ""
    return f"{first}pip install --force-reinstall --no-deps {NAME}, best in an environment of its own"


def _is_found() -> bool:
    """Whether importing ``pipeline`` finds the one beside this module."""
    spec = util.find_spec("pipeline")
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve().parent == HOME / "pipeline"


def _owners() -> Iterator[str]:
    """The other distributions that say that ``pipeline`` is theirs."""
    from importlib import metadata  # slow to import, and needed for a message only

    for found in metadata.distributions(path=[str(HOME)]):
        name = str(found.metadata["Name"])
        if name != NAME and any(path.parts[0] == "pipeline" for path in found.files or ()):
            yield name


def _changed() -> Iterator[Path]:
    """Files of this project that are not as they were installed, by their size; none where it is not installed.

    Source: the file RECORD of an installed distribution, "path,hash,size" a line (packaging.python.org).
    """
    for record in HOME.glob("campaign_pipeline-*.dist-info/RECORD"):
        for line in record.read_text("utf-8").splitlines():
            name, _, size = (line.split(",") * 3)[:3]
            if name.startswith("pipeline/") and name.endswith(".py") and size.isdecimal():
                path = HOME / name
                if not path.is_file() or path.stat().st_size != int(size):
                    yield path


if __name__ == "__main__":
    sys.exit(main())
