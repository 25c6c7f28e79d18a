//! A setting: the runs of one suite, task and backbone, which are compared with each other.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;

use crate::{Error, ExampleRow, ExampleScores, Row, Runs, number::LARGEST};

/// A map with a faster hash than that of the standard library, since tables look up every value by names.
type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// The value of each seed.
pub type Scores = BTreeMap<u64, f64>;

/// The runs of one suite, task and backbone, by method and metric.
#[derive(Debug)]
pub struct Setting<'a> {
    /// The suite.
    pub suite: &'a str,
    /// The task.
    pub task: &'a str,
    /// The backbone.
    pub backbone: &'a str,
    /// The methods in order of appearance.
    pub methods: Vec<&'a str>,
    /// The metrics in order of appearance, without the marks of gaps.
    pub metrics: Vec<&'a str>,
    rows: HashMap<&'a str, Vec<&'a Row>>,
    /// The index of each method in `methods`.
    places: HashMap<&'a str, usize>,
    /// The numbers of the pairs of metric and split that were measured.
    measured: HashMap<&'a str, HashMap<&'a str, usize>>,
    /// The number of settings.
    count: usize,
    /// The values, by the number of metric and split, and the index of the method.
    scores: HashMap<(usize, usize), Scores>,
    /// The splits that have values, the one for comparisons first.
    splits: Vec<&'a str>,
    /// The run of each value, if the values of single examples are known.
    sources: HashMap<(usize, usize, u64), &'a str>,
    gaps: HashMap<&'a str, BTreeMap<u64, Gap>>,
    examples: &'a ExampleScores,
}

/// A run without a value.
#[derive(Debug)]
struct Gap {
    /// Whether the run was refused, so that it was never trained. This is no failure.
    refused: bool,
    /// The reason why there is no value.
    why: String,
}

impl<'a> Setting<'a> {
    /// All settings in order of appearance. Runs of two code revisions in one of them are an
    /// error unless `mix` is set.
    pub fn all(runs: &'a Runs, mix: bool) -> Result<Vec<Self>, Error> {
        let mut order = Vec::new();
        let mut rows: HashMap<_, Vec<&Row>> = HashMap::default();
        for row in &runs.rows {
            let key = (row.suite.as_str(), row.task.as_str(), row.backbone.as_str());
            let group = rows.entry(key).or_default();
            if group.is_empty() {
                order.push(key);
            }
            group.push(row);
        }
        let of = |key| Self::new(key, &rows[&key], &runs.examples, mix);
        order.into_iter().map(of).collect()
    }

    fn new(
        key: (&'a str, &'a str, &'a str),
        rows: &[&'a Row],
        examples: &'a ExampleScores,
        mix: bool,
    ) -> Result<Self, Error> {
        let (suite, task, backbone) = key;
        let mut setting = Self {
            suite,
            task,
            backbone,
            methods: distinct(rows.iter().map(|row| row.method.as_str())),
            metrics: distinct(rows.iter().filter(|row| !row.is_gap()).map(|row| &*row.metric)),
            rows: HashMap::default(),
            places: HashMap::default(),
            measured: HashMap::default(),
            count: 0,
            scores: HashMap::default(),
            splits: Vec::new(),
            sources: HashMap::default(),
            gaps: HashMap::default(),
            examples,
        };
        if !mix {
            setting.check_revisions(rows)?;
        }
        setting.places = setting.methods.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        for row in rows {
            setting.rows.entry(&row.method).or_default().push(row);
            setting.take(row)?;
        }
        setting.splits = by_rank(setting.measured.values().flat_map(HashMap::keys).copied());
        Ok(setting)
    }

    fn check_revisions(&self, rows: &[&Row]) -> Result<(), Error> {
        let revisions = distinct(rows.iter().map(|row| row.revision.as_str()));
        match revisions.len() {
            0 | 1 => Ok(()),
            _ => Err(Error::Revisions {
                at: self.name(),
                revisions: revisions.into_iter().map(String::from).collect(),
            }),
        }
    }

    /// Adds one row.
    fn take(&mut self, row: &'a Row) -> Result<(), Error> {
        let Some(value) = row.measure().filter(|_| !row.is_gap()) else {
            let gap = Gap { refused: row.metric == "refused", why: reason(row) };
            self.gaps.entry(&row.method).or_default().insert(row.seed, gap);
            return Ok(());
        };
        let splits = self.measured.entry(&row.metric).or_default();
        let measured = *splits.entry(&row.split).or_insert(self.count);
        self.count = self.count.max(measured + 1);
        let method = self.places[row.method.as_str()];
        let scores = self.scores.entry((measured, method)).or_default();
        if scores.insert(row.seed, value).is_some() {
            return Err(self.twice(row));
        }
        if !self.examples.is_empty() {
            self.sources.insert((measured, method, row.seed), &row.run);
        }
        Ok(())
    }

    /// The error for a second value of the same run.
    fn twice(&self, row: &Row) -> Error {
        let Row { metric, split, method, seed, run, .. } = row;
        let same = |other: &&Row| {
            (&other.metric, &other.split, other.seed) == (metric, split, *seed)
                && other.measure().is_some()
        };
        let first = self.rows(method).find(same).map_or("", |first| &first.run);
        Error::Twice {
            at: self.name(),
            what: format!("{metric} ({split}) of {method:?}, seed {seed},"),
            first: first.into(),
            second: run.clone(),
        }
    }

    /// The suite, task and backbone as one line.
    pub fn name(&self) -> String {
        format!("suite {}, task {}, backbone {}", self.suite, self.task, self.backbone)
    }

    /// The rows of a method.
    pub fn rows(&self, method: &str) -> impl Iterator<Item = &'a Row> + Clone {
        self.rows.get(method).into_iter().flatten().copied()
    }

    /// The values of a method by seed.
    pub fn scores(&self, method: &str, metric: &str, split: &str) -> Option<&Scores> {
        self.scores.get(&self.place(method, metric, split)?)
    }

    /// The key of a method's values.
    fn place(&self, method: &str, metric: &str, split: &str) -> Option<(usize, usize)> {
        let measured = *self.measured.get(metric)?.get(split)?;
        Some((measured, *self.places.get(method)?))
    }

    /// The contributions of single examples to a value; none if they were not recorded.
    pub fn examples(
        &self,
        method: &str,
        metric: &str,
        split: &str,
        seed: u64,
    ) -> Option<&'a ExampleRow> {
        let (measured, method) = self.place(method, metric, split)?;
        let run = self.sources.get(&(measured, method, seed))?;
        self.examples.of(run, split, metric)
    }

    /// Whether any method has values of the metric on this split.
    pub fn has(&self, metric: &str, split: &str) -> bool {
        self.measured.get(metric).is_some_and(|splits| splits.contains_key(split))
    }

    /// The splits that have values, the one for comparisons first.
    pub fn splits(&self) -> Vec<&'a str> {
        self.splits.clone()
    }

    /// The seeds of a method without a value of this metric, with the reasons.
    pub fn gaps(&self, method: &str, metric: &str, split: &str) -> Vec<(u64, &str)> {
        let open = self.open(method, metric, split);
        open.map(|(seed, gap)| (*seed, gap.why.as_str())).collect()
    }

    /// The seeds of a method whose run failed, so that they have no value of this metric. A refused method
    /// has no such seeds: it was never trained.
    pub fn failed(&self, method: &str, metric: &str, split: &str) -> Vec<u64> {
        let open = self.open(method, metric, split);
        open.filter(|(_, gap)| !gap.refused).map(|(seed, _)| *seed).collect()
    }

    fn open(&self, method: &str, metric: &str, split: &str) -> impl Iterator<Item = (&u64, &Gap)> {
        let scores = self.scores(method, metric, split);
        let open = move |seed: &u64| !scores.is_some_and(|scores| scores.contains_key(seed));
        self.gaps.get(method).into_iter().flatten().filter(move |(seed, _)| open(seed))
    }
}

/// The splits, the one for comparisons first.
fn by_rank<'a>(splits: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let rank = |split: &&str| match *split {
        "test" => 0,
        "valid" => 1,
        "train" => 2,
        _ => 3,
    };
    let mut splits: Vec<&str> = splits.collect();
    splits.sort_by_key(|split| (rank(split), *split));
    splits.dedup();
    splits
}

/// The reason why a number is missing: `failed at step 120`, `refused: sees later tokens`.
fn reason(row: &Row) -> String {
    match (row.is_gap(), row.value, row.note.as_str()) {
        (true, _, "") => row.metric.clone(),
        (true, _, note) if note.starts_with(&row.metric) => note.into(),
        (true, _, note) => format!("{}: {note}", row.metric),
        (false, Some(value), _) if value.is_finite() => {
            format!("{} is {value:e}, beyond {LARGEST:e}", row.metric)
        }
        (false, Some(value), _) => format!("{} is {value}", row.metric),
        (false, None, _) => format!("{} is empty", row.metric),
    }
}

/// The distinct items, in order of appearance.
pub(crate) fn distinct<'a>(items: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().filter(|item| seen.insert(*item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{gap, row};

    #[test]
    fn rows_are_grouped_in_order_of_appearance() {
        let task = |task: &str, row: Row| Row { task: task.into(), ..row };
        let runs = Runs::of([
            task("b", row("switch", 0, "accuracy", 0.5)),
            task("a", row("soft", 0, "accuracy", 0.6)),
            task("b", row("dense", 0, "loss", 0.7)),
        ]);
        let settings = Setting::all(&runs, false).unwrap();
        assert_eq!(settings.iter().map(|s| s.task).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(settings[0].methods, ["switch", "dense"]);
        assert_eq!(settings[0].metrics, ["accuracy", "loss"]);
        assert_eq!(settings[0].scores("dense", "loss", "test").unwrap()[&0], 0.7);
        assert!(settings[0].scores("dense", "loss", "valid").is_none());
    }

    #[test]
    fn two_revisions_are_mixed_only_on_request() {
        let mut runs = Runs::of([row("a", 0, "loss", 1.0), row("a", 1, "loss", 1.0)]);
        runs.rows[1].revision = "feed".into();
        let err = Setting::all(&runs, false).unwrap_err().to_string();
        assert_eq!(
            err,
            "suite default, task digits, backbone vit: runs of 2 code revisions (cafe, feed) are \
             not compared with each other without --mix-revisions"
        );
        assert_eq!(Setting::all(&runs, true).unwrap().len(), 1);
    }

    #[test]
    fn the_split_to_judge_by_is_first() {
        let on = |split: &str, metric| Row { split: split.into(), ..row("a", 0, metric, 1.0) };
        let rows = ["train", "night", "day", "valid", "test"].map(|split| on(split, "loss"));
        let mut runs = Runs::of(rows);
        runs.rows.push(on("test", "accuracy"));
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        assert_eq!(setting.splits(), ["test", "valid", "train", "day", "night"]);
    }

    #[test]
    fn a_seed_counts_once() {
        let mut runs = Runs::of([row("a", 0, "loss", 1.0), row("a", 0, "loss", 2.0)]);
        runs.rows[1].run = "other".into();
        let err = Setting::all(&runs, false).unwrap_err().to_string();
        let said = "loss (test) of \"a\", seed 0, appears twice, from runs \"a-0\" and \"other\"";
        assert!(err.contains(said), "{err}");
    }

    #[test]
    fn a_gap_has_a_reason_unless_there_is_a_value() {
        let runs = Runs::of([
            gap("a", 0, "failed", "at step 120"),
            gap("a", 1, "refused", "refused: sees later tokens"),
            row("a", 2, "loss", f64::NAN),
            gap("a", 3, "failed", ""),
            row("a", 3, "loss", 1.0),
            row("a", 4, "loss", 1e61),
        ]);
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        let reasons = ["failed: at step 120", "refused: sees later tokens", "loss is NaN"];
        let mut expected: Vec<_> = (0..).zip(reasons).collect();
        expected.push((4, "loss is 1e61, beyond 1e60"));
        assert_eq!(setting.gaps("a", "loss", "test"), expected);
        assert_eq!(setting.failed("a", "loss", "test"), [0, 2, 4]);
    }
}
