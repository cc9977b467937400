import numpy as np
import pytest

from core.domain.arrays import FrameFacts
from core.domain.spec import AlignSpec, ProjectSpec
from core.layout.project import project_frames
from core.measure.card import is_better
from core.measure.outliers import score_frames
from core.review.review import ReviewInputs, review

NONE = AlignSpec(method="none")


def film(*, project, align):
    """Return four clusters in eight features that separate one after the other."""
    rng = np.random.default_rng(5)
    labels = np.arange(80) % 4
    homes, noise = 4 * np.eye(8)[:4], rng.normal(0, 0.4, (80, 8))
    frames = [
        (homes[labels] * np.clip(t - labels[:, None], 0, 3) + noise + rng.normal(0, 0.05, (80, 8))).astype(np.float32)
        for t in range(9)
    ]
    scores, graph = score_frames(frames, k=5)
    facts = [FrameFacts(10 * t, float(t), 1.0, 0.5, labels) for t in range(9)]
    projection = project_frames(frames, project=project, align=align)
    return ReviewInputs(frames, facts, projection, scores, graph, labels, ("a", "b", "c", "d"))


def test_review__the_usual_layout_has_no_alternative():
    told = []
    project = ProjectSpec()
    card, highlights = review(
        film(project=project, align=NONE), project=project, align=NONE, on_frame=lambda *done: told.append(done)
    )
    assert (card.alternatives, len(card.frames), card.k, card.points) == ((), 9, 15, 80)
    assert (card.closer_look.frame, card.closer_look.points) == (8, 80)
    assert card.closer_look.better == (card.advice is not None)
    assert card.verdict.startswith("motion on the screen partly follows")
    assert told == [(done, 9) for done in range(1, 10)]
    assert {one.kind for one in highlights.highlights} == {"class_separates", "outlier_resolved"}


@pytest.mark.parametrize("method", ["rigid", "procrustes"])
def test_review__another_layout_is_compared_with_the_default(method):
    project, align = ProjectSpec(method="pca"), AlignSpec(method=method)
    card, _ = review(film(project=project, align=align), project=project, align=align)
    usual, _ = review(film(project=ProjectSpec(), align=NONE), project=ProjectSpec(), align=NONE)
    [other] = card.alternatives
    assert other.method == "smooth_pca"
    assert other.pearson == pytest.approx(usual.motion.pearson, abs=1e-5)
    assert other.trustworthiness == pytest.approx(np.mean([one.trustworthiness for one in usual.frames]), abs=1e-5)
    own = card.motion.pearson, float(np.mean([one.trustworthiness for one in card.frames]))
    assert other.better == is_better(own, (other.pearson, other.trustworthiness))
    assert other.better == ("smooth_pca would serve" in (card.advice or ""))
