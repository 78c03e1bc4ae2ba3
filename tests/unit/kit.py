"""What the tests of the loader and the expansion share: small manifests, small pictures, and problems as text."""

from __future__ import annotations

import io
import json
import queue
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fakes.at_work import at_work
from PIL import Image

from pipeline.errors import ManifestError
from pipeline.expand import expand
from pipeline.manifest import load

TABLE = {"text": "Put @Image1 on a table."}
MUG = {"id": "mug", "name": "Blue mug", "images": {"front": "mug.png"}}


@cache
def png(colour="blue", size=(320, 320), kind="PNG"):
    """Return the bytes of a plain picture that every gateway takes."""
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, kind)
    return data.getvalue()


def write(path, content):
    """Write text or bytes, with the folders that lead there, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def manifest(folder, text=None, /, **changes):
    """Write ``m.yaml`` (a small valid campaign with ``changes``, or ``text``) and its one picture."""
    document = {"version": 1, "campaign": "c", "products": {"mugs": [MUG]}, "prompts": {"table": TABLE}} | changes
    write(folder / "mug.png", png())
    return str(write(folder / "m.yaml", json.dumps(document, ensure_ascii=False) if text is None else text))


def cells(folder, text=None, /, **changes):
    """Load and expand such a manifest."""
    return expand(load(manifest(folder, text, **changes)))


def labels(folder, **changes):
    """Return the labels of its cells, without the product and prompt that they all share."""
    return [cell.label.removeprefix("mug/table/") for cell in cells(folder, **changes).cells]


def told(folder, call):
    """Return what a call complains about, line by line, with file names relative to ``folder``."""
    with pytest.raises(ManifestError) as caught:
        call()
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def failure(kind, call):
    """Return the exception of this kind that a call ends in, or None when it ends well."""
    try:
        call()
    except kind as error:
        return error
    return None


def complaints(folder, text=None, /, **changes):
    """Return what is wrong with a manifest: ``path: fact; hint`` each, or the whole line when it is given as text."""
    with pytest.raises(ManifestError) as caught:
        cells(folder, text, **changes)
    lines = [
        str(problem) if text else f"{problem.path}: {problem.fact}; {problem.hint}" for problem in caught.value.problems
    ]
    return [line.replace(f"{folder}/", "") for line in lines]


def warnings(folder, **changes):
    """Return the warnings of a valid manifest, without places."""
    return [f"{problem.path}: {problem.fact}" for problem in cells(folder, **changes).warnings]


def schemas():
    """Return the published schemas by name, as parsed JSON."""
    folder = Path(__file__).parents[2] / "schemas"
    return {path.name.partition(".")[0]: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


@contextmanager
def receiver(told, *answers):
    """Yield the address of a server, and a queue of what is sent there, as ``told(handler, body)`` puts it.

    The first requests are answered with ``answers``, then with 200.
    """
    news, left = queue.Queue(), list(answers)

    class Handler(BaseHTTPRequestHandler):
        def take(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = left.pop(0) if left else 200
            news.put(told(self, body))  # first: the answer lets the next one go
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self):
            self.take()

        def do_PUT(self):
            self.take()

        def log_message(self, *_):
            pass

    with at_work(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", news
