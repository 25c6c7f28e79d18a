//! Routing: the units of an input, the plan for the units, the router that makes the plan, and the state
//! of a pass.

mod beside;
mod by_input;
mod input;
mod layer_report;
mod level;
mod pass;
mod plan;
mod reports;
mod router;
mod split_experts;
mod view;

pub(crate) use by_input::by_input;
pub use input::{Domain, Input, SequencePair};
pub use layer_report::LayerReport;
pub use level::Level;
pub use pass::{
    BlockInput, Clusters, Condition, ExampleIndices, Pass, RouterLogits, SkipTopExperts, TokenIds,
};
pub(crate) use plan::to_host;
pub use plan::{Plan, counts, one_hot, top_k};
pub use router::{AnyRouter, BuildRouter, Dims, DynRouter, Router, RouterSocket, Routers};
pub(crate) use split_experts::SplitExperts;
