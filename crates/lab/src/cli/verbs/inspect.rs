//! `inspect`: the family, network and tensors of a checkpoint.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use backbones::BackboneSpec;
use burn::prelude::*;
use clap::Args;
use interop::{CheckpointFiles, ImportedNetwork, check, describe, not_finite};
use moe::Init;
use serde_json::{Value, json};
use tasks::{Tokenizer, text::tokens::Bpe};

use crate::{
    Plugins,
    cli::{Answer, JsonArgs, Session, Verb},
    planning::tokens_of_tokenizer,
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
        let checkpoint = CheckpointFiles::open(&self.checkpoint)?;
        let place = || self.checkpoint.display().to_string();
        let model = describe(&checkpoint.config).with_context(place)?;
        fits(&model, &checkpoint, session.plugins).with_context(place)?;
        tokenizer_fits(&model, &checkpoint)?;
        let mut wrong = model.rules.notes.clone();
        wrong.extend(tensors_not_finite(&checkpoint).with_context(place)?);
        wrong.iter().for_each(|warning| session.say(&format!("warning: {warning}")));
        let about = about(&checkpoint, &model, wrong);
        if self.json.is_json() {
            return Ok(format!("{about:#}\n").into());
        }
        let mut text = in_words(&about, &model)?;
        if self.tensors {
            text += "\n";
            for (name, stored) in checkpoint.tensors() {
                text += &format!("{name} {} {:?}\n", stored.dtype.name(), stored.shape);
            }
        }
        Ok(text.into())
    }
}

/// Checks names and shapes against the network, whose weights are not made.
fn fits(
    model: &ImportedNetwork,
    checkpoint: &CheckpointFiles,
    plugins: &Plugins,
) -> anyhow::Result<()> {
    // The check comes before a network is made of sizes that the checkpoint cannot have.
    let width = model.backbone.options.get("width").and_then(Value::as_u64).unwrap_or(0);
    let embedding = width.saturating_mul(tokens_of_tokenizer(model.domain).unwrap_or(0) as u64);
    let numbers = count_of_numbers(checkpoint);
    ensure!(
        embedding <= numbers as u64,
        "config.json: an embedding of width {width} has {embedding} numbers, but all tensors have {numbers}"
    );
    let backbone_spec: BackboneSpec = model.backbone_spec(&plugins.library);
    let build = plugins.backbones.get(&model.backbone.kind)?.build;
    let network = (build.init)(&model.backbone, &backbone_spec, &Init::new(0, &Device::flex()))?;
    check(&network, &model.rules, checkpoint)
}

/// The number of values in all tensors.
fn count_of_numbers(checkpoint: &CheckpointFiles) -> usize {
    checkpoint.tensors().map(|(_, stored)| stored.len()).sum()
}

/// Checks the `tokenizer.json` against the vocabulary, if there is one.
fn tokenizer_fits(model: &ImportedNetwork, checkpoint: &CheckpointFiles) -> anyhow::Result<()> {
    let (Some(file), Some(known)) = (checkpoint.tokenizer()?, tokens_of_tokenizer(model.domain))
    else {
        return Ok(());
    };
    let place = || file.display().to_string();
    let json = files::read_text(&file).with_context(place)?;
    let vocab = Bpe::read(json.as_bytes()).map_err(|why| anyhow!("{}: {why}", place()))?.vocab();
    ensure!(vocab <= known, "{}: it has {vocab} tokens, but the network has {known}", place());
    Ok(())
}

fn tensors_not_finite(checkpoint: &CheckpointFiles) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, _) in checkpoint.tensors() {
        found.extend(not_finite(name, &checkpoint.numbers(name)?));
    }
    Ok(found)
}

fn about(checkpoint: &CheckpointFiles, model: &ImportedNetwork, warnings: Vec<String>) -> Value {
    let tensors: Vec<Value> = checkpoint
        .tensors()
        .map(|(name, stored)| json!([name, stored.dtype.name(), stored.shape]))
        .collect();
    let numbers = count_of_numbers(checkpoint);
    let files = checkpoint.files();
    let tokenizer = match checkpoint.tokenizer_within() {
        Some(Err(why)) => json!(why),
        Some(Ok(_)) => json!(true),
        None => json!(checkpoint.tokenizer().is_ok_and(|file| file.is_some())),
    };
    json!({
        "family": checkpoint.config.get("model_type"), "files": files, "count": tensors.len(),
        "numbers": numbers, "tokenizer": tokenizer, "backbone": model.backbone, "moe": model.moe,
        "warnings": warnings, "tensors": tensors,
    })
}

/// Describes the kind of the checkpoint, and its network as the settings of a suite.
fn in_words(about: &Value, model: &ImportedNetwork) -> anyhow::Result<String> {
    let tokenizer = match &about["tokenizer"] {
        Value::Bool(true) => "yes",
        Value::Bool(false) => "none",
        why => why.as_str().unwrap_or_default(),
    };
    let files = about["files"].as_array().into_iter().flatten();
    let files: Vec<&str> = files.filter_map(Value::as_str).collect();
    let settings = json!({ "backbone": model.backbone, "moe": model.moe });
    Ok(format!(
        "family: {}\nfiles: {}\ntensors: {}, with {} numbers\ntokeniser: {tokenizer}\n\n{}",
        about["family"].as_str().unwrap_or_default(),
        files.join(", "),
        about["count"],
        about["numbers"],
        toml::to_string(&without_nulls(settings))?,
    ))
}

/// Removes nulls, which TOML cannot express.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let there = table.into_iter().filter(|(_, value)| !value.is_null());
            there.map(|(key, value)| (key, without_nulls(value))).collect()
        }
        other => other,
    }
}
