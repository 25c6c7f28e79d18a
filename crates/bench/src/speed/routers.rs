//! `speed --routers`: the time of each router, relative to `top-k`.
//!
//! Times are of the router alone: scores, choice, losses, and its read-backs. All routers are measured in
//! alternation, so that disturbances of the machine affect all of them; the minimum over the rounds is used.

use std::time::Instant;

use anyhow::ensure;
use burn::{module::Module, prelude::*};
use moe::{AnyRouter, Choice, Clusters, Dims, Init, Pass, Plan, Routers, TokenIds, parameters};
use serde::{Deserialize, Serialize};

/// The numbers of experts at which routers are measured.
pub(crate) const EXPERTS: [usize; 2] = [8, 64];
/// The router with which the others are compared.
pub(crate) const BASELINE: &str = "top-k";
/// The number of groups of the tokens.
const GROUPS: usize = 8;

/// One router at one number of experts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RouterCost {
    pub(crate) router: String,
    pub(crate) experts: usize,
    pub(crate) tokens: usize,
    pub(crate) width: usize,
    pub(crate) forward_ms: f64,
    /// The time divided by that of the baseline.
    pub(crate) forward_ratio: f64,
    /// None if the router has no trained parameters.
    pub(crate) forward_backward_ms: Option<f64>,
    pub(crate) forward_backward_ratio: Option<f64>,
    pub(crate) profile: String,
}

/// A router in the rotation, with its best times so far.
struct Turn {
    name: &'static str,
    eval: AnyRouter,
    train: Option<AnyRouter>,
    forward: f64,
    both: f64,
}

/// Every router with its defaults on `[8, tokens / 8, width]`, at each number of experts.
pub(crate) fn measure(
    routers: &Routers,
    [tokens, width]: [usize; 2],
    repeat: usize,
    device: &Device,
) -> anyhow::Result<Vec<RouterCost>> {
    ensure!(tokens.is_multiple_of(GROUPS), "--tokens {tokens}: must be a multiple of {GROUPS}");
    let mut rows = Vec::new();
    for experts in EXPERTS {
        let dims = Dims { width, n_experts: experts, units: tokens / GROUPS };
        let turns = take_turns(turns(routers, dims, device)?, dims, repeat, device)?;
        rows.extend(compared(&turns, [experts, tokens, width]));
    }
    Ok(rows)
}

/// The routers whose defaults fit.
fn turns(routers: &Routers, dims: Dims, device: &Device) -> anyhow::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for (name, entry) in routers.iter() {
        let init = Init::new(0, &device.clone().autodiff());
        if let Ok(router) = (entry.build.init)(&Choice::of(name), dims, &init) {
            let trained = parameters(&router).iter().any(|known| known.trained);
            turns.push(Turn {
                name,
                eval: router.valid(),
                train: trained.then_some(router),
                forward: f64::INFINITY,
                both: f64::INFINITY,
            });
        }
    }
    Ok(turns)
}

fn take_turns(
    mut turns: Vec<Turn>,
    dims: Dims,
    repeat: usize,
    device: &Device,
) -> anyhow::Result<Vec<Turn>> {
    let shape = [GROUPS, dims.units, dims.width];
    let x = Init::new(0, device).normal("x", shape, 1.0).val();
    let ids = Tensor::<1, Int>::arange(0..(GROUPS * dims.units) as i64, device);
    let ids = ids.remainder_scalar(97).reshape([GROUPS, dims.units]);
    // The first round is a warm-up, and later rounds have shorter times.
    for _ in 0..=repeat {
        for turn in &mut turns {
            let pass = with_ids(Pass::eval(), &ids);
            turn.forward = turn.forward.min(forward(&turn.eval, pass, &x)?);
            if let Some(router) = &turn.train {
                let pass = with_ids(Pass::train(0, 0, 0.5), &ids);
                turn.both = turn.both.min(both(router, pass, &x)?);
            }
        }
    }
    Ok(turns)
}

/// A pass with ids and clusters.
fn with_ids(mut pass: Pass, ids: &Tensor<2, Int>) -> Pass {
    pass.put(TokenIds(ids.clone()));
    pass.put(Clusters(ids.clone()));
    pass
}

/// Milliseconds of one routing decision in evaluation.
fn forward(router: &AnyRouter, mut pass: Pass, x: &Tensor<3>) -> anyhow::Result<f64> {
    let device = x.device();
    device.sync()?;
    let started = Instant::now();
    let plan = router.route(&mut pass, x.clone());
    device.sync()?;
    let time = started.elapsed().as_secs_f64() * 1e3;
    drop(plan);
    Ok(time)
}

/// Milliseconds of one routing decision in training, with the gradients of weights, losses and input.
fn both(router: &AnyRouter, mut pass: Pass, x: &Tensor<3>) -> anyhow::Result<f64> {
    let device = x.device();
    let x = Tensor::from_inner(x.clone()).require_grad();
    device.sync()?;
    let started = Instant::now();
    let plan = router.route(&mut pass, x);
    let loss = pass.total_loss().map_or(total(&plan), |losses| total(&plan) + losses);
    let grads = loss.backward();
    device.sync()?;
    let time = started.elapsed().as_secs_f64() * 1e3;
    drop(grads);
    Ok(time)
}

/// The sum of squares of all weights of a plan: renormalised weights alone would sum to 1.
fn total(plan: &Plan) -> Tensor<1> {
    match plan.clone() {
        Plan::TokenChoice { weights, .. }
        | Plan::ExpertChoice { weights, .. }
        | Plan::Merged { weights, .. }
        | Plan::Dense { weights } => weights.square().sum(),
        Plan::Soft { dispatch, combine } => dispatch.square().sum() + combine.square().sum(),
    }
}

fn compared(turns: &[Turn], [experts, tokens, width]: [usize; 3]) -> Vec<RouterCost> {
    let baseline = turns.iter().find(|turn| turn.name == BASELINE);
    let (forward, both) = baseline.map_or((f64::NAN, f64::NAN), |turn| (turn.forward, turn.both));
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let row = |turn: &Turn| {
        let trained = turn.both.is_finite();
        RouterCost {
            router: turn.name.to_string(),
            experts,
            tokens,
            width,
            forward_ms: turn.forward,
            forward_ratio: turn.forward / forward,
            forward_backward_ms: trained.then_some(turn.both),
            forward_backward_ratio: trained.then(|| turn.both / both),
            profile: profile.to_string(),
        }
    };
    turns.iter().map(row).collect()
}

/// The costs as a table.
pub(crate) fn table(rows: &[RouterCost]) -> String {
    let mut text = format!(
        "{:<20} {:>7} {:>11} {:>8} {:>11} {:>8}\n",
        "router", "experts", "forward ms", "ratio", "fwd+bwd ms", "ratio"
    );
    let or_dash = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    for row in rows {
        text += &format!(
            "{:<20} {:>7} {:>11.2} {:>8.2} {:>11} {:>8}\n",
            row.router,
            row.experts,
            row.forward_ms,
            row.forward_ratio,
            or_dash(row.forward_backward_ms),
            or_dash(row.forward_backward_ratio),
        );
    }
    text + &format!("\nRatios are to {BASELINE}; - where nothing is trained. Times are minima.\n")
}

/// The costs as csv, which `docs` reads.
pub(crate) fn csv(rows: &[RouterCost]) -> String {
    let number = |value: f64| format!("{value:.3}");
    let or_none = |value: Option<f64>| value.map_or(String::new(), number);
    let mut text = format!("{}\n", COLUMNS.join(","));
    for row in rows {
        let cells = [
            row.router.clone(),
            row.experts.to_string(),
            row.tokens.to_string(),
            row.width.to_string(),
            number(row.forward_ms),
            number(row.forward_ratio),
            or_none(row.forward_backward_ms),
            or_none(row.forward_backward_ratio),
            row.profile.clone(),
        ];
        text += &format!("{}\n", cells.join(","));
    }
    text
}

const COLUMNS: [&str; 9] = [
    "router",
    "experts",
    "tokens",
    "width",
    "forward_ms",
    "forward_ratio",
    "forward_backward_ms",
    "forward_backward_ratio",
    "profile",
];

/// Parses the text that [`csv`] wrote.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<RouterCost>> {
    let mut lines = text.lines();
    ensure!(
        lines.next() == Some(&COLUMNS.join(",")),
        "expected the columns {}",
        COLUMNS.join(", ")
    );
    lines.map(parse_line).collect()
}

fn parse_line(line: &str) -> anyhow::Result<RouterCost> {
    let cells: Vec<&str> = line.split(',').collect();
    let [router, experts, tokens, width, forward_ms, forward_ratio, both_ms, both_ratio, profile] =
        cells[..]
    else {
        anyhow::bail!("{line:?}: expected {} columns", COLUMNS.len())
    };
    let or_none = |cell: &str| (!cell.is_empty()).then(|| cell.parse()).transpose();
    Ok(RouterCost {
        router: router.into(),
        experts: experts.parse()?,
        tokens: tokens.parse()?,
        width: width.parse()?,
        forward_ms: forward_ms.parse()?,
        forward_ratio: forward_ratio.parse()?,
        forward_backward_ms: or_none(both_ms)?,
        forward_backward_ratio: or_none(both_ratio)?,
        profile: profile.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_router_has_its_times() {
        let routers = lab::Plugins::default().library.routers;
        let rows = measure(&routers, [16, 8], 1, &Device::flex()).unwrap();
        for experts in EXPERTS {
            let of =
                |name: &str| rows.iter().find(|row| row.router == name && row.experts == experts);
            assert!(routers.iter().all(|(name, _)| of(name).is_some()), "{experts}");
            let top_k = of("top-k").unwrap();
            assert_eq!((top_k.forward_ratio, top_k.forward_backward_ratio), (1.0, Some(1.0)));
            assert!(top_k.forward_backward_ms.unwrap() > 0.0 && top_k.forward_ms > 0.0);
            assert!(of("random").unwrap().forward_backward_ms.is_none());
        }
        let written = csv(&rows);
        assert_eq!(csv(&parse(&written).unwrap()), written);
        assert_eq!(table(&rows).lines().count(), rows.len() + 3);
    }

    #[test]
    fn tokens_stand_in_groups() {
        let err = measure(&lab::Plugins::default().library.routers, [12, 8], 1, &Device::flex())
            .unwrap_err();
        assert!(err.to_string().contains("--tokens 12: must be a multiple of 8"));
        assert!(parse("router,experts\n").is_err());
    }
}
