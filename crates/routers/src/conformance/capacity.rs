//! After the layer's capacity is applied, no expert has more units than slots, and no unit has an expert
//! twice that it did not choose twice.

use moe::{Capacity, DropPolicy, Plan};

use super::subject::{Setup, Subject};

/// Checks every drop policy.
pub(super) fn is_kept(subject: &Subject) -> Result<(), String> {
    use DropPolicy::{ChoicePriority, InOrder, Position, Priority, Shuffled, SumPriority};
    for drop in [InOrder, Position, Priority, SumPriority, ChoicePriority, Shuffled] {
        let capacity = Capacity { factor: Some(0.75), drop, ..Capacity::default() };
        let (mut pass, x) = subject.input(Setup::PLAIN, true);
        let plan = subject.layer(Setup::PLAIN)?.router.route(&mut pass, x);
        let Plan::TokenChoice { experts, n_experts, .. } = &plan else { return Ok(()) };
        let [_, u, k] = experts.dims();
        let slots = capacity.slots(u, k, *n_experts).unwrap_or(usize::MAX);
        within(&capacity.apply(&mut pass, plan), slots)
            .map_err(|why| format!("drop = {drop:?}: {why}"))?;
    }
    Ok(())
}

/// Checks that every expert has at most `slots` units in each group.
pub(super) fn within(plan: &Plan, slots: usize) -> Result<(), String> {
    let Plan::TokenChoice { experts, n_experts, .. } = plan else { return Ok(()) };
    let [_, u, k] = experts.dims();
    let chosen: Vec<usize> = experts.to_data().iter::<i64>().map(|e| e as usize).collect();
    for group in chosen.chunks(u * k) {
        for expert in 0..*n_experts {
            let load = group.iter().filter(|chosen| **chosen == expert).count();
            if load > slots {
                return Err(format!("expert {expert} has {load} units, but only {slots} slots"));
            }
        }
    }
    Ok(())
}
