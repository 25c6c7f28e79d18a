//! Test scaffold: the runs of a suite that is given as text, and the untrained network of one of the runs.

use std::sync::Arc;

use backbones::AnyBackbone;
use burn::{module::Module, prelude::*};
use tasks::{DataDir, Task};
use tempfile::TempDir;

use crate::{
    Plugins,
    exec::ModelBuilder,
    planning::Source,
    spec::{Program, RunSpec, Selection, Suite, SuitePlan},
    store::Store,
};

/// Plans the runs of a suite called `s`, from the file `s.toml`.
pub(crate) fn plan(text: &str) -> anyhow::Result<SuitePlan> {
    plan_some(text, &Selection::default())
}

/// Plans the selected runs of a suite.
pub(crate) fn plan_some(text: &str, wanted: &Selection) -> anyhow::Result<SuitePlan> {
    let source = source(text)?.at_tier(&wanted.tier)?;
    source.plan(&Plugins::default(), &DataDir::default(), wanted)
}

/// A suite called `s`, from the file `s.toml`.
pub(crate) fn source(text: &str) -> anyhow::Result<Source> {
    let text: &'static str = text.to_string().leak();
    let suite = Suite { name: "s", file: "../s.toml", text, program: Program::NONE };
    Source::find("s", &[suite])
}

/// The first run of a suite with its untrained network.
pub(crate) struct Begun {
    pub(crate) spec: RunSpec,
    pub(crate) task: Arc<dyn Task>,
    /// The network, without autodiff.
    pub(crate) model: AnyBackbone,
    /// The folder, which is removed when this is dropped.
    pub(crate) folder: TempDir,
}

/// The first run of a suite, with its untrained network.
pub(crate) fn begin(text: &str) -> Begun {
    let spec = plan(text).unwrap().specs.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let (plugins, device) = (Plugins::default(), Device::flex());
    let store = Store::open(folder.path()).unwrap();
    drop(store.lock(&spec.id).unwrap()); // which makes the run's folder
    let builder = ModelBuilder { plugins: &plugins, store: &store, device: &device };
    let (task, model) = (builder.task_for(&spec).unwrap(), builder.begin(&spec).unwrap().valid());
    Begun { spec, task, model, folder }
}
