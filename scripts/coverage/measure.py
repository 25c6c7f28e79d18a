"""How often 95 % intervals hold the truth, by simulation: the figures of docs/methodology.md.

numpy 2.4.6, scipy 1.17.1. From the root of the repository; takes some minutes:

    python3 -m venv /tmp/oracles
    /tmp/oracles/bin/pip install scipy==1.17.1 numpy==2.4.6
    /tmp/oracles/bin/python scripts/coverage/measure.py
"""

import numpy as np
from scipy import stats

RNG = np.random.default_rng(1)
TRIALS = 2000
DRAWS = 600


def mean_intervals(values):
    """Of a mean over seeds: percentile bootstrap, BCa, t."""
    n = len(values)
    drawn = np.sort(values[RNG.integers(0, n, (DRAWS, n))].mean(1))
    percentile = np.quantile(drawn, [0.025, 0.975])
    below = np.clip((drawn < values.mean()).mean(), 1e-3, 1 - 1e-3)
    bias = stats.norm.ppf(below)
    left = (values.sum() - values) / (n - 1)
    off = left.mean() - left
    speed = (off**3).sum() / (6 * (off**2).sum() ** 1.5)
    z = bias + stats.norm.ppf([0.025, 0.975])
    bca = np.quantile(drawn, stats.norm.cdf(bias + z / (1 - speed * z)))
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return {"percentile": percentile, "BCa": bca, "t": (values.mean() - half, values.mean() + half)}


def iqm(values):
    values = np.sort(values, axis=-1)
    cut = values.shape[-1] // 4
    return values[..., cut : values.shape[-1] - cut].mean(-1)


def iqm_intervals(tasks):
    """Of the interquartile mean over tasks: percentile bootstrap, and t with the bootstrap's error."""
    count, n = tasks.shape
    at = RNG.integers(0, n, (DRAWS, count, n))
    drawn = iqm(np.take_along_axis(tasks[None], at, 2).reshape(DRAWS, -1))
    middle = iqm(tasks.reshape(1, -1))[0]
    half = stats.t.ppf(0.975, count * (n - 1)) * drawn.std(ddof=1) * np.sqrt(n / (n - 1))
    return {
        "percentile": np.quantile(drawn, [0.025, 0.975]),
        "t, bootstrap error": (middle - half, middle + half),
    }


def crossed_intervals(values):
    """Of a mean over seeds and examples: seeds alone, crossed bootstrap, crossed t (report's)."""
    s, e = values.shape
    mean, rows, columns = values.mean(), values.mean(1), values.mean(0)
    by_seeds = e * ((rows - mean) ** 2).sum() / (s - 1) / (s * e)
    by_examples = s * ((columns - mean) ** 2).sum() / (e - 1) / (s * e)
    rest = values - rows[:, None] - columns[None] + mean
    by_both = (rest**2).sum() / ((s - 1) * (e - 1)) / (s * e)
    variance = max(by_seeds + by_examples - by_both, by_seeds, by_examples)
    doubt = by_seeds**2 / (s - 1) + by_examples**2 / (e - 1) + by_both**2 / ((s - 1) * (e - 1))
    drawn_seeds = RNG.multinomial(s, np.full(s, 1 / s), DRAWS)
    drawn_examples = RNG.multinomial(e, np.full(e, 1 / e), DRAWS)
    drawn = ((drawn_seeds @ values) * drawn_examples).sum(1) / (s * e)

    def around(error, df):
        half = stats.t.ppf(0.975, df) * error
        return mean - half, mean + half

    return {
        "seeds alone, t": around(np.sqrt(by_seeds), s - 1),
        "crossed bootstrap, percentile": np.quantile(drawn, [0.025, 0.975]),
        "crossed, t": around(np.sqrt(variance), max(1.0, variance**2 / doubt)),
    }


def coverage(intervals, draw, truth=0.0):
    held = {}
    for _ in range(TRIALS):
        for name, (low, high) in intervals(draw()).items():
            held[name] = held.get(name, 0) + (low <= truth <= high)
    return "; ".join(f"{name} {100 * count / TRIALS:.1f} %" for name, count in held.items())


def main():
    for n in (3, 5, 8, 20):
        print(f"mean of {n} seeds: {coverage(mean_intervals, lambda: RNG.standard_normal(n))}")
    for tasks, n in ((1, 5), (2, 5), (1, 8), (2, 8)):
        draw = lambda: RNG.standard_normal((tasks, n))
        print(f"interquartile mean, {tasks} tasks of {n} seeds: {coverage(iqm_intervals, draw)}")
    for n in (5, 8):
        for part in ((0.0, 0.1, 1.0), (0.02, 0.3, 1.0), (0.0, 1.0, 1.0), (0.01, 0.0, 1.0)):
            seeds, examples, both = np.sqrt(part)
            draw = lambda: (
                seeds * RNG.standard_normal((n, 1))
                + examples * RNG.standard_normal((1, 300))
                + both * RNG.standard_normal((n, 300))
            )
            what = f"{n} seeds, 300 examples, variances {part}"
            print(f"{what}: {coverage(crossed_intervals, draw)}")


if __name__ == "__main__":
    main()
