"""The wire of :mod:`soak.world`: a lane's connections, in memory, with the faults of a script."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from fakes.accounts import Account, Job

from pipeline.engine.lane import MAX_WAIT
from pipeline.errors import LostAnswer, TryLater
from pipeline.network import Departure
from pipeline.types import Answer, Call, Provider
from soak.script import MISREAD, TAG, Free, Killed, Paid, Run

if TYPE_CHECKING:
    from soak.world import World


@dataclass(frozen=True)
class Late:
    """A paid call that the client has given up, and that arrives all the same."""

    provider: str
    call: Call
    fault: Paid
    run: Run

    def land(self, world: World, at: float) -> None:
        """It is accepted, unless the gateway knows it already."""
        account = world.accounts[self.provider]
        if account.known(self.call) is None:
            world.billed(accept(account, self.call, self.fault, at), self.provider, self.run)


def accept(account: Account, call: Call, fault: Paid, at: float) -> Job:
    return account.accept(call, call.headers[TAG], fault.fate, fault.seconds, fault.lag, at)


class MemoryWire:
    """A lane's connections, in memory."""

    def __init__(self, world: World, provider: Provider) -> None:
        self.world, self.provider = world, provider
        self.account = world.accounts[provider.name]

    async def close(self) -> None:
        """There is nothing to close."""

    async def send(self, call: Call, departure: Departure | None = None) -> Answer:
        """One exchange, as :meth:`pipeline.engine.wire.Wire.send` has it."""
        world, name = self.world, self.provider.name
        if not world.alive:
            raise Killed
        world.arrive()
        world.leaving(call, name)
        world.point("send")
        try:
            with anyio.fail_after(call.seconds):
                answer = await (self.paid(call) if call.paid else self.free(call))
        except TimeoutError:
            self.doubt(call)
            raise LostAnswer(f"no whole answer within {call.seconds:g} s") from None
        except LostAnswer:
            self.doubt(call)
            raise
        if not world.alive:
            raise Killed
        if answer.status >= 500 or answer.status == 408 or not answer.json:
            self.doubt(call)
        world.point("answer")
        self.held(answer)
        return answer

    def doubt(self, call: Call) -> None:
        """Its answer is lost."""
        if call.paid:
            self.world.run_.doubtful.add(call.headers[TAG])

    def held(self, answer: Answer) -> None:
        """A ``Retry-After`` that is delivered holds the lane."""
        after = answer.headers.get("retry-after")
        if after is None or answer.status not in (429, 503):
            return
        run, now = self.world.run_, self.world.clock.now
        try:
            wait = float(after)
        except ValueError:
            wait = email.utils.parsedate_to_datetime(after).timestamp() - self.world.clock.unix()
        run.not_before[self.provider.name] = max(
            run.not_before.get(self.provider.name, 0.0), now + min(MAX_WAIT, max(0.0, wait))
        )

    async def paid(self, call: Call) -> Answer:
        """A paid call: not sent, refused for now or for good, or accepted; then answered, or not."""
        run, account = self.world.run_, self.account
        run.points["paid"] += 1
        fault = run.paid.popleft() if run.paid else Paid()
        if run.script.refused and self.world.clock.unix() < run.since + run.script.refused[1]:
            fault = run.script.refused[0]
        if refusal := await self.arrived(fault):
            return refusal
        match fault.kind:
            case "reset-before":
                raise LostAnswer("the connection broke (ReadError)")
            case "late":
                self.world.late.append((self.world.clock.now + fault.after, Late(self.provider.name, call, fault, run)))
                raise LostAnswer("the connection broke (ReadError)")
            case "refused" if account.known(call) is None:
                return account.refused(call)
        job = account.known(call)
        known = job is not None
        if job is None:
            job = accept(account, call, fault, self.world.clock.now)
            self.world.billed(job, self.provider.name, run)
            self.world.point("accepted")
        await anyio.sleep(min(max(job.ready - self.world.clock.now, 0.0), 10**6) if account.waits else 0.05)
        self._alive()
        match fault.kind:
            case "reset-after":
                raise LostAnswer("the connection broke (ReadError)")
            case "garbage" | "empty" | "500" | "502" | "504" | "408":
                return spoilt(fault.kind)
            case "slow":
                await anyio.sleep(call.seconds)
        return account.again(job) if known else account.accepted(job)

    async def arrived(self, fault: Paid | Free) -> Answer | None:
        """A call on its way to the gateway: not sent, refused for now, or there."""
        await anyio.sleep(0.05)
        self._alive()
        match fault.kind:
            case "unsent":
                raise TryLater("can't reach the gateway (ConnectError)")
            case "429" | "503" | "429-date" | "429-bare" | "503-bare" | "503-unpaid" | "401" | "402":
                return self.not_now(fault.kind, fault.after)
        return None

    def _alive(self) -> None:
        if not self.world.alive:
            raise Killed
        self.world.arrive()

    async def free(self, call: Call) -> Answer:
        """A poll, or a search of a log."""
        run = self.world.run_
        fault = run.free.popleft() if run.free else Free()
        if self.provider.name.startswith("fake") and fault.kind in MISREAD:
            fault = Free("500")
        if refusal := await self.arrived(fault):
            return refusal
        match fault.kind:
            case "reset":
                raise LostAnswer("the connection broke (ReadError)")
            case "garbage" | "empty" | "404" | "500":
                return spoilt(fault.kind)
            case "slow":
                await anyio.sleep(call.seconds)
        return self.account.ask(call)

    def not_now(self, kind: str, after: float) -> Answer:
        """A refusal of the moment."""
        status, _, how = kind.partition("-")
        if how == "unpaid":  # as AIML API words an error that is not billed
            return Answer(int(status), {}, {"message": "not now", "path": "/v1/images/generations"})
        if how == "bare" or status in ("401", "402"):
            return Answer(int(status), {}, {"error": "not now"})
        text = email.utils.formatdate(self.world.clock.unix() + after, usegmt=True) if how == "date" else f"{after:g}"
        return Answer(int(status), {"retry-after": text}, {"error": "not now"})


def spoilt(kind: str) -> Answer:
    """An answer that says nothing: no JSON, an empty one, or a status alone."""
    return Answer(int(kind) if kind.isdecimal() else 200, {}, {} if kind == "empty" else None)
