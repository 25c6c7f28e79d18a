"""Writes crates/report/fixtures/statistics.json: what other programs say about fixed numbers.

scipy 1.17.1, statsmodels 0.15.0, rliable 1.2.0, numpy 2.4.6. From the root of the repository:

    python3 -m venv /tmp/oracles
    /tmp/oracles/bin/pip install scipy==1.17.1 statsmodels==0.15.0 rliable==1.2.0 numpy==2.4.6
    /tmp/oracles/bin/python scripts/golden-statistics/make.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from rliable import metrics
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

OUT = Path("crates/report/fixtures/statistics.json")
A = [0.971, 0.975, 0.969, 0.978, 0.973, 0.980, 0.966, 0.974]
B = [0.952, 0.968, 0.957, 0.970, 0.975, 0.961, 0.949, 0.972]
# Rows are blocks, columns are methods; the second has ties.
SCORES = [
    [0.91, 0.89, 0.93, 0.85],
    [0.82, 0.82, 0.88, 0.80],
    [0.75, 0.71, 0.79, 0.74],
    [0.99, 0.97, 0.98, 0.95],
    [0.66, 0.61, 0.70, 0.64],
    [0.58, 0.60, 0.63, 0.57],
]


def t_interval(values):
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return {"values": values, "mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def paired(a, b):
    test = stats.ttest_rel(a, b)
    interval = test.confidence_interval(0.95)
    return {"a": a, "b": b, "p_value": test.pvalue, "low": interval.low, "high": interval.high}


def tost(a, b, margin):
    p_value, _, _ = ttost_paired(np.array(a), np.array(b), -margin, margin)
    return {"a": a, "b": b, "margin": margin, "p_value": p_value}


def wilcoxon(differences):
    """Exact also with ties: all assignments of signs to the differences that are not zero."""
    nonzero = np.array([d for d in differences if d != 0])
    ranks = stats.rankdata(np.abs(nonzero))
    n = len(nonzero)
    signs = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    sums = signs @ ranks
    observed = ranks[nonzero > 0].sum()
    p_value = min(1.0, 2 * min(np.mean(sums <= observed), np.mean(sums >= observed)))
    if len(set(np.abs(nonzero))) == n == len(differences):
        assert np.isclose(p_value, stats.wilcoxon(differences, method="exact").pvalue)
    return {"differences": differences, "p_value": float(p_value)}


def wilcoxon_many():
    """More than 100, with ties: by the normal distribution."""
    differences = [((37 * i) % 101 - 40) / 50 for i in range(150)]
    differences = [d for d in differences if d != 0]
    test = stats.wilcoxon(differences, method="approx", correction=False)
    return {"differences": differences, "p_value": test.pvalue}


def power(effect, n):
    return {"effect": effect, "n": n, "power": TTestPower().power(effect, n, 0.05)}


def line(points, x):
    """Intervals of a line, and of its slope when points are drawn anew."""
    xs, ys = np.array(points).T
    fit = stats.linregress(xs, ys)
    t = stats.t.ppf(0.975, len(xs) - 2)
    ols = sm.OLS(ys, sm.add_constant(xs)).fit()
    low, high = ols.get_prediction(np.array([[1.0, x]])).conf_int(alpha=0.05)[0]
    rng = np.random.default_rng(0)
    slopes = []
    while len(slopes) < 40000:
        drawn = rng.integers(0, len(xs), len(xs))
        if np.ptp(xs[drawn]) > 0:
            slopes.append(np.polyfit(xs[drawn], ys[drawn], 1)[0])
    slope_low, slope_high = np.quantile(slopes, [0.025, 0.975])
    return {
        "points": points,
        "x": x,
        "slope": fit.slope,
        "intercept": fit.intercept,
        "slope_half": t * fit.stderr,
        "intercept_half": t * fit.intercept_stderr,
        "low": low,
        "high": high,
        "slope_low": slope_low,
        "slope_high": slope_high,
    }


def seeds(effect):
    return {"effect": effect, "n": int(np.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05)))}


def nemenyi(k, n):
    q = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2)
    return {"k": k, "n": n, "distance": float(q * np.sqrt(k * (k + 1) / (6 * n)))}


def profile(scores, tau):
    """rliable's run-score distribution: the share of runs above tau, over all tasks."""
    return {"tau": tau, "share": float(np.mean(np.array(scores) > tau))}


def bootstrap(values):
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=200_000, method="percentile", rng=np.random.default_rng(0)
    )
    interval = result.confidence_interval
    return {"values": values, "low": interval.low, "high": interval.high}


def main():
    differences = [round(a - b, 6) for a, b in zip(A, B)]
    scores = np.array(SCORES)
    friedman = stats.friedmanchisquare(*scores.T)
    p_values = [0.04, 0.001, 0.03, 0.2, 0.012, 0.9]
    runs = scores.T  # rliable wants runs by tasks
    ranks = stats.rankdata(-scores, axis=1).mean(axis=0)
    golden = {
        "mean": [t_interval(A), t_interval(B[:3])],
        "paired_t": [paired(A, B), paired(A[:3], B[:3])],
        "tost": [tost(A, B, 0.02), tost(A, B, 0.005), tost(A[:4], B[:4], 0.03)],
        "holm": {"p_values": p_values, "corrected": multipletests(p_values, method="holm")[1].tolist()},
        "iqm": [
            {"values": v, "iqm": float(metrics.aggregate_iqm(np.array(v)[:, None]))}
            for v in (A, A[:5], A[:3] + B, [3.0])
        ],
        "improvement": [
            {
                "a": x.T.tolist(),
                "b": y.T.tolist(),
                "chance": float(metrics.probability_of_improvement(x, y)),
            }
            for x, y in [(runs[:2], runs[2:]), (np.array([A, B]).T, np.array([B, A]).T)]
        ],
        "profile": {"scores": SCORES, "points": [profile(SCORES, t) for t in (0.0, 0.6, 0.7, 0.82, 1.0)]},
        "friedman": {
            "scores": SCORES,
            "ranks": ranks.tolist(),
            "statistic": friedman.statistic,
            "p_value": friedman.pvalue,
        },
        "nemenyi": [nemenyi(k, n) for k, n in [(2, 10), (4, 6), (5, 30), (10, 14), (20, 50)]],
        "wilcoxon": [
            wilcoxon(differences),
            wilcoxon([0.1, -0.2, 0.3, 0.4, 0.5, 0.6]),
            wilcoxon([1.0, 1.0, -2.0, 3.0, 0.0, 3.0, -1.0, 4.0]),
            wilcoxon([0.5, 0.5, 0.5]),
        ],
        "wilcoxon_many": wilcoxon_many(),
        "power": [power(e, n) for e, n in [(0.5, 10), (1.0, 5), (2.0, 3), (0.1, 50), (0.2, 300)]],
        "seeds": [seeds(e) for e in (0.1, 0.2, 0.5, 1.0, 2.0)],
        "line": [
            line([[float(i), 2.0 - 0.3 * i + d] for i, d in enumerate(differences)], 3.3),
            line([[41.4, 3.1], [43.0, 3.9], [44.2, 4.2], [45.9, 4.7], [46.1, 4.9], [47.8, 5.5]], 50.0),
        ],
        "bootstrap": [bootstrap(differences), bootstrap(A)],
    }
    OUT.write_text(json.dumps(golden, indent=1, default=float) + "\n")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
