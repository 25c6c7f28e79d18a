//! Shared parts of the program's tests: a tiny suite, and functions that run the program on it.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod model;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Two tasks and three methods, with noise, state and dropped choices among them.
pub(crate) const SUITE: &str = r#"
seeds = [0]
[base]
moe = { layers = "last 1", experts = 4, expert = { kind = "ffn", hidden = 8 }, capacity = { factor = 1.0 } }
train = { steps = 40, batch = 8, accumulate = 2, lr = 3e-3, warmup = 5, log_every = 3, eval_every = 20, checkpoint_every = 7 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
moe.router = { kind = "switch", jitter = 0.01 }
[[method]]
moe.router = "random"
[[method]]
moe.router = "loss-free"
"#;

/// The first line of results.
pub(crate) const HEAD: &str = "suite,task,backbone,method,router,seed,split,metric,value,step,params,\
                               active_params,flops_per_token,seconds,device,revision,run\n";

/// A temporary folder with a suite in it.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with_suite(SUITE)
    }

    pub(crate) fn with_suite(suite: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::write(folder.path().join("tiny.toml"), suite).expect("a suite for the test");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command of the program with these arguments, in this folder.
    pub(crate) fn bench(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(args).current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.bench(args).output().expect("the program starts")
    }

    /// The folders of all runs under `runs`, by name.
    pub(crate) fn runs(&self, runs: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(runs)).into_iter().flatten().flatten();
        let is_run = |path: &PathBuf| path.is_dir() && !path.ends_with("searches");
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_run).collect();
        folders.sort();
        folders
    }

    /// The only results under `runs`, without the scores of single examples.
    pub(crate) fn csv(&self) -> String {
        let entries = fs::read_dir(self.path("runs")).expect("something was trained").flatten();
        let is_csv = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".csv") && !name.ends_with(".examples.csv")
        };
        let found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_csv).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        fs::read_to_string(&found[0]).expect("the results are text")
    }

    /// For each run, everything that must be bitwise the same each time: its metrics as written, and its
    /// final numbers and weights without its time and memory.
    pub(crate) fn outcomes(&self, runs: &str) -> Vec<(String, String, Value)> {
        self.runs(runs).iter().map(|folder| outcome(folder)).collect()
    }
}

/// The results of the suite under `runs`, without times and memory.
pub(crate) fn numbers(place: &Place, runs: &str) -> Vec<String> {
    let text = fs::read_to_string(place.path(runs).join("tiny.csv")).expect("there are results");
    let columns: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
    let timed = |at: usize| ["seconds", "peak_memory"].contains(&columns[at]);
    let row = |line: &str| {
        let cells = line.split(',').enumerate().filter(|(at, _)| !timed(*at));
        cells.map(|(_, cell)| cell).collect::<Vec<_>>().join(",")
    };
    text.lines().filter(|line| !line.contains("tokens_per_second")).map(row).collect()
}

/// Updates the seal of a run for a file that was changed.
pub(crate) fn vouch(folder: &Path, name: &str, content: &str) {
    let hex = |bytes: &[u8]| -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let path = folder.join("result.json");
    let (old, result) = (fs::read(folder.join(name)), fs::read_to_string(&path));
    let result = result.expect("the run has ended");
    let result = result.replace(&hex(&old.expect("the file is there")), &hex(content.as_bytes()));
    let (text, _) = result.rsplit_once(",\n").expect("the last line is the digest");
    let digest = hex(text.as_bytes());
    fs::write(&path, format!("{text},\n  \"sha256\": \"{digest}\"\n}}"))
        .expect("it can be written");
    fs::write(folder.join(name), content).expect("the file can be written");
}

fn outcome(folder: &Path) -> (String, String, Value) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("the run has ended");
    let mut result: Value = serde_json::from_str(&read("result.json")).expect("a result is JSON");
    let fields = result.as_object_mut().expect("a result is a table");
    // Digests depend on times too.
    for key in ["seconds", "peak_memory", "files", "sha256"] {
        fields.remove(key);
    }
    if let Some(Value::Array(metrics)) = fields.get_mut("metrics") {
        metrics.retain(|metric| metric[1] != "tokens_per_second");
    }
    let name = folder.file_name().expect("a folder has a name").to_string_lossy();
    (name.into(), read("metrics.csv"), result)
}

/// The standard output and standard error of a program, which must have ended with this exit code.
pub(crate) fn ended(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "standard error: {err}");
    (out, err)
}

/// The message of a call that must fail.
pub(crate) fn error(place: &Place, args: &[&str]) -> String {
    let (out, err) = ended(&place.run(args), 2);
    assert_eq!(out, "", "nothing is printed");
    err
}
