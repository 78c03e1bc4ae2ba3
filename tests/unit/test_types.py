"""Money and names as text, and the sizes of a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models import load_model
from pipeline.types import dollars, micro_usd, slug


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("breakfast table", "breakfast-table"),
        ("16:9", "16x9"),
        ("1:1 and 21:9", "1x1-and-21x9"),
        ("a:b", "a-b"),
        ("a.b_c-d", "a.b_c-d"),
        ("Grün & Blau", "Grün-Blau"),
        ("漢字", "漢字"),
        ("  x  ", "x"),
        ("a / b", "a-b"),
        ("../../etc", "etc"),
        ("a\\b\0c\n", "a-b-c"),
        ("--x..", "x"),
        ("..", "_"),
        ("", "_"),
        ("!?", "_"),
        ("x" * 81, "x" * 80),
        ("cafe\u0301", "caf\u00e9"),
        pytest.param("हिन्दी", "हिन्दी"),
    ],
)
def test_slug(text, name):
    """A slug keeps letters, digits and . _ -, writes ratios with an x, and is never empty."""
    assert slug(text) == name


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text())
def test_a_slug_is_one_safe_file_name(text):
    """No text makes a slug that is empty, hidden, long, or more than one path part."""
    name = slug(text)
    assert 1 <= len(name) <= 80
    assert name[0] not in ".-"
    assert not set(name) & set('/\\:*?"<>|\0 \n')
    assert name not in (".", "..")


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0.00"),
        (1_400_000, "$1.40"),
        (28_000, "$0.028"),
        (29_400, "$0.0294"),
        (1, "$0.000001"),
        (10_000_000, "$10.00"),
        (1_234_567_890, "$1,234.56789"),
        (1_000_000_000_000, "$1,000,000.00"),
    ],
)
def test_dollars(usd, text):
    """Money has two decimals at least, and more only where they say something."""
    assert dollars(usd) == text


@pytest.mark.parametrize(
    ("usd", "micro"),
    [
        (0, 0),
        (0.028, 28_000),
        (40, 40_000_000),
        (0.1 + 0.2, 300_000),
        (1.15, 1_150_000),
        (0.0000014, 1),
    ],
)
def test_micro_usd(usd, micro):
    """Dollars become whole micro-dollars."""
    assert micro_usd(usd) == micro


@given(st.integers(0, 10**12))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_money_survives_being_written(usd):
    """What is shown is exact."""
    assert micro_usd(float(dollars(usd).removeprefix("$").replace(",", ""))) == usd


@pytest.mark.parametrize(
    ("resolution", "ratio", "near", "size"),
    [
        ("1K", "16:9", 1.0, (1360, 768)),
        ("2K", "9:16", 1.0, (1536, 2720)),
        ("1K", "auto", 1.0, (1024, 1024)),
        ("1K", "auto", 1.7, (1360, 768)),
        ("2K", "auto", 0.66, (1664, 2496)),
        ("1K", "auto", 9.0, (1552, 656)),
    ],
)
def test_the_size_of_a_picture(resolution, ratio, near, size):
    """A ratio has its size in the model's table; auto has the nearest."""
    assert load_model("kling-image-o1").size(resolution, ratio, near) == size
