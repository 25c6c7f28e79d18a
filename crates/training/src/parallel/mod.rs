//! Data parallelism: one network in several processes, each of which computes a part of the examples of a
//! step.
//!
//! A step has `accumulate` parts, of which rank r of N has the parts r, N + r, 2N + r and so on. Several
//! processes add up the parts in the same order as one process: gradients (`gradients.rs`), the states of
//! rules ([`moe::Pass::settle`]), losses, and the metrics of a step (`part_metrics.rs`). So **the number of
//! processes changes no bit**: a run with `accumulate = 4` is the same with one, two and four processes, and
//! can continue from its checkpoint with another number of them.
//!
//! Every process has the whole network and makes the same steps. Rank 0 controls the run: it decides,
//! evaluates, and is the only one that writes files. The others repeat its actions ([`crate::follow`],
//! `lead.rs`). With [`ProcessGroup::splits_moments`] each process has a part of the optimizer's moments
//! (`moments.rs`).
//!
//! Rajbhandari, Rasley, Ruwase, He. *ZeRO: Memory Optimizations Toward Training Trillion Parameter
//! Models*. SC 2020. <https://arxiv.org/abs/1910.02054>, section 5.1 (the moments; "P_os").
//!
//! Difference: after they are summed, all gradients are gathered, since the bits of their norm must be those
//! of one process.

mod experts;
mod gradients;
mod moments;
mod pack;
mod part_metrics;

use std::sync::Arc;

use distributed::{Alone, Communicator};

pub(crate) use experts::SplitExperts;
pub(crate) use gradients::GradientSum;
pub(crate) use moments::{Moved, Shelf, SplitAdamW};
pub(crate) use pack::{pack, unpack};
pub(crate) use part_metrics::PartMetrics;

use crate::{Optimizer, TrainConfig};

/// The processes of a run.
#[derive(Clone, Debug)]
pub struct ProcessGroup {
    /// The communication between them.
    pub world: Arc<dyn Communicator>,
    /// The shelf for moments, if each process has only a part of AdamW's moments.
    moments: Option<Arc<Shelf>>,
    /// Whether each process has a part of the experts, and only the moments of these.
    experts: bool,
}

impl ProcessGroup {
    /// One process.
    pub fn alone() -> Self {
        Self::of(Arc::new(Alone))
    }

    /// All processes, each with the whole network and all of the optimizer's moments.
    pub fn of(world: Arc<dyn Communicator>) -> Self {
        Self { world, moments: None, experts: false }
    }

    /// The same, with a part of AdamW's moments in each process.
    pub fn splits_moments(self) -> Self {
        let moments = (!self.is_alone()).then(Arc::default);
        Self { moments, ..self }
    }

    /// The same, with a part of the experts of every layer and of their moments in each process.
    pub fn splits_experts(self) -> Self {
        let experts = !self.is_alone();
        Self { moments: experts.then(Arc::default), experts, ..self }
    }

    /// Whether each process has a part of the experts.
    pub(crate) fn has_split_experts(&self) -> bool {
        self.experts
    }

    /// The shelf on which moments are assembled, if they are split.
    pub(crate) fn shelf(&self) -> Option<&Arc<Shelf>> {
        self.moments.as_ref()
    }

    /// Whether there is only one process.
    pub fn is_alone(&self) -> bool {
        self.world.size() == 1
    }

    /// Whether this is the process that writes.
    pub(crate) fn leads(&self) -> bool {
        self.world.rank() == 0
    }

    /// Checks that `ranks` processes can train a run. The error begins with the key, and ends with the
    /// possible numbers.
    ///
    /// # Errors
    /// If its parts, or its workers, cannot be distributed equally.
    pub fn check(config: &TrainConfig, ranks: usize) -> Result<(), String> {
        let (parts, batch) = (config.accumulate, config.batch);
        match &config.workers {
            Some(workers) if !workers.count.is_multiple_of(ranks) => {
                let (count, possible) = (workers.count, processes(workers.count));
                Err(format!(
                    "workers.count = {count}: {ranks} processes cannot share them equally; \
                     possible: {possible}"
                ))
            }
            None if !parts.is_multiple_of(ranks) => {
                Self::check_examples(config, ranks)?;
                let mut others = divisors(batch);
                others.retain(|parts| parts.is_multiple_of(ranks));
                Err(format!(
                    "accumulate = {parts}: {ranks} processes cannot share the parts equally; \
                     possible: {}, or accumulate = {}",
                    processes(parts),
                    listed(&others)
                ))
            }
            _ => Ok(()),
        }
    }

    /// Checks that `ranks` processes can split layers of `experts` experts
    /// ([`ProcessGroup::splits_experts`]). The error begins with the path of the setting.
    ///
    /// # Errors
    /// If the experts cannot be distributed equally, or the training needs all experts in one process.
    pub fn check_experts(config: &TrainConfig, experts: usize, ranks: usize) -> Result<(), String> {
        let apart = [
            ("train.workers", config.workers.is_some()),
            ("train.spikes", config.spikes.is_some()),
            ("train.faults", !config.faults.is_empty()),
            ("train.optimizer = \"sgd\"", config.optimizer != Optimizer::Adamw),
        ];
        if let Some((key, _)) = apart.iter().find(|(_, given)| ranks > 1 && *given) {
            return Err(format!("{key} does not support experts split over {ranks} processes"));
        }
        match experts.is_multiple_of(ranks) {
            true => Ok(()),
            false => Err(format!(
                "moe.experts = {experts}: {ranks} processes cannot share them equally; possible: {}",
                processes(experts)
            )),
        }
    }

    /// Checks that `ranks` processes can have equal shares of the examples of a step, if the number of its
    /// parts is not set. The error has the form of that of [`ProcessGroup::check`].
    ///
    /// # Errors
    /// If there are too few examples, or if they cannot be distributed equally.
    pub fn check_examples(config: &TrainConfig, ranks: usize) -> Result<(), String> {
        let batch = config.batch;
        let why = match batch {
            _ if batch.is_multiple_of(ranks) => return Ok(()),
            _ if batch < ranks => "are more than the examples of a step",
            _ => "cannot share the examples of a step equally",
        };
        let possible = processes(batch);
        Err(format!("batch = {batch}: {ranks} processes {why}; possible: {possible}"))
    }
}

/// The numbers of processes over which `things` things can be distributed equally.
fn processes(things: usize) -> String {
    let name = if things == 1 { "process" } else { "processes" };
    format!("{} {name}", listed(&divisors(things)))
}

/// The numbers that divide `n`, from 1 on.
fn divisors(n: usize) -> Vec<usize> {
    let small = (1..).take_while(|divisor: &usize| divisor * divisor <= n);
    let pairs = small.filter(|divisor| n.is_multiple_of(*divisor));
    let mut all: Vec<usize> = pairs.flat_map(|divisor| [divisor, n / divisor]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Numbers as text: `1, 2 or 4`.
fn listed(numbers: &[usize]) -> String {
    let texts: Vec<String> = numbers.iter().map(usize::to_string).collect();
    match texts.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => texts.concat(),
    }
}
