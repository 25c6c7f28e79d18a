//! The actions of a game, by half.

use soccernet::{
    classes::{ACTIONS, action},
    format::labels::Labels,
};

/// Actions, and one more class: no action.
pub(super) const CLASSES: usize = ACTIONS.len() + 1;

/// An action: class and milliseconds.
pub(super) type Action = (usize, i64);

/// The actions of both halves whose class is known.
pub(super) fn by_half(labels: &Labels) -> [Vec<Action>; 2] {
    [1, 2].map(|half| {
        let here = labels.annotations.iter().filter(|label| label.time.half == half);
        let known = here.filter_map(|label| {
            let ms = label.position.unwrap_or(1000 * label.time.seconds);
            Some((action(&label.label)?, ms))
        });
        known.collect()
    })
}
