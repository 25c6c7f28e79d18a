//! Reading of finished runs from their folders.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use report::few;
use serde::Deserialize;
use tasks::{DataDigest, DataDir, LoadedTask};

use crate::{
    Plugins,
    settings::SettingTree,
    spec::{RunConfig, RunSpec},
    store::{Ended, Store, read_json},
};

/// The description of a run in its folder.
#[derive(Deserialize)]
struct Description {
    method: String,
    seed: u64,
    config: RunConfig,
    /// The digest of the data; none for runs from before it was recorded.
    data: Option<DataDigest>,
}

/// A run that has ended.
pub(crate) struct TrainedRun {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The folder of runs that contains it.
    pub(crate) store: Store,
    pub(crate) spec: RunSpec,
}

/// Reads the run that the user names by its folder, or by its name in the folder of runs.
pub(crate) fn trained_run(
    run: &str,
    runs: &Path,
    data: &DataDir,
    plugins: &Plugins,
) -> anyhow::Result<TrainedRun> {
    let folder = find(run, runs)?;
    let store = Store::open(folder.parent().unwrap_or(Path::new(".")))?;
    let spec = read(&folder, &store, data, plugins)?;
    Ok(TrainedRun { folder, store, spec })
}

fn find(run: &str, runs: &Path) -> anyhow::Result<PathBuf> {
    let named = runs.join(run);
    for folder in [named.as_path(), Path::new(run)] {
        if folder.join("config.json").exists() {
            return Ok(folder.to_path_buf());
        }
    }
    let known = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let known = known.filter(|entry| entry.path().join("result.json").is_file());
    let mut known: Vec<String> =
        known.map(|entry| entry.file_name().to_string_lossy().to_string()).collect();
    known.sort();
    let (some, all) = (known.iter().take(8).cloned().collect::<Vec<_>>().join(", "), known.len());
    let runs = runs.display();
    ensure!(all > 0, "no run is named {run:?} in {runs}; no run there has ended");
    bail!("no run is named {run:?} in {runs}; {all} runs there have ended: {some}")
}

/// Reads the run in a folder, with its data.
fn read(
    folder: &Path,
    store: &Store,
    data: &DataDir,
    plugins: &Plugins,
) -> anyhow::Result<RunSpec> {
    let id = folder.file_name().map(|name| name.to_string_lossy().to_string());
    let id = id.ok_or_else(|| anyhow!("{}: not a folder of a run", folder.display()))?;
    let description: Option<Description> = read_json(folder, "config.json")?;
    let description = description.with_context(|| folder.display().to_string())?;
    match store.ended(&id)? {
        Some(Ended::Done(_)) => {}
        Some(Ended::Failed { cause, .. }) => bail!("the run {id} failed: {cause}"),
        None => bail!("the run {id} has not ended; train it first"),
    }
    let settings = SettingTree::empty(&folder.join("config.json").display().to_string());
    let LoadedTask { task, data: digest } =
        description.config.load_task(&settings, plugins, data)?;
    if let Some(then) = description.data.filter(|then| *then != digest) {
        let changed = few(digest.differences(&then));
        bail!("the data of the run {id} have changed since it was trained: {changed}");
    }
    description.config.check(&settings, plugins, &*task)?;
    Ok(RunSpec {
        method: description.method,
        seed: description.seed,
        config: description.config,
        data: task,
        digest,
        note: String::new(),
        refused: None,
        from: None,
        parts: Vec::new(),
        teacher: None,
        confusion_run: None,
        budget: None,
        trial: false,
        tuned: None,
        id,
    })
}
