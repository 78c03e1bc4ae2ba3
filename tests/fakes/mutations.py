"""Manifests gone wrong by chance: Hypothesis strategies that take a good one and spoil it."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

GOOD: dict[str, Any] = {
    "version": 1,
    "campaign": "c",
    "model": "kling-image-o1",
    "providers": ["runware", {"name": "fal", "concurrency": 2, "usd": 0.02, "poll": {"first": 1, "every": 2}}],
    "routing": "spread",
    "vars": {"season": "autumn", "year": 2026, "dry": True, "none": None},
    "references": {"linen": {"image": "mug.png", "role": "fabric"}, "far": "https://example.com/a.png"},
    "products": {
        "mugs": [
            {
                "id": "mug",
                "name": "Blue mug",
                "images": {"front": "mug.png", "back": "mug.png"},
                "vars": {"colour": "blue", "n": 3},
                "tags": ["hero", "blue"],
            },
            {"id": "jug", "images": {"front": "mug.png"}},
        ],
        "bowls": {"from": "bowls.csv", "vars": {"colour": "red"}, "tags": ["new"]},
    },
    "prompts": {
        "table": {
            "vary": {"scene": ["breakfast table", 7], "light": {"dawn": "at dawn", "noon": "at noon"}},
            "images": ["product.front", "references.linen"],
            "text": "Place @Image1, a {{ product.name | upper }}, on a {{ scene }} {{ light }} with @Image2"
            "{% if product.vars.colour is defined %}, {{ product.vars.colour }}{% else %} ~{% endif %}.",
        },
        "plain": {"products": ["mugs"], "text": "A {{ slot.front }} in {{ season ~ '-' ~ year }}."},
    },
    "outputs": {
        "resolution": ["1K", "2K"],
        "aspect_ratio": ["1:1", "9:16"],
        "format": ["png", "webp"],
        "variants": 2,
        "quality": {"webp": 80},
        "exclude": [{"resolution": "2K", "aspect_ratio": "9:16"}, {"product": "m*", "tag": ["hero"]}],
        "include": [{"product": "mug", "prompt": "plain", "aspect_ratio": "21:9"}],
        "path": "{{ product.id }}/{{ prompt.id }}/{{ vary }}_{{ aspect_ratio }}_{{ resolution }}{{ variant }}.{{ext }}",
        "folder": "out/c",
    },
    "budget": {"usd": 40, "run_usd": 10},
}
"""A valid manifest with nearly every key there is."""
BOWLS = "id;name;images.front;vars.colour;tags\nbowl;Big bowl;mug.png;green;a b\n"

_WORDS = [
    *("", " ", "\0", "\n", "\x1b[2J", "\u202e", "\u2028", "\ufeff", "\ud800", "é", "e\u0301", "／", "\U0001f600"),
    *(
        "..",
        "../x",
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/mem",
        "C:\\x",
        "CON",
        "nul.png",
        ".pipeline",
        "report.html",
    ),
    *("mug.png", "bowls.csv", "m.yaml", ".", "https://", "https://[", "https://a:99999999/", "file:///etc/passwd"),
    *(
        "{{",
        "}}",
        "{% if %}",
        "{{ ''.__class__ }}",
        "{{ a * 10**9 }}",
        "{{ product }}",
        "{{ nope }}",
        "{{ 1/0 }}",
        "{#",
    ),
    *("@Image", "@Image0", "@Image99999999999999999999", "@image 1", "@Image1@Image2", "*", "[", "[!", "?*" * 20),
    *("null", "yes", "1_000", "0x1F", "1e400", ".inf", ".nan", "16:9", "2001-01-01", "<<", "&a", "*a", "!!str", "---"),
    *("x" * 300, "x" * 3000, "{{ a }}" * 300, "[" * 200, "</script><script>alert(1)</script>", "version", "products"),
]
_NUMBERS = [0, -1, 1, 2, 100, 101, 2**31, 2**63, 2**64, 10**299, -(10**299), 0.1, -0.0, 1e308, 5e-324]
_WAYS = ["replace", "alike", "alike", "alike", "remove", "rename", "nest", "exchange", "repeat"]
_SCALARS = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from([*_NUMBERS, True, False, None]),
    st.text(max_size=20),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_WORDS) | st.text(max_size=8), inner),
    max_leaves=8,
)


def _places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The key paths of a tree, from the top."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(place for key, value in inner for place in _places(value, (*at, key)))]


@st.composite
def spoilt_trees(draw: st.DrawFn) -> str:  # noqa: C901  # one short case per way
    """The good manifest with some of its parts replaced, removed, renamed, doubled or exchanged; as YAML."""
    tree = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        places = _places(tree)
        *above, last = draw(st.sampled_from(places[1:] or [(None,)]))
        node: Any = tree
        for part in above:
            node = node[part]
        if last is None:
            break
        match draw(st.sampled_from(_WAYS)):
            case "replace":
                node[last] = draw(_ANYTHING)
            case "alike" if isinstance(node[last], str):  # of the same kind, and so past the schema now and then
                word = draw(st.sampled_from(_WORDS) | st.text(max_size=20))
                node[last] = draw(st.sampled_from([word, node[last] + word, f"{word} {node[last]}"]))
            case "alike" if isinstance(node[last], int | float):
                node[last] = draw(st.sampled_from(_NUMBERS) | st.integers(0, 200))
            case "remove":
                del node[last]
            case "rename" if isinstance(node, dict):
                node[draw(st.sampled_from(_WORDS) | st.text(max_size=8))] = node.pop(last)
            case "nest":
                node[last] = draw(st.sampled_from([[node[last]], {"x": node[last]}, [[[node[last]]]]]))
            case "exchange":
                other: Any = tree
                for part in draw(st.sampled_from(places)):
                    if not isinstance(other, dict | list) or (part not in other if isinstance(other, dict) else False):
                        break
                    other = other[part]
                node[last] = copy.deepcopy(other)
            case "repeat" if isinstance(node[last], str) and len(node[last]) < 500:
                node[last] *= draw(st.sampled_from([2, 10, 100]))
    return json.dumps(tree, indent=draw(st.sampled_from([None, 1])), ensure_ascii=False)


@st.composite
def spoilt_bytes(draw: st.DrawFn) -> bytes:
    """The good manifest as block YAML with some bytes changed, removed, put in or moved."""
    data = bytearray(_block(GOOD).encode())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["change", "remove", "insert", "move", "cut"])):
            case "change":
                data[at] = draw(st.integers(0, 255))
            case "remove":
                del data[at : at + draw(st.integers(1, 40))]
            case "insert":
                data[at:at] = draw(st.sampled_from(_WORDS)).encode("utf-8", "surrogatepass") + draw(
                    st.binary(max_size=4)
                )
            case "move":
                piece = data[at : at + draw(st.integers(1, 80))]
                del data[at : at + len(piece)]
                to = draw(st.integers(0, len(data)))
                data[to:to] = piece
            case "cut":
                del data[max(at, 20) :]
        if not data:
            data = bytearray(b" ")
    return bytes(data)


def _block(node: Any, indent: int = 0) -> str:
    """A tree as block YAML."""
    lead = "\n" + "  " * indent
    if isinstance(node, dict) and node:
        return "".join(f"{lead}{key}: {_block(value, indent + 1)}" for key, value in node.items())
    if isinstance(node, list) and node:
        return "".join(f"{lead}- {_block(value, indent + 1)}" for value in node)
    return json.dumps(node)
