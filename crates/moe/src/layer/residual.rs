//! The plug-in interface of residual rules: a rule adds a layer's output to the stream.

use burn::prelude::*;
use serde_json::Value;

use crate::{
    plugin::{
        Boxed, Choice, ConfigError, Entry, Erased, Hyper, Init, Plug, Registry, Socket, read,
    },
    routing::Pass,
};

/// A MoE layer as a function for a rule: `[B, T, D] -> [B, T, D]`. Each call is a separate visit, with its
/// own losses and its own report.
pub type Visit<'a> = &'a dyn Fn(&mut Pass, Tensor<3>) -> Tensor<3>;

/// A rule by which a layer's output is added to the stream. State that is passed from layer to layer (a
/// momentum) is kept in the pass as a private type.
pub trait ResidualRule: Module + Sync + 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs.
    const NAME: &'static str;
    /// A one-line description.
    const ABOUT: &'static str;
    /// URL of the paper.
    const PAPER: &'static str = "";

    /// Checks the hyperparameters. The message names the wrong one and the allowed values.
    fn check(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// A fresh rule for a stream of `width`.
    fn init(config: &Self::Config, width: usize, init: &Init) -> Self;

    /// The new stream from the stream `x` and the layer's output, both `[B, T, D]`.
    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3>;

    /// The new stream from the stream `x` and the input of the layer, both `[B, T, D]`. A rule that
    /// changes the input, or calls the layer more than once, implements this method itself.
    fn step(&self, pass: &mut Pass, x: Tensor<3>, input: Tensor<3>, layer: Visit) -> Tensor<3> {
        let output = layer(pass, input);
        self.join(pass, x, output)
    }
}

/// The object-safe form of [`ResidualRule`].
pub trait DynResidual: Erased<ResidualSocket> {
    /// See [`ResidualRule::NAME`].
    fn name(&self) -> &'static str;
    /// See [`ResidualRule::step`].
    fn step(&self, pass: &mut Pass, x: Tensor<3>, input: Tensor<3>, layer: Visit) -> Tensor<3>;
}

impl<R: ResidualRule> DynResidual for R {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn step(&self, pass: &mut Pass, x: Tensor<3>, input: Tensor<3>, layer: Visit) -> Tensor<3> {
        ResidualRule::step(self, pass, x, input, layer)
    }
}

/// The socket of residual rules.
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

/// The constructor of a registered residual rule.
#[derive(Clone, Copy)]
pub struct BuildResidual {
    /// See [`ResidualRule::check`]; reads the hyperparameters first.
    pub check: fn(&Choice) -> Result<(), ConfigError>,
    /// Checks, then builds for a stream of this width.
    pub init: fn(&Choice, usize, &Init) -> Result<AnyResidual, ConfigError>,
}

/// Residual rules by name.
pub type ResidualRules = Registry<BuildResidual>;

impl ResidualRules {
    /// Adds a rule under its [`ResidualRule::NAME`].
    pub fn with<R: ResidualRule>(mut self) -> Self {
        let build = BuildResidual {
            check: |choice| checked::<R>(choice).map(drop),
            init: |choice, width, init| {
                Ok(AnyResidual::new(R::init(&checked::<R>(choice)?, width, init)))
            },
        };
        self.add(R::NAME, Entry::new::<R::Config>(R::ABOUT, R::PAPER, Value::Null, build));
        self
    }
}

fn checked<R: ResidualRule>(choice: &Choice) -> Result<R::Config, ConfigError> {
    let config: R::Config = read("residual", choice)?;
    R::check(&config).map_err(|message| ConfigError::Invalid {
        what: "residual",
        name: R::NAME.to_string(),
        message,
    })?;
    Ok(config)
}
