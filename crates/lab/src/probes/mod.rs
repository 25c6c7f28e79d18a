//! What only the network itself can tell of its routing: questions that take another forward pass.

mod causality;
mod drop_first;
mod output_similarity;
mod plan_edit;
mod regret;
pub(crate) mod routing_numbers;
mod similarity;
mod skip_top;
mod subject;
pub(crate) mod trace;

pub(crate) use subject::Subject;
pub(crate) use trace::{Tracer, record};

use report::Table;

/// What can be asked of a network, and what it is.
pub(crate) const QUESTIONS: [(&str, &str); 5] = [
    ("drop", "how much worse it is when each unit loses its first expert"),
    ("ranks", "how much worse it is when each unit goes to the experts next in rank"),
    ("regret", "what another expert would have given in the place of the first"),
    ("similarity", "how alike experts are, in output and in weights"),
    ("causality", "whether later tokens change the choices of earlier ones"),
];

impl Subject<'_> {
    /// The answer to one question.
    pub(crate) fn answer(&self, what: &str) -> anyhow::Result<Table> {
        match what {
            "drop" => self.drop_first(),
            "ranks" => self.ranks(),
            "regret" => self.regret(),
            "similarity" => Ok(self.similarity()),
            _ => self.causality(),
        }
    }
}
