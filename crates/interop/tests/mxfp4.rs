//! GPT-OSS with experts as blocks of MXFP4, against the transformers library with its own conversion;
//! `scripts/golden/transformers_checkpoints.py` wrote the fixture.

mod common;

use std::fs;

use common::{NEAR, compared, expected, fixture, greedy, imported, print_row};
use interop::{CheckpointFiles, CheckpointForm, Dtype, describe, export};
use serde_json::{Value, json};

const NAME: &str = "gpt-oss-mxfp4";

#[test]
fn logits_choices_and_greedy_text_are_those_of_the_library() {
    let (gap, same) = compared(NAME);
    print_row(NAME, gap);
    assert!(gap < NEAR && same, "{gap}");
    let (_, wanted) = expected(NAME).ints("greedy").unwrap();
    assert_eq!(greedy(NAME, true), wanted);
}

#[test]
fn it_goes_out_as_tensors_of_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (network, model, packed) = imported(NAME, 8);
    let to = folder.path().join("out");
    export(&network, &model.rules, &CheckpointForm::of(&packed), &to, None).unwrap();
    let again = CheckpointFiles::open(&to).unwrap();
    assert!(!again.config.contains_key("quantization_config"));
    for (name, stored) in packed.tensors() {
        assert_eq!(again.numbers(name).unwrap(), packed.numbers(name).unwrap(), "{name}");
        assert_eq!(again.tensor(name).unwrap().dtype, stored.dtype.written());
    }
    let experts = packed.tensor("model.layers.0.mlp.experts.gate_up_proj").unwrap();
    assert_eq!((experts.dtype, again.tensors().count()), (Dtype::Mxfp4, packed.tensors().count()));
}

/// The error for the fixture with a changed header.
fn said(change: impl Fn(&mut Value)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(fixture(NAME).join("model.safetensors")).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    change(&mut header);
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    let file = [&length[..], header.as_bytes(), &bytes[start..]].concat();
    fs::write(folder.path().join("model.safetensors"), file).unwrap();
    fs::copy(fixture(NAME).join("config.json"), folder.path().join("config.json")).unwrap();
    match CheckpointFiles::open(folder.path()) {
        Err(err) => format!("{err:#}"),
        Ok(checkpoint) => {
            let names = checkpoint.tensors().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
            format!("{names} {:?}", describe(&checkpoint.config).err())
        }
    }
}

const BLOCKS: &str = "model.layers.0.mlp.experts.down_proj_blocks";

#[test]
fn what_does_not_fit_is_said() {
    let other = said(|header| header[BLOCKS]["shape"] = json!([4, 16, 2, 16]));
    assert!(
        other.contains("_blocks [4, 16, 2, 16] and") && other.contains("expected U8 of"),
        "{other}"
    );
    // A tensor without its counterpart is not joined, and is reported as unused when the checkpoint is
    // loaded.
    let alone = said(|header| {
        let table = header.as_object_mut().unwrap();
        let entry = table.remove(BLOCKS).unwrap();
        table.insert("other_blocks".into(), entry);
    });
    assert!(alone.contains("other_blocks") && alone.contains("down_proj_scales"), "{alone}");
    let twice = said(|header| {
        let norm = header["model.norm.weight"].clone();
        header.as_object_mut().unwrap().remove("model.norm.weight");
        header["model.layers.0.mlp.experts.down_proj"] = norm;
    });
    assert!(twice.contains("down_proj exists, and so do"), "{twice}");
}
