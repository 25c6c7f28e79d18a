//! Fixed splits of image sets into training, validation and test, stratified by class.

use moe::stable_hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// The numbers of the images of each split: train, valid, test.
pub(crate) type Splits = [Vec<usize>; 3];

/// The images of each class, in the order in which they come.
fn by_class(labels: &[i32], classes: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(image, label)| members[*label as usize].push(image));
    members
}

/// For a set without splits: of each class, in an order drawn once, the first fifth is for test,
/// the next for validation, the rest for training.
pub(crate) fn fifths(set: &str, labels: &[i32], classes: usize) -> Splits {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("{set}/split")));
    let mut splits = [Vec::new(), Vec::new(), Vec::new()];
    for mut members in by_class(labels, classes) {
        members.shuffle(&mut rng);
        let fifth = members.len() / 5;
        splits[2].extend(&members[..fifth]);
        splits[1].extend(&members[fifth..2 * fifth]);
        splits[0].extend(&members[2 * fifth..]);
    }
    splits
}

/// For a set whose first `train` images are for training and the others for test: a tenth of
/// each class, drawn once, is taken from training for validation. All keep their order.
pub(crate) fn tenth(set: &str, labels: &[i32], classes: usize, train: usize) -> Splits {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("{set}/split")));
    let mut valid = Vec::new();
    for mut members in by_class(&labels[..train], classes) {
        members.shuffle(&mut rng);
        valid.extend(&members[..members.len() / 10]);
    }
    valid.sort_unstable();
    let train = (0..train).filter(|image| valid.binary_search(image).is_err());
    let train: Vec<usize> = train.collect();
    let test = (train.len() + valid.len()..labels.len()).collect();
    [train, valid, test]
}

/// `n` of the members, balanced over the classes as far as possible: the first ones of each class, in their
/// order. The error is a class that has too few members, and the number that it has.
pub(crate) fn balanced(
    members: &[usize],
    labels: &[i32],
    classes: usize,
    n: usize,
) -> Result<Vec<usize>, (usize, usize)> {
    let mut left: Vec<usize> =
        (0..classes).map(|c| n / classes + (c < n % classes) as usize).collect();
    let mut chosen = Vec::with_capacity(n);
    for &image in members {
        let left = &mut left[labels[image] as usize];
        if *left > 0 {
            *left -= 1;
            chosen.push(image);
        }
    }
    match left.iter().position(|left| *left > 0) {
        Some(class) => {
            let there = members.iter().filter(|image| labels[**image] == class as i32).count();
            Err((class, there))
        }
        None => Ok(chosen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_each_class_is_for_validation() {
        // 60 for training, 6 for test, three classes in turn.
        let labels: Vec<i32> = (0..66).map(|i| i % 3).collect();
        let [train, valid, test] = tenth("a", &labels, 3, 60);
        assert_eq!((train.len(), valid.len()), (54, 6));
        assert_eq!(test, (60..66).collect::<Vec<_>>());
        let ones = valid.iter().filter(|image| labels[**image] == 1).count();
        assert_eq!(ones, 2);
        assert!(train.is_sorted() && valid.iter().all(|image| !train.contains(image)));
        assert_ne!(tenth("b", &labels, 3, 60)[1], valid);
    }

    #[test]
    fn a_subset_has_the_first_of_each_class() {
        let labels = [0, 0, 0, 1, 1, 0, 2, 2];
        let members = [1, 2, 3, 4, 5, 6];
        assert_eq!(balanced(&members, &labels, 3, 3), Ok(vec![1, 3, 6]));
        assert_eq!(balanced(&members, &labels, 3, 5), Ok(vec![1, 2, 3, 4, 6])); // 2, 2, 1
        assert_eq!(balanced(&members, &labels, 3, 6), Err((2, 1)));
    }
}
