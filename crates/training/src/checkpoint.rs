//! All state that a run needs to continue, in one file, which is written completely or not at all and has a
//! checksum.
//!
//! Layout: `MOELAB01`, the length of the header as 8 bytes (little endian), the header as JSON, the network's
//! record, the optimizer's record, further state of the learner, and the SHA-256 of everything before it. The
//! position in the data and the random numbers follow from seed and step, so they are not stored.

use std::{
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use burn::{module::Module, optim::ModuleOptimizer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    LogMark, ProcessGroup,
    record::{read_model, read_optimizer, read_owned, record, write_record},
};
use files::write_atomic_with;

const MAGIC: &[u8] = b"MOELAB01";
const CHECKSUM: usize = 32;

/// The position of a run in its training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of completed steps.
    pub step: usize,
    /// The losses since the last row of the log: their sum and their number.
    pub losses: (f64, usize),
    /// Seconds spent in training steps.
    pub seconds: f64,
    /// The largest over the mean load of the first steps, if it is watched: the sum and the number of steps.
    #[serde(default)]
    pub load: (f64, usize),
    /// Floating-point operations of the forward passes so far.
    #[serde(default)]
    pub flops: f64,
    /// The state of the log when the checkpoint was written; none for a checkpoint that was written outside
    /// of a run or by an older version.
    #[serde(default)]
    pub log: Option<LogMark>,
}

/// The reason why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file exists, but is not a checkpoint of this network.
    #[error("{path} is damaged: {message}; remove it to train the run from the start")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
}

/// The header of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    checkpoint: Checkpoint,
    model: usize,
    optimizer: usize,
    /// The lengths of the further parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rest: Vec<usize>,
}

/// A checkpoint that was read, with its records still in bytes.
pub(crate) struct State {
    path: PathBuf,
    pub(crate) checkpoint: Checkpoint,
    /// The content of the file.
    bytes: Vec<u8>,
    /// The byte range of the network's record.
    model: Range<usize>,
    optimizer: Range<usize>,
    /// Further state of the learner.
    pub(crate) rest: Vec<Vec<u8>>,
}

impl State {
    /// Reads the network and the optimizer into fresh ones.
    pub(crate) fn read<M: Module>(
        &self,
        model: M,
        optimizer: ModuleOptimizer,
    ) -> Result<(M, ModuleOptimizer), CheckpointError> {
        let damaged = |message| self.damaged(message);
        let [of_model, of_optimizer] =
            [&self.model, &self.optimizer].map(|place| &self.bytes[place.clone()]);
        let model = read_model(of_model, model).map_err(damaged)?;
        let optimizer = read_optimizer(of_optimizer, optimizer, &model).map_err(damaged)?;
        Ok((model, optimizer))
    }

    /// The error that the checkpoint does not fit.
    pub(crate) fn damaged(&self, message: String) -> CheckpointError {
        CheckpointError::Damaged { path: self.path.clone(), message }
    }
}

impl Checkpoint {
    /// The name of the file in a run's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("checkpoint.bin")
    }

    /// Writes the file.
    pub fn save<M: Module>(
        &self,
        folder: &Path,
        model: &M,
        optimizer: &ModuleOptimizer,
    ) -> Result<(), CheckpointError> {
        self.save_with(folder, model, optimizer, &[])
    }

    /// Writes the file, with the further state of the learner.
    pub(crate) fn save_with<M: Module>(
        &self,
        folder: &Path,
        model: &M,
        optimizer: &ModuleOptimizer,
        rest: &[Vec<u8>],
    ) -> Result<(), CheckpointError> {
        self.save_by(&ProcessGroup::alone(), folder, model, optimizer, rest)
    }

    /// The same for the leading process of a group. The other processes take part if each has a part of the
    /// optimizer.
    pub(crate) fn save_by<M: Module>(
        &self,
        group: &ProcessGroup,
        folder: &Path,
        model: &M,
        optimizer: &ModuleOptimizer,
        rest: &[Vec<u8>],
    ) -> Result<(), CheckpointError> {
        if let Some(shelf) = group.shelf() {
            optimizer.to_record();
            shelf.exchange(&*group.world);
        }
        if group.leads() {
            let path = Self::path(folder);
            let written = self.write(&path, model, optimizer, rest);
            written.map_err(|source| CheckpointError::Io { path, source })?;
        }
        Ok(())
    }

    /// Writes the parts of the file one after the other.
    fn write<M: Module>(
        &self,
        path: &Path,
        model: &M,
        optimizer: &ModuleOptimizer,
        rest: &[Vec<u8>],
    ) -> io::Result<()> {
        let optimizer = optimizer.into_bytes().map_err(io::Error::other)?;
        let record = record(model);
        let size = record.size().map_err(io::Error::other)?;
        let header = self.header([size, optimizer.len()], rest)?;
        write_atomic_with(path, |file| {
            let mut hashed = Hashed { to: file, hash: Sha256::new() };
            hashed.write_all(&header)?;
            write_record(record, size, path, &mut hashed)?;
            hashed.write_all(&optimizer)?;
            rest.iter().try_for_each(|part| hashed.write_all(part))?;
            hashed.to.write_all(&hashed.hash.finalize())
        })
    }

    /// The bytes before the records, whose lengths are given.
    fn header(&self, [model, optimizer]: [usize; 2], rest: &[Vec<u8>]) -> io::Result<Vec<u8>> {
        let header = Header {
            checkpoint: self.clone(),
            model,
            optimizer,
            rest: rest.iter().map(Vec::len).collect(),
        };
        let header = serde_json::to_vec(&header)?;
        let length = (header.len() as u64).to_le_bytes();
        Ok([MAGIC, &length, &header].concat())
    }

    /// Reads only the network from the content of a file into a fresh one.
    pub fn parse_model<M: Module>(
        folder: &Path,
        mut bytes: Vec<u8>,
        model: M,
    ) -> Result<M, CheckpointError> {
        let path = Self::path(folder);
        let damaged = |message: String| CheckpointError::Damaged { path, message };
        let (_, [record, optimizer, rest]) = parts(&bytes).map_err(damaged.clone())?;
        let end = bytes.len() - CHECKSUM - rest.len() - optimizer.len();
        let begin = end - record.len();
        bytes.truncate(end);
        bytes.drain(..begin); // in its place: a copy would be the network once more
        read_owned(bytes, model).map_err(damaged)
    }

    /// Reads the file, if it exists, into a fresh network and a fresh optimizer.
    pub fn load<M: Module>(
        folder: &Path,
        model: M,
        optimizer: ModuleOptimizer,
    ) -> Result<Option<(Self, M, ModuleOptimizer)>, CheckpointError> {
        let Some(state) = Self::load_state(folder)? else { return Ok(None) };
        let (model, optimizer) = state.read(model, optimizer)?;
        Ok(Some((state.checkpoint, model, optimizer)))
    }

    /// Reads the file, if it exists.
    pub(crate) fn load_state(folder: &Path) -> Result<Option<State>, CheckpointError> {
        let path = Self::path(folder);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { path, source }),
        };
        State::of(&path, bytes).map(Some)
    }
}

impl State {
    /// Parses the content of a checkpoint's file.
    pub(crate) fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let damaged = |message| CheckpointError::Damaged { path: path.into(), message };
        let (header, [model, optimizer, mut left]) = parts(&bytes).map_err(damaged)?;
        let begin = bytes.len() - CHECKSUM - left.len() - optimizer.len() - model.len();
        let (model, optimizer) = (model.len(), optimizer.len());
        let mut rest = Vec::new();
        for length in header.rest {
            let cut = left.split_at_checked(length);
            let (one, others) = cut.ok_or_else(|| damaged("a part is missing".into()))?;
            rest.push(one.to_vec());
            left = others;
        }
        let (model, optimizer) = (begin..begin + model, begin + model..begin + model + optimizer);
        let checkpoint = header.checkpoint;
        Ok(Self { path: path.into(), checkpoint, bytes, model, optimizer, rest })
    }
}

/// The SHA-256 of a network's record, that is, of the bytes that [`Module::into_record`] gives. The record of
/// a large network is temporarily written beside `path`, so that it is never completely in memory.
///
/// # Errors
/// If the temporary file cannot be written.
pub fn record_digest<M: Module>(model: &M, path: &Path) -> io::Result<Vec<u8>> {
    let record = record(model);
    let size = record.size().map_err(io::Error::other)?;
    let mut hashed = Hashed { to: io::sink(), hash: Sha256::new() };
    write_record(record, size, path, &mut hashed)?;
    Ok(hashed.hash.finalize().to_vec())
}

/// A writer that hashes its bytes.
struct Hashed<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Verifies the checksum, and splits the file into header, network, optimizer and the rest.
fn parts(bytes: &[u8]) -> Result<(Header, [&[u8]; 3]), String> {
    let too_short = || format!("the file is too short, {} bytes", bytes.len());
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(too_short)?;
    if !body.starts_with(MAGIC) {
        return Err("not a checkpoint of MoeLab".into());
    }
    if Sha256::digest(body).as_slice() != checksum {
        return Err("its checksum is wrong".into());
    }
    let (length, rest) = body[MAGIC.len()..].split_first_chunk::<8>().ok_or_else(too_short)?;
    let (header, rest) =
        rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or_else(too_short)?;
    let header: Header = serde_json::from_slice(header).map_err(|err| err.to_string())?;
    let (model, rest) = rest.split_at_checked(header.model).ok_or_else(too_short)?;
    let (optimizer, rest) = rest.split_at_checked(header.optimizer).ok_or_else(too_short)?;
    Ok((header, [model, optimizer, rest]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        TrainConfig, adamw,
        record::{LARGE, model_bytes},
    };
    use burn::{nn::Linear, optim::GradientsParams, prelude::*};
    use moe::Init;

    pub(crate) fn fresh() -> (Linear, ModuleOptimizer) {
        let linear = Init::new(0, &Device::flex().autodiff()).linear("l", 3, 2, true);
        let optimizer = adamw(&TrainConfig::default(), &linear);
        (linear, optimizer)
    }

    pub(crate) fn step(
        (linear, mut optimizer): (Linear, ModuleOptimizer),
    ) -> (Linear, ModuleOptimizer) {
        let x = Tensor::<2>::ones([1, 3], &Device::flex().autodiff());
        let loss = linear.forward(x).square().sum();
        let grads = GradientsParams::from_grads(loss.backward(), &linear);
        (optimizer.step(0.1, linear, grads), optimizer)
    }

    #[test]
    fn a_large_network_is_written_part_by_part_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let init = Init::new(0, &Device::flex());
        let large = init.linear("l", 4200, 4000, true);
        let optimizer = adamw(&TrainConfig::default(), &large);
        Checkpoint::default().save(folder.path(), &large, &optimizer).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let bytes = fs::read(Checkpoint::path(folder.path())).unwrap();
        let (header, [record, ..]) = parts(&bytes).unwrap();
        assert!(header.model > LARGE);
        assert!(*record == model_bytes(&large).unwrap()[..]);
        let digest = record_digest(&large, &Checkpoint::path(folder.path())).unwrap();
        assert_eq!(digest, Sha256::digest(record).to_vec());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let fresh = Init::new(1, &Device::flex()).linear("l", 4200, 4000, true);
        let read = Checkpoint::parse_model(folder.path(), bytes, fresh).unwrap();
        assert!(read.weight.val().into_data() == large.weight.val().into_data());
    }

    #[test]
    fn a_loaded_state_goes_on_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let (linear, optimizer) = step(step(fresh()));
        let saved = Checkpoint {
            step: 2,
            losses: (0.1, 1),
            seconds: 1.5,
            load: (2.5, 2),
            flops: 1e9,
            log: Some(LogMark { rows: 3, bytes: 90, sha256: "a".into() }),
        };
        saved.save(folder.path(), &linear, &optimizer).unwrap();
        let (model, fresh_optimizer) = fresh();
        let (checkpoint, loaded, loaded_optimizer) =
            Checkpoint::load(folder.path(), model, fresh_optimizer).unwrap().unwrap();
        assert_eq!(checkpoint, saved);
        let bytes = fs::read(Checkpoint::path(folder.path())).unwrap();
        let alone = Checkpoint::parse_model(folder.path(), bytes, fresh().0).unwrap();
        assert_eq!(alone.weight.val().into_data(), loaded.weight.val().into_data());
        let bits = |state: (Linear, ModuleOptimizer)| step(state).0.weight.val().into_data();
        assert_eq!(bits((loaded, loaded_optimizer)), bits((linear, optimizer)));
    }

    #[test]
    fn no_file_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let (model, optimizer) = fresh();
        assert!(Checkpoint::load(folder.path(), model, optimizer).unwrap().is_none());
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (linear, optimizer) = step(fresh());
        Checkpoint::default().save(folder.path(), &linear, &optimizer).unwrap();
        let path = Checkpoint::path(folder.path());
        let whole = fs::read(&path).unwrap();
        let message = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let (model, optimizer) = fresh();
            Checkpoint::load(folder.path(), model, optimizer).err().unwrap().to_string()
        };
        for place in [0, 20, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            assert!(message(&bytes).contains("checkpoint.bin is damaged"));
        }
        for length in [0, 10, whole.len() - 1] {
            assert!(message(&whole[..length]).contains("remove it to train the run"));
        }
    }
}
