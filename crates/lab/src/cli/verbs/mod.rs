//! The verbs of every program, one file each. Only `run`, `prune` and `import` make runs.

mod analyse;
mod budget;
mod check;
mod cmp;
mod completions;
mod export;
mod fit;
mod import;
mod inspect;
mod ledger;
mod list;
pub(crate) mod new;
mod plot;
mod power;
mod prune;
mod rank;
mod report;
mod route;
pub(super) mod run;
mod sample;
mod table;
mod tensorboard;
mod trace;

use super::verb::VerbEntry;

/// All verbs, in the order in which the help lists them.
pub(super) fn all() -> Vec<VerbEntry> {
    vec![
        VerbEntry::of::<run::Run>(),
        VerbEntry::of::<list::List>(),
        VerbEntry::of::<table::Table>(),
        VerbEntry::of::<cmp::Cmp>(),
        VerbEntry::of::<rank::Rank>(),
        VerbEntry::of::<ledger::Ledger>(),
        VerbEntry::of::<budget::Budget>(),
        VerbEntry::of::<power::Power>(),
        VerbEntry::of::<fit::FitArgs>(),
        VerbEntry::of::<check::Check>(),
        VerbEntry::of::<report::Report>(),
        VerbEntry::of::<plot::Plot>(),
        VerbEntry::of::<tensorboard::Tensorboard>(),
        VerbEntry::of::<route::RouteArgs>(),
        VerbEntry::of::<prune::Prune>(),
        VerbEntry::of::<analyse::AnalyseArgs>(),
        VerbEntry::of::<trace::TraceArgs>(),
        VerbEntry::of::<sample::SampleArgs>(),
        VerbEntry::of::<import::Import>(),
        VerbEntry::of::<export::Export>(),
        VerbEntry::of::<inspect::Inspect>(),
        VerbEntry::of::<new::New>(),
        VerbEntry::of::<completions::Completions>(),
    ]
}
