"""Templates: the closed part of Jinja, what is refused, and the slots."""

from __future__ import annotations

import pytest
from fakes import work
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import failure

from pipeline.prompt import ALLOWED_FILTERS, MAX_RENDERED, Template, TemplateProblem, check_slots, slots_used

CONTEXT = {
    "product": {"id": "mug", "name": "Blue mug", "vars": {"colour": "cobalt", "size": 3}},
    "scene": "picnic blanket",
    "season": "autumn",
    "tags": "hero sale",
    "nothing": None,
    "yes": True,
}


def render(text, context=None, **more):
    """Render a prompt template."""
    return Template(text).render(CONTEXT if context is None else context, **more)


def problem(text, context=None):
    """Return the problem that a template has, on reading or on rendering."""
    with pytest.raises(TemplateProblem) as caught:
        render(text, context)
    return caught.value


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("a {{ product.name }} on a {{ scene }}", "a Blue mug on a picnic blanket"),
        ("{{ product['name'] }}", "Blue mug"),
        ("{{ product.vars.colour }}{{ product.vars.size }}", "cobalt3"),
        ("{{ season | upper }}", "AUTUMN"),
        ("{{ season | capitalize | lower }}", "autumn"),
        ("{{ scene | title }}", "Picnic Blanket"),
        ("{{ '  x ' | trim }}", "x"),
        ("{{ season | length }}", "6"),
        ("{{ scene | slug }}", "picnic-blanket"),
        ("{{ scene | replace('picnic', 'wool') }}", "wool blanket"),
        ("{{ missing | default('grey') }}", "grey"),
        ("{{ yes }}", "true"),
        ("{{ nothing | default('grey', true) }}", "grey"),
        ("{{ 3 }} {{ 1.5 }}", "3 1.5"),
        ("{% if product.vars.size > 2 %}big{% else %}small{% endif %}", "big"),
        ("{% if season == 'spring' %}a{% elif season in ['autumn'] %}b{% endif %}", "b"),
        ("{{ 'a' if yes and not nothing else 'b' }}", "a"),
        ("{{ 'a' if 'hero' in tags or yes else 'b' }}", "a"),
        ("{{ season ~ '-' ~ scene }}", "autumn-picnic blanket"),
        ("{% if missing is defined %}a{% else %}b{% endif %}", "b"),
        ("{# not said #}x", "x"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("<b> & \"x\" 'y'", "<b> & \"x\" 'y'"),
        ("{{ a }}", "<&>"),
    ],
)
def test_what_templates_can_do(text, rendered):
    """Names, attributes, listed filters, if/else and comparisons work, and nothing is escaped."""
    assert render(text, {**CONTEXT, "a": "<&>"}) == rendered


REFUSED = {
    "{% for x in [1, 2] %}{{ x }}{% endfor %}": "for",
    "{% set x = 1 %}": "assign",
    "{% set x %}y{% endset %}": "assignblock",
    "{% macro m() %}{% endmacro %}": "macro",
    "{% block b %}{% endblock %}": "block",
    "{% filter upper %}x{% endfilter %}": "filterblock",
    "{% include 'x' %}": "include",
    "{% import 'x' as y %}": "import",
    "{% from 'x' import y %}": "fromimport",
    "{% extends 'x' %}": "extends",
    "{% with x = 1 %}{{ x }}{% endwith %}": "with",
    "{% call x() %}{% endcall %}": "callblock",
    "{{ range(9) }}": "call",
    "{{ season.upper() }}": "call",
    "{{ super() }}": "call",
    "{{ 2 + 2 }}": "add",
    "{{ 2 - 2 }}": "sub",
    "{{ 'a' * 100000000 }}": "mul",
    "{{ 2 ** 99999999 }}": "pow",
    "{{ 1 / 0 }}": "div",
    "{{ 1 // 0 }}": "floordiv",
    "{{ '%99999999s' % 1 }}": "mod",
    "{{ -season }}": "neg",
    "{{ +season }}": "pos",
    "{{ season[0:2] }}": "slice",
    "{{ {'a': 1} }}": "dict",
}


@pytest.mark.parametrize(("text", "what"), REFUSED.items())
def test_everything_else_is_refused_by_name(text, what):
    """What isn't on the list is refused when the template is read, before anything is evaluated."""
    with pytest.raises(TemplateProblem) as caught:
        Template(text)
    assert (caught.value.fact, caught.value.hint) == (
        f"templates can't use {what!r}",
        "they take names, filters, if/else and comparisons",
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ product.__class__ }}",
        "{{ product['__class__'] }}",
        "{{ season.__class__.__mro__ }}",
        "{{ season.upper }}",
        "{{ product.items }}",
        "{{ product.vars.items }}",
        "{{ product.vars.keys }}",
        "{{ product.get }}",
        "{{ season[0] }}",
        "{{ [1, 2][0] }}",
        "{{ ''['__class__'] }}",
        "{{ nothing.x }}",
        "{{ product.vars['__init__'] }}",
    ],
)
def test_only_keys_of_mappings_can_be_reached(text):
    """No attribute or item of a Python object is there: only what the manifest holds."""
    assert "is not defined" in problem(text).fact


@pytest.mark.parametrize("name", ["range", "dict", "lipsum", "cycler", "joiner", "namespace"])
def test_there_are_no_globals(name):
    """Jinja's own globals are undefined."""
    assert problem(f"{{{{ {name} }}}}").fact == f"{name!r} is not defined"


@pytest.mark.parametrize(
    ("text", "fact", "hint", "word"),
    [
        ("{{ seasn }}", "'seasn' is not defined", "did you mean 'season'?", "seasn"),
        ("{{ product.nme }}", "'nme' is not defined", "did you mean 'name'?", "nme"),
        ("{{ product.vars.color }}", "'color' is not defined", "did you mean 'colour'?", "color"),
        ("{% if sceen %}x{% endif %}", "'sceen' is not defined", "did you mean 'scene'?", "sceen"),
        ("{{ zzz }}", "'zzz' is not defined", "there is nothing, product, scene, season, tags, yes", "zzz"),
        ("{{ produkt.name }}", "'produkt' is not defined", "did you mean 'product'?", "produkt"),
        ("{{ produkt['name'] }}", "'produkt' is not defined", "did you mean 'product'?", "produkt"),
        ("{{ product.vrs.colour }}", "'vrs' is not defined", "did you mean 'vars'?", "vrs"),
        ("{{ season | uper }}", "the filter 'uper' is not available", "did you mean 'upper'?", "uper"),
        ("{{ 1 is odd }}", "the test 'odd' is not available", "", "odd"),
    ],
)
def test_unknown_names_are_named_with_a_suggestion(text, fact, hint, word):
    """An unknown name says what it may mean, and which word to look for."""
    found = problem(text)
    assert (found.fact, found.word) == (fact, word)
    assert hint in found.hint


@pytest.mark.parametrize(
    "name",
    ["format", "join", "attr", "map", "safe", "center", "indent", "tojson", "pprint", "xmlattr", "wordwrap", "list"],
)
def test_filters_that_grow_or_reach_are_not_available(name):
    """Only listed filters exist."""
    assert name not in ALLOWED_FILTERS
    assert problem(f"{{{{ season | {name} }}}}").fact == f"the filter {name!r} is not available"


def test_the_list_of_filters_is_this_one():
    """A filter that comes or goes is a decision."""
    assert (
        *("capitalize", "default", "length", "lower", "replace"),
        *("slug", "title", "trim", "upper"),
    ) == ALLOWED_FILTERS


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a {{ ", 1),
        ("a\n{{ x", 2),
        ("a\n\n{% if x %}", 3),
        ("{{ a b }}", 1),
        ("x\n{% nonsense %}", 2),
        ("{% endif %}", 1),
    ],
)
def test_a_syntax_error_has_a_line(text, line):
    """What Jinja can't parse is a problem with a fact and a line."""
    with pytest.raises(TemplateProblem) as caught:
        Template(text)
    assert caught.value.fact.startswith("the template can't be read: ")
    assert caught.value.line == line


def test_a_refused_node_has_its_line():
    """A construct that isn't allowed knows its line too."""
    assert problem("a\nb {{ 1 + 1 }}").line == 2


@pytest.mark.parametrize("text", ["{{ 'a' < 1 }}", "{{ 1 | length }}", "{{ season | replace }}", "{{ product[[1]] }}"])
def test_what_fails_while_rendering_is_a_problem(text):
    """A failing filter or comparison is reported, not raised."""
    assert problem(text).fact.startswith("the template can't be rendered: ")


def test_the_rendered_length_is_limited():
    """A text of the longest length passes, one character more doesn't."""
    assert len(render("{{ x }}", {"x": "a" * MAX_RENDERED})) == MAX_RENDERED
    found = problem("{{ x }}", {"x": "a" * (MAX_RENDERED + 1)})
    assert (found.fact, found.hint) == ("renders to too long a text", "the most is 20,000 characters")


@pytest.mark.parametrize(
    "text",
    [
        "{{ x" + " | replace('a', 'aaaaaaaaaa')" * 12 + " }}",
        "{{ x" + " | replace('', 'aaaaaaaaaa')" * 12 + " }}",
        "{{ x | replace('a', y) }}",
    ],
)
def test_replace_can_not_multiply(text):
    """A chain of replacements stops before it grows beyond the longest length."""
    with work.memory() as done:
        found = problem(text, {"x": "a" * 10, "y": "b" * 10_000})
    assert "`replace` makes more than" in found.fact
    assert done.peak < 1_000_000


def test_replace_may_grow_up_to_the_limit():
    """A replacement that fits is made."""
    assert render("{{ x | replace('a', y) }}", {"x": "aa", "y": "b" * 9_000}) == "b" * 18_000


def test_a_long_text_is_refused_before_it_is_built():
    """A variable said a thousand times never stands in memory as a whole."""
    template = Template("{{ x }}" * 1000)
    with work.memory() as done, pytest.raises(TemplateProblem):
        template.render({"x": "a" * 20_000})
    assert done.peak < 5_000_000


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1.5 | round(400, 'ceil') }}",
        "{{ 1e999 | int }}",
        "{{ x | int }}",
        "{{ 1 | round(400, 'floor') }}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "not " * 3000 + "1 }}",
        "{{ a" + ".a" * 2000 + " }}",
        "{{ 'a'" + " | lower" * 500 + " }}",
        "{% if 1 %}" * 120 + "{% endif %}" * 120,
    ],
    ids=lambda text: text[:24],
)
def test_no_template_gets_past_the_limits(text):
    """Whatever overflows, nests or recurses is a problem of the template."""
    assert problem(text, {"x": float("inf"), "a": {}}).fact


@pytest.mark.parametrize("name", ["product", "nothing"])
def test_only_text_and_numbers_are_said(name):
    """A prompt that says a whole mapping, or nothing, is a mistake."""
    assert problem(f"{{{{ {name} }}}}").fact in ("a group of names is no text", "a value in it is null")


@pytest.mark.parametrize("name", ["self", "super", "loop", "caller", "varargs", "kwargs"])
def test_names_that_jinja_fills_are_refused(name):
    """What Jinja itself would put in is not to be had."""
    assert problem(f"{{{{ {name} }}}}").fact == f"templates can't use {name!r}"


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ scene }}", "picnic-blanket"),
        ("{{ product.name }}/{{ season }}.png", "Blue-mug/autumn.png"),
        ("{{ ratio }}", "16x9"),
        ("{{ evil }}", "etc-passwd"),
        ("literal text/{{ season }}", "literal text/autumn"),
        ("{{ season ~ '/' ~ scene }}", "autumn-picnic-blanket"),
    ],
)
def test_paths_slug_what_they_are_filled_with(text, rendered):
    """In a path every value is slugged, the template's own text isn't."""
    context = {**CONTEXT, "ratio": "16:9", "evil": "../../etc/passwd"}
    assert Template(text, path=True).render(context) == rendered


def test_a_template_knows_its_names():
    """The names a template needs are known without rendering it."""
    assert Template("{{ a.b }}{% if c %}{{ d | default(e) }}{% endif %}").names == {"a", "c", "d", "e"}


CONTEXT_KEYS = ["product", "season", "a", "'a'", "1", "1.5", "true", "product.name"]
PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "{{",
                "}}",
                "{%",
                "%}",
                "{#",
                "#}",
                " ",
                "|",
                ".",
                "(",
                ")",
                "[",
                "]",
                ",",
                "~",
                "==",
                "<",
                "=",
                "-",
                "'",
            ),
            *("if", "else", "endif", "elif", "not", "and", "or", "in", "is", "defined", "for", "set", "raw", "endraw"),
            *CONTEXT_KEYS,
            *ALLOWED_FILTERS,
        ]
    ),
    max_size=25,
).map(" ".join)
EXPRESSIONS = st.lists(st.sampled_from([*CONTEXT_KEYS, *(f"| {name}" for name in ALLOWED_FILTERS)]), max_size=6)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.text() | PIECES | EXPRESSIONS.map(lambda parts: "{{ " + " ".join(parts) + " }}"))
def test_any_text_renders_or_is_a_problem(text):
    """No template raises anything but TemplateProblem, and none renders more than the limit."""
    found = failure(TemplateProblem, lambda: render(text))
    assert (len(render(text)) <= MAX_RENDERED) if found is None else (found.fact and found.line >= 1)


# ── slots ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("", []),
        ("@Image1 and @Image2", [1, 2]),
        ("@Image2 before @Image1, @Image2 again", [2, 1, 2]),
        ("@Image10", [10]),
        ("@Image1.", [1]),
        ("@Image1's", [1]),
        ("(@Image3)", [3]),
        ("@Image", [0]),
        ("@Images", []),
        ("@Image1x", []),
        ("@Image1_a", []),
        ("Image1", []),
        ("@image1", []),
    ],
)
def test_slots_are_whole_words(text, used):
    """A slot is @Image and its whole number; @Image1 is no part of @Image10."""
    assert slots_used(text) == used


def facts(text, count):
    """Return the errors and warnings of a prompt's slots as facts."""
    errors, found = check_slots(text, count)
    return [fact for _, fact, _ in errors], [fact for _, fact, _ in found]


def unused(number):
    """Return the warning of a reference that isn't mentioned."""
    return f"reference {number} is sent but the prompt never says @Image{number}"


@pytest.mark.parametrize(
    ("text", "count", "errors", "found"),
    [
        ("@Image1", 1, [], []),
        ("@Image", 1, [], []),
        ("@Image1 @Image2 @Image3", 3, [], []),
        (" ".join(f"@Image{n}" for n in range(1, 11)), 10, [], []),
        ("nothing", 0, [], []),
        ("@Image4", 3, ["@Image4 names no reference: there are 3 references"], [unused(1), unused(2), unused(3)]),
        ("@Image2", 1, ["@Image2 names no reference: there is 1 reference"], [unused(1)]),
        ("@Image10", 1, ["@Image10 names no reference: there is 1 reference"], [unused(1)]),
        ("@Image1", 0, ["@Image1 names no reference: there are 0 references"], []),
        ("@Image0 @Image1", 1, ["@Image0 names no reference: there is 1 reference"], []),
        ("@Image", 0, ["bare @Image needs exactly one reference: there are 0 references"], []),
        ("@Image", 2, ["bare @Image needs exactly one reference: there are 2 references"], [unused(1), unused(2)]),
        ("@Image3 @Image3", 1, ["@Image3 names no reference: there is 1 reference"], [unused(1)]),
        ("@Image1", 2, [], [unused(2)]),
        ("@Image10", 10, [], [unused(n) for n in range(1, 10)]),
        ("no slot", 1, [], [unused(1)]),
    ],
)
def test_slots_are_held_against_the_references(text, count, errors, found):
    """Numbers out of range and ambiguous bare slots are errors, unmentioned references warnings."""
    assert facts(text, count) == (errors, found)


def test_slot_problems_say_what_to_do():
    """Each slot problem carries the word to look for and a next step."""
    assert check_slots("@Image4", 1)[0] == [
        ("@Image4", "@Image4 names no reference: there is 1 reference", "use @Image1, or add an image")
    ]
    assert check_slots("@Image4", 0)[0][0][2] == "give the prompt images"
    assert check_slots("@Image", 2)[0][0] == (
        "@Image",
        "bare @Image needs exactly one reference: there are 2 references",
        "number it",
    )


@pytest.mark.parametrize(
    "word",
    [
        "@image1",
        "@IMAGE1",
        "@image",
        "@image 1",
        "@Image_1",
        "@image_1",
    ],
)
def test_near_misses_are_told(word):
    """What looks like a slot and isn't one is told with that very word: an error where it has a number."""
    errors, found = check_slots(f"@Image1 and {word} too", 1)
    ((said, fact, hint),) = errors if word.endswith("1") else found
    assert said.strip() in word
    assert "is no slot" in fact
    assert hint == "write @Image1"
    assert len(errors) + len(found) == 1


@pytest.mark.parametrize("text", ["@Image1", "@Image1, @Image1.", "write to me@example.com", "an image1"])
def test_what_is_no_near_miss_is_left_alone(text):
    """Correct slots and other words get no warning."""
    assert not [fact for fact in facts(text, 1)[1] if "is no slot" in fact]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 12), max_size=6), st.integers(0, 10))
def test_slots_and_references_match_exactly(numbers, count):
    """There are errors exactly for the numbers beyond the count, and warnings exactly for those not said."""
    errors, found = check_slots(" ".join(f"@Image{n}" for n in numbers), count)
    assert [word for word, *_ in errors] == [f"@Image{n}" for n in sorted(set(numbers)) if n > count]
    assert [word for word, *_ in found] == [f"@Image{n}" for n in range(1, count + 1) if n not in numbers]
