//! The learner: the networks of a run with their optimizers, one step at a time. The loop in
//! `supervised.rs` does not depend on their number.

use std::{path::Path, sync::Arc};

use backbones::{AnyBackbone, PassOfStep};
use burn::{
    module::Module,
    optim::{GradientsParams, ModuleOptimizer},
    prelude::*,
};
use distributed::Communicator;
use moe::{LayerReport, Pass};
use tasks::Batch;

use crate::{
    Checkpoint, CheckpointError, Order, ProcessGroup, Run, TrainError,
    batch_facts::{put_batch_facts, real_examples},
    checkpoint::State,
    clip::clip_of_all,
    layer_reports::{add_reports, mean_over},
    measured_norms::measure_norms,
    objective::{Answered, Value},
    optimizer::optimizer_of,
    parallel::{GradientSum, PartMetrics, SplitExperts},
    pending_losses::PendingLosses,
    rates::Rates,
    scope::Still,
    segment_memory::SegmentMemory,
    tracer::{Span, timed},
};

/// The metrics of a step.
pub(crate) struct StepMetrics {
    /// The global norm of the gradient, before clipping.
    pub(crate) norm: Tensor<1>,
    /// The metrics of the layers and of the learner, by name.
    pub(crate) scalars: Vec<(String, f64)>,
    /// The largest over the mean load, averaged over the layers, in steps where it is watched.
    pub(crate) load: Option<f64>,
    /// Floating-point operations of the step's forward passes.
    pub(crate) flops: f64,
}

/// The current step, counted from 0, and its run.
#[derive(Clone, Copy)]
pub(crate) struct Now<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) step: usize,
    /// Whether the metrics of the layers are read.
    pub(crate) logs: bool,
}

/// A run's networks and their optimizers.
pub(crate) trait Learner {
    /// Makes a step.
    fn step(&mut self, now: Now, order: &mut Order) -> StepMetrics;
    /// Adds the losses since the last call, and their number, to `sums`. Fails if they are not finite.
    fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError>;
    /// Measures the running values of batch norm. Workers do not support this, and their config refuses it.
    fn measure_norms(&mut self, _run: &Run) {}
    /// The current network, in evaluation mode.
    fn network(&self) -> AnyBackbone;
    /// Writes the checkpoint.
    fn save(&self, at: &Checkpoint, folder: &Path) -> Result<(), CheckpointError>;
    /// The metrics of the whole training, by name.
    fn metrics(&self, _run: &Run) -> Vec<(String, f64)> {
        Vec::new()
    }
    /// The number of examples that were computed in addition to those of the order.
    fn more(&self) -> usize {
        0
    }
}

/// The parts of a step's examples that contribute to a network's update, and the number of all parts.
#[derive(Clone)]
pub(crate) struct Share {
    /// The parts that this process computes.
    parts: Vec<usize>,
    of: usize,
    /// The processes that compute the other parts at the same time.
    world: Arc<dyn Communicator>,
    /// Whether each process has a part of the experts.
    experts: bool,
}

impl Share {
    /// All of `of` parts, shared among the processes of a group.
    pub(crate) fn all(of: usize, group: &ProcessGroup) -> Self {
        let (world, experts) = (group.world.clone(), group.has_split_experts());
        Self { parts: (world.rank()..of).step_by(world.size()).collect(), of, world, experts }
    }

    /// One of `of` parts, alone.
    pub(crate) fn one(part: usize, of: usize) -> Self {
        Self { parts: vec![part], of, world: ProcessGroup::alone().world, experts: false }
    }

    /// The number of parts whose gradients make up the step.
    fn in_step(&self) -> usize {
        self.parts.len() * self.world.size()
    }

    /// The pass for a part. The last parts of all processes end the step.
    fn pass(&self, run: &Run, step: usize, part: usize) -> Pass {
        let ends = self.parts.last() == Some(&part);
        let pass = Pass::train(run.seed, step, step as f64 / run.config.steps as f64)
            .micro_batch(part, if ends { part + 1 } else { usize::MAX })
            .beside(&self.world)
            .with_reports();
        if self.experts { pass.with_split_experts(&self.world) } else { pass }
    }
}

/// The examples of a learner in a step.
pub(crate) struct Show<'a> {
    pub(crate) share: Share,
    /// The change of each part before the forward pass.
    pub(crate) corrupt: &'a dyn Fn(usize, Batch) -> Batch,
    /// Whether the loss of each part is NaN, whatever the network's output.
    pub(crate) nan: bool,
    /// An additional example in the last part.
    pub(crate) more: Option<usize>,
}

/// The message if the network is missing.
const BETWEEN: &str = "the network may be missing only within a step";

/// One network with its optimizer.
pub(crate) struct Replica {
    /// The network; none only while a step updates it.
    model: Option<AnyBackbone>,
    pub(crate) optimizer: ModuleOptimizer,
    pending: PendingLosses,
    group: ProcessGroup,
    /// The split of the experts, if each process has a part of them.
    split: Option<SplitExperts>,
    /// States of parts that are not trained.
    still: Still,
    /// The learning rates of its parts.
    rates: Rates,
    /// The segment memory of the layers. Workers have none, and neither has a network whose steps are checked
    /// before they are applied.
    memory: SegmentMemory,
}

impl Replica {
    pub(crate) fn new(group: &ProcessGroup, run: &Run, model: AnyBackbone) -> Self {
        let optimizer = optimizer_of(group, run.config, &model);
        Self::of(group, model, optimizer)
    }

    fn of(group: &ProcessGroup, model: AnyBackbone, optimizer: ModuleOptimizer) -> Self {
        let (pending, memory) = (PendingLosses::default(), SegmentMemory::default());
        let (still, rates) = (Still::default(), Rates::default());
        let (model, group) = (Some(model), group.clone());
        Self { model, optimizer, pending, group, split: None, still, rates, memory }
    }

    /// The same, with states of parts that are not trained.
    pub(crate) fn with_still(self, still: Still) -> Self {
        Self { still, ..self }
    }

    /// The same, with learning rates of its parts.
    pub(crate) fn with_rates(self, rates: Rates) -> Self {
        Self { rates, ..self }
    }

    /// The same, with layers that see earlier windows if the task's windows continue each other.
    pub(crate) fn with_memory(self, run: &Run) -> Self {
        Self { memory: SegmentMemory::over(run.task), ..self }
    }

    /// The same with only the experts of this process, if processes split them.
    pub(crate) fn with_own_experts(mut self) -> Result<Self, TrainError> {
        if self.group.has_split_experts() {
            let whole = self.model.take().expect(BETWEEN);
            let split = SplitExperts::split(whole, &self.group.world);
            let (model, split) = split.map_err(TrainError::Experts)?;
            (self.model, self.split) = (Some(model), Some(split));
        }
        Ok(self)
    }

    /// The same, with the segment memory of a checkpoint.
    pub(crate) fn resumed(self, state: &State, device: &Device) -> Result<Self, CheckpointError> {
        let memory = self.memory.read(&state.rest, device);
        Ok(Self { memory: memory.map_err(|message| state.damaged(message))?, ..self })
    }

    pub(crate) fn group(&self) -> &ProcessGroup {
        &self.group
    }

    pub(crate) fn model(&self) -> &AnyBackbone {
        self.model.as_ref().expect(BETWEEN)
    }

    /// Replaces the network by one that is made from it.
    pub(crate) fn change(&mut self, by: impl FnOnce(AnyBackbone) -> AnyBackbone) {
        self.model = Some(by(self.model.take().expect(BETWEEN)));
    }

    /// A copy that shares nothing with this one.
    pub(crate) fn replica(&self) -> Self {
        let fresh = Self::of(&self.group, replica(self.model()), self.optimizer.clone());
        fresh.with_rates(self.rates.clone())
    }

    /// The same with the weights and the optimizer of a checkpoint.
    pub(crate) fn restored(self, state: &State) -> Result<Self, CheckpointError> {
        let (model, optimizer) = state.read(self.model().clone(), self.optimizer)?;
        Ok(Self { model: Some(model), optimizer, ..self })
    }

    /// A step on a share of its examples, each part of which is first changed by `corrupt`.
    pub(crate) fn step_on(
        &mut self,
        now: Now,
        order: &mut Order,
        share: Share,
        corrupt: &dyn Fn(usize, Batch) -> Batch,
        pending: &mut PendingLosses,
    ) -> StepMetrics {
        let show = Show { share, corrupt, nan: false, more: None };
        let (metrics, grads) = self.gradients(now, order, show, pending);
        self.apply(now.run, now.run.config.lr_at(now.step), grads);
        metrics
    }

    /// The gradient of a step, clipped, and the metrics of the step. Weights do not change; states that a
    /// rule updates do.
    pub(crate) fn gradients(
        &mut self,
        now: Now,
        order: &mut Order,
        show: Show,
        pending: &mut PendingLosses,
    ) -> (StepMetrics, GradientsParams) {
        let Now { run, step, .. } = now;
        let mut memory = std::mem::take(&mut self.memory);
        let (config, model) = (run.config, self.model());
        if !order.goes_on(config.examples_before(step)) {
            memory.forget();
        }
        let parts = show.share.in_step() as f64;
        // With several processes the step may have to wait for others.
        let waits = run.tracer.filter(|_| show.share.world.size() > 1);
        let split = self.split.as_ref();
        let mut sums = StepSums::new(&show.share, split);
        for &micro in &show.share.parts {
            sums.metrics.part();
            let batch = timed(run.tracer, Span::Data, || show.batch(now, order, micro));
            // Several passes over the same examples contribute to one gradient.
            let passes = model.passes();
            for number in 0..passes {
                let part = StepPart { micro, number, batch: &batch };
                let (pass, losses) = sums.forward(now, model, &mut memory, &part);
                let [loss, objective] = show.losses(losses);
                pending.add(step + 1, micro, loss, objective.clone());
                timed(run.tracer, Span::Backward, || sums.backward(model, objective / parts));
                timed(waits, Span::Exchange, || {
                    pass.settle();
                    // One process adds up all passes over a part before those over the next part.
                    if number + 1 == passes {
                        sums.gradient.exchange();
                    }
                });
                sums.count(now, model, &pass, &batch);
            }
        }
        let watched = step < config.watch_load;
        let (mut grads, (flops, loads, scalars)) =
            timed(waits, Span::Exchange, || sums.joined(model, watched));
        let clip = || clip_of_all(model, &mut grads, config.clip, split);
        let norm = timed(run.tracer, Span::Clip, clip);
        self.memory = memory;
        let load = mean_over(&loads, LayerReport::max_over_mean).filter(|_| watched);
        (StepMetrics { norm, scalars, load, flops }, grads)
    }

    /// Updates the weights.
    pub(crate) fn apply(&mut self, run: &Run, lr: f64, grads: GradientsParams) {
        let model = self.model.take().expect(BETWEEN);
        let rates = self.rates.at(lr);
        let moved = timed(run.tracer, Span::Optimizer, || self.optimizer.step(rates, model, grads));
        self.model = Some(self.still.put_back(moved));
    }
}

/// A separate network: clones of a network share the states that a rule updates.
pub(crate) fn replica<M: Module>(model: &M) -> M {
    model.valid().train()
}

impl Show<'_> {
    /// The examples of a part of a step.
    fn batch(&self, Now { run, step, .. }: Now, order: &mut Order, micro: usize) -> Batch {
        let part = run.config.batch / self.share.of;
        let position = run.config.examples_before(step) + micro * part;
        let mut examples = order.examples(position, part);
        examples.extend(self.more.filter(|_| micro + 1 == self.share.of));
        (self.corrupt)(micro, run.training_batch(&examples, position))
    }

    /// The losses of a part.
    fn losses(&self, losses: [Tensor<1>; 2]) -> [Tensor<1>; 2] {
        if self.nan { losses.map(|loss| loss * f64::NAN) } else { losses }
    }
}

/// One pass over a part of a step.
struct StepPart<'a> {
    micro: usize,
    /// The number of the pass.
    number: usize,
    batch: &'a Batch,
}

/// The sums over the parts of a step.
struct StepSums<'a> {
    share: &'a Share,
    gradient: GradientSum,
    metrics: PartMetrics,
    loads: Vec<LayerReport>,
}

impl<'a> StepSums<'a> {
    fn new(share: &'a Share, split: Option<&SplitExperts>) -> Self {
        let (metrics, loads) = (PartMetrics::default(), Vec::new());
        Self { share, gradient: GradientSum::new(&share.world, split), metrics, loads }
    }

    /// The pass, the task's loss, and the objective, which includes the losses of the layers.
    fn forward(
        &mut self,
        Now { run, step, .. }: Now,
        model: &AnyBackbone,
        memory: &mut SegmentMemory,
        &StepPart { micro, number, batch }: &StepPart,
    ) -> (Pass, [Tensor<1>; 2]) {
        let mut pass = self.share.pass(run, step, micro);
        pass.put(PassOfStep(number));
        let losses = timed(run.tracer, Span::Forward, || {
            put_batch_facts(&mut pass, run.task, batch);
            let output = memory.forward(micro, model, &mut pass, batch.input.clone());
            let loss = run.task.loss(output.clone(), batch);
            let aim = match run.objective {
                Some(objective) => {
                    let (task, loss) = (run.task, loss.clone());
                    objective.value(Answered { task, batch, output, loss, pass: &mut pass })
                }
                None => Value { loss: loss.clone(), flops: 0.0 },
            };
            self.metrics.flops(aim.flops);
            let own = pass.total_loss();
            [loss, own.map_or(aim.loss.clone(), |own| aim.loss + own)]
        });
        (pass, losses)
    }

    fn backward(&mut self, model: &AnyBackbone, objective: Tensor<1>) {
        let grads = objective.backward();
        self.gradient.add(model, GradientsParams::from_grads(grads, model));
    }

    /// Adds the work of a pass and the reports of its layers to the sums.
    fn count(&mut self, now: Now, model: &AnyBackbone, pass: &Pass, batch: &Batch) {
        self.metrics.flops(model.dense_flops() * real_examples(batch, model.tokens()));
        self.metrics.flops(pass.reports().iter().map(|layer| layer.flops).sum());
        add_reports(&mut self.loads, pass.reports());
        if now.logs {
            self.metrics.scalars(&pass.scalars());
        }
    }

    /// The gradient and the metrics of all processes; loads only if they are `watched`.
    #[expect(clippy::type_complexity, reason = "documented above")]
    fn joined(
        mut self,
        model: &AnyBackbone,
        watched: bool,
    ) -> (GradientsParams, (f64, Vec<LayerReport>, Vec<(String, f64)>)) {
        self.metrics.loads(if watched { &self.loads } else { &[] });
        (self.gradient.total(model), self.metrics.joined(&*self.share.world))
    }
}

impl Learner for Replica {
    fn step(&mut self, now: Now, order: &mut Order) -> StepMetrics {
        let mut pending = std::mem::take(&mut self.pending);
        let share = Share::all(now.run.config.accumulate, &self.group);
        let metrics = self.step_on(now, order, share, &|_, batch| batch, &mut pending);
        self.pending = pending;
        metrics
    }

    fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        self.pending.read(&*self.group.world, sums)
    }

    /// Each process uses the same batches, so all get the same values.
    fn measure_norms(&mut self, run: &Run) {
        measure_norms(run, self.model(), |pass| match self.split {
            Some(_) => pass.with_split_experts(&self.group.world),
            None => pass,
        });
    }

    fn network(&self) -> AnyBackbone {
        match &self.split {
            Some(split) => split.gathered(self.model()).valid(),
            None => self.model().valid(),
        }
    }

    fn save(&self, at: &Checkpoint, folder: &Path) -> Result<(), CheckpointError> {
        let memory = self.memory.bytes_of_all(&*self.group.world);
        let whole = self.split.as_ref().map(|split| split.gathered(self.model()));
        let model = whole.as_ref().unwrap_or(self.model());
        at.save_by(&self.group, folder, model, &self.optimizer, &memory)
    }
}
