//! Replay: units go to the experts that a trace has recorded for them, in another run or in another
//! program.
//!
//! Ma et al. *Stabilizing MoE Reinforcement Learning by Aligning Training and Inference Routers* (Rollout
//! Routing Replay). 2025. <https://arxiv.org/abs/2510.11370>
//!
//! S = the recorded choices of the unit                                     (1)
//! y = sum_{i in S} g_i E_i(x)                                              (2)
//! g = the recorded weights                                                 (3a) `recorded`
//! g = softmax(x W over S)                                                  (3b) `gate`, the paper's
//!
//! A unit is identified by its split, its example and its index in the example, a layer by its index in
//! the pass. A unit that is in no trace goes to its k best experts by x W, with (3b); the metric
//! `replayed` is the share of units that are in a trace. Without traces the router is `top-k` with (5c),
//! without a balance loss.
//!
//! Differs from the paper: recorded weights may be used too, which reproduces the outputs of the recorded
//! network.
//!
//! Not to be confused with: `hash`, whose table is random.

use std::sync::Arc;

use burn::{module::Module, prelude::*};
use moe::{Dims, ExampleIndices, Init, Pass, Plan, Router, config, softmax};
use serde::{Deserialize, Serialize};

use crate::kit::{Gate, Recorded, TraceFile, check, scores};

/// The weights of recorded choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayWeights {
    /// The recorded weights.
    Recorded,
    /// Softmax of the gate's scores over the recorded choices.
    Gate,
}

config! {
    /// The traces, and the treatment of units that are in no trace.
    pub struct ReplayConfig {
        /// The files of the traces, of any splits.
        pub files: Vec<TraceFile> = Vec::new(),
        /// The weights of recorded choices.
        pub weights: ReplayWeights = ReplayWeights::Recorded,
        /// Whether the traces may lack units of the run.
        pub partial: bool = false,
        /// Experts for each unit that is in no trace.
        pub k: usize = 2,
    }
}

/// Units go to the experts recorded in a trace.
#[derive(Module, Debug)]
pub struct Replay {
    gate: Gate,
    k: usize,
    #[module(skip)]
    weights: ReplayWeights,
    #[module(skip)]
    traces: Vec<Arc<Recorded>>,
}

/// The experts of one unit, with the recorded weights.
type Choices = Vec<(Option<usize>, f32)>;

impl Router for Replay {
    type Config = ReplayConfig;
    const NAME: &'static str = "replay";
    const ABOUT: &'static str =
        "the choices recorded in a trace of another run or program, by example and token";
    const PAPER: &'static str = "https://arxiv.org/abs/2510.11370";
    /// A trace contains the indices of experts.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;
    /// The choice depends on the position, not on the unit.
    const UNIT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &ReplayConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        if config.files.is_empty() {
            return check::gate_learns(config.k, true, dims, "set k to at least 2, or files");
        }
        config.files.iter().try_for_each(|file| fits(file, dims))
    }

    fn init(config: &ReplayConfig, dims: Dims, init: &Init) -> Self {
        let traces = config.files.iter().map(|file| Arc::clone(&file.recorded)).collect();
        Self { gate: Gate::new(dims, init), k: config.k, weights: config.weights, traces }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let [g, u, _] = units.dims();
        let s = self.gate.forward(pass, units);
        let n_experts = s.dims()[2];
        let best = scores::best(pass, s.clone(), self.k);
        if self.traces.is_empty() {
            let weights = softmax(s.gather(2, best.clone()), 2);
            return Plan::TokenChoice { experts: best, weights, n_experts };
        }
        let recorded = self.recorded(pass, [g, u]); // (1)
        report(pass, &recorded, &s);
        let experts = either(&recorded, best, n_experts);
        let weights = over(s, experts.clone()); // (3b)
        let weights = match self.weights {
            ReplayWeights::Gate => weights,
            ReplayWeights::Recorded => with_recorded(weights, &recorded),
        };
        Plan::TokenChoice { experts, weights, n_experts } // (2)
    }
}

impl Replay {
    /// The recorded choices of each unit of `[G, U]` in the current layer; none for units that are in no
    /// trace.
    fn recorded(&self, pass: &Pass, [g, u]: [usize; 2]) -> Vec<Option<Choices>> {
        let known = pass.get::<ExampleIndices>();
        let of = |unit: usize| {
            let ExampleIndices { split, rows } = known?;
            // Sequences, [1, B], are examples; otherwise each group is an example.
            let (row, within) = if g == rows.len() { (unit / u, unit % u) } else { (unit, 0) };
            let example =
                *rows.get(row).filter(|_| g == rows.len() || (g, u) == (1, rows.len()))?;
            let mut traces = self.traces.iter().filter(|trace| trace.split == *split);
            traces.find_map(|trace| {
                let place = *trace.units(example).get(within)?;
                Some(trace.layers.get(pass.layer())?.unit(place).collect())
            })
        };
        (0..g * u).map(of).collect()
    }
}

/// Checks that a trace has the numbers of experts and units of the layer.
fn fits(file: &TraceFile, dims: Dims) -> Result<(), String> {
    let (path, recorded) = (file.path(), &file.recorded);
    for (layer, known) in recorded.layers.iter().enumerate() {
        if known.n_experts != dims.n_experts {
            return Err(format!(
                "files: {path}: layer {layer} chooses among {} experts, but the network has {}",
                known.n_experts, dims.n_experts
            ));
        }
    }
    match recorded.most_units() {
        found if found == dims.units => Ok(()),
        found => Err(format!(
            "files: {path}: the examples have {found} units, but an input of the network has {}",
            dims.units
        )),
    }
}

/// Reports the share of units that are in a trace.
fn report(pass: &mut Pass, recorded: &[Option<Choices>], like: &Tensor<3>) {
    let share = recorded.iter().flatten().count() as f32 / recorded.len().max(1) as f32;
    pass.metric("replayed", Tensor::from_floats([share], &like.device().inner()));
}

/// `[G, U, K]`: the recorded experts of each unit, or its `best` `[G, U, k]` if it is in no trace, filled
/// up with the null expert if a unit has fewer choices than another.
fn either(recorded: &[Option<Choices>], best: Tensor<3, Int>, n: usize) -> Tensor<3, Int> {
    let ([g, u, own], device) = (best.dims(), best.device());
    let k = recorded.iter().map(|unit| unit.as_ref().map_or(own, Vec::len)).max().unwrap_or(own);
    let of = |unit: &Option<Choices>| {
        let experts = unit.iter().flatten().map(|(expert, _)| expert.unwrap_or(n) as i32);
        experts.chain(std::iter::repeat(n as i32)).take(k).collect::<Vec<_>>()
    };
    let experts: Vec<i32> = recorded.iter().flat_map(of).collect();
    let experts = Tensor::from_data(TensorData::new(experts, [g, u, k]), &device);
    if recorded.iter().all(Option::is_some) {
        return experts;
    }
    // K is at least k, because a unit in no trace has k choices of its own.
    let null = Tensor::<3, Int>::full([g, u, k - own], n as i64, &device);
    let best = if k == own { best } else { Tensor::cat(vec![best, null], 2) };
    best.mask_where(known(recorded, [g, u, k], &device), experts)
}

/// `[G, U, K]`: whether the unit is in a trace.
fn known(recorded: &[Option<Choices>], shape: [usize; 3], device: &Device) -> Tensor<3, Bool> {
    let known = recorded.iter().flat_map(|unit| vec![i32::from(unit.is_some()); shape[2]]);
    let known = TensorData::new(known.collect::<Vec<i32>>(), shape);
    Tensor::<3, Int>::from_data(known, device).equal_scalar(1)
}

/// Softmax of the scores `[G, U, E]` over the chosen experts `[G, U, K]`; 0 for the null expert.
fn over(s: Tensor<3>, experts: Tensor<3, Int>) -> Tensor<3> {
    let n = s.dims()[2] as i64;
    let null = experts.clone().greater_equal_scalar(n);
    let chosen = s.gather(2, experts.clamp_max(n - 1));
    // Not minus infinity, so that the weights of a unit without experts are numbers.
    softmax(chosen.mask_fill(null, -1e30), 2)
}

/// The weights `[G, U, K]`, replaced by the recorded ones for units that are in a trace.
fn with_recorded(weights: Tensor<3>, recorded: &[Option<Choices>]) -> Tensor<3> {
    let (shape, device) = (weights.dims(), weights.device());
    let k = shape[2];
    let unit = |unit: &Option<Choices>| {
        let known = unit.iter().flatten().map(|(_, weight)| *weight);
        known.chain(std::iter::repeat(0.0)).take(k).collect::<Vec<f32>>()
    };
    let numbers: Vec<f32> = recorded.iter().flat_map(unit).collect();
    let known = known(recorded, shape, &device.clone().inner());
    let numbers = Tensor::from_data(TensorData::new(numbers, shape), &device);
    weights.mask_where(known, numbers) // (3a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kit::trace_file,
        testing::{chosen, close, scalar},
    };

    const DIMS: Dims = Dims { width: 1, n_experts: 3, units: 2 };

    /// Scores 0, ln 3, 1 for every unit.
    fn router(weights: ReplayWeights, file: TraceFile) -> Replay {
        let config = ReplayConfig { files: vec![file], weights, ..ReplayConfig::default() };
        let device = Device::flex();
        let gate = Gate::of(Tensor::from_floats([[0.0, 3_f32.ln(), 1.0]], &device));
        Replay { gate, ..Replay::init(&config, DIMS, &Init::new(0, &device)) }
    }

    fn trace() -> TraceFile {
        trace_file("valid", 3, &[(7, [2, 0]), (7, [0, -1]), (4, [0, 1]), (4, [1, 0])])
    }

    fn route(router: &Replay, rows: Vec<usize>) -> (Vec<i32>, Vec<f32>, f32) {
        let mut pass = Pass::eval();
        let units = Tensor::ones([rows.len(), 2, 1], &Device::flex());
        pass.put(ExampleIndices { split: "valid", rows });
        let (experts, weights) = chosen(router, &mut pass, units);
        (experts, weights, scalar(&pass, "replayed"))
    }

    #[test]
    fn recorded_choices_and_weights_by_example_and_place() {
        let router = router(ReplayWeights::Recorded, trace());
        let (experts, weights, share) = route(&router, vec![4, 7]);
        assert_eq!(experts, [0, 1, 1, 0, 2, 0, 0, 3]);
        assert_eq!(weights, [0.75, 0.25].repeat(4));
        assert_eq!(share, 1.0);
    }

    #[test]
    fn the_gate_weighs_recorded_choices() {
        let router = router(ReplayWeights::Gate, trace());
        let (experts, weights, _) = route(&router, vec![4, 7]);
        assert_eq!(experts, [0, 1, 1, 0, 2, 0, 0, 3]);
        let e = std::f32::consts::E;
        close(&weights, &[0.25, 0.75, 0.75, 0.25, e / (1.0 + e), 1.0 / (1.0 + e), 1.0, 0.0]);
    }

    #[test]
    fn what_is_in_no_trace_goes_by_the_gate() {
        let router = router(ReplayWeights::Recorded, trace());
        let (experts, weights, share) = route(&router, vec![5, 7]);
        assert_eq!(experts, [1, 2, 1, 2, 2, 0, 0, 3]);
        let three = 3.0 / (3.0 + std::f32::consts::E);
        close(&weights[..2], &[three, 1.0 - three]);
        assert_eq!((share, &weights[4..]), (0.5, &[0.75, 0.25, 0.75, 0.25][..]));
        let mut pass = Pass::eval();
        let (experts, _) = chosen(&router, &mut pass, Tensor::ones([1, 2, 1], &Device::flex()));
        assert_eq!((experts, scalar(&pass, "replayed")), (vec![1, 2, 1, 2], 0.0));
    }

    #[test]
    fn other_experts_and_units_are_refused() {
        let config = ReplayConfig { files: vec![trace()], ..ReplayConfig::default() };
        assert_eq!(Replay::check(&config, DIMS), Ok(()));
        let err = Replay::check(&config, Dims { n_experts: 8, ..DIMS }).unwrap_err();
        assert!(err.contains("layer 0 chooses among 3 experts, but the network has 8"), "{err}");
        let err = Replay::check(&config, Dims { units: 5, ..DIMS }).unwrap_err();
        assert!(
            err.contains("the examples have 2 units, but an input of the network has 5"),
            "{err}"
        );
    }
}
