//! The environment of a run: enough to reproduce it, or to explain why its numbers differ.

use std::{fs, process::Command, thread};

use serde::{Deserialize, Serialize};

use super::identity;

/// The machine, and the version of the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// The git commit of the folder in which the program runs.
    pub(crate) git_revision: String,
    /// Whether there were uncommitted changes.
    pub(crate) git_dirty: bool,
    /// Hash of the code that all runs share.
    pub(crate) code: String,
    /// SHA-256 of the lock file that pins all dependencies.
    pub(crate) lock_file: String,
    /// `release` or `dev`.
    pub(crate) profile: String,
    /// The processor.
    pub(crate) cpu: String,
    /// The vector instruction sets of the processor, the widest last.
    #[serde(default)]
    pub(crate) instruction_set: String,
    /// The number of processors that this program may use.
    pub(crate) cores: usize,
    /// The number of processors that were used.
    pub(crate) threads: usize,
    /// Operating system and architecture.
    pub(crate) system: String,
    /// The device of the tensors.
    pub(crate) device: String,
}

impl Environment {
    /// The current environment.
    pub(crate) fn now(device: &str, threads: usize) -> Self {
        let git = |args: &[&str]| {
            let output = Command::new("git").args(args).output().ok()?;
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        Self {
            git_revision: git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".into()),
            git_dirty: git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty()),
            code: identity::revision().into(),
            lock_file: identity::LOCK.into(),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" }.into(),
            cpu: cpu(),
            instruction_set: instruction_set().join(" "),
            cores: thread::available_parallelism().map_or(1, usize::from),
            threads,
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            device: device.into(),
        }
    }

    /// The environment as lines of text.
    pub(crate) fn lines(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => fields
                .iter()
                .map(|(name, value)| match value.as_str() {
                    Some(text) => format!("{name}: {text}\n"),
                    None => format!("{name}: {value}\n"),
                })
                .collect(),
            _ => String::new(),
        }
    }
}

/// The extensions that matter for products and sums, from the oldest to the newest.
#[cfg(target_arch = "x86_64")]
fn instruction_set() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let known = [
        ("sse4.2", has!("sse4.2")),
        ("avx", has!("avx")),
        ("f16c", has!("f16c")),
        ("fma", has!("fma")),
        ("avx2", has!("avx2")),
        ("avx512f", has!("avx512f")),
        ("avx512bw", has!("avx512bw")),
        ("avx512vl", has!("avx512vl")),
        ("avx512bf16", has!("avx512bf16")),
    ];
    known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

/// The instruction sets that every processor of the architecture has.
#[cfg(not(target_arch = "x86_64"))]
fn instruction_set() -> Vec<&'static str> {
    vec![std::env::consts::ARCH]
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}
