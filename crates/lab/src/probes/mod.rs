//! Measurements of a network's routing that take further forward passes: one file per probe.

mod causality;
mod drop_first;
mod given_choices;
mod output_similarity;
pub(crate) mod pair_trace;
mod plan_edit;
mod regret;
pub(crate) mod routing_numbers;
mod similarity;
mod skip_top;
mod subject;
mod trace;
pub(crate) mod trace_files;

pub(crate) use given_choices::given_choices;
pub(crate) use subject::Subject;
pub(crate) use trace::{TracedExamples, record, record_of};
pub(crate) use trace_files::Tracer;

use anyhow::bail;
use moe::Domain;
use report::Table;

/// The probes: name and measured quantity.
pub(crate) const PROBES: [(&str, &str); 5] = [
    ("drop", "increase of the loss without each unit's first expert"),
    ("ranks", "increase of the loss with the experts next in rank"),
    ("regret", "loss with another expert in place of the first (regret)"),
    ("similarity", "similarity of experts, in output and in weights"),
    ("causality", "effect of later tokens on the choices of earlier ones"),
];

impl Subject<'_> {
    /// The table of one probe.
    ///
    /// # Errors
    /// If the probe does not apply to the network or the task.
    pub(crate) fn probe(&self, what: &str) -> anyhow::Result<Table> {
        if matches!(self.task.domain(), Domain::Pair { .. }) {
            bail!(
                "{what} is only for networks of one sequence; {:?} has pairs",
                self.task.domain()
            );
        }
        match what {
            "drop" => self.drop_first(),
            "ranks" => self.ranks(),
            "regret" => self.regret(),
            "similarity" => Ok(self.similarity()),
            _ => self.causality(),
        }
    }
}
