"""The fake gateway's dialects: one that recognises our id, one that doesn't."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.errors import LaneStopped, LostAnswer, Refused, TryLater
from pipeline.gateways.local import Local
from pipeline.types import Answer, Call, Flow, Job, RemoteImage


class FakeById(Local):
    """Submit with our id, poll, fetch. The same id twice is one job (as Runware's taskUUID)."""

    name: ClassVar[str] = "fake"
    settles: ClassVar[Literal["id", "trace", "none"]] = "id"

    def make(self, job: Job) -> Flow:
        """Submit once, poll until it is done."""
        body = {
            "id": job.id if self.settles == "id" else None,
            "spec": job.spec.key,
            "prompt": job.spec.prompt,
            "ratio": job.spec.aspect_ratio,
            "count": job.count,
        }
        accepted = self.read((yield Call("POST", f"{job.base_url}/make", body, paid=True)))
        if not isinstance(accepted.get("job"), str):
            raise LostAnswer("the answer to the paid call names no job")
        while True:
            state = self.read((yield Call("GET", f"{job.base_url}/jobs/{accepted.get('job')}", after=0.02)))
            state.setdefault("status", None)
            if state["status"] == "refused":
                raise Refused(str(state["reason"]), usd=0)
            if state["status"] == "broken":
                raise TryLater("the job broke and was not billed")
            if state["status"] == "done":
                images = state.get("images")
                if not isinstance(images, list):
                    raise Refused("the answer names no images")
                usd = state.get("usd", 28_000)  # of each picture, in micro-dollars
                return [RemoteImage(url=str(url), seed=7, usd=usd) for url in images]
            if state["status"] != "running":
                raise Refused(f"the status {state['status']!r} makes no sense")

    @staticmethod
    def read(answer: Answer) -> dict[str, object]:
        """The body of a good answer; the disposition of a bad one."""
        if answer.status in (401, 402, 403):
            raise LaneStopped(f"the account can't be used ({answer.status})")
        if answer.status >= 400:
            raise Refused(f"the gateway answered {answer.status}")
        return dict(answer.json) if isinstance(answer.json, dict) else {}


class FakeWithoutId(FakeById):
    """The same gateway, but a second submit is a second job (as fal's queue)."""

    name = "fake-none"
    settles = "none"
