"""The paired bootstrap of bench/bootstrap.mjs by NumPy: counts of items per resample times scores, then percentiles."""

import json
import sys
import time

import numpy as np


def intervals(scores, resamples, rng, block=500):
    items = scores.shape[0]
    means = np.empty((resamples, scores.shape[1]))
    for start in range(0, resamples, block):
        draws = rng.integers(0, items, size=(min(block, resamples - start), items))
        counts = np.zeros((draws.shape[0], items))
        for row, drawn in enumerate(draws):
            counts[row] = np.bincount(drawn, minlength=items)
        means[start : start + draws.shape[0]] = counts @ scores / items
    return np.quantile(means, [0.025, 0.975], axis=0)


def main():
    shape = json.loads(sys.argv[1])
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, size=(shape["items"], shape["models"] * shape["languages"])) / 2
    seconds = []
    for _ in range(shape["rounds"]):
        start = time.perf_counter()
        intervals(scores, shape["resamples"], rng)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "numpy": np.__version__}))


main()
