//! Measures by the official evaluators of SoccerNet.

use soccernet::{Measured, Options, Source, Task};

/// The numbers that `of` takes from the result of an official evaluator. If the evaluator fails they are NaN,
/// which makes the run fail.
pub(crate) fn official_measures<const N: usize>(
    task: Task,
    options: &Options,
    [truth, seen]: [&Source; 2],
    of: impl FnOnce(Measured) -> Option<[f64; N]>,
) -> [f64; N] {
    let score = soccernet::score(task, truth, seen, options).ok();
    score.and_then(|score| of(score.result)).unwrap_or([f64::NAN; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn measures_of_nothing_are_not_numbers() {
        let nothing = Source::memory("nothing", BTreeMap::new());
        let of = |found: Measured| match found {
            Measured::Segmentation(found) => Some([found.mean, found.unsmoothed]),
            _ => None,
        };
        let (task, both) = (Task::Segmentation, [&nothing, &nothing]);
        let found = official_measures(task, &Options::of(task), both, of);
        assert!(found.iter().all(|value| value.is_nan()), "{found:?}");
    }
}
