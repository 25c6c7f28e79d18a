//! Tests of every number in every config of a suite, with extreme values.

use serde_json::Value;
use tasks::DataDir;

use crate::{Plugins, settings::SettingTree, spec::RunConfig};

/// A run with every table that the defaults leave out.
const WHOLE: &str = "
task = { kind = 'digits', augment = {} }
backbone = 'vit'
prune = {}
from = {}
groups = { count = 2, by = 'random' }
few_shot = {}
[moe]
experts = 4
shared = {}
[train]
steps = 0
spikes = {}
workers = {}
";

/// Configs with one plug-in each, by the name of the plug-in. All other plug-ins are the standard ones.
fn configs(plugins: &Plugins) -> Vec<(String, SettingTree)> {
    let library = &plugins.library;
    let places = [
        ("moe.router", library.routers.to_json()),
        ("moe.expert", library.experts.to_json()),
        ("moe.residual", library.residuals.to_json()),
        ("backbone", plugins.backbones.to_json()),
        ("task", plugins.tasks.to_json()),
    ];
    let mut found = vec![("whole".to_string(), SettingTree::parse("s.toml", WHOLE).unwrap())];
    for (place, entries) in places {
        for entry in entries.as_array().unwrap() {
            let name = entry["name"].as_str().unwrap();
            let mut config =
                SettingTree::parse("s.toml", "task = 'digits'\nbackbone = 'vit'").unwrap();
            config.lay(&SettingTree::assignment(&format!("{place}={{kind={name:?}}}")).unwrap());
            found.push((format!("{place} {name}"), config));
        }
    }
    found
}

/// Collects the paths of all numbers, and of null values, any of which may be an optional number.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(table) => table.iter().for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            paths(value, &path, found);
        }),
        Value::Number(_) | Value::Null => found.push(path.to_string()),
        _ => {}
    }
}

#[test]
fn a_number_is_kept_or_refused_and_never_left_out() {
    let plugins = Plugins::default();
    let (mut kept, mut refused) = (0, 0);
    for (name, settings) in configs(&plugins) {
        let config =
            RunConfig::read(&settings, &plugins).unwrap_or_else(|err| panic!("{name}: {err}"));
        let load = |config: &RunConfig| {
            let task = plugins.tasks.get(&config.task.kind).unwrap().build;
            task(&config.task, &DataDir::default()).ok().map(|loaded| loaded.task)
        };
        let task = load(&config);
        let mut all = Vec::new();
        paths(&serde_json::to_value(&config).unwrap(), "", &mut all);
        for path in all.iter().filter(|path| !path.starts_with("from.")) {
            for number in ["inf", "nan"] {
                let err = SettingTree::assignment(&format!("{path}={number}")).unwrap_err();
                assert!(
                    err.to_string().contains("is not a finite number"),
                    "{name}, {path}: {err}"
                );
            }
            for number in ["-0.0", "1e300"] {
                let mut settings = settings.clone();
                settings.lay(&SettingTree::assignment(&format!("{path}={number}")).unwrap());
                let Ok(config) = RunConfig::read(&settings, &plugins) else {
                    refused += 1; // of another type
                    continue;
                };
                let written = serde_json::to_value(&config).unwrap();
                let pointer = format!("/{}", path.replace('.', "/"));
                let is = written.pointer(&pointer).and_then(Value::as_f64).map(f64::to_bits);
                let expected: f64 = number.parse().unwrap();
                assert_eq!(is, Some(expected.to_bits()), "{name}, {path} = {number}");
                let new = path.starts_with("task.").then(|| load(&config));
                if let Some(task) = new.as_ref().unwrap_or(&task) {
                    let _ = config.check(&settings, &plugins, &**task); // it does not panic
                }
                kept += 1;
            }
        }
    }
    assert!(kept > 100 && refused > 100, "{kept} kept, {refused} refused");
}
