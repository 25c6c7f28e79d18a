//! Everything that the file of a router needs.

pub use std::process::ExitCode;

pub use burn::{
    self,
    module::{Module, Param, RunningState},
    nn::Linear,
    prelude::*,
    tensor::activation::{sigmoid, softmax},
};
pub use moe::{
    self, Choice, Dims, Experts, Init, NoConfig, Pass, Plan, ResidualRule, Router, TokenIds,
    config, top_k,
};
pub use routers::conformance;

pub use crate::Plugins;
