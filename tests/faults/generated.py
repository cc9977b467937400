"""Valid and invalid requests that Schemathesis generates from the OpenAPI document of the service.

The service has a finished run, a dataset, a webhook and an operator's key. A fifth of the requests have no key or a
wrong key. Existing ids usually replace generated ids, so that requests reach the deep routes. Runs, webhooks and keys
that the requests create are used by later requests, and only these are deleted.
"""

import random
import time
import warnings
from collections import Counter
from contextlib import suppress

import hypothesis
import requests
import schemathesis
from schemathesis import GenerationMode

from tests.faults import answers
from tests.faults.checker import LEFT, Finding
from tests.faults.result import Fault, Result
from tests.faults.things import KEY, VARIABLES, Things

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
SHARE = 20
"""Requests of an operation, for each mode and round."""
RARELY = {"uploadDataset": 3}
"""Each of these requests starts a process that reads the files."""
ANSWER_SECONDS = 30.0
FRAMING = {"content-length", "transfer-encoding"}
"""Headers that a client derives from the body. Generated values are invalid HTTP, and the HTTP parser answers."""
REFUSED_BY_CLIENT = (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError, ValueError)


def send(lab, count):
    with lab.world(workers=1, **VARIABLES) as world:
        things = Things(world)
        sender = _Sender(world, things, lab.rng)
        schema = schemathesis.openapi.from_url(f"{world.service.url}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        began = time.monotonic()
        while sender.sent < count:
            for operation in operations:
                for mode in MODES:
                    _generate(operation, mode, sender, count)
        rate = sender.sent / (time.monotonic() - began)
        findings = [*sender.findings, *answers.unforeseen(world), *things.still_there()]
    statuses = ", ".join(f"{status}: {times:,}" for status, times in sorted(sender.statuses.items()))
    note = f"{len(operations)} operations, {rate:.0f} requests a second; answers by status: {statuses}"
    return Result(injected=sender.sent, findings=findings, note=note)


def _generate(operation, mode, sender, count):
    """Return some requests of this operation; fewer if it has fewer variants."""
    name = operation.definition.raw["operationId"]
    wanted = min(RARELY.get(name, SHARE), count - sender.sent)
    if wanted <= 0:
        return

    @hypothesis.seed(sender.rng.getrandbits(32))
    @hypothesis.settings(
        max_examples=wanted,
        phases=[hypothesis.Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def each(case):
        sender.send(name, case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(hypothesis.errors.Unsatisfiable):  # an operation without parameters has no invalid request
            each()


class _Sender:
    """Sends generated requests with existing ids, and checks the answers."""

    def __init__(self, world, things, rng):
        self.sent = 0
        self.findings = []
        self.statuses = Counter()
        self.rng = random.Random(rng.getrandbits(32))
        self._url = world.service.url
        self._things = things
        self._session = requests.Session()
        self._seen = Counter()

    def send(self, name, case):
        """Send a request. A request that no HTTP client can send is left out and not counted."""
        self._things.fill(name, case, self.rng)
        try:
            request = case.as_transport_kwargs(base_url=self._url)
            headers = {name: value for name, value in (request["headers"] or {}).items() if name.lower() not in FRAMING}
            request["headers"] = self._things.wait_briefly(headers)
            admitted = self._give_key(request["headers"])
            answer = self._session.request(**request, timeout=ANSWER_SECONDS, allow_redirects=False)
        except REFUSED_BY_CLIENT:
            return
        self.sent += 1
        self.statuses[answer.status_code] += 1
        self._things.learn(name, answer)
        for wrong in answers.wrong(case, answer, admitted=admitted):
            self._find(name, answer, wrong)

    def _give_key(self, headers):
        """Decide whether the request has the key. A generated key must be refused like a missing key."""
        lot = self.rng.random()
        for sent in [sent for sent in headers if sent.lower() in {"authorization", "x-api-key"}]:
            if lot < 0.9:
                del headers[sent]
        if lot < 0.4:
            headers["Authorization"] = f"Bearer {KEY}"
        elif lot < 0.8:
            headers["X-API-Key"] = KEY
        return lot < 0.8

    def _find(self, name, answer, wrong):
        """Report each kind of finding once for each operation."""
        self._seen[name, wrong] += 1
        if self._seen[name, wrong] == 1:
            asked = f"{answer.request.method} {answer.request.url[:300]} {str(answer.request.body)[:300]}"
            self.findings.append(Finding(LEFT, f"{name}: {wrong}; {asked}: {answer.status_code} {answer.text[:300]}"))


FAULTS = (
    Fault(
        name="schemathesis",
        title="requests generated by Schemathesis",
        promise="no 5xx, as documented, every error a problem",
        in_ci=2000,
        in_full=50_000,
        run=send,
    ),
)
