import pytest

from core.domain.quality import Alternative, FrameQuality, MotionQuality, SingleFrameTsne
from core.measure.card import is_better, quality_card, verdict

MOTION = "motion on the screen"
PLANE = "of what a plane can show of"
SHOWN = "the representation: r ="
KEPT = "trustworthiness 0.90, 25 % of nearest neighbours kept"
NOTHING = dict.fromkeys(MotionQuality.model_fields)


def motion(r):
    return MotionQuality(**{**NOTHING, "pearson": r})


def frames(*shares, trust=0.9, kept=0.25):
    unknown = dict.fromkeys(FrameQuality.model_fields)
    seen = {"trustworthiness": trust, "neighbors_kept": kept}
    return [
        FrameQuality(**{**unknown, **seen, "frame": index, "step": index, "relative_variance": share})
        for index, share in enumerate(shares)
    ]


@pytest.mark.parametrize(
    ("r", "shares", "expected"),
    [
        (
            0.714,
            (0.3, 0.5, 0.9),
            f"{MOTION} follows {SHOWN} 0.71; {KEPT}; frames 0-1 show 40 % {PLANE} them",
        ),
        (
            0.5,
            (0.9, 0.7, 0.9),
            f"{MOTION} partly follows {SHOWN} 0.50; {KEPT}; frame 1 shows 70 % {PLANE} it",
        ),
        (
            0.1,
            (0.9, 0.8),
            f"{MOTION} hardly follows {SHOWN} 0.10; {KEPT}; each frame shows 80 % or more {PLANE} it",
        ),
        (None, (None, None), f"nothing moves; {KEPT}"),
    ],
)
def test_verdict(r, shares, expected):
    assert verdict(motion(r), frames(*shares)) == expected


def test_verdict__nothing_is_known():
    assert verdict(motion(None), frames(None, trust=None, kept=None)) == "nothing moves"


def test_advice__by_the_numbers():
    better = Alternative(method="smooth_pca", pearson=0.8, trustworthiness=0.9, better=True)
    card = quality_card(motion(0.62), frames(1.0), k=15, points=9, method="pca, procrustes", alternatives=[better])
    assert card.advice == (
        "smooth_pca would serve this run better: r = 0.80 with trustworthiness 0.90, where pca, procrustes has 0.62 "
        'and 0.90. Redraw with {"project": {"method": "smooth_pca"}}; no training is needed.'
    )
    worse = better.model_copy(update={"better": False})
    card = quality_card(motion(0.62), frames(1.0), k=15, points=9, method="pca", alternatives=[worse])
    assert (card.advice, card.alternatives, card.k, card.points) == (None, (worse,), 15, 9)


def test_advice__to_look_closer():
    seen = SingleFrameTsne(method="tsne", frame=59, points=400, neighbors_kept=0.551, kept_here=0.214, better=True)
    card = quality_card(motion(0.62), frames(1.0), k=15, points=9, method="smooth_pca", closer_look=seen)
    assert card.closer_look == seen
    assert card.advice == (
        "For single frames, tsne keeps 55 % of nearest neighbours (frame 59, 400 of its points), where "
        'smooth_pca keeps 21 %; motion between t-SNE frames means little. Redraw with {"project": {"method": "tsne"}}.'
    )
    no_better = seen.model_copy(update={"better": False})
    card = quality_card(motion(0.62), frames(1.0), k=15, points=9, method="smooth_pca", closer_look=no_better)
    assert card.advice is None


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ((0.6, 0.9), (0.8, 0.9), True),
        ((0.6, 0.9), (0.64, 0.9), False),
        ((0.6, 0.9), (0.8, 0.88), False),
        ((None, 0.9), (0.8, 0.9), False),
        ((0.6, 0.9), (0.8, None), False),
    ],
)
def test_is_better(own, other, expected):
    assert is_better(own, other) is expected
