"""Progress of a run: a bar where a terminal is there, plain lines where not, nothing with ``-q``."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from pipeline.cli.console import Console
from pipeline.cli.show import count
from pipeline.engine import Event
from pipeline.types import dollars

_LINE_EVERY = 2.0
"""Seconds between plain lines, so that a log of 4,000 pictures stays readable."""


class Progress:
    """Pictures done and failed, what they cost, and the time left."""

    def __init__(self, console: Console, pictures: int) -> None:
        self.console = console
        self.total = pictures
        self.done = self.failed = self.usd = 0
        self.told: dict[str, str] = {}  # label of a request → why it made no picture
        self.bar: tqdm[Any] | None = None
        self._said = time.monotonic()
        if not console.quiet and sys.stderr.isatty() and pictures:
            self.bar = tqdm(
                total=pictures,
                unit="picture",
                file=sys.stderr,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}% |{bar}| {n_fmt} of {total_fmt} pictures{desc} · {remaining} left",
            )

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.close()

    def event(self, event: Event) -> None:
        """Take note of something that happened."""
        self.usd += event.usd
        if event.text and event.kind in ("failed", "uncertain", "pending"):
            self.told[event.label] = event.text
        if event.kind == "made":
            self.done += event.pictures
        elif event.kind == "failed":
            self.failed += event.pictures
            self.say(self.console.style(f"failed: {event.label}: {event.text}", "red", sys.stderr))
        elif event.kind == "uncertain":
            self.say(f"uncertain: {event.label}: {event.text}; perhaps paid, not asked again by itself")
        elif event.kind == "slow":
            self.say(f"provider {event.label}: {event.text}")
        elif event.kind == "lane":
            self.say(f"provider {event.label} stopped: {event.text}")
        elif event.text:
            self.say(f"not made: {event.label}: {event.text}")
        self.show(event)

    def interrupted(self, first: bool) -> None:
        """The user wants to leave: cleanly at first, then at once."""
        if first:
            self.say("\nstopping: no new requests; what is under way is recorded (Ctrl-C again leaves at once)")
        else:
            self.say("\nleft at once: run again to continue; nothing is paid twice")

    def say(self, text: str) -> None:
        """One line that stays, above the bar."""
        if self.bar is not None:
            tqdm.write(text, file=sys.stderr)
        else:
            self.console.note(text)

    def show(self, event: Event) -> None:
        """Move the bar, or print a line now and then."""
        failed = f"· {self.failed} failed " if self.failed else ""
        if self.bar is not None:
            self.bar.set_description_str(f" {failed}· {dollars(self.usd)}", refresh=False)
            self.bar.update(self.done + self.failed - self.bar.n)
            return
        now = time.monotonic()
        finished = self.done + self.failed >= self.total
        if event.kind == "made" and (finished or now - self._said >= _LINE_EVERY):
            self._said = now
            self.console.note(
                f"{self.done:,} of {count(self.total, 'picture')} {failed}· {dollars(self.usd)} · {event.label}"
            )
