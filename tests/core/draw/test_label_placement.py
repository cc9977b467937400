import itertools

import numpy as np
import pytest

from core.draw.box import Box
from core.draw.label_placement import beside

BOX = Box(0, 0, 200, 200)
SIZE, REACH = 8.0, 10.0


def place(*marks: tuple[float, float]) -> np.ndarray:
    return beside(np.array(marks).reshape(-1, 2), np.full((len(marks), 2), SIZE), reach=REACH, box=BOX)


def overlap(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((np.abs(one - other) < SIZE - 1).all())


def test_beside__far_from_others_always_in_the_same_place() -> None:
    marks = np.array([(30.0, 50), (100, 60), (60, 160)])
    shifts = place(*marks.tolist()) - marks
    np.testing.assert_allclose(shifts, shifts[[0, 0, 0]])
    assert shifts[0, 0] > REACH / 2
    assert shifts[0, 1] < -REACH / 2


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("apart", [0.0, 3.0, 9.0])
def test_beside__labels_of_a_crowd_do_not_lie_on_each_other(count: int, apart: float) -> None:
    labels = place(*((100 + apart * at, 100 + apart * (at % 3)) for at in range(count)))
    assert not any(overlap(one, other) for one, other in itertools.combinations(labels, 2))


def test_beside__a_label_leaves_its_place_for_a_mark_there() -> None:
    exclusive, (crowded, _) = place((100, 100)), place((100, 100), (112, 88))
    assert not (crowded == exclusive[0]).all()
    assert np.abs(crowded - (112, 88)).max() > REACH


@pytest.mark.parametrize("mark", [(0.0, 0.0), (200, 0), (0, 200), (200, 200), (195, 100)])
def test_beside__labels_stay_in_the_box(mark: tuple[float, float]) -> None:
    (label,) = place(mark)
    assert (label >= SIZE / 2 - 1).all()
    assert (label <= 200 - SIZE / 2 + 1).all()


def test_beside__none() -> None:
    assert place().shape == (0, 2)
