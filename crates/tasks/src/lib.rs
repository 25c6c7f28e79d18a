//! Tasks: data, loss and metrics, one file each. A task is independent of the network.
//!
//! [`Task`] is the small core that every task implements. Text, streams, attacks, clusters and conditions
//! are extensions, traits of their own in `extensions.rs`; translation is one in `translation_task.rs`.

mod batch;
mod data;
mod extensions;
mod grouped;
#[cfg(test)]
#[path = "../../bench/tests/fuzz/mutate.rs"]
mod mutate;
mod official;
pub mod raw;
mod registry;
mod score;
pub mod soccer;
mod split;
pub mod synthetic;
mod task;
#[cfg(test)]
mod testing;
pub mod text;
mod tokenizer;
mod translation_task;
mod trivial;
pub mod video;
pub mod vision;
#[cfg(test)]
#[path = "../../bench/tests/common/worked.rs"]
mod worked;

pub use batch::{Batch, TextFacts};
pub use data::{DataDigest, DataDir, DataError, Origin};
pub use extensions::{
    AnswerChoice, AttackedTask, ClusteredTask, ConditionedTask, Property, Question, SequentialTask,
    StreamTask, TextTask, WholeSplitTask,
};
pub use grouped::Grouped;
pub use registry::{BuildTask, LoadedTask, Tasks, same_answers};
pub use score::{Score, cross_entropy};
pub use split::{BatchPosition, Split};
pub use task::{FoldedTask, LoadTask, Task};
pub use text::CHOICE_METRICS;
pub use tokenizer::{Tokenizer, Tokens};
pub use translation_task::{TranslationTask, Writing};

/// All tasks. The list is the table of contents.
pub fn all() -> Tasks {
    Tasks::new()
        .with::<vision::Digits>()
        .with::<text::TanakaLm>()
        .with::<text::TextLm>()
        .with::<text::StateOfTheUnion>()
        .with::<text::MaskedLm>()
        .with::<text::Translation>()
        .with::<vision::Mnist>()
        .with::<vision::FashionMnist>()
        .with::<vision::Cifar10>()
        .with::<vision::Omniglot>()
        .with::<vision::ImageFolder>()
        .with::<synthetic::Patterns>()
        .with::<synthetic::PlantedClusters>()
        .with::<raw::Rice>()
        .with::<video::Spotting>()
        .with::<video::Segmentation>()
        .with::<video::Boundary>()
        .with::<video::Grounding>()
        .with::<soccer::PitchLocalization>()
        .with::<soccer::CameraCalibration>()
        .with::<soccer::Reidentification>()
        .with::<soccer::PlayerTracking>()
        .with::<soccer::AppearanceTracking>()
}
