"""The modules of the sheet's script share one scope when they are bundled."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pipeline.report

DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\[[^\]]*\]|[\w$]+)", re.MULTILINE)


def test_no_name_is_given_twice() -> None:
    """A second function of a name would silently take the first one's place, in another module."""
    files = sorted(Path(pipeline.report.__file__).with_name("script").glob("*.js"))
    found = [re.findall(r"[\w$]+", name) for file in files for name in DECLARED.findall(file.read_text("utf-8"))]
    names = Counter(name for several in found for name in several)
    assert names["showSheet"] == 1
    assert [name for name, times in names.items() if times > 1] == []
