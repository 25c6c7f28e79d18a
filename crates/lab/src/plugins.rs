//! The plug-ins that a suite can name.

use backbones::{Backbone, Backbones};
use moe::{ExpertKinds, Experts, Library, ResidualRule, ResidualRules, Router, Routers};
use tasks::{LoadTask, Tasks};
use training::supernet::Supernet;

/// All plug-ins by name. A program starts from the standard plug-ins and adds its own.
#[derive(Clone)]
pub struct Plugins {
    /// Routers, experts, residual rules.
    pub library: Library,
    /// Networks.
    pub backbones: Backbones,
    /// The tasks.
    pub tasks: Tasks,
}

impl Default for Plugins {
    /// The standard plug-ins.
    fn default() -> Self {
        let library = Library {
            routers: routers::all(),
            experts: experts::all(),
            residuals: residuals::all(),
        };
        Self { library, backbones: backbones::all().with::<Supernet>(), tasks: tasks::all() }
    }
}

impl Plugins {
    /// Adds a router.
    pub fn with_router<R: Router>(mut self) -> Self {
        self.library.routers = Routers::with::<R>(self.library.routers);
        self
    }

    /// Adds a kind of experts.
    pub fn with_experts<X: Experts>(mut self) -> Self {
        self.library.experts = ExpertKinds::with::<X>(self.library.experts);
        self
    }

    /// Adds a residual rule.
    pub fn with_residual<R: ResidualRule>(mut self) -> Self {
        self.library.residuals = ResidualRules::with::<R>(self.library.residuals);
        self
    }

    /// Adds a network.
    pub fn with_backbone<N: Backbone>(mut self) -> Self {
        self.backbones = self.backbones.with::<N>();
        self
    }

    /// Adds a task.
    pub fn with_task<T: LoadTask>(mut self) -> Self {
        self.tasks = self.tasks.with::<T>();
        self
    }

    /// Whether a plug-in of any kind has this name.
    pub(crate) fn knows(&self, kind: &str) -> bool {
        let Library { routers, experts, residuals } = &self.library;
        routers.get(kind).is_ok()
            || experts.get(kind).is_ok()
            || residuals.get(kind).is_ok()
            || self.backbones.get(kind).is_ok()
            || self.tasks.get(kind).is_ok()
    }

    /// Whether a file of this name contains a router, a kind of experts or a residual rule.
    pub(crate) fn in_file(&self, stem: &str) -> bool {
        let kind = stem.replace('_', "-");
        let Library { routers, experts, residuals } = &self.library;
        routers.get(&kind).is_ok() || experts.get(&kind).is_ok() || residuals.get(&kind).is_ok()
    }
}
