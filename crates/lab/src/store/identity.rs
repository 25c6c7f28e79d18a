//! The identity of a run: a hash of its config, seed, data, code and device.

use files::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tasks::DataDigest;

use crate::{Plugins, spec::RunConfig};

include!(concat!(env!("OUT_DIR"), "/code.rs"));

/// A short digest of the code that all runs share, which tables call the revision. Unlike a git commit it
/// does not change when only documents change, so runs before and after such a change can be compared.
pub fn revision() -> &'static str {
    &COMMON[..12]
}

/// The version of the code on which a run of this config depends: the code that all runs share, the readers
/// of checkpoints if the run has the weights of one, the files of the plug-ins that it names, and the whole
/// source of the program if one of them is not in the library. Editing one router changes only the version of
/// its own runs.
fn version(config: &Value, plugins: &Plugins, library: &Plugins, program: &str) -> String {
    let mut kinds = Vec::new();
    collect_kinds(config, &mut kinds);
    let stems: Vec<String> = kinds.iter().map(|kind| kind.replace('-', "_")).collect();
    let mut hash = Sha256::new();
    hash.update(COMMON);
    if config.get("checkpoint").is_some() {
        hash.update(INTEROP);
    }
    if kinds.iter().any(|kind| plugins.knows(kind) && !library.knows(kind)) {
        hash.update(program);
    }
    for (stem, file) in PLUGINS {
        // A file that is not a plug-in, such as a helper of several plug-ins, counts for all of them.
        if stems.iter().any(|used| used == stem) || !plugins.in_file(stem) {
            hash.update(stem);
            hash.update(file);
        }
    }
    hex(&hash.finalize())
}

/// The determinants of a run's numbers in addition to config, seed and data.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// All plug-ins that a config can name.
    pub(crate) plugins: &'a Plugins,
    /// The digest of the program's source.
    pub(crate) program: &'a str,
    /// The device: another device computes slightly different numbers.
    pub(crate) device: &'a str,
}

impl Origin<'_> {
    /// The identity of a run: a hash of everything that determines its numbers. A trial, which is not
    /// evaluated on the test split, has another identity than a run that is.
    pub(crate) fn run_id(
        &self,
        config: &RunConfig,
        data: &DataDigest,
        seed: u64,
        trial: bool,
    ) -> String {
        // The config is plain data: its keys are strings, and it has no number that JSON cannot represent
        // (settings are finite).
        let config = serde_json::to_value(config).unwrap_or_default();
        let code = version(&config, self.plugins, &Plugins::default(), self.program);
        let trial = if trial { "/trial" } else { "" };
        let device = match self.device {
            "flex" => String::new(),
            other => format!("/{other}"),
        };
        // Programs that generate data are part of the code.
        let data = if data.is_empty() { String::new() } else { format!("/{}", data.sha256()) };
        let all = format!("{config}/{seed}/{code}{trial}{device}{data}");
        hex(&Sha256::digest(all))[..16].to_string()
    }
}

/// The identity of a run that depends on another run.
pub(crate) fn after(id: &str, before: &str) -> String {
    hex(&Sha256::digest(format!("{id}/{before}")))[..16].to_string()
}

/// Collects every name that is the value of a `kind`, at any depth.
fn collect_kinds(config: &Value, kinds: &mut Vec<String>) {
    match config {
        Value::Object(table) => {
            kinds.extend(table.get("kind").and_then(Value::as_str).map(str::to_string));
            table.values().for_each(|value| collect_kinds(value, kinds));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_kinds(value, kinds)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(router: &str) -> Value {
        json!({ "moe": { "router": { "kind": router } }, "task": { "tokens": { "kind": "ascii" } } })
    }

    #[test]
    fn only_the_plug_ins_that_are_named_count() {
        let plugins = Plugins::default();
        let version = |router: &str| version(&with(router), &plugins, &plugins, "");
        assert_ne!(version("top-k"), version("switch"));
        assert_eq!(version("of-an-experiment"), version("of-another"));
    }

    #[test]
    fn the_program_counts_where_it_has_the_plug_in() {
        let plugins = Plugins::default();
        let own = Plugins { library: moe::Library::default(), ..Plugins::default() };
        let version = |library, program| version(&with("top-k"), &plugins, library, program);
        assert_eq!(version(&plugins, "a"), version(&plugins, "b"));
        assert_ne!(version(&own, "a"), version(&own, "b"));
    }

    #[test]
    fn seed_device_and_purpose_make_another_run() {
        let plugins = Plugins::default();
        let settings = "task = 'digits'\nbackbone = 'vit'";
        let settings = crate::settings::SettingTree::parse("s.toml", settings).unwrap();
        let config = RunConfig::read(&settings, &plugins).unwrap();
        let id = |device, seed, trial| {
            Origin { plugins: &plugins, program: "", device }.run_id(
                &config,
                &DataDigest::default(),
                seed,
                trial,
            )
        };
        let data = |digest: &str| {
            let data = serde_json::from_value(json!({ "file": digest })).unwrap();
            let origin = Origin { plugins: &plugins, program: "", device: "flex" };
            origin.run_id(&config, &data, 0, false)
        };
        let ids = [
            data("1"),
            data("2"),
            id("flex", 0, false),
            id("wgpu", 0, false),
            id("flex", 1, false),
            id("flex", 0, true),
        ];
        for (at, one) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(one), "{ids:?}");
        }
    }

    #[test]
    fn kinds_are_found_at_any_depth() {
        let mut kinds = Vec::new();
        let config = json!({ "a": [{ "kind": "x" }], "b": { "kind": "y", "c": { "kind": "z" } } });
        collect_kinds(&config, &mut kinds);
        kinds.sort();
        assert_eq!(kinds, ["x", "y", "z"]);
    }
}
