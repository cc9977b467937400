"""The soak test detects a trend."""

import pytest

from tests.faults.soak import MEBIBYTE, _trends, slope


def test_slope__a_few_outliers_do_not_move_it():
    values = [(at, 3.0 * at + 5) for at in range(30)]
    values[7] = (7, 1e9)
    assert slope(values) == pytest.approx(3)


@pytest.mark.parametrize(
    ("name", "a_second", "small"),
    [
        ("memory of API", 0.1 * MEBIBYTE, True),
        ("memory of API", 0.5 * MEBIBYTE, False),
        ("descriptors of worker", 0.5, False),
        ("rows of events", 10, False),
        ("broker's file", 0.2 * MEBIBYTE, False),
        ("threads of API", -3, True),
    ],
)
def test_trends(name, a_second, small):
    samples = [(at, {name: 100 + a_second * at}) for at in range(40)]
    assert _trends(samples, 40)[name][1] is small
