//! Everything that methods share is the same for all of them: initial weights of the shared parts, data, and
//! all random numbers except the router's own.

mod common;

use std::{collections::BTreeMap, sync::Arc};

use backbones::AnyBackbone;
use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::TensorData,
};
use common::{StopAfter, library, network_of, task};
use moe::{
    Choice, Dims, Init, Library, MoeConfig, NoConfig, Pass, Placement, Plan, Router, numbers_of,
};
use rand::RngExt;
use serde_json::json;
use tasks::Task;
use training::{Run, StepLog, StepRow, TrainConfig, supervised};

/// A plan in which no unit has an expert, so that only the network without the experts remains.
fn nobody(units: &Tensor<3>, n_experts: usize) -> Plan {
    let ([g, u, _], device) = (units.dims(), units.device().inner());
    let experts = Tensor::<3, Int>::full([g, u, 1], n_experts as i64, &device);
    Plan::TokenChoice { experts, weights: Tensor::zeros([g, u, 1], &device), n_experts }
}

/// A router that draws no random numbers.
#[derive(Module, Debug)]
struct Modest {
    n_experts: usize,
}

impl Router for Modest {
    type Config = NoConfig;
    const NAME: &'static str = "modest";
    const ABOUT: &'static str = "";

    fn init(_config: &NoConfig, dims: Dims, _init: &Init) -> Self {
        Self { n_experts: dims.n_experts }
    }
    fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
        nobody(&units, self.n_experts)
    }
    fn flops_per_unit(&self) -> f64 {
        0.0
    }
}

/// A router that draws many weights at the start, and many numbers in each pass.
#[derive(Module, Debug)]
struct Greedy {
    first: Param<Tensor<2>>,
    second: Param<Tensor<2>>,
    n_experts: usize,
}

impl Router for Greedy {
    type Config = NoConfig;
    const NAME: &'static str = "greedy";
    const ABOUT: &'static str = "";

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        let of = |name: &str| init.normal(name, [97, 31], 1.0);
        Self { first: of("first"), second: of("second"), n_experts: dims.n_experts }
    }
    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        for _ in 0..7 {
            pass.rng().random::<u64>();
        }
        nobody(&units, self.n_experts)
    }
    fn flops_per_unit(&self) -> f64 {
        0.0
    }
}

fn network(task: &dyn Task, backbone: &Choice, router: &str) -> AnyBackbone {
    let routers = routers::all().with::<Modest>().with::<Greedy>();
    let library = Library { routers, ..library() };
    let router = Choice::of(router);
    let moe = MoeConfig { layers: Placement::ALL, experts: 4, router, ..MoeConfig::default() };
    network_of(&library, 1, task, backbone, &moe)
}

fn vit() -> Choice {
    Choice::of("vit").with("patch", 4).with("width", 8).with("depth", 2).with("heads", 2)
}

fn weights(network: &AnyBackbone) -> BTreeMap<String, TensorData> {
    numbers_of(network, |_| true).into_iter().map(|(p, data)| (p.path, data)).collect()
}

/// Checks that parts that both networks have are bitwise the same; returns their number.
fn agree(a: &AnyBackbone, b: &AnyBackbone) -> usize {
    let (a, b) = (weights(a), weights(b));
    let shared: Vec<&String> = a.keys().filter(|path| b.contains_key(*path)).collect();
    for path in &shared {
        assert_eq!(a[*path], b[*path], "{path}");
    }
    shared.len()
}

#[test]
fn shared_parts_begin_alike_whatever_a_router_draws() {
    let (task, vit) = (digits(), vit());
    let modest = network(&*task, &vit, "modest");
    let all = weights(&modest).len();
    assert_eq!(agree(&modest, &network(&*task, &vit, "greedy")), all);
    // The same with real routers: only the router's own parts are not shared.
    for router in ["top-k", "noisy-top-k", "dselect-k", "hash", "soft", "x-moe", "peer"] {
        assert_eq!(agree(&modest, &network(&*task, &vit, router)), all, "{router}");
    }
}

/// A task with augmentation: the changes of a step's images are random too.
fn digits() -> Arc<dyn Task> {
    task(&Choice::of("digits").with("augment", json!({ "crop": 1 })))
}

/// Checks that two trainings with routers that draw different numbers of random numbers have the same losses
/// and weights.
fn trains_alike(task: &dyn Task, backbone: &Choice) {
    let config =
        TrainConfig { steps: 8, batch: 8, accumulate: 2, log_every: 1, ..TrainConfig::default() };
    let train = |router: &str| {
        let (folder, device) = (tempfile::tempdir().unwrap(), &Device::flex());
        let (folder, network) = (folder.path(), network(task, backbone, router));
        let run = Run {
            task,
            config: &config,
            seed: 3,
            device,
            folder,
            test: false,
            tracer: None,
            objective: None,
        };
        let model = supervised(&run, network, &mut StopAfter::default()).unwrap().model;
        let rows = StepLog::read_intact(&StepLog::path(folder)).unwrap();
        let losses = |row: &StepRow| row.split == "train" && row.metric == "loss";
        let losses: Vec<u64> =
            rows.iter().filter(|row| losses(row)).map(|row| row.value.to_bits()).collect();
        (losses, model)
    };
    let ((modest, a), (greedy, b)) = (train("modest"), train("greedy"));
    assert_eq!(modest.len(), 8);
    assert_eq!(modest, greedy);
    assert!(agree(&a, &b) > 10);
}

#[test]
fn training_shows_the_same_images_whatever_a_router_draws() {
    trains_alike(&*digits(), &vit());
}

#[test]
fn training_hides_the_same_tokens_and_drops_the_same_numbers_whatever_a_router_draws() {
    let text = Choice::of("tanaka-lm").with("length", 32);
    let task = task(&Choice::of("masked-lm").with("text", text));
    let encoder = Choice::of("transformer-encoder").with("width", 8).with("heads", 2);
    trains_alike(&*task, &encoder.with("dropout", 0.2));
}
