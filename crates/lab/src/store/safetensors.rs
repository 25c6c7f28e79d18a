//! Files of tensors in the safetensors format: <https://github.com/huggingface/safetensors>.
//!
//! Eight bytes with the length of the header; the header, JSON that says name, kind, shape and place
//! of each tensor; the numbers, row by row, little-endian.
//!
//! Written here in a page, because the crate of that name turns on features below Burn.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, bail, ensure};
use burn::{
    prelude::*,
    tensor::{DType, TensorData},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use training::write_atomic;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, TensorData>;

/// What the header says of one tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// All tensors of a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Tensors> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    parse(&bytes).with_context(|| path.display().to_string())
}

fn parse(bytes: &[u8]) -> anyhow::Result<Tensors> {
    const NOT: &str = "this is no safetensors file";
    let (length, rest) = bytes.split_first_chunk::<8>().context(NOT)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).context(NOT)?;
    let (header, numbers) = rest.split_at_checked(length).context(NOT)?;
    let header: Map<String, Value> = serde_json::from_slice(header).context(NOT)?;
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    tensors
        .map(|(name, entry)| {
            let data = tensor(entry, numbers).with_context(|| name.clone())?;
            Ok((name, data))
        })
        .collect()
}

fn tensor(entry: Value, numbers: &[u8]) -> anyhow::Result<TensorData> {
    let Entry { dtype, shape, data_offsets: [start, end] } = serde_json::from_value(entry)?;
    let bytes = numbers.get(start..end).context("its place is outside of the file")?;
    let sides = shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side));
    let count = sides.with_context(|| format!("its shape is {shape:?}"))?;
    let data = match dtype.as_str() {
        "F32" => TensorData::new(values(bytes, count, f32::from_le_bytes)?, shape),
        "F64" => TensorData::new(values(bytes, count, f64::from_le_bytes)?, shape),
        "I32" => TensorData::new(values(bytes, count, i32::from_le_bytes)?, shape),
        "I64" => TensorData::new(values(bytes, count, i64::from_le_bytes)?, shape),
        other => bail!("its numbers are {other}; known: F32, F64, I32, I64"),
    };
    Ok(data)
}

/// `count` numbers of N bytes each.
fn values<T, const N: usize>(
    bytes: &[u8],
    count: usize,
    from: fn([u8; N]) -> T,
) -> anyhow::Result<Vec<T>> {
    let (numbers, rest) = bytes.as_chunks::<N>();
    ensure!(rest.is_empty() && numbers.len() == count, "it has {} bytes", bytes.len());
    Ok(numbers.iter().map(|number| from(*number)).collect())
}

/// Writes all tensors into a file, whole or not at all: numbers as F32, whole numbers as I64.
pub(crate) fn write(path: &Path, tensors: &Tensors) -> anyhow::Result<()> {
    let (mut header, mut numbers) = (Map::new(), Vec::new());
    for (name, data) in tensors {
        let start = numbers.len();
        let dtype = match data.dtype() {
            DType::F32 => {
                numbers.extend(data.iter::<f32>().flat_map(f32::to_le_bytes));
                "F32"
            }
            _ => {
                numbers.extend(data.iter::<i64>().flat_map(i64::to_le_bytes));
                "I64"
            }
        };
        let entry = json!({
            "dtype": dtype, "shape": data.shape().as_slice(), "data_offsets": [start, numbers.len()],
        });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The numbers begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    write_atomic(path, &[&length[..], &header, &numbers].concat())
        .with_context(|| path.display().to_string())
}

/// A tensor's numbers on the host.
pub(crate) fn of<const D: usize>(tensor: Tensor<D>) -> TensorData {
    tensor.into_data().convert::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors = Tensors::from([
            ("x".to_string(), TensorData::new(vec![1.0_f32, -2.5, 3.0], [1, 3])),
            ("ids".to_string(), TensorData::new(vec![7_i64, -1], [2])),
            ("none".to_string(), TensorData::new(Vec::<f32>::new(), [0, 2])),
        ]);
        write(&path, &tensors).unwrap();
        assert_eq!(read(&path).unwrap(), tensors);
        let bytes = fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(length % 8, 0);
        assert_eq!(bytes.len() as u64, 8 + length + 3 * 4 + 2 * 8);
    }

    /// A file with this header and these numbers.
    fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), numbers].concat()
    }

    #[test]
    fn a_file_of_another_program_is_read() {
        // As the Python package writes it: metadata first, numbers in any order.
        let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F64","shape":[1],"data_offsets":[4,12]},"a":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}"#;
        let numbers = [&5_i32.to_le_bytes()[..], &0.5_f64.to_le_bytes()].concat();
        let tensors = parse(&file(header, &numbers)).unwrap();
        assert_eq!(tensors["a"].iter::<i64>().collect::<Vec<_>>(), [5]);
        assert_eq!(tensors["b"].iter::<f64>().collect::<Vec<_>>(), [0.5]);
        assert_eq!(tensors.len(), 2);
    }

    #[test]
    fn damage_is_named() {
        let wrong = |bytes: &[u8]| format!("{:#}", parse(bytes).unwrap_err());
        assert_eq!(wrong(b"short"), "this is no safetensors file");
        assert_eq!(wrong(&[255; 20]), "this is no safetensors file");
        let one = |entry: &str| wrong(&file(&format!(r#"{{"x":{entry}}}"#), &[0; 8]));
        let entry = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,80]}"#;
        assert_eq!(one(entry), "x: its place is outside of the file");
        let entry = r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#;
        assert_eq!(one(entry), "x: it has 8 bytes");
        let entry = r#"{"dtype":"F16","shape":[4],"data_offsets":[0,8]}"#;
        assert_eq!(one(entry), "x: its numbers are F16; known: F32, F64, I32, I64");
    }
}
