"""How near one set of outputs is to another."""

import numpy as np


def differences(ours, theirs):
    """Each output's largest difference, over the largest magnitude of the reference, by name.

    Infinite where names, types or shapes differ, or where one has a NaN or an infinity that the other lacks. Integers
    and truth values must be equal.
    """
    return {name: difference(ours.get(name), theirs[name]) for name in theirs}


def difference(ours, theirs):
    if ours is None or ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return np.inf
    if theirs.dtype.kind != "f":
        return 0.0 if np.array_equal(ours, theirs) else np.inf
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True) or not np.isfinite(ours[finite]).all():
        return np.inf
    largest = np.abs(theirs[finite]).max(initial=0)
    furthest = np.abs(ours[finite] - theirs[finite]).max(initial=0)
    return float(furthest / largest) if largest else float(furthest)
