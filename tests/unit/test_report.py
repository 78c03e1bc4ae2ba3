"""The contact sheet as text: complete, escaped, self-contained. How it behaves is tests/browser's matter."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.report import header
from pipeline.report.data import BLOCK, data, link
from pipeline.report.render import bundle, render
from pipeline.report.thumbs import INLINE, SMALL, choose, linked
from pipeline.report.view import STATES, CellView, DecisionView, PastView, SheetView, TileView

ENDS = '</noscript></script></style></figure><!--<script>"\' onerror=x src="//evil.example/x.png"\n<img src=x>'


class Reader(HTMLParser):
    """Reads a sheet as a browser would: every element with its attributes, script and style texts apart.

    ``scripting``: a ``<noscript>`` holds text until its end, and no elements, as where scripts may run.
    """

    def __init__(self, text: str, *, scripting: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        if scripting:
            text = re.sub(r"(<noscript[^>]*>).*?(</noscript)", r"\1\2", text, flags=re.IGNORECASE | re.DOTALL)
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag if tag in self.raw else ""

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or a style sheet."""
        self._inside = ""

    def handle_data(self, text: str) -> None:
        """Keep the text of scripts and style sheets."""
        if self._inside:
            self.raw[self._inside].append(text)

    def having(self, name: str) -> list[dict[str, str]]:
        """Return the attributes of all elements that have an attribute ``name``."""
        return [attributes for _, attributes in self.elements if name in attributes]

    @property
    def data(self) -> Any:
        """What the sheet's script is given."""
        return json.loads(self.raw["script"][0])


def drawn(sheet: SheetView) -> str:
    """A sheet with its thumbnails inside."""
    return fake_sheet.page(sheet)


def told(sheet: SheetView) -> Any:
    """A sheet's data, as JSON gives it back."""
    return json.loads(json.dumps(data(sheet, fake_sheet.thumbs(sheet))))


def one(tile: TileView | None = None, **changes: Any) -> SheetView:
    """A sheet of one tile."""
    return fake_sheet.sheet((replace(tile or fake_sheet.tile(1, 0, "table", "1:1"), **changes),))


@pytest.fixture(scope="module")
def usual() -> Reader:
    """Return a read sheet of every state."""
    return Reader(drawn(fake_sheet.campaign(2)))


@pytest.fixture(scope="module")
def hostile() -> Reader:
    """Return a read sheet with an attack in every text field."""
    return Reader(drawn(fake_sheet.hostile()))


# ── the document ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_policy_names_the_one_script_and_style(name: str, request: pytest.FixtureRequest) -> None:
    """The hashes in the policy are those of the inline script and style; nothing else inline is allowed."""
    reader = request.getfixturevalue(name)
    (policy,) = [each["content"] for each in reader.having("http-equiv")]
    scripts = [attributes for tag, attributes in reader.elements if tag == "script"]
    assert [each.get("type") for each in scripts] == ["application/json", None]
    texts = {"script-src": reader.raw["script"][-1], "style-src": "".join(reader.raw["style"])}
    for directive, text in texts.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "base-uri 'none'; form-action 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "connect-src" not in policy
    assert "blob:" not in policy


def test_a_served_sheet_may_call_its_server_and_nobody_else() -> None:
    """It brings its thumbnails by address, and none in itself."""
    sheet = fake_sheet.campaign(1)
    page = render(sheet, linked(fake_sheet.thumbs(sheet), "thumbs"), served=True)
    reader = Reader(page)
    (policy,) = [each["content"] for each in reader.having("http-equiv")]
    assert "connect-src 'self'; " in policy
    assert "file:" not in policy
    assert reader.data["served"] == {"decisions": "decisions", "data": "data.json", "who": ""}
    assert reader.data["thumbs"]["urls"][0] == "thumbs/1024x1024-1"
    assert len(reader.data["thumbs"]["urls"]) == reader.data["thumbs"]["count"] > 0
    assert lines(page) == []


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_refers_to_nothing_outside(name: str, request: pytest.FixtureRequest) -> None:
    """No attribute fetches or leads anywhere but into the document, to inline pictures or relative files."""
    reader = request.getfixturevalue(name)
    for attribute in ("src", "href", "srcset", "action", "poster", "data"):
        for element in reader.having(attribute):
            value = element[attribute]
            assert value.startswith(("data:", "#")) or re.fullmatch(r"[A-Za-z0-9._~%/-]+", value), value
            assert not value.startswith(("/", "data:text"))
    assert not any("url(" in text or "@import" in text for text in reader.raw["style"])


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_markup_has_no_inline_style_or_handler(name: str, request: pytest.FixtureRequest) -> None:
    """No style attribute (the policy would drop it) and no on… attribute, whatever the texts are."""
    names = {attribute for _, attributes in request.getfixturevalue(name).elements for attribute in attributes}
    assert "style" not in names
    assert not [each for each in names if each.startswith("on")]


def test_hostile_text_stays_text(hostile: Reader) -> None:
    """An attack in every field adds no element, and reads the same after the data block is parsed."""
    assert hostile.data["tiles"]["label"][0] == fake_sheet.HOSTILE
    assert hostile.data["references"][0]["name"] == fake_sheet.HOSTILE
    assert hostile.data["decisions"][fake_sheet.HOSTILE][0]["note"] == fake_sheet.HOSTILE
    assert [tag for tag, _ in hostile.elements].count("script") == 2
    assert all("src" not in each or each["src"].startswith("data:image/webp") for _, each in hostile.elements)


def _with(text: str) -> SheetView:
    """A sheet that says a text wherever it says anything."""
    past = PastView(1, text, text, text, "1024x1024-1~past", 1, (text,), text, text)
    tile = replace(
        fake_sheet.tile(1, 0, "table", "1:1"),
        **dict.fromkeys(("label", "product", "product_name", "product_set", "prompt", "resolution"), text),
        **dict.fromkeys(("aspect_ratio", "reason", "text", "key", "sha", "model", "provider", "stale"), text),
        tags=(text,),
        vary=((text, text),),
        cells=(CellView(text, text, 1, "done"),),
        history=(past,),
    )
    sheet = replace(fake_sheet.sheet((tile,)), decisions={text: (DecisionView(text, text, 1, text, text, text),)})
    references = tuple(replace(each, name=text, source=text, digest=text, role=text) for each in sheet.references)
    return replace(
        sheet,
        references=references,
        **dict.fromkeys(("campaign", "manifest", "made_at", "commit", "version", "retake"), text),
    )


@pytest.mark.parametrize("scripting", [True, False], ids=["scripts run", "no scripts"])
def test_no_text_leaves_its_place(scripting: bool) -> None:
    """The ends of scripts, styles, comments and noscript blocks, in every string: the same elements as with a word."""
    plain = Reader(drawn(_with("word")), scripting=scripting)
    attacked = Reader(drawn(_with(ENDS)), scripting=scripting)
    assert [tag for tag, _ in attacked.elements] == [tag for tag, _ in plain.elements]
    assert [sorted(each) for _, each in attacked.elements] == [sorted(each) for _, each in plain.elements]
    assert {each["src"][:22] for each in attacked.having("src")} <= {"data:image/webp;base64"}
    assert attacked.data["texts"] == [ENDS]


def test_data_cannot_leave_its_block() -> None:
    """Neither the end of a script nor a comment can be written from a manifest into the data."""
    text = "</script><!--<script>\u2028&amp;"
    block = drawn(one(text=text)).split('id="data">')[1].split("</script>")[0]
    assert not set("<>&\u2028") & set(block)
    assert json.loads(block)["texts"] == [text]


@given(st.text(), st.text(max_size=20))
def test_any_text_can_be_drawn(text: str, label: str) -> None:
    """No text breaks the document or the data, lone surrogates and control characters included."""
    page = drawn(one(text=text, label=label))
    reader = Reader(page)
    assert reader.data["tiles"]["label"] == [label]
    assert reader.data["texts"] == [text]
    assert len(lines(page)) == reader.data["thumbs"]["count"]


def test_is_pure() -> None:
    """The same values give the same document."""
    assert drawn(fake_sheet.campaign(1)) == drawn(fake_sheet.campaign(1))


def test_an_empty_sheet_can_be_drawn() -> None:
    """A sheet without tiles has all its parts, and nothing in them."""
    found = Reader(drawn(replace(fake_sheet.sheet(()), references=()))).data
    assert found["tiles"]["label"] == []
    assert all(each["of"] == [] for each in found["dimensions"])


def test_header_says_what_this_is() -> None:
    """Campaign, manifest, commit, date and all totals are in the document."""
    page = re.sub(r"<[^>]*>", "|", drawn(fake_sheet.campaign(2)).split("</header>")[0].split("<header")[1])
    for word in ("Autumn tableware", "campaigns/autumn.yaml", "4be1f02+", "2026-11-21 04:34 UTC", "$0.196", "$0.84"):
        assert f"|{word}|" in page


# ── thumbnails in the document ──────────────────────────────────────────────────────────────────

LINE = re.compile(
    r'<figure><img src="([^"]*)" alt="([^"<>]*)" loading="lazy"><figcaption>([^<>]*)</figcaption></figure>'
)


def lines(page: str) -> list[str]:
    """The thumbnails' addresses as the script finds them: block by block, a line for each."""
    found: list[str] = []
    blocks = re.findall(r'<noscript class="thumbs" id="thumbs-(\d+)">\n(.*?)</noscript>', page, re.DOTALL)
    assert [int(number) for number, _ in blocks] == list(range(len(blocks)))
    for _, text in blocks:
        assert text.endswith("\n")
        matches = [LINE.fullmatch(line) for line in text.removesuffix("\n").split("\n")]
        found += [match[1] for match in matches if match]
        assert None not in matches
    return found


def test_thumbnails_stand_in_the_document_once_in_the_order_of_their_numbers() -> None:
    """Pictures in the sheet's order, then references, then the past; the data points to each by its number."""
    sheet = fake_sheet.large(200)
    page = drawn(sheet)
    found, thumbs = lines(page), fake_sheet.thumbs(sheet)
    shown = [tile.thumb for tile in sheet.tiles if tile.thumb]
    assert found == [thumbs[name] for name in [*shown, *(r.thumb for r in sheet.references if r.thumb)]]
    numbers = Reader(page).data["tiles"]["thumb"]
    for tile, number in zip(sheet.tiles, numbers, strict=True):
        assert (found[number] == thumbs[tile.thumb]) if tile.thumb else number == -1
    assert page.count("</noscript>") >= -(-len(found) // BLOCK)
    assert page.index('id="data"') < page.index('id="thumbs-0"')


def test_a_picture_in_several_places_has_one_thumbnail() -> None:
    """Its caption names the places, as far as there is room."""
    tile = fake_sheet.tile(1, 0, "table", "1:1")
    sheet = replace(
        fake_sheet.sheet(tuple(replace(tile, label=f"place {number}") for number in range(5))), references=()
    )
    page = drawn(sheet)
    assert len(lines(page)) == 1
    assert Reader(page).data["tiles"]["thumb"] == [0] * 5
    assert "<figcaption>place 0, place 1, place 2 and 2 more</figcaption>" in page


def test_texts_and_references_are_said_once() -> None:
    """A prompt shared by many tiles and a reference used by many stand in the document once."""
    tile = fake_sheet.tile(1, 0, "table", "1:1")
    sheet = fake_sheet.sheet(tuple(replace(tile, label=f"l{number}") for number in range(50)))
    page = drawn(sheet)
    assert page.count(fake_sheet.thumbs(sheet)[fake_sheet.references()[0].thumb or ""]) == 1
    found = Reader(page).data
    assert (len(found["texts"]), found["slotsets"]) == (1, [[0, 1, 2]])


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x.png",
        "//evil.example/x.png",
        "/x.png",
        "../x.png",
        "a/../x.png",
        "javascript:x",
        "data:text/html,<script>",
        "data:image/svg+xml;base64,AA==",
        'x.png" onerror="x',
        "x y.png",
        "",
    ],
)
def test_a_thumbnail_that_is_no_inline_bitmap_and_no_relative_file_is_left_out(address: str) -> None:
    """Only those are drawn: no request, no vector picture, no way out of the folder."""
    sheet = replace(one(thumb="x"), references=())
    page = render(sheet, {"x": address})
    assert lines(page) == []
    assert Reader(page).data["tiles"]["thumb"] == [-1]


# ── data ────────────────────────────────────────────────────────────────────────────────────────


def values(sheet: SheetView) -> dict[str, list[str]]:
    """Each dimension's values."""
    return {each["key"]: each["values"] for each in told(sheet)["dimensions"]}


def test_every_tile_has_an_entry_in_every_column() -> None:
    """The columns are as long as the sheet, and every number in them points to something."""
    sheet = fake_sheet.decided(fake_sheet.campaign(5))
    found = told(sheet)
    count = len(sheet.tiles)
    assert {len(column) for column in found["tiles"].values()} == {count}
    for each in found["dimensions"]:
        assert len(each["of"]) == count
        assert set(each["of"]) <= {-1, *range(len(each["values"]))}
        assert len(each.get("titles", each["values"])) == len(each["values"])
    for column, pointed in (("text", "texts"), ("slots", "slotsets")):
        assert set(found["tiles"][column]) == set(range(len(found[pointed])))
    assert set(found["tiles"]["reason"]) == {-1, *range(len(found["reasons"]))}
    assert len(found["tags"]["of"]) == count
    assert found["stale"] == {str(index): tile.stale for index, tile in enumerate(sheet.tiles) if tile.stale}


def test_dimensions_come_in_the_order_of_the_menus() -> None:
    """With every vary axis under its own name, also where that is another dimension's."""
    (first, *others) = fake_sheet.campaign(1).tiles
    tiles = (replace(first, vary=(*first.vary, ("state", "wet"))), *others)
    found = values(fake_sheet.sheet(tiles))
    assert list(found) == [
        *("product", "set", "prompt", "vary.scene", "vary.state"),
        *("ratio", "resolution", "variant", "take", "provider", "model", "state"),
    ]
    named = {each["key"]: each for each in told(fake_sheet.sheet(tiles))["dimensions"]}
    assert (named["vary.state"]["name"], named["vary.state"]["of"]) == ("state", [0] + [-1] * len(others))


def test_values_come_in_the_manifests_order_and_numbers_in_their_own() -> None:
    """Variants and takes by number, not as text; states from done to missing."""
    tiles = [
        replace(fake_sheet.tile(1, 0, "table", ratio, state), label=ratio, variant=variant, take=variant)
        for ratio, variant, state in (("9:16", 10, "missing"), ("1:1", 9, "done"), ("4:5", 1, "failed"))
    ]
    found = values(fake_sheet.sheet(tuple(tiles)))
    assert found["ratio"] == ["9:16", "1:1", "4:5"]
    assert found["variant"] == ["v1", "v9", "v10"]
    assert found["take"] == ["take 1", "take 9", "take 10"]
    assert found["state"] == ["done", "failed", "missing"]
    assert {each["key"]: each["of"] for each in told(fake_sheet.sheet(tuple(tiles)))["dimensions"]}["variant"] == [
        2,
        1,
        0,
    ]


def test_products_have_titles_where_they_have_names() -> None:
    """And a sheet whose products are called by their ids says them once."""
    product = told(fake_sheet.campaign(2))["dimensions"][0]
    assert (product["values"], product["titles"]) == (["product-000", "product-001"], list(fake_sheet.NAMES[:2]))
    assert "titles" not in told(one(product_name=""))["dimensions"][0]


def test_files_are_linked_where_they_are_there() -> None:
    """Format, address, bytes and state of each; no address without a path, or with one that leads out."""
    cells = (
        CellView("png", "a b/1.png", 7, "done"),
        CellView("webp", None, None, "missing"),
        CellView("jpg", "../x.jpg", 9, "done"),
    )
    assert told(one(cells=cells))["tiles"]["files"] == [
        [["png", "a%20b/1.png", 7, "done"], ["webp", None, 0, "missing"], ["jpg", None, 9, "done"]]
    ]


def test_what_is_not_known_is_a_number_that_says_so() -> None:
    """Costs of proofs, of what is not made, and its times."""
    made = told(fake_sheet.campaign(1))["tiles"]
    assert (made["usd"][0], made["seconds"][0], made["made"][0]) == (28_000, 12.3, 1_795_212_603)
    assert set(told(fake_sheet.campaign(1, proof=True))["tiles"]["usd"]) == {-1}
    lacking = told(one(fake_sheet.tile(1, 0, "table", "1:1", "missing")))["tiles"]
    assert [lacking[name][0] for name in ("usd", "seconds", "made", "sha", "thumb")] == [-1, -1, 0, "", -1]


def test_history_is_told_of_the_tiles_that_have_one() -> None:
    """By the tile's number, with what changed; its thumbnails come last."""
    sheet = fake_sheet.campaign(2)
    found = told(sheet)
    had = [index for index, tile in enumerate(sheet.tiles) if tile.history]
    assert [int(index) for index in found["history"]] == had != []
    stale = next(index for index, tile in enumerate(sheet.tiles) if tile.state == "stale")
    (past,) = found["history"][str(stale)]
    assert (past["changes"], past["take"], past["made"]) == (["prompt changed"], 1, 1_795_125_600)
    assert "summer" in past["text"]
    assert past["href"].startswith("out/.takes/")
    assert past["thumb"] == found["tiles"]["thumb"][stale] >= 0, "it is the picture that stands there"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("out/a b/ü#1?.png", "out/a%20b/%C3%BC%231%3F.png"),
        ("out/100%.png", "out/100%25.png"),
        ("out/raw\udce9.png", "out/raw%E9.png"),
        ("../out/a.png", None),
        ("out/../../a.png", None),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("C:\\out\\a.png", "C%3A%5Cout%5Ca.png"),
        ("/etc/passwd", None),
        ("//host/share/a.png", None),
        ("", None),
        (None, None),
    ],
)
def test_links_are_relative_and_encoded(path: str | None, wanted: str | None) -> None:
    """A path becomes a relative URL or none at all."""
    assert link(path) == wanted


@given(st.text())
def test_no_path_becomes_a_scheme_or_a_host(path: str) -> None:
    """Whatever a path holds, its link has no colon, no backslash, no leading slash, no quote, and is ASCII."""
    url = link(path)
    assert url is None or not (re.search(r"[:\\\"'<>&\s]|[^\x21-\x7e]", url) or url.startswith("/"))


# ── the header's figures ────────────────────────────────────────────────────────────────────────


def totals(sheet: SheetView) -> dict[str, str]:
    """The header's figures."""
    found = {each["name"]: each["value"] for each in told(sheet)["totals"]}
    assert dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", drawn(sheet).split("</header>")[0])) == found
    return found


def test_proofs_have_no_money() -> None:
    """Where nothing was bought, neither spent nor saved is said."""
    assert {"spent", "saved"} <= set(totals(fake_sheet.campaign(1)))
    proofs = fake_sheet.campaign(1, proof=True)
    assert not {"spent", "saved"} & set(totals(proofs))
    assert totals(replace(proofs, spent_usd=1.5))["spent"] == "$1.50"


def test_header_counts_every_state_that_occurs() -> None:
    """Uncertain, stopped and stale are counted when there are any; failed and missing always."""
    found = totals(fake_sheet.campaign(2))
    assert list(found) == ["pictures", "cells", *STATES, "spent", "saved"]
    assert (found["uncertain"], found["stopped"], found["stale"]) == ("3", "2", "2")
    assert sum(int(found[state]) for state in STATES) == int(found["cells"])
    assert list(totals(fake_sheet.campaign(1)))[2:5] == ["done", "failed", "missing"]


def test_header_counts_decisions_on_what_is_shown() -> None:
    """One that speaks of an earlier take isn't counted, nor is a note; without decisions there is no such figure."""
    found = totals(fake_sheet.decided(fake_sheet.campaign(2)))
    assert (found["approved"], found["rejected"]) == ("1", "1")
    assert not {"approved", "rejected"} & set(totals(fake_sheet.campaign(2)))


def test_proofs_are_called_proofs_only_when_all_are() -> None:
    """One picture by the model, and the sheet does not call itself a proof; the marks stay."""
    proofs = fake_sheet.campaign(1, proof=True)
    mixed = replace(proofs, tiles=(replace(proofs.tiles[0], proof=False), *proofs.tiles[1:]))
    assert (told(proofs)["notice"], told(mixed)["notice"]) == (header.PROOFS, "")
    assert told(mixed)["tiles"]["proof"] == [0] + [1] * (len(proofs.tiles) - 1)
    assert told(replace(proofs, rehearsal=True))["notice"] == header.REHEARSAL


def test_the_bar_is_full() -> None:
    """Its parts follow each other from one end to the other."""
    parts = header.bar(header.states(fake_sheet.campaign(2)))
    assert [state for state, _, _ in parts] == list(STATES)
    for (_, start, length), (_, following, _) in pairwise(parts):
        assert start + length == pytest.approx(following, abs=0.02)
    assert sum(length for _, _, length in parts) == pytest.approx(1000, abs=0.1)
    assert header.bar(header.states(fake_sheet.campaign(1))) == []


# ── thumbnails under a budget ───────────────────────────────────────────────────────────────────


def webp(width: int, height: int, seed: int) -> bytes:
    """A picture of nothing but noise, which compresses worse than any photograph."""
    image = Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(3 * width * height))
    into = io.BytesIO()
    image.save(into, "WEBP", quality=78)
    return into.getvalue()


Sheet = Callable[..., SheetView]


@pytest.fixture
def noisy(tmp_path: Path) -> Sheet:
    """Make a sheet of so many pictures, with thumbnails of this size in ``tmp_path``."""

    def make(count: int, size: tuple[int, int] = (600, 400), past: int = 0) -> SheetView:
        kinds = [webp(*size, seed) for seed in range(3)]
        for number in range(count + past):
            (tmp_path / f"{number}.webp").write_bytes(kinds[number % 3])
        base = fake_sheet.tile(1, 0, "table", "1:1")
        before = tuple(replace(_past(), thumb=f"{number}.webp") for number in range(count, count + past))
        tiles = [replace(base, label=f"l{number}", thumb=f"{number}.webp") for number in range(count)]
        tiles[0] = replace(tiles[0], history=before)
        return replace(fake_sheet.sheet(tuple(tiles)), references=())

    return make


def _past() -> PastView:
    return PastView(1, "k", "s", None, None, 1)


def _bytes(page: str) -> int:
    return len("".join(re.findall(r"<figure>.*</figure>\n", page)))


def test_thumbnails_that_fit_are_inside_as_they_are(noisy: Sheet, tmp_path: Path) -> None:
    """To the byte."""
    sheet = noisy(4, (60, 40))
    chosen = choose(sheet, tmp_path, "thumbs")
    assert (chosen.how, chosen.count) == ("inside", 4)
    for name, address in chosen.sources.items():
        assert base64.b64decode(address.partition(",")[2]) == (tmp_path / name).read_bytes()
    assert chosen.bytes == sum((tmp_path / f"{number}.webp").stat().st_size for number in range(4))


def test_a_small_sheet_shows_every_thumbnail_within_the_budget(noisy: Sheet, tmp_path: Path) -> None:
    """1,000 pictures that hardly compress: smaller, but all there, and the room is used."""
    sheet = noisy(SMALL, (160, 120))
    inline = INLINE // 10  # as 500 × 380 pixels in the usual one, in a tenth of the time
    chosen = choose(sheet, tmp_path, "thumbs", inline=inline)
    assert (chosen.how, chosen.count) == ("smaller", SMALL)
    page = render(sheet, chosen.sources)
    assert len(lines(page)) == SMALL
    assert _bytes(page) <= inline
    assert _bytes(page) > inline / 3
    with Image.open(io.BytesIO(base64.b64decode(chosen.sources["0.webp"].partition(",")[2]))) as image:
        image.load()
        assert image.width / image.height == pytest.approx(4 / 3, rel=0.05)
    assert choose(sheet, tmp_path, "thumbs", inline=inline).sources == chosen.sources


@pytest.mark.parametrize("count", [1, 3, 40])
def test_large_thumbnails_come_down_to_their_share(noisy: Sheet, tmp_path: Path, count: int) -> None:
    """Those under their share stay as they are, and what they leave is shared by the others."""
    sheet = noisy(count, (300, 200))
    (tmp_path / "0.webp").write_bytes(small := webp(8, 8, 1))
    inline = 20_000 * count
    chosen = choose(sheet, tmp_path, "thumbs", inline=inline)
    assert _bytes(render(sheet, chosen.sources)) <= inline
    assert chosen.how == ("inside" if count == 1 else "smaller")
    assert base64.b64decode(chosen.sources["0.webp"].partition(",")[2]) == small


def test_the_past_gives_way_before_the_present(noisy: Sheet, tmp_path: Path) -> None:
    """Where all of it has no room, what is shown now is inside."""
    sheet = noisy(5, (300, 200), past=200)
    chosen = choose(sheet, tmp_path, "thumbs", inline=60_000)
    assert (chosen.how, set(chosen.sources)) == ("smaller", {f"{number}.webp" for number in range(5)})
    assert {past["thumb"] for past in data(sheet, chosen.sources)["history"]["0"]} == {-1}  # type: ignore[index]


def test_a_large_sheet_leaves_its_thumbnails_beside(noisy: Sheet, tmp_path: Path) -> None:
    """More than 1,000 pictures over the budget: relative addresses, none inside."""
    sheet = noisy(SMALL + 1, (8, 8))
    chosen = choose(sheet, tmp_path, ".pipeline/thumbs", inline=100_000)
    assert (chosen.how, chosen.count) == ("beside", SMALL + 1)
    found = lines(render(sheet, chosen.sources))
    assert found[:2] == [".pipeline/thumbs/0.webp", ".pipeline/thumbs/1.webp"]
    assert choose(sheet, tmp_path, "x", inline=INLINE).how == "inside"


def test_without_room_they_stand_beside(noisy: Sheet, tmp_path: Path) -> None:
    """``--inline 0``, of a small sheet too."""
    assert choose(noisy(3), tmp_path, "x", inline=0).how == "beside"


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"no")]
)
def test_a_thumbnail_that_is_gone_or_damaged_does_not_spoil_the_sheet(
    noisy: Sheet, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    """It is left out; so it is when the others have to be made smaller."""
    sheet = noisy(3, (300, 200))
    harm(tmp_path / "1.webp")
    for inline in (INLINE, 30_000):
        page = render(sheet, choose(sheet, tmp_path, "x", inline=inline).sources)
        assert len(lines(page)) >= 2


def test_a_link_among_the_thumbnails_brings_no_other_file_into_the_sheet(noisy: Sheet, tmp_path: Path) -> None:
    """Who may write to the output folder can't have the producer mail a secret."""
    sheet = noisy(3, (300, 200))
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    (tmp_path / "1.webp").unlink()
    (tmp_path / "1.webp").symlink_to(tmp_path / "secret")
    for inline in (INLINE, 30_000, 0):
        chosen = choose(sheet, tmp_path, "x", inline=inline)
        assert "1.webp" not in chosen.sources
        assert "1.webp" not in chosen.files


@pytest.mark.parametrize("name", ["../x.webp", "/etc/passwd", "a\0b", "x" * 5000])
def test_a_hostile_name_is_no_thumbnail(tmp_path: Path, name: str) -> None:
    """Nothing breaks, and no address leads out."""
    sheet = replace(one(thumb=name), references=())
    chosen = choose(sheet, tmp_path, "thumbs", inline=0)
    assert lines(render(sheet, chosen.sources)) == []


def test_large_sheets_are_drawn_in_time() -> None:
    """10,000 tiles: no part of it is quadratic."""
    sheet = fake_sheet.large(10_000)
    thumbs = linked((tile.thumb for tile in sheet.tiles if tile.thumb), "thumbs")
    page = render(sheet, thumbs)
    assert len(lines(page)) == len(thumbs)
    assert len(page) < 8_000_000


# ── the script ──────────────────────────────────────────────────────────────────────────────────


def modules(**texts: str) -> Callable[[str], str]:
    """Modules by name."""
    return lambda name: texts[name.removesuffix(".js")]


def test_modules_become_one_script() -> None:
    """Each once, after those that it imports, without the words that only a module knows."""
    joined = bundle(
        modules(
            main='/** X. */\nimport { b } from "./b.js";\nimport {\n  a,\n  more,\n} from "./a.js";\n\nb(a, more);\n',
            b='import { a } from "./a.js";\nexport function b() { return a; }\nexport async function c() {}\n',
            a='export const a = 1;\nexport let more = "import x";\nexport class D {}\n',
        )
    )
    assert joined.startswith('(() => {\n"use strict";\n')
    assert joined.endswith("})();\n")
    assert [joined.index(text) for text in ("const a = 1", "function b()", "b(a, more)")] == sorted(
        joined.index(text) for text in ("const a = 1", "function b()", "b(a, more)")
    )
    assert joined.count("const a = 1") == 1
    assert not re.search(r"^(import|export)", joined, re.MULTILINE)


def test_modules_may_need_each_other() -> None:
    """A circle is joined once around."""
    joined = bundle(
        modules(
            main='import { a } from "./a.js";\nexport function m() { a(); }\n',
            a='import { m } from "./main.js";\nexport function a() { m(); }\n',
        )
    )
    assert (joined.count("function a()"), joined.count("function m()")) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        'import a from "./a.js";\n',
        'import "./a.js";\n',
        'import { a } from "https://evil.example/a.js";\n',
        "export default 1;\n",
        "export { a };\n",
        'const end = "</script>";\n',
        'const comment = "<!--";\n',
    ],
)
def test_what_cannot_be_joined_is_refused(text: str) -> None:
    """Rather than to ship a script that doesn't run."""
    with pytest.raises(ValueError, match=r"main\.js"):
        bundle(modules(main=text))
