import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook

from core.store.queries import webhooks
from tests.receiver import receiving

PUBLIC = "https://9.9.9.9/hook"


@pytest.fixture
def register(client):
    def post(url=PUBLIC, **fields):
        response = client.post("/v1/webhooks", json={"url": url, **fields})
        assert response.status_code == 201, response.text
        return response.json()

    return post


def settled(client, webhook, *, seconds=60):
    """Return the deliveries of the webhook after all have ended."""
    deadline = time.monotonic() + seconds
    while True:
        found = client.get(f"/v1/webhooks/{webhook['id']}/deliveries").json()["deliveries"]
        if found and all(one["status"] != "pending" for one in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_register__shows_the_secret_once(client):
    response = client.post("/v1/webhooks", json={"url": PUBLIC})
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    made = response.json()
    assert response.headers["location"] == f"/v1/webhooks/{made['id']}"
    assert made["id"].startswith("wh_")
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    assert made["events"] == ["run.succeeded", "run.failed", "run.cancelled"]
    assert made["disabled_at"] is None
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert client.get(response.headers["location"]).json() == shown
    assert client.get("/v1/webhooks").json() == {"webhooks": [shown]}


def test_register__events_once_each(register):
    assert register(events=["checkpoint", "run.queued", "checkpoint"])["events"] == ["checkpoint", "run.queued"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": None}, "url"),
        ({"url": ""}, "url"),
        ({"url": 7}, "url"),
        ({"url": PUBLIC, "events": []}, "events"),
        ({"url": PUBLIC, "events": ["stage.started"]}, "events.0"),
        ({"url": PUBLIC, "events": "run.failed"}, "events"),
        ({"url": PUBLIC, "secret": "mine"}, "secret"),
    ],
)
def test_register__refused(idle, problem, body, field):
    problem(idle.post("/v1/webhooks", json=body), 422, "invalid-spec", field)


def test_register__at_most_the_limit(client, register, problem):
    for _ in range(webhooks.MOST):
        register()
    problem(client.post("/v1/webhooks", json={"url": PUBLIC}), 409, "conflict")
    assert len(client.get("/v1/webhooks").json()["webhooks"]) == webhooks.MOST


def test_register__the_documented_examples(client, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("9.9.9.9", 443))])
    document = client.get("/openapi.json").json()
    content = document["paths"]["/v1/webhooks"]["post"]["requestBody"]["content"]["application/json"]
    assert set(content["examples"]) == {"minimal", "complete"}
    for example in content["examples"].values():
        assert client.post("/v1/webhooks", json=example["value"]).status_code == 201


def test_remove(client, register, problem):
    made, kept = register(), register()
    assert client.delete(f"/v1/webhooks/{made['id']}").status_code == 204
    problem(client.get(f"/v1/webhooks/{made['id']}"), 404, "not-found")
    problem(client.delete(f"/v1/webhooks/{made['id']}"), 404, "not-found")
    assert [one["id"] for one in client.get("/v1/webhooks").json()["webhooks"]] == [kept["id"]]


@pytest.mark.parametrize("webhook_id", ["wh_none", "wh_" + "0" * 26, "wh_%00", "run_" + "0" * 26, "x" * 500])
def test_nothing_there(idle, problem, webhook_id):
    address = f"/v1/webhooks/{webhook_id}"
    problem(idle.get(address), 404, "not-found")
    problem(idle.delete(address), 404, "not-found")
    problem(idle.post(f"{address}/test"), 404, "not-found")
    problem(idle.get(f"{address}/deliveries"), 404, "not-found")
    problem(idle.post(f"{address}/deliveries/dlv_{'0' * 26}/redeliver"), 404, "not-found")


def test_redeliver__nothing_there(client, register, problem):
    made = register()
    for delivery_id in ("dlv_none", "dlv_%00", f"dlv_{'0' * 26}"):
        response = client.post(f"/v1/webhooks/{made['id']}/deliveries/{delivery_id}/redeliver")
        problem(response, 404, "not-found")


@pytest.mark.parametrize("query", ["cursor=nonsense", "cursor=%00", "limit=0", "limit=101", "cursor=cnVuXzAw"])
def test_deliveries__refused(client, register, problem, query):
    made = register()
    problem(client.get(f"/v1/webhooks/{made['id']}/deliveries?{query}"), 422, "invalid-spec", query.split("=")[0])


def test_deliveries__newest_first_with_cursor(client, register, monkeypatch):
    made = register()
    monkeypatch.setattr(client.app.state.process.deliverer, "_start_due", int)
    queued = [client.post(f"/v1/webhooks/{made['id']}/test").json()["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"/v1/webhooks/{made['id']}/deliveries", params=query).json()
        seen += [one["id"] for one in page["deliveries"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(queued, reverse=True)


def test_test__is_sent_and_shown(serve):
    client = serve(webhook_allow_private=True, webhook_poll_seconds=0.05)
    with receiving(200) as receiver:
        made = client.post("/v1/webhooks", json={"url": receiver.url}).json()
        response = client.post(f"/v1/webhooks/{made['id']}/test")
        assert response.status_code == 202
        queued = response.json()
        assert (queued["type"], queued["status"], queued["attempts"]) == ("webhook.test", "pending", 0)
        assert queued["next_attempt_at"] is not None
        (received,) = receiver.wait(1)
        (shown,) = settled(client, made)
    told = Webhook(made["secret"]).verify(received.body, received.headers)
    assert told["data"] == {"webhook_id": made["id"]}
    assert shown["id"] == queued["id"] == received.id
    assert (shown["status"], shown["attempts"], shown["last_status"]) == ("delivered", 1, 200)
    assert shown["next_attempt_at"] is None
    assert shown["delivered_at"] is not None


def test_redeliver(serve):
    client = serve(webhook_allow_private=True, webhook_poll_seconds=0.05)
    with receiving() as receiver:
        made = client.post("/v1/webhooks", json={"url": receiver.url}).json()
        queued = client.post(f"/v1/webhooks/{made['id']}/test").json()
        settled(client, made)
        response = client.post(f"/v1/webhooks/{made['id']}/deliveries/{queued['id']}/redeliver")
        assert (response.status_code, response.json()["status"]) == (202, "pending")
        first, second = receiver.wait(2)
        (shown,) = settled(client, made)
    assert first.id == second.id == queued["id"]
    assert first.body == second.body
    assert shown["attempts"] == 2


def test_disabled__is_shown_and_takes_no_test(serve, problem):
    client = serve(webhook_allow_private=True, webhook_poll_seconds=0.05)
    with receiving(410) as receiver:
        made = client.post("/v1/webhooks", json={"url": receiver.url}).json()
        client.post(f"/v1/webhooks/{made['id']}/test")
        (shown,) = settled(client, made)
    assert (shown["status"], shown["last_status"]) == ("failed", 410)
    assert client.get(f"/v1/webhooks/{made['id']}").json()["disabled_at"] is not None
    problem(client.post(f"/v1/webhooks/{made['id']}/test"), 409, "conflict")
    problem(client.post(f"/v1/webhooks/{made['id']}/deliveries/{shown['id']}/redeliver"), 409, "conflict")


def test_an_ended_run_is_delivered(serve, small):
    client = serve(webhook_allow_private=True, webhook_poll_seconds=0.05)
    with receiving() as receiver:
        client.post("/v1/webhooks", json={"url": receiver.url})
        run = client.post("/v1/runs", json=small).json()
        client.post(run["links"]["cancel"])
        (received,) = receiver.wait(1)
    assert received.json["type"] == "run.cancelled"
    assert received.json["data"]["run_id"] == run["id"]
    assert client.get(received.json["data"]["links"]["self"]).json()["status"] == "cancelled"
