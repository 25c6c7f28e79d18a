//! Cases of `scripts/golden/soccernet.py`: files, and the results of the official packages for them.

use std::{collections::BTreeMap, path::Path, time::Instant};

use serde_json::Value;
use soccernet::{
    Options, Source, Task, classes::Version, clock::LabelTime, score, tolerance::Tolerances,
};

/// The result of comparing a file of cases.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) cases: usize,
    /// The number of cases in which both the official package and this crate fail.
    pub(crate) refused: usize,
    pub(crate) values: usize,
    pub(crate) largest: f64,
    /// The place of the largest deviation.
    pub(crate) place: String,
    pub(crate) ours: f64,
    pub(crate) official: f64,
    /// The cases in which only one of the two fails.
    pub(crate) disagreements: Vec<String>,
}

/// Compares each case of a file of JSON lines.
pub(crate) fn compare(path: &Path) -> Comparison {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let mut comparison = Comparison::default();
    for (number, line) in text.lines().enumerate() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        comparison.add(number, &case);
    }
    comparison
}

impl Comparison {
    fn add(&mut self, number: usize, case: &Value) {
        let [truth, prediction] = ["truth", "prediction"].map(|side| source(side, &case[side]));
        let task = Task::parse(case["task"].as_str().expect("a task")).expect("a known task");
        let options = options(task, &case["options"]);
        let start = Instant::now();
        let score = score(task, &truth, &prediction, &options);
        self.ours += start.elapsed().as_secs_f64();
        self.official += case["seconds"].as_f64().unwrap_or_default();
        self.cases += 1;
        match (score, case["fails"].as_str()) {
            (Err(_), Some(_)) => self.refused += 1,
            (Ok(_), Some(error)) => self.disagreements.push(format!("{number}: official {error}")),
            (Err(error), None) => self.disagreements.push(format!("{number}: ours {error}")),
            (Ok(score), None) => self.values(number, &score.json()["result"], &case["expected"]),
        }
    }

    fn values(&mut self, number: usize, result: &Value, expected: &Value) {
        for (path, value) in expected.as_object().expect("expected values") {
            let ours = result.pointer(path);
            let deviation = match (ours.and_then(Value::as_f64), value.as_f64()) {
                (Some(ours), Some(value)) => (ours - value).abs(),
                (None, None) if ours.is_some() => 0.0,
                _ => f64::INFINITY,
            };
            self.values += 1;
            if deviation > self.largest {
                self.largest = deviation;
                self.place = format!("case {number} {path}: {ours:?}, official {value}");
            }
        }
    }
}

fn source(name: &str, files: &Value) -> Source {
    let file = |(name, content): (&String, &Value)| {
        let bytes = match content {
            Value::String(text) => text.clone().into_bytes(),
            other => bytes(other["hex"].as_str().expect("hexadecimal digits")),
        };
        (name.clone(), bytes)
    };
    let files = files.as_object().expect("files by name").iter().map(file);
    Source::memory(name, files.collect::<BTreeMap<_, _>>())
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn options(task: Task, given: &Value) -> Options {
    let mut options = Options::of(task);
    if let Some(name) = given["tolerances"].as_str() {
        options.tolerances = Tolerances::parse(name).expect("known tolerances");
    }
    if let Some(name) = given["label_time"].as_str() {
        options.label_time = LabelTime::parse(name).expect("a known convention");
    }
    if given["version"] == 1 {
        options.version = Version::V1;
    }
    if let Some(thresholds) = given["thresholds"].as_array() {
        options.thresholds = thresholds.iter().filter_map(Value::as_f64).collect();
    }
    options
}
