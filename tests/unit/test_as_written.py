"""Texts and numbers reach the prompt as they were written, and saving a file again changes no picture."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit import MUG, cells, complaints, png, warnings, write

from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.prompt import Template

SAY = {"p": {"text": "@Image1 says [{{ product.vars.t }}]"}}
NUMBERS = ["19.90", "3.10", "20.00", "2.0", "1e3", "1E-2", "+5", "-0", "0x1F", "0o17", "007", ".5", "5.", "1_000", "12"]
WORDS = ["TRUE", "False", "yes", "NULL", "~", "None", "N", "3.10.1", "12:30", "2026-12-01", "1,50", "=1+1", "'19"]
TYPED = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="@＠﹫#")
    | st.sampled_from("\n\u2028\u2029\x85"),
    min_size=1,
    max_size=40,
).filter(lambda text: text.strip() == text and text.strip("\ufeff") == text)


def said(expansion):
    """Return what the prompts of some cells say between the brackets."""
    prompts = (picture.spec.prompt for picture in expansion.pictures.values())
    return [text.partition("[")[2].removesuffix("]") for text in prompts]


def by_csv(folder, values, *, delimiter=",", quoting=csv.QUOTE_MINIMAL):
    """Expand a campaign whose products come from a CSV file, one for each value."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerow(["id", "images.front", "vars.t"])
    writer.writerows([f"p{number}", "mug.png", value] for number, value in enumerate(values))
    write(folder / "p.csv", out.getvalue())
    return cells(folder, products={"s": {"from": "p.csv"}}, prompts=SAY)


@pytest.mark.parametrize("written", NUMBERS)
def test_a_number_in_yaml_keeps_its_spelling(tmp_path, written):
    """In a variable of a product, of all prompts, and as an alias of one."""
    text = f"""
version: 1
campaign: c
vars: {{n: &n {written}}}
products: {{s: [{{id: mug, images: {{front: mug.png}}, vars: {{t: *n}}}}]}}
prompts: {{p: {{text: "@Image1 says [{{{{ n }}}} {{{{ product.vars.t }}}}]"}}}}
"""
    assert said(cells(tmp_path, text)) == [f"{written} {written}"]


@pytest.mark.parametrize("written", ["19.90", "3.10", "1e3", "12"])
def test_a_number_of_an_axis_keeps_its_spelling_in_prompt_label_and_path(tmp_path, written):
    """Also where another value of the axis is the same number: they are two pictures."""
    text = f"""
version: 1
campaign: c
products: {{s: [{{id: mug, images: {{front: mug.png}}}}]}}
prompts: {{p: {{vary: {{n: [{written}, {written}0]}}, text: "@Image1 says [{{{{ n }}}}]"}}}}
"""
    expansion = cells(tmp_path, text)
    assert said(expansion) == [written, f"{written}0"]
    assert [cell.label for cell in expansion.cells] == [f"mug/p/{n}/1x1/1K/v1.png" for n in (written, f"{written}0")]
    assert [cell.file for cell in expansion.cells] == [f"mug/p/{n}_1x1_1K_v1.png" for n in (written, f"{written}0")]


def test_a_rule_names_a_number_as_it_is_written(tmp_path):
    """`exclude: [{n: 3.10}]` is about the value 3.10."""
    text = """
version: 1
campaign: c
products: {s: [{id: mug, images: {front: mug.png}}]}
prompts: {p: {vary: {n: [3.10, 3.2]}, text: "@Image1 says [{{ n }}]"}}
outputs: {exclude: [{n: 3.10}]}
"""
    assert [cell.label for cell in cells(tmp_path, text).cells] == ["mug/p/3.2/1x1/1K/v1.png"]


def test_a_spreadsheet_has_texts_only(tmp_path):
    """Whatever its fields look like, they are shown as they are."""
    values = [*NUMBERS, *WORDS]
    assert said(by_csv(tmp_path, values)) == values


def test_json_keeps_the_spelling_too(tmp_path):
    """Of numbers in a product file, also where the file has characters that YAML reads in another way."""
    write(tmp_path / "p.json", '[{"id": "mug", "images": {"front": "mug.png"}, "vars": {"t": 19.90, "u": "\x7f"}}]')
    assert said(cells(tmp_path, products={"s": {"from": "p.json"}}, prompts=SAY)) == ["19.90"]


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("product.vars.t > 9", {"10": True, "9.50": True, "9": False, "-1": False}),
        ("10 > product.vars.t", {"10": False, "9.50": True}),
        ("product.vars.t >= 9.5 and product.vars.t <= 9.5", {"9.50": True, "9.51": False}),
        ("product.vars.t < limit", {"9.5": True, "10.00": False, "100": False}),
        ("product.vars.t == 20", {"20.00": True, "21": False}),
        ("product.vars.t == '20.00'", {"20.00": True, "20": False}),
        ("product.vars.t != 20", {"20.00": False, "x": True}),
        ("product.vars.t in ['38', '40']", {"38": True, "39": False}),
        ("product.vars.t", {"0": False, "0.00": False, "FALSE": False, "TRUE": True, "null": False, "x": True}),
        ("product.vars.t is number", {"1.50": True, "x": False}),
        ("product.vars.t is none", {"null": True, "x": False}),
        ("product.vars.t is string", {"x": True, "1": False}),
    ],
)
def test_conditions_work_on_numbers(tmp_path, condition, values):
    """What a spreadsheet or YAML says as a number compares as one, and is as true as one."""
    text = f"@Image1 says [{{% if {condition} %}}{{{{ product.vars.t }}}}{{% else %}}no{{% endif %}}]"
    write(tmp_path / "p.csv", "id,images.front,vars.t\n" + "".join(f"p{n},mug.png,{t}\n" for n, t in enumerate(values)))
    expansion = cells(tmp_path, vars={"limit": 10}, products={"s": {"from": "p.csv"}}, prompts={"p": {"text": text}})
    prompts = (cell.picture.spec.prompt for cell in expansion.cells)
    expected = [written if yes else "no" for written, yes in values.items()]
    assert [prompt.partition("[")[2].removesuffix("]") for prompt in prompts] == expected


def test_a_number_in_a_template_is_shown_as_written_or_refused(tmp_path):
    """`default(19.90)` would be 19.9; where it is only compared, its spelling says nothing."""
    found = complaints(tmp_path, prompts={"p": {"text": "@Image1 {{ product.vars.t | default(19.90) }}"}})
    assert found == ["prompts.p.text: the number 19.90 would be written as 19.9; quote it: '19.90'"]
    assert Template("{% if t > 19.90 %}{{ t }}{% endif %}{{ 1.5 }}").render({"t": 20}) == "201.5"


# ── for any text ────────────────────────────────────────────────────────────────────────────────


@given(TYPED)
@example("a\u2028b")
@example("Tasse für Gäste")
def test_any_text_in_yaml_is_rendered_as_written(tmp_path_factory, text):
    """What a person types into a quoted text is what the prompt says."""
    folder = tmp_path_factory.getbasetemp() / "yaml"
    document = {"version": 1, "campaign": "c", "products": {"s": [MUG | {"vars": {"t": text}}]}, "prompts": SAY}
    expansion = cells(folder, json.dumps(document, ensure_ascii=False))
    assert [picture.spec.prompt for picture in expansion.pictures.values()] == [f"@Image1 says [{text}]"]


@given(st.lists(TYPED, min_size=1, max_size=3, unique=True))
def test_any_text_in_a_spreadsheet_is_rendered_as_written(tmp_path_factory, values):
    """Two texts that differ by more than their Unicode form are two pictures."""
    folder = tmp_path_factory.getbasetemp() / "csv"
    expansion = by_csv(folder, values)
    assert next(cell.picture.spec.prompt for cell in expansion.cells) == f"@Image1 says [{values[0]}]"
    assert len(expansion.pictures) == len({unicodedata.normalize("NFC", text) for text in values})


@given(st.lists(TYPED, min_size=1, max_size=3), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["NFC", "NFD"]))
@example(["Gäste\nund Köche"], "\r\n", "NFD")
def test_saving_a_file_again_changes_no_key(tmp_path_factory, values, lines, form):
    """Excel (semicolons, quotes and a byte order mark), Git (CRLF) and a Mac (NFD) make no other picture of it."""
    folder = tmp_path_factory.getbasetemp() / "again"
    before = list(by_csv(folder, values).pictures)
    excel = list(by_csv(folder, values, delimiter=";", quoting=csv.QUOTE_ALL).pictures)
    for name in ("p.csv", "m.yaml"):
        text = unicodedata.normalize(form, (folder / name).read_text("utf-8"))
        write(folder / name, text.replace("\n", lines).encode("utf-8-sig"))
    assert list(expand(load(str(folder / "m.yaml"))).pictures) == before == excel


def test_a_file_is_found_in_either_unicode_form(tmp_path):
    """Git and a Mac may hold its name in another form than the manifest; a label and a rule are compared alike."""
    nfc, nfd = "größe", unicodedata.normalize("NFD", "größe")
    write(tmp_path / f"{nfd}.csv", f"id,images.front,vars.t\nmug,{nfd}.png,12\n")
    write(tmp_path / f"{nfc}.png", png())
    prompts = {"p": SAY["p"] | {"vary": {"word": [nfd, "other"]}}}
    expansion = cells(
        tmp_path, products={"s": {"from": f"{nfc}.csv"}}, prompts=prompts, outputs={"exclude": [{"word": nfc}]}
    )
    assert [cell.label for cell in expansion.cells] == ["mug/p/other/1x1/1K/v1.png"]


# ── what is most likely a mistake ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"prompts": {"p": {"vary": {"scene": ["oak", "linen"]}, "text": "@Image1"}}},
            "prompts.p.vary.scene: the prompt never says 'scene': all 2 values give the same picture",
        ),
        (
            {"prompts": {"p": {"text": "@Image1, a {product.name}"}}},
            "prompts.p.text: {product.name} is sent as it is",
        ),
        (
            {"prompts": {"p": {"text": "@Image1 ${ product.name }"}}},
            "prompts.p.text: ${ product.name } is sent as it is",
        ),
        (
            {"vars": {"season": " "}, "prompts": {"p": {"text": "@Image1 in {{ season | upper }} light"}}},
            "prompts.p.text: season is empty (product mug)",
        ),
        (
            {"products": {"s": [MUG | {"vars": {"price": "#REF!"}}]}},
            "products.s[0].vars.price: #REF! is what a spreadsheet shows for an error",
        ),
        (
            {"products": {"s": [MUG | {"name": "mug #NAME? blue"}]}},
            "products.s[0].name: #NAME? is what a spreadsheet shows for an error",
        ),
        (
            {
                "products": {
                    "s": [
                        MUG
                        | {
                            "images": {
                                "front": "https://b.s3.amazonaws.com/m.png?X-Amz-Date=20261201T100000Z"
                                "&X-Amz-Expires=3600&X-Amz-Signature=0f"
                            }
                        }
                    ]
                }
            },
            "products.s[0].images.front: the link is signed, and stops working on 2026-12-01 11:00 UTC",
        ),
        (
            {
                "products": {
                    "s": [MUG | {"images": {"front": "https://a.blob.core.windows.net/m.png?se=2027-01-01&sig=x"}}]
                }
            },
            "products.s[0].images.front: the link is signed, and stops working on 2027-01-01 00:00",
        ),
    ],
)
def test_likely_mistakes_are_warned_of(tmp_path, changes, warning):
    """Each is allowed, and costs money for nothing."""
    assert warnings(tmp_path, **changes) == [warning]


def test_tags_that_were_split_at_spaces_are_warned_of_once(tmp_path):
    """A tag of two words in a spreadsheet becomes two tags; semicolons and commas separate without a word."""
    write(tmp_path / "p.csv", "id,images.front,tags\na,mug.png,new arrival\nb,mug.png,on sale\nc,mug.png,x;y\n")
    found = warnings(tmp_path, products={"s": {"from": "p.csv"}})
    assert found == ["products.s[0].tags: 'new arrival' is read as the tags new, arrival"]
    write(tmp_path / "p.csv", 'id,images.front,tags\na,mug.png,new; arrival\nb,mug.png,"x, y"\n')
    assert warnings(tmp_path, products={"s": {"from": "p.csv"}}) == []


@pytest.mark.parametrize(
    "fine",
    [
        "@Image1 {% if season %}in {{ season }}{% endif %}",
        "@Image1 {{ season | default('x', true) }}",
        '@Image1 {"a": 1} {other} {{ product.name }}',
    ],
)
def test_what_is_meant_is_not_warned_of(tmp_path, fine):
    """An empty variable with a condition around it, or a default, and braces around other words."""
    assert warnings(tmp_path, vars={"season": ""}, prompts={"p": {"text": fine}}) == []


def test_an_empty_field_of_a_spreadsheet_is_named_as_that(tmp_path):
    """Other rows have a value there: the mistake is in the row, not in the prompt."""
    write(tmp_path / "p.csv", "id,images.front,vars.t\na,mug.png,1\nb,mug.png,\n")
    (found,) = complaints(tmp_path, products={"s": {"from": "p.csv"}}, prompts=SAY)
    hint = "other products have it: give b one, or write `| default('…')` behind it"
    assert found == f"prompts.p.text: 't' is not defined (product b); {hint}"


# ── what looks like a slot ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "written",
    [
        *("@{Image1", "@[Image1", "@ Image1"),
        *("@Image１", "＠Image1", "@image1", "@Image 1", "@Image-1", "@Image_1", "@Image#1", "@Image(1", "@Image①"),
        *("@Image٣", "@Images1", "@img1", "@Image01", "@Image1st", "@Im\u0430ge1", "@Image\u200b1", "@IMAGE\u00a01"),
    ],
)
def test_what_looks_like_a_slot_says_what_to_write(tmp_path, written):
    """Wide and circled digits, other alphabets, invisible characters: no gateway takes them for a slot."""
    (found,) = [
        line
        for line in complaints(tmp_path, prompts={"p": {"text": f"@Image1 and {written} here"}})
        if "is no slot" in line
    ]
    assert found.startswith(f"prompts.p.text: {written!r} is no slot (product mug); write @Image")


@pytest.mark.parametrize(
    "text", ["@Image1旁边", "@Image1's rim", "(@Image1)", "@Image1, @Image1.", "a@imagery.example 1"]
)
def test_a_slot_in_any_sentence_is_one(tmp_path, text):
    """Punctuation and other scripts may follow at once."""
    expansion = cells(tmp_path, prompts={"p": {"text": f"@Image1 {text}"}})
    assert [warning for warning in expansion.warnings if "slot" in warning.fact] == []


# ── YAML 1.2 ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85"])
def test_line_separators_are_characters(tmp_path, sign):
    """In a block, in quotes, in a plain text and in a key; and the places after it stay right."""
    text = f"""
version: 1
campaign: c
vars: {{a: 'x{sign}y'}}
products: {{s: [{{id: mug, name: b{sign}m, images: {{front: mug.png}}}}]}}
prompts:
  p:
    text: |
      @Image1 says{sign}[{{{{ product.name }}}}
      {{{{ a }}}}]
outputs: {{aspect_ratio: 7:1}}
"""
    (found,) = complaints(tmp_path, text)
    assert found.startswith("m.yaml:11:")
    expansion = cells(tmp_path, text.replace("7:1", "1:1"))
    assert said(expansion) == [f"b{sign}m\nx{sign}y"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            'text: "@Image1, a\x0bmug"',
            "7:22: not valid YAML: there is a vertical tab character here (U+000B); remove it; texts copied",
        ),
        (
            'text: "C:\\Users\\me\\a.png"',
            "7:16: not valid YAML: did not find expected hexdecimal number; in double quotes \\ starts an escape:",
        ),
    ],
)
def test_what_no_yaml_may_hold_is_named_at_its_place(tmp_path, line, found):
    """The hint says what to write."""
    products = "products:\n  s: [{id: mug, images: {front: mug.png}}]\n"
    (complaint,) = complaints(tmp_path, f"version: 1\ncampaign: c\n{products}prompts:\n  p:\n    {line}\n")
    assert complaint.startswith(f"m.yaml:{found}")


@pytest.mark.parametrize(
    ("product", "found"),
    [
        ("id: 1e3", 'id: 1e3 is a number, not text; quote it: "1e3"'),
        ("id: 0x10", 'id: 0x10 is a number, not text; quote it: "0x10"'),
        ("id: mug, name: 7.10", 'name: 7.10 is a number, not text; quote it: "7.10"'),
        ("id: mug, name: TRUE", 'name: TRUE is true or false, not text; quote it: "TRUE"'),
    ],
)
def test_a_number_for_a_text_is_quoted_as_written(tmp_path, product, found):
    """Following the hint gives the text that was meant."""
    prompts = "prompts: {p: {text: '@Image1'}}"
    products = f"products: {{s: [{{{product}, images: {{front: mug.png}}}}]}}"
    (line,) = complaints(tmp_path, f"version: 1\ncampaign: c\n{products}\n{prompts}\n")
    assert line.endswith(f"products.s[0].{found}")


def test_a_link_that_leads_nowhere_and_an_escape_in_a_path_are_named(tmp_path):
    """Neither is a spelling mistake of another file's name."""
    (tmp_path / "link.png").symlink_to("gone/mug.png")
    (found,) = complaints(tmp_path, products={"s": [MUG | {"images": {"front": "link.png"}}]})
    assert found.endswith("it is a link to 'gone/mug.png', and there is no such file: copy the file here")
    (found,) = complaints(tmp_path, products={"s": [MUG | {"images": {"front": "assets\tmug.png"}}]})
    assert "in double quotes \\ starts an escape" in found
