//! GGUF files: weights, config and tokeniser in one file.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian.
//!
//! ```text
//! "GGUF", version u32, tensors u64, entries u64
//! entries   name, kind u32, value                                       metadata.rs
//! tensors   name, axes u32, sizes u64, kind u32, offset u64             tensors.rs
//! the numbers, each tensor at a multiple of `general.alignment`
//! ```
//!
//! The tensors get the names of the transformers library, so that the families of checkpoints read them
//! (`architecture.rs`, `config.rs`, `names.rs`). Numbers: F32, F16, BF16, Q8_0, Q4_0, Q4_1. Only single files
//! are read; parts of a split model are refused.

mod architecture;
mod config;
mod joined;
mod metadata;
mod names;
mod tensors;
mod tokenizer;

use std::{fs::File, io::BufReader, path::Path};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

pub(crate) use self::joined::join;
use self::{architecture::Architecture, metadata::HeaderReader};
use crate::{
    shard::{Numbers, Shard},
    stored::covered,
};

/// An open file.
pub(crate) struct Gguf {
    /// The corresponding `config.json` of the transformers library.
    pub(crate) config: Map<String, Value>,
    /// A `tokenizer.json`, or the reason why there is none.
    pub(crate) tokenizer: Result<Value, String>,
    /// The tensors by the names of the transformers library.
    pub(crate) shard: Shard,
}

/// Opens a file and checks its header.
///
/// # Errors
/// If the file is invalid; names the file and the problem.
pub(crate) fn open(path: &Path) -> anyhow::Result<Gguf> {
    read(path).with_context(|| path.display().to_string())
}

/// The largest number of tensors, and of entries of metadata.
const MOST: u64 = 1 << 16;

fn read(path: &Path) -> anyhow::Result<Gguf> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut header = HeaderReader::new(BufReader::new(&file), size);
    begin(&mut header)?;
    let (tensors, entries) = (header.number()?, header.number()?);
    for (what, count) in [("tensors", tensors), ("metadata entries", entries)] {
        ensure!(count <= MOST, "it has {count} {what}; the limit is {MOST}");
    }
    let metadata = metadata::read(&mut header, entries)?;
    let alignment = alignment(&metadata)?;
    let tensors = tensors::read(&mut header, tensors, alignment)?;
    // Without tensors the header may end the file.
    let start = header.at().next_multiple_of(alignment).min(size);
    covered(&tensors, size - start, alignment)?;
    let architecture = Architecture::of(&metadata)?;
    let config = config::config(architecture, &metadata, &tensors)?;
    let tensors = names::renamed(architecture, tensors, &config)?.into_iter().collect();
    let shard = Shard { path: path.into(), numbers: Numbers::From(file, start), tensors };
    Ok(Gguf { config, tokenizer: tokenizer::read(&metadata), shard })
}

fn begin(header: &mut HeaderReader<impl std::io::Read>) -> anyhow::Result<()> {
    let magic: [u8; 4] = header.array().context("not a GGUF file")?;
    ensure!(
        &magic == b"GGUF",
        "not a GGUF file: it begins with {:?}; a checkpoint is a GGUF file or a folder",
        String::from_utf8_lossy(&magic)
    );
    match u32::from_le_bytes(header.array()?) {
        2 | 3 => Ok(()),
        other if [2, 3].contains(&other.swap_bytes()) => {
            bail!("it is big-endian; expected little-endian")
        }
        other => bail!("GGUF version {other} is not supported; known: 2, 3"),
    }
}

fn alignment(metadata: &Map<String, Value>) -> anyhow::Result<u64> {
    let value = metadata.get("general.alignment").map_or(Some(32), Value::as_u64);
    let fits = |alignment: &u64| (8..=1 << 20).contains(alignment) && alignment.is_power_of_two();
    match value.filter(fits) {
        Some(alignment) => Ok(alignment),
        None => bail!(
            "general.alignment = {}: must be a power of two from 8 to 1048576",
            metadata["general.alignment"]
        ),
    }
}
