//! Contributions of single test examples to results, so that intervals can cover the choice of examples.
//!
//! `NAME.examples.csv` is in the same folder as `NAME.csv` and has the columns run, split, metric, sums and
//! counts. `sums` and `counts` are lists of numbers separated by spaces, one number for each example of the
//! split, in its order, which is the same for all runs of a task. The metric's value is the sum of the sums
//! over the sum of the counts: right answers over answers, bits over bytes. An empty list of counts means 1
//! for each example. No count is below 0, and not all are 0. Metrics that are not such a ratio are left out.

use std::{collections::BTreeMap, io, path::Path};

use files::read_regular;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Row,
    field::{read, written},
    number::{LARGEST, is_measure},
};

/// The columns of the file.
const COLUMNS: [&str; 5] = ["run", "split", "metric", "sums", "counts"];

/// The largest size of a file in bytes: a gigabyte.
const MOST_BYTES: u64 = 1 << 30;

/// The relative tolerance between the ratio of the sums and the value in the results: the numbers of
/// single examples are kept in single precision.
const NEAR: f64 = 1e-4;

/// One metric of one run, example by example.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleRow {
    /// The id of the run.
    pub run: String,
    /// The split.
    pub split: String,
    /// The metric.
    pub metric: String,
    /// The contribution of each example to the metric's sum.
    pub sums: Vec<f64>,
    /// The contribution of each example to the divisor.
    pub counts: Vec<f64>,
}

/// The values of single examples, by run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleScores {
    runs: BTreeMap<String, Vec<ExampleRow>>,
}

/// A row as it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    run: String,
    split: String,
    metric: String,
    sums: String,
    counts: String,
}

impl ExampleScores {
    /// Reads a file; `name` in messages is its path.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_regular(path, MOST_BYTES).map_err(Error::file(path))?;
        Self::parse(&path.display().to_string(), &bytes[..])
    }

    /// Reads csv; `name` is the name of the file in messages.
    pub fn parse(name: &str, csv: impl io::Read) -> Result<Self, Error> {
        let mut examples = Self::default();
        for (at, record) in csv::Reader::from_reader(csv).deserialize::<Record>().enumerate() {
            let place = format!("{name}:{}", at + 2);
            let record = record.map_err(|err| {
                let columns = COLUMNS.join(",");
                Error::Query(format!("{place}: {err}; the columns are {columns}"))
            })?;
            examples.push(record.row(&place)?);
        }
        Ok(examples)
    }

    /// Adds a metric of a run.
    pub fn push(&mut self, row: ExampleRow) {
        self.runs.entry(row.run.clone()).or_default().push(row);
    }

    /// All rows.
    pub fn into_rows(self) -> impl Iterator<Item = ExampleRow> {
        self.runs.into_values().flatten()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The row of a run's metric.
    pub fn of(&self, run: &str, split: &str, metric: &str) -> Option<&ExampleRow> {
        self.runs.get(run)?.iter().find(|row| row.split == split && row.metric == metric)
    }

    /// All rows as csv.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        if self.is_empty() {
            writer.write_record(COLUMNS).expect("a vector takes every byte");
        }
        for row in self.runs.values().flatten() {
            writer.serialize(Record::of(row)).expect("a record is flat");
        }
        let bytes = writer.into_inner().expect("a vector takes every byte");
        String::from_utf8(bytes).expect("text in, text out")
    }

    /// Adds the rows of another set; an existing row of the same run and metric stays.
    pub(crate) fn merge(&mut self, other: Self) {
        for row in other.into_rows() {
            if self.of(&row.run, &row.split, &row.metric).is_none() {
                self.push(row);
            }
        }
    }

    /// Checks that the examples add up to the results.
    pub(crate) fn check(&self, name: &str, rows: &[Row]) -> Result<(), Error> {
        for row in rows {
            let Some(examples) = self.of(&row.run, &row.split, &row.metric) else { continue };
            let (Some(value), ratio) = (row.value, examples.ratio()) else { continue };
            // A ratio that is NaN is not near.
            let is_near = (value - ratio).abs() <= NEAR * value.abs().max(NEAR);
            if !is_near {
                return Err(Error::Query(format!(
                    "{name}: the examples of run {:?} add up to {} = {ratio} on {}, and the result \
                     is {value}: the file belongs to other results",
                    row.run, row.metric, row.split
                )));
            }
        }
        Ok(())
    }
}

impl ExampleRow {
    /// The metric's value.
    fn ratio(&self) -> f64 {
        self.sums.iter().sum::<f64>() / self.counts.iter().sum::<f64>()
    }
}

impl Record {
    fn of(row: &ExampleRow) -> Self {
        // Numbers are written in single precision: that is their precision, and takes half the length.
        let list = |numbers: &[f64]| {
            numbers.iter().map(|x| (*x as f32).to_string()).collect::<Vec<_>>().join(" ")
        };
        let all_one = row.counts.iter().all(|count| *count == 1.0);
        Self {
            run: written(&row.run).into_owned(),
            split: written(&row.split).into_owned(),
            metric: written(&row.metric).into_owned(),
            sums: list(&row.sums),
            counts: if all_one { String::new() } else { list(&row.counts) },
        }
    }

    fn row(self, place: &str) -> Result<ExampleRow, Error> {
        let list = |column: &str, text: &str| -> Result<Vec<f64>, Error> {
            let number = |word: &str| {
                let number = word.parse::<f64>().ok().filter(|number| is_measure(*number));
                number.ok_or_else(|| {
                    Error::Query(format!(
                        "{place}: {column} has {word:?}, which is not a number up to {LARGEST:e}"
                    ))
                })
            };
            text.split_whitespace().map(number).collect()
        };
        let sums = list("sums", &self.sums)?;
        let counts = match self.counts.trim() {
            "" => vec![1.0; sums.len()],
            counts => list("counts", counts)?,
        };
        if counts.len() != sums.len() {
            let (sums, counts) = (sums.len(), counts.len());
            return Err(Error::Query(format!("{place}: {sums} sums, but {counts} counts")));
        }
        check_counts(place, &counts)?;
        let [run, split, metric] =
            [&self.run, &self.split, &self.metric].map(|text| read(text).into_owned());
        Ok(ExampleRow { run, split, metric, sums, counts })
    }
}

/// Checks that counts can divide sums.
fn check_counts(place: &str, counts: &[f64]) -> Result<(), Error> {
    if let Some(count) = counts.iter().find(|count| **count < 0.0) {
        return Err(Error::Query(format!(
            "{place}: counts has {count}; expected numbers of at least 0"
        )));
    }
    match counts.iter().sum::<f64>() > 0.0 {
        true => Ok(()),
        false => Err(Error::Query(format!("{place}: the counts add up to 0; expected more"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::row;

    fn examples() -> ExampleScores {
        let mut examples = ExampleScores::default();
        let row = |run: &str, metric: &str, sums: &[f64], counts: &[f64]| ExampleRow {
            run: run.into(),
            split: "test".into(),
            metric: metric.into(),
            sums: sums.into(),
            counts: counts.into(),
        };
        examples.push(row("a-0", "accuracy", &[1.0, 0.0, 1.0, 1.0], &[1.0; 4]));
        examples.push(row("a-0", "bits_per_byte", &[151.25, 98.5], &[64.0, 61.0]));
        examples
    }

    #[test]
    fn written_and_read_again() {
        let csv = examples().to_csv();
        assert_eq!(
            csv,
            "run,split,metric,sums,counts\na-0,test,accuracy,1 0 1 1,\n\
             a-0,test,bits_per_byte,151.25 98.5,64 61\n"
        );
        assert_eq!(ExampleScores::parse("e.csv", csv.as_bytes()).unwrap(), examples());
        let none = ExampleScores::default();
        assert_eq!(ExampleScores::parse("e.csv", none.to_csv().as_bytes()).unwrap(), none);
    }

    #[test]
    fn bad_files_are_named_with_their_line() {
        let err =
            |csv: &str| ExampleScores::parse("e.csv", csv.as_bytes()).unwrap_err().to_string();
        let head = "run,split,metric,sums,counts\n";
        assert_eq!(
            err(&format!("{head}a,test,accuracy,1 o 1,\n")),
            "e.csv:2: sums has \"o\", which is not a number up to 1e60"
        );
        assert!(err(&format!("{head}a,test,accuracy,NaN,\n")).contains("\"NaN\""));
        assert_eq!(err(&format!("{head}a,test,accuracy,1 0,1\n")), "e.csv:2: 2 sums, but 1 counts");
        assert!(err(&format!("{head}a,test,accuracy,1e308 0,\n")).contains("\"1e308\""));
        assert_eq!(
            err(&format!("{head}a,test,accuracy,1 1,2 -1\n")),
            "e.csv:2: counts has -1; expected numbers of at least 0"
        );
        for empty in ["0 0,0 0", "0 0,0 -0", ","] {
            assert_eq!(
                err(&format!("{head}a,test,accuracy,{empty}\n")),
                "e.csv:2: the counts add up to 0; expected more"
            );
        }
        assert!(err("run,split\na,test\n").contains("the columns are run,split,metric,sums"));
    }

    #[test]
    fn they_add_up_to_the_results() {
        let right = row("a", 0, "accuracy", 0.75);
        assert!(examples().check("e.csv", std::slice::from_ref(&right)).is_ok());
        let wrong = Row { value: Some(0.8), ..right };
        let err = examples().check("e.csv", &[wrong]).unwrap_err().to_string();
        assert!(
            err.contains("run \"a-0\" add up to accuracy = 0.75 on test, and the result is 0.8")
        );
    }

    #[test]
    fn a_ratio_that_is_no_number_is_not_near() {
        let mut examples = ExampleScores::default();
        let (run, split, metric) = ("a-0".into(), "test".into(), "accuracy".into());
        examples.push(ExampleRow { run, split, metric, sums: vec![0.0], counts: vec![0.0] });
        assert!(examples.check("e.csv", &[row("a", 0, "accuracy", 0.75)]).is_err());
    }

    #[test]
    fn what_is_there_twice_counts_once() {
        let mut twice = examples();
        twice.merge(examples());
        assert_eq!(twice, examples());
    }
}
