"""``pipeline emulate``: the gateways, emulated on this machine for as long as the command runs.

What a shell can read goes to standard output; what people read, the bill too, to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline.cli.clients import clients, rows
from pipeline.cli.console import Console
from pipeline.cli.parser import LATENCY
from pipeline.cli.show import table
from pipeline.errors import PipelineError, UsageError
from pipeline.schema import did_you_mean
from pipeline.types import Json, dollars

if TYPE_CHECKING:
    from pipeline.emulator import Emulator, Fault, Settings

KEY = "emulated"
"""The key that is printed: any is taken, unless ``--accept-key`` names the only one."""

_LIMITS = ("concurrent", "creates_per_minute")
_WORDS = ("gateway", "at", "kind", "nth", "every", "chance", "value")  # of a fault
_LEAVE = 1.5  # seconds: whoever ended it does not wait for a picture that is still being drawn

_Scripted = tuple[str, "Fault"]  # the gateway that it hits (empty: every one), and the fault


def emulate(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline emulate``."""
    gateways = _gateways(arguments.gateway)
    if arguments.list:
        _list(gateways, arguments, console)
        return 0
    settings = _settings(gateways, arguments)
    faults = _faults(gateways, arguments)
    with _told_to_end() as told, contextlib.ExitStack() as stack:
        emulator = _start(settings, stack)
        for gateway in gateways:
            emulator.faults(gateway, [fault for at, fault in faults if at in ("", gateway)])
        _say_ready(emulator, arguments, console)
        told.get()
        bound = threading.Timer(_LEAVE, os._exit, (0,))
        bound.daemon = True
        bound.start()
        if sys.stderr.isatty():
            console.note("")  # the terminal has written ^C
        for line in _bill(emulator):
            console.note(line)
    bound.cancel()
    return 0


@contextlib.contextmanager
def _told_to_end() -> Iterator[queue.SimpleQueue[int]]:
    """A queue of the signals that ask for the end. It may be filled by a handler at any moment, unlike an event."""
    told: queue.SimpleQueue[int] = queue.SimpleQueue()

    def tell(number: int, _: FrameType | None) -> None:
        told.put(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # else it is to outlive its terminal
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, tell) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(settings: Settings, stack: contextlib.ExitStack) -> Emulator:
    from pipeline.emulator import serve

    first, last = settings.port, settings.port + len(settings.gateways)
    if last > 65535:
        raise UsageError(f"--port {first}: the ports {first} to {last} are needed, and 65535 is the last there is")
    try:
        return stack.enter_context(serve(settings))
    except OSError as error:
        where = f"the ports {first} to {last}" if first else "a free port"
        raise PipelineError(
            f"can't listen on {where} of {settings.host}: {error.strerror or error}; "
            "choose another --port, or none for any free ones"
        ) from None


# ── what is printed ─────────────────────────────────────────────────────────────────────────────


def _say_ready(emulator: Emulator, arguments: argparse.Namespace, console: Console) -> None:
    from pipeline.gateways import DIALECTS

    variables: dict[str, Json] = {}
    for gateway, url in emulator.urls.items():
        variables[f"{gateway.upper()}_BASE_URL"] = url
        if arguments.accept_key is None:
            variables[DIALECTS[gateway].key] = KEY
    if arguments.json:
        console.bare = True
        console.answer = {
            "urls": dict(emulator.urls),
            "control": emulator.control,
            "environment": variables,
            "clients": clients(emulator.urls),
        }
        console.deliver(0)
    else:
        for name, value in variables.items():
            console.result(f"export {name}={shlex.quote(str(value))}")
    sys.stdout.flush()
    console.note(f"emulating {', '.join(emulator.urls)} on this machine; Ctrl-C ends and shows the bill")
    console.note(f"bills, logs and faults over HTTP: curl {emulator.control}/{next(iter(emulator.urls))}/bill")
    official = [("official client", "what leads it here", ""), *rows(emulator.urls)]
    for line in table(official) if len(official) > 1 else ():
        console.note(line)
    if arguments.accept_key is not None:
        names = ", ".join(DIALECTS[gateway].key for gateway in emulator.urls)
        console.note(f"only the key of --accept-key is accepted: put it into {names}")
    console.warn(
        "a run with these variables puts the emulator's pictures and dollars into the campaign's real output folder\n"
        "and ledger: use it with a copy of the campaign, or `pipeline run --emulate`"
    )


def _bill(emulator: Emulator) -> Iterator[str]:
    rows = [("gateway", "requests", "pictures", "billed", "most creates a minute", "peak in flight", "rejected")]
    for gateway in emulator.urls:
        bill = emulator.bill(gateway)
        rows.append(
            (
                gateway,
                f"{bill['requests']:,}",
                f"{bill['pictures']:,}",
                dollars(bill["usd_micro"]),
                f"{bill['most_creates_per_minute']:,}",
                f"{bill['peak_in_flight']:,}",
                f"{bill['rejected_rate'] + bill['rejected_concurrency']:,}",
            )
        )
    return table(rows, right=range(1, 7))


def _list(gateways: tuple[str, ...], arguments: argparse.Namespace, console: Console) -> None:
    from pipeline.emulator.account import LIMITS
    from pipeline.emulator.switches import FAULT_KINDS, SWITCHES

    switches = {name: switch for name, switch in SWITCHES.items() if name.partition(".")[0] in (*gateways, "webhooks")}
    limits = {f"{owner}.{name}": LIMITS.get(owner, {}).get(name) for owner in gateways for name in _LIMITS}
    if arguments.json:
        told = {
            "switches": {
                name: {
                    "choices": list(switch.choices),
                    "amount": switch.amount or None,
                    "meaning": switch.meaning,
                    "source": switch.source,
                }
                for name, switch in switches.items()
            },
            "faults": {kind: {"value": value or None, "meaning": text} for kind, (value, text) in FAULT_KINDS.items()},
            "limits": limits,
            "latency": {name: list(seconds) for name, seconds in LATENCY.items()},
        }
        console.answer = told
        return
    rows: list[tuple[str, ...]] = [("--switch", "choices, the default first", "what it decides", "by which documents")]
    rows += [(name, switch.shown, switch.meaning, switch.source) for name, switch in switches.items()]
    _print_table(rows if console.verbose else [row[:3] for row in rows], console)
    kinds = ((kind, value, text) for kind, (value, text) in FAULT_KINDS.items())
    _print_table([("--fault kind=", "value=", "what happens"), *kinds], console)
    console.result(
        "with at=submit, poll, picture or upload; one of nth=1,4 every=20 chance=0.05; gateway=… for one only"
    )
    console.result()
    _print_table(
        [("--limit", "as published"), *((name, str(most or "none")) for name, most in limits.items())], console
    )
    profiles = ((name, f"{least:g}-{most:g}") for name, (least, most) in LATENCY.items())
    _print_table([("--latency", "seconds"), *profiles], console)
    if not console.verbose:
        console.note("-v adds the documents that a switch comes from")


def _print_table(rows: Sequence[tuple[str, ...]], console: Console) -> None:
    head, *lines = table(rows)
    console.result(console.style(head, "dim"))
    for line in lines:
        console.result(line)
    console.result()


# ── what was asked ──────────────────────────────────────────────────────────────────────────────


def _gateways(given: list[str]) -> tuple[str, ...]:
    from pipeline.emulator import GATEWAYS

    for name in given:
        if name not in GATEWAYS:
            raise UsageError(f"there is no gateway {name!r} to emulate; there is {', '.join(GATEWAYS)}")
    return tuple(dict.fromkeys(given)) or tuple(GATEWAYS)


def _settings(gateways: tuple[str, ...], arguments: argparse.Namespace) -> Settings:
    from pipeline.emulator import Settings

    key = arguments.accept_key
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key != ""):
        raise UsageError("--accept-key: that is no key; give one of printable ASCII, such as only-this-one")
    return Settings(
        gateways=gateways,
        port=arguments.port,
        speed=arguments.speed,
        latency=arguments.latency,
        pictures=arguments.pictures,
        key=key,
        url_seconds=arguments.url_seconds,
        limits=_limits(gateways, arguments.limit or ()),
        switches=_switches(gateways, arguments.switch or ()),
        seed=arguments.seed,
        moderated=arguments.moderated,
    )


def _split(option: str, given: str, example: str) -> tuple[str, str, str]:
    """``gateway.name=value`` in its three parts."""
    name, equals, value = given.partition("=")
    gateway, dot, rest = name.partition(".")
    if not (equals and dot):
        raise UsageError(f"{option} {given}: it is GATEWAY.NAME=VALUE, as {option} {example}")
    return gateway, rest, value


def _check_served(place: str, gateway: str, gateways: Iterable[str]) -> None:
    from pipeline.emulator import GATEWAYS

    if gateway not in GATEWAYS:
        raise UsageError(f"{place}: there is no gateway {gateway!r}; there is {', '.join(GATEWAYS)}")
    if gateway not in gateways:
        raise UsageError(f"{place}: {gateway} is not emulated here; name it too, or leave this out")


def _limits(gateways: tuple[str, ...], given: Iterable[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for text in given:
        gateway, name, value = _split("--limit", text, "eachlabs.concurrent=3")
        _check_served(f"--limit {text}", gateway, gateways)
        if name not in _LIMITS:
            raise UsageError(f"--limit {text}: there is no limit {name!r}; there is {', '.join(_LIMITS)}")
        if not value.isdecimal():
            raise UsageError(f"--limit {text}: {value!r} is no number; give 1 or more, or 0 for no limit")
        found.setdefault(gateway, {})[name] = int(value)
    return found


def _switches(gateways: tuple[str, ...], given: Iterable[str]) -> dict[str, str]:
    from pipeline.emulator.switches import SWITCHES

    found: dict[str, str] = {}
    for text in given:
        owner, name, value = _split("--switch", text, "eachlabs.status=seed")
        if owner != "webhooks":
            _check_served(f"--switch {text}", owner, gateways)
        switch = SWITCHES.get(f"{owner}.{name}")
        if switch is None:
            known = [each for each in SWITCHES if each.startswith(f"{owner}.")]
            raise UsageError(f"--switch {text}: there is no such switch; there is {', '.join(known)}")
        if not switch.takes(value):
            raise UsageError(f"--switch {text}: there is no choice {value!r}; there is {switch.shown}")
        found[f"{owner}.{name}"] = value
    return found


# ── faults ──────────────────────────────────────────────────────────────────────────────────────


def _faults(gateways: tuple[str, ...], arguments: argparse.Namespace) -> list[_Scripted]:
    """All scripted faults: those of the command line come before those of the file."""
    found: list[_Scripted] = []
    for text in arguments.fault or ():
        try:
            found.append(_scripted(_words(text), gateways))
        except (UsageError, ValueError) as error:
            raise UsageError(f"--fault {text!r}: {error}; `pipeline emulate --list` shows all kinds") from None
    if arguments.faults:
        for number, document in enumerate(_read(arguments.faults), 1):
            try:
                found.append(_scripted(document, gateways))
            except (UsageError, ValueError) as error:
                raise PipelineError(f"{arguments.faults}: fault {number}: {error}") from None
    return found


def _read(file: str) -> list[Any]:
    try:
        found = json.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise PipelineError(f"--faults {file}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise PipelineError(f"{file}:{error.lineno}:{error.colno}: this is no JSON: {error.msg}") from None
    except ValueError:
        raise PipelineError(f"{file}: this is no JSON: it must be text in UTF-8") from None
    if not isinstance(found, list):
        raise PipelineError(f'{file}: it must be a list, as [{{"at": "submit", "kind": "429", "every": 5}}]')
    return found


def _words(text: str) -> dict[str, Json]:
    """``at=submit kind=429 nth=1,4`` as a JSON object; a value with spaces stands in quotes."""
    found: dict[str, Json] = {}
    for word in shlex.split(text):
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is not KEY=VALUE")
        if key in found:
            raise ValueError(f"{key} is there twice")
        try:
            match key:
                case "nth":
                    found[key] = [int(number) for number in value.split(",")]
                case "every":
                    found[key] = int(value)
                case "chance":
                    found[key] = float(value)
                case _:
                    found[key] = value
        except ValueError:
            kind = {"nth": "whole numbers, as nth=1,4", "every": "a whole number, as every=20"}
            raise ValueError(f"{key} is {kind.get(key, 'a number, as chance=0.05')}, not {value!r}") from None
    return found


def _scripted(document: Any, gateways: tuple[str, ...]) -> _Scripted:  # noqa: ANN401  # JSON of a user's
    """A fault and the gateway that it hits."""
    from pipeline.emulator import Fault
    from pipeline.emulator.switches import FAULT_KINDS

    if not isinstance(document, Mapping):
        raise ValueError('it must be an object, as {"at": "submit", "kind": "429", "every": 5}')
    for key in document:
        if key not in _WORDS:
            raise ValueError(f"there is no {key!r} in a fault; {did_you_mean(key, _WORDS)}")
    if not {"at", "kind"} <= set(document):
        raise ValueError("it needs at= and kind=, as in 'at=submit kind=reset-after every=20'")
    gateway = str(document.get("gateway", ""))
    if gateway:
        _check_served("gateway", gateway, gateways)
    fault = Fault.of({key: value for key, value in document.items() if key != "gateway"})
    if sum(key in document for key in ("nth", "every", "chance")) > 1:
        raise ValueError("it hits by one of nth, every and chance")
    if any(number < 1 for number in fault.nth) or fault.every < 0 or not 0 <= fault.chance <= 1:
        raise ValueError("requests are counted from 1, and a chance is at most 1")
    if fault.value and not FAULT_KINDS[fault.kind][0]:
        raise ValueError(f"{fault.kind} takes no value")
    return gateway, fault
