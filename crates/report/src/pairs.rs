//! Two methods on their shared seeds, the basis of every comparison.

use crate::{
    Better, ExampleRow, Setting,
    setting::Scores,
    stats::{Crossed, Paired, TestEvidence, Verdict, crossed, paired_t, verdict},
};

/// Two methods in one metric and split, over their shared seeds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pairs {
    /// The first minus the second, in the order of the seeds.
    pub(crate) differences: Vec<f64>,
    /// The paired t test; none with fewer than 3 shared seeds.
    pub(crate) paired: Option<Paired>,
    /// The number of seeds on which only the first method failed, and the number on which only the second
    /// did.
    pub(crate) failed: [usize; 2],
}

impl Pairs {
    /// Compares two methods of a setting. With `examples` the test also covers the choice of test examples,
    /// if their values are known.
    pub(crate) fn new(
        setting: &Setting,
        [a, b]: [&str; 2],
        (metric, split): (&str, &str),
        examples: bool,
    ) -> Self {
        let nothing = Scores::new();
        let scores = |method| setting.scores(method, metric, split).unwrap_or(&nothing);
        let (of_a, of_b) = (scores(a), scores(b));
        let shared: Vec<u64> =
            of_a.keys().copied().filter(|seed| of_b.contains_key(seed)).collect();
        let differences: Vec<f64> = shared.iter().map(|seed| of_a[seed] - of_b[seed]).collect();
        let failed = |method, other: &Scores| {
            let failed = setting.failed(method, metric, split);
            failed.iter().filter(|seed| other.contains_key(seed)).count()
        };
        let of = |method: &str| -> Option<Vec<&ExampleRow>> {
            let row = |seed: &u64| setting.examples(method, metric, split, *seed);
            shared.iter().map(row).collect()
        };
        let both = || Some((of(a)?, of(b)?));
        let crossed =
            if examples { both().and_then(|(a, b)| crossed_difference(&a, &b)) } else { None };
        let paired = paired_t(&differences);
        let paired = paired.map(|paired| crossed.map_or(paired, |c| paired.with_examples(&c)));
        Self { differences, paired, failed: [failed(a, of_b), failed(b, of_a)] }
    }

    /// The test, oriented so that a positive difference is better.
    pub(crate) fn oriented(&self, better: Better) -> Option<Paired> {
        self.paired.map(|paired| match better {
            Better::Higher => paired,
            Better::Lower => paired.turned(),
        })
    }

    /// The verdict on the first method. A failed run is worse than any other, so it rules out every verdict
    /// in favour of its method that the other seeds would give.
    pub(crate) fn verdict(&self, better: Better, evidence: TestEvidence) -> Verdict {
        let Some(paired) = self.oriented(better) else {
            return Verdict::Untested { shared: self.differences.len() };
        };
        let [of_first, of_second] = self.failed.map(|failed| failed > 0);
        match verdict(&paired, evidence) {
            Verdict::Better if of_first => Verdict::Failed,
            Verdict::Worse if of_second => Verdict::Failed,
            Verdict::Equivalent | Verdict::NoVariance if of_first || of_second => Verdict::Failed,
            verdict => verdict,
        }
    }

    /// The verdict of this test alone, without a margin and without correction.
    pub(crate) fn alone(&self, better: Better) -> Verdict {
        let difference = self.paired.and_then(|paired| paired.p_value);
        self.verdict(better, TestEvidence { difference, ..TestEvidence::default() })
    }
}

/// The difference over seeds and examples; none if the runs differ in their examples.
pub(crate) fn crossed_difference(a: &[&ExampleRow], b: &[&ExampleRow]) -> Option<Crossed> {
    let counts = &a.first()?.counts;
    let alike = a.iter().chain(b).all(|row| row.counts == *counts);
    let minus = |(a, b): (&&ExampleRow, &&ExampleRow)| -> Vec<f64> {
        a.sums.iter().zip(&b.sums).map(|(a, b)| a - b).collect()
    };
    let differences: Vec<Vec<f64>> = a.iter().zip(b).map(minus).collect();
    alike.then(|| crossed(&differences, counts)).flatten()
}

/// The mean of one method over seeds and examples; none where the runs differ in their examples.
pub(crate) fn crossed_mean(rows: &[&ExampleRow]) -> Option<Crossed> {
    let counts = &rows.first()?.counts;
    let alike = rows.iter().all(|row| row.counts == *counts);
    let sums: Vec<Vec<f64>> = rows.iter().map(|row| row.sums.clone()).collect();
    alike.then(|| crossed(&sums, counts)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Runs,
        fixture::{self, gap, row},
    };

    fn pairs(runs: &Runs, a: &str, b: &str, examples: bool) -> Pairs {
        let setting = Setting::all(runs, false).unwrap().remove(0);
        Pairs::new(&setting, [a, b], ("accuracy", "test"), examples)
    }

    #[test]
    fn only_shared_seeds_count() {
        let runs = Runs::of([
            row("a", 0, "accuracy", 0.9),
            row("a", 1, "accuracy", 0.5),
            row("b", 1, "accuracy", 0.25),
            row("b", 2, "accuracy", 0.1),
        ]);
        let pairs = pairs(&runs, "a", "b", false);
        assert_eq!((pairs.differences, pairs.paired), (vec![0.25], None));
    }

    #[test]
    fn a_failed_run_stands_against_its_method() {
        let mut runs = Runs::of((0..4).flat_map(|seed| {
            let noise = 0.001 * seed as f64;
            [row("good", seed, "accuracy", 0.9 + noise), row("bad", seed, "accuracy", 0.5 - noise)]
        }));
        let verdict = |runs: &Runs, a, b| pairs(runs, a, b, false).alone(Better::Higher);
        assert_eq!(verdict(&runs, "good", "bad"), Verdict::Better);
        runs.rows.extend([gap("good", 9, "failed", "NaN"), row("bad", 9, "accuracy", 0.5)]);
        assert_eq!(verdict(&runs, "good", "bad"), Verdict::Failed);
        assert_eq!(verdict(&runs, "bad", "good"), Verdict::Failed);
        // A value that is NaN counts as a failed run, and a seed on which both failed favours neither.
        let runs = |bad: f64| {
            let rows = runs.rows.iter().filter(|row| row.seed != 9).cloned();
            let rows =
                rows.chain([row("good", 9, "accuracy", f64::NAN), row("bad", 9, "accuracy", bad)]);
            Runs::of(rows)
        };
        assert_eq!(verdict(&runs(0.5), "good", "bad"), Verdict::Failed);
        assert_eq!(verdict(&runs(f64::INFINITY), "good", "bad"), Verdict::Better);
    }

    #[test]
    fn examples_widen_the_interval() {
        let runs = fixture::runs_with_examples();
        let alone = pairs(&runs, "a", "b", false).paired.unwrap();
        let both = pairs(&runs, "a", "b", true).paired.unwrap();
        assert_eq!((alone.examples, both.examples), (None, Some(40)));
        assert!((alone.difference - both.difference).abs() < 1e-12);
        assert!(both.high - both.low > 1.2 * (alone.high - alone.low), "{alone:?} {both:?}");
        // Without the values of examples the test is over the seeds alone.
        let without = pairs(&fixture::runs(), "switch", "dense", true).paired.unwrap();
        assert_eq!(without.examples, None);
    }
}
