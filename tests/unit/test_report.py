"""The contact sheet as text: complete, escaped, self-contained. How it behaves is tests/browser's matter."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from browser import fake_sheet
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import layout
from pipeline.report.render import PROOFS, STATES, link, render


class Reader(HTMLParser):
    """Reads a sheet as a browser would: every element with its attributes, script and style texts apart."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag if tag in self.raw else ""

    def handle_endtag(self, tag):
        """Leave a script or a style sheet."""
        self._inside = ""

    def handle_data(self, data):
        """Keep the text of scripts and style sheets."""
        if self._inside:
            self.raw[self._inside].append(data)

    def having(self, name: str) -> list[dict[str, str]]:
        """Return the attributes of all elements that have an attribute ``name``."""
        return [attributes for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def usual() -> Reader:
    """Return a read sheet of every state."""
    return Reader(render(fake_sheet.campaign(2)))


@pytest.fixture(scope="module")
def hostile() -> Reader:
    """Return a read sheet with an attack in every text field."""
    return Reader(render(fake_sheet.hostile()))


@pytest.mark.parametrize("sheet", [fake_sheet.campaign(5), fake_sheet.hostile()], ids=["usual", "hostile"])
def test_every_cell_stands_on_the_sheet_exactly_once(sheet):
    """Each output file is one element with its label and state, and nothing else claims to be one."""
    drawn = [(each["data-cell"], each["data-state"]) for each in Reader(render(sheet)).having("data-cell")]
    assert sorted(drawn) == sorted((cell.label, cell.state) for tile in sheet.tiles for cell in tile.cells)


def test_cells_link_to_their_files_only_when_these_are_there(usual):
    """A done cell is a link to its file; a cell that is not done is no link."""
    for cell in usual.having("data-cell"):
        assert ("href" in cell) == (cell["data-state"] == "done")


def test_a_file_without_a_path_is_not_linked():
    """A cell that claims to be done without a path is drawn, but leads nowhere."""
    tile = fake_sheet.tile(1, 0, "table", "1:1")
    tile = replace(tile, cells=(replace(tile.cells[0], path=None),))
    (cell,) = Reader(render(fake_sheet.sheet((tile,)))).having("data-cell")
    assert "href" not in cell


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_policy_names_the_one_script_and_style(name, request):
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


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_refers_to_nothing_outside(name, request):
    """No attribute fetches or leads anywhere but into the document, to inline pictures or relative files."""
    reader = request.getfixturevalue(name)
    for attribute in ("src", "href", "srcset", "action", "poster", "data"):
        for element in reader.having(attribute):
            value = element[attribute]
            assert value.startswith(("data:", "#")) or re.fullmatch(r"[A-Za-z0-9._~%/-]+", value), value
            assert not value.startswith(("/", "data:text"))
    assert not any("url(" in text or "@import" in text for text in reader.raw["style"])


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_markup_has_no_inline_style_or_handler(name, request):
    """No style attribute (the policy would drop it) and no on… attribute, whatever the texts are."""
    names = {attribute for _, attributes in request.getfixturevalue(name).elements for attribute in attributes}
    assert "style" not in names
    assert not [each for each in names if each.startswith("on")]


def test_hostile_text_stays_text(hostile):
    """An attack in every field adds no element, and reads the same after the data block is parsed."""
    data = json.loads(hostile.raw["script"][0])
    assert data["tiles"][0]["label"] == fake_sheet.HOSTILE
    assert data["references"][0]["name"] == fake_sheet.HOSTILE
    assert [tag for tag, _ in hostile.elements].count("script") == 2
    assert all("src" not in each or each["src"].startswith("data:image/jpeg") for _, each in hostile.elements)


def test_data_cannot_leave_its_block():
    """Neither the end of a script nor a comment can be written from a manifest into the data."""
    tile = replace(fake_sheet.tile(1, 0, "table", "1:1"), text="</script><!--<script>\u2028&amp;")
    page = render(fake_sheet.sheet((tile,)))
    block = page.split('id="data">')[1].split("</script>")[0]
    assert not set("<>&\u2028") & set(block)
    assert json.loads(block)["texts"] == [tile.text]


def test_pictures_are_inline_bitmaps_with_a_size(usual):
    """Every small picture on the sheet is lazy, sized, described and inside the document."""
    pictures = [each for tag, each in usual.elements if tag == "img" and "id" not in each]
    assert len(pictures) == 8
    for picture in pictures:
        assert picture["src"].startswith("data:image/jpeg;base64,")
        assert (picture["loading"], picture["decoding"]) == ("lazy", "async")
        assert int(picture["width"]) > 0 < int(picture["height"])
        assert picture["alt"]


@pytest.mark.parametrize(
    "thumb",
    ["https://evil.example/x.png", "data:text/html,<script>", "data:image/svg+xml;base64,AA==", "x.png", ""],
)
def test_a_thumb_that_is_no_inline_bitmap_is_left_out(thumb):
    """Only inline bitmaps are drawn: no request, no vector picture."""
    tile = replace(fake_sheet.tile(1, 0, "table", "1:1"), thumb=thumb)
    reader = Reader(render(fake_sheet.sheet((tile,))))
    assert [each for tag, each in reader.elements if tag == "img" and "id" not in each] == []


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("out/a b/ü#1?.png", "out/a%20b/%C3%BC%231%3F.png"),
        ("out/100%.png", "out/100%25.png"),
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
def test_links_are_relative_and_encoded(path, wanted):
    """A path becomes a relative URL or none at all."""
    assert link(path) == wanted


@given(st.text())
def test_no_path_becomes_a_scheme_or_a_host(path):
    """Whatever a path holds, its link has no colon, no backslash, no leading slash, no quote."""
    url = link(path)
    assert url is None or not (re.search(r"[:\\\"'<>&\s]", url) or url.startswith("/"))


@given(st.text(), st.text(max_size=20))
def test_any_text_can_be_drawn(text, label):
    """No text breaks the document or the data, lone surrogates and control characters included."""
    tile = fake_sheet.tile(1, 0, "table", "1:1")
    tile = replace(tile, text=text, label=label, thumb=None, cells=(replace(tile.cells[0], label=label),))
    page = render(fake_sheet.sheet((tile,)))
    page.encode("utf-8")
    reader = Reader(page)
    assert len(reader.having("data-cell")) == 1
    assert json.loads(reader.raw["script"][0])["texts"] == [text]


def test_is_pure():
    """The same values give the same document."""
    assert render(fake_sheet.campaign(1)) == render(fake_sheet.campaign(1))


def test_tiles_are_grouped_by_product_and_prompt():
    """Scattered tiles of one product and prompt come together, in order of first appearance."""
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a")]
    tiles = [fake_sheet.tile(number, product, prompt, "1:1") for number, (product, prompt) in enumerate(keys)]
    sections = layout.products(tiles)
    assert [[group.prompt for group in section.groups] for section in sections] == [["a", "b"], ["a"]]
    assert [placed.index for placed in _placed(sections[0].groups[0])] == [0, 3]


def _placed(group: layout.Group) -> list[layout.Placed]:
    return [placed for run in group.runs for chunk in run.chunks for placed in chunk]


def test_each_combination_of_vary_values_starts_a_row():
    """Tiles of one scene stand together under its name, which none of them repeats."""
    sheet = fake_sheet.matrix()
    ((group,),) = [section.groups for section in layout.products(sheet.tiles)]
    assert [run.vary for run in group.runs] == [(("scene", scene),) for scene in fake_sheet.SCENES[:2]]
    assert all(tile.view.vary == run.vary for run in group.runs for chunk in run.chunks for tile in chunk)
    assert render(sheet).count('class="vary"') == 2


def test_single_tiles_share_their_rows():
    """Where most combinations are a single tile, a row for each would leave orphans: the tiles say their own."""
    tiles = [
        replace(fake_sheet.tile(1, 0, "table", "1:1"), label=f"l{number}", vary=(("scene", f"scene {number}"),))
        for number in range(6)
    ]
    ((group,),) = [section.groups for section in layout.products(tiles)]
    assert [run.vary for run in group.runs] == [()]
    assert render(fake_sheet.sheet(tuple(tiles))).count('class="vary"') == 6


def test_resolutions_of_a_picture_are_neighbours():
    """Same scene, then same shape, then same variant: the 2K stands beside its 1K, and the caption tells them."""
    sheet = fake_sheet.matrix()
    ((group,),) = [section.groups for section in layout.products(sheet.tiles)]
    told = [(p.view.aspect_ratio, p.view.variant, p.view.resolution) for p in _placed(group)]
    assert told[:5] == [("1:1", 1, "1K"), ("1:1", 1, "2K"), ("1:1", 2, "1K"), ("1:1", 2, "2K"), ("16:9", 1, "1K")]
    assert '<p class="facts"><span>2K</span><span>1:1</span><span>v1</span>' in render(sheet)


def test_products_of_two_sets_may_share_an_id():
    """A product is told from another by its set and its id."""
    tile = fake_sheet.tile(1, 0, "table", "1:1")
    assert len(layout.products([tile, replace(tile, product_set="bowls")])) == 2


def test_large_groups_are_split_into_blocks():
    """A group of hundreds of tiles is skipped block by block, and loses none."""
    tiles = [replace(fake_sheet.tile(number, 0, "table", "1:1", "missing"), vary=()) for number in range(250)]
    ((group,),) = [section.groups for section in layout.products(tiles)]
    assert [[len(chunk) for chunk in run.chunks] for run in group.runs] == [[120, 120, 10]]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((1920, 1080), (16, 9)),
        ((0, 100), (1, 1)),
        ((-5, 3), (1, 1)),
        ((9000, 1), (5, 1)),
        ((1, 9000), (1, 5)),
    ],
)
def test_boxes_have_the_true_ratio_or_a_sane_one(size, wanted):
    """A box is the picture's ratio in lowest terms; nonsense and slivers get a box that can be drawn."""
    assert layout.box(replace(fake_sheet.tile(1, 0, "t", "1:1"), width=size[0], height=size[1])) == wanted


def test_header_says_what_this_is():
    """Campaign, manifest, commit, date and all totals are in the document."""
    page = re.sub(r"<[^>]*>", "|", render(fake_sheet.campaign(2)).split('id="tools"')[0].split("<header")[1])
    for word in (
        "Autumn tableware",
        "campaigns/autumn.yaml",
        "4be1f02+",
        "2026-11-21 04:34 UTC",
        "$0.224",
        "$0.84",
    ):
        assert f"|{word}|" in page


def _chips(sheet) -> list[tuple[str, str]]:
    return [(each["data-facet"], each["data-value"]) for each in Reader(render(sheet)).having("data-facet")]


def test_chips_are_only_for_what_occurs():
    """A facet is offered when it divides the sheet: here neither the one state nor the one resolution does."""
    assert set(_chips(fake_sheet.campaign(1))) == {
        ("prompt", "table"),
        ("prompt", "banner"),
        *(("vary.scene", scene) for scene in fake_sheet.SCENES),
        *(("ratio", ratio) for ratio in fake_sheet.RATIOS),
    }


def test_chips_come_by_dimension():
    """State, prompt, every vary axis, ratio, resolution, provider, tag: in this order, each under its name."""
    (first, second, *others) = fake_sheet.campaign(2).tiles
    tiles = (
        replace(first, tags=("hero", "new"), vary=(*first.vary, ("state", "wet"))),
        replace(second, resolution="2K", tags=("new",)),
        *others,
    )
    page = render(fake_sheet.sheet(tiles))
    dimensions = list(dict.fromkeys(facet for facet, _ in _chips(fake_sheet.sheet(tiles))))
    assert dimensions == ["state", "prompt", "vary.scene", "vary.state", "ratio", "resolution", "provider", "tag"]
    names = re.findall(r'<span class="of" id="facet-\d">(.*?)</span>', page)
    assert names == ["state", "prompt", "scene", "state", "ratio", "resolution", "provider", "tag"]
    assert [value for facet, value in _chips(fake_sheet.sheet(tiles)) if facet == "tag"] == ["hero", "new"]


def _totals(sheet) -> dict[str, str]:
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", render(sheet)))


def test_proofs_have_no_money():
    """Where nothing was bought, neither spent nor saved is said, nor what a proof cost."""
    assert {"spent", "saved"} <= set(_totals(fake_sheet.campaign(1)))
    proofs = fake_sheet.campaign(1, proof=True)
    assert not {"spent", "saved"} & set(_totals(proofs))
    assert '"Cost"' not in render(proofs)
    assert _totals(replace(proofs, spent_usd=1.5))["spent"] == "$1.50"


def test_header_counts_every_state_that_occurs():
    """Uncertain and stopped are counted when there are any; failed and missing always."""
    totals = _totals(fake_sheet.campaign(2))
    assert list(totals) == [
        "pictures", "cells", "done", "failed", "uncertain", "stopped", "missing", "spent", "saved",
    ]  # fmt: skip
    assert (totals["uncertain"], totals["stopped"]) == ("3", "2")
    assert sum(int(totals[state]) for state in STATES) == int(totals["cells"])
    assert list(_totals(fake_sheet.campaign(1)))[2:5] == ["done", "failed", "missing"]


def test_proofs_are_called_proofs_only_when_all_are():
    """One picture by the model, and the sheet does not call itself a proof; the marks stay."""
    proofs = fake_sheet.campaign(1, proof=True)
    mixed = replace(proofs, tiles=(replace(proofs.tiles[0], proof=False), *proofs.tiles[1:]))
    assert PROOFS in render(proofs)
    assert PROOFS not in render(mixed)
    assert render(mixed).count('class="proof"') == len(proofs.tiles) - 1


def test_an_empty_sheet_can_be_drawn():
    """A sheet without tiles says so."""
    assert "no pictures yet" in render(fake_sheet.sheet(()))


def test_texts_and_references_are_said_once():
    """A prompt shared by many tiles and a reference used by many stand in the data once."""
    tile = fake_sheet.tile(1, 0, "table", "1:1")
    tiles = tuple(replace(tile, label=f"l{number}") for number in range(50))
    page = render(fake_sheet.sheet(tiles))
    reference = fake_sheet.references()[0].thumb
    assert page.count(reference) == 1
    assert len(json.loads(Reader(page).raw["script"][0])["texts"]) == 1
