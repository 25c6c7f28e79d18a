//! The folder of a checkpoint.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::{Map, Value};

use crate::shard::{Shard, Stored};

const CONFIG: &str = "config.json";
const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The files of a checkpoint, checked. Tensors are read one by one.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder.
    pub folder: PathBuf,
    /// `config.json`.
    pub config: Map<String, Value>,
    shards: Vec<Shard>,
    /// The shard of each tensor.
    places: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// Opens a folder with `config.json` and `model.safetensors`, or shards and their index.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let config = table(&folder.join(CONFIG))?;
        let names = shard_names(folder)?;
        let shards = names.iter().map(|name| Shard::open(&folder.join(name)));
        let shards = shards.collect::<anyhow::Result<Vec<_>>>()?;
        let mut places = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for name in shard.tensors.keys() {
                if let Some(before) = places.insert(name.clone(), number) {
                    let [a, b] = [before, number].map(|shard| &names[shard]);
                    bail!("{}: tensor {name} is in {a} and in {b}", folder.display());
                }
            }
        }
        let found = Self { folder: folder.into(), config, shards, places };
        found.agrees_with_index()?;
        Ok(found)
    }

    /// The tensors by name, in alphabetical order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.places.iter().map(|(name, place)| (name.as_str(), &self.shards[*place].tensors[name]))
    }

    /// A tensor of it.
    pub fn tensor(&self, name: &str) -> Option<&Stored> {
        self.shards[*self.places.get(name)?].tensors.get(name)
    }

    /// The file of a tensor.
    pub fn file_of(&self, name: &str) -> Option<String> {
        let path = &self.shards[*self.places.get(name)?].path;
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
    /// If there is none of that name, or the file cannot be read.
    pub fn bytes(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let place = self.places.get(name).ok_or_else(|| anyhow!("there is no tensor {name}"))?;
        let shard = &self.shards[*place];
        shard.bytes(&shard.tensors[name])
    }

    /// The numbers of a tensor.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn numbers(&self, name: &str) -> anyhow::Result<Vec<f32>> {
        let stored = self.tensor(name).ok_or_else(|| anyhow!("there is no tensor {name}"))?;
        Ok(stored.dtype.decode(&self.bytes(name)?))
    }

    /// `tokenizer.json`, if there is one.
    pub fn tokenizer(&self) -> Option<PathBuf> {
        Some(self.folder.join("tokenizer.json")).filter(|path| path.is_file())
    }

    /// Checks that the shards have the tensors that the index names, each where it says.
    fn agrees_with_index(&self) -> anyhow::Result<()> {
        if self.folder.join(WHOLE).is_file() {
            return Ok(());
        }
        let index = weight_map(&self.folder)?;
        for (name, file) in &index {
            match self.file_of(name) {
                Some(found) if found == *file => {}
                Some(found) => bail!("{INDEX}: tensor {name} is in {found}, not in {file}"),
                None => bail!("{INDEX}: {file} has no tensor {name}"),
            }
        }
        match self.places.keys().find(|name| !index.contains_key(*name)) {
            Some(name) => bail!("{INDEX}: it does not name tensor {name}, which a shard has"),
            None => Ok(()),
        }
    }
}

/// The files with tensors, in alphabetical order.
fn shard_names(folder: &Path) -> anyhow::Result<Vec<String>> {
    if folder.join(WHOLE).is_file() {
        return Ok(vec![WHOLE.to_string()]);
    }
    ensure!(
        folder.join(INDEX).is_file(),
        "{}: there is neither {WHOLE} nor {INDEX}",
        folder.display()
    );
    let mut names: Vec<String> = weight_map(folder)?.into_values().collect();
    names.sort();
    names.dedup();
    for name in &names {
        let plain = Path::new(name).components().count() == 1 && !name.starts_with('.');
        ensure!(plain, "{INDEX}: {name:?} is no name of a file in the folder");
        ensure!(folder.join(name).is_file(), "{INDEX}: it names {name}, which is not there");
    }
    Ok(names)
}

/// The file of each tensor, as the index says.
fn weight_map(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let path = folder.join(INDEX);
    let mut index = table(&path)?;
    let map = index.remove("weight_map").unwrap_or_default();
    serde_json::from_value(map).with_context(|| format!("{}: weight_map", path.display()))
}

fn table(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).map_err(|err| anyhow!("{}: {err}", path.display()))
}
