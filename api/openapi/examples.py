"""What each operation answers, as an example in the OpenAPI document. A test holds them against the answers' models."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from api.datasets.sources import links as dataset_links
from api.runs import figures
from api.runs.describe import links
from api.runs.schemas import EXAMPLE, RunCreate
from api.webhooks import schemas
from core.domain import layers, models
from core.domain.figures import declared
from core.domain.spec import PinnedSources
from core.domain.stages import STAGES

_RUN_ID = "run_01kaxw2vd4n8q6r0t3y5z7b9cf"
_OTHER_ID, _COMPARISON_ID = "run_01kaxw3c5e7g9j1m3p5r7t9v1x", "run_01kaxw4d6f8h0k2n4q6s8u0w2y"
_DATASET_ID = "ds_01kaxw1hm2k4n6p8r0t2v4x6z8"
_STEPS = [0, 75, 150, 225, 300]
_FRAMES = len(_STEPS)
_ASKED = RunCreate.model_validate({**EXAMPLE, "capture": {"frames": _FRAMES}})
_SPEC = _ASKED.to_spec(
    None, PinnedSources(dataset_digest="digits-v1"), title="digits", decay=models.usual_layer_decay("vit-tiny")
).model_dump(mode="json")
_AT = "2026-11-21T12:00:00Z"


def _stage(name: str, status: str, done: int, total: int) -> dict[str, Any]:
    started = _AT if done else None
    progress = {"done": done, "total": total}
    attempt = 1 if done else 0
    times = {"started_at": started, "finished_at": None}
    known = {"name": name, "status": status, "progress": progress, "unit": STAGES[name].unit}
    return {**known, "attempt": attempt, "reused": False, **times}


def _run(status: str, *, done: int, position: int | None) -> dict[str, Any]:
    """A run of five frames, `done` of which are embedded."""
    tasks = {"fine_tune": 1, "embed": _FRAMES, "score": 1, "project": 1, "measure": 1, "render": 1}
    return {
        "id": _RUN_ID,
        "name": "digits",
        "status": status,
        "version": 1 + 2 * done,
        "spec": _SPEC,
        "plan": {
            "steps": _STEPS,
            "stages": [
                {"name": name, "tasks": count, "queue": "cpu" if name == "render" else "gpu"}
                for name, count in tasks.items()
            ],
        },
        "stages": [
            _stage("fine_tune", "running" if done else "queued", _STEPS[done], _STEPS[-1] if done else 0),
            _stage("embed", "running" if done else "waiting", done, _FRAMES),
            *(_stage(name, "waiting", 0, 0) for name in ("score", "project", "measure", "render")),
        ],
        "queue_position": position,
        "eta_seconds": 18.5 if done else None,
        "error": None,
        "notice": None,
        "drawn_from": None,
        "links": links(_RUN_ID, film=False, model=False).model_dump(),
        "created_at": _AT,
        "started_at": _AT if done else None,
        "finished_at": None,
    }


_QUEUED, _RUNNING = _run("queued", done=0, position=0), _run("running", done=2, position=None)

_CHECKPOINTS = [
    {"index": 0, "step": 0, "epoch": 0.0, "loss": 2.39, "accuracy": 0.104},
    {"index": 1, "step": 75, "epoch": 6.0, "loss": 0.61, "accuracy": 0.823},
]

_DATASET = {
    "id": "digits",
    "name": "digits",
    "kind": "builtin",
    "classes": [str(digit) for digit in range(10)],
    "train_size": 797,
    "evaluation_size": 1000,
    "digest": "digits-v1",
    "report": None,
    "links": dataset_links("digits", contact_sheet=False).model_dump(),
    "created_at": None,
}

_CARD = models.known_models(())[0]
_MODEL = {**asdict(_CARD), "inputs": [asdict(size) for size in _CARD.inputs], "revision": None}
_MADE_OF = layers.descriptions()[_CARD.id].model_dump(mode="json")

_UPLOADED = {
    **_DATASET,
    "id": _DATASET_ID,
    "name": "Pets",
    "kind": "upload",
    "classes": ["cat", "dog"],
    "train_size": 4000,
    "evaluation_size": 1000,
    "digest": "6f1d0c",
    "report": {
        "format": 1,
        "digest": "6f1d0c",
        "class_names": ["cat", "dog"],
        "train_size": 4000,
        "evaluation_size": 1000,
        "image_size": 375,
        "image_sizes": {"least": 96, "most": 500},
        "images_per_class": {"train": [2010, 1990], "evaluation": [500, 500]},
        "splits": {
            "rule": "folder names",
            "train": [{"file": "train", "rows": 4000}],
            "evaluation": [{"file": "val", "rows": 1000}],
            "unused": [],
        },
        "duplicates": {"train": 2, "evaluation": 0, "across": 1},
        "columns": {"image": "file", "label": "folder"},
        "broken": {"count": 1, "first": ["train: train/cat/0666.jpg: broken or cut short"]},
        "ignored": {"count": 1, "first": ["README.txt"]},
    },
    "links": dataset_links(_DATASET_ID, contact_sheet=True).model_dump(),
    "created_at": _AT,
}

_PROBLEM_TYPE = {
    "type": "/problems/not-ready",
    "title": "Not there yet",
    "status": 409,
    "description": "The run has not made this yet, or ended before it could.",
}

_WEBHOOK = {**schemas.EXAMPLE, "id": "wh_01kaxw3bq2n4p6r8t0v2x4z6b8", "created_at": _AT, "disabled_at": None}
_DELIVERY = {
    "id": "dlv_01kaxw4cr3n5q7s9t1v3x5z7b9",
    "type": "run.succeeded",
    "status": "delivered",
    "attempts": 1,
    "last_status": 204,
    "last_error": None,
    "next_attempt_at": None,
    "created_at": _AT,
    "delivered_at": _AT,
}
_NEW_KEY = {"name": "ann", "tenant": "lab", "scopes": ["read", "write"]}
_KEY = {**_NEW_KEY, "id": "key_01kaxw5ds4n6r8t0v2x4z6b8da", "created_at": _AT, "revoked_at": None}

_FRAME_QUALITY = {
    "frame": 0,
    "step": 0,
    "trustworthiness": 0.809,
    "continuity": 0.918,
    "neighbors_kept": 0.156,
    "explained_variance": 0.321,
    "relative_variance": 0.802,
    "loss": 2.92,
    "accuracy": 0.077,
    "knn_accuracy": 0.66,
    "neighborhood_hit": 0.436,
    "cka": None,
    "rank_me": 37.9,
    "nc1": 2.96,
}


def _compared(run_id: str, model: str, accuracy: float) -> dict[str, Any]:
    return {
        "run": run_id,
        "name": f"digits, {model}",
        "model": model,
        "parameters": 535_306,
        "phases": [{"phase": "fine tune", "step": 300, "accuracy": accuracy, "loss": 0.2}],
        "seconds": 24.5,
        "images_per_second": 780.0,
    }


_COMPARISON: dict[str, Any] = {
    "id": _COMPARISON_ID,
    "name": "two models",
    "status": "queued",
    "runs": [_compared(_RUN_ID, "vit-tiny", 0.951), _compared(_OTHER_ID, "vit-small", 0.964)],
    "likeness": None,
    "error": None,
    "links": {
        "self": f"/v1/comparisons/{_COMPARISON_ID}",
        "run": f"/v1/runs/{_COMPARISON_ID}",
        "film": None,
    },
    "created_at": _AT,
}

REQUESTS: Mapping[str, Any] = {
    "makeKey": _NEW_KEY,
    "drawRun": {"name": "digits, small", "render": {"width": 640, "height": 480, "fps": 24}},
    "compareRuns": {"name": "two models", "runs": [_RUN_ID, _OTHER_ID], "render": {"theme": "dark"}},
}
"""Bodies by operation id; submitRun has examples of its own."""

ANSWERS: Mapping[str, Any] = {
    "submitRun": _QUEUED,
    "getRun": _RUNNING,
    "listRuns": {"runs": [_RUNNING], "next_cursor": None},
    "cancelRun": _run("cancelling", done=2, position=None),
    "retryRun": _QUEUED,
    "drawRun": _QUEUED,
    "compareRuns": _COMPARISON,
    "getComparison": {
        **_COMPARISON,
        "status": "succeeded",
        "likeness": {"cka": [[1.0, 0.87], [0.87, 1.0]]},
        "links": {**_COMPARISON["links"], "film": f"/v1/runs/{_COMPARISON_ID}/film.gif"},
    },
    "listEvents": {
        "events": [
            {"seq": 1, "type": "run.queued", "at": _AT, "data": {}},
            {"seq": 2, "type": "run.running", "at": _AT, "data": {}},
        ],
        "last": 2,
    },
    "streamEvents": (
        'retry: 2000\n\nevent: run.queued\ndata: {"seq": 1, "type": "run.queued", '
        f'"at": "{_AT}", "data": {{}}}}\nid: 1\n\n'
    ),
    "listCheckpoints": {"checkpoints": _CHECKPOINTS},
    "getLog": "step,epoch,loss,learning_rate,gradient_norm,accuracy\n1,0.08,2.38,3.3e-05,1.7,\n",
    "getProjection": {
        "frames": _CHECKPOINTS[:1],
        "labels": [3, 8],
        "rows": [0, 1],
        "class_names": _DATASET["classes"],
        "explained_variance": [0.41],
        "smoothing": 2.0,
        "points": [[[0.12, -1.5], [2.25, 0.5]]],
    },
    "listOutliers": {
        "frame": 4,
        "frames": _FRAMES,
        "outliers": [
            {
                "image": 17,
                "row": 17,
                "label": 8,
                "class": "8",
                "distance": 0.213,
                "cleanlab": 0.41,
                "trajectory": [0.012, 0.054, 0.131, 0.198, 0.213],
            }
        ],
    },
    "getQuality": {
        "verdict": "motion on the screen follows the representation: r = 0.80; trustworthiness 0.82, 21 % of nearest "
        "neighbours kept; frame 1 shows 71 % of what a plane can show of it",
        "advice": "To look at single frames, tsne keeps 52 % of nearest neighbours (frame 4, 400 of its points), where "
        "smooth_pca keeps 24 %; motion on its screen means little. Draw it anew with "
        '{"project": {"method": "tsne"}}.',
        "k": 15,
        "points": 1000,
        "motion": {
            "pearson": 0.797,
            "spearman": 0.865,
            "temporal_stress": 0.252,
            "neighborhood_change": 0.659,
            "residual_rotation": 1.03,
            "jitter": 1.0,
            "disparity": 0.0533,
        },
        "frames": [_FRAME_QUALITY],
        "alternatives": [],
        "closer_look": {
            "method": "tsne",
            "frame": 4,
            "points": 400,
            "neighbors_kept": 0.52,
            "kept_here": 0.24,
            "better": True,
        },
    },
    "listFigures": {
        "figures": [
            figures.describe(spec, _RUN_ID, reason=None).model_dump(mode="json") for spec in declared().values()
        ]
    },
    "listHighlights": {
        "highlights": [
            {
                "kind": "class_separates",
                "frame": 2,
                "step": 150,
                "caption": "4 separates from 6",
                "classes": ["4", "6"],
                "image": None,
                "numbers": {"own_before": 0.78, "own": 0.862, "other_before": 0.073},
            }
        ]
    },
    "getEvaluation": {
        "phases": [
            {
                "phase": "fine tune",
                "step": 300,
                "loss": 0.21,
                "accuracy": 0.9375,
                "classes": [
                    {"name": "cat", "images": 8, "accuracy": 0.875},
                    {"name": "dog", "images": 8, "accuracy": 1.0},
                ],
                "confusion": [[7, 1], [0, 8]],
                "calibration_error": 0.0325,
                "calibration": [{"images": 16, "confidence": 0.97, "accuracy": 0.9375}],
            }
        ]
    },
    "listLabelIssues": {
        "label_issues": {
            "count": 1,
            "issues": [
                {
                    "image": 17,
                    "row": 17,
                    "label": 8,
                    "class_name": "8",
                    "suggested_label": 1,
                    "suggested_class": "1",
                    "confidence": 0.012,
                    "suggested_confidence": 0.951,
                    "thumbnail": "data:image/png;base64,iVBORw0KGgo…",
                }
            ],
        },
        "leaks": {"count": 1, "leaks": [{"image": 4, "row": 4, "training_row": 311, "difference": 0.0}]},
    },
    "uploadDataset": _UPLOADED,
    "listDatasets": {"datasets": [_DATASET, _UPLOADED]},
    "getDataset": _DATASET,
    "listModels": {"models": [_MODEL]},
    "getModel": {**_MODEL, **_MADE_OF},
    "listWorkers": {
        "workers": [
            {
                "id": "gpu-host-4711-a1b2c3",
                "queues": ["gpu", "cpu"],
                "device": "cuda",
                "version": "0.1.0",
                "concurrency": 1,
                "doing": [{"run": _RUN_ID, "stage": "fine_tune"}],
                "started_at": _AT,
                "heartbeat_at": _AT,
                "alive": True,
            }
        ]
    },
    "registerWebhook": {**_WEBHOOK, "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"},
    "listWebhooks": {"webhooks": [_WEBHOOK]},
    "getWebhook": _WEBHOOK,
    "testWebhook": {**_DELIVERY, "type": "webhook.test"},
    "listDeliveries": {"deliveries": [_DELIVERY], "next_cursor": None},
    "redeliver": _DELIVERY,
    "makeKey": {**_KEY, "key": "er_01kaxw5ds4n6r8t0v2x4z6b8da_7rJm0tN2p4Rk6vX8z1B3d5F7h9K2m4P6r8T0v2X4z6b"},
    "listKeys": {"keys": [_KEY]},
    "metrics": '# TYPE embedreel_runs gauge\nembedreel_runs{status="running"} 1.0\n',
    "index": {"service": "Embedreel", "version": "0.1.0", "links": {"docs": "/docs", "runs": "/v1/runs"}},
    "live": {"status": "ok"},
    "ready": {"status": "ok", "database": "ok", "store": "ok", "workers": 1, "queues": ["cpu", "gpu"]},
    "listProblems": {"problems": [_PROBLEM_TYPE]},
    "explainProblem": _PROBLEM_TYPE,
}
"""Answers by operation id, of all that answer with text or JSON."""
