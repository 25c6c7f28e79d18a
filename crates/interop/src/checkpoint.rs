//! A checkpoint: a folder, or a GGUF file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use files::read_regular;
use serde_json::{Map, Value};

use crate::{
    dtype::Dtype,
    gguf::{self, Gguf},
    json::json_table,
    packed::pack,
    pickled,
    place::TensorPlace,
    shard::Shard,
    stored::Stored,
};

const CONFIG: &str = "config.json";
pub(crate) const WHOLE: &str = "model.safetensors";
/// The files with tensors: a single file, or an index of shards. The first one that exists is read.
const LAYOUTS: [[&str; 2]; 2] = [
    [WHOLE, "model.safetensors.index.json"],
    ["pytorch_model.bin", "pytorch_model.bin.index.json"],
];
/// The file extensions of `torch.save`.
const PICKLED: [&str; 3] = ["bin", "pt", "pth"];

/// The files of a checkpoint, after all checks. Tensors are read one by one.
#[derive(Debug)]
pub struct CheckpointFiles {
    /// The folder, or the file.
    pub folder: PathBuf,
    /// `config.json`, or its equivalent from a GGUF file.
    pub config: Map<String, Value>,
    /// The tokeniser of a GGUF file, or the reason why it cannot be read.
    within: Option<Result<Value, String>>,
    shards: Vec<Shard>,
    places: BTreeMap<String, TensorPlace>,
}

impl CheckpointFiles {
    /// Opens a folder with `config.json` and `model.safetensors`, or shards and their index, or the same
    /// with `pytorch_model.bin`; or a file of `torch.save` beside a `config.json`; or a GGUF file.
    ///
    /// # Errors
    /// If a file is missing or invalid; names the file and the problem.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if let (true, Some(folder), Some(name)) = (path.is_file(), path.parent(), path.file_name())
            && is_pickled(path)
        {
            let config = table(&folder.join(CONFIG))?;
            return Self::of_files(folder, config, &[name.to_string_lossy().to_string()], None);
        }
        if path.is_file() {
            let Gguf { config, tokenizer, shard } = gguf::open(path)?;
            let place =
                |(name, stored): (&String, &Stored)| (name.clone(), TensorPlace::new(0, stored));
            let mut places = shard.tensors.iter().map(place).collect();
            gguf::join(&mut places).with_context(|| path.display().to_string())?;
            let within = Some(tokenizer);
            return Ok(Self { folder: path.into(), config, within, shards: vec![shard], places });
        }
        Self::of_folder(path)
    }

    fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        ensure!(
            folder.is_dir() || !folder.exists(),
            "{}: neither a folder nor a regular file",
            folder.display()
        );
        let (config, there) =
            (table(&folder.join(CONFIG))?, |name: &str| folder.join(name).is_file());
        for [whole, index] in LAYOUTS {
            if there(whole) {
                return Self::of_files(folder, config, &[whole.to_string()], None);
            }
            if there(index) {
                return Self::of_files(folder, config, &shard_names(folder, index)?, Some(index));
            }
        }
        let known = LAYOUTS.as_flattened().join(", ");
        bail!("{}: found none of {known}", folder.display())
    }

    fn of_files(
        folder: &Path,
        config: Map<String, Value>,
        names: &[String],
        index: Option<&str>,
    ) -> anyhow::Result<Self> {
        let shards = names.iter().map(|name| {
            let path = folder.join(name);
            if is_pickled(&path) { pickled::open(&path) } else { Shard::open(&path) }
        });
        let shards = shards.collect::<anyhow::Result<Vec<_>>>()?;
        let mut places = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for (name, stored) in &shard.tensors {
                let place = TensorPlace::new(number, stored);
                if let Some(before) = places.insert(name.clone(), place) {
                    let [a, b] = [before.shard, number].map(|shard| &names[shard]);
                    bail!("{}: tensor {name} is in {a} and in {b}", folder.display());
                }
            }
        }
        let mut found = Self { folder: folder.into(), config, within: None, shards, places };
        if let Some(index) = index {
            found.agrees_with_index(index)?;
        }
        let packed = pack(&mut found.places).with_context(|| folder.display().to_string())?;
        // A packing of any other kind is refused because of this key.
        let how = found.config.get("quantization_config").and_then(|how| how.get("quant_method"));
        if packed && how.and_then(Value::as_str) == Some("mxfp4") {
            found.config.remove("quantization_config");
        }
        Ok(found)
    }

    /// Whether the checkpoint is a folder, and not a single file.
    pub(crate) fn is_folder(&self) -> bool {
        self.within.is_none()
    }

    /// The tensors by name, in alphabetical order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.places.iter().map(|(name, place)| (name.as_str(), &place.stored))
    }

    /// The tensor of this name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&Stored> {
        Some(&self.places.get(name)?.stored)
    }

    /// The file of a tensor.
    pub fn file_of(&self, name: &str) -> Option<String> {
        let path = &self.shards[self.places.get(name)?.shard].path;
        Some(path.file_name()?.to_string_lossy().to_string())
    }

    /// The files with tensors.
    pub fn files(&self) -> Vec<String> {
        let name = |shard: &Shard| Some(shard.path.file_name()?.to_string_lossy().to_string());
        self.shards.iter().filter_map(name).collect()
    }

    /// The bytes of a tensor.
    ///
    /// # Errors
    /// If there is no tensor of that name, or the file cannot be read.
    pub fn bytes(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let place = self.places.get(name).ok_or_else(|| anyhow!("no tensor is named {name}"))?;
        let mut bytes = self.shards[place.shard].bytes(&place.stored)?;
        if let Some((shard, second)) = &place.second {
            bytes.extend(self.shards[*shard].bytes(second)?);
        }
        Ok(bytes)
    }

    /// The tensor's values as numbers.
    ///
    /// # Errors
    /// The same as those of [`CheckpointFiles::bytes`]; also if the tensor has bytes that are not numbers.
    pub fn numbers(&self, name: &str) -> anyhow::Result<Vec<f32>> {
        let stored = self.tensor(name).ok_or_else(|| anyhow!("no tensor is named {name}"))?;
        ensure!(
            stored.dtype != Dtype::U8,
            "tensor {name}: its numbers are U8, which are not weights"
        );
        Ok(stored.numbers(&self.bytes(name)?))
    }

    /// The path of its tokeniser's file, if it exists: `tokenizer.json`.
    ///
    /// # Errors
    /// If the path exists, but is not a file.
    pub fn tokenizer(&self) -> anyhow::Result<Option<PathBuf>> {
        let path = self.tokenizer_place();
        if path.is_file() {
            return Ok(Some(path));
        }
        let none = fs::symlink_metadata(&path).is_err();
        ensure!(none, "{}: expected a file, not a folder or a broken link", path.display());
        Ok(None)
    }

    /// The expected path of that file: `tokenizer.json` in the folder, `NAME.tokenizer.json` beside the file
    /// `NAME.gguf`.
    pub fn tokenizer_place(&self) -> PathBuf {
        match self.is_folder() {
            true => self.folder.join("tokenizer.json"),
            false => self.folder.with_extension("tokenizer.json"),
        }
    }

    /// The tokeniser in a GGUF file, as a `tokenizer.json`, or the reason why it cannot be read.
    pub fn tokenizer_within(&self) -> Option<Result<&Value, &str>> {
        Some(self.within.as_ref()?.as_ref().map_err(String::as_str))
    }

    /// Checks that the shards have exactly the tensors that the index names, each in the shard that it names.
    fn agrees_with_index(&self, index: &str) -> anyhow::Result<()> {
        let map = weight_map(&self.folder, index)?;
        let path = self.folder.join(index);
        let index = path.display();
        for (name, file) in &map {
            match self.file_of(name) {
                Some(found) if found == *file => {}
                Some(found) => bail!("{index}: tensor {name} is in {found}, not in {file}"),
                None => bail!("{index}: {file} has no tensor {name}"),
            }
        }
        match self.places.keys().find(|name| !map.contains_key(*name)) {
            Some(name) => bail!("{index}: tensor {name} is in a shard, but not in the index"),
            None => Ok(()),
        }
    }
}

/// Whether the file name is that of a file of `torch.save`.
fn is_pickled(path: &Path) -> bool {
    path.extension().is_some_and(|end| PICKLED.iter().any(|known| end == *known))
}

/// The files that an index names, in alphabetical order.
fn shard_names(folder: &Path, index: &str) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = weight_map(folder, index)?.into_values().collect();
    names.sort();
    names.dedup();
    let path = folder.join(index);
    let index = path.display();
    for name in &names {
        let plain = Path::new(name).components().count() == 1 && !name.starts_with('.');
        ensure!(plain, "{index}: {name:?} is not the name of a file in the folder");
        ensure!(folder.join(name).is_file(), "{index}: it names {name}, which does not exist");
    }
    Ok(names)
}

/// The file of each tensor according to the index.
fn weight_map(folder: &Path, index: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let path = folder.join(index);
    let mut index = table(&path)?;
    let map = index.remove("weight_map").unwrap_or_default();
    serde_json::from_value(map).with_context(|| format!("{}: weight_map", path.display()))
}

/// The largest size in bytes of `config.json` and of an index, which has a line for each tensor.
const MOST_JSON: u64 = 100 << 20;

/// The table of a JSON file.
fn table(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let read = || json_table(&read_regular(path, MOST_JSON)?);
    read().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_of_brackets_is_refused_before_its_values_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG);
        let brackets = format!("{{\"a\":[{}[]]}}", "[[[]]],".repeat(1_100_000));
        std::fs::write(&path, brackets).unwrap();
        let err = format!("{:#}", CheckpointFiles::open(folder.path()).unwrap_err());
        let expected = format!("{}: its JSON could take 1124", path.display());
        assert!(err.starts_with(&expected), "{err}");
    }
}
