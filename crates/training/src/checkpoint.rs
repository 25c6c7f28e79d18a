//! All that a run needs to go on: one file, there as a whole or not at all, with a checksum.
//!
//! Layout: `MOELAB01`, the length of the header as 8 bytes (little endian), the header as JSON, the
//! network's record, the optimizer's record, what else the learner needs, SHA-256 over everything
//! before it. Data position and random numbers follow from seed and step, so they need no place here.

use std::{
    collections::HashMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use burn::{
    module::{Module, Param},
    optim::ModuleOptimizer,
    store::ModuleRecord,
    tensor::{Bytes, Shape, Tensor},
};
use burn_pack::Reader;
use moe::{PathVisitor, visit_paths};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{LogMark, ProcessGroup};
use files::write_atomic_parts;

const MAGIC: &[u8] = b"MOELAB01";
const CHECKSUM: usize = 32;

/// The position of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Steps done.
    pub step: usize,
    /// The losses since the last row of the log: their sum, and how many.
    pub losses: (f64, usize),
    /// Seconds spent in training steps.
    pub seconds: f64,
    /// The largest over the mean load of the first steps, where it is watched: the sum, and how many.
    #[serde(default)]
    pub load: (f64, usize),
    /// Floating-point operations of the forward passes so far.
    #[serde(default)]
    pub flops: f64,
    /// The log as it was then. None of a checkpoint that no run wrote, or that an older version did.
    #[serde(default)]
    pub log: Option<LogMark>,
}

/// The reason for which a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is there, but is not a checkpoint of this network.
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
    /// The lengths of what else there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rest: Vec<usize>,
}

/// A checkpoint that was read, with its records still as bytes.
pub(crate) struct State {
    path: PathBuf,
    pub(crate) checkpoint: Checkpoint,
    /// The whole file.
    bytes: Vec<u8>,
    /// Where it has the records.
    model: Range<usize>,
    optimizer: Range<usize>,
    /// Further files of the learner.
    pub(crate) rest: Vec<Vec<u8>>,
}

impl State {
    /// Reads network and optimizer into fresh ones.
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

    /// Says that it does not fit.
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

    /// Writes the file, with what else the learner needs.
    pub(crate) fn save_with<M: Module>(
        &self,
        folder: &Path,
        model: &M,
        optimizer: &ModuleOptimizer,
        rest: &[Vec<u8>],
    ) -> Result<(), CheckpointError> {
        self.save_by(&ProcessGroup::alone(), folder, model, optimizer, rest)
    }

    /// The same by the leading process of a group. The others have a part in it where each has a part of
    /// the optimizer.
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

    /// Writes the parts of the file one after the other, so that they are in memory once.
    fn write<M: Module>(
        &self,
        path: &Path,
        model: &M,
        optimizer: &ModuleOptimizer,
        rest: &[Vec<u8>],
    ) -> io::Result<()> {
        let [model, optimizer] = records(model, optimizer).map_err(io::Error::other)?;
        let header = self.header([model.len(), optimizer.len()], rest)?;
        let mut parts: Vec<&[u8]> = vec![&header, &model, &optimizer];
        parts.extend(rest.iter().map(Vec::as_slice));
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        let checksum = hash.finalize();
        parts.push(&checksum);
        write_atomic_parts(path, &parts)
    }

    /// What comes before the records, of these lengths.
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

    /// The network alone of the content of the file in a folder, read into a fresh one.
    pub fn parse_model<M: Module>(
        folder: &Path,
        bytes: &[u8],
        model: M,
    ) -> Result<M, CheckpointError> {
        let path = Self::path(folder);
        let damaged = |message: String| CheckpointError::Damaged { path, message };
        let (_, [model_bytes, ..]) = parts(bytes).map_err(damaged.clone())?;
        read_model(model_bytes, model).map_err(damaged)
    }

    /// Reads the file, if there is one, into a fresh network and a fresh optimizer.
    pub fn load<M: Module>(
        folder: &Path,
        model: M,
        optimizer: ModuleOptimizer,
    ) -> Result<Option<(Self, M, ModuleOptimizer)>, CheckpointError> {
        let Some(state) = Self::load_state(folder)? else { return Ok(None) };
        let (model, optimizer) = state.read(model, optimizer)?;
        Ok(Some((state.checkpoint, model, optimizer)))
    }

    /// Reads the file, if there is one.
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
    /// The bytes of a checkpoint's file.
    pub(crate) fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let damaged = |message| CheckpointError::Damaged { path: path.into(), message };
        let (header, [model, optimizer, mut left]) = parts(&bytes).map_err(damaged)?;
        let begin = bytes.len() - CHECKSUM - left.len() - optimizer.len() - model.len();
        let (model, optimizer) = (model.len(), optimizer.len());
        let mut rest = Vec::new();
        for length in header.rest {
            let cut = left.split_at_checked(length);
            let (one, others) = cut.ok_or_else(|| damaged("a part of it is missing".into()))?;
            rest.push(one.to_vec());
            left = others;
        }
        let (model, optimizer) = (begin..begin + model, begin + model..begin + model + optimizer);
        let checkpoint = header.checkpoint;
        Ok(Self { path: path.into(), checkpoint, bytes, model, optimizer, rest })
    }
}

/// The reason for which something cannot be written.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The records of a network and of its optimizer.
fn records<M: Module>(model: &M, optimizer: &ModuleOptimizer) -> Result<[Bytes; 2], Failure> {
    Ok([model_bytes(model)?, optimizer.into_bytes()?])
}

/// The record of a network.
pub(crate) fn model_bytes<M: Module>(model: &M) -> Result<Bytes, Failure> {
    drop(model.valid()); // brings pending updates of running states into the record
    Ok(model.clone().into_record().into_bytes()?)
}

/// Reads a record into a fresh network.
pub(crate) fn read_model<M: Module>(bytes: &[u8], model: M) -> Result<M, String> {
    let bytes = shared(bytes);
    tensors(&bytes)?.iter().try_for_each(is_float)?;
    let record = ModuleRecord::from_bytes(bytes);
    record.and_then(|record| model.try_load_record(record)).map_err(|err| err.to_string())
}

/// A copy of a record, whose clones share it.
fn shared(record: &[u8]) -> Bytes {
    Bytes::from_bytes_vec(record.to_vec()).shared()
}

/// The parameters of all networks are floating-point numbers, and Burn panics on a record of others.
fn is_float(tensor: &burn_pack::Tensor) -> Result<(), String> {
    let (name, dtype) = (&tensor.name, tensor.dtype);
    let wrong = || format!("{name} has numbers of {dtype:?}; expected floating-point numbers");
    dtype.is_float().then_some(()).ok_or_else(wrong)
}

/// The tensors of a record.
fn tensors(record: &Bytes) -> Result<Vec<burn_pack::Tensor>, String> {
    opened(record)?.into_tensors().map_err(|err| err.to_string())
}

fn opened(record: &Bytes) -> Result<Reader, String> {
    Reader::from_bytes(record.clone()).map_err(|err| err.to_string())
}

/// Reads a record into a fresh optimizer of a network. Burn panics on a record of another network, and
/// leaves out what it cannot read.
pub(crate) fn read_optimizer<M: Module>(
    bytes: &[u8],
    optimizer: ModuleOptimizer,
    model: &M,
) -> Result<ModuleOptimizer, String> {
    let mut shapes = Shapes::default();
    visit_paths(model, &mut shapes);
    let bytes = shared(bytes);
    let reader = opened(&bytes)?;
    shapes.fit_ranks(&reader)?;
    let tensors = reader.into_tensors().map_err(|err| err.to_string())?;
    tensors.iter().try_for_each(|tensor| shapes.fit(tensor))?;
    let read = optimizer.from_bytes(bytes);
    let read = read.map_err(|err| err.to_string())?;
    let (of, known) = (tensors.len(), read.to_record().len());
    let lost = || format!("{known} of {of} tensors of the optimizer can be read");
    (known == of).then_some(read).ok_or_else(lost)
}

/// The shape of every parameter.
#[derive(Default)]
struct Shapes {
    of: HashMap<u64, Shape>,
}

impl Shapes {
    /// Checks the ranks of parameters in the record of an optimizer.
    fn fit_ranks(&self, record: &Reader) -> Result<(), String> {
        for (name, &rank) in record.scalars() {
            let Some(id) = name.strip_suffix(".__rank") else { continue };
            let shape = id.parse().ok().and_then(|id| self.of.get(&id));
            if shape.map(|shape| shape.rank()) != rank.try_into().ok() {
                return Err(format!("{name} of the optimizer, {rank:?}, is that of no parameter"));
            }
        }
        Ok(())
    }

    /// Checks a tensor of the record of an optimizer, which has the shape of its parameter.
    fn fit(&self, tensor: &burn_pack::Tensor) -> Result<(), String> {
        is_float(tensor)?;
        let name = &tensor.name;
        let id = tensor.param_id.filter(|id| name.starts_with(&format!("{id}.")));
        if id.and_then(|id| self.of.get(&id)) == Some(&tensor.shape) {
            return Ok(());
        }
        let shape = tensor.shape.to_vec();
        Err(format!("{name} of the optimizer is of no parameter of shape {shape:?}"))
    }
}

impl PathVisitor for Shapes {
    fn visit<const D: usize>(&mut self, _: &[String], param: &Param<Tensor<D>>) {
        self.of.insert(param.id.val(), param.val().shape());
    }
}

/// Checks the checksum, and cuts the file into header, network, optimizer and the rest.
fn parts(bytes: &[u8]) -> Result<(Header, [&[u8]; 3]), String> {
    let too_short = || format!("it is too short, {} bytes", bytes.len());
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
mod tests {
    use super::*;
    use crate::{TrainConfig, adamw};
    use burn::{nn::Linear, optim::GradientsParams, prelude::*, tensor::DType};
    use moe::Init;

    fn fresh() -> (Linear, ModuleOptimizer) {
        let linear = Init::new(0, &Device::flex().autodiff()).linear("l", 3, 2, true);
        let optimizer = adamw(&TrainConfig::default(), &linear);
        (linear, optimizer)
    }

    fn step((linear, mut optimizer): (Linear, ModuleOptimizer)) -> (Linear, ModuleOptimizer) {
        let x = Tensor::<2>::ones([1, 3], &Device::flex().autodiff());
        let loss = linear.forward(x).square().sum();
        let grads = GradientsParams::from_grads(loss.backward(), &linear);
        (optimizer.step(0.1, linear, grads), optimizer)
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
        let alone = Checkpoint::parse_model(folder.path(), &bytes, fresh().0).unwrap();
        assert_eq!(alone.weight.val().into_data(), loaded.weight.val().into_data());
        let bits = |state: (Linear, ModuleOptimizer)| step(state).0.weight.val().into_data();
        assert_eq!(bits((loaded, loaded_optimizer)), bits((linear, optimizer)));
    }

    #[test]
    fn moments_that_do_not_belong_to_the_network_are_refused() {
        let (linear, optimizer) = step(fresh());
        let record = optimizer.into_bytes().unwrap();
        let read = |tensors: Vec<burn_pack::Tensor>| {
            let bytes = burn_pack::Writer::new(tensors).into_bytes().unwrap();
            read_optimizer(&bytes, fresh().1, &linear).err().unwrap()
        };
        let changed = |dtype: DType, shape: &[usize]| {
            let mut tensors = tensors(&shared(&record)).unwrap();
            let (name, _, _, id, bytes) = tensors.remove(0).into_parts().unwrap();
            read(vec![burn_pack::Tensor::new(name, dtype, shape.to_vec(), id, bytes)])
        };
        let shape = tensors(&shared(&record)).unwrap()[0].shape.to_vec();
        assert!(changed(DType::I32, &shape).contains("numbers of I32"));
        let row = [1, shape.iter().product()];
        assert!(changed(DType::F32, &row).contains("of no parameter of shape [1, "));
        // The number of steps is missing.
        assert_eq!(
            read(tensors(&shared(&record)).unwrap()),
            "0 of 4 tensors of the optimizer can be read"
        );
        assert!(read_optimizer(&record, fresh().1, &linear).is_ok());
        let other = Init::new(0, &Device::flex().autodiff()).linear("l", 4, 2, true);
        let err = read_optimizer(&record, fresh().1, &other).err().unwrap();
        assert!(err.ends_with("of no parameter of shape [3, 2]"), "{err}");
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
