//! The memory that the import of a checkpoint needs: that of a separate process, measured from outside.

#![cfg(target_os = "linux")]

mod common;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use common::model::place;
use serde_json::{Map, Value, json};

/// Sizes of a Mixtral of 80 million parameters, in a file of 161 MB.
const WIDTH: usize = 512;
const KEYS: usize = 256;
const HIDDEN: usize = 1024;
const DEPTH: usize = 6;
const EXPERTS: usize = 8;
const VOCAB: usize = 48;

/// The names and shapes of its tensors.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![
        ("model.embed_tokens.weight".to_string(), vec![VOCAB, WIDTH]),
        ("lm_head.weight".to_string(), vec![VOCAB, WIDTH]),
        ("model.norm.weight".to_string(), vec![WIDTH]),
    ];
    for layer in 0..DEPTH {
        let mut add = |name: &str, shape: &[usize]| {
            all.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
        };
        add("input_layernorm", &[WIDTH]);
        add("post_attention_layernorm", &[WIDTH]);
        for (name, rows) in [("q", WIDTH), ("k", KEYS), ("v", KEYS), ("o", WIDTH)] {
            add(&format!("self_attn.{name}_proj"), &[rows, WIDTH]);
        }
        add("block_sparse_moe.gate", &[EXPERTS, WIDTH]);
        for expert in 0..EXPERTS {
            let expert = format!("block_sparse_moe.experts.{expert}");
            add(&format!("{expert}.w1"), &[HIDDEN, WIDTH]);
            add(&format!("{expert}.w2"), &[WIDTH, HIDDEN]);
            add(&format!("{expert}.w3"), &[HIDDEN, WIDTH]);
        }
    }
    all
}

/// Writes the checkpoint in bf16 over that of a folder; returns the number of its parameters.
fn write_large(folder: &Path) -> usize {
    let config = fs::read(folder.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    let sizes = [
        ("hidden_size", WIDTH),
        ("intermediate_size", HIDDEN),
        ("num_hidden_layers", DEPTH),
        ("num_attention_heads", 8),
        ("num_key_value_heads", 8 * KEYS / WIDTH),
        ("num_local_experts", EXPERTS),
        ("vocab_size", VOCAB),
    ];
    sizes.iter().for_each(|(key, size)| config[*key] = json!(size));
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors() {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] });
        header.insert(name, entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = BufWriter::new(File::create(folder.join("model.safetensors")).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let block = block();
    let mut left = end;
    while left > 0 {
        let n = left.min(block.len());
        file.write_all(&block[..n]).unwrap();
        left -= n;
    }
    file.flush().unwrap();
    end / 2
}

/// Half a million numbers in bf16, with absolute values from 1/64 to 1/32 and both signs.
fn block() -> Vec<u8> {
    let number = |i: u32| {
        let bits = (i.wrapping_mul(2_654_435_761) >> 16) as u16;
        (0x3c80 | (bits & 0x807f)).to_le_bytes()
    };
    (0..1 << 19).flat_map(number).collect()
}

/// The peak memory of a program in bytes: the system's mark, polled until the program ends.
fn peak(command: &mut Command) -> f64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0.0_f64;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let mark = mark.and_then(|mark| mark.trim().parse::<f64>().ok());
        most = most.max(1024.0 * mark.unwrap_or_default());
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        thread::sleep(Duration::from_millis(2));
    };
    assert!(ended.success(), "{ended}");
    most
}

#[test]
fn an_import_takes_at_most_1_3_times_the_parameters() {
    let place = place("mixtral", "");
    let parameters = write_large(&place.path("model"));
    fs::write(place.path("words.txt"), "the I you to is a of in it ".repeat(10)).unwrap();
    let data = place.path(".").to_string_lossy().to_string();
    let mut import = vec!["import", "model", "--task", "text-lm", "--threads", "1"];
    import.extend(["--data-dir", &data]);
    // The evaluation has a few tokens at a time, so it needs little of the memory.
    let files = ["task.file=words.txt", "task.valid=words.txt", "task.test=words.txt"];
    for set in files.into_iter().chain(["task.length=8", "train.batch=1"]) {
        import.extend(["--set", set]);
    }
    let ratio = peak(&mut place.bench(&import)) / (4 * parameters) as f64;
    assert!(ratio > 1.0, "{ratio}: the network itself was not seen");
    assert!(ratio < 1.3, "{ratio}");
}
