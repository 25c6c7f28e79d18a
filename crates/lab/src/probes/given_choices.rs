//! Choices of experts from arrays of another program.
//!
//! An `.npy` file has whole numbers `[N, K]` for one layer, or `[L, N, K]` for all; -1 is no expert. A
//! safetensors file has `layer.L.experts` `[N, K]`, and optionally `layer.L.weights` `[N, K]`. Without
//! weights all choices of a unit have equal weights, which sum to 1.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use files::read_regular;
use npy::Raw;
use report::trace::Layer;

use crate::store::safetensors;

/// An array that was read completely.
struct Array<T> {
    shape: Vec<usize>,
    numbers: Vec<T>,
}

/// The layers of a file of choices for `units` units, if the layers have these numbers of experts.
///
/// # Errors
/// If the file is damaged, or has different numbers of layers, units or experts; both numbers are named.
pub(crate) fn given_choices(
    path: &Path,
    experts: &[usize],
    units: usize,
) -> anyhow::Result<Vec<Layer>> {
    let arrays = match path.extension().is_some_and(|end| end == "npy") {
        true => of_npy(path)?,
        false => of_safetensors(path)?,
    };
    ensure!(
        arrays.len() == experts.len(),
        "the number of layers is {}, but the network has {} MoE layers",
        arrays.len(),
        experts.len()
    );
    let all = arrays.into_iter().zip(experts).enumerate();
    all.map(|(at, ((chosen, weights), n))| {
        layer(chosen, weights, *n, units).with_context(|| format!("layer {at}"))
    })
    .collect()
}

type Choices = (Array<i64>, Option<Array<f32>>);

fn of_safetensors(path: &Path) -> anyhow::Result<Vec<Choices>> {
    let mut tensors = safetensors::read(path)?;
    let mut layers = Vec::new();
    while let Some(data) = tensors.remove(&format!("layer.{}.experts", layers.len())) {
        let weights = tensors.remove(&format!("layer.{}.weights", layers.len()));
        let weights = weights
            .map(|data| Array { shape: data.shape().to_vec(), numbers: data.iter().collect() });
        let numbers = data.iter().collect();
        layers.push((Array { shape: data.shape().to_vec(), numbers }, weights));
    }
    match tensors.keys().find(|name| name.starts_with("layer.")) {
        Some(name) => {
            bail!("{name}: expected layer.0.experts to layer.{}.experts, and weights", layers.len())
        }
        None => Ok(layers),
    }
}

/// The largest size of an array of choices in bytes.
const MOST_BYTES: u64 = 4 << 30;

fn of_npy(path: &Path) -> anyhow::Result<Vec<Choices>> {
    let bytes = read_regular(path, MOST_BYTES)?;
    let raw = npy::open(&bytes).map_err(|err| anyhow!(err))?;
    let numbers = whole_numbers(&raw)?;
    let [layers, n, k] = match raw.shape[..] {
        [n, k] => [1, n, k],
        [layers, n, k] => [layers, n, k],
        _ => bail!("its shape is {:?}; expected [N, K], or [L, N, K] of several layers", raw.shape),
    };
    let of = |at: usize| {
        let numbers = numbers[at * n * k..(at + 1) * n * k].to_vec();
        (Array { shape: vec![n, k], numbers }, None)
    };
    Ok((0..layers).map(of).collect())
}

fn whole_numbers(raw: &Raw) -> anyhow::Result<Vec<i64>> {
    fn read<const N: usize>(raw: &Raw, from: fn([u8; N]) -> i64) -> anyhow::Result<Vec<i64>> {
        raw.check(N).map_err(|err| anyhow!(err))?;
        Ok(raw.numbers.as_chunks::<N>().0.iter().map(|bytes| from(*bytes)).collect())
    }
    match raw.kind.as_str() {
        "|u1" => read(raw, |bytes: [u8; 1]| bytes[0].into()),
        "|i1" => read(raw, |bytes: [u8; 1]| i8::from_le_bytes(bytes).into()),
        "<u2" => read(raw, |bytes| u16::from_le_bytes(bytes).into()),
        "<i2" => read(raw, |bytes| i16::from_le_bytes(bytes).into()),
        "<u4" => read(raw, |bytes| u32::from_le_bytes(bytes).into()),
        "<i4" => read(raw, |bytes| i32::from_le_bytes(bytes).into()),
        "<i8" => read(raw, i64::from_le_bytes),
        other => bail!("its dtype is {other}; known: |u1, |i1, <u2, <i2, <u4, <i4, <i8"),
    }
}

fn layer(
    chosen: Array<i64>,
    weights: Option<Array<f32>>,
    n_experts: usize,
    units: usize,
) -> anyhow::Result<Layer> {
    let Array { shape, numbers } = chosen;
    let &[n, k] = &shape[..] else { bail!("its choices are {shape:?}; expected [N, K]") };
    ensure!(k > 0, "its choices are {shape:?}: K must be at least 1");
    ensure!(n == units, "it has the choices of {n} units, but the examples have {units}");
    let known = -1..n_experts as i64;
    if let Some(at) = numbers.iter().position(|expert| !known.contains(expert)) {
        let expert = numbers[at];
        bail!("unit {}: expert {expert}; expected -1 to {}", at / k, n_experts as i64 - 1);
    }
    if let Some(Array { shape: other, numbers: weights }) = &weights {
        ensure!(*other == shape, "its weights are {other:?}, but its choices {shape:?}");
        let bad = weights.iter().position(|weight| !weight.is_finite());
        ensure!(bad.is_none(), "unit {}: a weight is not a finite number", bad.unwrap_or(0) / k);
    }
    for unit in 0..n {
        let mut of_unit = numbers[unit * k..(unit + 1) * k].to_vec();
        of_unit.sort_unstable();
        let twice = of_unit.windows(2).find(|pair| pair[0] == pair[1] && pair[0] >= 0);
        if let Some([expert, _]) = twice {
            bail!("unit {unit}: expert {expert} is chosen twice");
        }
    }
    let unit = |unit: usize| {
        let real = (unit * k..(unit + 1) * k).filter(|at| numbers[*at] >= 0);
        let share = 1.0 / real.clone().count().max(1) as f32;
        let weight = |at: usize| weights.as_ref().map_or(share, |weights| weights.numbers[at]);
        real.map(|at| (numbers[at] as usize, weight(at))).collect::<Vec<_>>()
    };
    let mut choices: Vec<Vec<(usize, f32)>> = (0..n).map(unit).collect();
    choices.iter_mut().for_each(|unit| unit.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs())));
    Ok(Layer::new(n_experts, &choices))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn npy_file(
        kind: &str,
        shape: &[usize],
        bytes: &[u8],
    ) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("choices.npy");
        std::fs::write(&path, [npy::start(kind, shape), bytes.to_vec()].concat()).unwrap();
        (folder, path)
    }

    #[test]
    fn arrays_of_numpy_are_read() {
        let (_folder, path) = npy_file("|i1", &[2, 2, 2], &[0, 2, 1, 255, 1, 0, 0, 1]);
        let layers = given_choices(&path, &[3, 2], 2).unwrap();
        assert_eq!((layers[0].experts.as_slice(), layers[0].k), (&[0, 2, 1, -1][..], 2));
        assert_eq!(layers[0].weights, [0.5, 0.5, 1.0, 0.0]);
        assert_eq!(layers[1].experts, [1, 0, 0, 1]);
    }

    #[test]
    fn tensors_may_have_weights_and_the_heaviest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("choices.safetensors");
        let tensors = safetensors::Tensors::from([
            ("layer.0.experts".into(), TensorData::new(vec![0_i64, 1, 2, 0], [2, 2])),
            ("layer.0.weights".into(), TensorData::new(vec![0.25_f32, 0.75, 0.5, 0.5], [2, 2])),
        ]);
        safetensors::write(&path, &tensors).unwrap();
        let layers = given_choices(&path, &[3], 2).unwrap();
        assert_eq!(layers[0].experts, [1, 0, 2, 0]);
        assert_eq!(layers[0].weights, [0.75, 0.25, 0.5, 0.5]);
    }

    #[test]
    fn other_sizes_are_refused() {
        let (_folder, path) = npy_file("<u2", &[2, 1], &[0, 0, 3, 0]);
        let wrong = |experts: &[usize], units| {
            format!("{:#}", given_choices(&path, experts, units).err().unwrap())
        };
        assert_eq!(
            wrong(&[4, 4], 2),
            "the number of layers is 1, but the network has 2 MoE layers"
        );
        assert_eq!(
            wrong(&[4], 5),
            "layer 0: it has the choices of 2 units, but the examples have 5"
        );
        assert_eq!(wrong(&[3], 2), "layer 0: unit 1: expert 3; expected -1 to 2");
        let (_folder, path) = npy_file("|i1", &[2, 3], &[0, 1, 2, 1, 255, 1]);
        let err = given_choices(&path, &[3], 2).err().unwrap();
        assert_eq!(format!("{err:#}"), "layer 0: unit 1: expert 1 is chosen twice");
        let (_folder, path) = npy_file("<f4", &[1, 1], &[0; 4]);
        let err = given_choices(&path, &[3], 1).err().unwrap().to_string();
        assert!(err.contains("its dtype is <f4; known: |u1"), "{err}");
        let (_folder, path) = npy_file("<i4", &[9, 1], &[0; 4]);
        assert!(given_choices(&path, &[3], 9).err().unwrap().to_string().contains("4 bytes"));
    }
}
