//! `routing.json`: each routing analysis of a traced run as one number.

use anyhow::{Context, bail};
use report::{analysis, trace::Trace};
use tasks::Split;

use super::subject::Subject;
use crate::{spec::RunSpec, store::Store};

/// The file of a run with its routing in numbers, by name.
const FILE: &str = "routing.json";

/// Writes down a traced run's routing in numbers; nothing if it has no MoE layers.
pub(crate) fn write(spec: &RunSpec, store: &Store, subject: &Subject) -> anyhow::Result<()> {
    let traces = Trace::read_all(&store.folder(&spec.id).join("trace"))?;
    let mut found = analysis::numbers(&traces);
    if found.is_empty() {
        return Ok(());
    }
    let first = |ranks| subject.passed_over(ranks).and_then(|values| values.first().copied());
    if let (Some(whole), Some(one), Some(two)) = (first(0), first(1), first(2)) {
        found.extend([("drop_top_1", one - whole), ("drop_top_2", two - whole)]);
    }
    found.extend(subject.output_similarity().map(|alike| ("output_similarity", alike)));
    store.write(&spec.id, FILE, &found)
}

/// What [`write`] has written: split, metric, value; nothing of a run without traces.
pub(crate) fn read(id: &str, store: &Store) -> anyhow::Result<Vec<(String, String, f64)>> {
    let path = store.folder(id).join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let place = || path.display().to_string();
    let bytes = std::fs::read(&path).with_context(place)?;
    let Ok(found) = serde_json::from_slice::<Vec<(String, f64)>>(&bytes) else {
        bail!("{} is damaged; remove it", place());
    };
    let split = Split::Valid.name();
    Ok(found.into_iter().map(|(name, value)| (split.into(), name, value)).collect())
}
