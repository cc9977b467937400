"""Secrets and signatures of webhooks, by the Standard Webhooks specification (https://www.standardwebhooks.com)."""

import base64
import secrets
from datetime import UTC, datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32
"""Length of a secret, bytes. The Standard Webhooks specification asks for 24 to 64 bytes."""


def new_secret() -> str:
    """Make a secret: "whsec_" and SECRET_BYTES random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(secret: str, message_id: str, body: bytes, *, timestamp: int) -> dict[str, str]:
    """Return the headers that let a receiver verify the sender and reject replayed messages.

    Args:
        secret: secret from `new_secret`.
        message_id: id of the delivery, the same in every attempt.
        body: body of the request, UTF-8.
        timestamp: time of this attempt, seconds since 1970.
    """
    sent_at = datetime.fromtimestamp(timestamp, UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": Webhook(secret).sign(message_id, sent_at, body.decode()),
    }
