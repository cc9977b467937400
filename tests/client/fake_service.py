"""The contract in small: a run that goes one stage further with every look. `python fake_service.py [PORT [END]]`."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

STAGES = ("fine_tune", "embed", "score", "project", "render")
LAST = 6
GIF = b"GIF89a" + b"\x00" * 50
PROBLEM = {"type": "/problems/not-found", "title": "There is nothing here", "detail": "There is no such run."}


def run_at(look: int, *, end: str = "succeeded", total: int = 4) -> dict[str, Any]:
    """The run after `look` looks: one stage ends with each."""
    stages = []
    for index, name in enumerate(STAGES):
        status = "succeeded" if index < look - 1 else "running" if index == look - 1 and look < LAST else "waiting"
        done = {"succeeded": total, "running": total // 2, "waiting": 0}[status]
        started = "2026-01-01T00:00:00+00:00" if status != "waiting" else None
        finished = "2026-01-01T00:00:02+00:00" if status == "succeeded" else None
        stages.append(
            {
                "name": name,
                "status": status,
                "progress": {"done": done, "total": total},
                "attempt": 1,
                "reused": False,
                "started_at": started,
                "finished_at": finished,
            }
        )
    ended = look >= LAST
    failed = ended and end == "failed"
    if failed:
        stages[-1]["status"] = "failed"
    return {
        "id": "run_1",
        "name": "digits",
        "status": end if ended else ("queued" if look == 0 else "running"),
        "version": look + 1,
        "stages": stages,
        "eta_seconds": None if ended else 12.0,
        "error": {"type": "/problems/stage-crashed", "title": "A stage crashed", "detail": "Boom."} if failed else None,
        "notice": None,
        "links": {"self": "/v1/runs/run_1", "film": "/v1/runs/run_1/film.gif" if ended and not failed else None},
        "created_at": "2026-01-01T00:00:00+00:00",
    }


class Handler(BaseHTTPRequestHandler):
    end: ClassVar[str] = "succeeded"
    look: ClassVar[int] = 0
    cancelled: ClassVar[int] = 0
    asked_with: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/readyz":
            self.answer(200, {"status": "ok", "workers": 1})
        elif path == "/v1/runs/run_1":
            Handler.asked_with.append(self.headers.get("If-None-Match"))
            if len(Handler.asked_with) % 2 == 0 and self.headers.get("If-None-Match"):
                self.answer(304, None)
                return
            self.answer(200, run_at(Handler.look, end=self.end), ETag=f'"{Handler.look + 1}"')
            Handler.look = min(LAST, Handler.look + 1)
        elif path == "/v1/runs/run_1/checkpoints":
            row = {"step": 80, "epoch": 1.5, "loss": 0.8123, "accuracy": 0.712}
            self.answer(200, {"checkpoints": [row]})
        elif path == "/v1/runs/run_1/film.gif":
            self.answer(200, GIF)
        else:
            self.answer(404, PROBLEM)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/cancel"):
            Handler.cancelled += 1
        self.answer(202, run_at(0))

    def answer(self, status: int, body: Any, **headers: str) -> None:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


def start(port: int = 0, *, end: str = "succeeded") -> ThreadingHTTPServer:
    """A fresh fake service, not yet serving."""
    Handler.end, Handler.look, Handler.cancelled, Handler.asked_with = end, 0, 0, []
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    sys.stderr.write("fake api listens\n")
    start(int(sys.argv[1] or os.environ["EMBEDREEL_PORT"]), end=(sys.argv[2:] or ["succeeded"])[0]).serve_forever()
