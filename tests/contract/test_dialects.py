"""The contract every gateway keeps. A new gateway is one more registration in ``GATEWAYS``, and nothing else.

The suite is tested itself: dialects that are broken on purpose must fail it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
from fakes.dialect import FakeById, FakeWithoutId

from pipeline.errors import LaneStopped, LostAnswer, Refused, RequestError
from pipeline.expand import provider_lacks
from pipeline.gateways import DIALECTS, Dialect
from pipeline.gateways.aimlapi import Aimlapi
from pipeline.gateways.eachlabs import Eachlabs
from pipeline.gateways.fal import Fal
from pipeline.gateways.local import Local
from pipeline.gateways.runware import Runware
from pipeline.models import load_model
from pipeline.schema import validator
from pipeline.types import Answer, Call, Flow, Job, Json, LocalFile, Reference, RemoteImage, Spec

T = TypeVar("T")
JOB = "7b7cbb0c-5a3f-4a4e-9d4b-6f0f7a3d0001"
FAKE_MODEL = Path(__file__).parent.parent / "fakes/model.yaml"


URL = "https://example.com"


@dataclass(frozen=True)
class Registered:
    """A dialect, the model that it serves, and what a gateway of its kind answers, in order, to a request for so many.

    ``schema`` and ``definition``: the vendor's documents as the JSON Schema that the paid call must fit.
    """

    dialect: Dialect
    model: str
    answers: Callable[[int], list[Json]]
    schema: tuple[str, str] | None = None


def _fake(dialect: Dialect) -> Registered:
    def answers(count: int) -> list[Json]:
        done: Json = {"status": "done", "images": [f"{URL}/{n}.png" for n in range(count)]}
        return [{"job": "j-1"}, {"status": "running"}, done]

    return Registered(dialect, str(FAKE_MODEL), answers)


def _fal(count: int) -> list[Json]:
    at = f"{URL}/fal-ai/kling-image/requests/r-1"
    links: dict[str, Json] = {"request_id": "r-1", "status_url": f"{at}/status", "response_url": at}
    return [
        {**links, "queue_position": 0},
        {**links, "status": "IN_PROGRESS", "logs": []},
        {**links, "status": "COMPLETED", "logs": []},
        {"images": [{"url": f"{URL}/{n}.png", "content_type": "image/png"} for n in range(count)]},
    ]


def _aimlapi(count: int) -> list[Json]:
    return [{"data": [{"url": f"{URL}/{n}.png"} for n in range(count)], "meta": {"usage": {"credits_used": 58800}}}]


def _eachlabs(count: int) -> list[Json]:
    return [
        {"status": "success", "message": "Prediction created successfully", "predictionID": "p-1"},
        {"status": "processing", "predictionID": "p-1"},
        {"status": "success", "output": [f"{URL}/{n}.png" for n in range(count)], "metrics": {"predict_time": 5}},
    ]


def _runware(count: int) -> list[Json]:
    task: dict[str, Json] = {"taskType": "imageInference", "taskUUID": JOB}
    done: list[Json] = [
        {**task, "status": "success", "imageUUID": f"{n}", "imageURL": f"{URL}/{n}.png", "seed": n, "cost": 0.028}
        for n in range(count)
    ]
    return [{"data": [task]}, {"data": [{**task, "status": "processing"}]}, {"data": done}]


KLING = "kling-image-o1"
GATEWAYS = [
    Registered(Local(), KLING, lambda _: []),
    Registered(Fal(), KLING, _fal, ("gateways/fal", "")),
    Registered(Aimlapi(), KLING, _aimlapi, ("gateways/aimlapi", "")),
    Registered(Eachlabs(), KLING, _eachlabs, ("gateways/eachlabs", "")),
    Registered(Runware(), KLING, _runware, ("gateways/runware", "")),
    _fake(FakeById()),
    _fake(FakeWithoutId()),
]
NONSENSE: list[Json] = [None, [], {}, "no", 5, {"job": None}, {"status": 7}, {"status": "done"}, {"images": 3}, [[[]]]]


def job(gateway: Registered, count: int = 2, references: int = 1, ratio: str = "16:9") -> Job:
    """A request for ``count`` pictures."""
    model = load_model(gateway.model)
    offer = model.offers[gateway.dialect.name]
    slots = tuple(Reference(f"product.{n}", f"{URL}/{n}.png", f"{n}") for n in range(references))
    text = " and ".join(f"@Image{n + 1}" for n in range(references)) or "an empty table"
    resolution = offer.resolution[0]
    spec = Spec("k" * 64, gateway.model, False, text, slots, resolution, ratio, "png")
    return Job(
        JOB,
        offer,
        URL,
        spec,
        count,
        images=tuple(slot.source for slot in slots),
        size=None if ratio == "auto" else model.size(resolution, ratio),
    )


def drive(
    flow: Generator[Call, Answer, T], answer: Callable[[Call, int], Answer], most: int = 50
) -> tuple[list[Call], T]:
    """All calls of a flow, answered by ``answer(call, number)``, and what it returns."""
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
    answers = gateway.answers(work.count)
    return drive(gateway.dialect.make(work), lambda _, number: Answer(200, {}, answers[number - 1]))


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
    good = gateway.answers(2)
    for step in range(1, len(good) + 1):
        for nonsense in NONSENSE:

            def answer(call: Call, number: int, step: int = step, nonsense: Json = nonsense) -> Answer:
                return Answer(200, {}, nonsense if number == step else good[min(number, len(good)) - 1])

            try:
                drive(gateway.dialect.make(job(gateway)), answer)
            except LostAnswer:
                pass
            except RequestError as error:
                # What says nothing of the request's fate must not be taken for a refusal: it may be billed.
                if step == 1:
                    raise AssertionError(f"{nonsense!r} became {type(error).__name__}") from error
            except AssertionError:
                raise
            except Exception as error:
                raise AssertionError(f"{nonsense!r} at step {step}: {error!r}") from error


def check_asks_for_what_is_wanted(gateway: Registered) -> None:
    """Text only, one reference, the most: by the vendor's own schema, every ratio, slot N being reference N."""
    offer = job(gateway).offer
    if gateway.schema is None:
        return
    check = validator(*gateway.schema)
    for ratio in offer.aspect_ratio:
        for references in {offer.references[0], 1, offer.references[1]} - ({0} if ratio == "auto" else set()):
            for count in (1, offer.count):
                work = job(gateway, count, references, ratio)
                paid = next(call for call in play(gateway, work)[0] if call.paid)
                check.validate(paid.json)
                text = json.dumps(paid.json)
                assert work.spec.prompt in text
                places = [text.index(f'"{image}"') for image in work.images]
                assert places == sorted(places), "references out of their order"
                assert text.count(f"{URL}/") == references


def check_names_no_key(gateway: Registered) -> None:
    """A dialect yields no authorisation: that is the wire's."""
    for call in play(gateway, job(gateway))[0]:
        assert not {name.lower() for name in call.headers} & {"authorization", "x-api-key"}


def check_limits_are_found_by_plan(gateway: Registered) -> None:
    """What the gateway does not take is a lack of its offer, which `plan` reports; what it takes is none."""
    work = job(gateway)
    offer, spec = work.offer, work.spec
    assert not provider_lacks(offer, spec)
    beyond = {
        "prompt": replace(spec, prompt="x" * (offer.prompt[1] + 1)),
        "references": replace(spec, references=spec.references * (offer.references[1] + 1)),
        "resolution": replace(spec, resolution="16K"),
        "aspect_ratio": replace(spec, aspect_ratio="7:1"),
        "format": replace(spec, format="tiff"),
    }
    for what, wrong in beyond.items():
        assert what in [lack[0] for lack in provider_lacks(offer, wrong)]
    assert bool(provider_lacks(offer, replace(spec, references=()))) == (offer.references[0] > 0)
    assert bool(provider_lacks(offer, replace(spec, aspect_ratio="auto"))) == ("auto" not in offer.aspect_ratio)


def check_carries_files(gateway: Registered) -> None:
    """An upload's calls are free, carry the bytes, and give a reference; nonsense is an error of ours."""
    if "upload" not in gateway.dialect.references:
        return
    file = LocalFile("5e1f8b5e-7d2f-4a53-9b7a-6f0f7a3d0002", "a.png", "image/png", b"bytes of a picture")
    bodies: Json = {
        "upload_url": f"{URL}/put",
        "file_url": f"{URL}/file",
        "presigned_url": f"{URL}/put",
        "public_url": f"{URL}/file",
        "required_headers": {"x-kind": "image"},
        "data": [{"mediaUUID": "m-1"}],
    }
    calls, uploaded = drive(gateway.dialect.upload(file, URL), lambda *_: Answer(200, {}, bodies))
    assert uploaded.reference in (f"{URL}/file", "m-1")
    assert uploaded.seconds > 3600
    assert not any(call.paid for call in calls)
    assert any(call.data == file.data or base64.b64encode(file.data).decode() in str(call.json) for call in calls)
    with pytest.raises(RequestError):
        drive(gateway.dialect.upload(file, URL), lambda *_: Answer(200, {}, {}))


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
    check_asks_for_what_is_wanted,
    check_names_no_key,
    check_limits_are_found_by_plan,
    check_carries_files,
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
