//! The plug-in interface of expert networks.

mod dtype;

use burn::prelude::*;
pub use dtype::ExpertDtype;
use serde_json::Value;

use crate::{
    plugin::{
        Boxed, Choice, ConfigError, Entry, Erased, Hyper, Init, Plug, Registry, Socket, read,
    },
    routing::{Dims, Pass},
};

/// All experts of one layer. Experts of equal shape are one stacked parameter, which gives few large
/// products, and few tensors for the optimizer.
pub trait Experts: Module + Sync + 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs.
    const NAME: &'static str;
    /// A one-line description.
    const ABOUT: &'static str;
    /// URL of the paper.
    const PAPER: &'static str = "";

    /// Checks that the hyperparameters fit the sizes, before anything is built.
    fn check(_config: &Self::Config, _dims: Dims) -> Result<(), String> {
        Ok(())
    }

    /// Fresh experts: `dims.n_experts` of them, on rows of `dims.width`.
    fn init(config: &Self::Config, dims: Dims, init: &Init) -> Self;

    /// `[E, S, D] -> [E, S, D]`: expert e works on the rows of `slots[e]`, each row by itself.
    fn forward(&self, pass: &mut Pass, slots: Tensor<3>) -> Tensor<3>;

    /// The matrices, if [`Experts::forward`] is a feed-forward network of two or three matrices. Engines
    /// then compute it by a fused kernel, with the same result.
    fn stack(&self) -> Option<kernels::Ffn> {
        None
    }

    /// Floating-point operations of one expert on one row, on average over the experts; a
    /// multiplication and an addition are two.
    fn flops_per_row(&self) -> f64;

    /// The floating-point operations of one expert on one row, for experts that differ.
    fn flops_of(&self, _expert: usize) -> f64 {
        self.flops_per_row()
    }
}

/// The object-safe form of [`Experts`].
pub trait DynExperts: Erased<ExpertsSocket> {
    /// See [`Experts::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Experts::forward`].
    fn forward(&self, pass: &mut Pass, slots: Tensor<3>) -> Tensor<3>;
    /// See [`Experts::stack`].
    fn stack(&self) -> Option<kernels::Ffn>;
    /// See [`Experts::flops_per_row`].
    fn flops_per_row(&self) -> f64;
    /// See [`Experts::flops_of`].
    fn flops_of(&self, expert: usize) -> f64;
}

impl<X: Experts> DynExperts for X {
    fn name(&self) -> &'static str {
        X::NAME
    }
    fn forward(&self, pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        Experts::forward(self, pass, slots)
    }
    fn stack(&self) -> Option<kernels::Ffn> {
        Experts::stack(self)
    }
    fn flops_per_row(&self) -> f64 {
        Experts::flops_per_row(self)
    }
    fn flops_of(&self, expert: usize) -> f64 {
        Experts::flops_of(self, expert)
    }
}

/// The socket of experts.
pub enum ExpertsSocket {}

impl Socket for ExpertsSocket {
    type Object = dyn DynExperts;
}

impl<X: Experts> Plug<X> for ExpertsSocket {
    fn plug(experts: X) -> Box<dyn DynExperts> {
        Box::new(experts)
    }
}

/// Any experts.
pub type AnyExperts = Boxed<ExpertsSocket>;

/// The constructor of registered experts.
#[derive(Clone, Copy)]
pub struct BuildExperts {
    /// See [`Experts::check`]; reads the hyperparameters first.
    pub check: fn(&Choice, Dims) -> Result<(), ConfigError>,
    /// Checks, then builds.
    pub init: fn(&Choice, Dims, &Init) -> Result<AnyExperts, ConfigError>,
}

/// Kinds of experts by name.
pub type ExpertKinds = Registry<BuildExperts>;

impl ExpertKinds {
    /// Adds a kind of experts under its [`Experts::NAME`].
    pub fn with<X: Experts>(mut self) -> Self {
        let build = BuildExperts {
            check: |choice, dims| checked::<X>(choice, dims).map(drop),
            init: |choice, dims, init| {
                Ok(AnyExperts::new(X::init(&checked::<X>(choice, dims)?, dims, init)))
            },
        };
        self.add(X::NAME, Entry::new::<X::Config>(X::ABOUT, X::PAPER, Value::Null, build));
        self
    }
}

fn checked<X: Experts>(choice: &Choice, dims: Dims) -> Result<X::Config, ConfigError> {
    let config: X::Config = read("expert", choice)?;
    X::check(&config, dims).map_err(|message| ConfigError::Invalid {
        what: "expert",
        name: X::NAME.to_string(),
        message,
    })?;
    Ok(config)
}
