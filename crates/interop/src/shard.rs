//! One safetensors file: <https://github.com/huggingface/safetensors>. The header is checked when the file is
//! opened; tensors are read one by one.
//!
//! Layout: the length of the header as 8 bytes (little endian), the header as JSON, the numbers. The tensors
//! cover the numbers without gap or overlap.
//!
//! The entries of the header are parsed by the crate `safetensors`. Its own checks do not suffice:
//! `SafeTensors::read_metadata` needs all numbers in memory, and `Metadata` does not name a tensor of wrong
//! size, does not distinguish holes from overlaps, and keeps the last of two tensors of one name. So the
//! checks are those of `stored.rs`, which GGUF files share.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, ensure};
use safetensors::tensor::TensorInfo;
use serde_json::Value;

use crate::{
    dtype::Dtype,
    json::json_table,
    stored::{Stored, covered, size_of},
};

/// The largest length of a header, the same as in the library that defines the format.
const LONGEST: u64 = 100_000_000;

/// An open file.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    pub(crate) numbers: Numbers,
    pub(crate) tensors: BTreeMap<String, Stored>,
}

/// The source of the numbers of a file.
#[derive(Debug)]
pub(crate) enum Numbers {
    /// The file, from this byte on.
    From(File, u64),
    /// The reader of a PyTorch file: its tensors by the first bytes of their ranges.
    Pickled(BTreeMap<u64, pytorch_reader::Tensor>),
}

impl Shard {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// If the file is invalid; names the file and the problem.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        Self::read(path).with_context(|| path.display().to_string())
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        ensure!(size >= 8, "not a safetensors file: it has {size} bytes; at least 8 are needed");
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        ensure!(
            length <= LONGEST,
            "not a safetensors file: its header would be {length} bytes long; the limit is {LONGEST}"
        );
        ensure!(
            length <= size - 8,
            "it is cut off: its header has {length} bytes, the file {size}"
        );
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header)?;
        let tensors = entries(&header)?;
        covered(&tensors, size - 8 - length, 1)?;
        let tensors = tensors.into_iter().collect();
        Ok(Self { path: path.into(), numbers: Numbers::From(file, 8 + length), tensors })
    }

    /// Reads the bytes of a tensor.
    pub(crate) fn bytes(&self, stored: &Stored) -> anyhow::Result<Vec<u8>> {
        let size = (stored.range.end - stored.range.start) as usize;
        let read = || match &self.numbers {
            Numbers::From(file, start) => {
                let mut file = file;
                file.seek(SeekFrom::Start(start + stored.range.start))?;
                let mut bytes = vec![0; size];
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
            Numbers::Pickled(tensors) => {
                let tensor = tensors.get(&stored.range.start).filter(|_| size > 0);
                tensor.map_or(Ok(Vec::new()), pytorch_reader::Tensor::read)
            }
        };
        read().map_err(|err: std::io::Error| anyhow!(err).context(self.path.display().to_string()))
    }
}

/// The tensors of a header, in its order.
fn entries(header: &[u8]) -> anyhow::Result<Vec<(String, Stored)>> {
    let mut table = json_table(header).context("its table of tensors")?;
    table.shift_remove("__metadata__");
    let entry = |(name, entry): (String, Value)| {
        let stored = stored(entry).with_context(|| format!("tensor {name}"))?;
        Ok((name, stored))
    };
    table.into_iter().map(entry).collect()
}

fn stored(entry: Value) -> anyhow::Result<Stored> {
    let TensorInfo { dtype, shape, data_offsets } = serde_json::from_value(entry)?;
    let dtype = Dtype::of(&dtype.to_string()).map_err(|err| anyhow!(err))?;
    let bytes = size_of(dtype, &shape)?;
    let (start, end) = (data_offsets.0 as u64, data_offsets.1 as u64);
    ensure!(
        end.checked_sub(start) == Some(bytes),
        "its shape {shape:?} of {} takes {bytes} bytes, but it has bytes {start} to {end}",
        dtype.name()
    );
    Ok(Stored { dtype, shape, range: start..end, order: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for a file with this header and this number of bytes of numbers.
    fn said(header: &str, numbers: usize) -> String {
        let length = (header.len() as u64).to_le_bytes();
        of(&[&length[..], header.as_bytes(), &vec![0; numbers]].concat())
    }

    fn of(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, bytes).unwrap();
        match Shard::open(&path) {
            Ok(shard) => format!("{} tensors", shard.tensors.len()),
            Err(err) => {
                let text = format!("{err:#}");
                let place = format!("{}: ", path.display());
                text.strip_prefix(&place).unwrap_or_else(|| panic!("{text}")).to_string()
            }
        }
    }

    const TWO: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}"#;

    #[test]
    fn all_damage_is_named() {
        assert_eq!(said(TWO, 10), "2 tensors");
        assert_eq!(
            said(TWO, 9),
            "it is cut off: tensor b ends at byte 10 of the numbers, which take 9"
        );
        assert_eq!(said(TWO, 13), "no tensor covers its last 3 bytes");
        let change = |old: &str, new: &str| said(&TWO.replace(old, new), 10);
        assert_eq!(
            change("[8,10]", "[6,8]"),
            "tensor b overlaps the one before it: byte 6 is before byte 8"
        );
        let hole = said(&TWO.replace("[8,10]", "[9,11]"), 11);
        assert_eq!(hole, "no tensor covers bytes 8 to 9, before tensor b");
        assert_eq!(
            change("[2]", "[3]"),
            "tensor a: its shape [3] of F32 takes 12 bytes, but it has bytes 0 to 8"
        );
        assert!(change("[0,8]", "[8,0]").contains("bytes 8 to 0"));
        let most = usize::MAX;
        assert!(change("[2]", &format!("[{most},{most}]")).contains("is too large"));
        let empty = format!("\"shape\":[0,{most},{most}],\"data_offsets\":[0,0]");
        let empty = said(&format!("{{\"a\":{{\"dtype\":\"F32\",{empty}}}}}"), 0);
        assert!(empty.starts_with("tensor a: ") && empty.ends_with("is too large"), "{empty}");
        assert_eq!(
            change("BF16", "I64"),
            "tensor b: its numbers are I64; known: F32, BF16, F16, U8"
        );
        assert_eq!(change("F32", "F31").split(',').next(), Some("tensor a: unknown variant `F31`"));
        assert_eq!(change("\"b\"", "\"a\""), "its table of tensors: a occurs twice");
        assert!(change("\"shape\":[2]", "\"shape\":2").starts_with("tensor a: invalid type: "));
        assert!(change("}}", "}").starts_with("its table of tensors: EOF"));
    }

    #[test]
    fn lengths_are_checked_before_memory_is_taken() {
        assert!(of(b"short").contains("it has 5 bytes"));
        assert!(of(&[255; 20]).contains("its header would be 18446744073709551615 bytes long"));
        let long = [&90_000_000_u64.to_le_bytes()[..], b"{}"].concat();
        assert_eq!(of(&long), "it is cut off: its header has 90000000 bytes, the file 10");
        assert_eq!(said("{}", 0), "0 tensors");
        assert_eq!(said("{}", 1), "no tensor covers its last 1 bytes");
    }
}
