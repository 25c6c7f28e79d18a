//! A pass in which each process has a part of the experts of every layer.

use std::sync::Arc;

use burn::prelude::*;
use distributed::Communicator;

/// The processes that share the experts, and the order of the exchanges between them.
pub(crate) struct SplitExperts {
    world: Arc<dyn Communicator>,
    /// 0, computed from the output of the previous exchange.
    tie: Option<Tensor<1>>,
}

impl SplitExperts {
    /// The link of a pass to the processes of `world`; none if its own is the only one.
    pub(crate) fn of(world: &Arc<dyn Communicator>) -> Option<Self> {
        (world.size() > 1).then(|| Self { world: world.clone(), tie: None })
    }

    pub(crate) fn world(&self) -> &Arc<dyn Communicator> {
        &self.world
    }

    /// The input of an exchange, made dependent on the previous exchange. The backward pass therefore
    /// makes the exchanges in reverse order in every process, including exchanges that do not otherwise
    /// depend on each other.
    pub(crate) fn after(&self, payload: Tensor<3>) -> Tensor<3> {
        match &self.tie {
            Some(tie) => payload + tie.clone().reshape([1, 1, 1]),
            None => payload,
        }
    }

    /// Keeps the output of an exchange as a dependency of the next one.
    pub(crate) fn before(&mut self, output: &Tensor<3>) {
        self.tie = Some(output.clone().slice([0..1, 0..1, 0..1]).reshape([1]) * 0.0);
    }
}
