//! One network whose steps are looked at before they are made.

use std::path::Path;

use backbones::AnyBackbone;
use burn::optim::GradientsParams;
use moe::{Input, with_parameters};
use serde::{Deserialize, Serialize};
use tasks::{Batch, Mix};

use super::{
    Damage, Detect, Persistent, SpikesConfig, detector::Course, fault_impact::Aftermath,
    quarantine::Quarantine, states::states,
};
use crate::{
    Checkpoint, CheckpointError, Order, Run, TrainError,
    checkpoint::State,
    edit::spoilt,
    learner::{Learner, Now, Replica, Share, Show, StepMetrics},
    pending_losses::PendingLosses,
};

/// A network, and what is known of its steps.
pub(crate) struct Guard {
    one: Replica,
    kept: Kept,
    /// The losses of steps that were made since someone asked, and how many.
    losses: (f64, usize),
    /// Floating-point operations of all tries of the step at hand.
    flops: f64,
    /// The error with which the run ends, where there is no guard.
    failed: Option<TrainError>,
}

/// The state in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    loss: Course,
    gradient: Course,
    quarantine: Quarantine,
    counts: Counts,
    /// Examples that were computed besides those of the order.
    more: usize,
    fault_impact: Aftermath,
}

/// The counts so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// Steps that were spikes when they were tried first.
    spikes: usize,
    /// Tries after the first.
    retried: usize,
    /// Steps made at the lower rate.
    lowered: usize,
    /// Steps left out.
    skipped: usize,
    /// Examples that came out of quarantine.
    reinjected: usize,
}

/// A step that is not made yet.
struct Seen {
    told: StepMetrics,
    grads: GradientsParams,
    /// The mean loss of the task, no number if the objective is none.
    loss: f64,
    losses: (f64, usize),
    norm: f64,
    failed: Option<TrainError>,
}

impl Seen {
    fn is_number(&self) -> bool {
        self.loss.is_finite() && self.norm.is_finite()
    }
}

impl Guard {
    pub(crate) fn new(one: Replica) -> Self {
        Self { one, kept: Kept::default(), losses: (0.0, 0), flops: 0.0, failed: None }
    }

    /// The same as a checkpoint has it.
    pub(crate) fn restored(self, state: &State) -> Result<Self, CheckpointError> {
        let bytes = state.rest.first().map_or(&[][..], Vec::as_slice);
        let kept = serde_json::from_slice(bytes).map_err(|err| state.damaged(err.to_string()))?;
        Ok(Self { one: self.one.restored(state)?, kept, ..self })
    }

    /// Forward and backward, with what damage there is when the step is read for this time.
    fn look(&mut self, now: Now, order: &mut Order, more: Option<usize>, read: usize) -> Seen {
        let Now { run, step, .. } = now;
        let damage = run.config.faults.iter().find(|damage| damage.hits(step, read));
        let corrupt = |micro: usize, batch: Batch| match damage.map(Damage::fault) {
            None => batch,
            Some(None) => no_number(batch),
            Some(Some(fault)) => {
                let purpose = format!("damage/{}/{step}/{micro}", run.seed);
                spoilt(&fault, run.task, &purpose, batch)
            }
        };
        let show = Show {
            share: Share::all(run.config.accumulate, self.one.team()),
            corrupt: &corrupt,
            more,
        };
        let (mut unread, mut losses) = (PendingLosses::default(), (0.0, 0));
        let (told, grads) = self.one.gradients(now, order, show, &mut unread);
        self.flops += told.flops;
        let failed = unread.read(&*self.one.team().world, &mut losses).err();
        let loss = if failed.is_some() { f64::NAN } else { losses.0 / losses.1 as f64 };
        let norm = f64::from(told.norm.clone().into_scalar::<f32>());
        self.kept.more += run.config.batch_at(step) + usize::from(more.is_some());
        Seen { told, grads, loss, losses, norm, failed }
    }

    /// Makes a step.
    fn make(&mut self, seen: Seen, lr: f64, now: Now) -> StepMetrics {
        self.failed = self.failed.take().or(seen.failed);
        self.losses = (self.losses.0 + seen.losses.0, self.losses.1 + seen.losses.1);
        self.one.apply(now.run, lr, seen.grads);
        seen.told
    }

    /// Tries a step until it is no spike: twice as it is, then at the lower rate.
    fn tries(
        &mut self,
        config: &SpikesConfig,
        now: Now,
        order: &mut Order,
        more: Option<usize>,
    ) -> StepMetrics {
        let (train, mut read) = (now.run.config, 0);
        let lr = train.lr_at(now.step);
        let rates = [lr, lr, lr * config.lower];
        loop {
            let before = states(self.one.model());
            let seen = self.look(now, order, more, read);
            let (spike, last) = (self.kept.is_spike(config, &seen), read + 1 == rates.len());
            self.kept.counts.spikes += usize::from(spike && read == 0);
            self.kept.counts.retried += usize::from(read > 0);
            let anyway = last && config.persistent == Persistent::Lower && seen.is_number();
            if !spike {
                self.kept.accept(config, &seen);
            }
            if !spike || last {
                self.kept.fault_impact.see(&train.faults, now.step, seen.loss);
            }
            if !spike || anyway {
                self.kept.counts.lowered += usize::from(last);
                return self.make(seen, rates[read], now);
            }
            self.one
                .change(|model| with_parameters(model, before).expect("states of this network"));
            if last {
                self.skip(now, order, more);
                return seen.told;
            }
            read += 1;
        }
    }

    /// Leaves a step out: its examples will come back.
    fn skip(&mut self, Now { run, step, .. }: Now, order: &mut Order, more: Option<usize>) {
        let config = run.config;
        let examples = order.examples(config.examples_before(step), config.batch_at(step));
        self.kept.quarantine.enter(examples.into_iter().chain(more));
        self.kept.counts.skipped += 1;
    }
}

impl Kept {
    fn is_spike(&self, config: &SpikesConfig, seen: &Seen) -> bool {
        let spike = |course: &Course, x| course.is_spike(x, config.sigma, config.window);
        let (loss, gradient) = match config.detect {
            Detect::Loss => (true, false),
            Detect::Gradient => (false, true),
            Detect::Both => (true, true),
        };
        !seen.is_number()
            || loss && spike(&self.loss, seen.loss)
            || gradient && spike(&self.gradient, seen.norm)
    }

    fn accept(&mut self, config: &SpikesConfig, seen: &Seen) {
        self.loss.accept(seen.loss, config.window);
        self.gradient.accept(seen.norm, config.window);
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
        let Now { run, step, tells } = now;
        let mut told = match &run.config.spikes {
            Some(config) => {
                let back = self.kept.quarantine.leave(run.seed, step, config.return_every);
                self.kept.counts.reinjected += usize::from(back.is_some());
                self.tries(config, now, order, back)
            }
            None => {
                let seen = self.look(now, order, None, 0);
                self.kept.fault_impact.see(&run.config.faults, step, seen.loss);
                self.make(seen, run.config.lr_at(step), now)
            }
        };
        self.kept.more -= run.config.batch_at(step);
        told.flops = std::mem::take(&mut self.flops);
        if tells && run.config.spikes.is_some() {
            told.scalars.extend(self.kept.counts());
        }
        told
    }

    fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let (sum, count) = std::mem::take(&mut self.losses);
        *sums = (sums.0 + sum, sums.1 + count);
        Ok(())
    }

    fn network(&self) -> AnyBackbone {
        self.one.network()
    }

    fn save(&self, at: &Checkpoint, folder: &Path) -> Result<(), CheckpointError> {
        let kept = serde_json::to_vec(&self.kept).map_err(|err| CheckpointError::Io {
            path: Checkpoint::path(folder),
            source: err.into(),
        })?;
        let (team, model) = (self.one.team(), self.one.model());
        at.save_by(team, folder, model, &self.one.optimizer, &[kept])
    }

    fn tells(&self, run: &Run) -> Vec<(String, f64)> {
        let counts = run.config.spikes.as_ref().map(|_| self.kept.counts());
        let rise = self.kept.fault_impact.rise().map(|rise| ("loss_rise".to_string(), rise));
        counts.into_iter().flatten().chain(rise).collect()
    }

    fn more(&self) -> usize {
        self.kept.more
    }
}

/// The batch with a loss that is no number: pixels that are none, and answers that are mixed with
/// others by a share that is none.
fn no_number(batch: Batch) -> Batch {
    let mix = Some(Mix { labels: batch.labels.clone(), share: f64::NAN });
    let input = match batch.input {
        Input::Image(pixels) => Input::Image(pixels * f64::NAN),
        tokens => tokens,
    };
    Batch { input, mix, ..batch }
}
