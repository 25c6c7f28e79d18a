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
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from rliable import metrics
from scipy import integrate, stats
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
    """Intervals of a line."""
    xs, ys = np.array(points).T
    fit = stats.linregress(xs, ys)
    t = stats.t.ppf(0.975, len(xs) - 2)
    ols = sm.OLS(ys, sm.add_constant(xs)).fit()
    low, high = ols.get_prediction(np.array([[1.0, x]])).conf_int(alpha=0.05)[0]
    return {
        "points": points,
        "x": x,
        "slope": fit.slope,
        "intercept": fit.intercept,
        "slope_half": t * fit.stderr,
        "intercept_half": t * fit.intercept_stderr,
        "low": low,
        "high": high,
    }


def seeds(effect):
    return {"effect": effect, "n": int(np.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05)))}


def nemenyi(k, n):
    q = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2)
    return {"k": k, "n": n, "distance": float(q * np.sqrt(k * (k + 1) / (6 * n)))}


def profile(scores, tau):
    """rliable's run-score distribution: the share of runs above tau, over all tasks."""
    return {"tau": tau, "share": float(np.mean(np.array(scores) > tau))}


def power_of_equivalence(margin, n):
    """Of two one-sided t tests at 5 %, without a difference: by integration over the estimated
    deviation, and by simulation."""
    t = stats.t.ppf(0.95, n - 1)

    def integrand(s):
        room = margin * np.sqrt(n) - t * s
        inside = max(0.0, 2 * stats.norm.cdf(room) - 1)
        return inside * stats.chi.pdf(s * np.sqrt(n - 1), n - 1) * np.sqrt(n - 1)

    end = margin * np.sqrt(n) / t
    integral, _ = integrate.quad(integrand, 0, end, epsabs=1e-12, limit=200)
    rng = np.random.default_rng(0)
    trials = 1_000_000
    mean = rng.standard_normal(trials) / np.sqrt(n)
    deviation = np.sqrt(rng.chisquare(n - 1, trials) / (n - 1))
    simulated = np.mean(np.abs(mean) < margin - t * deviation / np.sqrt(n))
    return {"margin": margin, "n": n, "power": integral, "simulated": float(simulated)}


def seeds_for_equivalence(margin):
    n = 3
    while power_of_equivalence(margin, n)["power"] < 0.8:
        n += 1
    return {"margin": margin, "n": n}


def crossed(seeds, examples, seed, weighted):
    """Crossed random factors: mean squares of statsmodels' two-way analysis of variance."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(20, 65, examples).astype(float) if weighted else np.ones(examples)
    values = weights * (
        2.0
        + 0.2 * rng.standard_normal((seeds, 1))
        + 0.6 * rng.standard_normal((1, examples))
        + 0.3 * rng.standard_normal((seeds, examples))
    )
    values = np.round(values, 4)
    mean = values.sum() / (seeds * weights.sum())
    linear = (values - mean * weights) / weights.mean()
    row, column = np.indices(linear.shape)
    frame = pd.DataFrame({"y": linear.ravel(), "seed": row.ravel(), "example": column.ravel()})
    table = sm.stats.anova_lm(smf.ols("y ~ C(seed) + C(example)", frame).fit())
    squares, df = table["mean_sq"] / linear.size, table["df"]
    variance = squares["C(seed)"] + squares["C(example)"] - squares["Residual"]
    assert variance > squares["C(seed)"] and variance > squares["C(example)"]
    freedom = variance**2 / (squares**2 / df).sum()
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    return {
        "values": values.tolist(),
        "weights": weights.tolist(),
        "mean": mean,
        "error": np.sqrt(variance),
        "df": freedom,
        "low": mean - half,
        "high": mean + half,
    }


def welch(a, b):
    """The mean of two strata is half of the difference between one and the other turned around."""
    turned = [-value for value in b]
    interval = stats.ttest_ind(a, turned, equal_var=False).confidence_interval(0.95)
    mean = (np.mean(a) + np.mean(b)) / 2
    return {"strata": [a, b], "mean": mean, "low": interval.low / 2, "high": interval.high / 2}


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
        "power_of_equivalence": [
            power_of_equivalence(m, n) for m, n in [(1.0, 5), (2.0, 5), (0.5, 30), (1.095, 9)]
        ],
        "seeds_for_equivalence": [seeds_for_equivalence(m) for m in (0.5, 1.0, 1.0954, 2.0)],
        "crossed": [crossed(4, 30, 0, False), crossed(5, 20, 1, True), crossed(3, 12, 2, True)],
        "welch": [welch(A, B[:4]), welch(A[:3], [10 * b for b in B[:5]])],
    }
    OUT.write_text(json.dumps(golden, indent=1, default=float) + "\n")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
