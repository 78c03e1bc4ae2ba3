"""How the vendors' own clients are led to an emulated gateway: what to set in each, and to which address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Settings = Mapping[str, str]

# Gateway → client → its setting → the address, where HTTP and WS stand for the emulated gateway's. fal's Python client
# has its addresses in constants of a module; the JavaScript one lets its requestMiddleware change the start of a URL.
_CLIENTS: Mapping[str, Mapping[str, Settings]] = {
    "fal": {
        "fal-client (fal_client.client)": {
            "QUEUE_URL_FORMAT": "HTTP/",
            "RUN_URL_FORMAT": "HTTP/run/",
            "REST_URL": "HTTP",
            "CDN_URL": "HTTP",
        },
        "@fal-ai/client (requestMiddleware)": {
            "https://queue.fal.run": "HTTP",
            "https://fal.run": "HTTP/run",
            "https://rest.fal.ai": "HTTP",
        },
    },
    "aimlapi": {"openai": {"base_url": "HTTP/v1"}},
    "runware": {
        "runware-sdk": {"http_base_url": "HTTP/v1", "ws_base_url": "WS/v1"},
        "@runware/sdk-js": {"url": "WS/v1"},
        "runware": {"url": "WS/v1"},
    },
}


def clients(urls: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Client → its setting → the address there, for the clients of these gateways (name → ``http://`` address)."""
    found = {}
    for gateway, url in urls.items():
        socket = url.replace("http:", "ws:", 1)
        for client, settings in _CLIENTS.get(gateway, {}).items():
            found[client] = {
                name: address.replace("HTTP", url).replace("WS", socket) for name, address in settings.items()
            }
    return found


def rows(urls: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The same as the rows of a table."""
    for client, settings in clients(urls).items():
        for number, (name, address) in enumerate(settings.items()):
            yield "" if number else client, name, address
