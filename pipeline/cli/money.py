"""``pipeline status --money``: what a campaign has cost, from its ledger alone."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

from pipeline.cli.console import Console
from pipeline.cli.show import refusals_words, table
from pipeline.ledger import Account, Ledger
from pipeline.types import dollars

_MONEY = ("spent", "reserved", "uncertain", "saved", "refusals")
_MOST_ROWS = 31


def show_money(ledger: Ledger | None, console: Console, *, as_csv: bool, as_json: bool) -> None:
    """Print the accounts: three tables for people, all rows for scripts and for accounting."""
    accounts = list(ledger.accounts()) if ledger else []
    if as_csv:
        _write_csv(accounts)
    elif as_json:
        rows = [_plain(account) for account in accounts]
        kept = ledger.kept() / 1e6 if ledger else 0.0
        console.bare = True  # rows for accounting
        console.answer = {"accounts": rows, "saved_by_later_runs_usd": kept}
    else:
        for line in _lines(accounts, ledger.kept() if ledger else 0, console):
            console.result(line)


def _plain(account: Account) -> dict[str, str | int | float]:
    """An account with its amounts in dollars."""
    values = asdict(account)
    return {f"{n}_usd" if n in _MONEY else n: v / 1e6 if n in _MONEY else v for n, v in values.items()}


def _write_csv(accounts: Iterable[Account]) -> None:
    names = [f"{name}_usd" if name in _MONEY else name for name in Account.__slots__]
    out = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    out.writeheader()
    for account in accounts:
        out.writerow({n: f"{v:.6f}" if isinstance(v, float) else v for n, v in _plain(account).items()})


def _lines(accounts: list[Account], kept: int, console: Console) -> Iterator[str]:
    if not accounts:
        yield "nothing was asked for yet"
        return
    yield from _grouped("provider", lambda account: account.provider or "?", accounts, console)
    yield from _grouped("product", _product, accounts, console)
    yield from _grouped("day", lambda account: account.day, accounts, console)
    total = [sum(getattr(account, name) for account in accounts) for name in _MONEY]
    spent, reserved, uncertain, saved = map(dollars, total[:4])
    perhaps = "".join(f" · {words}" for words in [refusals_words(total[4])] if words)
    yield console.style(f"spent {spent}", "bold") + f" · reserved {reserved} · uncertain {uncertain}{perhaps}"
    yield f"saved {saved} by formats that share a picture, {dollars(kept)} by runs that found pictures made already"


def _product(account: Account) -> str:
    """Whose pictures they are; of which set, a ledger of an earlier version doesn't say."""
    return "/".join(filter(None, (account.product_set, account.product))) or "?"


def _grouped(title: str, group: Callable[[Account], str], accounts: list[Account], console: Console) -> Iterator[str]:
    """A table of one line per group; of very many the last ones, unless all are asked for."""
    groups: dict[str, list[Account]] = {}
    for account in accounts:
        groups.setdefault(group(account), []).append(account)
    rows = [
        (
            name,
            *(f"{sum(getattr(account, what) for account in members):,}" for what in ("requests", "pictures")),
            *(dollars(sum(getattr(account, what) for account in members)) for what in _MONEY),
        )
        for name, members in sorted(groups.items())
    ]
    shown = rows if console.verbose else rows[-_MOST_ROWS:]
    lines = list(table([(title, "requests", "pictures", *_MONEY), *shown], right=range(1, 8)))
    yield console.style(lines[0], "dim")
    if len(shown) < len(rows):
        yield console.style(f"… and {len(rows) - len(shown):,} before these (-v shows all)", "dim")
    yield from lines[1:]
    yield ""
