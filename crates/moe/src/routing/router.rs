//! The plug-in interface of routing algorithms.

use burn::{module::Param, prelude::*};
use serde_json::json;

use crate::{
    plugin::{
        Boxed, Choice, ConfigError, Entry, Erased, Hyper, Init, PathVisitor, Plug, Registry,
        Socket, read, visit_paths,
    },
    routing::{Pass, Plan},
};

/// The sizes a router is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// The width of the router's input, D.
    pub width: usize,
    /// The number of experts, E.
    pub n_experts: usize,
    /// The number of units of a group in an input of full length, U. At sequence level the number of
    /// competing units depends on the batch, so it is 1. Slots that are parameters are sized by it.
    pub units: usize,
}

/// A routing algorithm: decides which experts each unit visits, and with what weight. It never
/// moves data.
pub trait Router: Module + Sync + 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs, tables and file names.
    const NAME: &'static str;
    /// A one-line description.
    const ABOUT: &'static str;
    /// URL of the paper.
    const PAPER: &'static str = "";
    /// Whether a unit's plan is independent of the units after it, as a decoder requires. The conformance
    /// suite checks it.
    const CAUSAL: bool = true;
    /// Whether a permutation of the units permutes the plan. The conformance suite checks it if true.
    const UNIT_PERMUTATION_EQUIVARIANT: bool = true;

    /// Whether a permutation of the experts, together with all parameters of the router for each expert,
    /// permutes the plan. The conformance suite checks it if true.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = true;
    /// Whether it mixes the experts' parameters ([`Plan::Merged`]), which then must have equal shapes.
    const MERGES: bool = false;

    /// Whether experts process mixtures of units ([`Plan::Soft`]), so that no row of work belongs to one
    /// unit. The conformance suite checks it.
    const MIXES_UNITS: bool = false;
    /// The number of experts of a unit's plan, if no hyperparameter sets it; the estimate of a run's memory
    /// uses it. The conformance suite checks it.
    const EXPERTS_PER_UNIT: Option<usize> = None;

    /// A note under tables of results on images; often empty.
    const ON_IMAGES: &'static str = "";

    /// Whether the router is causal with these hyperparameters.
    fn causal(_config: &Self::Config) -> bool {
        Self::CAUSAL
    }

    /// Checks that the hyperparameters fit the sizes, before anything is built.
    fn check(_config: &Self::Config, _dims: Dims) -> Result<(), String> {
        Ok(())
    }

    /// A fresh router. Weights come from `init`, so that they depend only on seed and path.
    fn init(config: &Self::Config, dims: Dims, init: &Init) -> Self;

    /// `units` is `[G, U, D]`; units compete for slots within their group.
    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan;

    /// Floating-point operations to score one unit; a multiplication and an addition are two.
    ///
    /// By default two for each weight of the router's matrices (parameters and states of rank 2 or more):
    /// 2 D E for a linear gate. A router that uses its matrices other than once per unit, or computes
    /// without them, returns its own number.
    fn flops_per_unit(&self) -> f64 {
        let mut matrices = Matrices(0);
        visit_paths(self, &mut matrices);
        2.0 * matrices.0 as f64
    }
}

/// Counts the weights of matrices, without initializing them.
struct Matrices(usize);

impl PathVisitor for Matrices {
    fn visit<const D: usize>(&mut self, _path: &[String], param: &Param<Tensor<D>>) {
        if D > 1 {
            self.0 += param.lazy_shape().num_elements();
        }
    }
}

/// The object-safe form of [`Router`].
pub trait DynRouter: Erased<RouterSocket> {
    /// See [`Router::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Router::route`].
    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan;
    /// See [`Router::flops_per_unit`].
    fn flops_per_unit(&self) -> f64;
}

impl<R: Router> DynRouter for R {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        Router::route(self, pass, units)
    }
    fn flops_per_unit(&self) -> f64 {
        Router::flops_per_unit(self)
    }
}

/// The socket of routers.
pub enum RouterSocket {}

impl Socket for RouterSocket {
    type Object = dyn DynRouter;
}

impl<R: Router> Plug<R> for RouterSocket {
    fn plug(router: R) -> Box<dyn DynRouter> {
        Box::new(router)
    }
}

/// Any router.
pub type AnyRouter = Boxed<RouterSocket>;

/// The constructor of a registered router, and the router's properties.
#[derive(Clone, Copy)]
pub struct BuildRouter {
    /// See [`Router::ON_IMAGES`].
    pub on_images: &'static str,
    /// See [`Router::causal`].
    pub causal: fn(&Choice) -> Result<bool, ConfigError>,
    /// See [`Router::MERGES`].
    pub merges: bool,
    /// See [`Router::MIXES_UNITS`].
    pub mixes_units: bool,
    /// See [`Router::EXPERTS_PER_UNIT`].
    pub experts_per_unit: Option<usize>,
    /// See [`Router::EXPERT_PERMUTATION_EQUIVARIANT`].
    pub alike: bool,
    /// See [`Router::UNIT_PERMUTATION_EQUIVARIANT`].
    pub equivariant: bool,
    /// See [`Router::check`]; reads the hyperparameters first.
    pub check: fn(&Choice, Dims) -> Result<(), ConfigError>,
    /// Checks, then builds.
    pub init: fn(&Choice, Dims, &Init) -> Result<AnyRouter, ConfigError>,
}

/// Routers by name.
pub type Routers = Registry<BuildRouter>;

impl Routers {
    /// Adds a router under its [`Router::NAME`].
    pub fn with<R: Router>(mut self) -> Self {
        let build = BuildRouter {
            causal: |choice| Ok(R::causal(&read::<R::Config>("router", choice)?)),
            on_images: R::ON_IMAGES,
            merges: R::MERGES,
            mixes_units: R::MIXES_UNITS,
            experts_per_unit: R::EXPERTS_PER_UNIT,
            alike: R::EXPERT_PERMUTATION_EQUIVARIANT,
            equivariant: R::UNIT_PERMUTATION_EQUIVARIANT,
            check: |choice, dims| checked::<R>(choice, dims).map(drop),
            init: |choice, dims, init| {
                Ok(AnyRouter::new(R::init(&checked::<R>(choice, dims)?, dims, init)))
            },
        };
        let facts = json!({ "causal": R::CAUSAL, "equivariant": R::UNIT_PERMUTATION_EQUIVARIANT });
        self.add(R::NAME, Entry::new::<R::Config>(R::ABOUT, R::PAPER, facts, build));
        self
    }
}

fn checked<R: Router>(choice: &Choice, dims: Dims) -> Result<R::Config, ConfigError> {
    let config: R::Config = read("router", choice)?;
    R::check(&config, dims).map_err(|message| ConfigError::Invalid {
        what: "router",
        name: R::NAME.to_string(),
        message,
    })?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use burn::module::Module;

    use super::*;
    use crate::plugin::NoConfig;

    /// Two matrices and a bias.
    #[derive(Module, Debug)]
    struct Linear {
        reduce: Param<Tensor<2>>,
        gate: Param<Tensor<2>>,
        bias: Param<Tensor<1>>,
    }

    impl Router for Linear {
        type Config = NoConfig;
        const NAME: &'static str = "linear";
        const ABOUT: &'static str = "for tests";

        fn init(_config: &NoConfig, dims: Dims, init: &Init) -> Self {
            Self {
                reduce: init.normal("reduce", [dims.width, 2], 1.0),
                gate: init.normal("gate", [2, dims.n_experts], 1.0),
                bias: init.constant("bias", [dims.n_experts], 0.0),
            }
        }

        fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
            let low = units.matmul(self.reduce.val().unsqueeze::<3>());
            let s = low.matmul(self.gate.val().unsqueeze::<3>()) + self.bias.val().unsqueeze::<3>();
            Plan::top_k(s, 2)
        }
    }

    #[test]
    fn a_router_that_states_no_operations_has_those_of_its_matrices() {
        let dims = Dims { width: 5, n_experts: 3, units: 1 };
        let router = Linear::init(&NoConfig {}, dims, &Init::new(0, &Device::flex()));
        // 2 (5 * 2 + 2 * 3); the bias is not a matrix.
        assert_eq!(AnyRouter::new(router).flops_per_unit(), 32.0);
    }
}
