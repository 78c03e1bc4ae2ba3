"""The head of a contact sheet: its figures, its bar of states, and what it says of all its pictures."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pipeline.report.view import STATES, DecisionView, SheetView, State
from pipeline.votes import moment

PROOFS = "Proofs: made offline by the local provider, not by the model."
REHEARSAL = "Rehearsal: made by an emulator of the gateways, not by the model. Nothing was paid."


class Total(NamedTuple):
    """One figure of the header; ``tone`` is the state or decision that colours it."""

    name: str
    value: str
    tone: str = ""


def states(sheet: SheetView) -> Counter[State]:
    """How many cells are in each state."""
    return Counter(cell.state for tile in sheet.tiles for cell in tile.cells)


def notice(sheet: SheetView) -> str:
    """What is to be known of all pictures together: that they are proofs, or of a rehearsal."""
    if sheet.rehearsal:
        return REHEARSAL
    made = [tile for tile in sheet.tiles if tile.state == "done"]
    return PROOFS if made and all(tile.proof for tile in made) else ""


def totals(sheet: SheetView, counts: Counter[State]) -> list[Total]:
    """The figures: what is rare only when there is any, money only when it means anything."""
    found = [
        Total("pictures", f"{sheet.pictures:,}"),
        Total("cells", f"{counts.total():,}"),
        Total("done", f"{counts['done']:,}"),
        *(
            Total(state, f"{counts[state]:,}", state if counts[state] else "")
            for state in STATES[1:]
            if counts[state] or state in ("failed", "missing")
        ),
        *(Total(word, f"{number:,}", word) for word, number in _decided(sheet).items() if number),
    ]
    if sheet.tiles and all(tile.proof for tile in sheet.tiles) and not (sheet.spent_usd or sheet.refusals_usd):
        return found
    spent = "would cost" if sheet.rehearsal else "spent"
    found.append(Total(spent, money(sheet.spent_usd)))
    found += [Total("perhaps billed for refusals", money(sheet.refusals_usd))] if sheet.refusals_usd else []
    return [*found, Total("saved", money(sheet.saved_usd))]


def _decided(sheet: SheetView) -> dict[str, int]:
    """How many of the pictures that are here are approved, and rejected: of their current takes, by the newest."""
    shown = {tile.key: tile.sha for tile in sheet.tiles} if sheet.decisions else {}
    words: Counter[str] = Counter()
    for key, said in sheet.decisions.items():
        decided = [each for each in said if each.sha and each.sha == shown.get(key) and each.decision]
        words.update([max(decided, key=_said_at).decision] if decided else [])
    return {word: words[word] for word in ("approved", "rejected")}


def _said_at(each: DecisionView) -> tuple[tuple[str, str], str]:
    """When somebody decided; of one moment the rejection, as ``pipeline.votes`` has it."""
    return moment(dict(each.times).get("decision", each.when)), each.decision


def bar(counts: Counter[State]) -> list[tuple[State, float, float]]:
    """(state, start, length) in per mille of all cells, or nothing when everything is done."""
    total, start = counts.total(), 0.0
    parts: list[tuple[State, float, float]] = []
    for state in STATES:
        if counts[state]:
            length = 1000 * counts[state] / total
            parts.append((state, round(start, 2), round(length, 2)))
            start += length
    return parts if len(parts) > 1 or (parts and parts[0][0] != "done") else []


def money(usd: float) -> str:
    """US dollars with the tenths of a cent that one picture's price needs: 0.028 is $0.028."""
    return f"${usd:,.3f}" if usd < 1 and round(usd * 1000) % 10 else f"${usd:,.2f}"
