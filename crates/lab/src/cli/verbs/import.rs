//! `import`: converts a checkpoint of another framework to a run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use files::{read_regular, write_atomic};
use interop::CheckpointFiles;
use moe::Choice;
use serde_json::{Value, json};

use crate::{
    cli::{
        Answer, DeviceArgs, JsonArgs, Session, ThreadsArgs, Verb,
        args::{DataArgs, StoreArgs},
        watch::WatchArgs,
    },
    exec::Imported,
    planning::{CheckpointSettings, Reader, tokens_of},
    settings::SettingTree,
    spec::{Program, RunSpec},
    store::{Ended, Environment, Numbers, Store},
};

/// Arguments of `import`.
#[derive(Args, Clone)]
pub(crate) struct Import {
    /// A folder with config.json and model.safetensors or pytorch_model.bin, or shards and their index; a file
    /// of torch.save beside a config.json; or a GGUF file
    checkpoint: String,
    /// The task on which the network is evaluated; its tokens are those of the checkpoint's
    /// tokenizer.json, if there is one. That of NAME.gguf is written to NAME.tokenizer.json beside it
    #[arg(long, default_value = "tanaka-lm")]
    task: String,
    /// The name of the run in tables; that of the folder if left out
    #[arg(long)]
    name: Option<String>,
    /// A setting of the run, for example task.length=32; can be given several times
    #[arg(long, value_name = "A.B=C")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    json: JsonArgs,
}

impl Verb for Import {
    const NAME: &'static str = "import";
    const ABOUT: &'static str =
        "Convert a checkpoint (Hugging Face, PyTorch or GGUF) to a run, and evaluate it";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let mut unpacked = None;
        let imported = self.imported(session, &mut unpacked);
        if let (Err(_), Some(path), false) = (&imported, unpacked, session.is_stopped()) {
            let _ = fs::remove_file(path); // what was written for a run that there is not
        }
        let Converted { spec, numbers, warnings } = imported?;
        if self.json.is_json() {
            let all = json!({
                "run": spec.id, "params": numbers.params, "metrics": numbers.metrics,
                "warnings": warnings,
            });
            return Ok(format!("{all:#}\n").into());
        }
        let mut text = format!("run {} of {} parameters\n", spec.id, numbers.params);
        for (split, metric, value) in &numbers.metrics {
            text += &format!("{split} {metric}: {value:.6}\n");
        }
        Ok(text.into())
    }
}

/// A run with the weights of a checkpoint.
struct Converted {
    spec: RunSpec,
    numbers: Numbers,
    warnings: Vec<String>,
}

impl Import {
    /// Makes the run and evaluates it; also returns the file that was written for the run. A run that fails
    /// because its numbers are not finite leaves no files.
    fn imported(
        &self,
        session: &Session,
        unpacked: &mut Option<PathBuf>,
    ) -> anyhow::Result<Converted> {
        let (plugins, data) = (session.plugins, self.data.dir());
        let settings = self.settings(session, unpacked)?;
        let program = session.suites.first().map_or(Program::NONE, |suite| suite.program);
        let reader = Reader::new(plugins, &data, program, &self.device.device);
        let spec = reader.one(&settings, self.run_name()?)?;
        let store = Store::open(&self.store.runs)?;
        let device = self.device.open()?;
        let environment = Environment::now(&self.device.device, self.threads.count());
        let was_there = store.ended(&spec.id)?.is_some();
        self.watch.train(&spec, (&store, &device, &environment), session)?;
        let imported = Imported::of(&store.folder(&spec.id))?;
        let warnings = imported.map_or_else(Vec::new, |imported| imported.warnings);
        warnings.iter().for_each(|warning| session.say(&format!("warning: {warning}")));
        match store.ended(&spec.id)? {
            Some(Ended::Done(numbers)) => Ok(Converted { spec, numbers, warnings }),
            Some(Ended::Failed { cause, .. }) if was_there => {
                bail!("the run {} failed: {cause}", spec.id)
            }
            Some(Ended::Failed { cause, .. }) => {
                store.remove_failed(&spec.id)?;
                bail!("{}: its run failed and was removed: {cause}", self.checkpoint)
            }
            None => bail!("the run {} has been stopped", spec.id),
        }
    }

    /// The name of the run: the given name, or that of the folder or file.
    fn run_name(&self) -> anyhow::Result<String> {
        let path = Path::new(&self.checkpoint).canonicalize()?;
        let own = || path.file_name().unwrap_or_default().to_string_lossy().to_string();
        Ok(self.name.clone().unwrap_or_else(own))
    }

    /// Writes the tokeniser of a GGUF file beside the file, unless it exists. Returns its path if it was
    /// written.
    fn unpack_tokenizer(&self, session: &Session) -> anyhow::Result<Option<PathBuf>> {
        let checkpoint = CheckpointFiles::open(Path::new(&self.checkpoint))?;
        let place = checkpoint.tokenizer_place();
        match checkpoint.tokenizer_within() {
            Some(Ok(json)) if !place.exists() => {
                write_atomic(&place, json.to_string().as_bytes())
                    .with_context(|| place.display().to_string())?;
                session.say(&format!("wrote its tokeniser to {}", place.display()));
                return Ok(Some(place));
            }
            Some(Ok(json)) if !has(&place, json) => session.say(&format!(
                "warning: {} is used, but differs from the tokeniser in {}",
                place.display(),
                self.checkpoint
            )),
            Some(Err(why)) => {
                let file = &self.checkpoint;
                session.say(&format!("warning: {file}: its tokeniser cannot be read: {why}"));
            }
            _ => {}
        }
        Ok(None)
    }

    /// The settings of the run, and the file that was written for them.
    fn settings(
        &self,
        session: &Session,
        unpacked: &mut Option<PathBuf>,
    ) -> anyhow::Result<SettingTree> {
        let checkpoint = CheckpointSettings::read(&self.checkpoint)?;
        let of_task = |err| anyhow!("--task {}: {err}", self.task);
        session
            .plugins
            .tasks
            .complete(&Choice::of(&self.task))
            .map_err(|err| of_task(err.into()))?;
        *unpacked = self.unpack_tokenizer(session)?;
        let tokens = tokens_of(&self.checkpoint, &self.task, session.plugins).map_err(of_task)?;
        let mut task = json!({ "kind": self.task });
        if let Some(tokens) = tokens {
            task["tokens"] = tokens;
        }
        let mut settings = checkpoint.on(task, "--task");
        for text in &self.set {
            let setting = SettingTree::assignment(text)?;
            let own = |key: &str| matches!(setting.value().get(key), Some(Value::Object(_)));
            if ["backbone", "moe", "checkpoint"].iter().any(|key| own(key)) {
                bail!("--set {text}: the network comes from the checkpoint and cannot be set");
            }
            settings.lay(&setting);
        }
        Ok(settings)
    }
}

/// Whether a file contains this JSON.
fn has(path: &Path, json: &Value) -> bool {
    // No formatting makes the text many times as long.
    let most = 16 * json.to_string().len() as u64;
    let read = read_regular(path, most).ok();
    let read = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    read.as_ref() == Some(json)
}
