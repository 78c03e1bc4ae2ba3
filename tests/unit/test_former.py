"""Pictures of version 1 of the keys: known again, and never paid twice."""

from __future__ import annotations

import pytest
from kit import cells, write

from pipeline.expand.keys import BEFORE, picture_key, prefix, spec_key
from pipeline.former import settled

PRICE = {"p": {"text": "@Image1 for {{ product.vars.price }}"}}


def version_1(expansion, text=None):
    """Return the keys under which version 1 knew the pictures of an expansion, in order, with the prompt ``text``."""
    found = []
    for picture in expansion.pictures.values():
        spec = picture.spec
        shared = prefix(BEFORE, spec.model, spec.proof, text or spec.prompt, spec.references)
        key = spec_key(shared, spec.resolution, spec.aspect_ratio, spec.format, spec.provider)
        found.append(picture_key(key, picture.variant))
    return found


def priced(folder, *prices, **more):
    """Expand a campaign with one product for each price, as YAML has it."""
    products = ", ".join(
        f"{{id: p{n}, images: {{front: mug.png}}, vars: {{price: {price}}}}}" for n, price in enumerate(prices)
    )
    variants = more.get("variants", 1)
    return cells(
        folder,
        f"version: 1\ncampaign: c\nproducts: {{s: [{products}]}}\n"
        f"prompts: {{p: {{text: '@Image1 for {{{{ product.vars.price }}}}'}}}}\noutputs: {{variants: {variants}}}\n",
    )


def test_what_nobody_knows_has_a_key_of_today(tmp_path):
    """Pictures of others change nothing."""
    expansion = cells(tmp_path)
    assert settled(expansion, ()) is expansion
    assert settled(expansion, {"0" * 32}) is expansion


def test_a_picture_keeps_the_key_it_is_known_by(tmp_path):
    """Its cells and its spec have it too, and settling again changes nothing."""
    expansion = cells(tmp_path, outputs={"format": ["png", "webp"]})
    (before,) = version_1(expansion)
    now = settled(expansion, {before})
    assert list(now.pictures) == [before]
    assert {cell.picture.key for cell in now.cells} == {before}
    assert settled(now, {before}) is now
    assert now.respelled == ()


def test_a_picture_that_is_known_by_both_keys_has_todays(tmp_path):
    """It was made once more since."""
    expansion = cells(tmp_path)
    known = {*version_1(expansion), *expansion.pictures}
    assert settled(expansion, known) is expansion


def test_new_variants_join_the_pictures_of_before(tmp_path):
    """They share a request, and so a spec; one that is known under today's key keeps it."""
    expansion = cells(tmp_path, outputs={"variants": 3})
    first, second, third = version_1(expansion)
    assert list(settled(expansion, {first}).pictures) == [first, second, third]
    today = list(expansion.pictures)
    assert list(settled(expansion, {first, today[1]}).pictures) == [first, today[1], third]


def test_a_line_break_of_windows_is_no_other_picture(tmp_path):
    """Version 1 had it in the key; also a picture that is to be made once more keeps that key, as its next take."""
    write(tmp_path / "p.csv", 'id,name,images.front\nmug,"Blue\r\nmug",mug.png\n')
    expansion = cells(
        tmp_path, products={"s": {"from": "p.csv"}}, prompts={"p": {"text": "@Image1 {{ product.name }}"}}
    )
    (before,) = version_1(expansion, "@Image1 Blue\r\nmug")
    now = settled(expansion, {before}, again=expansion.pictures)
    assert {picture.key: picture.spec.prompt for picture in now.pictures.values()} == {before: "@Image1 Blue\nmug"}


def test_a_picture_with_a_respelled_number_is_kept_and_named(tmp_path):
    """Its spec says what it was made from; made once more, it gets the number as the manifest has it."""
    expansion = priced(tmp_path, "19.90")
    (before,) = version_1(expansion, "@Image1 for 19.9")
    now = settled(expansion, {before})
    assert [(key, picture.spec.prompt) for key, picture in now.pictures.items()] == [(before, "@Image1 for 19.9")]
    assert now.respelled == ("p0/p/1x1/1K/v1.png",)
    again = settled(expansion, {before}, again=expansion.pictures)
    assert [picture.spec.prompt for picture in again.pictures.values()] == ["@Image1 for 19.90"]


def test_two_products_with_two_spellings_share_a_picture_only_where_they_did(tmp_path):
    """Version 1 made one of both; today they are two."""
    expansion = priced(tmp_path, "3.1", "3.10")
    assert len(expansion.pictures) == 2
    before = version_1(expansion, "@Image1 for 3.1")[0]
    assert list(settled(expansion, {before}).pictures) == [before]
    first, second = expansion.pictures
    assert list(settled(expansion, {first}).pictures) == [first, second]


@pytest.mark.parametrize(("written", "before"), [("TRUE", "true"), ("20.00", "20.0"), ("1e3", "1000.0"), ("x", "x")])
def test_a_spreadsheets_values_are_known_as_version_1_read_them(tmp_path, written, before):
    """It took numbers and truth values for what YAML takes them for."""
    write(tmp_path / "p.csv", f"id,images.front,vars.price\nmug,mug.png,{written}\n")
    expansion = cells(tmp_path, products={"s": {"from": "p.csv"}}, prompts=PRICE)
    known = version_1(expansion, f"@Image1 for {before}")
    assert list(settled(expansion, known).pictures) == known


def test_a_null_of_a_spreadsheet_has_no_picture_of_before(tmp_path):
    """Version 1 refused it."""
    write(tmp_path / "p.csv", "id,images.front,vars.price\nmug,mug.png,~\n")
    expansion = cells(tmp_path, products={"s": {"from": "p.csv"}}, prompts=PRICE)
    assert settled(expansion, {"0" * 32}) is expansion
