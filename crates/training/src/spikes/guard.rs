//! One network whose steps are checked before they are applied.

use std::path::Path;

use backbones::AnyBackbone;
use burn::optim::GradientsParams;
use moe::with_parameters;
use serde::{Deserialize, Serialize};
use tasks::Batch;

use super::{
    detector::RunningStats, fault_impact::FaultImpact, quarantine::Quarantine, states::states,
};
use crate::{
    Checkpoint, CheckpointError, Damage, Order, Persistent, Run, SpikesConfig, TrainError,
    checkpoint::State,
    edit::corrupted,
    learner::{Learner, Now, Replica, Share, Show, StepMetrics},
    pending_losses::PendingLosses,
};

/// The factor on the learning rate at the third attempt of a step. Our choice: the report gives no number.
const LOWER: f64 = 0.1;

/// The number of steps from one example that leaves quarantine to the next. Our choice.
const RETURN_EVERY: usize = 8;

/// A network with the state of its spike handling.
pub(crate) struct Guard {
    replica: Replica,
    state: GuardState,
    /// The losses of applied steps since the last read: their sum and their number.
    losses: (f64, usize),
    /// Floating-point operations of all attempts of the current step.
    flops: f64,
    /// The error with which the run ends, if there is no spike handling.
    failed: Option<TrainError>,
}

/// The state in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct GuardState {
    loss: RunningStats,
    quarantine: Quarantine,
    counts: Counts,
    /// The number of examples that were computed in addition to those of the order.
    more: usize,
    fault_impact: FaultImpact,
}

/// The counts so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// The number of steps that were spikes at their first attempt.
    spikes: usize,
    /// The number of attempts after the first.
    retried: usize,
    /// The number of steps that were executed at the lower rate.
    lowered: usize,
    /// The number of skipped steps.
    skipped: usize,
    /// The number of examples that left quarantine.
    reinjected: usize,
}

/// A step that is not yet applied.
struct Attempt {
    metrics: StepMetrics,
    grads: GradientsParams,
    /// The mean loss of the task; NaN or infinite if the objective is.
    loss: f64,
    losses: (f64, usize),
    norm: f64,
    failed: Option<TrainError>,
}

impl Attempt {
    fn is_number(&self) -> bool {
        self.loss.is_finite() && self.norm.is_finite()
    }
}

impl Guard {
    pub(crate) fn new(replica: Replica) -> Self {
        Self { replica, state: GuardState::default(), losses: (0.0, 0), flops: 0.0, failed: None }
    }

    /// The same with the state of a checkpoint.
    pub(crate) fn restored(self, state: &State) -> Result<Self, CheckpointError> {
        let bytes = state.rest.first().map_or(&[][..], Vec::as_slice);
        let own = serde_json::from_slice(bytes).map_err(|err| state.damaged(err.to_string()))?;
        Ok(Self { replica: self.replica.restored(state)?, state: own, ..self })
    }

    /// The forward and backward pass, with the damage that applies to this read of the step.
    fn attempt(
        &mut self,
        now: Now,
        order: &mut Order,
        more: Option<usize>,
        read: usize,
    ) -> Attempt {
        let Now { run, step, .. } = now;
        let damage = run.config.faults.iter().find(|damage| damage.hits(step, read));
        let fault = damage.map(Damage::fault);
        let corrupt = |micro: usize, batch: Batch| match &fault {
            Some(Some(fault)) => {
                let purpose = format!("damage/{}/{step}/{micro}", run.seed);
                corrupted(fault, run.task, &purpose, batch)
            }
            _ => batch,
        };
        let show = Show {
            share: Share::all(run.config.accumulate, self.replica.group()),
            corrupt: &corrupt,
            nan: matches!(fault, Some(None)),
            more,
        };
        let (mut pending, mut losses) = (PendingLosses::default(), (0.0, 0));
        let (metrics, grads) = self.replica.gradients(now, order, show, &mut pending);
        self.flops += metrics.flops;
        let failed = pending.read(&*self.replica.group().world, &mut losses).err();
        let loss = if failed.is_some() { f64::NAN } else { losses.0 / losses.1 as f64 };
        let norm = f64::from(metrics.norm.clone().into_scalar::<f32>());
        self.state.more += run.config.batch + usize::from(more.is_some());
        Attempt { metrics, grads, loss, losses, norm, failed }
    }

    /// Applies a step.
    fn make(&mut self, attempt: Attempt, lr: f64, now: Now) -> StepMetrics {
        self.failed = self.failed.take().or(attempt.failed);
        self.losses = (self.losses.0 + attempt.losses.0, self.losses.1 + attempt.losses.1);
        self.replica.apply(now.run, lr, attempt.grads);
        attempt.metrics
    }

    /// Repeats a step until it is no spike: twice unchanged, then at the lower rate.
    fn tries(
        &mut self,
        config: &SpikesConfig,
        now: Now,
        order: &mut Order,
        more: Option<usize>,
    ) -> StepMetrics {
        let (train, mut read) = (now.run.config, 0);
        let lr = train.lr_at(now.step);
        let rates = [lr, lr, lr * LOWER];
        loop {
            let before = states(self.replica.model());
            let attempt = self.attempt(now, order, more, read);
            let (spike, last) = (self.state.is_spike(config, &attempt), read + 1 == rates.len());
            self.state.counts.spikes += usize::from(spike && read == 0);
            self.state.counts.retried += usize::from(read > 0);
            let anyway = last && config.persistent == Persistent::Lower && attempt.is_number();
            if !spike {
                self.state.accept(config, &attempt);
            }
            if !spike || last {
                self.state.fault_impact.see(&train.faults, now.step, attempt.loss);
            }
            if !spike || anyway {
                self.state.counts.lowered += usize::from(last);
                return self.make(attempt, rates[read], now);
            }
            self.replica
                .change(|model| with_parameters(model, before).expect("states of this network"));
            if last {
                self.skip(now, order, more);
                return attempt.metrics;
            }
            read += 1;
        }
    }

    /// Skips a step; its examples go into quarantine.
    fn skip(&mut self, Now { run, step, .. }: Now, order: &mut Order, more: Option<usize>) {
        let config = run.config;
        let examples = order.examples(config.examples_before(step), config.batch);
        self.state.quarantine.enter(examples.into_iter().chain(more));
        self.state.counts.skipped += 1;
    }
}

impl GuardState {
    fn is_spike(&self, config: &SpikesConfig, attempt: &Attempt) -> bool {
        !attempt.is_number() || self.loss.is_spike(attempt.loss, config.sigma, config.window)
    }

    fn accept(&mut self, config: &SpikesConfig, attempt: &Attempt) {
        self.loss.accept(attempt.loss, config.window);
    }

    /// The counts so far, by name.
    fn counts(&self) -> Vec<(String, f64)> {
        let Counts { spikes, retried, lowered, skipped, reinjected } = self.counts;
        let quarantined = self.quarantine.len();
        [
            ("spikes", spikes),
            ("retried", retried),
            ("lowered", lowered),
            ("skipped", skipped),
            ("reinjected", reinjected),
            ("quarantined", quarantined),
        ]
        .map(|(name, count)| (name.to_string(), count as f64))
        .into()
    }
}

impl Learner for Guard {
    fn step(&mut self, now: Now, order: &mut Order) -> StepMetrics {
        let Now { run, step, logs } = now;
        let mut metrics = match &run.config.spikes {
            Some(config) => {
                let back = self.state.quarantine.leave(run.seed, step, RETURN_EVERY);
                self.state.counts.reinjected += usize::from(back.is_some());
                self.tries(config, now, order, back)
            }
            None => {
                let attempt = self.attempt(now, order, None, 0);
                self.state.fault_impact.see(&run.config.faults, step, attempt.loss);
                self.make(attempt, run.config.lr_at(step), now)
            }
        };
        self.state.more -= run.config.batch;
        metrics.flops = std::mem::take(&mut self.flops);
        if logs && run.config.spikes.is_some() {
            metrics.scalars.extend(self.state.counts());
        }
        metrics
    }

    fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let (sum, count) = std::mem::take(&mut self.losses);
        *sums = (sums.0 + sum, sums.1 + count);
        Ok(())
    }

    fn measure_norms(&mut self, run: &Run) {
        self.replica.measure_norms(run);
    }

    fn network(&self) -> AnyBackbone {
        self.replica.network()
    }

    fn save(&self, at: &Checkpoint, folder: &Path) -> Result<(), CheckpointError> {
        let state = serde_json::to_vec(&self.state).map_err(|err| CheckpointError::Io {
            path: Checkpoint::path(folder),
            source: err.into(),
        })?;
        let (group, model) = (self.replica.group(), self.replica.model());
        at.save_by(group, folder, model, &self.replica.optimizer, &[state])
    }

    fn metrics(&self, run: &Run) -> Vec<(String, f64)> {
        let counts = run.config.spikes.as_ref().map(|_| self.state.counts());
        let rise = self.state.fault_impact.rise().map(|rise| ("loss_rise".to_string(), rise));
        counts.into_iter().flatten().chain(rise).collect()
    }

    fn more(&self) -> usize {
        self.state.more
    }
}
