//! Checks of the properties that every router must have, for any router of any registry.
//!
//! ```
//! use burn::prelude::Device;
//! use moe::Choice;
//!
//! let (routers, choice) = (routers::all(), Choice::of("top-k").with("k", 3));
//! routers::conformance::check(&routers, &choice, &Device::flex()).unwrap();
//! ```
//!
//! A router of your own is checked in one line of your own test. The checks run on a small MoE layer of 8
//! experts in a stream of width 8, at every [`moe::Level`].

mod capacity;
mod causality;
mod devices;
mod engines;
mod experts;
mod extremes;
mod far_scores;
mod gradients;
mod names;
mod noise;
mod padding;
mod permutation;
mod record;
mod shapes;
mod sizes;
mod slopes;
mod subject;

use burn::prelude::*;
use moe::{Choice, Routers};

#[cfg(test)]
pub(crate) use gradients::trained;
use subject::Subject;

type Check = fn(&Subject) -> Result<(), String>;

/// The checks by name, cheap ones first.
const CHECKS: [(&str, Check); 17] = [
    ("parameters have names", names::are_words),
    ("shapes at every level", shapes::at_every_level),
    ("floating-point operations", shapes::flops),
    ("evaluation is deterministic", record::deterministic),
    ("save and load round trip", record::round_trip),
    ("the task's gradient reaches every parameter", gradients::reach_every_parameter),
    ("gradients match the plan", slopes::are_those_of_the_plan),
    ("extreme inputs", extremes::stay_finite),
    ("scores far from zero", far_scores::keep_sums),
    ("edge-case sizes", sizes::at_the_edge),
    ("capacity is kept", capacity::is_kept),
    ("padding has no effect", padding::takes_no_part),
    ("permuting the units permutes the plan", permutation::permutes_the_plan),
    ("noise treats units alike", noise::treats_units_alike),
    ("causality", causality::agrees),
    ("permuting the experts permutes the plan", experts::permute_the_plan),
    ("the engines agree", engines::agree),
];

/// Runs all checks on one router; returns the name of each check, and a hint if it fails.
///
/// An unknown router or wrong hyperparameters fail every check.
pub fn report(
    routers: &Routers,
    router: &Choice,
    device: &Device,
) -> Vec<(&'static str, Result<(), String>)> {
    let subject = Subject::new(routers, router, device);
    let run = |(name, check): (&'static str, Check)| (name, check(&subject));
    CHECKS.into_iter().map(run).collect()
}

/// Runs all checks on one router; the error of the first that fails contains a hint.
///
/// # Errors
/// One sentence with the router, the check, and the result.
pub fn check(routers: &Routers, router: &Choice, device: &Device) -> Result<(), String> {
    let subject = Subject::new(routers, router, device);
    CHECKS.into_iter().try_for_each(|(name, check)| {
        check(&subject).map_err(|why| format!("router {:?}, {name}: {why}", router.kind))
    })
}

/// Makes the same layers on two devices, runs a training step and an evaluation on each, and returns for
/// each layer the largest gap between their outputs and gradients, relative to the largest number of each
/// tensor, with its location.
///
/// # Errors
/// An unknown router, wrong hyperparameters, or a parameter that has a gradient on only one device.
///
/// # Panics
/// If a device does not support a requested operation.
pub fn gaps(
    routers: &Routers,
    router: &Choice,
    devices: [&Device; 2],
) -> Result<Vec<(f32, String)>, String> {
    devices::gaps(devices.map(|device| Subject::new(routers, router, device)))
}

#[cfg(test)]
mod tests;
