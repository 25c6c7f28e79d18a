//! `routing.json`: each routing analysis of a traced run as one number.

use report::{analysis, trace::Trace};
use tasks::Split;

use super::{pair_trace::SIDES, subject::Subject};
use crate::{
    spec::RunSpec,
    store::{Store, read_json, read_traces},
};

/// The file of a run with its routing in numbers, by name.
pub(crate) const FILE: &str = "routing.json";

/// Name and value; none if the value is not finite.
type RoutingNumbers = Vec<(String, Option<f64>)>;

/// Writes the routing of a traced run in numbers; no file is written if it has no MoE layers.
pub(crate) fn write(spec: &RunSpec, store: &Store, subject: &Subject) -> anyhow::Result<()> {
    let folder = store.folder(&spec.id);
    let mut found = named("", &read_traces(&folder, "")?);
    if found.is_empty() {
        for side in SIDES {
            found.extend(named(&format!("{side}_"), &read_traces(&folder, side)?));
        }
        return if found.is_empty() { Ok(()) } else { store.write(&spec.id, FILE, &found) };
    }
    let first = |ranks| subject.passed_over(ranks).and_then(|values| values.first().copied());
    if let (Some(whole), Some(one), Some(two)) = (first(0), first(1), first(2)) {
        found.push(("drop_top_1".into(), finite(one - whole)));
        found.push(("drop_top_2".into(), finite(two - whole)));
    }
    let alike = subject.output_similarity();
    found.extend(alike.map(|alike| ("output_similarity".to_string(), finite(alike))));
    store.write(&spec.id, FILE, &found)
}

/// The numbers of traces, with a prefix before each name.
fn named(before: &str, traces: &[Trace]) -> RoutingNumbers {
    let numbers = analysis::numbers(traces).into_iter();
    numbers.map(|(name, value)| (format!("{before}{name}"), finite(value))).collect()
}

/// A number that JSON can represent; none for NaN and infinity.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The finite numbers that [`write`] has written: split, metric, value; empty for a run without traces.
pub(crate) fn read(id: &str, store: &Store) -> anyhow::Result<Vec<(String, String, f64)>> {
    let found: Option<RoutingNumbers> = read_json(&store.folder(id), FILE)?;
    let row =
        |(name, value): (String, Option<f64>)| Some((Split::Valid.name().into(), name, value?));
    Ok(found.into_iter().flatten().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.lock("a").unwrap();
        assert_eq!(read("a", &store).unwrap(), []);
        let found = [("margin", f64::NAN), ("load_entropy", 0.5), ("early_load", f64::INFINITY)];
        let found = found.map(|(name, value)| (name.to_string(), finite(value)));
        store.write("a", FILE, &RoutingNumbers::from(found)).unwrap();
        let expected = [("valid".to_string(), "load_entropy".to_string(), 0.5)];
        assert_eq!(read("a", &store).unwrap(), expected);
        // The format of earlier versions: numbers only.
        std::fs::write(folder.path().join("a").join(FILE), r#"[["margin", 0.25]]"#).unwrap();
        assert_eq!(read("a", &store).unwrap()[0].2, 0.25);
    }
}
