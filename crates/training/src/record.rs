//! Records of networks and optimizers as bytes: written tensor by tensor, and checked before Burn reads them,
//! because Burn panics on some records that do not fit.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    path::Path,
};

use burn::{
    module::{Module, Param},
    optim::ModuleOptimizer,
    store::ModuleRecord,
    tensor::{Bytes, Shape, Tensor},
};
use burn_pack::{Reader, Writer};
use files::Scratch;
use moe::{PathVisitor, visit_paths};

use crate::deferred::deferred;

/// The size in bytes above which a network's record is written to a separate file before it goes into the
/// checkpoint, so that it is never completely in memory.
pub(crate) const LARGE: usize = 64 << 20;

/// The reason why something cannot be written.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The record of a network, whose tensors are read when they are written.
pub(crate) fn record<M: Module>(model: &M) -> Writer {
    drop(model.valid()); // brings pending updates of running states into the record
    Writer::new(deferred(model)).auto_extension(false)
}

/// Writes a record of this size, a large one through a file beside `path`.
pub(crate) fn write_record(
    record: Writer,
    size: usize,
    path: &Path,
    to: &mut impl Write,
) -> io::Result<()> {
    if size <= LARGE {
        return to.write_all(&record.into_bytes().map_err(io::Error::other)?);
    }
    let scratch = Scratch::beside(path);
    record.write_to_file_in_place(&scratch.path).map_err(io::Error::other)?;
    io::copy(&mut File::open(&scratch.path)?, to).map(drop)
}

/// The record of a network.
pub(crate) fn model_bytes<M: Module>(model: &M) -> Result<Bytes, Failure> {
    Ok(record(model).into_bytes()?)
}

/// Reads a record into a fresh network.
pub(crate) fn read_model<M: Module>(bytes: &[u8], model: M) -> Result<M, String> {
    read_owned(bytes.to_vec(), model)
}

/// The same for a record that is no longer needed.
pub(crate) fn read_owned<M: Module>(bytes: Vec<u8>, model: M) -> Result<M, String> {
    let bytes = Bytes::from_bytes_vec(bytes).shared();
    tensors(&bytes)?.iter().try_for_each(is_float)?;
    let record = ModuleRecord::from_bytes(bytes);
    record.and_then(|record| model.try_load_record(record)).map_err(|err| err.to_string())
}

/// A copy of a record that is shared by its clones.
fn shared(record: &[u8]) -> Bytes {
    Bytes::from_bytes_vec(record.to_vec()).shared()
}

/// Checks that a tensor has floating-point numbers: those of all networks do, and Burn panics on records of
/// others.
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
/// silently leaves out what it cannot read.
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
    let lost = || format!("only {known} of {of} tensors of the optimizer can be read");
    (known == of).then_some(read).ok_or_else(lost)
}

/// The shape of every parameter.
#[derive(Default)]
struct Shapes {
    of: HashMap<u64, Shape>,
}

impl Shapes {
    /// Checks the ranks of the parameters in the record of an optimizer.
    fn fit_ranks(&self, record: &Reader) -> Result<(), String> {
        for (name, &rank) in record.scalars() {
            let Some(id) = name.strip_suffix(".__rank") else { continue };
            let shape = id.parse().ok().and_then(|id| self.of.get(&id));
            if shape.map(|shape| shape.rank()) != rank.try_into().ok() {
                return Err(format!("{name} = {rank:?} of the optimizer matches no parameter"));
            }
        }
        Ok(())
    }

    /// Checks a tensor in the record of an optimizer, which must have the shape of its parameter.
    fn fit(&self, tensor: &burn_pack::Tensor) -> Result<(), String> {
        is_float(tensor)?;
        let name = &tensor.name;
        let id = tensor.param_id.filter(|id| name.starts_with(&format!("{id}.")));
        if id.and_then(|id| self.of.get(&id)) == Some(&tensor.shape) {
            return Ok(());
        }
        let shape = tensor.shape.to_vec();
        Err(format!("{name} of the optimizer does not match a parameter of shape {shape:?}"))
    }
}

impl PathVisitor for Shapes {
    fn visit<const D: usize>(&mut self, _: &[String], param: &Param<Tensor<D>>) {
        self.of.insert(param.id.val(), param.val().shape());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::{fresh, step};
    use burn::{prelude::*, tensor::DType};
    use moe::Init;

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
        assert!(changed(DType::F32, &row).contains("does not match a parameter of shape [1, "));
        // The number of steps is missing.
        assert_eq!(
            read(tensors(&shared(&record)).unwrap()),
            "only 0 of 4 tensors of the optimizer can be read"
        );
        assert!(read_optimizer(&record, fresh().1, &linear).is_ok());
        let other = Init::new(0, &Device::flex().autodiff()).linear("l", 4, 2, true);
        let err = read_optimizer(&record, fresh().1, &other).err().unwrap();
        assert!(err.ends_with("does not match a parameter of shape [3, 2]"), "{err}");
    }
}
