//! The sizes in a config, and the search for the size of a given cost.

use std::collections::BTreeMap;

use anyhow::{anyhow, ensure};
use serde_json::Value;

use crate::spec::RunConfig;

/// All whole numbers of at least 1 in a config, by path.
pub(super) fn sizes(config: &RunConfig) -> BTreeMap<String, u64> {
    sizes_of(&serde_json::to_value(config).unwrap_or_default())
}

/// All whole numbers of at least 1 in a table, by path.
pub(super) fn sizes_of(table: &Value) -> BTreeMap<String, u64> {
    fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, u64>) {
        match value {
            Value::Object(table) => table.iter().for_each(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, value, found);
            }),
            value => drop(value.as_u64().filter(|n| *n > 0).map(|n| found.insert(path.into(), n))),
        }
    }
    let mut found = BTreeMap::new();
    collect("", table, &mut found);
    found
}

pub(super) fn size(config: &RunConfig, path: &str) -> Option<u64> {
    sizes(config).remove(path)
}

/// The config with another value for a size.
pub(super) fn with_size(config: &RunConfig, path: &str, size: u64) -> anyhow::Result<RunConfig> {
    let mut value = serde_json::to_value(config)?;
    let pointer = format!("/{}", path.replace('.', "/"));
    *value.pointer_mut(&pointer).ok_or_else(|| anyhow!("no setting is named {path}"))? =
        size.into();
    Ok(serde_json::from_value(value)?)
}

/// The size of at least 1 whose cost is nearest to the target, and that cost. The cost must increase with the
/// size. The size is enclosed by doubling, then searched for by linear interpolation and by bisection in
/// alternation, in case the cost is not linear.
pub(super) fn nearest(
    start: u64,
    target: f64,
    mut cost: impl FnMut(u64) -> anyhow::Result<f64>,
) -> anyhow::Result<(u64, f64)> {
    const MOST: u64 = 1 << 20;
    let mut low = (start, cost(start)?);
    let mut high = low;
    while high.1 < target {
        ensure!(high.0 < MOST, "even {} costs less than the budget of {target:.0}", high.0);
        low = high;
        high = (2 * high.0, cost(2 * high.0)?);
        ensure!(high.1 > low.1, "has no effect on the budget");
    }
    while low.1 > target && low.0 > 1 {
        high = low;
        low = (low.0 / 2, cost(low.0 / 2)?);
        ensure!(low.1 < high.1, "has no effect on the budget");
    }
    let mut in_the_middle = false;
    while high.0 - low.0 > 1 {
        let share = (target - low.1) / (high.1 - low.1);
        let share = if in_the_middle { 0.5 } else { share };
        in_the_middle = !in_the_middle;
        let guess = low.0 + (share * (high.0 - low.0) as f64).round() as u64;
        let guess = guess.clamp(low.0 + 1, high.0 - 1);
        let found = (guess, cost(guess)?);
        if found.1 < target { low = found } else { high = found }
    }
    let is_low = (low.1 - target).abs() <= (high.1 - target).abs();
    Ok(if is_low { low } else { high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_size_is_found_on_curves_too() {
        let find = |start, target| {
            let mut asked = 0;
            let cost = |n: u64| {
                asked += 1;
                Ok((n * n) as f64)
            };
            let found = nearest(start, target, cost).unwrap();
            (found.0, asked)
        };
        assert_eq!(find(1, 10_000.0).0, 100);
        assert_eq!(find(5000, 10_150.0).0, 101);
        assert_eq!(find(7, 0.5).0, 1);
        assert!(find(64, 1e9).1 < 40);
    }
}
