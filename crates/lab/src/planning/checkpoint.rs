//! Runs that start from a checkpoint of another framework: `from = { checkpoint = "DIR" }`.
//!
//! The network of such a run is that of the checkpoint, unless the suite changes it. The previous run, from
//! which it starts, has the weights of the checkpoint and no steps.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use files::hex;
use interop::{CheckpointFiles, describe};
use moe::Domain;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Plugins, settings::SettingTree};

/// The key of the checkpoint's folder.
const KEY: &str = "checkpoint";
/// The key that permits a run to take only a part of the checkpoint.
const PARTIAL: &str = "partial";

/// The settings that follow from a checkpoint: its network, its folder with a digest, and no steps.
pub(crate) struct CheckpointSettings {
    network: SettingTree,
    start: SettingTree,
}

impl CheckpointSettings {
    /// Reads the settings of a folder or a file.
    ///
    /// # Errors
    /// If it is not a checkpoint of a known family.
    pub(crate) fn read(folder: &str) -> anyhow::Result<Self> {
        let path = Path::new(folder);
        let whole = path.canonicalize().with_context(|| format!("checkpoint {folder}"))?;
        let checkpoint = CheckpointFiles::open(&whole)?;
        let model = describe(&checkpoint.config).with_context(|| format!("checkpoint {folder}"))?;
        let place = format!("checkpoint {folder}");
        let network = json!({ "backbone": model.backbone, "moe": model.moe });
        let mut start = network.clone();
        let whole = whole.display().to_string();
        start[KEY] = json!({ "folder": whole, "sha256": sha256(&checkpoint)? });
        start["train"] = json!({ "steps": 0 });
        let tree = |value: Value| SettingTree::plain(value, &place);
        Ok(Self { network: tree(network), start: tree(start) })
    }

    /// Reads the settings of the checkpoint that the layers of a run name; the last layer that names one
    /// counts.
    pub(super) fn of<'a>(
        layers: impl DoubleEndedIterator<Item = &'a SettingTree>,
    ) -> anyhow::Result<Option<Self>> {
        let folder = |layer: &'a SettingTree| layer.table()?.get("from")?.table()?.get(KEY);
        match layers.rev().find_map(folder) {
            None => Ok(None),
            Some(SettingTree::Leaf(Value::String(folder), place)) => {
                Self::read(folder).map(Some).with_context(|| place.to_string())
            }
            Some(other) => bail!("{}: expected a folder with a checkpoint", other.place()),
        }
    }

    /// Lays the network over the defaults of a suite.
    pub(super) fn lay_network(&self, settings: &mut SettingTree) {
        settings.lay(&self.network);
    }

    /// Replaces `from` by the settings of the run with the weights of the checkpoint. If this was already
    /// done, settings that were laid over `from` since then are kept.
    pub(super) fn complete(&self, settings: &mut SettingTree) {
        let Some(own) = settings.table().and_then(|table| table.get("from")) else { return };
        let mut from = self.start.clone().at(own.place());
        if let (Some(partial), SettingTree::Table(table, _)) = (partial(own), &mut from)
            && let Some(checkpoint) = table.get_mut(KEY)
        {
            checkpoint.put(PARTIAL, partial.clone());
        }
        from.lay(&own.without(&[KEY, PARTIAL]));
        settings.put("from", from);
    }

    /// The settings of a run with the weights of the checkpoint on a task.
    pub(crate) fn on(&self, task: Value, place: &str) -> SettingTree {
        let mut settings = self.start.clone();
        settings.put("task", SettingTree::plain(task, place));
        settings
    }
}

/// The value in `from` that permits taking a part of the checkpoint, before or after
/// [`CheckpointSettings::complete`].
fn partial(from: &SettingTree) -> Option<&SettingTree> {
    let table = from.table()?;
    table.get(PARTIAL).or_else(|| table.get(KEY)?.table()?.get(PARTIAL))
}

/// Keys of the network and of training, which the run may change relative to the checkpoint.
const OF_NETWORK: [&str; 3] = ["backbone", "moe", "train"];

/// The settings of the run with the weights of a checkpoint, if `from` names a checkpoint.
pub(super) fn settings_of_checkpoint(
    settings: &SettingTree,
    from: &SettingTree,
) -> Option<SettingTree> {
    from.table()?.get(KEY)?;
    let mut start = settings.without(&OF_NETWORK);
    start.lay(from);
    Some(start)
}

/// A digest of the config and of all tensors with their names.
fn sha256(checkpoint: &CheckpointFiles) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&checkpoint.config)?);
    for (name, stored) in checkpoint.tensors() {
        hash.update(format!("{name} {} {:?}", stored.dtype.name(), stored.shape));
        hash.update(checkpoint.bytes(name)?);
    }
    Ok(hex(&hash.finalize()))
}

/// The tokeniser in a checkpoint's `tokenizer.json` as the option `tokens` of a task; none if the task has no
/// such option or the checkpoint no such file. A network may have more tokens than the file.
///
/// # Errors
/// If the folder is no checkpoint of a known family, or if the entry of the file's name is not a file.
pub(crate) fn tokens_of(
    folder: &str,
    kind: &str,
    plugins: &Plugins,
) -> anyhow::Result<Option<Value>> {
    let checkpoint = CheckpointFiles::open(Path::new(folder))?;
    let known = plugins.tasks.complete(&moe::Choice::of(kind))?;
    let (Some(file), true) = (checkpoint.tokenizer()?, known.options.contains_key("tokens")) else {
        return Ok(None);
    };
    let Some(size) = tokens_of_tokenizer(describe(&checkpoint.config)?.domain) else {
        return Ok(None);
    };
    let file = file.canonicalize().map_err(|err| anyhow!("{}: {err}", file.display()))?;
    Ok(Some(json!({ "kind": "bpe", "file": file.display().to_string(), "size": size })))
}

/// The number of tokens of a task's tokeniser for the vocabulary of a network. The vocabulary of a task of
/// pairs has two more: for the beginning of a target and the end of a sentence.
pub(crate) fn tokens_of_tokenizer(domain: Domain) -> Option<usize> {
    match domain {
        Domain::Text { vocab, .. } => Some(vocab),
        Domain::Pair { vocab, .. } => Some(vocab.saturating_sub(2)),
        _ => None,
    }
}
