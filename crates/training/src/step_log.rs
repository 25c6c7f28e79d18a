//! The log of a run as csv: one row per step and metric.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::write_atomic;

/// One number of one step. Steps count from 1: the row of step s is written after s steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// After how many steps.
    pub step: usize,
    /// On which part of the data.
    pub split: String,
    /// The name of the metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// The growing csv file of a run.
pub struct StepLog {
    writer: csv::Writer<File>,
}

impl StepLog {
    /// Opens the file of a run that goes on, with the rows that are to be kept. The others, and a
    /// last row that was cut off, come from an interruption; they will be written again.
    pub fn resume(path: &Path, keep: impl Fn(&StepRow) -> bool) -> io::Result<Self> {
        let mut kept = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        kept.write_record(["step", "split", "metric", "value"])?;
        for row in Self::read_intact(path)?.iter().filter(|row| keep(row)) {
            kept.serialize(row)?;
        }
        write_atomic(path, &kept.into_inner().map_err(|err| io::Error::other(err.to_string()))?)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { writer: csv::WriterBuilder::new().has_headers(false).from_writer(file) })
    }

    /// Adds rows, and sees to it that they are written.
    pub fn add(&mut self, rows: &[StepRow]) -> io::Result<()> {
        for row in rows {
            self.writer.serialize(row)?;
        }
        self.writer.flush()
    }

    /// The rows of a file; none if it is not there. A last row that was cut off is left out.
    pub fn read_intact(path: &Path) -> io::Result<Vec<StepRow>> {
        match std::fs::read(path) {
            Ok(bytes) => {
                let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
                let mut reader = csv::Reader::from_reader(&bytes[..end]);
                Ok(reader.deserialize().collect::<Result<_, _>>()?)
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(err) => Err(err),
        }
    }

    /// The name of the file in a run's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("metrics.csv")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: usize) -> StepRow {
        StepRow { step, split: "train".into(), metric: "loss".into(), value: 0.1 + step as f64 }
    }

    #[test]
    fn an_interrupted_log_ends_like_an_uninterrupted_one() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
        StepLog::resume(&whole, |_| false).unwrap().add(&[row(1), row(2), row(3)]).unwrap();
        StepLog::resume(&cut, |_| false).unwrap().add(&[row(1), row(2)]).unwrap();
        // The checkpoint is of step 1, and the third row was being written.
        let mut bytes = std::fs::read(&cut).unwrap();
        bytes.extend(b"3,trai");
        std::fs::write(&cut, bytes).unwrap();
        let mut log = StepLog::resume(&cut, |row| row.step <= 1).unwrap();
        log.add(&[row(2), row(3)]).unwrap();
        assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&cut).unwrap());
        assert_eq!(StepLog::read_intact(&cut).unwrap(), [row(1), row(2), row(3)]);
    }

    #[test]
    fn a_log_without_rows_has_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = StepLog::path(folder.path());
        StepLog::resume(&path, |_| true).unwrap().add(&[row(1)]).unwrap();
        drop(StepLog::resume(&path, |_| false).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "step,split,metric,value\n");
    }
}
