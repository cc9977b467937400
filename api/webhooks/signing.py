"""Secrets and signatures of webhooks, as the Standard Webhooks specification says (https://www.standardwebhooks.com)."""

import base64
import secrets
from datetime import UTC, datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret, as its owner sees it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(secret: str, message_id: str, body: bytes, *, timestamp: int) -> dict[str, str]:
    """The headers by which a receiver knows who sends, and that it is no copy of an old message.

    Args:
        message_id: stays the same when the message is sent again.
        body: UTF-8.
        timestamp: of this attempt, seconds since 1970.
    """
    sent_at = datetime.fromtimestamp(timestamp, UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": Webhook(secret).sign(message_id, sent_at, body.decode()),
    }
