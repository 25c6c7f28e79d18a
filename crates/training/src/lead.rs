//! The start of a run's learner, the process that leads, and those that follow it.

use std::{fs, io, path::Path};

use backbones::AnyBackbone;

use crate::{
    Checkpoint, CheckpointError, Order, ProcessGroup, Run, TrainError,
    checkpoint::State,
    edit::LocalSgd,
    learner::{Learner, Now, Replica, StepMetrics},
    parallel::{pack, unpack},
    rates::Rates,
    scope,
    spikes::Guard,
};

/// Creates the learner of a run, from its checkpoint or from the start.
pub(crate) fn begin(
    group: &ProcessGroup,
    run: &Run,
    model: AnyBackbone,
) -> Result<(Checkpoint, Box<dyn Learner>), TrainError> {
    let (at, own) = agree(group, begin_here(group, run, model))?;
    let leads = !group.is_alone() && group.leads();
    Ok((at, if leads { Box::new(Leader::new(group, own)) } else { own }))
}

/// Creates the learner of this process.
fn begin_here(
    group: &ProcessGroup,
    run: &Run,
    model: AnyBackbone,
) -> Result<(Checkpoint, Box<dyn Learner>), TrainError> {
    let state = State::shared(group, run.folder)?;
    let at = state.as_ref().map_or_else(Checkpoint::default, |state| state.checkpoint.clone());
    // Each worker has its own optimizer.
    let whole = ProcessGroup::of(group.world.clone());
    let group = if run.config.workers.is_some() { &whole } else { group };
    let (model, still) = scope::only(model, &run.config.only).map_err(TrainError::Scope)?;
    let rates = Rates::of(&model, run.config.router_lr).map_err(TrainError::Scope)?;
    let fresh = Replica::new(group, run, model).with_still(still).with_rates(rates);
    if group.has_split_experts() {
        // The number of experts in each layer is checked when the layers are split.
        let fits = ProcessGroup::check_experts(run.config, 0, group.world.size());
        fits.map_err(TrainError::Experts)?;
    }
    let guarded = run.config.spikes.is_some() || !run.config.faults.is_empty();
    Ok(match (&run.config.workers, state) {
        (None, None) if guarded => (at, Box::new(Guard::new(fresh))),
        (None, Some(state)) if guarded => (at, Box::new(Guard::new(fresh).restored(&state)?)),
        (None, None) => (at, Box::new(fresh.with_memory(run).with_own_experts()?)),
        (None, Some(state)) => {
            let streams = fresh.with_memory(run).resumed(&state, run.device)?;
            (at, Box::new(streams.restored(&state)?.with_own_experts()?))
        }
        (Some(workers), None) => (at, Box::new(LocalSgd::new(workers, run.seed, fresh))),
        (Some(workers), Some(state)) => {
            (at, Box::new(LocalSgd::new(workers, run.seed, fresh).restored(&state)?))
        }
    })
}

/// A command of rank 0 to the others.
#[derive(Clone, Copy)]
enum Command {
    Step {
        step: u64,
        logs: bool,
    },
    Read,
    MeasureNorms,
    Save,
    /// To give rank 0 the parts of the network that it lacks.
    Gather,
    End,
}

impl Command {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Step { step, logs } => [&[0, u8::from(logs)], &step.to_le_bytes()[..]].concat(),
            Self::Read => vec![1],
            Self::Save => vec![2],
            Self::Gather => vec![3],
            Self::End => vec![4],
            Self::MeasureNorms => vec![5],
        }
    }

    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0, logs, step @ ..] => {
                let step = step.first_chunk().copied().unwrap_or_default();
                Self::Step { step: u64::from_le_bytes(step), logs: *logs == 1 }
            }
            [1] => Self::Read,
            [2] => Self::Save,
            [3] => Self::Gather,
            [5] => Self::MeasureNorms,
            _ => Self::End,
        }
    }
}

/// The learner of the leading process, whose actions the other processes repeat.
struct Leader {
    group: ProcessGroup,
    own: Box<dyn Learner>,
}

impl Leader {
    fn new(group: &ProcessGroup, own: Box<dyn Learner>) -> Self {
        Self { group: group.clone(), own }
    }

    fn say(&self, command: Command) {
        self.group.world.broadcast(&command.bytes());
    }
}

impl Drop for Leader {
    /// Dismisses the other processes, except in a panic: they may then be at any point, and the process must
    /// end.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.say(Command::End);
        }
    }
}

impl Learner for Leader {
    fn step(&mut self, now: Now, order: &mut Order) -> StepMetrics {
        self.say(Command::Step { step: now.step as u64, logs: now.logs });
        self.own.step(now, order)
    }

    fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        self.say(Command::Read);
        self.own.read(sums)
    }

    fn measure_norms(&mut self, run: &Run) {
        self.say(Command::MeasureNorms);
        self.own.measure_norms(run);
    }

    fn network(&self) -> AnyBackbone {
        if self.group.has_split_experts() {
            self.say(Command::Gather);
        }
        self.own.network()
    }

    fn save(&self, at: &Checkpoint, folder: &Path) -> Result<(), CheckpointError> {
        self.say(Command::Save);
        self.own.save(at, folder)
    }

    fn metrics(&self, run: &Run) -> Vec<(String, f64)> {
        self.own.metrics(run)
    }

    fn more(&self) -> usize {
        self.own.more()
    }
}

/// Trains `model` in step with the leading process, until that process has finished. This is the part in
/// [`crate::supervised_by`] of all processes but the first. Writes no files.
///
/// # Errors
/// If the run cannot begin.
pub fn follow(group: &ProcessGroup, run: &Run, model: AnyBackbone) -> Result<(), TrainError> {
    let (_, mut learner) = begin(group, run, model)?;
    let mut order = Order::of(run);
    loop {
        match Command::of(&group.world.broadcast(&[])) {
            Command::Step { step, logs } => {
                learner.step(Now { run, step: step as usize, logs }, &mut order);
            }
            // Rank 0 has the same error, and ends the run.
            Command::Read => drop(learner.read(&mut (0.0, 0))),
            Command::MeasureNorms => learner.measure_norms(run),
            Command::Save => learner.save(&Checkpoint::default(), run.folder)?,
            Command::Gather => drop(learner.network()),
            Command::End => return Ok(()),
        }
    }
}

/// The result of an operation that all processes tried; an error if it has failed in another process.
fn agree<T>(group: &ProcessGroup, tried: Result<T, TrainError>) -> Result<T, TrainError> {
    if group.is_alone() {
        return tried;
    }
    let own = tried.as_ref().err().map_or(String::new(), ToString::to_string);
    let all = group.world.all_gather("begin", own.as_bytes());
    let failed = all.iter().position(|message| !message.is_empty());
    match (tried, failed) {
        (Ok(_), Some(rank)) => {
            let message = String::from_utf8_lossy(&all[rank]).to_string();
            Err(TrainError::Elsewhere { rank, message })
        }
        (tried, _) => tried,
    }
}

impl State {
    /// The checkpoint of the leading process, for all processes: the others need no access to its files.
    pub(crate) fn shared(
        group: &ProcessGroup,
        folder: &Path,
    ) -> Result<Option<Self>, CheckpointError> {
        if group.is_alone() {
            return Checkpoint::load_state(folder);
        }
        let path = Checkpoint::path(folder);
        let own = match group.leads().then(|| fs::read(&path)) {
            None => Vec::new(),
            Some(Ok(bytes)) => pack(&[bytes]),
            Some(Err(err)) if err.kind() == io::ErrorKind::NotFound => Vec::new(),
            Some(Err(err)) => pack(&[Vec::new(), err.to_string().into_bytes()]),
        };
        let mut got = unpack(&group.world.broadcast(&own));
        match &got[..] {
            [] => Ok(None),
            [_] => Self::of(&path, got.swap_remove(0)).map(Some),
            [_, err, ..] => {
                let source = io::Error::other(String::from_utf8_lossy(err).to_string());
                Err(CheckpointError::Io { path, source })
            }
        }
    }
}
