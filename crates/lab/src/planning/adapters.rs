//! Low-rank adapters on the experts of the run from which a run starts.

use std::collections::BTreeSet;

use experts::LoraConfig;
use moe::{Choice, MoeConfig, Placement};
use serde_json::Value;

use crate::spec::RunConfig;

/// The setting of the initial weights of experts; adapted experts have theirs from the previous run.
const START: &str = "start";

/// The adapters of a run's experts, if any.
pub(crate) fn adapters(moe: &MoeConfig) -> Option<LoraConfig> {
    let options = Value::Object(moe.expert.options.clone());
    let is_lora = moe.expert.kind == "lora";
    is_lora.then(|| serde_json::from_value(options).ok()).flatten()
}

/// Checks that new adapters are put on the same experts as the previous run has: with another setting, for
/// example another limit, their weights would belong to another network.
pub(super) fn check_adapters(config: &RunConfig) -> Result<(), (&'static str, String)> {
    let Some(from) = &config.from else { return Ok(()) };
    let (Some(lora), None) = (adapters(&config.moe), adapters(&from.moe)) else { return Ok(()) };
    let routed = [&config.moe, &from.moe].iter().all(|moe| moe.layers != Placement::NONE);
    if config.upcycle.is_some() || !routed {
        return Ok(());
    }
    let differ = differences(&lora.base(), &from.moe.expert);
    match differ.is_empty() {
        true => Ok(()),
        false => Err((
            "moe.expert.of",
            format!(
                "moe.expert.of: {}: must have the settings of the experts of the run that it starts from",
                differ.join("; ")
            ),
        )),
    }
}

/// `key = VALUE instead of VALUE` for each setting of the experts that differs, or for their kind if that
/// differs.
fn differences(own: &Choice, there: &Choice) -> Vec<String> {
    if own.kind != there.kind {
        return vec![format!("kind = {:?} instead of {:?}", own.kind, there.kind)];
    }
    let keys = own.options.keys().chain(there.options.keys());
    let keys: BTreeSet<&String> = keys.filter(|key| *key != START).collect();
    let value =
        |of: &Choice, key: &str| of.options.get(key).map_or("none".into(), Value::to_string);
    let differ = keys.into_iter().filter(|key| own.options.get(*key) != there.options.get(*key));
    differ
        .map(|key| format!("{key} = {} instead of {}", value(own, key), value(there, key)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_experts_that_differ_are_named() {
        let own = Choice::of("clamped-glu").with("hidden", 8).with("limit", 7.0);
        let there = Choice::of("clamped-glu").with("hidden", 8).with("limit", 1.5);
        assert_eq!(differences(&own, &there), ["limit = 7.0 instead of 1.5"]);
        assert!(differences(&own, &own.clone().with(START, "product")).is_empty());
        let there = Choice::of("swiglu").with("hidden", 8);
        assert_eq!(differences(&own, &there), ["kind = \"clamped-glu\" instead of \"swiglu\""]);
    }
}
