//! Warnings at the end of a training: runs that are missing or failed, suspicious checkpoints, and teachers
//! that are near chance.

use std::collections::BTreeSet;

use report::few;

use super::Session;
use crate::{
    exec::{Imported, changes_of_network},
    spec::{RunSpec, SuitePlan},
    store::{Ended, Store},
};

/// Reports how many runs the table lacks: because of an error, or because other parts or processes are
/// training them.
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
                ", which another part or process trains; run the same command again to include them when \
                 they are done"
            }
            false => ", because of the error that is printed last",
        };
        session.say(&format!("the table lacks {missing} of {all} runs{why}"));
    }
    Ok(())
}

/// Reports which runs failed, and returns their number: the table has a gap for each of them.
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

/// Reports each problem with the checkpoints that networks come from once, and the methods whose teacher is
/// near chance.
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
                "the network of {} differs from that of its checkpoint: {}",
                spec.method,
                changed.join("; ")
            );
            said.extend((!changed.is_empty()).then_some(text));
        }
        said.extend(imported.warnings);
    }
    let mut taught = Vec::new();
    for spec in &suite.specs {
        taught.extend(taught_by_chance(spec, store)?);
    }
    said.extend(of_teachers(&taught));
    said.iter().for_each(|warning| session.say(&format!("warning: {warning}")));
    Ok(())
}

/// The method and the seed of a run whose teacher is near chance on the validation split, with the teacher's
/// accuracy. Near chance means less than a tenth of the way from chance to no error.
fn taught_by_chance(spec: &RunSpec, store: &Store) -> anyhow::Result<Option<String>> {
    let Some(teacher) = &spec.teacher else { return Ok(None) };
    let Some(Ended::Done(numbers)) = store.ended(&teacher.id)? else { return Ok(None) };
    let mut rows = numbers.metrics.iter();
    let accuracy = rows.find(|(split, name, _)| split == "valid" && name == "accuracy");
    let near = |accuracy: &f64| is_near_chance(*accuracy, teacher.data.outputs());
    let accuracy = accuracy.map(|(.., accuracy)| *accuracy).filter(near);
    Ok(accuracy.map(|found| format!("{}, seed {} ({found:.2})", spec.method, spec.seed)))
}

fn is_near_chance(accuracy: f64, classes: usize) -> bool {
    let chance = 1.0 / classes.max(1) as f64;
    accuracy - chance < 0.1 * (1.0 - chance)
}

/// The warning about these methods, if there are any.
fn of_teachers(taught: &[String]) -> Option<String> {
    (!taught.is_empty()).then(|| {
        format!("the accuracy of the teacher is near chance (valid split): {}", few(taught))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::Numbers, testing::plan};

    const SUITE: &str = r#"
[base]
moe.layers = "none"
train.steps = 1
backbone = { kind = "vit", width = 8, depth = 1, heads = 2 }
[[task]]
task = "digits"
[[method]]
name = "teacher"
[[method]]
name = "student"
backbone.width = 4
teacher = "teacher"
"#;

    #[test]
    fn a_teacher_near_chance_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let specs = plan(SUITE).unwrap().specs;
        let found = |accuracy: f64| {
            let id = &specs[0].id;
            drop(store.lock(id).unwrap());
            let metrics = vec![("valid".to_string(), "accuracy".to_string(), accuracy)];
            store.end(id, &Ended::Done(Numbers { metrics, ..Numbers::default() })).unwrap();
            let taught = specs.iter().map(|spec| taught_by_chance(spec, &store).unwrap());
            of_teachers(&taught.flatten().collect::<Vec<_>>())
        };
        assert_eq!(found(0.5), None);
        let said = found(0.12).unwrap();
        let student = format!("(valid split): student, seed {} (0.12)", specs[1].seed);
        assert!(said.contains("near chance") && said.ends_with(&student), "{said}");
    }

    #[test]
    fn a_tenth_of_the_way_from_chance_is_near_it() {
        assert!(is_near_chance(0.18, 10) && !is_near_chance(0.2, 10));
        assert!(is_near_chance(0.54, 2) && !is_near_chance(0.56, 2));
        assert!(is_near_chance(0.05, 10), "worse than chance too");
    }
}
