//! The socket for the rule by which a layer's output joins the stream.

use burn::prelude::*;
use serde_json::Value;

use crate::{
    Boxed, Choice, ConfigError, Entry, Erased, Hyper, Init, Pass, Plug, Registry, Socket, read,
};

/// How a layer's output joins the stream. State that travels from layer to layer (a momentum)
/// goes through the pass as a private type.
pub trait ResidualRule: Module + Sync + 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs.
    const NAME: &'static str;
    /// One line on what it does.
    const ABOUT: &'static str;
    /// URL of the paper.
    const PAPER: &'static str = "";

    /// A fresh rule for a stream of `width`.
    fn init(config: &Self::Config, width: usize, init: &Init) -> Self;

    /// The stream `x` and the layer's output, both `[B, T, D]`, give the new stream.
    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3>;
}

/// The object-safe face of [`ResidualRule`].
pub trait DynResidual: Erased<ResidualSocket> {
    /// See [`ResidualRule::NAME`].
    fn name(&self) -> &'static str;
    /// See [`ResidualRule::join`].
    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3>;
}

impl<R: ResidualRule> DynResidual for R {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        ResidualRule::join(self, pass, x, output)
    }
}

/// Where residual rules plug in.
pub enum ResidualSocket {}

impl Socket for ResidualSocket {
    type Object = dyn DynResidual;
}

impl<R: ResidualRule> Plug<R> for ResidualSocket {
    fn plug(rule: R) -> Box<dyn DynResidual> {
        Box::new(rule)
    }
}

/// Any residual rule.
pub type AnyResidual = Boxed<ResidualSocket>;

/// How a registered residual rule is made.
pub type BuildResidual = fn(&Choice, usize, &Init) -> Result<AnyResidual, ConfigError>;

/// Residual rules by name.
pub type ResidualRules = Registry<BuildResidual>;

impl ResidualRules {
    /// Adds a rule under its [`ResidualRule::NAME`].
    pub fn with<R: ResidualRule>(mut self) -> Self {
        let build: BuildResidual = |choice, width, init| {
            Ok(AnyResidual::new(R::init(&read("residual", choice)?, width, init)))
        };
        self.add(R::NAME, Entry::new::<R::Config>(R::ABOUT, R::PAPER, Value::Null, build));
        self
    }
}
