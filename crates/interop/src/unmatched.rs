//! Tensors of a checkpoint that a different network does not use, and parameters that only this network has.

use std::collections::BTreeSet;

use crate::{
    names::{near, some},
    rules::Rules,
};

/// A line for each unused tensor and for each parameter that no tensor sets, with the nearest names of the
/// other kind, for a network that takes the weights of a checkpoint's network. `left` has the paths of
/// parameters that only the checkpoint's network has, `missing` those that only the other one has.
pub fn unmatched(rules: &Rules, left: &[String], missing: &[String]) -> Vec<String> {
    let of = |paths: &[String]| -> BTreeSet<String> { paths.iter().cloned().collect() };
    let (left, missing) = (of(left), of(missing));
    let tensors = rules.all.iter().filter(|rule| left.contains(&rule.path));
    let mut lines = some(tensors, |rule| {
        let (tensor, path) = (&rule.tensor, &rule.path);
        let near = near(path, missing.iter().map(String::as_str));
        format!("tensor {tensor} is unused: the network has no parameter {path}{near}")
    });
    lines.extend(some(missing.iter(), |path| {
        let near = near(path, left.iter().map(String::as_str));
        format!("parameter {path} is not set by any tensor{near}")
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_named_by_the_parameters_that_are_left() {
        let mut rules = Rules::default();
        rules.same("blocks.0.norm.gamma", "layers.0.norm.weight");
        rules.same("head.weight", "lm_head.weight");
        let of = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect::<Vec<_>>();
        let found = unmatched(
            &rules,
            &of(&["blocks.0.norm.gamma", "state"]),
            &of(&["blocks.0.norms.gamma"]),
        );
        let expected = [
            "tensor layers.0.norm.weight is unused: the network has no parameter blocks.0.norm.gamma; \
             nearest: blocks.0.norms.gamma",
            "parameter blocks.0.norms.gamma is not set by any tensor; nearest: blocks.0.norm.gamma",
        ];
        assert_eq!(found, expected);
        // A state of a router is not part of a checkpoint.
        assert!(unmatched(&rules, &of(&["state"]), &[]).is_empty());
    }
}
