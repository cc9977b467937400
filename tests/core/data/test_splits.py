import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import splits
from core.errors import InvalidDatasetError

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(lambda values: np.array(values, np.int64))
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train.parquet", "train"),
        ("train-00000-of-00002.parquet", "train"),
        ("Training_Set.parquet", "train"),
        ("cifar10-train.parquet", "train"),
        ("trainset2.parquet", "train"),
        ("test.parquet", "test"),
        ("test-00000-of-00001.parquet", "test"),
        ("val.parquet", "validation"),
        ("validation-0.parquet", "validation"),
        ("eval_data.parquet", "validation"),
        ("evaluation.parquet", "validation"),
        ("dev.parquet", "validation"),
        ("images.parquet", None),
        ("contest.parquet", None),
        ("valuables.parquet", None),
        ("trainers.parquet", None),
    ],
)
def test_role_of(name, role):
    assert splits.role_of(name) == role


@pytest.mark.parametrize(
    ("names", "train", "evaluation", "unused"),
    [
        (["train.parquet", "test.parquet"], (0,), (1,), ()),
        (["test.parquet", "train-0.parquet", "train-1.parquet"], (1, 2), (0,), ()),
        (["train.parquet", "test.parquet", "val.parquet"], (0,), (2,), (1,)),
        (["a.parquet", "b.parquet"], (0, 1), (), ()),
        (["train-0.parquet", "train-1.parquet"], (0, 1), (), ()),
        (["test.parquet"], (0,), (), ()),
        (["val.parquet", "test.parquet"], (0, 1), (), ()),
    ],
)
def test_by_file_name(names, train, evaluation, unused):
    assert splits.by_file_name(names) == splits.FileSplits(train, evaluation, unused)


def test_by_file_name__some_files_do_not_say():
    with pytest.raises(InvalidDatasetError, match=r"more\.parquet does not say which split"):
        splits.by_file_name(["train.parquet", "more.parquet"])


def test_stratified__hand_case():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    rows = splits.stratified(labels, 5, seed=0)
    assert np.bincount(labels[rows], minlength=3).tolist() == [3, 2, 0]  # of 3, 1.5 and 0.5


@given(LABELS, SEEDS, st.floats(0, 1))
def test_stratified__size_shares_order_determinism(labels, seed, share):
    size = round(share * len(labels))
    rows = splits.stratified(labels, size, seed=seed)
    assert rows.dtype == np.int64
    assert len(rows) == size
    assert (np.diff(rows) > 0).all()
    picked, there = np.bincount(labels[rows], minlength=7), np.bincount(labels, minlength=7)
    assert (np.abs(picked - there * size / len(labels)) < 1).all()
    np.testing.assert_array_equal(rows, splits.stratified(labels, size, seed=seed))


def test_stratified__all_and_none():
    labels = np.array([2, 0, 1, 0])
    assert splits.stratified(labels, 4, seed=3).tolist() == [0, 1, 2, 3]
    assert splits.stratified(labels, 0, seed=3).tolist() == []
    assert splits.stratified(np.empty(0, np.int64), 0, seed=3).tolist() == []


@pytest.mark.parametrize("size", [-1, 5])
def test_stratified__out_of_range(size):
    with pytest.raises(ValueError, match="there are 4 rows"):
        splits.stratified(np.zeros(4, np.int64), size, seed=0)


def test_stratified__seed_decides():
    labels = np.zeros(100, np.int64)
    assert splits.stratified(labels, 10, seed=0).tolist() != splits.stratified(labels, 10, seed=1).tolist()


def test_stratified__stable_across_releases():
    labels = np.arange(1000) % 7
    rows = splits.stratified(labels, 300, seed=0)
    assert hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:16] == "9e1871c06692ae79"


@given(LABELS, SEEDS)
def test_by_row__partition_and_every_class_on_both_sides(labels, seed):
    train, evaluation = splits.by_row(labels, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, evaluation])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(evaluation) > 0).all()
    there = np.bincount(labels, minlength=7)
    held_out = np.bincount(labels[evaluation], minlength=7)
    assert (held_out[there >= 2] >= 1).all()
    assert (held_out[there == 1] == 0).all()
    assert (there - held_out)[there > 0].min() >= 1
    assert (np.abs(held_out - there / 5) <= 1).all()


@given(LABELS, SEEDS, st.floats(0.01, 0.99))
def test_by_row__any_share(labels, seed, share):
    train, evaluation = splits.by_row(labels, share=share, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, evaluation])), np.arange(len(labels)))
    there, held_out = (np.bincount(rows, minlength=7) for rows in (labels, labels[evaluation]))
    assert (np.abs(held_out - there * share) <= 1).all()
    assert (held_out[there >= 2] >= 1).all()
    assert (there - held_out)[there > 0].min() >= 1


def test_by_row__a_fifth_is_unchanged():
    for n in range(2, 3000):
        assert round(n * splits.EVALUATION_SHARE) == (n + 2) // 5


def test_by_row__a_fifth():
    labels = np.arange(1000) % 10
    train, evaluation = splits.by_row(labels)
    assert (len(train), len(evaluation)) == (800, 200)
    assert np.bincount(labels[evaluation]).tolist() == [20] * 10
