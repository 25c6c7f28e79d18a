//! GGUF files that are damaged, or that the network does not honour: each is refused with its fault.

mod common;

use std::fs;

use common::gguf::{architecture, entry, file, tensor, text};
use interop::{CheckpointFiles, describe};

/// The error for a file.
fn said(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    fs::write(&path, bytes).unwrap();
    let read = || {
        let checkpoint = CheckpointFiles::open(&path)?;
        describe(&checkpoint.config)?;
        anyhow::Ok(())
    };
    match read() {
        Ok(()) => "read".into(),
        Err(err) => format!("{err:#}").replace(&format!("{}: ", path.display()), ""),
    }
}

fn with(entries: &[Vec<u8>], tensors: &[Vec<u8>], numbers: usize) -> String {
    said(&file(&[&[architecture("llama")], entries].concat(), tensors, numbers))
}

#[test]
fn damaged_fronts() {
    assert!(said(b"GG").contains("not a GGUF file: it is cut off"), "{}", said(b"GG"));
    assert!(said(b"GARBAGE.").contains("it begins with \"GARB\""));
    assert!(said(b"GGUF\0\0\0\x03").contains("it is big-endian"));
    assert!(said(b"GGUF\x01\0\0\0").contains("GGUF version 1 is not supported; known: 2, 3"));
    let counts = |tensors: u64, entries: u64| {
        let counts = [tensors.to_le_bytes(), entries.to_le_bytes()].concat();
        said(&[&b"GGUF\x03\0\0\0"[..], &counts].concat())
    };
    assert!(counts(u64::MAX, 0).contains("18446744073709551615 tensors; the limit is 65536"));
    assert!(counts(0, 1 << 40).contains("1099511627776 metadata entries; the limit is"));
    assert!(counts(0, 1).contains("it is cut off: 8 bytes are needed at byte 24, but 0 are left"));
    let whole = file(&[architecture("llama")], &[tensor("a", &[2], 0, 0)], 8);
    for n in 0..whole.len() {
        let said = said(&whole[..n]);
        assert!(said.contains("it is cut off"), "{n} bytes: {said}");
    }
}

#[test]
fn damaged_entries() {
    let one = |kind: u32, value: &[u8]| with(&[entry("x", kind, value)], &[], 0);
    let list = |kind: u32, n: u64| [&kind.to_le_bytes()[..], &n.to_le_bytes()].concat();
    assert!(one(13, &[]).contains("x: unknown value type 13"));
    assert!(one(7, &[2]).contains("x: 2 is neither true nor false"));
    assert!(one(6, &f32::NAN.to_le_bytes()).contains("x: NaN is not a finite number"));
    assert!(
        one(8, &(1_u64 << 50).to_le_bytes()).contains("x: the string has 1125899906842624 bytes")
    );
    assert!(one(8, &(1_u64 << 20).to_le_bytes()).contains("x: it is cut off: 1048576 bytes"));
    assert!(one(8, &[&text("ab")[..8], b"\xff\xff"].concat()).contains("the string is not UTF-8"));
    assert!(one(9, &list(4, 1 << 40)).contains("x: the list has 1099511627776 entries"));
    assert!(one(9, &list(4, 1 << 20)).contains("x: it is cut off"));
    assert!(
        one(9, &[list(9, 1), vec![0; 99]].concat()).contains("x: lists of lists are not supported")
    );
    let twice = with(&[entry("x", 0, &[1]), entry("x", 0, &[1])], &[], 0);
    assert!(twice.contains("x occurs twice"), "{twice}");
    let alignment = |n: u32| with(&[entry("general.alignment", 4, &n.to_le_bytes())], &[], 0);
    for wrong in [0, 7, 48, u32::MAX] {
        assert!(
            alignment(wrong).contains(&format!("general.alignment = {wrong}: must be a power"))
        );
    }
}

#[test]
fn damaged_tensors() {
    let one = |tensor: Vec<u8>, numbers: usize| with(&[], &[tensor], numbers);
    let most = u64::MAX;
    assert!(one(tensor("a", &[1; 5], 0, 0), 4).contains("tensor a: it has 5 axes"));
    assert!(one(tensor("a", &[most, most], 0, 0), 4).contains("is too large"));
    assert!(one(tensor("a", &[most / 4], 0, 32), 4).contains("too large"));
    assert!(
        one(tensor("a", &[1], 12, 0), 4).contains("its numbers are Q4_K; known: F32, F16, Q4_0")
    );
    assert!(one(tensor("a", &[1], 99, 0), 4).contains("its numbers are format 99"));
    assert!(
        one(tensor("a", &[33], 8, 0), 68)
            .contains("rows of 33 numbers cannot be split into blocks of 32")
    );
    assert!(one(tensor("a", &[1], 0, 4), 8).contains("it begins at byte 4 of the numbers"));
    assert!(one(tensor("a", &[2], 0, 0), 4).contains("it is cut off: tensor a ends at byte 8"));
    assert!(one(tensor("a", &[2], 0, 32), 40).contains("no tensor covers bytes 0 to 32"));
    assert!(one(tensor("a", &[2], 0, 0), 41).contains("no tensor covers its last 33 bytes"));
    let two = |b: Vec<u8>, numbers: usize| with(&[], &[tensor("a", &[12], 0, 0), b], numbers);
    assert!(two(tensor("b", &[2], 0, 32), 72).contains("tensor b overlaps the one before it"));
    assert!(two(tensor("b", &[2], 0, 96), 104).contains("no tensor covers bytes 48 to 96"));
    assert!(two(tensor("a", &[2], 0, 64), 72).contains("tensor a occurs twice"));
    let stack = |shape: &[u64]| one(tensor("blk.0.ffn_up_exps.weight", shape, 0, 0), 0);
    assert!(stack(&[1 << 40, 0, 0]).contains("not a stack of experts"));
    let query = |rows: u64| {
        let heads = entry("llama.attention.head_count", 4, &4_u32.to_le_bytes());
        with(&[heads], &[tensor("blk.0.attn_q.weight", &[rows, 1], 0, 0)], rows as usize * 4)
    };
    assert!(query(12).contains("its 12 rows cannot be split into 4 heads of even width"));
}

#[test]
fn halves_of_a_tensor_that_do_not_fit() {
    let halves = |rows: u64, numbers: usize| {
        let gate = tensor("blk.0.ffn_gate_exps.weight", &[2, 2, 2], 0, 0);
        let up = tensor("blk.0.ffn_up_exps.weight", &[2, rows, 2], 0, 32);
        said(&file(&[architecture("granitemoe")], &[gate, up], numbers))
    };
    let err = halves(1, 48);
    let part =
        "input_linear.up.weight [2, 1, 2] in F32: expected stacks of the same shape and format";
    assert!(err.ends_with(part) && err.contains("gate.weight [2, 2, 2] in F32 and "), "{err}");
    assert!(halves(2, 64).contains("num_attention_heads is missing"), "{}", halves(2, 64));
}

#[test]
fn what_the_network_does_not_honour() {
    assert!(said(&file(&[], &[], 0)).contains("general.architecture is missing"));
    let other = said(&file(&[architecture("gemma3")], &[], 0));
    assert!(
        other.contains(
            "general.architecture = \"gemma3\" is not supported; known: \"llama\", \"granitemoe\""
        ),
        "{other}"
    );
    let with_entry =
        |name: &str, kind: u32, value: &[u8]| with(&[entry(name, kind, value)], &[], 0);
    let said = with_entry("llama.attention.sliding_window", 4, &[1, 0, 0, 0]);
    assert!(
        said.contains("this network does not support llama.attention.sliding_window = 1"),
        "{said}"
    );
    assert!(
        with_entry("split.count", 2, &[3, 0])
            .contains("split.count = 3 is not supported; known: 1")
    );
    assert!(with_entry("general.quantization_version", 4, &[1, 0, 0, 0]).contains("known: 2"));
    let said = with_entry("llama.rope.scaling.type", 8, &text("yarn"));
    assert!(said.contains("scaling.type = \"yarn\": not supported"), "{said}");
    // A factor without a type is not ignored.
    let said = with_entry("llama.rope.scaling.factor", 8, &text("x"));
    assert!(said.contains("rope_scaling: factor = \"x\": must be a number"), "{said}");
    assert!(with(&[], &[], 0).contains("num_attention_heads is missing"), "{}", with(&[], &[], 0));
}

/// llama.cpp's default also applies to Mixtral, whose configs have another one.
#[test]
fn a_base_of_rotary_positions_that_is_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let experts = entry("llama.expert_count", 4, &4_u32.to_le_bytes());
    fs::write(&path, file(&[architecture("llama"), experts], &[], 0)).unwrap();
    let config = CheckpointFiles::open(&path).unwrap().config;
    assert_eq!(config["model_type"], "mixtral");
    assert_eq!(config["rope_theta"], 10_000.0);
}
