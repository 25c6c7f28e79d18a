//! The log of a run as csv: one row per step and metric.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use files::{hex, write_atomic};

/// The first line of the file.
const HEADER: &[u8] = b"step,split,metric,value\n";

/// One number of one step. Steps count from 1: the row of step s is written after s steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// The number of completed steps.
    pub step: usize,
    /// The split of the data.
    pub split: String,
    /// The name of the metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// The state of the log when a checkpoint was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogMark {
    /// The number of rows, without the header.
    pub rows: usize,
    /// The number of bytes, with the header.
    pub bytes: usize,
    /// SHA-256 of these bytes.
    pub sha256: String,
}

/// The growing csv file of a run.
pub struct StepLog {
    file: File,
    rows: usize,
    bytes: usize,
    digest: Sha256,
}

impl StepLog {
    /// Opens the file of a run that begins, or that continues from a checkpoint with this mark. Rows after
    /// the mark come from an interruption and are removed; they will be written again.
    ///
    /// # Errors
    /// If the file has changed since the checkpoint was written, or cannot be read or written.
    pub fn resume(path: &Path, mark: Option<&LogMark>) -> io::Result<Self> {
        let kept = match mark {
            Some(mark) => marked(read(path)?, mark)?,
            None => HEADER.to_vec(),
        };
        write_atomic(path, &kept)?;
        let file = OpenOptions::new().append(true).open(path)?;
        let rows = mark.map_or(0, |mark| mark.rows);
        Ok(Self { file, rows, bytes: kept.len(), digest: Sha256::new_with_prefix(kept) })
    }

    /// Adds rows.
    pub fn add(&mut self, rows: &[StepRow]) -> io::Result<()> {
        let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        rows.iter().try_for_each(|row| csv.serialize(row))?;
        let text = csv.into_inner().map_err(|err| io::Error::other(err.to_string()))?;
        self.file.write_all(&text)?;
        self.rows += rows.len();
        self.bytes += text.len();
        self.digest.update(text);
        Ok(())
    }

    /// Syncs all rows to the disk, and returns their mark. A checkpoint with this mark is written afterwards.
    pub fn mark(&mut self) -> io::Result<LogMark> {
        self.file.sync_data()?;
        let sha256 = hex(&self.digest.clone().finalize());
        Ok(LogMark { rows: self.rows, bytes: self.bytes, sha256 })
    }

    /// Reads the rows of a file; empty if it does not exist. A truncated last row is left out.
    pub fn read_intact(path: &Path) -> io::Result<Vec<StepRow>> {
        Self::parse(&read(path)?)
    }

    /// Parses the rows in the content of a file. A truncated last row is left out.
    pub fn parse(bytes: &[u8]) -> io::Result<Vec<StepRow>> {
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut reader = csv::Reader::from_reader(&bytes[..end]);
        Ok(reader.deserialize().collect::<Result<_, _>>()?)
    }

    /// The name of the file in a run's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("metrics.csv")
    }
}

/// The content of a file; empty if it does not exist.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// The part of a log that the mark of a checkpoint covers.
fn marked(mut log: Vec<u8>, mark: &LogMark) -> io::Result<Vec<u8>> {
    log.truncate(mark.bytes);
    if log.len() == mark.bytes && hex(&Sha256::digest(&log)) == mark.sha256 {
        return Ok(log);
    }
    let message = format!(
        "damaged: the first {} rows do not match the digest in checkpoint.bin; remove the folder of the run \
         to train it from the start",
        mark.rows
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
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
        StepLog::resume(&whole, None).unwrap().add(&[row(1), row(2), row(3)]).unwrap();
        let mut log = StepLog::resume(&cut, None).unwrap();
        log.add(&[row(1)]).unwrap();
        let mark = log.mark().unwrap();
        assert_eq!((mark.rows, mark.bytes), (1, HEADER.len() + "1,train,loss,1.1\n".len()));
        // The checkpoint is of step 1, and the third row was being written.
        log.add(&[row(2)]).unwrap();
        let mut bytes = std::fs::read(&cut).unwrap();
        bytes.extend(b"3,trai");
        std::fs::write(&cut, bytes).unwrap();
        let mut log = StepLog::resume(&cut, Some(&mark)).unwrap();
        assert_eq!(log.mark().unwrap(), mark);
        log.add(&[row(2), row(3)]).unwrap();
        assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&cut).unwrap());
        assert_eq!(StepLog::read_intact(&cut).unwrap(), [row(1), row(2), row(3)]);
    }

    #[test]
    fn a_log_without_rows_has_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = StepLog::path(folder.path());
        StepLog::resume(&path, None).unwrap().add(&[row(1)]).unwrap();
        drop(StepLog::resume(&path, None).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), HEADER);
    }

    #[test]
    fn a_log_that_is_not_that_of_the_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = StepLog::path(folder.path());
        let mut log = StepLog::resume(&path, None).unwrap();
        log.add(&[row(1), row(2)]).unwrap();
        let mark = log.mark().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let err = StepLog::resume(&path, Some(&mark)).err().unwrap().to_string();
            assert!(err.contains("the first 2 rows do not match"), "{err}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it is");
        };
        (0..whole.len()).for_each(|cut| refused(&whole[..cut]));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            refused(&bytes);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(StepLog::resume(&path, Some(&mark)).is_err(), "rows are lost");
    }
}
