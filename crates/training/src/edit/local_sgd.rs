//! The workers of a run: one after the other in one process, or distributed over several processes, each with
//! the same number of workers. The bits of the result are the same.

use std::path::Path;

use backbones::AnyBackbone;
use burn::{module::Module, optim::ModuleOptimizer, prelude::*};
use distributed::{Communicator, gathered_numbers};
use serde::{Deserialize, Serialize};
use tasks::Batch;

use super::{
    Detector,
    fault::Faults,
    layers::{SyncedLayer, layers, with_layers},
    outer::{Met, OuterState, merged},
};
use crate::{
    Checkpoint, CheckpointError, Order, ProcessGroup, Run, TrainError, WorkersConfig,
    checkpoint::State,
    learner::{Learner, Now, Replica, Share, StepMetrics, replica},
    optimizer::optimizer_of,
    parallel::{PartMetrics, pack, unpack},
    pending_losses::PendingLosses,
    record::{Failure, model_bytes, read_model, read_optimizer},
};

/// Workers with separate networks, or with one network for all of them during the warm-up.
pub(crate) struct LocalSgd {
    config: WorkersConfig,
    seed: u64,
    /// The workers of this process.
    workers: Vec<Replica>,
    pending: PendingLosses,
    /// The outer state; none during the warm-up.
    apart: Option<Apart>,
}

/// The state that the workers share between synchronisations.
struct Apart {
    /// The network after the last synchronisation.
    anchor: Vec<SyncedLayer>,
    /// The outer state of each trained layer.
    memories: Vec<OuterState>,
    /// The share of pairs of worker and layer that were anomalous at the last synchronisation.
    anomalous: f64,
}

/// The textual part of the workers' checkpoint; numbers that may be NaN are stored as bytes.
#[derive(Serialize, Deserialize)]
struct WorkersState {
    detectors: Vec<Vec<Detector>>,
    anomalous: f64,
}

impl LocalSgd {
    /// Workers that start with the network of `first`.
    pub(crate) fn new(config: &WorkersConfig, seed: u64, first: Replica) -> Self {
        Self {
            config: config.clone(),
            seed,
            workers: vec![first],
            pending: PendingLosses::default(),
            apart: None,
        }
    }

    /// Gives each worker a copy of the network and of the optimizer.
    fn part(&mut self) {
        let first = &self.workers[0];
        let own = self.config.count / first.group().world.size();
        self.workers.extend((1..own).map(|_| first.replica()).collect::<Vec<_>>());
        let anchor = layers(self.workers[0].model());
        let trained = anchor.iter().filter(|layer| layer.trained);
        let memories = trained.map(|l| OuterState::new(&self.config, l.numbers.len())).collect();
        self.apart = Some(Apart { anchor, memories, anomalous: 0.0 });
    }

    fn group(&self) -> &ProcessGroup {
        self.workers[0].group()
    }

    /// The index of the first worker of this process.
    fn first(&self) -> usize {
        self.group().world.rank() * self.workers.len()
    }

    /// Each worker makes a step independently.
    fn steps_apart(
        &mut self,
        now: Now,
        order: &mut Order,
        corrupt: &dyn Fn(usize, Batch) -> Batch,
    ) -> StepMetrics {
        let (of, first, world) = (self.config.count, self.first(), self.group().world.clone());
        let (mut squares, mut load, mut all) = (Vec::new(), None, PartMetrics::default());
        for (index, one) in self.workers.iter_mut().enumerate() {
            let share = Share::one(first + index, of);
            let metrics = one.step_on(now, order, share, corrupt, &mut self.pending);
            squares.push(metrics.norm.square());
            all.worker(metrics.flops, &metrics.scalars);
            load = metrics.load;
        }
        let (flops, load, scalars) = all.with_load(load).joined_by_rank(&*world);
        // The root mean square over the workers, which is read only in steps that are logged.
        let squares = if now.logs { of_all(&*world, squares) } else { squares };
        let squares = squares.into_iter().reduce(|sum, square| sum + square);
        let norm = squares.map(|sum| (sum / of as f64).sqrt()).expect("there must be a worker");
        StepMetrics { norm, scalars, load, flops }
    }

    /// Synchronises the workers: the anchor is updated, and all workers continue from it.
    fn meet(&mut self, run: &Run) {
        let Some(apart) = &mut self.apart else { return };
        // Pending updates of running states are applied.
        self.workers.iter_mut().for_each(|one| one.change(|model| replica(&model)));
        let own: Vec<Vec<SyncedLayer>> =
            self.workers.iter().map(|one| layers(one.model())).collect();
        let lost: Vec<bool> = own.iter().map(|own| !finite(own)).collect();
        apart.meet(&self.config, &everyones(self.workers[0].group(), own));
        for (one, lost) in self.workers.iter_mut().zip(lost) {
            one.change(|model| with_layers(model, &apart.anchor));
            if lost {
                one.optimizer = optimizer_of(&ProcessGroup::alone(), run.config, one.model());
            }
        }
    }

    /// Restores the workers from a checkpoint.
    pub(crate) fn restored(mut self, state: &State) -> Result<Self, CheckpointError> {
        let (model, first) = {
            let fresh = &self.workers[0];
            state.read(fresh.model().clone(), fresh.optimizer.clone())?
        };
        self.workers[0].change(|_| replica(&model));
        self.workers[0].optimizer = first;
        if !state.rest.is_empty() {
            self.part();
            self.read(&state.rest).map_err(|message| state.damaged(message))?;
        }
        Ok(self)
    }

    /// Reads the state of the workers, after they have been separated again.
    fn read(&mut self, rest: &[Vec<u8>]) -> Result<(), String> {
        let missing = || "a worker is missing".to_string();
        let [state, moved, records @ ..] = rest else { return Err(missing()) };
        if records.len() != 2 * self.config.count {
            return Err(missing());
        }
        let own = &records[2 * self.first()..];
        let apart = self.apart.as_mut().ok_or_else(missing)?;
        let state: WorkersState = serde_json::from_slice(state).map_err(|err| err.to_string())?;
        let mut moved =
            moved.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()));
        for (memory, detectors) in apart.memories.iter_mut().zip(state.detectors) {
            memory.detectors = detectors;
            memory.moved.iter_mut().zip(&mut moved).for_each(|(m, known)| *m = known);
        }
        apart.anomalous = state.anomalous;
        for (one, records) in self.workers.iter_mut().zip(own.chunks_exact(2)) {
            let model = read_model(&records[0], one.model().clone())?;
            one.optimizer = read_optimizer(&records[1], one.optimizer.clone(), &model)?;
            one.change(|_| model);
        }
        Ok(())
    }

    /// The parts of a checkpoint in addition to the anchor's network and the first optimizer.
    fn rest(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let Some(apart) = &self.apart else { return Ok(Vec::new()) };
        let detectors = apart.memories.iter().map(|memory| memory.detectors.clone()).collect();
        let state = serde_json::to_vec(&WorkersState { detectors, anomalous: apart.anomalous })?;
        let moved = apart.memories.iter().flat_map(|memory| &memory.moved);
        let mut rest = vec![state, moved.flat_map(|m| m.to_le_bytes()).collect()];
        let mut own = Vec::new();
        for one in &self.workers {
            own.push(model_bytes(one.model())?.to_vec());
            own.push(one.optimizer.into_bytes()?.to_vec());
        }
        let all = self.group().world.all_gather("workers", &pack(&own));
        rest.extend(all.iter().flat_map(|bytes| unpack(bytes)));
        Ok(rest)
    }
}

impl Learner for LocalSgd {
    fn step(&mut self, now: Now, order: &mut Order) -> StepMetrics {
        let Now { run, step, .. } = now;
        let (config, seed) = (self.config.clone(), self.seed);
        let faults = config.faults.as_ref().map(|faults| Faults {
            config: faults,
            task: run.task,
            seed,
            local_steps: config.local_steps,
        });
        let corrupt = |worker: usize, batch: Batch| match &faults {
            Some(faults) => faults.corrupt(worker, step, batch),
            None => batch,
        };
        let Some(since) = step.checked_sub(config.warmup) else {
            let share = Share::all(config.count, self.group());
            return self.workers[0].step_on(now, order, share, &corrupt, &mut self.pending);
        };
        if self.apart.is_none() {
            self.part();
        }
        let mut metrics = self.steps_apart(now, order, &corrupt);
        if (since + 1).is_multiple_of(config.local_steps) || step + 1 == run.config.steps {
            self.meet(run);
        }
        let anomalous = self.apart.as_ref().map(|apart| apart.anomalous);
        metrics.scalars.extend(anomalous.map(|share| ("anomalous_share".to_string(), share)));
        metrics
    }

    /// Single workers may diverge; the run has failed when all of them have.
    fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        let world = self.group().world.clone();
        match self.apart {
            Some(_) => self.pending.read_of_many(&*world, sums),
            None => self.pending.read(&*world, sums),
        }
    }

    fn network(&self) -> AnyBackbone {
        match &self.apart {
            Some(apart) => with_layers(replica(self.workers[0].model()), &apart.anchor).valid(),
            None => self.workers[0].network(),
        }
    }

    fn save(&self, at: &Checkpoint, folder: &Path) -> Result<(), CheckpointError> {
        let failed = |err| CheckpointError::Io {
            path: Checkpoint::path(folder),
            source: std::io::Error::other(err),
        };
        let (group, first): (_, &ModuleOptimizer) = (self.group(), &self.workers[0].optimizer);
        let rest = self.rest().map_err(failed)?;
        match &self.apart {
            Some(_) => at.save_by(group, folder, &self.network(), first, &rest),
            None => at.save_by(group, folder, self.workers[0].model(), first, &[]),
        }
    }
}

impl Apart {
    fn meet(&mut self, config: &WorkersConfig, theirs: &[Vec<SyncedLayer>]) {
        let mut memories = self.memories.iter_mut();
        let mut met: Vec<(String, Met)> = Vec::new();
        for (at, layer) in self.anchor.iter_mut().enumerate().filter(|(_, l)| l.trained) {
            let numbers: Vec<Vec<f64>> = theirs.iter().map(|l| l[at].numbers.clone()).collect();
            let memory = memories.next().expect("each trained layer must have a memory");
            met.push((layer.name.clone(), memory.meet(config, &mut layer.numbers, &numbers)));
        }
        for (at, layer) in self.anchor.iter_mut().enumerate().filter(|(_, l)| !l.trained) {
            let weights = met.iter().find(|(name, _)| *name == layer.name);
            let weights = weights.map_or_else(
                || vec![1.0 / theirs.len() as f64; theirs.len()],
                |(_, met)| met.weights.clone(),
            );
            if weights.iter().any(|weight| *weight > 0.0) {
                let (weights, states): (Vec<f64>, Vec<Vec<f64>>) = weights
                    .iter()
                    .zip(theirs)
                    .filter(|(weight, _)| **weight > 0.0)
                    .map(|(weight, theirs)| (*weight, theirs[at].numbers.clone()))
                    .unzip();
                layer.numbers = merged(&states, &weights);
            }
        }
        let flags = || met.iter().flat_map(|(_, met)| &met.anomalous);
        self.anomalous = flags().filter(|bad| **bad).count() as f64 / flags().count() as f64;
        // The workers get the numbers as the network stores them, with 32 bits.
        for layer in &mut self.anchor {
            layer.numbers.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
    }
}

/// The layers of all workers, gathered from the layers of each process's workers.
fn everyones(group: &ProcessGroup, own: Vec<Vec<SyncedLayer>>) -> Vec<Vec<SyncedLayer>> {
    if group.is_alone() {
        return own;
    }
    // The numbers have 32 bits.
    let numbers = |layers: &Vec<SyncedLayer>| {
        layers.iter().flat_map(|layer| &layer.numbers).map(|x| *x as f32).collect::<Vec<f32>>()
    };
    let flat: Vec<f32> = own.iter().flat_map(numbers).collect();
    let all = gathered_numbers(&*group.world, "workers meet", &flat).concat();
    let worker = |numbers: &[f32]| {
        let (mut layers, mut numbers) = (own[0].clone(), numbers.iter());
        let all = layers.iter_mut().flat_map(|layer| &mut layer.numbers);
        all.zip(&mut numbers).for_each(|(x, known)| *x = f64::from(*known));
        layers
    };
    all.chunks_exact(flat.len() / own.len()).map(worker).collect()
}

/// The numbers of all workers, gathered from those of each process.
fn of_all(world: &dyn Communicator, own: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    if world.size() == 1 {
        return own;
    }
    let device = own[0].device();
    let own: Vec<f32> = own.into_iter().map(|x| x.into_scalar::<f32>()).collect();
    let all = gathered_numbers(world, "norms", &own).concat();
    all.into_iter().map(|x| Tensor::from_floats([x], &device)).collect()
}

fn finite(layers: &[SyncedLayer]) -> bool {
    layers.iter().flat_map(|layer| &layer.numbers).all(|x| x.is_finite())
}
