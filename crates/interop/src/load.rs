//! Loading of a checkpoint's tensors into a network: each tensor is used, and each parameter is set, exactly
//! once.
//!
//! Tensors are read and parameters are made one by one, so that no more memory is needed than for the network
//! and the largest tensor.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{PathMapper, PathVisitor, map_paths, visit_paths};

use crate::{
    checkpoint::CheckpointFiles,
    names::{near, some},
    rules::{Rules, TensorRule},
    view::{View, copy},
};

/// A network with the tensors of a checkpoint.
#[derive(Debug)]
pub struct LoadedNetwork<M> {
    /// The network.
    pub network: M,
    /// Warnings on tensors with NaN or infinite numbers and their counts, on tensors that no network uses,
    /// and on keys of training that are not honoured.
    pub warnings: Vec<String>,
}

/// Sets the parameters of a fresh network to the tensors of a checkpoint.
///
/// # Errors
/// If names or shapes do not match; lists the unused tensors and the missing parameters with the nearest
/// names, or the shapes that do not fit.
pub fn load<M: Module>(
    network: M,
    rules: &Rules,
    checkpoint: &CheckpointFiles,
) -> anyhow::Result<LoadedNetwork<M>> {
    check(&network, rules, checkpoint)?;
    let mut fill = Fill {
        rules: by_path(rules),
        checkpoint,
        seen: BTreeSet::new(),
        warnings: [rules.notes.clone(), unused(rules, checkpoint)].concat(),
        failed: None,
    };
    let network = map_paths(network, &mut fill);
    match fill.failed {
        Some(err) => Err(err),
        None => Ok(LoadedNetwork { network, warnings: fill.warnings }),
    }
}

/// Warnings about tensors that no network uses.
fn unused(rules: &Rules, checkpoint: &CheckpointFiles) -> Vec<String> {
    let there: Vec<_> =
        rules.unused.iter().filter(|name| checkpoint.tensor(name).is_some()).collect();
    match &there[..] {
        [] => Vec::new(),
        [name] => vec![format!("tensor {name} is not used by any network and is ignored")],
        [first, .., last] => vec![format!(
            "{} tensors, {first} to {last}, are not used by any network and are ignored",
            there.len()
        )],
    }
}

/// The shapes of all parameters, without creating them.
fn shapes(network: &impl Module) -> BTreeMap<String, Vec<usize>> {
    struct Shapes(BTreeMap<String, Vec<usize>>);
    impl PathVisitor for Shapes {
        fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
            self.0.insert(path.join("."), param.lazy_shape().dims::<D>().to_vec());
        }
    }
    let mut shapes = Shapes(BTreeMap::new());
    visit_paths(network, &mut shapes);
    shapes.0
}

fn by_path(rules: &Rules) -> BTreeMap<&str, Vec<&TensorRule>> {
    let mut by_path: BTreeMap<&str, Vec<&TensorRule>> = BTreeMap::new();
    for rule in &rules.all {
        by_path.entry(&rule.path).or_default().push(rule);
    }
    by_path
}

/// Checks that tensors and parameters are covered exactly once, without creating parameters.
///
/// # Errors
/// The same as those of [`load`].
pub fn check(
    network: &impl Module,
    rules: &Rules,
    checkpoint: &CheckpointFiles,
) -> anyhow::Result<()> {
    let shapes = shapes(network);
    names(rules, checkpoint, &shapes)?;
    copies(rules, checkpoint)?;
    let (mut read, mut set) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new());
    for rule in &rules.all {
        let Some(stored) = checkpoint.tensor(&rule.tensor) else { continue };
        let (from, _) = rule.views(&stored.shape, &shapes[&rule.path])?;
        *read.entry(&rule.tensor).or_default() += from.len();
        *set.entry(&rule.path).or_default() += from.len();
    }
    for (name, n) in read {
        let all = checkpoint.tensor(name).map_or(0, |stored| stored.len());
        ensure!(n == all, "tensor {name}: {n} of its {all} numbers are used");
    }
    for (path, n) in set {
        let all: usize = shapes[path].iter().product();
        ensure!(n == all, "parameter {path} {:?}: {n} of its {all} numbers are set", shapes[path]);
    }
    Ok(())
}

/// Checks that copies of tensors are bitwise equal.
fn copies(rules: &Rules, checkpoint: &CheckpointFiles) -> anyhow::Result<()> {
    for (copy, original) in &rules.copies {
        let [Some(a), Some(b)] = [copy, original].map(|name| checkpoint.tensor(name)) else {
            continue;
        };
        ensure!(
            a.dtype == b.dtype
                && a.shape == b.shape
                && checkpoint.bytes(copy)? == checkpoint.bytes(original)?,
            "tensor {copy} differs from {original}, but the network has one parameter for both"
        );
    }
    Ok(())
}

/// Checks that each tensor and each parameter has a rule.
fn names(
    rules: &Rules,
    checkpoint: &CheckpointFiles,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> anyhow::Result<()> {
    let wanted: BTreeSet<&str> = rules.all.iter().map(|rule| rule.tensor.as_str()).collect();
    let there = checkpoint.tensors().map(|(name, _)| name);
    let own = |name: &&str| rules.original(name) == *name && !rules.is_unused(name);
    let there: BTreeSet<&str> = there.filter(own).collect();
    let set: BTreeSet<&str> = rules.all.iter().map(|rule| rule.path.as_str()).collect();
    let mut wrong = Vec::new();
    wrong.extend(some(there.difference(&wanted), |name| {
        let near = near(name, wanted.difference(&there).copied());
        format!("tensor {name} is unused: the network has no parameter for it{near}")
    }));
    wrong.extend(some(wanted.difference(&there), |name| {
        let near = near(name, there.difference(&wanted).copied());
        format!("tensor {name} is missing{near}")
    }));
    let own = |path: &str| rules.own.iter().any(|own| own == path);
    let unset = || shapes.keys().map(String::as_str).filter(|path| !set.contains(path));
    let strange = || set.iter().copied().filter(|path| !shapes.contains_key(*path));
    wrong.extend(some(unset().filter(|path| !own(path)), |path| {
        let near = near(path, strange());
        format!("parameter {path} is not set by any tensor{near}")
    }));
    wrong.extend(some(strange(), |path| {
        let near = near(path, unset());
        format!("the network has no parameter {path}{near}")
    }));
    ensure!(wrong.is_empty(), "tensors and parameters do not match:\n  {}", wrong.join("\n  "));
    Ok(())
}

struct Fill<'a> {
    rules: BTreeMap<&'a str, Vec<&'a TensorRule>>,
    checkpoint: &'a CheckpointFiles,
    /// Tensors whose numbers were checked.
    seen: BTreeSet<String>,
    warnings: Vec<String>,
    failed: Option<anyhow::Error>,
}

impl PathMapper for Fill<'_> {
    fn map<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let Some(rules) = self.rules.remove(path.join(".").as_str()) else { return param };
        if self.failed.is_some() {
            return param;
        }
        let shape: [usize; D] = param.lazy_shape().dims();
        match self.numbers(&rules, &shape) {
            Ok(numbers) => {
                let (id, device) = (param.id, param.lazy_device());
                let tensor = Tensor::from_data(TensorData::new(numbers, shape), &device);
                param.transform_for_load(tensor, id)
            }
            Err(err) => {
                self.failed = Some(err);
                param
            }
        }
    }
}

impl Fill<'_> {
    fn numbers(&mut self, rules: &[&TensorRule], shape: &[usize]) -> anyhow::Result<Vec<f32>> {
        let mut numbers = vec![0.0; shape.iter().product()];
        for rule in rules {
            let Some(stored) = self.checkpoint.tensor(&rule.tensor) else { continue };
            let (from, to): (View, View) = rule.views(&stored.shape, shape)?;
            let tensor = self.checkpoint.numbers(&rule.tensor)?;
            self.check_numbers(&rule.tensor, &tensor);
            copy(&tensor, &from, &mut numbers, &to);
        }
        Ok(numbers)
    }

    fn check_numbers(&mut self, name: &str, numbers: &[f32]) {
        if !self.seen.insert(name.to_string()) {
            return;
        }
        self.warnings.extend(not_finite(name, numbers));
    }
}

/// The warning about a tensor with numbers that are NaN or infinite.
pub fn not_finite(tensor: &str, numbers: &[f32]) -> Option<String> {
    let wrong = numbers.iter().filter(|number| !number.is_finite()).count();
    let all = numbers.len();
    (wrong > 0).then(|| format!("tensor {tensor}: {wrong} of {all} numbers are NaN or infinite"))
}
