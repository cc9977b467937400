"""Small artifacts of finished stages, enough for each route that serves results. The film is not a GIF."""

import numpy as np

from core.domain.arrays import OutlierScores, ProbeSet, Projection, TrainingLog
from core.domain.comparison import SIMILARITY_FILE, RepresentationSimilarity
from core.domain.evaluation import ClassResult, Evaluation, PhaseEvaluation
from core.domain.figures import DRAWN_FILE, DrawnFigures, declared
from core.domain.formats import FORMATS
from core.domain.label_issues import DataIssues, LabelIssue, LabelIssues, TrainTestDuplicate, TrainTestDuplicates
from core.domain.quality import FrameQuality, Highlight, Highlights, MotionQuality, QualityCard
from core.domain.stages import FINE_TUNE, MEASURE, PROJECT, RENDER, SCORE
from core.store.objects import codecs

IMAGES = 5
FILM = bytes(range(256)) * 40
MODEL = {
    "config.json": b'{"model_type": "vit"}',
    "preprocessor_config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 3000,
}
"""The files of a trained model, which is none."""

LEARNED = {
    "images": 797,
    "classes": ["cat", "dog"],
    "digest": "digits-v1",
    "parameters": 1234,
    "architecture": "ViTForImageClassification",
    "image_size": 8,
    "learning": 1234,
}
"""What the worker tells of it."""


def _write_fine_tune(folder, frames):
    steps = np.arange(3)
    nothing = np.full(3, np.nan, np.float32)
    log = TrainingLog(
        step=steps,
        epoch=steps.astype(np.float32) / 2,
        loss=np.float32([2.5, 1.25, 0.5]),
        learning_rate=np.float32([0.001, 0.0005, 0]),
        gradient_norm=nothing,
    )
    codecs.save(folder / "log", log)
    labels = np.arange(IMAGES) % 2
    probe = ProbeSet(np.zeros((IMAGES, 8, 8, 3), np.uint8), labels, np.arange(IMAGES) * 10, ("cat", "dog"))
    codecs.save(folder / "probe", probe)


def _write_scores(folder, frames):
    distance = np.arange(frames * IMAGES, dtype=np.float32).reshape(frames, IMAGES) % 7
    codecs.save(folder / "scores", OutlierScores(distance, 1 - distance / 8))


def _write_projection(folder, frames):
    points = np.arange(frames * IMAGES * 2, dtype=np.float32).reshape(frames, IMAGES, 2) / 8
    shown = np.full(frames, 0.5, np.float32)
    codecs.save(folder / "projection", Projection(points, shown, shown))


def _write_measure(folder, frames):
    unknown = dict.fromkeys(FrameQuality.model_fields)
    card = QualityCard(
        verdict="nothing moves",
        advice=None,
        k=1,
        points=IMAGES,
        motion=MotionQuality(**dict.fromkeys(MotionQuality.model_fields)),
        frames=[FrameQuality(**{**unknown, "frame": index, "step": index}) for index in range(frames)],
        alternatives=[],
    )
    phase = PhaseEvaluation(
        phase="fine tune",
        step=2,
        loss=0.5,
        accuracy=0.6,
        classes=[ClassResult(name=name, images=3 - place, accuracy=None) for place, name in enumerate(("cat", "dog"))],
        confusion=[[2, 1], [1, 1]],
        calibration_error=None,
        calibration=[],
    )
    (folder / "evaluation.json").write_text(Evaluation(phases=[phase]).model_dump_json())
    issue = LabelIssue(
        image=3,
        row=30,
        label=1,
        class_name="dog",
        suggested_label=0,
        suggested_class="cat",
        confidence=0.125,
        suggested_confidence=0.875,
        thumbnail="data:image/png;base64,AAAA",
    )
    issues = DataIssues(
        label_issues=LabelIssues(count=1, issues=[issue]),
        leaks=TrainTestDuplicates(count=1, leaks=[TrainTestDuplicate(image=2, row=20, training_row=7, difference=0.5)]),
    )
    (folder / "label_issues.json").write_text(issues.model_dump_json())
    happened = Highlight(kind="stands_still", frame=0, step=0, caption="Nothing moves", numbers={"fastest": 0.0})
    (folder / "quality.json").write_text(card.model_dump_json())
    (folder / "highlights.json").write_text(Highlights(highlights=[happened]).model_dump_json())


def _write_film(folder, frames):
    for name in (film_format.file for film_format in FORMATS.values()):
        (folder / name).write_bytes(FILM)
    for spec in declared().values():
        for suffix in spec.formats:
            path = folder / spec.file(suffix)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"{spec.name} as {suffix}".encode())
    (folder / DRAWN_FILE).write_text(DrawnFigures(drawn=tuple(declared())).model_dump_json())
    (folder / "frames").mkdir()
    for index in range(frames):
        (folder / "frames" / f"{index:05d}.png").write_bytes(b"frame %d" % index)
    (folder / SIMILARITY_FILE).write_text(RepresentationSimilarity(cka=[[1.0, 0.5], [0.5, 1.0]]).model_dump_json())


WRITERS = {
    FINE_TUNE.name: _write_fine_tune,
    SCORE.name: _write_scores,
    PROJECT.name: _write_projection,
    MEASURE.name: _write_measure,
    RENDER.name: _write_film,
}
"""Writes the artifact of a stage into a folder, for a film of so many frames."""
