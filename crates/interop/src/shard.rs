//! One safetensors file: <https://github.com/huggingface/safetensors>. The header is checked when it is
//! opened; tensors are read one by one.
//!
//! Layout: the length of the header as 8 bytes (little endian), the header as JSON, the numbers. The tensors
//! cover the numbers without gap or overlap.
//!
//! The entries of the header are those of the crate `safetensors`. Its checks of the whole (`Metadata`) need the
//! numbers in memory, tell holes from overlaps by no message, and take the last of two tensors of one name, so
//! the checks here are our own; GGUF files have the same.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use safetensors::tensor::TensorInfo;
use serde_json::Value;

use crate::{
    checkpoint::json_table,
    dtype::Dtype,
    view::{View, copy},
};

/// The longest header: that of the library that defines the format.
const LONGEST: u64 = 100_000_000;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The format of its numbers.
    pub dtype: Dtype,
    /// The shape.
    pub shape: Vec<usize>,
    /// Its bytes behind the header.
    pub(crate) range: Range<u64>,
    /// The order of its rows, if it is not that of the shape.
    pub(crate) order: Option<Order>,
}

/// An order of numbers other than that of the shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// Of rows of this number of heads, each head has the two of a rotary pair beside each other: (2i, 2i + 1) rather
    /// than (i, i + d / 2).
    Pairs(usize),
    /// The last two axes of three are exchanged.
    Turned,
}

impl Stored {
    /// The number of its elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One tensor for each entry of the first axis of a stack of matrices; none if it is no such stack.
    pub(crate) fn experts(&self) -> Option<Vec<Self>> {
        const MOST: usize = 1 << 16;
        let (n, matrix) = self.shape.split_first()?;
        let Range { start, end } = self.range;
        let size = (end - start) / (*n as u64).max(1);
        if matrix.len() != 2 || size == 0 || *n > MOST {
            return None;
        }
        let one = |e: u64| {
            let range = start + e * size..start + (e + 1) * size;
            Self { dtype: self.dtype, shape: matrix.to_vec(), range, order: None }
        };
        Some((0..*n as u64).map(one).collect())
    }

    /// The numbers that its bytes stand for.
    pub(crate) fn numbers(&self, bytes: &[u8]) -> Vec<f32> {
        let numbers = self.dtype.decode(bytes);
        match self.order {
            None => numbers,
            Some(Order::Pairs(heads)) => by_halves(&numbers, self.shape[0], heads),
            Some(Order::Turned) => {
                let mut turned = vec![0.0; numbers.len()];
                let shape = View::whole(&self.shape);
                let [n, a, b] = [0, 2, 1].map(|axis| self.shape[axis]);
                copy(&numbers, &View::whole(&[n, a, b]).turned(), &mut turned, &shape);
                turned
            }
        }
    }
}

/// The rows with the first numbers of all pairs of a head before the second ones.
fn by_halves(numbers: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (width, pairs) = (numbers.len() / rows.max(1), rows / heads / 2);
    let mut ordered = Vec::with_capacity(numbers.len());
    for head in 0..heads {
        for (half, pair) in [0, 1].into_iter().flat_map(|half| (0..pairs).map(move |i| (half, i))) {
            let row = 2 * (head * pairs + pair) + half;
            ordered.extend(&numbers[row * width..][..width]);
        }
    }
    ordered
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    pub(crate) numbers: Numbers,
    pub(crate) tensors: BTreeMap<String, Stored>,
}

/// Where the numbers of a file are.
#[derive(Debug)]
pub(crate) enum Numbers {
    /// In the file, from this byte on.
    From(File, u64),
    /// With the reader of a PyTorch file: its tensors by the first bytes of their ranges.
    Pickled(BTreeMap<u64, pytorch_reader::Tensor>),
}

impl Shard {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        Self::read(path).with_context(|| path.display().to_string())
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        ensure!(
            size >= 8,
            "not a safetensors file: it has {size} bytes, and its first 8 are a length"
        );
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        ensure!(
            length <= LONGEST,
            "not a safetensors file: its header would be {length} bytes long; at most {LONGEST}"
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

    /// The bytes of a tensor of it.
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
        "its shape {shape:?} of {} takes {bytes} bytes, and it has those from {start} to {end}",
        dtype.name()
    );
    Ok(Stored { dtype, shape, range: start..end, order: None })
}

/// The bytes of a tensor.
///
/// # Errors
/// If its axes, those of size 0 left out, have more numbers than can be counted: the last ones are multiplied
/// where a part of the tensor is taken.
pub(crate) fn size_of(dtype: Dtype, shape: &[usize]) -> anyhow::Result<u64> {
    let (numbers, bytes) = dtype.block();
    let n = shape.iter().try_fold(1_u64, |n, d| n.checked_mul((*d as u64).max(1)));
    let size = n.and_then(|n| (n / numbers as u64).checked_mul(bytes as u64));
    let size = size.ok_or_else(|| anyhow!("its shape {shape:?} is absurd"))?;
    Ok(if shape.contains(&0) { 0 } else { size })
}

/// Checks that the tensors cover all bytes, each once; each begins at the first multiple of `alignment` after
/// the one before.
pub(crate) fn covered(
    tensors: &[(String, Stored)],
    size: u64,
    alignment: u64,
) -> anyhow::Result<()> {
    let mut order: Vec<&(String, Stored)> = tensors.iter().collect();
    order.sort_by_key(|(_, stored)| (stored.range.start, stored.range.end));
    let mut done = 0;
    for (name, stored) in order {
        let Range { start, end } = stored.range;
        if end > size {
            bail!(
                "it is cut off: tensor {name} ends at byte {end} of the numbers, which are {size}"
            );
        }
        ensure!(
            start >= done,
            "tensor {name} overlaps the one before it: {start} is before {done}"
        );
        ensure!(
            start == done.next_multiple_of(alignment),
            "no tensor has the bytes from {done} to {start}, before tensor {name}"
        );
        done = end;
    }
    let last = size - done;
    ensure!(size <= done.next_multiple_of(alignment), "no tensor has its last {last} bytes");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about a file with this header and as many bytes of numbers.
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
            "it is cut off: tensor b ends at byte 10 of the numbers, which are 9"
        );
        assert_eq!(said(TWO, 13), "no tensor has its last 3 bytes");
        let change = |old: &str, new: &str| said(&TWO.replace(old, new), 10);
        assert_eq!(change("[8,10]", "[6,8]"), "tensor b overlaps the one before it: 6 is before 8");
        let hole = said(&TWO.replace("[8,10]", "[9,11]"), 11);
        assert_eq!(hole, "no tensor has the bytes from 8 to 9, before tensor b");
        assert_eq!(
            change("[2]", "[3]"),
            "tensor a: its shape [3] of F32 takes 12 bytes, and it has those from 0 to 8"
        );
        assert!(change("[0,8]", "[8,0]").contains("from 8 to 0"));
        let most = usize::MAX;
        assert!(change("[2]", &format!("[{most},{most}]")).contains("is absurd"));
        let empty = format!("\"shape\":[0,{most},{most}],\"data_offsets\":[0,0]");
        let empty = said(&format!("{{\"a\":{{\"dtype\":\"F32\",{empty}}}}}"), 0);
        assert!(empty.starts_with("tensor a: ") && empty.ends_with("is absurd"), "{empty}");
        assert_eq!(
            change("BF16", "I64"),
            "tensor b: its numbers are I64; known: F32, BF16, F16, U8"
        );
        assert_eq!(change("F32", "F31").split(',').next(), Some("tensor a: unknown variant `F31`"));
        assert_eq!(change("\"b\"", "\"a\""), "its table of tensors: a is there twice");
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
        assert_eq!(said("{}", 1), "no tensor has its last 1 bytes");
    }
}
