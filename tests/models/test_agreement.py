"""The comparison that the suite of real models and the benchmarks rest on."""

import numpy as np
import pytest

from agreement import difference, differences

ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted"),
    [
        (ONES, ONES, 0),
        (ONES * 1.5, ONES, 0.5),
        # Over the largest magnitude of the reference, whichever element differs.
        (np.float32([1, -4]), np.float32([1.2, -4]), 0.05),
        (np.float32([1e-3]), np.float32([0]), 1e-3),
        (np.float16([1.5]), np.float16([1]), 0.5),
        (np.float32([np.nan, 1]), np.float32([np.nan, 2]), 0.5),
        (np.float32([]), np.float32([]), 0),
        (np.int64([1, 2]), np.int64([1, 2]), 0),
        # No tolerance makes these right.
        (None, ONES, np.inf),
        (ONES.astype(np.float64), ONES, np.inf),
        (ONES.T, ONES, np.inf),
        (np.float32([np.nan, 1]), np.float32([1, 1]), np.inf),
        (np.float32([1, 1]), np.float32([np.nan, 1]), np.inf),
        (np.float32([np.inf]), np.float32([-np.inf]), np.inf),
        (np.int64([1, 2]), np.int64([1, 3]), np.inf),
    ],
)
def test_difference(ours, theirs, wanted):
    assert difference(ours, theirs) == pytest.approx(wanted, rel=1e-5)


def test_every_output_of_the_reference_is_asked_for():
    found = differences({"a": ONES, "more": ONES}, {"a": ONES, "b": ONES})
    assert found == {"a": 0, "b": np.inf}
