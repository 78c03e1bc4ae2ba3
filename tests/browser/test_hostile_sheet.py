"""Hostile strings on the contact sheet, in a real browser: nothing runs, with the policy and without it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browser import fake_sheet

from pipeline.report.view import CellView, ReferenceView, SheetView, TakeView

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")

Watch = Callable[..., Any]
ROOT = Path(__file__).parents[2]
PWN = "window.pwned=1"
AWAY = "https://evil.example/x"
PAYLOADS = {
    "end of script": f"</script><script>{PWN}</script>",
    "end of script, spaced": f"</script ><script\t>{PWN}</script\n>",
    "end of script in capitals": f"</SCRIPT><SCRIPT>{PWN}</SCRIPT>",
    "comment": f"<!--<script>{PWN}</script>",
    "comment in a script": "<!--<script>",
    "end of a comment": f"--><script>{PWN}</script><!--",
    "cdata": f"]]><script>{PWN}</script>",
    "end of title": f"</title><script>{PWN}</script>",
    "end of style": f"</style><script>{PWN}</script>",
    "end of textarea": f"</textarea></noscript></template><script>{PWN}</script>",
    "image": f"<img src=x onerror={PWN}>",
    "image, quoted out": f'"><img src=x onerror={PWN}>',
    "image, quoted out singly": f"'><img src=x onerror={PWN}>",
    "image at a web address": f"<img src={AWAY}.png>",
    "drawing": f"<svg/onload={PWN}>",
    "drawing with a script": f"<svg><script>{PWN}</script></svg>",
    "drawing that is animated": f"<svg><animate onbegin={PWN} attributeName=x dur=1s></svg>",
    "drawing that uses another": "<svg><use href=\"data:image/svg+xml,<svg id='x'/>#x\"></svg>",
    "formula": f"<math><mtext><table><mglyph><style><img src=x onerror={PWN}></style></mglyph></table></mtext></math>",
    "details": f"<details open ontoggle={PWN}><summary>x</summary></details>",
    "focus": f"<input autofocus onfocus={PWN}>",
    "attribute": f'" onmouseover="{PWN}" onfocus="{PWN}" autofocus x="',
    "attribute, singly": f"' onmouseover='{PWN}' onfocus='{PWN}' autofocus x='",
    "attribute without quotes": f"x onmouseover={PWN} onfocus={PWN} autofocus",
    "backtick attribute": f"`onmouseover={PWN}`",
    "address": f"javascript:{PWN}",
    "address, mixed": f"jAvAsCrIpT:{PWN}",
    "address, broken": f"java\nscript:{PWN}",
    "address, tabbed": f"\x01java\tscript:{PWN}",
    "address, encoded": f"&#106;avascript:{PWN}",
    "data page": f"data:text/html,<script>{PWN}</script>",
    "data drawing": f"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='{PWN}'/>",
    "data drawing in base64": "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5wd25lZD0xIi8+",
    "visual basic": f"vbscript:{PWN}",
    "frame": f"<iframe srcdoc='<script>parent.{PWN}</script>'></iframe>",
    "object": f"<object data='data:text/html,<script>{PWN}</script>'></object><embed src='{AWAY}'>",
    "base": f"<base href='{AWAY}/'>",
    "refresh": f"<meta http-equiv=refresh content='0;url={AWAY}'>",
    "style sheet": f"<link rel=stylesheet href='{AWAY}.css'><style>@import '{AWAY}.css';</style>",
    "style": f"x;background:url({AWAY}.png)",
    "style, closed": f"}}body{{background:url({AWAY}.png)}}",
    "style attribute": f'" style="background:url({AWAY}.png)" x="',
    "form": f"<form action='{AWAY}'><button autofocus>x</button></form>",
    "clobbering": "<form id=data></form><a id=query><a id=lightbox name=open><img name=querySelector>",
    "template": f"{{{{constructor.constructor('{PWN}')()}}}}{{% raw %}}{{{{ 7*7 }}}}",
    "template literal": f"${{{PWN}}}`+{PWN}+`",
    "script": f"';{PWN};//\\';{PWN};//\";{PWN};//",
    "json": f'"}}]}};{PWN};({{"a":[{{"b":"',
    "json prototype": '{"__proto__":{"pwned":1}}',
    "prototype": "__proto__",
    "constructor": "constructor",
    "line separators": f"\u2028{PWN}\u2029",
    "line break": f"\r\n{PWN}\r\n",
    "NUL": f"<\0script>{PWN}</script>",
    "half a character": f"\ud800<script>{PWN}</script>",
    "long encoding": f"+ADw-script+AD4-{PWN}+ADw-/script+AD4-",
    "fullwidth": f"＜script＞{PWN}＜/script＞",
    "turned around": f"\u202e>tpircs/<1=denwp.wodniw>tpircs<\u202c{PWN}",
    "backslashes": f"\\u003cscript\\u003e{PWN}\\u003c/script\\u003e\\",
    "entities": f"&lt;script&gt;{PWN}&lt;/script&gt;&quot;onload={PWN}",
    "share": "//evil.example/x.png",
    "share, backslashed": "\\\\evil.example\\x.png",
    "upwards": "../../../../etc/passwd",
    "regular expression": "(((((a+)+)+)+)+)$[",
    "long": "<b>" * 3000,
}


@dataclass
class Seen:
    """What a page did that a sheet never does."""

    dialogs: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)


def hostile(payloads: dict[str, str]) -> SheetView:
    """A sheet with one tile per payload, which stands in every text field; every second has failed for that reason."""
    tiles, references = [], []
    for number, text in enumerate(payloads.values()):
        base = fake_sheet.tile(2, number, "table", "1:1", "failed" if number % 2 else "done")
        tiles.append(
            replace(
                base,
                label=f"{number} {text}",
                product=text,
                product_name=text,
                product_set=text,
                tags=(text,),
                prompt=text,
                vary=((text, text),),
                resolution=text,
                aspect_ratio=text,
                reason=text,
                thumb=text if number % 4 > 1 else base.thumb,
                text=f"@Image1 {text} @Image{number + 1}",
                references=(number,),
                key=text,
                model=text,
                provider=text,
                made_at=text,
                cells=tuple(CellView(f"{number}{part}{text}", text, text, 1, "done") for part in "ab"),
                earlier=(TakeView(1, text, text),),
            )
        )
        references.append(ReferenceView(text, text, text, text, text))
    every = "".join(text for name, text in payloads.items() if name != "long")
    view = replace(fake_sheet.sheet(tuple(tiles)), references=tuple(references))
    return replace(view, campaign=every, manifest=every, made_at=every, commit=every, version=every)


def written(folder: Path, text: str, policy: bool) -> Path:
    """The sheet as a file, with its Content Security Policy or without."""
    stripped = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert stripped != text
    path = folder / "report.html"
    path.write_text(text if policy else stripped, encoding="utf-8")
    return path


def opened(watch: Watch, path: Path, fragment: str = "") -> tuple[Any, Any, Seen]:
    """The sheet in a browser that tells of dialogs and of pages that open."""
    watched, seen = watch(), Seen()
    page = watched.page

    def dialog(one: Any) -> None:
        seen.dialogs.append(one.message)
        one.dismiss()

    page.on("dialog", dialog)
    page.on("popup", lambda one: seen.pages.append(one.url))
    page.on("framenavigated", lambda frame: seen.pages.append(frame.url))
    page.add_init_script(
        "window.broken = [];"
        "addEventListener('securitypolicyviolation', e => window.broken.push(e.violatedDirective + ' ' + e.blockedURI))"
    )
    watched.open(path, fragment)
    return watched, page, seen


def nothing_ran(watched: Any, page: Any, seen: Seen, path: Path) -> None:
    """No code of theirs ran, nothing was asked for, and what they wrote is text."""
    assert page.evaluate("[window.pwned, ({}).pwned, document.title.length > 0]") == [None, None, True]
    assert page.evaluate("window.broken") == [], "the policy had to stop something"
    assert seen.dialogs == []
    assert {url.split("#")[0] for url in seen.pages} == {path.as_uri()}
    assert {url.split(":")[0] for url in watched.requests} <= {"file", "data"}
    assert not [
        url
        for url in watched.requests
        if url.startswith("data:")
        and not url.startswith("data:image/webp;base64,")
        and not url.startswith("data:image/jpeg;base64,")
        and url != "data:,"
    ]
    foreign = (
        "script:not(#data):not(body > script:last-of-type), iframe, object, embed, base, form:not(#tools), [style*=url]"
    )
    assert page.evaluate(f"document.querySelectorAll({json.dumps(foreign)}).length") == 0
    attributes = (
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    )
    assert page.evaluate(attributes) == []
    links = page.locator("a").evaluate_all("all => all.map(e => new URL(e.href).href)")
    assert all(link.startswith(path.parent.as_uri() + "/") for link in links)


@pytest.mark.parametrize("policy", [True, False], ids=["with policy", "policy stripped"])
def test_no_payload_runs_anywhere(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """Each payload in every field: on the sheet, in the panel, in the filter's chips and text; nothing happens."""
    from pipeline.report.render import render

    path = written(tmp_path, render(hostile(PAYLOADS)), policy)
    watched, page, seen = opened(watch, path)
    assert page.locator(".tile").count() == len(PAYLOADS)
    page.evaluate(
        "for (const e of document.querySelectorAll('a, button, .tile'))"
        " e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))"
    )
    page.locator(".picture").first.click()
    shown = []
    for number in range(len(PAYLOADS)):
        assert page.locator("#box-position").text_content() == f"{number + 1} / {len(PAYLOADS)}"
        shown.append(page.locator("#box-text").text_content())
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    for text in ("end of script", "image", "template literal"):
        assert any(PAYLOADS[text] in each for each in shown), "it is there, as text"
    for text in PAYLOADS.values():
        page.locator("#query").fill(text[:200])
    page.keyboard.press("Escape")
    page.evaluate("for (const chip of document.querySelectorAll('.chip')) { chip.click(); chip.click(); }")
    nothing_ran(watched, page, seen, path)


@pytest.mark.parametrize("policy", [True, False], ids=["with policy", "policy stripped"])
def test_no_payload_runs_from_the_address(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """A link to the sheet with a payload in its fragment, as filter or as chip, is a filter that matches nothing."""
    from pipeline.report.render import render

    path = written(tmp_path, render(fake_sheet.campaign(1)), policy)
    for text in ("end of script", "image", "drawing", "address", "prototype", "regular expression", "line separators"):
        word = quote(PAYLOADS[text])
        watched, page, seen = opened(watch, path, f"#q={word}&state={word}&{word}={word}&__proto__={word}")
        assert page.locator("#query").input_value().strip() == PAYLOADS[text].strip()
        nothing_ran(watched, page, seen, path)


@pytest.mark.parametrize("policy", [True, False], ids=["with policy", "policy stripped"])
def test_no_payload_of_a_manifest_runs(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """The same through the whole pipeline: hostile names, prompts, roles and vary values in a manifest that is run."""
    usable = {name: text for name, text in PAYLOADS.items() if name not in ("half a character", "long")}
    folder = tmp_path / "<img src=x onerror=window.pwned=1>"
    folder.mkdir()
    fake_sheet.picture(320, 320, 1).save(folder / "mug.png")
    text = "".join(usable.values()).replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
    manifest = {
        "version": 1,
        "campaign": "c",
        "references": {"linen": {"image": "mug.png", "role": f"</script><script>{PWN}</script>"}},
        "products": {
            "mugs": [
                {"id": f"p{number}", "name": name, "images": {"front": "mug.png"}, "vars": {"x": name}}
                for number, name in enumerate(usable.values())
            ]
        },
        "prompts": {
            "t": {
                "vary": {"scene": [f"<img src=x onerror={PWN}>"]},
                "images": ["product.front", "references.linen"],
                "text": f"@Image1 @Image2 {text} {{{{ product.name }}}} {{{{ scene }}}}",
            }
        },
    }
    (folder / "m.yaml").write_text(json.dumps(manifest), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "-q", "m.yaml", "--limit", "4"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    report = folder / "out/c/report.html"
    path = written(report.parent, report.read_text(encoding="utf-8"), policy)
    watched, page, seen = opened(watch, path)
    assert page.locator(".tile").count() == len(usable)
    page.locator(".picture").first.click()
    assert f"</script><script>{PWN}</script>" in page.locator("#box-text").text_content()
    for _ in usable:
        page.keyboard.press("ArrowRight")
    nothing_ran(watched, page, seen, path)


@pytest.mark.parametrize(
    "injected",
    [
        f"<script>{PWN}</script>",
        f"<img src=x onerror={PWN}>",
        "<script>alert(1)</script>",
        f"<img src={AWAY}.png>",
        "<iframe srcdoc=x></iframe>",
        "<a href='javascript:1'>x</a>",
    ],
)
def test_what_runs_is_seen(watch: Watch, tmp_path: Path, injected: str) -> None:
    """These tests can fail: a sheet with one raw payload in its body is told from a good one."""
    from pipeline.report.render import render

    text = render(fake_sheet.campaign(1)).replace("</main>", f"{injected}</main>")
    path = written(tmp_path, text, policy=False)
    watched, page, seen = opened(watch, path)
    with pytest.raises(AssertionError):
        nothing_ran(watched, page, seen, path)
