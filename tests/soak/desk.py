"""The data plane of :mod:`soak.world`: pictures are files that hold their own link."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DownloadError, MediaError
from pipeline.media import FinishedPicture, PictureJob, WrittenFile
from soak.script import Killed

if TYPE_CHECKING:
    from soak.world import World


class Desk(Executor):
    """The data plane: pictures are files that hold their own link."""

    def __init__(self, world: World) -> None:
        self.world = world

    def submit(self, fn: Any, /, job: PictureJob, *_: Any, **__: Any) -> Future[FinishedPicture]:  # type: ignore[override]
        """Finish a picture, some moments later where a loop runs."""
        self.world.point("picture")
        future: Future[FinishedPicture] = Future()
        future.set_running_or_notify_cancel()
        run = self.world.run_
        fault = run.pictures.popleft() if run.pictures and job.image is not None else "ok"
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.finish(job, fault, future)
        else:
            loop.call_later({"slow": 30.0, "long": 200.0}.get(fault, 0.2), self.finish, job, fault, future)
        return future

    def finish(self, job: PictureJob, fault: str, future: Future[FinishedPicture]) -> None:
        """Write the original and the renditions."""
        try:
            if not self.world.alive:
                raise Killed
            future.set_result(self.finished(job, fault))
        except BaseException as error:
            future.set_exception(error)

    def finished(self, job: PictureJob, fault: str) -> FinishedPicture:
        """What comes of it."""
        text = Path(f"{job.stem}.png").read_text() if job.image is None else str(job.image.url)
        if fault in ("bad", "gone"):
            self.world.spoilt.add(text)
        match fault:
            case "torn":
                raise DownloadError("the connection broke")
            case "gone":
                raise DownloadError("404", gone=True)
            case "bad":
                raise MediaError("the picture is damaged")
            case "full":
                self.world.run_.full = True
                raise OSError(errno.ENOSPC, "No space left on device", f"{job.stem}.png")
            case "dead":
                self.world.run_.full = True
                raise BrokenExecutor("a worker died")
        original = _write(f"{job.stem}.png", text)
        renditions = tuple(_write(rendition.path, text) for rendition in job.renditions)
        self.world.point("written")
        return FinishedPicture(original, "png", 1024, 1024, renditions)


async def fetch(*_: object) -> bytes:
    """What a link leads to; :class:`Desk` decides what comes of it."""
    return b""


def _write(path: str, text: str) -> WrittenFile:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    stat = place.stat()
    return WrittenFile(path, digest(text), stat.st_size, stat.st_mtime_ns)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
