//! Folds: the samples for training, validation and test.
//!
//! Samples of one capture share its light, so a random split of samples lets a network know the light of the
//! test samples. A split of whole captures does not.

use moe::stable_hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::set::Pairs;

/// The samples that are kept together in a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deal {
    /// All samples of a capture. The captures of each class are assigned to the folds in turn, in their
    /// order.
    Capture,
    /// No samples: those of each class are assigned to the folds in turn, in an order drawn once.
    Random,
}

/// The fold of each sample, in `0..folds`.
///
/// # Errors
/// If a class has fewer captures, or samples, than there are folds.
pub(super) fn deal(pairs: &Pairs, by: Deal, folds: usize) -> Result<Vec<usize>, String> {
    let mut fold_of = vec![0; pairs.len()];
    for (class, name) in pairs.classes.iter().enumerate() {
        let mut samples: Vec<usize> =
            (0..pairs.len()).filter(|sample| pairs.labels[*sample] == class as i32).collect();
        let mut captures: Vec<usize> = samples.iter().map(|s| pairs.captures[*s]).collect();
        captures.sort_unstable();
        captures.dedup();
        let (there, what) = match by {
            Deal::Capture => (captures.len(), "captures"),
            Deal::Random => (samples.len(), "samples"),
        };
        if there < folds {
            return Err(format!(
                "class {name} has only {there} {what}, fewer than the {folds} folds"
            ));
        }
        match by {
            Deal::Capture => samples.iter().for_each(|sample| {
                let place = captures.partition_point(|known| *known < pairs.captures[*sample]);
                fold_of[*sample] = place % folds;
            }),
            Deal::Random => {
                let seed = stable_hash(&format!("rice/folds/{name}"));
                samples.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
                samples.iter().enumerate().for_each(|(i, sample)| fold_of[*sample] = i % folds);
            }
        }
    }
    Ok(fold_of)
}

/// Training, validation and test samples: `fold` is for test, the next fold for validation, the others are
/// for training. At most `train` samples are for training, the same number of each class.
pub(super) fn splits(
    pairs: &Pairs,
    fold_of: &[usize],
    (fold, folds): (usize, usize),
    train: Option<usize>,
) -> [Vec<usize>; 3] {
    let of = |wanted: usize| -> Vec<usize> {
        (0..fold_of.len()).filter(|sample| fold_of[*sample] == wanted).collect()
    };
    let (test, valid) = (fold % folds, (fold + 1) % folds);
    let mut rest: Vec<usize> =
        (0..fold_of.len()).filter(|s| ![test, valid].contains(&fold_of[*s])).collect();
    if let Some(train) = train {
        let seed = stable_hash(&format!("rice/train/{fold}"));
        rest.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut left = vec![train / pairs.classes.len(); pairs.classes.len()];
        rest.retain(|sample| {
            let left = &mut left[pairs.labels[*sample] as usize];
            let kept = *left > 0;
            *left -= usize::from(kept);
            kept
        });
        rest.sort_unstable();
    }
    [rest, of(valid), of(test)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Two classes with four captures each, of six samples.
    fn pairs() -> Pairs {
        let labels: Vec<i32> = (0..48).map(|i| i / 24).collect();
        Pairs {
            classes: vec!["a".into(), "b".into()],
            captures: (0..48).map(|i| i / 6).collect(),
            labels,
            size: [2, 2],
            mosaics: vec![0; 48 * 4],
            rgb: vec![0; 48 * 12],
        }
    }

    #[test]
    fn no_capture_is_in_two_splits() {
        let pairs = pairs();
        let fold_of = deal(&pairs, Deal::Capture, 4).unwrap();
        let mut tested = Vec::new();
        for fold in 0..4 {
            let splits = splits(&pairs, &fold_of, (fold, 4), None);
            let captures: Vec<BTreeSet<usize>> = splits
                .iter()
                .map(|split| split.iter().map(|sample| pairs.captures[*sample]).collect())
                .collect();
            assert!(captures[0].is_disjoint(&captures[1]) && captures[0].is_disjoint(&captures[2]));
            assert!(captures[1].is_disjoint(&captures[2]));
            assert_eq!(splits.each_ref().map(Vec::len), [24, 12, 12]);
            tested.extend(splits[2].clone());
        }
        tested.sort_unstable();
        assert_eq!(tested, (0..48).collect::<Vec<_>>(), "each sample is tested once");
    }

    #[test]
    fn a_random_split_has_captures_in_common_and_is_always_the_same() {
        let pairs = pairs();
        let fold_of = deal(&pairs, Deal::Random, 4).unwrap();
        assert_eq!(deal(&pairs, Deal::Random, 4).unwrap(), fold_of);
        let [train, _, test] = splits(&pairs, &fold_of, (0, 4), None);
        assert!(
            test.iter().any(|s| train.iter().any(|t| pairs.captures[*t] == pairs.captures[*s]))
        );
        let ones = test.iter().filter(|sample| pairs.labels[**sample] == 1).count();
        assert_eq!((test.len(), ones), (12, 6));
    }

    #[test]
    fn fewer_samples_are_as_many_of_each_class() {
        let pairs = pairs();
        let fold_of = deal(&pairs, Deal::Capture, 4).unwrap();
        let [train, ..] = splits(&pairs, &fold_of, (1, 4), Some(10));
        let ones = train.iter().filter(|sample| pairs.labels[**sample] == 1).count();
        assert_eq!((train.len(), ones), (10, 5));
        assert!(train.is_sorted());
    }

    #[test]
    fn too_many_folds_are_refused() {
        let err = deal(&pairs(), Deal::Capture, 5).unwrap_err();
        assert_eq!(err, "class a has only 4 captures, fewer than the 5 folds");
        assert!(deal(&pairs(), Deal::Random, 24).is_ok());
    }
}
