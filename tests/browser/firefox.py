"""Debian's Firefox, driven headless over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Playwright's own Firefox is a patched build that no package brings; its way to a plain one (channel ``moz-firefox``)
needs a command that the ESR doesn't know yet (``emulation.setMediaFeaturesOverride``). Firefox itself speaks BiDi on a
socket, and the little of it that tests need is here.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fakes.work import HANGS
from websockets.sync.client import ClientConnection, connect

ANSWER = HANGS  # seconds until a command without an answer is a failure
# Names of keys (as in KeyboardEvent.key) and their code points: WebDriver, section "Keyboard actions".
KEYS = {
    "Backspace": "\ue003",
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Shift": "\ue008",
    "Control": "\ue009",
    "Alt": "\ue00a",
    "Escape": "\ue00c",
    "PageUp": "\ue00e",
    "PageDown": "\ue00f",
    "End": "\ue010",
    "Home": "\ue011",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
    "Delete": "\ue017",
    "Space": " ",
}
# What breaks the content security policy stands in Firefox's console, but in no BiDi event: it is logged again.
BREACHES = """() => addEventListener("securitypolicyviolation",
    (event) => console.error(`CSP ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`))"""


class Refused(Exception):
    """Firefox answered a command with an error, or a script threw."""


@dataclass
class Firefox:
    """One tab, with every console error, warning, exception and network request of what was opened last."""

    socket: ClientConnection
    context: str = ""
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def start(self) -> None:
        """Begin the session, and listen."""
        self.command("session.new", capabilities={})
        self.command("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.command("script.addPreloadScript", functionDeclaration=BREACHES)
        self.context = self.command("browsingContext.getTree")["contexts"][0]["context"]

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; events that come before it are noted."""
        number = next(self._numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=ANSWER))
            if message["type"] == "event":
                self._note(message["method"], message["params"])
            elif message.get("id") == number:
                if message["type"] == "error":
                    raise Refused(f"{method}: {message['message']}")
                return message["result"]

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "network.beforeRequestSent":
            url = event["request"]["url"]
            self.requests += [] if url.startswith("data:") else [url]
        elif event["level"] in ("error", "warn"):
            self.errors.append(event["text"])

    def open(self, path: Path, fragment: str = "", width: int = 1280, height: int = 800) -> None:
        """Open a file in a window of this size, and return when it and what it asks for are loaded."""
        self.command("browsingContext.navigate", context=self.context, url="about:blank", wait="complete")
        self.command("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})
        self.errors.clear()
        self.requests.clear()
        url = path.absolute().as_uri() + fragment
        self.command("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def reload(self) -> None:
        """Load the page again."""
        self.command("browsingContext.reload", context=self.context, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression (of a promise: what it becomes) as JSON has it."""
        answer = self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self.context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise Refused(answer["exceptionDetails"]["text"].rpartition("for exception: ")[2])
        return json.loads(answer["result"].get("value", "null"))

    def wait_for(self, condition: str, seconds: float = HANGS) -> None:
        """Return when a JavaScript condition holds; fail when it doesn't in time."""
        late = json.dumps(f"not in {seconds:g} s: {condition}")
        self.evaluate(
            f"new Promise((done, fail) => {{ const end = performance.now() + {seconds * 1000}; const look = () => "
            f"({condition}) ? done(true) : performance.now() > end ? fail(new Error({late})) : setTimeout(look, 20); "
            "look(); })"
        )

    def press(self, *keys: str) -> None:
        """Press keys one after another, each with its modifiers: ``press("j", "Shift+ArrowRight")``."""
        for key in keys:
            parts = [KEYS.get(part, part) for part in re.split(r"(?<=.)\+", key)]
            actions = [{"type": "keyDown", "value": part} for part in parts]
            actions += [{"type": "keyUp", "value": part} for part in reversed(parts)]
            self._act({"type": "key", "id": "keyboard", "actions": actions})

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of the first element that the selector finds."""
        x, y = self.evaluate(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView("
            "{ block: 'nearest' }); const box = one.getBoundingClientRect(); "
            "return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)]; })()"
        )
        moves = [{"type": "pointerMove", "x": x, "y": y}, {"type": "pointerDown", "button": 0}]
        self._act({"type": "pointer", "id": "mouse", "actions": [*moves, {"type": "pointerUp", "button": 0}]})

    def _act(self, source: dict[str, Any]) -> None:
        self.command("input.performActions", context=self.context, actions=[source])


@contextmanager
def running(program: Path) -> Iterator[Firefox]:
    """A headless Firefox with a new profile; it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        rest = threading.Thread(target=process.stderr.read, daemon=True)  # a full pipe would stop Firefox
        try:
            address = _address(process.stderr)
            rest.start()
            with connect(address + "/session", proxy=None, max_size=None) as socket:
                firefox = Firefox(socket)
                firefox.start()
                yield firefox
                firefox.command("browser.close")
            process.wait(ANSWER)
        finally:
            process.kill()
            process.wait()
            if rest.ident:
                rest.join(ANSWER)
            process.stderr.close()


def _address(stderr: IO[str]) -> str:
    said = ""
    for line in stderr:
        said += line
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1]
    raise Refused(f"Firefox didn't start: {said}")
