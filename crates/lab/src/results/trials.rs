//! The trials of a suite as rows.

use std::collections::HashSet;

use report::Row;

use super::rows::of_ended;
use crate::{
    spec::{RunSpec, TuningPlan},
    store::Store,
};

impl TuningPlan {
    /// All trials as rows: one method for each setting and each rung that the setting reached.
    pub(crate) fn rows(
        &self,
        blank: impl Fn(&RunSpec) -> Row,
        store: &Store,
    ) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut seen = HashSet::new();
        for option in self.groups.iter().flat_map(|group| &group.options) {
            // Methods that start `after` one share its trials.
            for spec in option.rungs.iter().flatten().filter(|spec| seen.insert(&spec.id)) {
                let steps = match self.rungs() {
                    1 => String::new(),
                    _ => format!(", {} steps", spec.config.train.steps),
                };
                let method = format!("{} [{}{steps}]", spec.method, option.text);
                let row = Row { method, ..blank(spec) };
                if let Some(ended) = store.ended(&spec.id)? {
                    rows.extend(of_ended(&row, ended));
                }
            }
        }
        Ok(rows)
    }
}
