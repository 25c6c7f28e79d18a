//! The parts of the features of generated games: a vector for each kind of camera, and for each action the
//! patterns before and after it.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use soccernet::classes::{ACTIONS, CAMERAS};

/// The number of annotations of each action in SoccerNet-v2, roughly, in the order of the classes. Generated
/// games draw actions by the square root, so that rare ones occur in a few games too.
pub(super) const FREQUENCIES: [f64; 17] = [
    173.0, 2566.0, 1703.0, 2839.0, 2098.0, 5820.0, 5256.0, 7896.0, 31810.0, 18918.0, 11674.0,
    10521.0, 2200.0, 4836.0, 2047.0, 55.0, 46.0,
];

/// The share of time of each kind of camera on the screen, roughly.
pub(super) const CAMERA_WEIGHTS: [f64; 13] =
    [40.0, 25.0, 6.0, 6.0, 1.0, 3.0, 2.0, 4.0, 2.0, 4.0, 1.0, 4.0, 2.0];

/// The number of frames before an action in which its pattern grows: three seconds.
pub(super) const BEFORE: i64 = 6;
/// The number of frames after an action in which it is seen: eight seconds.
pub(super) const AFTER: i64 = 16;

/// Unit vectors that features are added up from.
pub(super) struct Templates {
    pub(super) cameras: Vec<Vec<f32>>,
    pub(super) replay: Vec<f32>,
    pub(super) logo: Vec<f32>,
    /// Before action c: `before[c]`; after it: `after[c]`.
    before: Vec<usize>,
    after: Vec<usize>,
    pool: Vec<Vec<f32>>,
}

/// A vector of length 1 in a direction drawn at random.
pub(super) fn direction(rng: &mut impl Rng, width: usize) -> Vec<f32> {
    let drawn: Vec<f32> = (0..width).map(|_| rng.sample(StandardNormal)).collect();
    let length = drawn.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    drawn.iter().map(|x| x / length).collect()
}

/// An index drawn with the given weights.
pub(super) fn weighted(rng: &mut impl Rng, weights: &[f64]) -> usize {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    let found = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    found.unwrap_or(weights.len() - 1)
}

impl Templates {
    /// Actions come in pairs: the pattern before one is the pattern after the other, so that only the order
    /// in time distinguishes them.
    pub(super) fn new(rng: &mut ChaCha8Rng, width: usize) -> Self {
        let mut draw = |count: usize| (0..count).map(|_| direction(rng, width)).collect::<Vec<_>>();
        let partner = |class: usize| match class + 1 == ACTIONS.len() {
            true => ACTIONS.len(),
            false => class ^ 1,
        };
        Self {
            cameras: draw(CAMERAS.len()),
            replay: draw(1).remove(0),
            logo: draw(1).remove(0),
            before: (0..ACTIONS.len()).collect(),
            after: (0..ACTIONS.len()).map(partner).collect(),
            pool: draw(ACTIONS.len() + 1),
        }
    }

    /// The term that an action adds to the frame `dt` frames after it (before it, if negative): a vector and
    /// its weight. Actions that are not on the screen add only a late and weak echo.
    pub(super) fn action(&self, class: usize, visible: bool, dt: i64) -> Option<(&[f32], f32)> {
        let ramp = (dt + BEFORE + 1) as f32 / (BEFORE + 1) as f32;
        let decay = (-dt as f32 / 8.0).exp();
        match dt {
            _ if !(-BEFORE..=AFTER).contains(&dt) => None,
            ..0 => visible.then(|| (&*self.pool[self.before[class]], 1.5 * ramp)),
            0..4 if !visible => None,
            _ if !visible => Some((&self.pool[self.after[class]], 0.8 * decay)),
            _ => Some((&self.pool[self.after[class]], 1.5 * decay)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn pairs_of_actions_are_each_others_reverse() {
        let templates = Templates::new(&mut ChaCha8Rng::seed_from_u64(0), 8);
        let seen = |class, dt| templates.action(class, true, dt).unwrap();
        assert_eq!(seen(0, -1).0, seen(1, 3).0);
        assert_eq!(seen(1, -1).0, seen(0, 3).0);
        assert_ne!(seen(16, 3).0, seen(15, -1).0);
        assert!(seen(2, -1).1 > seen(2, -6).1 && seen(2, 0).1 > seen(2, 16).1);
        assert_eq!(templates.action(0, true, 17), None);
        assert_eq!((templates.action(0, false, -1), templates.action(0, false, 3)), (None, None));
        assert!(templates.action(0, false, 4).unwrap().1 < seen(0, 4).1);
    }

    #[test]
    fn weights_are_shares() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<usize> = (0..4000).map(|_| weighted(&mut rng, &[1.0, 0.0, 3.0])).collect();
        let share = |of| drawn.iter().filter(|one| **one == of).count() as f64 / 4000.0;
        // The standard error of a share of a quarter is sqrt(3 / 16 / 4000) = 0.007.
        assert!((share(0) - 0.25).abs() < 0.03 && share(1) == 0.0, "{}", share(0));
    }
}
