//! Export of a network's tensors to a folder of the same form as the checkpoint from which the network came.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, anyhow, ensure};
use burn::module::Module;
use files::{create_folder, write_folder};
use moe::numbers_of;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    checkpoint::{CheckpointFiles, WHOLE},
    dtype::Dtype,
    rules::{Rules, TensorRule},
    view::copy,
};

/// The properties of a checkpoint without its numbers: enough to write another one of the same form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointForm {
    /// `config.json`.
    pub config: Map<String, Value>,
    /// The tensors of the checkpoint.
    pub tensors: BTreeMap<String, SourceTensor>,
}

/// A tensor without its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTensor {
    /// The name of the number format.
    pub dtype: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// The file that contains it.
    pub file: String,
}

impl CheckpointForm {
    /// The form of a checkpoint; for a GGUF file, or a file of PyTorch, that of safetensors with the same
    /// numbers.
    pub fn of(checkpoint: &CheckpointFiles) -> Self {
        let tensor = |(name, stored): (&str, &crate::Stored)| {
            let file = checkpoint.file_of(name).and_then(|file| written_file(&file));
            let file = file.unwrap_or_else(|| WHOLE.to_string());
            let dtype = stored.dtype.written().name().to_string();
            (name.to_string(), SourceTensor { dtype, shape: stored.shape.clone(), file })
        };
        Self {
            config: checkpoint.config.clone(),
            tensors: checkpoint.tensors().map(tensor).collect(),
        }
    }

    /// The same without tensors that no network uses.
    fn used(&self, rules: &Rules) -> Self {
        let used = |name: &String, _: &mut SourceTensor| !rules.is_unused(name);
        let mut source = self.clone();
        source.tensors.retain(used);
        source
    }
}

/// The name of the safetensors file that replaces a file with tensors, following the transformers library.
fn written_file(name: &str) -> Option<String> {
    let shard = name.strip_prefix("pytorch_").and_then(|name| name.strip_suffix(".bin"));
    match shard {
        Some(stem) => Some(format!("{stem}.safetensors")),
        None => Some(name.to_string()).filter(|name| name.ends_with(".safetensors")),
    }
}

/// Writes the tensors of a network into a folder that does not exist yet: with names, shapes, number formats
/// and files as in the source, and with a copy of the tokeniser's file if there is one.
///
/// # Errors
/// If the folder exists or cannot be written, or if the network does not fit the source. No files are left in
/// this case.
pub fn export(
    network: &impl Module,
    rules: &Rules,
    source: &CheckpointForm,
    folder: &Path,
    tokenizer: Option<&Path>,
) -> anyhow::Result<()> {
    ensure!(
        folder.file_name().is_some(),
        "{}: expected the name of a new folder",
        folder.display()
    );
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above).with_context(|| above.display().to_string())?;
    }
    let written = write_folder(folder, |part| {
        if let Some(file) = tokenizer {
            fs::copy(file, part.join("tokenizer.json"))
                .with_context(|| file.display().to_string())?;
        }
        write(network, rules, &source.used(rules), part)
    });
    written.with_context(|| folder.display().to_string())
}

fn write(
    network: &impl Module,
    rules: &Rules,
    source: &CheckpointForm,
    folder: &Path,
) -> anyhow::Result<()> {
    let mut by_tensor: BTreeMap<&str, Vec<&TensorRule>> = BTreeMap::new();
    for rule in &rules.all {
        by_tensor.entry(&rule.tensor).or_default().push(rule);
    }
    let mut by_file: BTreeMap<&str, Vec<(&str, &SourceTensor)>> = BTreeMap::new();
    for (name, tensor) in &source.tensors {
        by_file.entry(&tensor.file).or_default().push((name, tensor));
    }
    for (file, tensors) in &by_file {
        let numbers = |name: &str, tensor: &SourceTensor| {
            let rules = by_tensor.get(rules.original(name)).map_or(&[][..], Vec::as_slice);
            gather(name, &tensor.shape, rules, network)
        };
        // The folder is not yet at its final path.
        write_file(&folder.join(file), tensors, numbers).with_context(|| file.to_string())?;
    }
    let write =
        |name: &'static str, text: Vec<u8>| fs::write(folder.join(name), text).context(name);
    if by_file.len() > 1 {
        write("model.safetensors.index.json", index(source)?)?;
    }
    write("config.json", pretty(&source.config)?)
}

/// The numbers of a tensor, gathered from the parameters that contain them. Parameters are read from the
/// network one tensor at a time.
fn gather(
    name: &str,
    shape: &[usize],
    rules: &[&TensorRule],
    network: &impl Module,
) -> anyhow::Result<Vec<f32>> {
    let needed = numbers_of(network, |known| rules.iter().any(|rule| rule.path == known.path));
    let parameters: BTreeMap<String, (Vec<usize>, Vec<f32>)> = needed
        .into_iter()
        .map(|(known, data)| (known.path, (known.shape, data.iter::<f32>().collect())))
        .collect();
    let mut numbers = vec![0.0; shape.iter().product()];
    let mut done = 0;
    for rule in rules {
        let path = &rule.path;
        let (own, values) =
            parameters.get(path).ok_or_else(|| anyhow!("the network has no parameter {path}"))?;
        let (there, here) = rule.views(shape, own)?;
        copy(values, &here, &mut numbers, &there);
        done += there.len();
    }
    let all = numbers.len();
    ensure!(done == all, "tensor {name}: the network has {done} of its {all} numbers");
    Ok(numbers)
}

/// Writes a file: tensors with larger elements first, then by name, as the crate that defines the format
/// does. That crate would need all numbers in memory, or write a file that only its owner may read, so it
/// only makes the header.
fn write_file(
    path: &Path,
    tensors: &[(&str, &SourceTensor)],
    numbers: impl Fn(&str, &SourceTensor) -> anyhow::Result<Vec<f32>>,
) -> anyhow::Result<()> {
    let dtype = |tensor: &SourceTensor| Dtype::of(&tensor.dtype).map_err(|err| anyhow!(err));
    let mut order = tensors
        .iter()
        .map(|(name, tensor)| Ok((dtype(tensor)?, *name, *tensor)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    order.sort_by_key(|(dtype, name, _)| (std::cmp::Reverse(dtype.in_file()), *name));
    let (mut start, mut entries) = (0, Vec::new());
    for (dtype, name, tensor) in &order {
        let end = start + dtype.block().1 * tensor.shape.iter().product::<usize>();
        let (dtype, shape) = (dtype.in_file(), tensor.shape.clone());
        entries.push((name.to_string(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
        start = end;
    }
    let mut header = serde_json::to_vec(&Metadata::new(Some(about()), entries)?)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for (dtype, name, tensor) in order {
        file.write_all(&dtype.encode(&numbers(name, tensor)?))?;
    }
    Ok(file.flush()?)
}

/// The metadata of a header in addition to its tensors: maps are as in PyTorch.
fn about() -> HashMap<String, String> {
    [("format".to_string(), "pt".to_string())].into()
}

/// The content of the index of shards.
fn index(source: &CheckpointForm) -> anyhow::Result<Vec<u8>> {
    let (mut parameters, mut bytes) = (0, 0);
    for tensor in source.tensors.values() {
        let n = tensor.shape.iter().product::<usize>();
        parameters += n;
        bytes += n * Dtype::of(&tensor.dtype).map_err(|err| anyhow!(err))?.block().1;
    }
    let file = |(name, tensor): (&String, &SourceTensor)| (name.clone(), json!(tensor.file));
    let map: Map<String, Value> = source.tensors.iter().map(file).collect();
    let index = json!({
        "metadata": { "total_parameters": parameters, "total_size": bytes },
        "weight_map": map,
    });
    pretty(index.as_object().unwrap_or(&Map::new()))
}

fn pretty(table: &Map<String, Value>) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(table)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use safetensors::{serialize, tensor::TensorView};

    use super::*;

    #[test]
    fn a_file_is_that_of_the_library() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WHOLE);
        let tensor = |dtype: &str, shape: &[usize]| SourceTensor {
            dtype: dtype.into(),
            shape: shape.into(),
            file: WHOLE.into(),
        };
        let tensors = [
            ("a", tensor("F16", &[3])),
            ("b", tensor("BF16", &[1, 2])),
            ("c", tensor("F32", &[])),
            ("d", tensor("U8", &[2])),
        ];
        let numbers = |tensor: &SourceTensor| vec![1.5; tensor.shape.iter().product()];
        let borrowed = tensors.each_ref().map(|(name, tensor)| (*name, tensor));
        write_file(&path, &borrowed, |_, tensor| Ok(numbers(tensor))).unwrap();
        let stored = tensors.each_ref().map(|(name, tensor)| {
            let dtype = Dtype::of(&tensor.dtype).unwrap();
            (*name, dtype.in_file(), &tensor.shape, dtype.encode(&numbers(tensor)))
        });
        let views = stored.each_ref().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
        });
        assert_eq!(fs::read(path).unwrap(), serialize(views, Some(about())).unwrap());
    }
}
