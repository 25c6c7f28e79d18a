//! Reading of `runs.csv`, from any program.

use std::{
    borrow::Cow,
    collections::HashSet,
    hash::Hash,
    io,
    path::{Path, PathBuf},
};

use files::read_text;

use crate::{Error, ExampleScores, Row, columns::COLUMNS, field::written, row::Header};

/// The rows of one or more files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// The rows, with one number each.
    pub rows: Vec<Row>,
    /// Contributions of single test examples, where they are known.
    pub examples: ExampleScores,
}

impl Runs {
    /// Makes runs from these rows, without examples.
    pub fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        Self { rows: rows.into_iter().collect(), examples: ExampleScores::default() }
    }

    /// Reads a file, and the file of its examples if there is one beside it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_text(path).map_err(Error::file(path))?;
        let mut runs = Self::parse(&path.display().to_string(), text.as_bytes())?;
        let examples = examples_of(path);
        if examples.exists() {
            runs.examples = ExampleScores::read(&examples)?;
            runs.examples.check(&examples.display().to_string(), &runs.rows)?;
        }
        Ok(runs)
    }

    /// Reads several files. A row that occurs twice counts once: results are merged by copying folders, and
    /// folders may overlap.
    pub fn read_all(paths: &[PathBuf]) -> Result<Self, Error> {
        let (mut rows, mut examples) = (Vec::new(), ExampleScores::default());
        for path in paths {
            let runs = Self::read(path)?;
            rows.extend(runs.rows);
            examples.merge(runs.examples);
        }
        let first: Vec<bool> = {
            let mut seen = HashSet::new();
            rows.iter().map(|row| seen.insert(identity(row))).collect()
        };
        let mut first = first.into_iter();
        rows.retain(|_| first.next() == Some(true));
        Ok(Self { rows, examples })
    }

    /// Reads csv; `name` is the name of the file in messages.
    pub fn parse(name: &str, csv: impl io::Read) -> Result<Self, Error> {
        let mut reader = csv::Reader::from_reader(csv);
        let header = Header::new(name, reader.headers().map_err(|err| broken(name, err))?)?;
        let mut rows = Vec::new();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|err| broken(name, err))? {
            let line = record.position().map_or(0, csv::Position::line);
            rows.push(header.row(line, &record)?);
        }
        Ok(Self::of(rows))
    }

    /// The rows as csv, with the documented columns in their order. A name that a spreadsheet would take for
    /// a formula gets a quote in front, and characters that cannot be displayed are escaped; [`Runs::parse`]
    /// undoes both.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        if self.rows.is_empty() {
            writer.write_record(COLUMNS).expect("a vector takes every byte");
        }
        for row in &self.rows {
            let mut row = row.clone();
            for text in row.texts_mut() {
                if let Cow::Owned(safe) = written(text) {
                    *text = safe;
                }
            }
            writer.serialize(row).expect("a row is flat and a vector takes every byte");
        }
        let bytes = writer.into_inner().expect("a vector takes every byte");
        String::from_utf8(bytes).expect("text in, text out")
    }

    /// The rows that satisfy `keep`.
    pub fn filter(&self, keep: impl Fn(&Row) -> bool) -> Self {
        let rows = self.rows.iter().filter(|row| keep(row)).cloned().collect();
        Self { rows, examples: self.examples.clone() }
    }
}

/// The path of the examples of a file of results: `NAME.examples.csv` beside `NAME.csv`.
fn examples_of(csv: &Path) -> PathBuf {
    csv.with_extension("examples.csv")
}

/// The key by which rows of several files are recognised as the same.
fn identity(row: &Row) -> impl Hash + Eq + '_ {
    let value = row.value.map(f64::to_bits);
    let cell = (&row.suite, &row.task, &row.backbone, &row.method, row.seed);
    (cell, &row.run, &row.split, &row.metric, value, row.step, &row.note)
}

/// The error of a text that is not valid csv.
fn broken(name: &str, err: csv::Error) -> Error {
    let line = err.position().map_or(1, csv::Position::line);
    let message = match err.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields, but {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { .. } => "not valid UTF-8".into(),
        _ => err.to_string(),
    };
    Error::Csv { place: format!("{name}:{line}"), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            suite: "default".into(),
            method: "top-k, \"renormalised\"".into(),
            seed: 3,
            metric: "accuracy".into(),
            value: Some(0.1 + 0.2),
            params: Some(u64::MAX),
            budget_off: Some(-0.1),
            trials: Some(6),
            tuned: "train.lr=0.003, moe.router.k=2".into(),
            ..Row::default()
        }
    }

    #[test]
    fn what_is_written_is_read_to_the_bit() {
        let runs = Runs::of([row(), Row { note: "at step 3, it was NaN".into(), ..row() }]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.csv");
        std::fs::write(&path, runs.to_csv()).unwrap();
        assert_eq!(Runs::read(&path).unwrap(), runs);
        assert_eq!(Runs::read_all(&[path.clone(), path]).unwrap(), runs);
    }

    #[test]
    fn no_rows_are_a_file_too() {
        let csv = Runs::default().to_csv();
        assert_eq!(Runs::parse("a.csv", csv.as_bytes()).unwrap(), Runs::default());
    }

    #[test]
    fn order_and_further_columns_do_not_matter() {
        let csv = "note,mood,run,revision,device,seconds,flops_per_token,active_params,params,step,\
                   value,metric,split,seed,router,method,backbone,task,suite\n\
                   ,good,r1,abc,cpu,1.5,2e3,10,12.0,,0.5,accuracy,test,3,switch,sw,vit,digits,s\n";
        let rows = Runs::parse("a.csv", csv.as_bytes()).unwrap().rows;
        assert_eq!((rows[0].seed, rows[0].value, rows[0].params), (3, Some(0.5), Some(12)));
        assert_eq!((rows[0].step, rows[0].flops_per_token), (None, Some(2000.0)));
        assert_eq!((rows[0].suite.as_str(), rows[0].run.as_str()), ("s", "r1"));
    }

    fn error(csv: &str) -> String {
        Runs::parse("a.csv", csv.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_missing_column_is_named() {
        insta::assert_snapshot!(error("suite,task,seed\n"), @r#"a.csv:1: column "backbone" is missing; the columns are suite,task,backbone,method,router,seed,split,metric,value,step,params,active_params,flops_per_token,seconds,device,revision,run"#);
        assert!(error("").contains("column \"suite\" is missing"));
    }

    #[test]
    fn a_bad_number_is_shown_with_its_place() {
        let csv = Runs::of([row(), row()]).to_csv();
        let (head, tail) = csv.rsplit_once(",3,").unwrap();
        let err = error(&format!("{head},-3,{tail}"));
        assert!(
            err.starts_with("a.csv:3: seed = \"-3\" is not a whole number from 0 to 1844"),
            "{err}"
        );
        let err = error(&csv.replace("0.30000000000000004", "o.3"));
        assert!(err.starts_with("a.csv:2: value = \"o.3\" is not a number; the columns"), "{err}");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let csv = |change: fn(&mut Row)| {
            let mut row = row();
            change(&mut row);
            error(&Runs::of([row]).to_csv())
        };
        for (err, column, wanted) in [
            (csv(|row| row.value = Some(f64::NAN)), "value", "a finite number"),
            (csv(|row| row.budget_off = Some(f64::INFINITY)), "budget_off", "a finite number"),
            (csv(|row| row.value = Some(1.01)), "value", "a number from 0 to 1"),
            (csv(|row| row.value = Some(-0.01)), "value", "a number from 0 to 1"),
            (csv(|row| row.seconds = Some(-1.0)), "seconds", "a number of at least 0"),
            (csv(|row| row.lr = Some(-1.0)), "lr", "a number of at least 0"),
        ] {
            assert!(err.starts_with(&format!("a.csv:2: {column} = ")), "{err}");
            assert!(err.contains(&format!("is not {wanted};")), "{err}");
        }
    }

    #[test]
    fn a_value_lies_in_the_range_of_its_metric() {
        for (metric, value, wanted) in [
            ("perplexity", -3.0, "a number of at least 0"),
            ("tokens_per_second", -9.0, "a number of at least 0"),
            ("max_over_mean_load", -3.0, "a number of at least 1"),
            ("bleu", 5000.0, "a number from 0 to 100"),
            ("rank_spearman", 5.0, "a number from -1 to 1"),
            ("r2", 9.0, "a number up to 1"),
            ("mAP", 9.0, "a number from 0 to 1"),
        ] {
            let row = |value| Row { metric: metric.into(), value: Some(value), ..row() };
            let err = error(&Runs::of([row(value)]).to_csv());
            let expected = format!("a.csv:2: value = \"{value:.1}\" is not {wanted};");
            assert!(err.starts_with(&expected), "{err}");
            let csv = Runs::of([row(1.0 - 1e-7)]).to_csv();
            assert!(Runs::parse("a.csv", csv.as_bytes()).is_ok(), "{metric}");
        }
    }

    #[test]
    fn numbers_beyond_what_statistics_take_are_refused_but_for_values() {
        let err = error(&Runs::of([Row { seconds: Some(1e61), ..row() }]).to_csv());
        assert!(
            err.starts_with("a.csv:2: seconds = \"1e61\" is not a number up to 1e60;"),
            "{err}"
        );
        let diverged = Runs::of([Row { metric: "perplexity".into(), value: Some(1e61), ..row() }]);
        assert_eq!(Runs::parse("a.csv", diverged.to_csv().as_bytes()).unwrap(), diverged);
        assert_eq!((diverged.rows[0].measure(), row().measure()), (None, row().value));
    }

    #[test]
    fn names_are_no_formulas_and_command_no_terminal() {
        let name = |text: &str| text.to_string();
        let odd = Row {
            suite: name("=1+1"),
            task: name("+x"),
            backbone: name("@b"),
            method: name("'-a"),
            note: name("two\nlines \u{1b}]0;x\u{7} \u{202e} \u{e0001}"),
            run: name("-r"),
            ..row()
        };
        let csv = Runs::of([odd.clone()]).to_csv();
        assert!(csv.contains("\n'=1+1,'+x,'@b,''-a,"), "{csv}");
        assert!(csv.contains("two\nlines \\u{1b}]0;x\\u{7} \\u{202e} \\u{e0001}"), "{csv}");
        assert_eq!(Runs::parse("a.csv", csv.as_bytes()).unwrap().rows, [odd]);
    }

    #[test]
    fn a_short_row_is_shown_with_its_place() {
        let err = error(&format!("{}\na,b\n", COLUMNS.join(",")));
        assert!(err.starts_with("a.csv:2: 2 fields, but 29 columns"), "{err}");
    }
}
