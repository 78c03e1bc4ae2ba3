"""Kept answers: what answered a paid call and could not be read then is read again by every later run.

A gateway may answer in a shape that this version doesn't know. The picture is paid, and its answer may be the only way
to it, so the ledger keeps that. A dialect makes no call by itself, so trying it again costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.gateways import DIALECTS
from pipeline.ledger import Ledger, RequestRow
from pipeline.types import Answer, Job, Provider, Spec


def read_kept(providers: Iterable[Provider], ledger: Ledger) -> list[str]:
    """Make receipts of the kept answers that can be read now; the labels of their requests, which are continued."""
    known = {(p.name, p.offer.gateway, p.offer.id, p.base_url or ""): p for p in providers}
    told = []
    for row, answer in list(ledger.unread()):
        provider = known.get((row.provider, row.gateway, row.model, row.address))
        if provider is None or not _is_readable(provider, row, answer):
            continue
        remote = DIALECTS[row.gateway].remote_id(answer)
        ledger.commit([_receipt(row.id, answer, remote)])
        told.append(row.label)
    return told


def _receipt(request: str, answer: Answer, remote: str) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.add_receipt(request, 0, answer, remote)


def _is_readable(provider: Provider, row: RequestRow, answer: Answer) -> bool:
    """Whether the dialect goes on, or is done, after this answer to its paid call; the call itself is thrown away."""
    spec = Spec(row.spec, row.model, False, "", (), "", "", "")
    job = Job(row.id, provider.offer, row.address, spec, len(row.pictures), options=provider.options)
    flow = DIALECTS[row.gateway].make(job)
    try:
        return next(flow).paid and bool(flow.send(answer))
    except StopIteration as done:
        return bool(done.value)
    except Exception:  # whatever it still stumbles over
        return False
    finally:
        flow.close()
