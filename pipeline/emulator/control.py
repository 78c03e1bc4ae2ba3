"""The running emulator, and how to look at it and disturb it: by its methods, or over HTTP at its control port."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.emulator.account import Account
from pipeline.emulator.core import Fault, Gateway, Reply, Request, Settings
from pipeline.emulator.desk import Answer, Desk
from pipeline.emulator.server import Server
from pipeline.types import Json


class Emulator:
    """The running emulator: where its gateways listen, what they billed, and how to disturb them."""

    def __init__(self, settings: Settings, gateways: Mapping[str, Callable[[Account, Settings], Gateway]]) -> None:
        unknown = {*settings.gateways, *settings.limits} - set(gateways)
        if unknown:
            raise ValueError(f"unknown gateway {', '.join(sorted(unknown))}; there is {', '.join(gateways)}")
        self._accounts = {name: Account(name, settings) for name in settings.gateways}
        self._desks: dict[str, Desk] = {}
        self._servers: dict[str, Server] = {}
        try:
            for number, (name, account) in enumerate(self._accounts.items()):
                desk = Desk(gateways[name](account, settings), account, settings)
                port = settings.port and settings.port + number
                server = Server(settings.host, port, self._own(name, desk), account.rest)
                desk.refuse = server.pause
                self._desks[name], self._servers[name] = desk, server
            port = settings.port and settings.port + len(settings.gateways)
            self._control = Server(settings.host, port, self._controlled, time.sleep)
        except BaseException:
            self._close_gateways()
            raise
        self.urls = {name: server.base for name, server in self._servers.items()}
        self.control = self._control.base

    def account(self, gateway: str) -> Account:
        """A gateway's account."""
        return self._accounts[gateway]

    def bill(self, gateway: str) -> dict[str, Any]:
        """A gateway's own bill."""
        return self._accounts[gateway].bill()

    def log(self, gateway: str) -> list[Any]:
        """The last requests at a gateway."""
        return self._desks[gateway].log()

    def faults(self, gateway: str, faults: Iterable[Fault]) -> None:
        """Replace a gateway's scripted faults."""
        self._desks[gateway].set_faults(faults)

    def pause(self, gateway: str) -> None:
        """Let a gateway refuse connections."""
        self._servers[gateway].pause()

    def resume(self, gateway: str) -> None:
        """Let a gateway listen again."""
        self._servers[gateway].resume()

    def close(self) -> None:
        """Stop everything."""
        self._control.close()
        self._close_gateways()

    def _close_gateways(self) -> None:
        for account in self._accounts.values():
            account.close()
        for server in self._servers.values():
            server.close()

    def _own(self, name: str, desk: Desk) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            if request.path.startswith("/_emulator/"):
                return self._do([name], request), None
            return desk.answer(request)

        return answer

    def _controlled(self, request: Request) -> Answer:
        """Control: ``/{gateway}/bill`` and the like; ``/_emulator/…`` means every gateway."""
        name = request.path.strip("/").partition("/")[0]
        names = list(self._desks) if name == "_emulator" else [name]
        if not set(names) <= set(self._desks):
            return Reply(404, {"error": f"no gateway {name!r}; there is {', '.join(self._desks)}"}), None
        return self._do(names, request), None

    def _do(self, names: list[str], request: Request) -> Reply:
        told: dict[str, Json] = {}
        word = re.sub(r"^/[^/]*/", "", request.path)
        try:
            for name in names:
                match request.method, word:
                    case "GET", "bill":
                        told[name] = self.bill(name)
                    case "GET", "log":
                        told[name] = self.log(name)
                    case "POST", "faults":
                        given = request.json()
                        if not isinstance(given, list):
                            raise ValueError("faults are a JSON list of objects")
                        self.faults(name, [Fault.of(each) for each in given])
                        told[name] = {"faults": len(given)}
                    case "POST", "pause":
                        self.pause(name)
                        told[name] = {"paused": True}
                    case "POST", "resume":
                        self.resume(name)
                        told[name] = {"paused": False}
                    case _:
                        return Reply(404, {"error": "GET bill or log; POST faults, pause or resume"})
        except ValueError as error:
            return Reply(400, {"error": str(error)})
        return Reply(json=told[names[0]] if len(names) == 1 else told)


@contextmanager
def running(settings: Settings, gateways: Mapping[str, Callable[[Account, Settings], Gateway]]) -> Iterator[Emulator]:
    """Run the emulator for a while."""
    emulator = Emulator(settings, gateways)
    try:
        yield emulator
    finally:
        emulator.close()
