//! Files of PyTorch's `torch.save`, with the numbers of safetensors fixtures; damaged ones are refused.
//! `scripts/golden/pytorch_checkpoints.py` wrote them.

mod common;

use std::{fs, path::Path};

use burn::prelude::*;
use common::{fixture, library};
use interop::{CheckpointFiles, CheckpointForm, describe, export, load};
use moe::{Init, numbers_of};
use tempfile::TempDir;

/// A folder with the config of one fixture and these files of another, with their new names.
fn folder(config: &str, from: &str, files: &[[&str; 2]]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &Path, name: &str| fs::copy(from, folder.path().join(name)).unwrap();
    copy(&fixture(config).join("config.json"), "config.json");
    for [name, to] in files {
        copy(&fixture(from).join(name), to);
    }
    folder
}

const BIN: &str = "pytorch_model.bin";
const SHARDS: [&str; 3] = [
    "pytorch_model-00001-of-00002.bin",
    "pytorch_model-00002-of-00002.bin",
    "pytorch_model.bin.index.json",
];

/// The bits of all parameters.
fn parameters(place: &Path) -> anyhow::Result<Vec<(String, Vec<u32>)>> {
    let checkpoint = CheckpointFiles::open(place)?;
    let model = describe(&checkpoint.config)?;
    let (library, backbones) = (library(), backbones::all());
    let build = backbones.get(&model.backbone.kind)?.build;
    let init = Init::new(0, &Device::flex());
    let network = (build.init)(&model.backbone, &model.backbone_spec(&library), &init)?;
    let network = load(network, &model.rules, &checkpoint)?.network;
    let bits = |data: TensorData| data.iter::<f32>().map(f32::to_bits).collect();
    Ok(numbers_of(&network, |_| true).into_iter().map(|(p, data)| (p.path, bits(data))).collect())
}

#[test]
fn the_network_is_that_of_safetensors_to_the_bit() {
    let wanted = parameters(&fixture("llama3")).unwrap();
    let plain = folder("llama3", "pytorch", &[[BIN, BIN]]);
    assert!(parameters(plain.path()).unwrap() == wanted);
    let old = folder("llama3", "pytorch", &[["old.pt", "old.pt"]]);
    assert!(parameters(&old.path().join("old.pt")).unwrap() == wanted);
    let shards = folder("mixtral", "pytorch-shards", &SHARDS.map(|name| [name, name]));
    assert!(parameters(shards.path()).unwrap() == parameters(&fixture("mixtral")).unwrap());
}

#[test]
fn safetensors_come_first_and_are_written() {
    let shards = folder("mixtral", "pytorch-shards", &SHARDS.map(|name| [name, name]));
    let checkpoint = CheckpointFiles::open(shards.path()).unwrap();
    let model = describe(&checkpoint.config).unwrap();
    let build = backbones::all().get("transformer-lm").unwrap().build;
    let (library, init) = (library(), Init::new(0, &Device::flex()));
    let network = (build.init)(&model.backbone, &model.backbone_spec(&library), &init).unwrap();
    let network = load(network, &model.rules, &checkpoint).unwrap().network;
    let to = shards.path().join("out");
    export(&network, &model.rules, &CheckpointForm::of(&checkpoint), &to, None).unwrap();
    for file in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        let [found, wanted] = [&to, &fixture("mixtral")].map(|at| fs::read(at.join(file)).unwrap());
        assert!(found == wanted, "{file}");
        fs::copy(to.join(file), shards.path().join(file)).unwrap();
    }
    let index = "model.safetensors.index.json";
    fs::copy(to.join(index), shards.path().join(index)).unwrap();
    let first = &CheckpointFiles::open(shards.path()).unwrap().files()[0];
    assert_eq!(first, "model-00001-of-00002.safetensors");
}

#[test]
fn a_head_by_two_names_is_one_head() {
    let both = folder("llama3", "pytorch", &[[BIN, BIN]]);
    let checkpoint = CheckpointFiles::open(both.path()).unwrap();
    let [a, b] =
        ["lm_head.weight", "model.embed_tokens.weight"].map(|t| checkpoint.bytes(t).unwrap());
    assert_eq!(a, b);
    // If the config says that the head is separate, it is read as such.
    let path = both.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    let untied = config.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    assert_ne!(config, untied);
    fs::write(&path, untied).unwrap();
    let head = |(path, _): &(String, Vec<u32>)| path == "head.weight";
    assert!(parameters(both.path()).unwrap().iter().any(head));
}

#[test]
fn nothing_of_a_pickle_is_run() {
    let code = folder("llama3", "pytorch", &[["code.bin", BIN]]);
    // The call would create a folder; its result is not a tensor, so it is not read.
    assert!(parameters(code.path()).unwrap() == parameters(&fixture("llama3")).unwrap());
    assert!(!Path::new("pickle-was-run").exists());
}

#[test]
fn damage_is_named() {
    let said = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let folder = folder("llama3", "pytorch", &[[name, BIN]]);
        let path = folder.path().join(BIN);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let err = parameters(folder.path()).err().map_or(String::new(), |err| format!("{err:#}"));
        assert!(err.contains(BIN), "{err}");
        err
    };
    assert!(said(BIN, &|bytes| bytes.truncate(9000)).contains("not a PyTorch file"));
    assert!(said("old.pt", &|bytes| bytes.truncate(9000)).contains("beyond the end of the file"));
    assert!(said(BIN, &|bytes| bytes.clear()).contains("not a PyTorch file"));
    assert!(said(BIN, &|bytes| *bytes = b"text".to_vec()).contains("not a PyTorch file"));
    // A number of a matrix was changed, so that the checksum in the archive does not match.
    let storage = |bytes: &mut Vec<u8>| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    };
    assert!(said(BIN, &storage).contains("Invalid checksum"), "{}", said(BIN, &storage));
}

/// Small files that require much memory, and numbers of other formats.
#[test]
fn what_is_not_read_is_refused_before_memory_is_taken() {
    for (name, why) in [
        ("wide.bin", "tensor a: its shape [1073741824] takes 4294967296 bytes, but the file has"),
        ("packed.bin", "compressed files are not supported"),
        ("double.bin", "tensor a: its numbers are F64; known: F32, BF16, F16, U8"),
    ] {
        let folder = folder("llama3", "pytorch", &[[name, BIN]]);
        let err = format!("{:#}", parameters(folder.path()).unwrap_err());
        assert!(err.contains(BIN) && err.contains(why), "{err}");
    }
}

#[test]
fn what_is_left_and_what_is_missing_is_named() {
    let shards = folder("llama3", "pytorch-shards", &[[SHARDS[0], BIN]]);
    let err = format!("{:#}", parameters(shards.path()).unwrap_err());
    assert!(err.contains("is unused: the network has no parameter for it"), "{err}");
    let missing =
        folder("mixtral", "pytorch-shards", &[[SHARDS[0], SHARDS[0]], [SHARDS[2], SHARDS[2]]]);
    let err = format!("{:#}", parameters(missing.path()).unwrap_err());
    assert!(
        err.contains("pytorch_model.bin.index.json: it names") && err.contains(SHARDS[1]),
        "{err}"
    );
    let none = folder("mixtral", "pytorch", &[]);
    let err = format!("{:#}", parameters(none.path()).unwrap_err());
    assert!(err.ends_with("found none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json"), "{err}");
}
