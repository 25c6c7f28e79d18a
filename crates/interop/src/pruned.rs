//! The form of a checkpoint for a network from which experts were removed.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use burn::module::Module;
use moe::parameters;
use serde_json::Value;

use crate::{
    export::{CheckpointForm, SourceTensor},
    family::describe,
    rules::TensorRule,
};

/// The keys of the number of experts; each family with experts has at least one of them.
const KEYS: [&str; 3] = ["num_local_experts", "num_experts", "n_routed_experts"];

impl CheckpointForm {
    /// The same form for a network with `experts` experts in each MoE layer, and the same number of columns
    /// in its routers: the key of the number of experts is changed, and each tensor gets the shape that
    /// `network` needs, or is left out.
    ///
    /// # Errors
    /// If the config has no number of experts, if it does not allow this number (for example because of
    /// groups of experts), or if the network does not fit.
    pub fn with_experts(&self, experts: usize, network: &impl Module) -> anyhow::Result<Self> {
        let mut config = self.config.clone();
        let keys = KEYS.iter().filter(|key| self.config.contains_key(**key));
        let keys: Vec<&&str> = keys.collect();
        if keys.is_empty() {
            bail!("config.json has none of the keys {}", KEYS.join(", "));
        }
        for key in keys {
            config.insert(key.to_string(), Value::from(experts));
        }
        let shapes: BTreeMap<String, Vec<usize>> =
            parameters(network).into_iter().map(|known| (known.path, known.shape)).collect();
        let rules = describe(&config)?.rules;
        let mut by_tensor: BTreeMap<&str, &TensorRule> = BTreeMap::new();
        rules.all.iter().for_each(|rule| {
            by_tensor.entry(&rule.tensor).or_insert(rule);
        });
        let mut tensors = BTreeMap::new();
        for (name, rule) in by_tensor {
            let known = self.tensors.get(name);
            let known = known.ok_or_else(|| anyhow!("the checkpoint has no tensor {name}"))?;
            tensors.insert(name.to_string(), fitted(known, rule, &shapes, experts)?);
        }
        Ok(Self { config, tensors })
    }
}

/// A tensor unchanged, or with this number of entries on its first axis, that of the experts.
fn fitted(
    tensor: &SourceTensor,
    rule: &TensorRule,
    shapes: &BTreeMap<String, Vec<usize>>,
    experts: usize,
) -> anyhow::Result<SourceTensor> {
    let path = &rule.path;
    let own = shapes.get(path).ok_or_else(|| anyhow!("the network has no parameter {path}"))?;
    let mut fewer = tensor.clone();
    if let Err(err) = rule.views(&tensor.shape, own) {
        let first = fewer.shape.first_mut().ok_or(err)?;
        *first = experts;
        rule.views(&fewer.shape, own)?;
    }
    Ok(fewer)
}
