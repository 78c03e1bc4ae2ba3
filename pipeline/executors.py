"""Where the data plane runs: any ``concurrent.futures.Executor`` (PEP 3148).

Threads are the default (Pillow releases the interpreter's lock while it encodes); ``processes`` use every core; the
executor of another engine comes in through the entry-point group ``campaign_pipeline.executors``: a callable
that takes the number of workers and returns an executor.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from importlib.metadata import entry_points

from pipeline.errors import UsageError
from pipeline.schema import did_you_mean

GROUP = "campaign_pipeline.executors"


def _threads(workers: int) -> Executor:
    return ThreadPoolExecutor(workers, thread_name_prefix="picture")


def _processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_deaf)


def _deaf() -> None:
    """A signal to a terminal's or a service's whole group reaches the workers too: when to stop is for the control
    process to say.
    """
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)


BUILT_IN: dict[str, Callable[[int], Executor]] = {"threads": _threads, "processes": _processes}


def default_workers() -> int:
    """One per processor that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def find_executor(name: str) -> Callable[[int], Executor]:
    """What makes the executor of this name.

    Raises:
        UsageError: when there is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise UsageError(f"there is no executor {name!r}; {did_you_mean(name, [*BUILT_IN, *found])}")
    make: Callable[[int], Executor] = found[name].load()
    return make


@contextlib.contextmanager
def open_executor(make: Callable[[int], Executor], workers: int) -> Iterator[Executor]:
    """An executor for a run; on the way out what was not started is dropped, and what hangs is not waited for."""
    executor = make(workers)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
