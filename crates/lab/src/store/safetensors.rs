//! Files of tensors in the safetensors format: <https://github.com/huggingface/safetensors>.

use std::{collections::BTreeMap, path::Path};

use ::safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use anyhow::{Context, anyhow, bail};
use burn::{
    prelude::*,
    tensor::{DType, Element, TensorData, bf16, f16},
};
use files::read_regular;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, TensorData>;

/// All tensors of a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Tensors> {
    let bytes = read_regular(path, u64::MAX).with_context(|| path.display().to_string())?;
    parse(&bytes).with_context(|| path.display().to_string())
}

fn parse(bytes: &[u8]) -> anyhow::Result<Tensors> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|err| anyhow!("not a safetensors file, or damaged: {err}"))?;
    let tensor = |(name, view): (&str, TensorView)| {
        Ok((name.to_string(), tensor(&view).with_context(|| name.to_string())?))
    };
    file.iter().map(tensor).collect()
}

fn tensor(view: &TensorView) -> anyhow::Result<TensorData> {
    Ok(match view.dtype() {
        Dtype::F16 => numbers(view, f16::from_le_bytes),
        Dtype::BF16 => numbers(view, bf16::from_le_bytes),
        Dtype::F32 => numbers(view, f32::from_le_bytes),
        Dtype::F64 => numbers(view, f64::from_le_bytes),
        Dtype::I32 => numbers(view, i32::from_le_bytes),
        Dtype::I64 => numbers(view, i64::from_le_bytes),
        other => bail!("its dtype is {other}; known: F16, BF16, F32, F64, I32, I64"),
    })
}

fn numbers<T: Element, const N: usize>(view: &TensorView, from: fn([u8; N]) -> T) -> TensorData {
    let (numbers, _) = view.data().as_chunks::<N>();
    TensorData::new(numbers.iter().map(|number| from(*number)).collect(), view.shape())
}

/// The bytes of a file with these tensors: numbers as F32, whole numbers as I64.
pub(crate) fn to_bytes(tensors: &Tensors) -> anyhow::Result<Vec<u8>> {
    let bytes = tensors.values().map(|data| match data.dtype() {
        DType::F32 => (Dtype::F32, data.iter::<f32>().flat_map(f32::to_le_bytes).collect()),
        _ => (Dtype::I64, data.iter::<i64>().flat_map(i64::to_le_bytes).collect()),
    });
    let bytes: Vec<(Dtype, Vec<u8>)> = bytes.collect();
    let views = tensors.iter().zip(&bytes).map(|((name, data), (dtype, bytes))| {
        Ok((name, TensorView::new(*dtype, data.shape().to_vec(), bytes)?))
    });
    let views = views.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(serialize(views, None)?)
}

/// Writes a file with these tensors.
#[cfg(test)]
pub(crate) fn write(path: &Path, tensors: &Tensors) -> anyhow::Result<()> {
    Ok(std::fs::write(path, to_bytes(tensors)?)?)
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
        let bytes = std::fs::read(&path).unwrap();
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
        // The form in which the Python package writes: metadata first, numbers in any order.
        let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F64","shape":[1],"data_offsets":[4,12]},"a":{"dtype":"I32","shape":[],"data_offsets":[0,4]},"c":{"dtype":"BF16","shape":[1],"data_offsets":[12,14]}}"#;
        // The upper half of the bits of the F32 number 1.5.
        let numbers = [&5_i32.to_le_bytes()[..], &0.5_f64.to_le_bytes(), &[0xc0, 0x3f]].concat();
        let tensors = parse(&file(header, &numbers)).unwrap();
        assert_eq!(tensors["a"].iter::<i64>().collect::<Vec<_>>(), [5]);
        assert_eq!(tensors["b"].iter::<f64>().collect::<Vec<_>>(), [0.5]);
        assert_eq!(tensors["c"].iter::<f32>().collect::<Vec<_>>(), [1.5]);
        assert_eq!(tensors.len(), 3);
    }

    #[test]
    fn damage_is_named() {
        let wrong = |bytes: &[u8]| format!("{:#}", parse(bytes).unwrap_err());
        let damaged = "not a safetensors file, or damaged: ";
        assert_eq!(wrong(b"short"), format!("{damaged}header too small"));
        assert_eq!(wrong(&[255; 20]), format!("{damaged}header too large"));
        let one = |entry: &str| wrong(&file(&format!(r#"{{"x":{entry}}}"#), &[0; 8]));
        let entry = r#"{"dtype":"F32","shape":[20],"data_offsets":[0,80]}"#;
        assert_eq!(one(entry), format!("{damaged}incomplete metadata, file not fully covered"));
        let entry = r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#;
        let expected = "invalid shape, data type, or offset for tensor";
        assert_eq!(one(entry), format!("{damaged}{expected}"));
        let entry = r#"{"dtype":"U8","shape":[8],"data_offsets":[0,8]}"#;
        let expected = "x: its dtype is U8; known: F16, BF16, F32, F64, I32, I64";
        assert_eq!(one(entry), expected);
    }
}
