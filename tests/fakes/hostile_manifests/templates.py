"""Templates that would get out, or never end."""

from __future__ import annotations

from fakes.hostile_manifests.kit import Case, crowd, good, prompt

TEMPLATES = [
    Case("class", prompt("{{ ''.__class__.__mro__[1].__subclasses__() }}"), "templates can't use 'call'"),
    Case("class without a call", prompt("{{ ''.__class__.__mro__ }}"), "'__class__' is not defined"),
    Case("globals", prompt("{{ product.__init__.__globals__ }}"), "'__init__' is not defined"),
    Case("self", prompt("{{ self._TemplateReference__context }}"), "templates can't use 'self'"),
    Case("config", prompt("{{ config }}"), "'config' is not defined"),
    Case("attr filter", prompt("{{ product|attr('__class__') }}"), "the filter 'attr' is not available"),
    Case("cycler", prompt("{{ cycler.__init__ }}"), "'cycler' is not defined"),
    Case("import", prompt("{% import 'os' as os %}"), "templates can't use 'import'"),
    Case("include", prompt("{% include '/etc/passwd' %}"), "templates can't use 'include'"),
    Case("extends", prompt("{% extends 'x' %}"), "templates can't use 'extends'"),
    Case("loop", prompt("{% for a in b %}{% endfor %}"), "templates can't use 'for'"),
    Case(
        "macro that calls itself",
        prompt("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        "templates can't use 'macro'",
    ),
    Case("assignment", prompt("{% set a = 1 %}"), "templates can't use 'assign'"),
    Case("range", prompt("{{ range(10 ** 9) }}"), "templates can't use 'call'"),
    Case("multiplied text", prompt("{{ 'a' * 10 ** 9 }}"), "templates can't use 'mul'"),
    Case("power", prompt("{{ 9 ** 9 ** 9 }}"), "templates can't use 'pow'"),
    Case("added text", prompt("{{ 'a' + 'b' }}"), "templates can't use 'add'"),
    Case("percent", prompt("{{ '%1000000000s' % 'a' }}"), "templates can't use 'mod'"),
    Case("format", prompt("{{ '%1000000000s'|format('a') }}"), "the filter 'format' is not available"),
    Case("center", prompt("{{ 'a'|center(10000000000) }}"), "the filter 'center' is not available"),
    Case("indent", prompt("{{ 'a'|indent(1000000000) }}"), "the filter 'indent' is not available"),
    Case("join", prompt("{{ 'a'|join('b') }}"), "the filter 'join' is not available"),
    Case("batch", prompt("{{ 'a'|batch(1000000000) }}"), "the filter 'batch' is not available"),
    Case(
        "replace that grows",
        prompt("{{ 'a'|replace('a', 'aaaaaaaaaa')" + "|replace('a', 'aaaaaaaaaa')" * 9 + " }}"),
        "`replace` makes more than 20,000 characters",
    ),
    Case(
        "replace nothing",
        prompt("{{ 'aaaaaaaaaa'|replace('', 'aaaaaaaaaa')" + "|replace('', 'aaaaaaaaaa')" * 9 + " }}"),
        "`replace` makes more than 20,000 characters",
    ),
    Case(
        "joined texts",
        prompt("{% if " + "~".join(["a"] * 900) + " == 1 %}{% endif %}", ", vary: {a: ['" + "x" * 4000 + "']}"),
        "`~` makes more than 20,000 characters",
    ),
    Case("long text", prompt("{{ a }}" * 10, ", vary: {a: ['" + "x" * 4000 + "']}"), "renders to too long a text"),
    Case("chain of filters", prompt("{{ 'a'" + "|upper" * 2000 + " }}"), "the template is nested too deeply"),
    Case("nested ifs", prompt("{% if a %}" * 900 + "{% endif %}" * 900), "the template is nested too deeply"),
    Case(
        "nested parentheses", prompt("{{ " + "(" * 5000 + "a" + ")" * 5000 + " }}"), "the template is nested too deeply"
    ),
    Case("nested not", prompt("{{ " + "not " * 4000 + "a }}"), "the template is nested too deeply"),
    Case("many parts", prompt("{{ a }}" * 2800), "the template has more than 2,000 parts"),
    Case(
        "many templates",
        lambda: good(
            prompts="{" + ", ".join(f't{n}: {{text: "' + "{{ product.id }}" * 600 + '"}' for n in range(50)) + "}"
        ),
        "the templates up to here have more than 30,000 parts",
    ),
    Case(
        "rendered often",
        lambda: crowd(96_000, '"' + "{{ product.id }}" * 400 + '"'),
        "takes more than 20,000,000 steps",
    ),
    Case(
        "long texts often",
        lambda: crowd(20_000, "'" + "x" * 19_000 + "'"),
        "the prompts up to here render to more than 150 MB",
    ),
    Case("huge number", prompt("{{ " + "9" * 5000 + " }}"), "a number in the template can't be read"),
    Case("huge hexadecimal number", prompt("{{ 0x" + "f" * 15_000 + " }}"), "templates can't use 'inf'"),
    Case("infinite number", prompt("{{ 1e999 }}"), "templates can't use 'inf'"),
    Case("unclosed", prompt("{{" * 9000), "the template"),
    Case("unclosed comments", prompt("{#" * 9000), "the template can't be read"),
    Case("half a character", prompt("{{ '\\ud800' }}"), "half of a character"),
    Case("wrong arguments", prompt("{{ 'a'|upper(1, 2, 3) }}"), "the template can't be rendered"),
    Case("stars", prompt("{{ 'a'|default(*'abc') }}"), "the template can't be rendered"),
    Case("unhashable name", prompt("{{ product[[]] }}"), "the template can't be rendered"),
    Case("too long a prompt", lambda: prompt("x" * 20_001), "has 20,001 characters; the most is 20,000"),
    Case("huge prompt", lambda: prompt("x" * 10_000_000), "has 10,000,000 characters"),
    Case("slots that backtrack", prompt("@Image2" * 2000 + "@image" * 100 + "@Image2"), "@Image2 names no reference"),
    Case("slot number of many digits", prompt("@Image1 @Image" + "9" * 5000), "names no reference"),
    Case("nearly a slot", prompt("@image 1" * 2000), "is no slot"),
    Case(
        "template in an image's name",
        prompt("@Image1", ", images: ['{{ product.__class__ }}']"),
        "'__class__' is not defined",
    ),
]
