"""Runs where the environment names a proxy: a wrong one is found before anything is paid; a rehearsal needs none."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.campaign import pipeline, run, write_campaign
from fakes.emulated import GATEWAYS, KEYS, provider
from fakes.hostile import campaign, ledger, states
from fakes.internet import trap

from pipeline.ledger import RequestRow, open_ledger
from pipeline.models import load_model
from pipeline.types import Answer, Spec

WRONG = {"ALL_PROXY": "socks://user:canary@127.0.0.1:7891/"}
WORDS = "ALL_PROXY=socks://***@127.0.0.1:7891/: httpx knows no such kind of proxy: write socks5://, or unset it"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those of the test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_run_through_a_wrong_proxy_is_not_begun(tmp_path: Path, gateway: str) -> None:
    """One line with the variable and the next step, and no request in the ledger; what calls nobody goes on."""
    manifest = campaign(tmp_path, gateway)
    done = pipeline("run", manifest, env=KEYS | WRONG, expect=1)
    assert WORDS in done.stderr
    assert "nothing was started, nothing was paid" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    assert ledger(manifest, "SELECT 1 FROM requests UNION SELECT 1 FROM runs") == []
    for command in ("validate", "plan", "status"):
        pipeline(command, manifest, env=KEYS | WRONG)


def test_a_cancel_through_a_wrong_proxy_is_not_begun(tmp_path: Path) -> None:
    """There is something to cancel, and no way there."""
    manifest = campaign(tmp_path, "fal")
    model = load_model("kling-image-o1").offers["fal"].id
    spec = Spec("s", model, False, "", (), "1K", "1:1", "png")
    row = RequestRow("r", "s", (("k", 1),), 1, "fal", "fal", model, "", "x", "intent", 28_000, 0, time.time(), None)
    with open_ledger(tmp_path / "out/test/.pipeline", "test") as book:
        steps = [lambda to: to.add_spec(spec), lambda to: to.add_request(row)]
        book.commit([*steps, lambda to: to.add_receipt("r", 0, Answer(200, {}, {"request_id": "x"}))])
    assert WORDS in pipeline("cancel", manifest, env=KEYS | WRONG, expect=1).stderr
    assert states(manifest) == ["accepted"]


@contextlib.contextmanager
def cutting() -> Iterator[str]:
    """A proxy that hangs up when it is asked for a tunnel."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_what_never_left_holds_no_money(tmp_path: Path) -> None:
    """The proxy hangs up before the tunnel is there: pending, and nothing is uncertain or reserved."""
    manifest = campaign(tmp_path, "fal", settings={"options": {"references": "inline"}})
    with cutting() as proxy:
        done = run(manifest, env=KEYS | {"HTTPS_PROXY": proxy}, expect=3)
    assert (done["uncertain"], done["uncertain_cells"], done["pending"], done["failed"]) == (0, 0, 1, 0)
    assert set(states(manifest)) == {"refused"}


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_rehearsal_goes_through_no_proxy(tmp_path: Path, gateway: str) -> None:
    """Calls, uploads, webhooks and pictures are all on this machine."""
    with trap() as wolf:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        env = dict.fromkeys(names, f"http://127.0.0.1:{wolf.port}")
        manifest = write_campaign(
            tmp_path,
            count=1,
            model="kling-image-o1",
            providers=[provider(gateway)],
            outputs={"aspect_ratio": ["1:1"], "format": ["png"]},
        )
        hook = ["--webhook-listen", "127.0.0.1:0"] if gateway != "aimlapi" else []
        assert run(manifest, "--emulate", "--emulate-speed", "50", *hook, env=env)["made"] == 1
        assert run(manifest, "--emulate", "--retake", "*", env=dict.fromkeys(names, WRONG["ALL_PROXY"]))["made"] == 1
        assert not wolf.sprung
