//! The trials of a suite that tunes its methods.

use report::{Better, direction};

use super::{
    search_space::SearchSpace,
    selection::{distinct, only},
};
use crate::spec::{Candidate, Group, Halving, RunSpec, Tuned, TuningPlan};

impl TuningPlan {
    /// From the settings of each method and task. `with_seeds` makes runs of these seeds.
    pub(crate) fn new(
        tune: &SearchSpace,
        choices: Vec<Vec<(String, RunSpec)>>,
        seeds: &[u64],
        with_seeds: impl Fn(&RunSpec, &[u64]) -> Vec<RunSpec>,
    ) -> Self {
        let group = |of_method: Vec<(String, RunSpec)>| {
            let first = of_method.first().map_or("loss", |(_, spec)| spec.data.metrics()[0]);
            let metric = tune.metric.clone().unwrap_or_else(|| first.into());
            let n = of_method.len();
            let rates = rates(&of_method);
            let candidate = |(text, spec): (String, RunSpec)| {
                let lr = spec.config.train.lr;
                let tuned = Tuned {
                    text: text.clone(),
                    settings: n,
                    rates: rates.len(),
                    rate_at_edge: rates.first() == Some(&lr) || rates.last() == Some(&lr),
                };
                let spec = RunSpec { tuned: Some(tuned), ..spec };
                let rung = |rung| with_seeds(&on_rung(&spec, tune.halving, rung), &tune.seeds);
                Candidate {
                    rungs: (0..tune.halving.rungs).map(rung).collect(),
                    finals: with_seeds(&spec, seeds),
                    text,
                }
            };
            Group {
                better: direction(&metric).unwrap_or(Better::Lower),
                halving: tune.halving,
                options: of_method.into_iter().map(candidate).collect(),
                metric,
            }
        };
        Self { groups: choices.into_iter().map(group).collect(), halving: tune.halving }
    }

    /// Only what leads to runs with these properties.
    pub(crate) fn only(mut self, wanted: &[String]) -> anyhow::Result<Self> {
        let options = self.groups.iter().flat_map(|group| &group.options);
        let all: Vec<RunSpec> = options.flat_map(|option| option.finals.clone()).collect();
        let left = distinct(only(all, wanted)?.into_iter().map(|spec| spec.id));
        for option in self.groups.iter_mut().flat_map(|group| &mut group.options) {
            option.finals.retain(|spec| left.contains(&spec.id));
        }
        self.groups.retain(|group| group.options.iter().any(|option| !option.finals.is_empty()));
        Ok(self)
    }
}

/// The different learning rates of settings, in order.
fn rates(settings: &[(String, RunSpec)]) -> Vec<f64> {
    let mut rates: Vec<f64> = settings.iter().map(|(_, spec)| spec.config.train.lr).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

/// A run as it is tried on a rung.
fn on_rung(spec: &RunSpec, halving: Halving, rung: u32) -> RunSpec {
    let mut spec = RunSpec { trial: true, ..spec.clone() };
    let train = &mut spec.config.train;
    if train.steps > 0 {
        train.steps = halving.steps(train.steps, rung);
        train.warmup = train.warmup.min(halving.steps(train.warmup, rung));
    }
    spec
}
