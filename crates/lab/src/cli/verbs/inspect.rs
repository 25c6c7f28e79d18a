//! `inspect`: the family, network and tensors of a checkpoint.

use std::path::PathBuf;

use anyhow::Context;
use backbones::BackboneSpec;
use burn::prelude::*;
use clap::Args;
use interop::{Checkpoint, Model, check, describe};
use moe::Init;
use serde_json::{Value, json};

use crate::{
    Plugins,
    cli::{Answer, JsonArgs, Session, Verb},
};

/// Arguments of `inspect`.
#[derive(Args, Clone)]
pub(crate) struct Inspect {
    /// A folder with config.json and model.safetensors or pytorch_model.bin, or shards and their index; a file
    /// of torch.save beside a config.json; or a GGUF file
    checkpoint: PathBuf,
    /// List all tensors
    #[arg(long)]
    tensors: bool,
    #[command(flatten)]
    json: JsonArgs,
}

impl Verb for Inspect {
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Print the family, network and tensors of a checkpoint, and numbers that are NaN or infinite";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        let place = || self.checkpoint.display().to_string();
        let model = describe(&checkpoint.config).with_context(place)?;
        fits(&model, &checkpoint, session.plugins).with_context(place)?;
        let wrong = not_finite(&checkpoint)?;
        wrong.iter().for_each(|warning| session.say(&format!("warning: {warning}")));
        let about = about(&checkpoint, &model, wrong);
        if self.json.is_json() {
            return Ok(format!("{about:#}\n").into());
        }
        let mut text = String::new();
        for (key, value) in about.as_object().into_iter().flatten() {
            if key != "tensors" {
                text += &format!("{key}: {}\n", plain(value));
            }
        }
        if self.tensors {
            for (name, stored) in checkpoint.tensors() {
                text += &format!("{name} {} {:?}\n", stored.dtype.name(), stored.shape);
            }
        }
        Ok(text.into())
    }
}

/// Checks names and shapes against the network, of which nothing is made.
fn fits(model: &Model, checkpoint: &Checkpoint, plugins: &Plugins) -> anyhow::Result<()> {
    let brief: BackboneSpec = model.brief(&plugins.library);
    let build = plugins.backbones.get(&model.backbone.kind)?.build;
    let network = (build.init)(&model.backbone, &brief, &Init::new(0, &Device::flex()))?;
    check(&network, &model.rules, checkpoint)
}

fn not_finite(checkpoint: &Checkpoint) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, _) in checkpoint.tensors() {
        let numbers = checkpoint.numbers(name)?;
        let wrong = numbers.iter().filter(|number| !number.is_finite()).count();
        if wrong > 0 {
            let all = numbers.len();
            found.push(format!("tensor {name}: {wrong} of {all} numbers are NaN or infinite"));
        }
    }
    Ok(found)
}

fn about(checkpoint: &Checkpoint, model: &Model, warnings: Vec<String>) -> Value {
    let tensors: Vec<Value> = checkpoint
        .tensors()
        .map(|(name, stored)| json!([name, stored.dtype.name(), stored.shape]))
        .collect();
    let numbers: usize = checkpoint.tensors().map(|(_, stored)| stored.len()).sum();
    let files = checkpoint.files();
    let tokenizer = match checkpoint.tokenizer_within() {
        Some(Err(why)) => json!(why),
        Some(Ok(_)) => json!(true),
        None => json!(checkpoint.tokenizer().is_some()),
    };
    json!({
        "family": checkpoint.config.get("model_type"), "files": files, "count": tensors.len(),
        "numbers": numbers, "tokenizer": tokenizer, "backbone": model.backbone, "moe": model.moe,
        "warnings": warnings, "tensors": tensors,
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}
