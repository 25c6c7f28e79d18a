//! Whether a run still has the network that its checkpoint's `config.json` describes.

use std::collections::{BTreeMap, BTreeSet};

use interop::ImportedNetwork;
use moe::{Choice, MoeConfig, Placement};
use serde_json::{Value, json};

use crate::{Plugins, planning::adapters, spec::RunConfig};

/// Settings that affect only training: losses, noise, and the initialisation and updates of weights.
const OF_TRAINING: [&str; 10] = [
    "balance",
    "balance_of",
    "sequence_balance",
    "entropy",
    "z",
    "bias_step",
    "jitter",
    "start",
    "dropout",
    "noise",
];

/// The settings of the network in which a run differs from its checkpoint, each with both values. Adapters
/// and the number of experts do not count: a checkpoint is written with the run's number of experts.
pub(crate) fn changes_of_network(
    config: &RunConfig,
    described: &ImportedNetwork,
    plugins: &Plugins,
) -> anyhow::Result<Vec<String>> {
    let expert = adapters(&config.moe).map_or(config.moe.expert.clone(), |lora| lora.base());
    let moe = MoeConfig { expert, ..config.moe.clone() };
    let now = flat(network(&config.backbone, &moe, plugins)?);
    let there = flat(network(&described.backbone, &described.moe, plugins)?);
    Ok(differences(&now, &there))
}

/// `key = VALUE instead of VALUE` for each key whose values differ. If a plug-in is of another kind or is
/// missing, its other settings are not listed.
fn differences(now: &BTreeMap<String, Value>, there: &BTreeMap<String, Value>) -> Vec<String> {
    let keys: BTreeSet<&String> = now.keys().chain(there.keys()).collect();
    let differ: Vec<&String> =
        keys.into_iter().filter(|key| !equal(now.get(*key), there.get(*key))).collect();
    let is_whole = |key: &str| {
        let missing = now.contains_key(key) != there.contains_key(key);
        key.ends_with(".kind") || key == "moe.layers" && missing
    };
    let table = |key: &String| key[..key.rfind('.').map_or(0, |dot| dot + 1)].to_string();
    let whole = differ.iter().filter(|key| is_whole(key));
    let tables: Vec<String> = whole.map(|key| table(key)).collect();
    let value = |of: Option<&Value>| of.map_or("none".to_string(), Value::to_string);
    let change = |key: &&String| {
        format!("{key} = {} instead of {}", value(now.get(*key)), value(there.get(*key)))
    };
    let is_news = |key: &&&String| {
        let own = is_whole(key).then(|| table(key));
        let others = tables.iter().filter(|table| own.as_ref() != Some(table));
        !others.into_iter().any(|table| key.starts_with(table.as_str()))
    };
    differ.iter().filter(is_news).map(change).collect()
}

/// The settings of a network with all defaults, without those of training.
fn network(backbone: &Choice, moe: &MoeConfig, plugins: &Plugins) -> anyhow::Result<Value> {
    let library = &plugins.library;
    let mut all = json!({ "backbone": plugins.backbones.complete(backbone)? });
    if moe.layers != Placement::NONE {
        let MoeConfig { layers, level, shared, capacity, .. } = moe;
        all["moe"] = json!({
            "layers": layers, "level": level, "shared": shared, "capacity": capacity,
            "router": library.routers.complete(&moe.router)?,
            "expert": library.experts.complete(&moe.expert)?,
            "residual": library.residuals.complete(&moe.residual)?,
        });
    }
    Ok(all)
}

/// The values by path. Null values are left out, as if they were not given.
fn flat(value: Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut left = vec![(String::new(), value)];
    while let Some((path, value)) = left.pop() {
        match value {
            Value::Object(table) => left.extend(
                table
                    .into_iter()
                    .filter(|(key, _)| !OF_TRAINING.contains(&key.as_str()))
                    .map(|(key, value)| (format!("{path}.{key}"), value)),
            ),
            Value::Null => {}
            value => drop(found.insert(path.trim_start_matches('.').to_string(), value)),
        }
    }
    found
}

/// Whether two values are equal; numbers are compared by value, whatever their notation.
fn equal(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a.and_then(Value::as_f64), b.and_then(Value::as_f64)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_once() {
        let now = json!({
            "backbone": { "theta": 7.0, "depth": 2, "norm": null },
            "moe": { "layers": "all", "router": { "kind": "switch", "jitter": 0.1 } },
        });
        let there = json!({
            "backbone": { "theta": 10000, "depth": 2.0 },
            "moe": { "layers": "all", "router": { "kind": "top-k", "k": 2, "balance": 0.5 } },
        });
        let of = |a: &Value, b: &Value| differences(&flat(a.clone()), &flat(b.clone()));
        let expected = [
            "backbone.theta = 7.0 instead of 10000",
            "moe.router.kind = \"switch\" instead of \"top-k\"",
        ];
        assert_eq!(of(&now, &there), expected);
        let dense = json!({ "backbone": { "theta": 7, "depth": 2 } });
        assert_eq!(of(&now, &dense), ["moe.layers = \"all\" instead of none"]);
        assert!(of(&dense, &dense).is_empty());
    }
}
