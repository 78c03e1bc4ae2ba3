"""Runware's older Python client (the package ``runware``), which makes pictures over a WebSocket only.

Run as ``runware_old.py SCENARIO ADDRESS KEY`` with the folder of its version first in PYTHONPATH: its module has the
name of the newer client's. It writes what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys

from runware import IImageInference, Runware

TASK = {"model": "klingai:kling-image@o1", "positivePrompt": "A mug on a table", "width": 1024, "height": 1024}


def asked(**changes):
    return IImageInference(**(TASK | changes))


async def pictures(client):
    images = await client.imageInference(asked(numberResults=3, includeCost=True, outputFormat="PNG"))
    return [{"uuid": image.imageUUID, "url": image.imageURL, "cost": image.cost} for image in images]


async def later(client):
    accepted = await client.imageInference(asked(deliveryMethod="async"))
    (image,) = await client.getResponse(taskUUID=accepted.taskUUID, numberResults=1)
    return {"task": accepted.taskUUID, "found": image.taskUUID, "url": image.imageURL}


async def refused(client):
    return await client.imageInference(asked(width=1080))


async def hold(scenario, address, key):
    client = Runware(api_key=key, url=address, max_retries=1)
    try:
        await client.connect()
        return {"result": await globals()[scenario](client)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    finally:
        await client.disconnect()


def only_here(host, *_, **__):
    raise OSError(f"a call to {host}")


if __name__ == "__main__":
    find = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *more, **named: (find if host == "127.0.0.1" else only_here)(host, *more, **named)
    sys.stdout.write(json.dumps(asyncio.run(hold(*sys.argv[1:]))))
