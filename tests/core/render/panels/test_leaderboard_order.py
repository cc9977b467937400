import numpy as np

from core.render.panels.leaderboard_order import leaderboard_order, worst


def boards(*scores, count=3):
    return [standing.images.tolist() for standing in leaderboard_order(np.array(scores, dtype=np.float32), count)]


def test_worst__ties_and_nan():
    assert worst(np.array([0.5, np.nan, 0.5, 0.9], dtype=np.float32), 4).tolist() == [3, 0, 2, 1]


def test_standings__noise_changes_no_places():
    assert boards([0.5, 0.4, 0.3], [0.49, 0.5, 0.3], [0.5, 0.49, 0.3]) == [[0, 1, 2]] * 3


def test_standings__a_clearly_higher_score_moves_up():
    assert boards([0.5, 0.4, 0.3], [0.5, 0.4, 0.9]) == [[0, 1, 2], [2, 0, 1]]


def test_standings__on_the_board_are_the_worst_of_each_frame():
    rng = np.random.default_rng(1)
    scores = rng.random((30, 50)).astype(np.float32)
    for standing, row in zip(leaderboard_order(scores, 8), scores, strict=True):
        assert sorted(standing.images) == sorted(np.argsort(-row)[:8])


def test_standings__a_new_entry_is_placed_by_score_and_marked_for_two_frames():
    before = [0.5, 0.4, 0.3, 0.0]
    after = [0.5, 0.0, 0.3, 0.45]
    found = leaderboard_order(np.array([before, after, after, after], dtype=np.float32), 3)
    assert [one.images.tolist() for one in found] == [[0, 1, 2], [0, 3, 2], [0, 3, 2], [0, 3, 2]]
    assert [one.new for one in found] == [set(), {3}, {3}, set()]


def test_standings__where_most_are_new_none_is_marked():
    found = leaderboard_order(np.array([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=np.float32), 2)
    assert [one.new for one in found] == [set(), set()]


def test_standings__no_places():
    assert boards([0.5, 0.4], count=0) == [[]]
