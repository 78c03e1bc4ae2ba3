"""Which addresses lead to the public internet, however they are spelt."""

from __future__ import annotations

import pickle
from ipaddress import ip_address

import pytest

from pipeline.addresses import PUBLIC, Reach, is_public, origin, refusal


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "93.184.215.14",
        "172.32.0.1",
        "2606:4700::1111",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_a_public_address(address: str) -> None:
    """Also as IPv6-only networks and tunnels write it."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254"),
        *("0.0.0.0", "0.0.0.1", "100.64.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),  # noqa: S104
        *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fe80::1%2", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
        *("ff0e::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1", "2606:4700::1111%eth0"),
        *("::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::127.0.0.1", "64:ff9b::192.168.0.1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:a00:1::1"),
        *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1"),
    ],
)
def test_an_address_that_is_not_public(address: str) -> None:
    """Loopback, private, link-local, shared, reserved, documentation, multicast, tunnels, and those within others."""
    assert not is_public(ip_address(address))


PRIVATE = "is in a private network"
NONE = "it is no web address"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/x", PRIVATE),
        ("https://127.1", PRIVATE),
        ("https://0x7f.1/", PRIVATE),
        ("https://0x7f000001/", PRIVATE),
        ("https://2130706433/", PRIVATE),
        ("https://017700000001/", PRIVATE),
        ("https://0177.0.0.1/", PRIVATE),
        ("https://0/", PRIVATE),
        ("https://127.0.0.1./", PRIVATE),
        ("https://127。0。0。1/", PRIVATE),
        ("https://127｡0｡0｡1/", PRIVATE),
        ("https://１２７．0．0．1/", PRIVATE),
        ("https://①②⑦.0.0.1/", PRIVATE),
        ("https://169.254.169.254/latest/meta-data/", PRIVATE),
        ("https://[::1]/", PRIVATE),
        ("https://[::ffff:127.0.0.1]/", PRIVATE),
        ("https://[::ffff:7f00:1]/", PRIVATE),
        ("https://[0:0:0:0:0:0:0:1]/", PRIVATE),
        ("https://[fe80::1%25eth0]/", PRIVATE),
        ("https://[64:ff9b::10.0.0.1]/", PRIVATE),
        ("https://localhost/", PRIVATE),
        ("https://LocalHost./", PRIVATE),
        ("https://lo\u00adcalhost/", PRIVATE),
        ("https://a.localhost/", PRIVATE),
        ("https://printer.local/", PRIVATE),
        ("https://metadata.google.internal/", PRIVATE),
        ("https://nas.home.arpa/", PRIVATE),
        ("https://user:word@example.com/", "it holds a user name or a password"),
        ("https://example.com\\@127.0.0.1/", "it holds a user name or a password"),
        ("https://@example.com/", "it holds a user name or a password"),
        ("http://example.com/", "it is no https:// address"),
        ("ftp://example.com/", "it is no https:// address"),
        ("//example.com/", "it is no https:// address"),
        ("example.com", "it is no https:// address"),
        ("", "it is no https:// address"),
        ("https://", NONE),
        ("https:///x", NONE),
        ("https://%31%32%37.0.0.1/", NONE),
        ("https://loc%61lhost/", NONE),
        ("https://a b.com/", NONE),
        ("https://.example.com/", NONE),
        ("https://example.com:0/", NONE),
        ("https://example.com:99999/", NONE),
        ("https://example.com:x/", NONE),
        ("https://[::1/", NONE),
        (f"https://{'a' * 300}.com/", NONE),
        (f"https://{'ä' * 100}.com/", NONE),
    ],
)
def test_what_shows_that_an_address_is_not_to_be_called(url: str, why: str) -> None:
    """Without asking anybody: another scheme, a password, or a private host in one of many spellings."""
    assert (refusal(url) or "").endswith(why)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://example.com:8443/a?b=c#d",
        "https://EXAMPLE.com./",
        "https://bücher.example/",
        "https://xn--bcher-kva.example/",
        "https://a_b.example.com/",
        "https://localhost.example.com/",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/",
        "https://x/mug.png",
        "https://example.com/@x",
    ],
)
def test_what_may_be_called_as_far_as_it_shows(url: str) -> None:
    """Where a name leads is for the resolver to say."""
    assert refusal(url) is None


def test_a_reach_allows_the_origins_that_it_names() -> None:
    """Scheme, host and port together, in whatever spelling; nothing else."""
    given = ("http://127.0.0.1:8080", "https://Proxy.Example/fal", "https://bücher.example")
    reach = Reach(tuple(filter(None, map(origin, given))))
    for url in ("http://127.0.0.1:8080/a/b?c", "https://proxy.example:443/x", "https://xn--bcher-kva.example/"):
        assert reach.allows(url)
    for url in (
        *("http://127.0.0.1:8081/", "https://127.0.0.1:8080/", "http://127.0.0.1/", "http://proxy.example/"),
        *("https://a.proxy.example/", "http://127.0.0.1:8080.example.com/", "https://proxy.example:0/", "", "//x"),
    ):
        assert not reach.allows(url)


def test_a_reach_may_be_everything_or_nothing_more() -> None:
    """The option that the user gives, and what holds without it; both travel to another process."""
    assert Reach(private=True).allows("http://10.0.0.1/")
    assert not PUBLIC.allows("http://10.0.0.1/")
    reach = Reach(("http://127.0.0.1:1",), private=True)
    assert pickle.loads(pickle.dumps(reach)) == reach  # noqa: S301  # our own bytes
