//! One file of PyTorch's `torch.save` with a table of tensors by name (a state dict), such as
//! `pytorch_model.bin`: <https://docs.pytorch.org/docs/stable/notes/serialization.html>.
//!
//! Burn's reader of the format is used. It executes nothing of the pickle that names the tensors: it knows
//! the calls that make tensors, and refuses tensors that other calls would make. Values that are not tensors
//! are ignored. From archives (since PyTorch 1.6) and from the older streams of pickles, tensors are read one
//! by one; archives from before 2017 are read into memory completely.
//!
//! A tensor may be a view into storage that it shares with others, and views may repeat numbers. So that a
//! small file cannot require much memory, neither a single tensor nor all tensors together may have more
//! bytes than the file.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, anyhow, ensure};
use pytorch_reader::{PytorchReader, Tensor};
use zip::{CompressionMethod, ZipArchive};

use crate::{
    dtype::Dtype,
    shard::{Numbers, Shard},
    stored::{Stored, size_of},
};

/// Opens a file and checks its table of tensors.
///
/// # Errors
/// If the file is invalid; names the file and the problem.
pub(crate) fn open(path: &Path) -> anyhow::Result<Shard> {
    read(path).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> anyhow::Result<Shard> {
    let size = fs::metadata(path)?.len();
    nothing_is_compressed(path)?;
    let reader = PytorchReader::new(path).map_err(|err| anyhow!("not a PyTorch file: {err}"))?;
    let numbers = reader.metadata().total_data_size.unwrap_or_default() as u64;
    ensure!(
        numbers <= size,
        "its numbers take {numbers} bytes, but the file has {size}; compressed files are not supported"
    );
    let tensors = reader.into_tensors();
    ensure!(!tensors.is_empty(), "it has no tensors");
    laid_out(tensors, size).map(|(numbers, tensors)| Shard { path: path.into(), numbers, tensors })
}

/// Refuses archives with compressed files, which PyTorch does not write: a small one could require much
/// memory.
fn nothing_is_compressed(path: &Path) -> anyhow::Result<()> {
    // Older files are not archives, and files that are not from PyTorch at all are detected later.
    let Ok(mut archive) = ZipArchive::new(File::open(path)?) else { return Ok(()) };
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(|err| anyhow!("not a PyTorch file: {err}"))?;
        ensure!(
            entry.compression() == CompressionMethod::Stored,
            "{} in it is compressed; compressed files are not supported",
            entry.name().unwrap_or_default()
        );
    }
    Ok(())
}

/// The tensors with byte ranges as if they were stored consecutively, in the order of their names.
fn laid_out(
    tensors: HashMap<String, Tensor>,
    size: u64,
) -> anyhow::Result<(Numbers, BTreeMap<String, Stored>)> {
    let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
    let (mut stored, mut by_start, mut start) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (name, tensor) in tensors {
        let (bytes, shape) = (tensor.byte_len() as u64, tensor.shape().to_vec());
        let dtype = Dtype::of(&format!("{:?}", tensor.dtype()));
        let dtype = dtype.map_err(|err| anyhow!("tensor {name}: {err}"))?;
        ensure!(
            bytes <= size,
            "tensor {name}: its shape {shape:?} takes {bytes} bytes, but the file has {size}"
        );
        size_of(dtype, &shape).with_context(|| format!("tensor {name}"))?;
        let range = start..start + bytes;
        start = range.end;
        if bytes > 0 {
            by_start.insert(range.start, tensor);
        }
        stored.insert(name, Stored { dtype, shape, range, order: None });
    }
    Ok((Numbers::Pickled(by_start), stored))
}
