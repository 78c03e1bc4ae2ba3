"""Prompt and path templates: a small, closed part of Jinja, and the ``@ImageN`` slots.

Jinja's sandbox alone still builds 100 MB strings (``{{ "a" * 10**8 }}``), so the syntax is limited to an
allow-list of AST nodes, attributes look up keys of plain mappings and nothing else, and what is rendered has a
longest length. Slots follow fal's and Each Labs' model pages: ``@Image1`` … ``@Image10``, 1-indexed into the
references; bare ``@Image`` with exactly one.
"""

from __future__ import annotations

import re
import unicodedata
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import StrictUndefined, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from pipeline.schema import did_you_mean
from pipeline.types import slug
from pipeline.written import Written, spelled

MAX_RENDERED = 20_000
"""Characters; more than any gateway takes. No part of a template may make more, either."""
MAX_PARTS = 2000
"""Parts of one template: names, texts, filters, conditions."""
MAX_DEPTH = 25
"""Levels of one template: a chain of filters is as deep as it is long, and Jinja takes cubic time for it."""

SLOT = re.compile(r"@Image((?:0|[1-9][0-9]*)?)(?![A-Za-z0-9_])")
_LIKE_SLOT = re.compile(
    r"@[\s(\[{<\"']?im(?:ages?|gs?)[\s_.:#-]?[(\[{<]?\d+[A-Za-z0-9_]*|@im(?:ages?|gs?)(?![A-Za-z])", re.IGNORECASE
)
"""What people write for a slot, on a text that is folded (see :func:`_folded`)."""
_ALIKE = str.maketrans("\u0430\u0435\u0456\u043c\u0410\u0415\u0406\u041c\u0131\u0261", "aeimAEIMig")
"""Letters of other alphabets that look like those of ``@Image``."""

_HALF = re.compile("[\ud800-\udfff]")

_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Const,
    nodes.Filter,
    nodes.Test,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Concat,
    nodes.List,
    nodes.Tuple,
)
_SPECIAL = ("self", "super", "loop", "caller", "varargs", "kwargs")  # names that Jinja itself fills
_TESTS = ("defined", "undefined", "none", "string", "number", "eq", "ne", "in")


class TemplateProblem(Exception):
    """A template that can't be read or rendered. ``word``: what to look for in its text, ``line``: where."""

    def __init__(self, fact: str, hint: str = "", *, word: str = "", line: int = 1) -> None:
        super().__init__(fact)
        self.fact, self.hint, self.word, self.line = fact, hint, word, line


class _Missing(StrictUndefined):
    """An undefined name that says what is there instead."""

    @property
    def _undefined_message(self) -> str:
        name, known = str(self._undefined_name), self._undefined_obj
        return "\0".join([name, "", *known] if isinstance(known, dict) else [name])


def _replace(text: object, old: str, new: str) -> str:
    """``replace``, refusing to grow without end."""
    whole = str(text)
    if len(whole) + whole.count(str(old)) * len(str(new)) > MAX_RENDERED:
        raise TemplateProblem(f"`replace` makes more than {MAX_RENDERED:,} characters", word="replace")
    return whole.replace(str(old), str(new))


def _slug(text: object) -> str:
    """``slug``, of what can still be in it."""
    return slug(str(text)[:1000])


def _joined(parts: Sequence[object]) -> str:
    """``a ~ b``, refusing to grow without end."""
    texts = [str(part) for part in parts]
    if sum(map(len, texts)) > MAX_RENDERED:
        raise TemplateProblem(f"`~` makes more than {MAX_RENDERED:,} characters", word="~")
    return "".join(texts)


class _Joins(NodeTransformer):
    """Puts the careful ``~`` in the place of Jinja's."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802  # Jinja's name
        """A filter on the list of its parts."""
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), "~", [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """Attributes and items are keys of mappings; there is nothing else to reach."""

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401  # Jinja's signature
        if isinstance(obj, jinja2.Undefined):
            raise jinja2.UndefinedError(obj._undefined_message)  # noqa: SLF001  # its own, and not the attribute's
        return obj[attribute] if isinstance(obj, dict) and attribute in obj else self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: ANN401  # Jinja's signature
        return self.getattr(obj, argument)


def _environment(finalize: Callable[[Any], Any] | None) -> _Environment:
    environment = _Environment(undefined=_Missing, finalize=finalize, autoescape=False)
    environment.globals.clear()
    keep = ("capitalize", "default", "length", "lower", "title", "trim", "upper")
    environment.filters = {name: environment.filters[name] for name in keep} | {
        "replace": _replace,
        "slug": _slug,
        "~": _joined,  # no name that a template can say
    }
    environment.tests = {name: environment.tests[name] for name in _TESTS} | {
        "none": lambda value: value is None or (isinstance(value, Written) and value.value is None),
        "number": lambda value: value.is_number if isinstance(value, Written) else isinstance(value, int | float),
        "string": lambda value: isinstance(value, str) and not (isinstance(value, Written) and value.is_number),
    }
    return environment


def _words(value: Any) -> Any:  # noqa: ANN401  # whatever a template names
    """A value as a prompt says it: no Python, nothing that is no text."""
    if isinstance(value, bool):
        return spelled(value)
    if value is None:
        raise TemplateProblem("a value in it is null", "give it one, or say default('…', true)")
    if isinstance(value, dict | list | tuple):
        known = ", ".join(map(str, value)) if isinstance(value, dict) else ""
        raise TemplateProblem("a group of names is no text", f"name one of them: {known}" if known else "")
    return value


_TEXT = _environment(_words)
_PATH = _environment(lambda value: value if isinstance(value, jinja2.Undefined) else slug(str(_words(value))))
ALLOWED_FILTERS = tuple(sorted(name for name in _TEXT.filters if name.isidentifier()))


class Template:
    """A compiled template: made once per prompt (a compile is a hundred renders), rendered many times."""

    __slots__ = ("_compiled", "names", "parts", "said", "source")

    def __init__(self, source: str, *, path: bool = False) -> None:
        environment = _PATH if path else _TEXT
        self.source = source
        try:
            tree = environment.parse(source)
        except jinja2.TemplateSyntaxError as error:
            fact = (error.message or "can't be read").rstrip(".")
            raise TemplateProblem(f"the template can't be read: {fact}", line=error.lineno) from None
        except RecursionError:
            raise TemplateProblem("the template is nested too deeply") from None
        except (ValueError, OverflowError):  # a number of thousands of digits
            raise TemplateProblem("a number in the template can't be read") from None
        try:
            self.parts = _check(tree)
            self.names = frozenset(meta.find_undeclared_variables(tree))
            self.said = tuple(dict.fromkeys(_said(tree)))
            _check_numbers(tree, environment.lex(source))
            tree = _Joins().visit(tree)
            self._compiled = environment.from_string(tree)
        except (RecursionError, SyntaxError, MemoryError):
            raise TemplateProblem("the template is nested too deeply") from None

    def render(self, context: Mapping[str, object]) -> str:
        """The text for one context.

        Raises:
            TemplateProblem: for an undefined name, a failing filter, or too long a text.
        """
        try:
            pieces, size = [], 0
            for piece in self._compiled.root_render_func(self._compiled.new_context(dict(context))):
                size += len(piece)
                if size > MAX_RENDERED:
                    raise TemplateProblem("renders to too long a text", f"the most is {MAX_RENDERED:,} characters")
                pieces.append(piece)
        except jinja2.UndefinedError as error:
            name, *known = (error.message or "").split("\0")
            hint = did_you_mean(name, known[1:] if known else context)
            raise TemplateProblem(f"{name!r} is not defined", hint, word=name) from None
        except (TypeError, ValueError, ArithmeticError, RecursionError, jinja2.TemplateError) as error:
            raise TemplateProblem(f"the template can't be rendered: {error}") from None
        return "".join(pieces)


def _check(tree: nodes.Template) -> int:
    """Whether a template has nothing in it that is not allowed; how many parts it has."""
    parts = 0
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        parts += 1
        if depth > MAX_DEPTH:
            raise TemplateProblem("the template is nested too deeply", f"the most is {MAX_DEPTH} levels")
        if parts > MAX_PARTS:
            raise TemplateProblem(f"the template has more than {MAX_PARTS:,} parts", "say it more simply")
        _check_node(node, getattr(node, "lineno", 1))
        waiting += [(child, depth + 1) for child in reversed([*node.iter_child_nodes()])]
    return parts


def _check_node(node: nodes.Node, line: int) -> None:
    for kind, known in (("filter", ALLOWED_FILTERS), ("test", _TESTS)):
        if isinstance(node, nodes.Filter if kind == "filter" else nodes.Test) and node.name not in known:
            fact = f"the {kind} {node.name!r} is not available"
            raise TemplateProblem(fact, did_you_mean(node.name, known), word=node.name, line=line)
    what = type(node).__name__.lower()
    odd = not isinstance(node, (*_NODES, nodes.Keyword))
    if isinstance(node, nodes.Name) and node.name in _SPECIAL:
        odd, what = True, node.name
    elif isinstance(node, nodes.Const) and isinstance(node.value, int | float) and abs(node.value) > 1e300:
        odd, what = True, "inf"
    elif isinstance(node, nodes.Const) and isinstance(node.value, str) and _HALF.search(node.value):
        raise TemplateProblem("a text in the template has half of a character", "write the character itself", line=line)
    if odd:
        hint = "they take names, filters, if/else and comparisons"
        raise TemplateProblem(f"templates can't use {what!r}", hint, line=line)


def _said(tree: nodes.Template) -> Iterator[tuple[str, ...]]:
    """The names that a template shows in any case, with no ``if`` around them and no ``default``, as paths."""
    shown = [node for output in tree.body if isinstance(output, nodes.Output) for node in output.nodes]
    for node in shown:
        inner: nodes.Node | None = node
        while isinstance(inner, nodes.Filter) and inner.name != "default":
            inner = inner.node
        path: list[str] = []
        while isinstance(inner, nodes.Getattr):
            path.insert(0, inner.attr)
            inner = inner.node
        if isinstance(inner, nodes.Name):
            yield (inner.name, *path)


def _check_numbers(tree: nodes.Template, tokens: Iterator[tuple[int, str, str]]) -> None:
    """Refuse a number that a template shows in another spelling than it is written in: ``default(19.90)``."""
    compared = {id(node) for compare in tree.find_all((nodes.Compare,)) for node in compare.find_all((nodes.Const,))}
    shown = {node.value for node in tree.find_all((nodes.Const,)) if id(node) not in compared and not _is_text(node)}
    for line, kind, text in tokens:
        if kind in ("integer", "float") and shown and (value := literal_eval(text)) in shown and str(value) != text:
            fact = f"the number {text} would be written as {value}"
            raise TemplateProblem(fact, f"quote it: '{text}'", word=text, line=line)


def _is_text(node: nodes.Const) -> bool:
    return not isinstance(node.value, int | float) or isinstance(node.value, bool)


def with_line_feeds(text: str) -> str:
    """A text whose line breaks are one character each, whatever system it was saved on."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def slots_used(text: str) -> list[int]:
    """The slot numbers in a rendered prompt, in order of appearance; bare ``@Image`` counts as 0."""
    return [int(number[:9] or 0) for number in SLOT.findall(text)]


def _folded(text: str) -> tuple[str, list[int]]:
    """A text as a reader sees it, and where each of its characters is in the text: wide and circled characters are
    plain ones, letters that look like Latin ones are these, and what can't be seen is left out.
    """
    places = [index for index, char in enumerate(text) if unicodedata.category(char) != "Cf"]
    return "".join(_plain_character(text[index]) for index in places).translate(_ALIKE), places


def _plain_character(char: str) -> str:
    digit = unicodedata.decimal(char, None)
    plain = unicodedata.normalize("NFKC", char) if digit is None else str(digit)
    return plain if len(plain) == 1 else char


def _like_slots(text: str) -> Iterator[tuple[str, str]]:
    """What looks like a slot and is none: as it is written, and the number that it seems to say."""
    seen, places = (text, range(len(text))) if text.isascii() else _folded(text)
    for found in _LIKE_SLOT.finditer(seen):
        written = text[places[found.start()] : places[found.end() - 1] + 1]
        exact = SLOT.match(text, places[found.start()])
        if exact is None or (exact[0] != written and not exact[1]):
            number = re.search(r"[0-9]+", found[0])
            yield written, str(int(number[0][:9])) if number else ""


def check_slots(text: str, count: int) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Hold the slots of a rendered prompt against its ``count`` references.

    Returns:
        errors and warnings, each as (the word in the text, the fact, the next step).
    """
    errors, warnings = [], []
    have = f"{count} reference{'' if count == 1 else 's'}"
    alike = list(_like_slots(text))
    plain = text
    for written, _ in alike:
        plain = plain.replace(written, "")
    used = slots_used(plain)
    for number in sorted(set(used)):
        if number > count or (number == 0 and "@Image0" in text):
            those = "@Image1" if count == 1 else f"@Image1 to @Image{count}"
            hint = f"use {those}, or add an image" if count else "give the prompt images"
            errors.append((f"@Image{number}", f"@Image{number} names no reference: there {_be(count)} {have}", hint))
        elif number == 0 and count != 1:
            errors.append(
                ("@Image", f"bare @Image needs exactly one reference: there {_be(count)} {have}", "number it")
            )
    for number in range(1, count + 1):
        if number not in used and not (count == 1 and 0 in used):
            fact = f"reference {number} is sent but the prompt never says @Image{number}"
            warnings.append((f"@Image{number}", fact, "mention it, or remove it from images"))
    for written, said in alike:
        # With a number it can only be a slot, and would be paid for without its reference.
        problem = (written, f"{written!r} is no slot", f"write @Image{said or 1}")
        (errors if said else warnings).append(problem)
    return errors, warnings


def _be(count: int) -> str:
    return "is" if count == 1 else "are"
