"""A client whose service returns prepared responses."""

from collections.abc import Callable

import httpx

from embedreel.api import Client
from embedreel.retry import RetryPolicy

Handle = Callable[[httpx.Request], httpx.Response]


def client_of(handle: Handle, **options: str) -> Client:
    retry = RetryPolicy(sleep=lambda _seconds: None)
    return Client("http://service.test/", transport=httpx.MockTransport(handle), retry=retry, **options)


def answers(*responses: httpx.Response | Exception) -> tuple[Client, list[httpx.Request]]:
    requests, left = [], list(responses)

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        response = left.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    return client_of(handle), requests


def refused(status: int, slug: str = "conflict") -> httpx.Response:
    headers = {"Content-Type": "application/problem+json"}
    return httpx.Response(status, json={"type": f"/problems/{slug}", "title": slug}, headers=headers)
