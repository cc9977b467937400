"""A small fake of the service: each poll moves the run one stage further. `python fake_service.py [PORT [END]]`."""

import io
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from zipfile import ZipFile

STAGES = ("fine_tune", "embed", "score", "project", "measure", "render")
LAST = len(STAGES) + 1
WORKER = {
    "id": "worker-1",
    "queues": ["gpu", "cpu"],
    "device": "cpu",
    "version": "0.1.0",
    "concurrency": 1,
    "doing": [{"run": "run_1", "stage": "fine_tune"}],
    "started_at": "2026-01-01T00:00:00+00:00",
    "heartbeat_at": "2026-01-01T00:00:05.25+00:00",
    "alive": True,
}
DATASET = {"id": "digits", "name": "Digits", "kind": "builtin", "classes": ["0", "1"], "train_size": 90}
WEBHOOK = {"id": "wh_1", "url": "https://example.test/hook", "events": ["run.succeeded"]}
KEY = {"id": "key_1", "name": "ci", "tenant": "tenant_1", "scopes": ["runs:read"]}
CARD = {
    "id": "vit-tiny",
    "kind": "preset",
    "family": "ViT",
    "parameters": 546_186,
    "flops": 78_300_000,
    "width": 128,
    "pooling": "class token (CLS) after the final norm",
    "head": "linear",
    "inputs": [
        {"image_size": 8, "parameters": 538_000, "flops": 20_000_000},
        {"image_size": 64, "parameters": 546_186, "flops": 78_300_000},
    ],
}
SWIN = CARD | {
    "id": "microsoft/swin-tiny-patch4-window7-224",
    "kind": "hub",
    "family": "ConvNeXt",  # the longest value of each
    "parameters": 138_365_992,
    "flops": 35_126_135_808,
    "width": 2048,
    "pooling": "mean of the patch tokens after the final norm",
    "inputs": [{"image_size": 224, "parameters": 138_365_992, "flops": 35_126_135_808}],
}
UNKNOWN = dict.fromkeys(CARD) | {"id": "somebody/unknown", "kind": "hub", "head": "linear", "inputs": []}
MODELS = [CARD, SWIN, UNKNOWN]
NO_MORE = {"repeat": 1, "children": []}
MLP = {"name": "mlp", "kind": "ViTMLP", "parameters": 65_920, "flops": 8_519_680, "output_shape": [65, 128], **NO_MORE}
LAYERS = MLP | {
    "name": "layers.0",
    "kind": "ViTLayer",
    "parameters": 132_480,
    "flops": 19_200_000,
    "repeat": 4,
    "children": [MLP],
}
VIT = MLP | {"name": "vit", "kind": "ViTModel", "parameters": 544_896, "flops": 78_297_440, "children": [LAYERS]}
HEAD = MLP | {"name": "classifier", "kind": "Linear", "parameters": 1290, "flops": 2560, "output_shape": [10]}
MODEL = CARD | {
    "blocks": [
        {"name": "vit.layers.0", "depth_from_head": 1, "parameters": 132_480},
        {"name": "classifier", "depth_from_head": 0, "parameters": 1290},
    ],
    "layer_tree": {"name": "", "kind": "ViTForImageClassification", **NO_MORE, "children": [VIT, HEAD]},
}
LISTS: dict[str, dict[str, Any]] = {
    "/v1/workers": {"workers": [WORKER]},
    "/v1/datasets": {"datasets": [DATASET]},
    "/v1/webhooks": {"webhooks": [WEBHOOK]},
    "/v1/keys": {"keys": [KEY]},
    "/v1/models": {"models": MODELS},
    "/v1/models/vit-tiny": MODEL,
    "/v1/models/somebody/unknown": UNKNOWN | {"blocks": None, "layer_tree": None},
}
HIGHLIGHT = {"kind": "class_separates", "frame": 2, "step": 1500, "caption": "0 separates from 1", "numbers": {}}
LISTS |= {
    "/v1/runs/run_1/quality": {"verdict": "nothing moves", "advice": "smooth_pca would serve this run better."},
    "/v1/runs/run_1/highlights": {"highlights": [HIGHLIGHT]},
}
PHASE = {
    "phase": "head",
    "step": 208,
    "loss": 0.5,
    "accuracy": 0.875,
    "classes": [
        {"name": "cat", "images": 6, "accuracy": 1.0},
        {"name": "dog", "images": 2, "accuracy": 0.5},
        {"name": "fox", "images": 0, "accuracy": None},
    ],
    "confusion": [[6, 0, 0], [1, 1, 0], [0, 0, 0]],
    "calibration_error": 0.0625,
    "calibration": [],
}
LISTS |= {"/v1/runs/run_1/evaluation": {"phases": [PHASE]}}
ISSUE = {
    "image": 17,
    "row": 34,
    "label": 0,
    "class_name": "cat",
    "suggested_label": 1,
    "suggested_class": "dog",
    "confidence": 0.0125,
    "suggested_confidence": 0.9875,
    "thumbnail": "data:image/png;base64,AAAA",
}
LEAK = {"image": 4, "row": 8, "training_row": 311, "difference": 0.5}
LABEL_ISSUES = {"label_issues": {"count": 1234, "issues": [ISSUE]}, "leaks": {"count": 1, "leaks": [LEAK]}}
LISTS |= {"/v1/runs/run_1/label-issues": LABEL_ISSUES}


def _compared(run: str, name: str, model: str, **told: Any) -> dict[str, Any]:
    return {"run": run, "name": name, "model": model, "seconds": None, "images_per_second": None} | told


def _end(phase: str, accuracy: float) -> dict[str, Any]:
    return {"phase": phase, "step": 10, "accuracy": accuracy, "loss": 0.5}


COMPARISON = {
    "id": "run_1",
    "runs": [
        _compared(
            "run_1",
            "digits",
            "vit-tiny",
            parameters=535_306,
            phases=[_end("all", 0.951)],
            seconds=24.6,
            images_per_second=780.2,
        ),
        _compared(
            "run_2",
            "digits, larger",
            "vit-small",
            parameters=3_210_000,
            phases=[_end("head", 0.239), _end("all", 0.633)],
        ),
    ],
    "likeness": {"cka": [[1.0, 0.87], [0.87, 1.0]]},
    "links": {"film": "/v1/runs/run_1/film.gif"},
}
LISTS |= {"/v1/comparisons/run_1": COMPARISON}
GIF = b"GIF89a" + b"\x00" * 50
with ZipFile(_packed := io.BytesIO(), "w") as _archive:
    _archive.writestr("README.md", "# pets")
    _archive.writestr("config.json", "{}")
TRAINED = _packed.getvalue()
PROBLEM = {"type": "/problems/not-found", "title": "There is nothing here", "detail": "There is no such run."}


def run_at(look: int, *, end: str = "succeeded", total: int = 4, attempt: int = 1) -> dict[str, Any]:
    """Return the run after `look` polls: each poll ends one stage."""
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
                "unit": "steps" if name == "fine_tune" else "frames",
                "attempt": attempt,
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
    attempt: ClassVar[int] = 1
    cancelled: ClassVar[int] = 0
    asked_with: ClassVar[list[str | None]] = []
    faults: ClassVar[list[int | str]] = []
    """What befalls the next POSTs: a status, or `lost before` or `lost after` they are done."""
    made: ClassVar[dict[str, dict[str, Any]]] = {}
    """Runs by Idempotency-Key."""
    posted: ClassVar[list[tuple[str, Any]]] = []
    deleted: ClassVar[list[str]] = []
    events: ClassVar[list[dict[str, Any]]] = []
    breaks_after: ClassVar[int] = 0
    """The stream breaks off after so many events, each time; 0: never."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/readyz":
            self.answer(200, {"status": "ok", "workers": 0 if os.environ.get("FAKE_WITHOUT_WORKERS") else 1})
        elif path == "/v1/runs/run_1":
            Handler.asked_with.append(self.headers.get("If-None-Match"))
            if len(Handler.asked_with) % 2 == 0 and self.headers.get("If-None-Match"):
                self.answer(304, None)
                return
            self.answer(200, run_at(Handler.look, end=self.end, attempt=self.attempt), ETag=f'"{Handler.look + 1}"')
            Handler.look = min(LAST, Handler.look + 1)
        elif path == "/v1/runs/run_1/checkpoints":
            row = {"step": 80, "epoch": 1.5, "loss": 0.8123, "accuracy": 0.712}
            self.answer(200, {"checkpoints": [row]})
        elif path == "/v1/runs/run_1/film.gif":
            self.answer(200, GIF)
        elif path == "/v1/runs/run_1/model":
            self.answer(200, TRAINED)
        elif path == "/v1/runs/run_1/events":
            after = int(self.path.partition("after=")[2].partition("&")[0] or 0)
            self.answer(200, {"events": self.events[after:]})
        elif path == "/v1/runs/run_1/stream":
            self.stream(int(self.headers.get("Last-Event-ID") or 0))
        elif path in LISTS:
            self.answer(200, LISTS[path])
        else:
            self.answer(404, PROBLEM)

    def stream(self, after: int) -> None:
        left = self.events[after:]
        if not left:
            self.answer(204, None)
            return
        sent = left[: self.breaks_after] if self.breaks_after else left
        lines = [f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in sent]
        broken = 'data: {"seq":' if len(sent) < len(left) else ""
        content = (": ping\n\n" + "".join(lines) + broken).encode()
        self.answer(200, content, length_too_large=bool(broken), content_type="text/event-stream")

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = Handler.faults.pop(0) if Handler.faults else None
        if fault == "lost before":
            return
        if isinstance(fault, int):
            headers = {"Retry-After": "0"} if fault in {429, 503} else {}
            kind = {"type": "/problems/idempotency-in-flight"} if fault == 409 else {}
            self.answer(fault, {"title": "Not now"} | kind, **headers)
            return
        answer = self.do(content)
        if fault != "lost after":
            self.answer(*answer)

    def do(self, content: bytes) -> tuple[int, Any]:
        is_json = "json" in (self.headers.get("Content-Type") or "")
        Handler.posted.append((self.path, json.loads(content) if is_json and content else content))
        if self.path.endswith("/cancel"):
            Handler.cancelled += 1
        if self.path in {"/v1/webhooks", "/v1/keys"}:
            return 201, (WEBHOOK | {"secret": "whsec_x"} if "webhooks" in self.path else KEY | {"key": "er_secret"})
        if self.path == "/v1/datasets":
            return 201, DATASET | {"id": "ds_1", "evaluation_size": 10}
        if self.path == "/v1/comparisons":
            return 202, COMPARISON
        if self.path.endswith("/test"):
            return 202, {"status": "queued"}
        key = self.headers.get("Idempotency-Key") or f"none {len(Handler.made)}"
        return 202, Handler.made.setdefault(key, run_at(0))

    def do_DELETE(self) -> None:
        if self.path == "/v1/runs/run_2":
            self.answer(409, {"title": "Not now", "detail": "The run has not ended: cancel it first."})
            return
        Handler.deleted.append(self.path)
        self.answer(204, None)

    def answer(
        self, status: int, body: Any, *, length_too_large: bool = False, content_type: str = "", **headers: str
    ) -> None:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/problem+json" if status >= 400 else "application/json"
        self.send_header("Content-Type", content_type or kind)
        self.send_header("Content-Length", str(len(content) + length_too_large))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""


def start(port: int = 0, *, end: str = "succeeded") -> ThreadingHTTPServer:
    """Return a new fake service that does not serve yet."""
    Handler.end, Handler.look, Handler.cancelled, Handler.asked_with = end, 0, 0, []
    Handler.faults, Handler.made, Handler.posted, Handler.deleted, Handler.events = [], {}, [], [], []
    Handler.breaks_after, Handler.attempt = 0, 1
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    sys.stderr.write("fake api listens\n")
    start(int(sys.argv[1] or os.environ["EMBEDREEL_PORT"]), end=(sys.argv[2:] or ["succeeded"])[0]).serve_forever()
