"""What every campaign of the soak reports, and the one table of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEADS = ("campaign", "trials", "lost", "paid twice", "recorded twice", "uncertain", "seconds", "note")


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of a campaign, or of one part of it. Uncertain is no fault: it is told, priced, and not repeated."""

    name: str
    trials: int
    lost: int
    paid_twice: int
    recorded_twice: int
    uncertain: int
    seconds: float
    note: str = ""

    @property
    def bad(self) -> bool:
        """Whether it found what must never happen."""
        return bool(self.lost or self.paid_twice or self.recorded_twice)


def total(rows: Sequence[Row]) -> Row:
    """The sum of the rows."""
    bad = sum(row.bad for row in rows)
    return Row(
        "total",
        sum(row.trials for row in rows),
        sum(row.lost for row in rows),
        sum(row.paid_twice for row in rows),
        sum(row.recorded_twice for row in rows),
        sum(row.uncertain for row in rows),
        sum(row.seconds for row in rows),
        f"{bad} bad" if bad else "",
    )


def table(rows: Sequence[Row]) -> str:
    """The rows and their sum as aligned text; a bad row is marked."""
    lines = [HEADS, *(_cells(row) for row in rows), _cells(total(rows))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    texts = [_line(line, widths) for line in lines]
    rule = "─" * max(len(text) for text in texts)
    return "\n".join([texts[0], rule, *texts[1:-1], rule, texts[-1]])


def print_table(rows: Sequence[Row]) -> None:
    """Print the table of all campaigns."""
    print(table(rows))  # noqa: T201  # what it is for


def one_line(row: Row) -> str:
    """A row by itself, for while the soak goes on."""
    return (
        f"{row.name}: {row.trials} trials, lost {row.lost}, paid twice {row.paid_twice}, recorded twice "
        f"{row.recorded_twice}, uncertain {row.uncertain}, {row.seconds:.1f} s{'  BAD' if row.bad else ''}"
        f"{f'  ({row.note})' if row.note else ''}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    figures = (row.trials, row.lost, row.paid_twice, row.recorded_twice, row.uncertain)
    note = " ".join(filter(None, ["BAD" if row.bad else "", row.note]))
    return (row.name, *(str(figure) for figure in figures), f"{row.seconds:.1f}", note)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *figures, note = cells
    middle = "  ".join(cell.rjust(width) for cell, width in zip(figures, widths[1:-1], strict=True))
    return f"{first.ljust(widths[0])}  {middle}  {note}".rstrip()
