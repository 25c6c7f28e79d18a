//! Traces: the routing of some units of a network at one step, as recorded by a run.
//!
//! A file is in the safetensors format (<https://github.com/huggingface/safetensors>). With N units
//! and K choices:
//!
//! | tensor | kind | shape | what |
//! | --- | --- | --- | --- |
//! | `layer.L.experts` | I32 | `[N, K]` | the experts of each unit by descending weight; -1 is the null expert |
//! | `layer.L.weights` | F32 | `[N, K]` | their weights, 0 for the null expert |
//! | `example` | I32 | `[N]` | the index of the example in the split |
//! | `position` | I32 | `[N]` | the position of the token in the example; -1 if units are no tokens |
//! | `token` | I32 | `[N]` | the token's id; for images the patch's position; -1 if none |
//! | `label` | I32 | `[N]` | the class of the example, or the token that follows |
//! | `text` | I32 | `[N]` | the document of the unit, if documents are known |
//! | `pixels` | F32 | `[P, H, W]` | for images: the first P examples, grey from 0 to 1 |
//!
//! The metadata of the header has one entry `trace`, in JSON: run, method, task, seed, split, step, the
//! number of experts of each layer, rows and columns of patches, the text of each token id, and the
//! properties of the documents.

mod file;

use std::{collections::HashMap, path::Path};

use files::read_regular;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The routing of some units of a network at one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The metadata: run, step and so on.
    pub about: About,
    /// The MoE layers, in order.
    pub layers: Vec<Layer>,
    /// The example of each unit.
    pub example: Vec<i32>,
    /// The position of each unit in its example, -1 where units are no tokens.
    pub position: Vec<i32>,
    /// The token of each unit; -1 if none.
    pub token: Vec<i32>,
    /// The target of each unit: its example's class, or the next token.
    pub label: Vec<i32>,
    /// The document of each unit; empty if unknown.
    pub text: Vec<i32>,
    /// The images of the first examples, if they are images.
    pub pixels: Option<Pixels>,
}

/// The metadata of a trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The id of the run.
    pub run: String,
    /// The method.
    pub method: String,
    /// The task.
    pub task: String,
    /// The seed.
    pub seed: u64,
    /// The split of the examples.
    pub split: String,
    /// The number of completed training steps.
    pub step: u64,
    /// The number of experts of each layer.
    pub experts: Vec<usize>,
    /// Rows and columns of patches, for images.
    pub patches: Option<[usize; 2]>,
    /// The text of each token id, for text.
    pub letters: Vec<String>,
    /// Properties of the documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// A property of whole documents, such as the party of a speech.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its possible values.
    pub values: Vec<String>,
    /// The index of its value for each document.
    pub of: Vec<usize>,
}

/// The choices of one layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// The number of experts E.
    pub n_experts: usize,
    /// The number of choices K.
    pub k: usize,
    /// The expert of each choice, `[N, K]`; -1 is the null expert.
    pub experts: Vec<i32>,
    /// The weight of each choice, `[N, K]`.
    pub weights: Vec<f32>,
}

/// Grey images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pixels {
    /// Number of images, rows, columns.
    pub shape: [usize; 3],
    /// Values from 0 to 1, row by row.
    pub grey: Vec<f32>,
}

impl Layer {
    /// Makes a layer from the choices of each unit, the heaviest first.
    pub fn new(n_experts: usize, choices: &[Vec<(usize, f32)>]) -> Self {
        let k = choices.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut layer = Self { n_experts, k, ..Self::default() };
        for unit in choices {
            let none = std::iter::repeat_n((-1, 0.0), k - unit.len());
            let real = unit.iter().map(|(expert, weight)| (*expert as i32, *weight));
            for (expert, weight) in real.chain(none) {
                layer.experts.push(expert);
                layer.weights.push(weight);
            }
        }
        layer
    }

    /// The experts of each unit with their weights, the heaviest first.
    pub fn units(&self) -> impl Iterator<Item = Vec<(usize, f64)>> + '_ {
        let pair = |(expert, weight): (&i32, &f32)| {
            Some((usize::try_from(*expert).ok()?, f64::from(*weight)))
        };
        let units = self.experts.chunks(self.k).zip(self.weights.chunks(self.k));
        units.map(move |(experts, weights)| experts.iter().zip(weights).filter_map(pair).collect())
    }

    /// The expert of each unit with the largest weight; none for units without an expert.
    pub fn first(&self) -> Vec<Option<usize>> {
        self.experts.chunks(self.k).map(|unit| usize::try_from(unit[0]).ok()).collect()
    }
}

impl Trace {
    /// The number of units.
    pub fn len(&self) -> usize {
        self.example.len()
    }

    /// Whether there is no unit.
    pub fn is_empty(&self) -> bool {
        self.example.is_empty()
    }

    /// The content of its file.
    ///
    /// # Errors
    ///
    /// If the lengths of the fields do not match.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::encode(self).map_err(|why| Error::Query(format!("not a complete trace: {why}")))
    }

    /// Parses the content of a file; `name` is its name in messages.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        file::decode(bytes).map_err(|why| Error::Query(format!("{name} is not a trace: {why}")))
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_regular(path, u64::MAX).map_err(Error::file(path))?;
        Self::parse(&path.display().to_string(), &bytes)
    }

    /// Reads all traces of a folder, by step; empty if the folder does not exist.
    ///
    /// # Errors
    /// If a file is not a trace, or traces of one run have different numbers of layers.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, Error> {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut traces = Vec::new();
        for path in files.map(|entry| entry.path()) {
            if path.extension().is_some_and(|end| end == "safetensors") {
                traces.push(Self::read(&path)?);
            }
        }
        traces.sort_by_key(|trace| trace.about.step);
        check_layers(&traces)
            .map_err(|err| Error::Query(format!("{}: {err}", folder.display())))?;
        Ok(traces)
    }

    /// The name of its file in a run's folder.
    pub fn file_name(step: u64) -> String {
        format!("trace/step-{step:08}.safetensors")
    }

    /// Whether two traces have the same units in the same order, and the same number of layers.
    pub fn same_units(&self, other: &Self) -> bool {
        self.about.task == other.about.task
            && (&self.example, &self.position, &self.token)
                == (&other.example, &other.position, &other.token)
            && self.layers.len() == other.layers.len()
    }
}

/// Checks that the traces of each run have the same number of layers.
pub(crate) fn check_layers(traces: &[Trace]) -> Result<(), Error> {
    let mut first: HashMap<&str, &Trace> = HashMap::new();
    for trace in traces {
        let known = *first.entry(&trace.about.run).or_insert(trace);
        let [layers, expected] = [trace, known].map(|trace| trace.layers.len());
        if layers != expected {
            return Err(Error::Query(format!(
                "the trace of run {:?} at step {} has {layers} layers, but {expected} at step {}: the \
                 traces are of different networks",
                trace.about.run, trace.about.step, known.about.step
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn traces_of_other_networks_in_one_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, trace: &Trace| {
            std::fs::write(folder.path().join(name), trace.to_bytes().unwrap()).unwrap();
        };
        write("step-1.safetensors", &trace());
        let mut other = trace();
        other.layers.pop();
        other.about.experts.pop();
        other.about.step = 20;
        write("step-2.safetensors", &other);
        let err = Trace::read_all(folder.path()).unwrap_err().to_string();
        assert!(err.starts_with(&folder.path().display().to_string()), "{err}");
        assert!(err.contains("run \"\" at step 20 has 1 layers, but 2 at step 10"), "{err}");
        other.about.run = "another".into();
        write("step-2.safetensors", &other);
        assert_eq!(Trace::read_all(folder.path()).unwrap().len(), 2);
    }
}
