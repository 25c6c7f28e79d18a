//! The training curves of the runs behind some results, as far as the folders of the runs exist.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use report::{Curve, Load, Runs, trace::Trace};
use training::StepRow;

use crate::store::{folder_named, read_log, read_traces};

/// The training curves of all runs.
#[derive(Default)]
pub(crate) struct TrainingCurves {
    pub(crate) curves: Vec<Curve>,
    pub(crate) loads: Vec<Load>,
    /// The traces of the first seed of each task and method: experts of two seeds do not correspond to each
    /// other.
    pub(crate) traces: Vec<Trace>,
}

impl TrainingCurves {
    /// Reads `metrics.csv` of each run; a run without a folder is left out.
    pub(crate) fn read(runs: &Runs, folder: &Path) -> anyhow::Result<Self> {
        let (mut curves, mut seen, mut traced) = (Self::default(), HashSet::new(), HashSet::new());
        for row in runs.rows.iter().filter(|row| !row.run.is_empty()) {
            if seen.insert((&row.run, &row.method)) {
                let there = folder_named(folder, &row.run)
                    .filter(|folder| folder.symlink_metadata().is_ok());
                let Some(folder) = there else { continue };
                let steps = read_log(&folder)?;
                curves.add(&row.method, &row.task, row.seed, &steps);
                let place = (&row.task, &row.backbone, &row.method);
                if !traced.contains(&place) {
                    let traces = read_traces(&folder, "")?;
                    traced.extend((!traces.is_empty()).then_some(place));
                    curves.traces.extend(traces);
                }
            }
        }
        Ok(curves)
    }

    fn add(&mut self, method: &str, task: &str, seed: u64, steps: &[StepRow]) {
        // The index of each curve by its name.
        let mut known: HashMap<String, usize> = HashMap::new();
        // The test split is evaluated once: one point is no curve.
        for step in steps.iter().filter(|step| step.split != "test") {
            match load_of(&step.metric) {
                Some((layer, expert)) if step.split == "valid" => {
                    self.load(method, task, seed, (layer, expert), step);
                }
                Some(_) => {}
                None => {
                    let name = match step.split.as_str() {
                        "train" => step.metric.clone(),
                        split => format!("{split}/{}", step.metric),
                    };
                    let point = (step.step as f64, step.value);
                    match known.get(&name) {
                        Some(at) => self.curves[*at].points.push(point),
                        None => {
                            known.insert(name.clone(), self.curves.len());
                            self.curves.push(Curve {
                                method: method.into(),
                                task: task.into(),
                                seed,
                                name,
                                points: vec![point],
                            });
                        }
                    }
                }
            }
        }
    }

    /// Experts are listed in order, so the next one of a layer is appended to the last entry.
    fn load(
        &mut self,
        method: &str,
        task: &str,
        seed: u64,
        (layer, expert): (usize, usize),
        row: &StepRow,
    ) {
        match self.loads.last_mut() {
            Some(load) if expert > 0 && load.layer == layer => load.per_expert.push(row.value),
            _ => self.loads.push(Load {
                method: method.into(),
                task: task.into(),
                seed,
                layer,
                step: row.step as u64,
                per_expert: vec![row.value],
            }),
        }
    }
}

/// Parses the layer and the expert of a metric `load/LAYER/EXPERT`.
fn load_of(metric: &str) -> Option<(usize, usize)> {
    let (layer, expert) = metric.strip_prefix("load/")?.split_once('/')?;
    Some((layer.parse().ok()?, expert.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_and_loads_are_told_apart() {
        let row = |step, split: &str, metric: &str, value| StepRow {
            step,
            split: split.into(),
            metric: metric.into(),
            value,
        };
        let rows = [
            row(1, "train", "loss", 2.0),
            row(2, "train", "loss", 1.0),
            row(2, "valid", "accuracy", 0.5),
            row(2, "valid", "load/0/0", 0.25),
            row(2, "valid", "load/0/1", 0.75),
            row(2, "valid", "load/1/0", 1.0),
        ];
        let mut curves = TrainingCurves::default();
        curves.add("a", "t", 0, &rows);
        let names: Vec<&str> = curves.curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(names, ["loss", "valid/accuracy"]);
        assert_eq!(curves.curves[0].points, [(1.0, 2.0), (2.0, 1.0)]);
        let loads: Vec<&[f64]> = curves.loads.iter().map(|load| &load.per_expert[..]).collect();
        assert_eq!(loads, [&[0.25, 0.75][..], &[1.0]]);
    }
}
