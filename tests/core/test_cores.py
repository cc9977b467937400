import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from core import cores


def n_threads():
    return {library["num_threads"] for library in threadpool_info()}


def test_side_by_side__returns_results_in_order_and_raises_the_first_error():
    with cores.side_by_side(4) as each:
        assert each(lambda number: number * number, range(5)) == [0, 1, 4, 9, 16]
        with pytest.raises(ZeroDivisionError):
            each(lambda number: 1 // number, [1, 0, 2])


def test_in_background__runs_beside_the_block_with_single_threaded_libraries():
    began, seen = threading.Event(), []

    def work():
        seen.append(n_threads())
        assert began.wait(timeout=30), "the block runs at the same time"
        return "made"

    np.linalg.eigvalsh(np.eye(2))  # BLAS is loaded
    before = n_threads()
    with cores.in_background(work) as made:
        seen.append(n_threads())
        began.set()
        assert made() == "made"
    assert seen == [{1}, {1}]
    assert n_threads() == before


def test_in_background__raises_the_error_when_the_result_is_read():
    with cores.in_background(lambda: 1 // 0) as made, pytest.raises(ZeroDivisionError):
        made()
