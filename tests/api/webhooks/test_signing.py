import base64
import hashlib
import hmac

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api.webhooks.signing import new_secret, signed_headers

BODY = '{"type":"run.succeeded","data":{"name":"Bücher"}}'.encode()


def test_new_secret__is_long_and_new():
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert 24 <= len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) <= 64


def test_signed_headers__the_reference_library_agrees():
    import time

    secret = new_secret()
    headers = signed_headers(secret, "dlv_1", BODY, timestamp=int(time.time()))
    assert Webhook(secret).verify(BODY, headers) == {"type": "run.succeeded", "data": {"name": "Bücher"}}
    for changed in (headers | {"webhook-id": "dlv_2"}, headers | {"webhook-timestamp": str(int(time.time()) - 5)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_signed_headers__conform_to_the_specification():
    secret, key = "whsec_" + base64.b64encode(bytes(range(32))).decode(), bytes(range(32))
    headers = signed_headers(secret, "dlv_1", BODY, timestamp=1731705121)
    signed = hmac.new(key, b"dlv_1.1731705121." + BODY, hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "dlv_1",
        "webhook-timestamp": "1731705121",
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
