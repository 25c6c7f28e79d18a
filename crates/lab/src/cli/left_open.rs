//! What is said of a training at its end: runs that are missing or failed, and strange checkpoints.

use std::collections::BTreeSet;

use super::Session;
use crate::{
    exec::{Imported, changes_of_network},
    spec::SuitePlan,
    store::{Ended, Store},
};

/// Says how many runs the table is without: because of an error, or since other parts or processes are at them.
pub(super) fn report_missing(
    suite: &SuitePlan,
    store: &Store,
    no_error: bool,
    session: &Session,
) -> anyhow::Result<()> {
    let (mut missing, mut all) = (0, 0);
    for spec in suite.specs.iter().filter(|spec| spec.refused.is_none()) {
        all += 1;
        missing += usize::from(store.ended(&spec.id)?.is_none());
    }
    if missing > 0 {
        let why = match no_error {
            true => {
                ", which another part or process has to train; the same command counts them in when they \
                 are done"
            }
            false => ", because of the error that is printed last",
        };
        session.say(&format!("the table is without {missing} of {all} runs{why}"));
    }
    Ok(())
}

/// Says which runs failed, and gives their number: the table shows a gap for them.
pub(super) fn report_failures(
    suite: &SuitePlan,
    store: &Store,
    session: &Session,
) -> anyhow::Result<usize> {
    let mut failed = 0;
    for spec in &suite.specs {
        if let Some(Ended::Failed { step, cause }) = store.ended(&spec.id)? {
            let (method, task, seed) = (&spec.method, &spec.config.task.kind, spec.seed);
            session.say(&format!("{method}, {task}, seed {seed}: failed at step {step}, {cause}"));
            failed += 1;
        }
    }
    Ok(failed)
}

/// Says what was strange about the checkpoints that networks come from, each thing once.
pub(super) fn report_warnings(
    suite: &SuitePlan,
    store: &Store,
    session: &Session,
) -> anyhow::Result<()> {
    let mut said = BTreeSet::new();
    for spec in &suite.specs {
        let imported = Imported::of(&store.folder(&spec.id))?;
        let Some(imported) = imported else { continue };
        if spec.config.upcycle.is_none() && spec.config.prune.is_none() {
            let described = interop::describe(&imported.source.config)?;
            let changed = changes_of_network(&spec.config, &described, session.plugins)?;
            let text = format!(
                "{} has another network than its checkpoint: {}",
                spec.method,
                changed.join("; ")
            );
            said.extend((!changed.is_empty()).then_some(text));
        }
        said.extend(imported.warnings);
    }
    said.iter().for_each(|warning| session.say(&format!("warning: {warning}")));
    Ok(())
}
