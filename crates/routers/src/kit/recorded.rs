//! Recorded choices of experts, read from the file of a trace.
//!
//! The format is that of `report::trace`, safetensors: `example` `[N]` and, for each layer L,
//! `layer.L.experts` `[N, K]` with -1 for no expert, and `layer.L.weights` `[N, K]`; the entry `trace` of
//! the header has the split and the number of experts of each layer.

use std::{collections::HashMap, path::Path, sync::Arc};

use files::read_regular;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The content of a trace's file. In a config it is a path; with every default written out it also has the
/// file's digest, which identifies the content that a run replays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Named", into = "Named")]
pub struct TraceFile {
    file: String,
    sha256: String,
    /// The choices.
    pub recorded: Arc<Recorded>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the path of a trace")]
enum Named {
    Path(String),
    Known { file: String, sha256: String },
}

impl TryFrom<Named> for TraceFile {
    type Error = String;

    fn try_from(named: Named) -> Result<Self, String> {
        let (file, known) = match named {
            Named::Path(file) => (file, None),
            Named::Known { file, sha256 } => (file, Some(sha256)),
        };
        let bytes =
            read_regular(Path::new(&file), MOST_BYTES).map_err(|why| format!("{file}: {why}"))?;
        let sha256 = digest(&bytes);
        if known.is_some_and(|known| known != sha256) {
            return Err(format!("{file}: the file has changed since the run was created"));
        }
        let recorded = Recorded::parse(&bytes).map_err(|err| format!("{file}: {err}"))?;
        Ok(Self { file, sha256, recorded: Arc::new(recorded) })
    }
}

impl From<TraceFile> for Named {
    fn from(TraceFile { file, sha256, .. }: TraceFile) -> Self {
        Named::Known { file, sha256 }
    }
}

impl PartialEq for TraceFile {
    fn eq(&self, other: &Self) -> bool {
        (&self.file, &self.sha256) == (&other.file, &other.sha256)
    }
}

impl TraceFile {
    /// The path, as given.
    pub fn path(&self) -> &str {
        &self.file
    }
}

/// The largest size of a trace, in bytes.
const MOST_BYTES: u64 = 4 << 30;

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The choices of the units of some examples, in every layer.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The split that contains the examples.
    pub split: String,
    /// The layers, in the order of a pass.
    pub layers: Vec<RecordedLayer>,
    /// The units of each example, in order.
    units: HashMap<usize, Vec<usize>>,
}

/// The choices in one layer.
#[derive(Clone, Debug, Default)]
pub struct RecordedLayer {
    /// E.
    pub n_experts: usize,
    /// K, the largest number of choices of a unit.
    pub k: usize,
    experts: Vec<i32>,
    weights: Vec<f32>,
}

impl RecordedLayer {
    /// The experts of a unit, none for the null expert, with their weights.
    pub fn unit(&self, unit: usize) -> impl Iterator<Item = (Option<usize>, f32)> + '_ {
        let of = unit * self.k..(unit + 1) * self.k;
        let experts = self.experts[of.clone()].iter().map(|expert| usize::try_from(*expert).ok());
        experts.zip(self.weights[of].iter().copied())
    }
}

#[derive(Deserialize)]
struct About {
    split: String,
    experts: Vec<usize>,
}

impl Recorded {
    /// The index of each unit of an example, in order; empty if the trace does not have the example.
    pub fn units(&self, example: usize) -> &[usize] {
        self.units.get(&example).map_or(&[], Vec::as_slice)
    }

    /// The largest number of units of an example.
    pub fn most_units(&self) -> usize {
        self.units.values().map(Vec::len).max().unwrap_or(0)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |err: String| format!("not a trace: {err}");
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|err| wrong(err.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|err| wrong(err.to_string()))?;
        let about = header.metadata().as_ref().and_then(|entries| entries.get("trace"));
        let about = about.ok_or_else(|| wrong("the header has no entry \"trace\"".into()))?;
        let About { split, experts } =
            serde_json::from_str(about).map_err(|err| wrong(format!("invalid header: {err}")))?;
        let mut units: HashMap<usize, Vec<usize>> = HashMap::new();
        let (_, examples) = numbers(&file, "example", Dtype::I32, i32::from_le_bytes)?;
        for (unit, example) in examples.iter().enumerate() {
            let example = usize::try_from(*example)
                .map_err(|_| wrong("an example number is negative".into()))?;
            units.entry(example).or_default().push(unit);
        }
        let layer = |(at, n_experts)| layer(&file, at, n_experts, examples.len()).map_err(wrong);
        let layers = experts.into_iter().enumerate().map(layer).collect::<Result<_, _>>()?;
        Ok(Self { split, layers, units })
    }
}

fn layer(
    file: &SafeTensors,
    at: usize,
    n_experts: usize,
    n: usize,
) -> Result<RecordedLayer, String> {
    let (shape, experts) =
        numbers(file, &format!("layer.{at}.experts"), Dtype::I32, i32::from_le_bytes)?;
    let (same, weights) =
        numbers(file, &format!("layer.{at}.weights"), Dtype::F32, f32::from_le_bytes)?;
    let known = |expert: &i32| (-1..n_experts as i32).contains(expert);
    match shape[..] {
        [units, k] if units == n && k > 0 && shape == same && experts.iter().all(known) => {
            Ok(RecordedLayer { n_experts, k, experts, weights })
        }
        _ => Err(format!("layer {at} does not fit {n} units and {n_experts} experts")),
    }
}

/// The shape and the numbers of a tensor.
fn numbers<T>(
    file: &SafeTensors,
    name: &str,
    dtype: Dtype,
    from: fn([u8; 4]) -> T,
) -> Result<(Vec<usize>, Vec<T>), String> {
    let view = file.tensor(name).map_err(|err| format!("{name}: {err}"))?;
    if view.dtype() != dtype {
        return Err(format!("{name}: its numbers are {}; expected {dtype}", view.dtype()));
    }
    let (numbers, _) = view.data().as_chunks::<4>();
    Ok((view.shape().to_vec(), numbers.iter().map(|number| from(*number)).collect()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;
    use safetensors::{serialize, tensor::TensorView};

    /// A trace of one layer of `n_experts`: the example of each unit and its choices, with weights 0.75, 0.25.
    pub(crate) fn file(split: &str, n_experts: usize, units: &[(i32, [i32; 2])]) -> Vec<u8> {
        let bytes = |numbers: Vec<i32>| -> Vec<u8> {
            numbers.into_iter().flat_map(i32::to_le_bytes).collect()
        };
        let examples = bytes(units.iter().map(|(example, _)| *example).collect());
        let experts = bytes(units.iter().flat_map(|(_, experts)| *experts).collect());
        let weight = |_: &(i32, [i32; 2])| [0.75_f32.to_le_bytes(), 0.25_f32.to_le_bytes()];
        let weights: Vec<u8> = units.iter().flat_map(weight).flatten().collect();
        let n = units.len();
        let view = |dtype, shape: Vec<usize>, bytes| TensorView::new(dtype, shape, bytes).unwrap();
        let tensors = [
            ("example", view(Dtype::I32, vec![n], &examples)),
            ("layer.0.experts", view(Dtype::I32, vec![n, 2], &experts)),
            ("layer.0.weights", view(Dtype::F32, vec![n, 2], &weights)),
        ];
        let about = serde_json::json!({ "split": split, "experts": [n_experts] }).to_string();
        serialize(tensors, Some([("trace".to_string(), about)].into())).unwrap()
    }

    /// The trace of [`file`], read.
    pub(crate) fn trace_file(
        split: &str,
        n_experts: usize,
        units: &[(i32, [i32; 2])],
    ) -> TraceFile {
        let (_folder, path) = written(&file(split, n_experts, units));
        read(path.into()).unwrap()
    }

    fn written(bytes: &[u8]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.safetensors");
        fs::write(&path, bytes).unwrap();
        (folder, path.display().to_string())
    }

    fn read(value: serde_json::Value) -> Result<TraceFile, String> {
        serde_json::from_value(value).map_err(|err| err.to_string())
    }

    #[test]
    fn the_units_of_an_example_are_found_and_the_file_is_known_by_its_digest() {
        let bytes = file("valid", 3, &[(7, [2, 0]), (7, [1, -1]), (4, [0, 1])]);
        let (_folder, path) = written(&bytes);
        let read_file = read(path.clone().into()).unwrap();
        let recorded = &read_file.recorded;
        assert_eq!((recorded.units(7), recorded.units(4)), (&[0, 1][..], &[2][..]));
        assert_eq!((recorded.units(5).len(), recorded.most_units()), (0, 2));
        let second: Vec<_> = recorded.layers[0].unit(1).collect();
        assert_eq!(second, [(Some(1), 0.75), (None, 0.25)]);
        let known = serde_json::to_value(&read_file).unwrap();
        assert_eq!(read(known.clone()).unwrap(), read_file);
        fs::write(&path, file("valid", 3, &[(7, [2, 1])])).unwrap();
        assert!(
            read(known).unwrap_err().ends_with("the file has changed since the run was created")
        );
    }

    #[test]
    fn what_is_no_trace_is_named() {
        assert!(read("nowhere".into()).unwrap_err().starts_with("nowhere: "));
        let (folder, path) = written(b"no trace");
        let folder = folder.path().display().to_string();
        assert!(read(folder.into()).unwrap_err().ends_with("not a regular file"));
        assert!(read(path.clone().into()).unwrap_err().contains("not a trace"));
        fs::write(&path, file("valid", 2, &[(0, [2, 0])])).unwrap();
        let err = read(path.into()).unwrap_err();
        assert!(err.contains("layer 0 does not fit 1 units and 2 experts"), "{err}");
    }
}
