//! Imports for the file of a plug-in: a router, experts, a residual rule, a task or a backbone.

pub use std::process::ExitCode;

pub use backbones::{self, AnyBackbone, Backbone, BackboneSpec, FeedForward, SequenceToSequence};
pub use burn::{
    self,
    module::{Module, Param, RunningState},
    nn::Linear,
    prelude::*,
    tensor::activation::{relu, sigmoid},
};
pub use kernels::{self, linear_layer, matmul};
pub use moe::{
    self, Choice, ConfigError, Dims, Domain, Experts, Init, Input, MoeConfig, NoConfig, Pass, Plan,
    ResidualRule, Router, TokenIds, config, softmax, top_k,
};
pub use routers::{
    conformance,
    kit::{self, Balance, BalanceLoss, Gate},
};
pub use tasks::{
    self, AttackedTask, Batch, BatchPosition, ClusteredTask, ConditionedTask, DataDir, DataError,
    FoldedTask, LoadTask, Property, Question, Score, SequentialTask, Split, StreamTask, Task,
    TextFacts, TextTask, Tokenizer, Tokens, TranslationTask, WholeSplitTask, Writing,
    cross_entropy,
};

pub use crate::Plugins;
