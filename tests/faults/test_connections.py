"""Connections that no retry can heal: the run says why at once, and what to do; nothing is paid, or nothing is lost."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes import internet
from fakes.at_work import at_work
from fakes.campaign import pipeline, plan, run
from fakes.emulated import KEYS
from fakes.hostile import Asked, Hostile, Reply, Spoil, campaign, hostile, ledger, states

from pipeline.causes import cause_of, proxy_refusal


class Secure(Hostile):
    """The four gateways behind a certificate that signs itself, as those of a company's proxy do."""

    def __init__(self, folder: Path, *names: str) -> None:
        super().__init__()
        self.certificate = internet._certificate(folder, names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.server_address[1]}"


@pytest.fixture(autouse=True)
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """None but those of the test, and no proxy."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def secure(folder: Path, *names: str) -> Iterator[Secure]:
    """Such a server, for the length of a test."""
    with at_work(Secure(folder, *names)) as server:
        yield server


def test_a_certificate_that_is_not_trusted_ends_the_run_at_once(tmp_path: Path) -> None:
    """The library's words and the way out; nothing was asked for, and with SSL_CERT_FILE all is made."""
    with secure(tmp_path, "localhost") as server:
        manifest = campaign(tmp_path, "fal", count=3)
        done = pipeline("run", manifest, env=server.env, expect=3)
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
        assert "self-signed certificate" in done.stderr
        assert "let SSL_CERT_FILE name its PEM file" in done.stderr
        assert " for 60 s" not in done.stderr
        assert ledger(manifest, "SELECT state FROM requests WHERE state NOT IN ('pending', 'failed')") == []
        assert (server.kinds, server.billed) == ([], 0)
        trusted = server.env | {"SSL_CERT_FILE": str(server.certificate)}
        assert run(manifest, env=trusted)["made"] == 3
    assert server.billed == 3


def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path) -> None:
    """No file of authorities helps there, and none is spoken of."""
    with secure(tmp_path, "elsewhere.example") as server:
        env = server.env | {"SSL_CERT_FILE": str(server.certificate)}
        said = pipeline("run", campaign(tmp_path, "runware"), env=env, expect=3).stderr
    assert "Hostname mismatch" in said
    assert "check the address" in said
    assert "PEM" not in said


def test_a_picture_behind_such_a_certificate_stays_open(tmp_path: Path) -> None:
    """It is paid: the run fetches it once, asks for few others, and a later run has it free."""
    with secure(tmp_path, "localhost") as shop:

        def elsewhere(server: Hostile, asked: Asked) -> Reply | None:
            if asked.kind != "result":
                return None
            honest = server.honest(asked)
            return Reply(
                200,
                {
                    "images": [
                        {"url": f"{shop.url}{image['url'][len(server.url) :]}"} for image in honest.body["images"]
                    ]
                },
            )

        with hostile(elsewhere) as server:
            manifest = campaign(tmp_path, "fal", count=20, settings={"concurrency": 1})
            done = pipeline("run", manifest, "--allow-private", env=server.env, expect=1)
            assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
            assert "SSL_CERT_FILE" in done.stderr
            assert "the next run fetches it again, free" in done.stderr
            assert shop.kinds == []
            paid = server.billed
            assert 1 <= paid < 10
            assert set(states(manifest)) == {"accepted"}
            trusted = server.env | {"SSL_CERT_FILE": str(shop.certificate)}
            assert run(manifest, "--allow-private", env=trusted)["made"] == 20
            assert server.billed == 20


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("SSL_CERT_FILE", None, "can't be read (No such file or directory)"),
        ("SSL_CERT_FILE", "not a certificate", "holds no certificate in PEM"),
        ("SSL_CERT_DIR", None, "there is no such folder"),
    ],
)
def test_authorities_that_can_not_be_read_are_found_before_a_run(
    tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    """OpenSSL passes over them, and would trust nobody."""
    file = tmp_path / "own.pem"
    if content is not None:
        file.write_text(content)
    manifest = campaign(tmp_path, "fal")
    done = pipeline("run", manifest, env=KEYS | {name: str(file)}, expect=1)
    assert f"{name}={file}: {words}" in done.stderr
    with hostile() as server:  # which needs none
        assert run(manifest, env=server.env | {name: str(file)})["made"] == 1


def refusing(status: int) -> Spoil:
    """A proxy's answer in the place of every one."""
    return lambda server, asked: Reply(status)


def test_a_proxy_that_wants_a_password_ends_the_run_at_once(tmp_path: Path) -> None:
    """It answers in the place of an http:// gateway: nothing was passed on, so the picture is owed as before."""
    with hostile(refusing(407)) as proxy:
        manifest = campaign(tmp_path, "aimlapi")
        env = KEYS | {"AIMLAPI_BASE_URL": "http://gateway.example", "HTTP_PROXY": proxy.url}
        said = pipeline("run", manifest, env=env, expect=3).stderr
    assert "407 Proxy Authentication Required; write its user and password" in said
    assert "for 60 s" not in said
    assert proxy.kinds == ["submit"]
    assert ledger(manifest, "SELECT state FROM requests") == [("refused",)]
    assert plan(manifest)["to_make"] == 1


def test_a_proxy_is_quoted_by_its_status_only() -> None:
    """Its own words could repeat a password."""
    import httpx

    told = cause_of(httpx.ProxyError("407 canary:secret denied"))
    assert (told, str(told).startswith(": the proxy answered 407")) == (proxy_refusal(407), True)
    assert "canary" not in str(told)
    assert told.final
    assert proxy_refusal(403).final
    assert not proxy_refusal(502).final
    assert not cause_of(httpx.ProxyError("Proxy Server could not connect: Host unreachable.")).final


def test_the_cause_at_the_bottom_is_said() -> None:
    """In the words of whoever met it, whatever is wrapped around it."""
    import httpx

    try:
        try:
            raise OSError(113, "No route to host")
        except OSError as inner:
            raise ExceptionGroup("all of them", [inner]) from None
    except ExceptionGroup as group:
        error = httpx.ConnectError("All connection attempts failed")
        error.__cause__ = group
    assert str(cause_of(error)) == ": [Errno 113] No route to host"
    assert str(cause_of(httpx.ConnectTimeout(""))) == ": it did not answer in time"
    assert str(cause_of(RuntimeError("of our own"))) == ""
