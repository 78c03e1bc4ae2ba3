"""Numbers as they were written: a price of ``19.90`` is drawn as 19.90, and is still less than 20."""

from __future__ import annotations

from typing import Self, TypeAlias

Plain: TypeAlias = int | float | bool | None


class Written(str):
    """A number, a truth value or a null that is shown as it was written.

    It is a text in every way but three: it compares with numbers, and with others of its kind, by its ``value``; it
    equals both its text and its value; and it is as true as its value. A product list in a spreadsheet has no types,
    so a template can use ``{{ product.vars.price }}`` and ``{% if product.vars.price > 20 %}`` alike.
    """

    __slots__ = ("value",)
    value: Plain

    def __new__(cls, text: str, value: Plain) -> Self:
        """A value, and the text that says it."""
        made = super().__new__(cls, text)
        made.value = value
        return made

    def __getnewargs__(self) -> tuple[str, Plain]:  # type: ignore[override]  # a text has one argument, this has two
        """Survive a copy and the way to a worker process."""
        return str(self), self.value

    __hash__ = str.__hash__

    def __bool__(self) -> bool:
        """Whether the value is true: ``0``, ``false`` and ``null`` are not."""
        return bool(self.value)

    def __eq__(self, other: object) -> bool:
        """Equal to its text, and to its value."""
        if isinstance(other, Written):
            return str(self) == str(other) or (self.is_number and other.is_number and self.value == other.value)
        return str.__eq__(self, other) if isinstance(other, str) else self.value == other

    def __ne__(self, other: object) -> bool:
        """Not equal."""
        return not self == other

    def __lt__(self, other: object) -> bool:
        """Less, as a number beside a number, as a text beside a text."""
        mine, its = self._pair(other)
        return bool(mine < its)  # type: ignore[operator]  # Python says which kinds have no order

    def __le__(self, other: object) -> bool:
        """Less or equal."""
        mine, its = self._pair(other)
        return bool(mine <= its)  # type: ignore[operator]  # as above

    def __gt__(self, other: object) -> bool:
        """Greater."""
        mine, its = self._pair(other)
        return bool(mine > its)  # type: ignore[operator]  # as above

    def __ge__(self, other: object) -> bool:
        """Greater or equal."""
        mine, its = self._pair(other)
        return bool(mine >= its)  # type: ignore[operator]  # as above

    @property
    def is_number(self) -> bool:
        """Whether the value is a number."""
        return isinstance(self.value, int | float) and not isinstance(self.value, bool)

    def _pair(self, other: object) -> tuple[object, object]:
        if isinstance(other, Written):
            return (self.value, other.value) if self.is_number and other.is_number else (str(self), str(other))
        return (str(self), other) if isinstance(other, str) else (self.value, other)


def spelled(value: Plain) -> str:
    """How a program spells a number, a truth value or nothing: ``19.9``, ``true``, ``null``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def as_written(value: str | Plain, written: str) -> str | Plain:
    """A value of a manifest with its spelling (empty: as a program spells it); a text and a null stay what they are."""
    if isinstance(value, str) or (value is None and not written):
        return value
    return Written(written or spelled(value), value)


def is_respelled(value: Written) -> bool:
    """Whether a program would spell it in another way."""
    return value.value is None or str(value) != spelled(value.value)


def value_of(value: object) -> object:
    """A value without its spelling."""
    return value.value if isinstance(value, Written) else value
