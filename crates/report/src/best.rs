//! Methods in bold: all those, from the best mean down, that no test shows to be worse than another method.

use rayon::prelude::*;

use crate::{
    Better, Query, Setting,
    budget::is_off,
    number::counted,
    pairs::Pairs,
    stats::{Verdict, average, differs},
};

/// The rule, as the note below a table states it.
pub(crate) const RULE: &str = "no method of the table is shown to be better, by a two-sided paired t \
     test over shared seeds at 5 %, and every method with a better mean is in bold too. p: of the test \
     against the best mean in bold. Each test stands alone, without correction for their number, so \
     that bold never contradicts `cmp`; no bold is no proof of being worse. Methods with fewer than 3 \
     seeds, with a failed run or off the budget take no part.";

/// The place of a method relative to the others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// The best mean among the methods in bold.
    Best,
    /// The method was tested against the best one.
    Tested {
        /// The two-sided p value; none if the differences have no variance.
        p: Option<f64>,
    },
    /// The method was excluded or could not be tested, with the reason.
    Untested(String),
    /// The method has no results.
    Absent,
}

/// The places of some methods in one metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Whether each method is in bold.
    pub(crate) bold: Vec<bool>,
    /// The standing of each method relative to the best.
    pub(crate) places: Vec<Place>,
}

/// The methods of a table in one metric.
struct Field<'a> {
    setting: &'a Setting<'a>,
    query: &'a Query,
    methods: &'a [&'a str],
    what: (&'a str, &'a str),
    better: Better,
    /// The values of each method by seed, oriented so that higher is better.
    values: Vec<Vec<(u64, f64)>>,
}

/// The methods in bold, and the place of the others relative to the best of them.
pub(crate) fn standing(
    setting: &Setting,
    query: &Query,
    methods: &[&str],
    what: (&str, &str),
    better: Better,
) -> Standing {
    let values = |method: &&str| {
        let scores = setting.scores(method, what.0, what.1);
        scores.into_iter().flatten().map(|(seed, x)| (*seed, better.oriented(*x))).collect()
    };
    let values = methods.iter().map(values).collect();
    let field = Field { setting, query, methods, what, better, values };
    let why: Vec<Option<String>> = (0..methods.len()).map(|at| field.why_not(at)).collect();
    let entrants: Vec<usize> = (0..methods.len()).filter(|at| why[*at].is_none()).collect();
    let beaten = field.beaten(&entrants);
    let unbeaten = entrants.iter().copied().filter(|at| !beaten[*at]);
    let best = unbeaten.max_by(|a, b| field.value(*a).total_cmp(&field.value(*b)));
    let mut bold = vec![false; methods.len()];
    let mut places = Vec::new();
    for (at, why) in why.into_iter().enumerate() {
        let place = match (why, best) {
            (Some(why), _) if why.is_empty() => Place::Absent,
            (Some(why), _) => Place::Untested(why),
            (None, Some(best)) if best == at => Place::Best,
            (None, Some(best)) => field.place(at, best),
            (None, None) => Place::Untested("no best".into()),
        };
        bold[at] = match place {
            Place::Best => true,
            Place::Tested { .. } => !beaten[at],
            _ => false,
        };
        places.push(place);
    }
    Standing { bold, places }
}

impl Field<'_> {
    /// The reason why a method is excluded; empty if it has no results, none if it is included.
    fn why_not(&self, at: usize) -> Option<String> {
        let (method, (metric, split)) = (self.methods[at], self.what);
        let seeds = self.setting.scores(method, metric, split).map_or(0, |scores| scores.len());
        let failed = self.setting.failed(method, metric, split).len();
        match (seeds, failed) {
            (0, _) => Some(String::new()),
            (_, 1) => Some("a run failed".into()),
            (_, 2..) => Some(format!("{failed} runs failed")),
            _ if is_off(self.setting, method) => Some("off budget".into()),
            (1 | 2, _) => Some(counted(seeds, "seed")),
            _ => None,
        }
    }

    fn value(&self, at: usize) -> f64 {
        let values: Vec<f64> = self.values[at].iter().map(|(_, value)| *value).collect();
        average(&values).unwrap_or(f64::NEG_INFINITY)
    }

    fn pairs(&self, a: usize, b: usize) -> Pairs {
        let methods = [self.methods[a], self.methods[b]];
        Pairs::new(self.setting, methods, self.what, self.query.examples)
    }

    fn place(&self, at: usize, best: usize) -> Place {
        let pairs = self.pairs(at, best);
        match pairs.paired {
            Some(paired) => Place::Tested { p: paired.p_value },
            None => Place::Untested(counted(pairs.differences.len(), "shared seed")),
        }
    }

    /// Whether each method is worse than another one over shared seeds, or has a lower mean than such a
    /// method. Excluded methods can still beat others, unless they are off the budget.
    fn beaten(&self, entrants: &[usize]) -> Vec<bool> {
        let all = 0..self.methods.len();
        let mut rivals: Vec<usize> =
            all.clone().filter(|at| !is_off(self.setting, self.methods[*at])).collect();
        // The best methods come first, since they are the most likely to beat another one.
        let means: Vec<f64> = all.map(|at| self.value(at)).collect();
        rivals.sort_by(|a, b| means[*b].total_cmp(&means[*a]));
        let loses = |at: &usize| rivals.iter().any(|rival| rival != at && self.loses(*at, *rival));
        // In parallel: 20,000 methods have 400 million pairs.
        let (mut taking, mut left): (Vec<usize>, Vec<usize>) =
            entrants.par_iter().copied().partition(loses);
        // A method that is beaten also removes those with a lower mean, until nothing changes.
        while let Some(rival) = taking.pop() {
            let (below, above): (Vec<usize>, Vec<usize>) =
                left.into_iter().partition(|at| self.is_below(*at, rival));
            left = above;
            taking.extend(below);
        }
        let mut beaten = vec![false; self.methods.len()];
        entrants.iter().for_each(|at| beaten[*at] = true);
        left.iter().for_each(|at| beaten[*at] = false);
        beaten
    }

    /// The differences of the first method minus the second over the seeds that both have, oriented so that
    /// higher is better.
    fn differences(&self, at: usize, rival: usize) -> Vec<f64> {
        let (mut mine, mut theirs) = (self.values[at].iter(), self.values[rival].iter());
        let (mut a, mut b) = (mine.next(), theirs.next());
        let mut differences = Vec::new();
        while let (Some((seed, x)), Some((other, y))) = (a, b) {
            if seed == other {
                differences.push(x - y);
            }
            if seed <= other {
                a = mine.next();
            }
            if other <= seed {
                b = theirs.next();
            }
        }
        differences
    }

    fn loses(&self, at: usize, rival: usize) -> bool {
        let differences = self.differences(at, rival);
        if !is_negative(&differences) {
            return false;
        }
        if self.query.examples {
            let pairs = self.pairs(at, rival);
            return matches!(pairs.alone(self.better), Verdict::Worse | Verdict::NoVariance);
        }
        // The same rule as in `Pairs::alone`: a seed on which only the rival failed rules the verdict out.
        let failed = || self.setting.failed(self.methods[rival], self.what.0, self.what.1);
        let has =
            |seed: u64| self.values[at].binary_search_by_key(&seed, |(seed, _)| *seed).is_ok();
        differs(&differences) && !failed().into_iter().any(has)
    }

    fn is_below(&self, at: usize, rival: usize) -> bool {
        is_negative(&self.differences(at, rival))
    }
}

/// Whether the mean of at least 3 differences is below 0.
fn is_negative(differences: &[f64]) -> bool {
    differences.len() >= 3 && average(differences).is_some_and(|mean| mean < 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Row, Runs, cmp, fixture};

    fn of(runs: &Runs, better: Better, metric: &str) -> Standing {
        let setting = Setting::all(runs, false).unwrap().remove(0);
        standing(&setting, &Query::default(), &setting.methods, (metric, "test"), better)
    }

    fn bold(runs: &Runs, better: Better, metric: &str) -> Vec<String> {
        let standing = of(runs, better, metric);
        let setting = Setting::all(runs, false).unwrap().remove(0);
        let names = setting.methods.iter().zip(standing.bold);
        names.filter(|(_, bold)| *bold).map(|(name, _)| name.to_string()).collect()
    }

    fn rows(method: &str, metric: &str, values: &[f64]) -> Vec<Row> {
        let row = |(seed, value): (u64, &f64)| fixture::row(method, seed, metric, *value);
        (0..).zip(values).map(row).collect()
    }

    #[test]
    fn only_what_cannot_be_told_from_the_best() {
        // soft has the best mean, but only 2 seeds; the fourth method has a failed run.
        let runs = fixture::runs();
        assert_eq!(bold(&runs, Better::Higher, "accuracy"), ["switch", "top-k"]);
        let places = of(&runs, Better::Higher, "accuracy").places;
        assert_eq!(places[2], Place::Best);
        assert!(matches!(places[0], Place::Tested { p: Some(p) } if p < 0.001));
        assert_eq!(places[3], Place::Untested("2 seeds".into()));
        assert_eq!(places[4], Place::Untested("a run failed".into()));
        assert_eq!(places[5], Place::Absent);
    }

    #[test]
    fn lower_can_be_better() {
        let mut all = rows("a", "loss", &[1.0, 1.1, 1.2, 1.3]);
        all.extend(rows("b", "loss", &[1.5, 1.7, 1.6, 1.8]));
        let runs = Runs::of(all);
        assert_eq!(bold(&runs, Better::Lower, "loss"), ["a"]);
        assert_eq!(bold(&runs, Better::Higher, "loss"), ["b"]);
    }

    /// On digits, the default suite once had a method of mean 0.923 in bold but not one of mean 0.929: the
    /// differences of the first to the best have a larger variance.
    #[test]
    fn nobody_is_in_bold_below_somebody_who_is_not() {
        let mut all = rows("best", "accuracy", &[0.950, 0.940, 0.945, 0.955]);
        all.extend(rows("even", "accuracy", &[0.930, 0.921, 0.926, 0.935]));
        all.extend(rows("wild", "accuracy", &[0.99, 0.85, 0.97, 0.87]));
        assert_eq!(bold(&Runs::of(all), Better::Higher, "accuracy"), ["best"]);
    }

    /// On the shared seeds the method with the best mean over its own seeds is the worse one.
    #[test]
    fn the_best_is_found_on_shared_seeds() {
        let mut all = rows("lucky", "accuracy", &[0.90, 0.91, 0.92]);
        let other = [0.95, 0.955, 0.965, 0.5, 0.5, 0.5];
        all.extend(rows("steady", "accuracy", &other));
        let runs = Runs::of(all);
        assert_eq!(bold(&runs, Better::Higher, "accuracy"), ["steady"]);
        let c = cmp(&runs, &Query::default(), "lucky", "steady", None).unwrap().remove(0);
        assert_eq!(c.verdict, Verdict::Worse);
    }

    #[test]
    fn without_shared_seeds_it_says_so() {
        let mut all = rows("a", "accuracy", &[0.90, 0.91, 0.92]);
        let moved = rows("b", "accuracy", &[0.8, 0.81, 0.82]);
        all.extend(moved.into_iter().map(|row| Row { seed: row.seed + 3, ..row }));
        let standing = of(&Runs::of(all), Better::Higher, "accuracy");
        assert_eq!(standing.places, [Place::Best, Place::Untested("0 shared seeds".into())]);
        assert_eq!(standing.bold, [true, false]);
    }

    /// Up to 5 methods and 6 seeds; a value, a failed run, or nothing.
    fn any_runs() -> impl Strategy<Value = Runs> {
        let cell = prop_oneof![
            8 => (0..6_u8).prop_map(|value| Some(Some(0.5 + 0.05 * f64::from(value)))),
            4 => Just(None),
            1 => Just(Some(None)),
        ];
        let methods = prop::collection::vec(prop::collection::vec(cell, 6), 2..5);
        (methods, 0.0..0.2_f64).prop_map(|(methods, gap)| {
            let mut rows = Vec::new();
            for (at, seeds) in methods.into_iter().enumerate() {
                for (seed, cell) in (0..).zip(seeds) {
                    let method = format!("m{at}");
                    rows.extend(match cell {
                        None => None,
                        Some(None) => Some(fixture::gap(&method, seed, "failed", "at step 3")),
                        Some(Some(value)) => {
                            let value = value + gap * at as f64;
                            Some(fixture::row(&method, seed, "accuracy", value))
                        }
                    });
                }
            }
            Runs::of(rows)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever seeds are missing, `cmp` never calls a method in bold worse than another one; and if no
        /// seeds are missing, the methods in bold are those from the best mean down, without a gap.
        #[test]
        fn bold_never_contradicts_cmp(runs in any_runs(), lower in any::<bool>()) {
            let metric = if lower { "loss" } else { "accuracy" };
            let better = if lower { Better::Lower } else { Better::Higher };
            let rows = runs.rows.into_iter().map(|row| match row.is_gap() {
                true => row,
                false => Row { metric: metric.into(), ..row },
            });
            let runs = Runs::of(rows);
            let Some(setting) = Setting::all(&runs, false).unwrap().pop() else { return Ok(()) };
            let standing = standing(&setting, &Query::default(), &setting.methods, (metric, "test"), better);
            let bold = || setting.methods.iter().zip(&standing.bold).filter(|(_, bold)| **bold);
            for (method, _) in bold() {
                for other in setting.methods.iter().filter(|other| *other != method) {
                    let query = Query { metrics: vec![metric.into()], ..Query::default() };
                    let comparison = cmp(&runs, &query, method, other, None).unwrap().remove(0);
                    prop_assert!(comparison.verdict != Verdict::Worse, "{method} {other}");
                }
            }
            let mean_of = |method: &str| {
                let scores = setting.scores(method, metric, "test").unwrap();
                better.oriented(scores.values().sum::<f64>() / scores.len() as f64)
            };
            let complete = |method: &&&str| setting.scores(method, metric, "test").is_some_and(|s| s.len() == 6);
            if setting.methods.iter().all(|method| complete(&method)) {
                let least = bold().map(|(method, _)| mean_of(method)).fold(f64::INFINITY, f64::min);
                prop_assert!(bold().count() > 0);
                for (method, bold) in setting.methods.iter().zip(&standing.bold) {
                    prop_assert!(*bold || mean_of(method) <= least + 1e-9, "{method}");
                }
            }
        }
    }
}
