//! The layer that checks run on, and its inputs: all are fixed, so that a failure can be reproduced.

use std::collections::BTreeMap;

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    prelude::*,
    tensor::{Gradients, activation::relu},
};
use moe::{
    AnyRouter, BlockInput, BuildRouter, Capacity, Choice, Clusters, Condition, Dims, Engine,
    ExpertKinds, Experts, Init, Level, Library, MoeConfig, MoeLayer, NoConfig, Pass, PathVisitor,
    ResidualRule, Routers, TokenIds, visit_paths,
};
use rand::RngExt;

/// The number of experts.
pub(super) const EXPERTS: usize = 8;
/// The width of the stream.
pub(super) const WIDTH: usize = 8;
/// The width of the condition at batch level.
const CODE: usize = 5;
/// Every level.
pub(super) const LEVELS: [Level; 4] =
    [Level::Token, Level::Sequence, Level::Batch(CODE), Level::Heads(2)];

/// A router under test.
pub(super) struct Subject {
    library: Library,
    pub(super) router: Choice,
    device: Device,
}

/// The settings of a layer, and the shape of its input.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) level: Level,
    pub(super) engine: Engine,
    pub(super) shape: [usize; 2],
    pub(super) seed: u64,
    pub(super) experts: usize,
    pub(super) capacity: Option<f64>,
}

impl Setup {
    /// Token level, the reference engine, three sequences of ten.
    pub(super) const PLAIN: Setup = Setup {
        level: Level::Token,
        engine: Engine::Reference,
        shape: [3, 10],
        seed: 0,
        experts: EXPERTS,
        capacity: None,
    };
}

impl Subject {
    pub(super) fn new(routers: &Routers, router: &Choice, device: &Device) -> Self {
        let library = Library {
            routers: routers.clone(),
            experts: ExpertKinds::new("expert").with::<Probe>().with::<Matrices>(),
            residuals: Library::default().residuals.with::<Nothing>(),
        };
        Self { library, router: router.clone(), device: device.clone().inner() }
    }

    /// The declared properties of the router.
    pub(super) fn promises(&self) -> Result<BuildRouter, String> {
        let entry = self.library.routers.get(&self.router.kind).map_err(|err| err.to_string())?;
        Ok(entry.build)
    }

    /// Whether the router promises that no unit's plan depends on a later unit.
    pub(super) fn causal(&self) -> Result<bool, String> {
        (self.promises()?.causal)(&self.router).map_err(|err| err.to_string())
    }

    /// The same with other hyperparameters.
    pub(super) fn with(&self, router: Choice) -> Self {
        Self { library: self.library.clone(), router, device: self.device.clone() }
    }

    /// The hyperparameter with the number of experts that a unit visits, if there is one.
    pub(super) fn number_of_choices(&self) -> Option<&'static str> {
        let complete = self.library.routers.complete(&self.router).ok()?;
        complete.options.contains_key("k").then_some("k")
    }

    /// A fresh router without autodiff.
    pub(super) fn router(&self, dims: Dims) -> Result<AnyRouter, String> {
        self.router_on(dims, &self.device)
    }

    /// A fresh router with autodiff.
    pub(super) fn training_router(&self, dims: Dims) -> Result<AnyRouter, String> {
        self.router_on(dims, &self.device.clone().autodiff())
    }

    fn router_on(&self, dims: Dims, device: &Device) -> Result<AnyRouter, String> {
        let build = self.promises()?.init;
        build(&self.router, dims, &Init::new(0, device)).map_err(|err| err.to_string())
    }

    /// The pass with token ids and clusters that differ between neighbours.
    pub(super) fn with_facts(&self, mut pass: Pass, [b, t]: [usize; 2]) -> Pass {
        let ids: Vec<i32> = (0..b * t).map(|at| (at * 7 % 20) as i32).collect();
        let ids = Tensor::from_data(TensorData::new(ids, [b, t]), &self.device);
        pass.put(Clusters(ids.clone()));
        pass.put(TokenIds(ids));
        pass
    }

    /// The pass with the same id and cluster for all units.
    pub(super) fn alike_outside(&self, mut pass: Pass, [b, t]: [usize; 2]) -> Pass {
        let ids = Tensor::<2, Int>::zeros([b, t], &self.device);
        pass.put(Clusters(ids.clone()));
        pass.put(TokenIds(ids));
        pass
    }

    /// A fresh layer without autodiff.
    pub(super) fn layer(&self, setup: Setup) -> Result<MoeLayer, String> {
        self.layer_on(setup, &self.device)
    }

    /// A fresh layer with autodiff.
    pub(super) fn training_layer(&self, setup: Setup) -> Result<MoeLayer, String> {
        self.layer_on(setup, &self.device.clone().autodiff())
    }

    fn layer_on(&self, setup: Setup, device: &Device) -> Result<MoeLayer, String> {
        let config = MoeConfig {
            experts: setup.experts,
            level: setup.level,
            router: self.router.clone(),
            expert: Choice::of(if self.promises()?.merges { Matrices::NAME } else { Probe::NAME }),
            residual: Choice::of(Nothing::NAME),
            engine: setup.engine,
            capacity: Capacity { factor: setup.capacity, ..Capacity::default() },
            ..MoeConfig::default()
        };
        let shape = [setup.shape[1], WIDTH];
        MoeLayer::new(&config, &self.library, shape, &Init::new(setup.seed, device))
            .map_err(|err| err.to_string())
    }

    /// An input and its pass, which has token ids and a condition.
    pub(super) fn input(&self, setup: Setup, training: bool) -> (Pass, Tensor<3>) {
        let ([b, t], init) = (setup.shape, Init::new(setup.seed, &self.device).at("input"));
        let mut rng = init.rng();
        let ids: Vec<i32> = (0..b * t).map(|_| rng.random_range(0..20)).collect();
        let ids = Tensor::from_data(TensorData::new(ids, [b, t]), &self.device);
        let code = init.normal("code", [1, CODE], 1.0).val();
        let mut pass = if training {
            // Some routers have a warm-up, so the start is examined too.
            Pass::train(setup.seed, 3, [0.3, 0.0, 0.6][setup.seed as usize % 3])
        } else {
            Pass::eval()
        };
        pass.put(Clusters(ids.clone()));
        pass.put(TokenIds(ids));
        pass.put(Condition(code));
        let x = init.normal("x", [b, t, WIDTH], 1.0).val();
        pass.put(BlockInput(x.clone()));
        (pass, x)
    }

    /// Noise of a shape, different for each name.
    pub(super) fn noise<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        Init::new(7, &self.device).normal(name, shape, 1.0).val()
    }
}

/// Experts with distinguishable outputs: `tanh(x W_e)`.
#[derive(Module, Debug)]
struct Probe {
    weight: Param<Tensor<3>>,
}

impl Experts for Probe {
    type Config = NoConfig;
    const NAME: &'static str = "probe";
    const ABOUT: &'static str = "one matrix and a tanh";

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        let std = 1.0 / (dims.width as f64).sqrt();
        Self { weight: init.normal("weight", [dims.n_experts, dims.width, dims.width], std) }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        slots.matmul(self.weight.val()).tanh()
    }

    fn flops_per_row(&self) -> f64 {
        (2 * WIDTH * WIDTH) as f64
    }
}

/// Experts that expose their matrices, for routers that mix them: `relu(x W1_e) W2_e`.
#[derive(Module, Debug)]
struct Matrices {
    w1: Param<Tensor<3>>,
    w2: Param<Tensor<3>>,
}

impl Experts for Matrices {
    type Config = NoConfig;
    const NAME: &'static str = "matrices";
    const ABOUT: &'static str = "two matrices and a relu";

    fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
        let (shape, std) =
            ([dims.n_experts, dims.width, dims.width], 1.0 / (dims.width as f64).sqrt());
        Self { w1: init.normal("w1", shape, std), w2: init.normal("w2", shape, std) }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        relu(slots.matmul(self.w1.val())).matmul(self.w2.val())
    }

    fn stack(&self) -> Option<moe::kernels::Ffn> {
        Some(moe::kernels::Ffn {
            w1: self.w1.val(),
            gate: None,
            w2: self.w2.val(),
            bias1: None,
            bias2: None,
            activation: moe::kernels::Activation::Relu,
        })
    }

    fn flops_per_row(&self) -> f64 {
        (4 * WIDTH * WIDTH) as f64
    }
}

/// No residual: the checks examine the output of the layer itself.
#[derive(Module, Debug)]
struct Nothing;

impl ResidualRule for Nothing {
    type Config = NoConfig;
    const NAME: &'static str = "nothing";
    const ABOUT: &'static str = "the output alone";

    fn init(_config: &NoConfig, _width: usize, _init: &Init) -> Self {
        Nothing
    }

    fn join(&self, _pass: &mut Pass, _x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        output
    }
}

/// The results of a training pass: the output, and the gradient of each parameter by path, none for a
/// parameter without one; "input" is the gradient of the input.
pub(super) struct Step {
    pub(super) output: Vec<f32>,
    pub(super) gradients: BTreeMap<String, Option<Vec<f32>>>,
}

/// The objective of a training pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Objective {
    /// A loss of the output alone, in which every number has a different weight.
    Task,
    /// The same loss plus the losses of the pass.
    Total,
}

/// Runs one training pass of a layer by the total loss.
pub(super) fn step(subject: &Subject, layer: &MoeLayer, setup: Setup) -> Step {
    let (pass, x) = subject.input(setup, true);
    step_on(subject, layer, pass, x, Objective::Total)
}

/// Runs one training pass on a given input, by an objective.
pub(super) fn step_on(
    subject: &Subject,
    layer: &MoeLayer,
    mut pass: Pass,
    x: Tensor<3>,
    objective: Objective,
) -> Step {
    // A preceding layer, since some routers use the scores of the previous one.
    layer.forward(&mut pass, Tensor::from_inner(x.clone()).detach());
    let x = Tensor::<3>::from_inner(x).require_grad();
    let y = layer.forward(&mut pass, x.clone());
    let output = values(y.clone());
    let mut loss = (y.clone() * Tensor::from_inner(subject.noise("target", y.dims()))).sum();
    if objective == Objective::Total
        && let Some(more) = pass.total_loss()
    {
        loss = loss + more;
    }
    let grads = loss.backward();
    let input = x.grad(&grads).map(values);
    let mut gradients = gradients(layer, grads);
    gradients.insert("input".into(), input);
    Step { output, gradients }
}

/// The gradient of each parameter of a module by path; none for a parameter without one.
pub(super) fn gradients(
    module: &impl Module,
    grads: Gradients,
) -> BTreeMap<String, Option<Vec<f32>>> {
    let grads = GradientsParams::from_grads(grads, module);
    let mut visitor = Gather { grads, found: BTreeMap::new() };
    visit_paths(module, &mut visitor);
    visitor.found
}

/// Collects gradients by path. State that is not trained requires no gradient, and is left out.
struct Gather {
    grads: GradientsParams,
    found: BTreeMap<String, Option<Vec<f32>>>,
}

impl PathVisitor for Gather {
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            let gradient = self.grads.get::<D>(param.id).map(values);
            self.found.insert(path.join("."), gradient);
        }
    }
}

/// The numbers of a tensor.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The largest difference, relative to numbers above 1; infinite if any number is not finite or the
/// lengths differ.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    let one = |(a, b): (&f32, &f32)| {
        let gap = (a - b).abs() / a.abs().max(b.abs()).max(1.0);
        if gap.is_nan() { f32::INFINITY } else { gap }
    };
    if a.len() == b.len() { a.iter().zip(b).map(one).fold(0.0, f32::max) } else { f32::INFINITY }
}
