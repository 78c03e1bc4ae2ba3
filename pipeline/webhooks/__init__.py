"""Deliveries of webhooks, taken as hints: a genuine one says that a request is worth asking about, and nothing else.

What a delivery holds is never used; the pictures come by polling, as without webhooks. Each request has an address of
its own, ``{webhook_url}/{gateway}/{request}/{token}``, and the token is an HMAC under a secret that lives as long as
the run. Beside the token, a gateway's own scheme is checked:

- fal signs with Ed25519 (its webhooks page): over request id, user id, Unix time and the body's SHA-256, a line each;
  the keys are at ``/.well-known/jwks.json``, to be kept for a day at most; more than 300 s off is too old;
- Each Labs repeats the request's ``webhook_secret`` in ``X-Webhook-Secret`` (its webhook payload reference);
- Runware signs nothing (its webhooks page): the token alone speaks for it.
"""

from pipeline.webhooks.jwks import AGAIN, KEPT
from pipeline.webhooks.listener import CLOCKS, EACH, Listener
from pipeline.webhooks.place import Place, place
from pipeline.webhooks.server import MOST

__all__ = ["AGAIN", "CLOCKS", "EACH", "KEPT", "MOST", "Listener", "Place", "place"]
