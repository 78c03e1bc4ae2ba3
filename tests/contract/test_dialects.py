"""The contract every gateway keeps. A new gateway is one more registration in ``GATEWAYS``, and nothing else.

The suite is tested itself: dialects that are broken on purpose must fail it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakes.dialect import FakeById, FakeWithoutId

from pipeline.errors import LaneStopped, LostAnswer, Refused, RequestError
from pipeline.gateways import DIALECTS, Dialect
from pipeline.gateways.local import Local
from pipeline.models import load_model
from pipeline.types import Answer, Call, Flow, Job, Json, Reference, RemoteImage, Spec

FAKE_MODEL = Path(__file__).parent.parent / "fakes/model.yaml"


@dataclass(frozen=True)
class Registered:
    """A dialect, the model that it serves, and what a gateway of its kind answers."""

    dialect: Dialect
    model: str
    accepted: Json = None
    running: Json = None
    done: Callable[[int], Json] = lambda _: None


def _fake(dialect: Dialect) -> Registered:
    return Registered(
        dialect,
        str(FAKE_MODEL),
        accepted={"job": "j-1"},
        running={"status": "running"},
        done=lambda count: {"status": "done", "images": [f"https://example.com/{n}.png" for n in range(count)]},
    )


GATEWAYS = [Registered(Local(), "kling-image-o1"), _fake(FakeById()), _fake(FakeWithoutId())]
NONSENSE: list[Json] = [None, [], {}, "no", 5, {"job": None}, {"status": 7}, {"status": "done"}, {"images": 3}, [[[]]]]


def job(gateway: Registered, count: int = 2, references: int = 1) -> Job:
    """A request for ``count`` pictures."""
    offer = load_model(gateway.model).offers[gateway.dialect.name]
    slots = tuple(Reference(f"product.{n}", f"https://example.com/{n}.png", f"{n}") for n in range(references))
    text = " and ".join(f"@Image{n + 1}" for n in range(references)) or "an empty table"
    spec = Spec("k" * 64, gateway.model, False, text, slots, "1K", "16:9", "png")
    return Job("7b7cbb0c-5a3f-4a4e-9d4b-6f0f7a3d0001", offer, "https://example.com", spec, count)


def drive(flow: Flow, answer: Callable[[Call, int], Answer], most: int = 50) -> tuple[list[Call], list[RemoteImage]]:
    """All calls of a flow, answered by ``answer(call, number)``, and its images."""
    calls: list[Call] = []
    try:
        call = next(flow)
        while len(calls) < most:
            calls.append(call)
            call = flow.send(answer(call, len(calls)))
    except StopIteration as done:
        return calls, done.value
    raise AssertionError("the flow doesn't end")


def play(gateway: Registered, work: Job) -> tuple[list[Call], list[RemoteImage]]:
    """A whole exchange with a gateway that accepts, says "running" once, and is done."""

    def answer(call: Call, number: int) -> Answer:
        body = gateway.accepted if call.paid else gateway.running if number == 2 else gateway.done(work.count)
        return Answer(200, {}, body)

    return drive(gateway.dialect.make(work), answer)


def check_pays_once(gateway: Registered) -> None:
    """One paid call where the offer has a price, none where it has none."""
    for count in (1, 2, 9):
        work = job(gateway, count)
        calls, images = play(gateway, work)
        assert sum(call.paid for call in calls) == (1 if work.offer.usd else 0)
        assert len(images) == count


def check_is_a_function_of_its_job(gateway: Registered) -> None:
    """The same job gives the same calls: no clock, no chance, nothing kept between flows."""
    for references in (1, 10):
        work = job(gateway, references=references)
        assert play(gateway, work) == play(gateway, work)


def check_continues_from_its_receipt(gateway: Registered) -> None:
    """After the receipt, whatever it asks is free."""
    calls, _ = play(gateway, job(gateway))
    first = next((number for number, call in enumerate(calls) if call.paid), len(calls))
    assert not any(call.paid for call in calls[first + 1 :])
    assert all(call.url.startswith("https://example.com/") for call in calls)


def check_sends_its_id(gateway: Registered) -> None:
    """Where a lost answer is settled by our id, the paid call carries it."""
    work = job(gateway)
    for call in play(gateway, work)[0]:
        if call.paid and gateway.dialect.settles == "id":
            assert work.id in str(call.json)


def check_nonsense_is_an_error(gateway: Registered) -> None:
    """Whatever a gateway answers, at whichever step, a flow ends in images or one of our errors."""
    for step in (1, 2):
        for nonsense in NONSENSE:

            def answer(call: Call, number: int, step: int = step, nonsense: Json = nonsense) -> Answer:
                good = gateway.accepted if call.paid else gateway.done(2)
                return Answer(200, {}, nonsense if number == step else good)

            try:
                drive(gateway.dialect.make(job(gateway)), answer)
            except LostAnswer:
                pass
            except RequestError as error:
                # What says nothing of the request's fate must not be taken for a refusal: it may be billed.
                if step == 1 and gateway.accepted:
                    raise AssertionError(f"{nonsense!r} became {type(error).__name__}") from error
            except AssertionError:
                raise
            except Exception as error:
                raise AssertionError(f"{nonsense!r} at step {step}: {error!r}") from error


def check_statuses(gateway: Registered) -> None:
    """A bad key or an empty account stops the lane; a refused request fails its picture."""
    for status, expected in ((401, LaneStopped), (402, LaneStopped), (403, LaneStopped), (422, Refused)):
        if not job(gateway).offer.usd:
            continue
        try:
            drive(
                gateway.dialect.make(job(gateway)),
                lambda call, number, status=status: Answer(status, {}, {"error": "x"}),
            )
        except expected:
            continue
        except RequestError as error:
            raise AssertionError(f"{status} became {type(error).__name__}") from error
        raise AssertionError(f"{status} passed unnoticed")


CHECKS = [
    check_pays_once,
    check_is_a_function_of_its_job,
    check_continues_from_its_receipt,
    check_sends_its_id,
    check_nonsense_is_an_error,
    check_statuses,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.dialect.name)
def test_contract(gateway: Registered, check: Callable[[Registered], None]) -> None:
    """Every registered gateway keeps every part of the contract."""
    check(gateway)


def test_every_dialect_is_registered() -> None:
    """A gateway that ships is in the suite."""
    assert {gateway.dialect.name for gateway in GATEWAYS} >= set(DIALECTS)


class _PaysTwice(FakeById):
    def make(self, job: Job) -> Flow:
        """Ask twice, to be sure."""
        yield Call("POST", f"{job.base_url}/make", {"id": job.id}, paid=True)
        return (yield from super().make(job))


class _Forgetful(FakeById):
    calls = 0

    def make(self, job: Job) -> Flow:
        """Count across flows."""
        type(self).calls += 1
        return (yield from super().make(replace(job, id=f"{job.id}{self.calls}")))


class _WithoutItsId(FakeById):
    def make(self, job: Job) -> Flow:
        """Leave the id out."""
        return (yield from super().make(replace(job, id="")))


class _Trusting(FakeById):
    @staticmethod
    def read(answer: Answer) -> dict[str, object]:
        """Believe anything."""
        return answer.json  # type: ignore[return-value]  # broken on purpose


class _Free(FakeById):
    def make(self, job: Job) -> Flow:
        """Forget to say that it costs."""
        flow = super().make(job)
        call = next(flow)
        answer = yield replace(call, paid=False)
        while True:
            try:
                answer = yield flow.send(answer)
            except StopIteration as done:
                return list(done.value)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (_PaysTwice, check_pays_once),
        (_Forgetful, check_is_a_function_of_its_job),
        (_WithoutItsId, check_sends_its_id),
        (_Trusting, check_nonsense_is_an_error),
        (_Trusting, check_statuses),
        (_Free, check_pays_once),
    ],
)
def test_the_suite_catches_a_broken_dialect(broken: type[FakeById], check: Callable[[Registered], None]) -> None:
    """A dialect that breaks one rule on purpose fails the check of that rule."""
    with pytest.raises((AssertionError, AttributeError, TypeError, RequestError)):
        check(_fake(broken()))
