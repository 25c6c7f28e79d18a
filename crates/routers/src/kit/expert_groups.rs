//! Choice within the best groups of experts, as in DeepSeek-V2 and V3: experts are in consecutive groups
//! of equal size, and experts outside of the best groups are not chosen.

use burn::prelude::*;
use moe::{one_hot, top_k};

/// Checks that experts can be divided into equal groups, and that the kept groups have at least `k`
/// experts.
pub(crate) fn check(k: usize, [groups, kept]: [usize; 2], n_experts: usize) -> Result<(), String> {
    if groups == 0 || !n_experts.is_multiple_of(groups) {
        return Err(format!("groups = {groups} does not divide experts = {n_experts}"));
    }
    if kept == 0 || kept > groups {
        return Err(format!("groups_kept = {kept}: must be from 1 to groups = {groups}"));
    }
    match kept * n_experts / groups {
        reach if k > reach => {
            Err(format!("k = {k} is larger than the {reach} experts of the kept groups"))
        }
        _ => Ok(()),
    }
}

/// The scores `[G, U, E]`, with minus infinity outside of the `kept` groups that have the largest sum of
/// their `best` largest scores.
pub(crate) fn within_best(scores: Tensor<3>, [groups, kept]: [usize; 2], best: usize) -> Tensor<3> {
    if kept == groups {
        return scores;
    }
    let [g, u, e] = scores.dims();
    let size = e / groups;
    let (_, best) = top_k(scores.clone().reshape([g * u, groups, size]), best.min(size));
    let (chosen, _) = top_k(best.sum_dim(2).reshape([g, u, groups]), kept);
    let chosen = one_hot(chosen, groups).sum_dim(2).reshape([g, u, groups, 1]);
    let chosen = chosen.expand([g, u, groups, size]).reshape([g, u, e]);
    scores.mask_fill(chosen.equal_scalar(0.0), f32::NEG_INFINITY)
}
