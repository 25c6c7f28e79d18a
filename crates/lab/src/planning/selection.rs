//! Selection of runs by `--only` and `--seeds`.

use anyhow::{Context, anyhow, bail, ensure};
use report::few;

use crate::spec::RunSpec;

/// Refuses two runs of the same name on tasks and networks of the same kind: they would share a row of the
/// table, however else they differ.
pub(crate) fn distinct_methods(specs: &[RunSpec]) -> anyhow::Result<()> {
    let row = |spec: &RunSpec| {
        let (task, backbone) = (&spec.config.task.kind, &spec.config.backbone.kind);
        (spec.method.clone(), task.clone(), backbone.clone())
    };
    for (i, spec) in specs.iter().enumerate() {
        let (method, task, backbone) = row(spec);
        ensure!(
            !specs[..i].iter().any(|other| row(other) == row(spec)),
            "two methods are named {method:?} on {task} and {backbone}; give one of them another \
             name, or put the tasks into two suites"
        );
    }
    Ok(())
}

/// The runs that have all of the properties.
pub(crate) fn only(mut specs: Vec<RunSpec>, wanted: &[String]) -> anyhow::Result<Vec<RunSpec>> {
    const KEYS: &str = "known keys: method, router, task, backbone, seed";
    for (i, text) in wanted.iter().enumerate() {
        let Some((key, value)) = text.split_once('=') else {
            bail!("--only {text}: expected key=value; {KEYS}");
        };
        let property: fn(&RunSpec) -> String = match key {
            "method" => |spec| spec.method.clone(),
            "router" => |spec| spec.router().to_string(),
            "task" => |spec| spec.config.task.kind.clone(),
            "backbone" => |spec| spec.config.backbone.kind.clone(),
            "seed" => |spec| spec.seed.to_string(),
            _ => bail!("--only {text}: unknown key {key:?}; {KEYS}"),
        };
        let known = distinct(specs.iter().map(property));
        specs.retain(|spec| property(spec) == value);
        let left = if i == 0 { "" } else { " among the runs that match the ones before it" };
        ensure!(!specs.is_empty(), "--only {text}: no run matches; known{left}: {}", few(known));
    }
    Ok(specs)
}

/// The distinct values, in order of appearance.
pub(crate) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// The largest number of seeds of a call.
const MOST_SEEDS: u64 = 100_000;

/// Reads a range of seeds: `0..5`, `3`, or `0,2,4`.
pub(crate) fn seeds(text: &str) -> anyhow::Result<Vec<u64>> {
    let wrong = || format!("{text:?}: expected seeds, 0..5 or 0,2,4");
    let seeds: Vec<u64> = match text.split_once("..") {
        Some((from, to)) => {
            let (from, to): (u64, u64) =
                (from.parse().ok().with_context(wrong)?, to.parse().ok().with_context(wrong)?);
            let count = to.saturating_sub(from);
            ensure!(
                count <= MOST_SEEDS,
                "{text:?}: {count} seeds; at most {MOST_SEEDS} are allowed"
            );
            (from..to).collect()
        }
        None => text
            .split(',')
            .map(|seed| seed.parse().ok())
            .collect::<Option<_>>()
            .with_context(wrong)?,
    };
    if seeds.is_empty() {
        Err(anyhow!("{text:?} is empty; write 0..5 for five seeds"))
    } else {
        Ok(seeds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_a_list() {
        assert_eq!(seeds("0..3").unwrap(), [0, 1, 2]);
        assert_eq!(seeds("4,2").unwrap(), [4, 2]);
        assert!(seeds("a..b").unwrap_err().to_string().contains("0..5"));
        assert!(seeds("3..3").unwrap_err().to_string().contains("is empty"));
        let err = seeds("0..18446744073709551615").unwrap_err().to_string();
        assert!(err.ends_with("18446744073709551615 seeds; at most 100000 are allowed"), "{err}");
    }
}
