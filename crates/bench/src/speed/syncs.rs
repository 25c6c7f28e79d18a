//! `speed --syncs`: the number of times a layer waits for a device to read a tensor back, by engine, by drop
//! order and by router, and with the report of its routing that training requests, which is read later.
//!
//! A read-back is a call of `kernels::read_back`, which all crates of layers use. They are counted with the
//! operations of devices other than the processor (`kernels::without_kernels`), on whatever device this runs.
//! Engines and drop orders are measured with the router `top-k`; drop orders and routers with the padded
//! engine and, since drop orders require one, with a capacity.

use burn::{module::Module, prelude::*};
use kernels::{read_backs_of, without_kernels};
use moe::{
    Capacity, Choice, Clusters, DropPolicy, Engine, Init, Library, MoeConfig, MoeLayer, Pass,
    TokenIds,
};
use serde::Serialize;

/// The number of groups of a batch's units.
const GROUPS: usize = 4;

/// The read-backs of one layer in one pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Syncs {
    /// The kind of variant: `engine`, `drop`, `router`, or `report`, which is the padded engine with a
    /// report.
    pub(crate) of: &'static str,
    pub(crate) name: String,
    /// Read-backs of a forward pass in evaluation.
    pub(crate) evaluation: usize,
    /// Read-backs of a forward pass in training.
    pub(crate) training: usize,
    /// Read-backs of the backward pass after it.
    pub(crate) backward: usize,
}

/// Counts the read-backs of layers of this config, for groups of units `[4, tokens / 4, width]`, and of the
/// routers whose defaults fit.
pub(crate) fn count(
    library: &Library,
    config: &MoeConfig,
    [tokens, width]: [usize; 2],
    device: &Device,
) -> anyhow::Result<Vec<Syncs>> {
    let size = [tokens.div_ceil(GROUPS), width];
    let capacity = |drop| Capacity { factor: Some(1.25), drop, ..Capacity::default() };
    let one = |of, name: &str, config: &MoeConfig| {
        library.check(config, size, 2)?;
        of_layer(library, config, size, of == REPORT, device).map(
            |[evaluation, training, backward]| Syncs {
                of,
                name: name.to_string(),
                evaluation,
                training,
                backward,
            },
        )
    };
    let mut rows = Vec::new();
    for (name, engine) in [("dropless", Engine::Dropless), ("padded", Engine::Padded)] {
        rows.push(one("engine", name, &MoeConfig { engine, ..config.clone() })?);
    }
    let padded = MoeConfig { engine: Engine::Padded, ..config.clone() };
    rows.push(one(REPORT, "padded", &padded)?);
    for (name, drop) in DROPS {
        rows.push(one("drop", name, &MoeConfig { capacity: capacity(drop), ..padded.clone() })?);
    }
    for (name, _) in library.routers.iter() {
        let capacity = capacity(DropPolicy::InOrder);
        let config = MoeConfig { router: Choice::of(name), capacity, ..padded.clone() };
        if let Ok(row) = one("router", name, &config) {
            rows.push(row);
        }
    }
    Ok(rows)
}

const REPORT: &str = "report";

const DROPS: [(&str, DropPolicy); 6] = [
    ("in-order", DropPolicy::InOrder),
    ("position", DropPolicy::Position),
    ("priority", DropPolicy::Priority),
    ("sum-priority", DropPolicy::SumPriority),
    ("choice-priority", DropPolicy::ChoicePriority),
    ("shuffled", DropPolicy::Shuffled),
];

/// The counts in evaluation, in training, and in the backward pass after that.
fn of_layer(
    library: &Library,
    config: &MoeConfig,
    [units, width]: [usize; 2],
    reports: bool,
    device: &Device,
) -> anyhow::Result<[usize; 3]> {
    let init = Init::new(0, &device.clone().autodiff());
    let layer = MoeLayer::new(config, library, [units, width], &init)?;
    let x = init.normal("x", [GROUPS, units, width], 1.0).val();
    let ids = Tensor::<1, Int>::arange(0..(GROUPS * units) as i64, device);
    let ids = ids.remainder_scalar(97).reshape([GROUPS, units]);
    let known = |pass: Pass| {
        let mut pass = if reports { pass.with_reports() } else { pass };
        pass.put(TokenIds(ids.clone()));
        pass.put(Clusters(ids.clone()));
        pass
    };
    let forward = |layer: &MoeLayer, pass: &mut Pass, x: Tensor<3>| {
        read_backs_of(|| without_kernels(|| layer.forward(pass, x)))
    };
    let (_, evaluation) =
        forward(&layer.valid(), &mut known(Pass::eval()), x.clone().detach().inner());
    let mut pass = known(Pass::train(0, 0, 0.5));
    let (y, training) = forward(&layer, &mut pass, x);
    let loss = kernels::sum(y);
    let loss = pass.total_loss().map_or(loss.clone(), |own| loss + own);
    let (_, backward) = read_backs_of(|| without_kernels(|| loss.backward()));
    Ok([evaluation, training, backward])
}

/// The counts as a table.
pub(crate) fn table(rows: &[Syncs]) -> String {
    let mut text = format!(
        "Read-backs of one layer in one pass, with the operations of a graphics card\n\n{:<8} {:<22} \
         {:>10} {:>9} {:>9}\n",
        "", "", "evaluation", "training", "backward"
    );
    for Syncs { of, name, evaluation, training, backward } in rows {
        text += &format!("{of:<8} {name:<22} {evaluation:>10} {training:>9} {backward:>9}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Routers that compute their choice on the host, with their read-backs in evaluation and training; all
    /// others have none (docs/performance.md explains why).
    const ON_THE_HOST: [(&str, [usize; 2]); 3] =
        [("base", [0, 1]), ("hash", [2, 2]), ("sparse-transport", [1, 1])];

    #[test]
    fn the_padded_engine_reads_nothing_back_for_any_order_and_nearly_any_router() {
        let library = lab::Plugins::default().library;
        let expert = Choice::of("ffn").with("hidden", 3);
        let config = MoeConfig { experts: 4, expert, ..MoeConfig::default() };
        let rows = count(&library, &config, [32, 8], &Device::flex()).unwrap();
        let routers = rows.iter().filter(|row| row.of == "router").count();
        assert_eq!(routers, library.routers.iter().count(), "all defaults fit");
        for row in &rows {
            let known = ON_THE_HOST.iter().find(|(name, _)| *name == row.name);
            let expected = match (row.of, row.name.as_str()) {
                ("engine", "dropless") => [1, 1],
                _ => known.map_or([0, 0], |(_, expected)| *expected),
            };
            assert_eq!([row.evaluation, row.training], expected, "{} {}", row.of, row.name);
            assert_eq!(row.backward, 0, "{} {}", row.of, row.name);
        }
        assert_eq!(table(&rows).lines().count(), rows.len() + 3);
    }
}
