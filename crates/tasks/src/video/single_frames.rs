//! Spotting without context: the probability that a single frame shows an action, by the means of the frames
//! around actions of each class and of all other frames.

use soccernet::clock::frame_of;

use super::{
    actions::{Action, CLASSES},
    games::{Games, Half},
};
use crate::trivial::ClassMeans;

/// The number of frames on either side of an action that count as its own: one second.
const REACH: i64 = 2;

/// Confidences by game and half of the test games, `[frames, 17]`; `actions` are those of the training games
/// by half.
pub(super) fn single_frames(games: &Games, actions: &[[Vec<Action>; 2]]) -> Vec<[Vec<f32>; 2]> {
    let width = games.width;
    let mut rows = Vec::new();
    for (game, actions) in games.splits[0].iter().zip(actions) {
        for (half, actions) in game.halves.iter().zip(actions) {
            rows.extend(half.features.chunks(width).zip(classes(actions, half.frames)));
        }
    }
    let means = ClassMeans::of(rows.into_iter(), [CLASSES, width]);
    let frame = |row: &[f32]| {
        let all = means.probabilities(row).into_iter().skip(1);
        all.map(|share| share as f32).collect::<Vec<f32>>()
    };
    let of = |half: &Half| half.features.chunks(width).flat_map(frame).collect::<Vec<f32>>();
    games.splits[2].iter().map(|game| game.halves.each_ref().map(of)).collect()
}

/// The class of each frame of a half: one more than that of the nearest action within a second, or else 0.
fn classes(actions: &[Action], frames: usize) -> Vec<usize> {
    let of = |frame: usize| {
        let away = |ms: i64| (frame_of(ms) - frame as i64).abs();
        let near = actions.iter().filter(|(_, ms)| away(*ms) <= REACH);
        near.min_by_key(|(_, ms)| away(*ms)).map_or(0, |(class, _)| class + 1)
    };
    (0..frames).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DataDir,
        video::games_config::{GamesConfig, List},
    };

    #[test]
    fn a_frame_is_of_the_nearest_action_within_a_second() {
        // Two frames a second: the actions are at the frames 4 and 7.
        assert_eq!(classes(&[(3, 2000), (9, 3500)], 11), [0, 0, 4, 4, 4, 4, 10, 10, 10, 10, 0]);
        assert_eq!(classes(&[], 2), [0, 0]);
    }

    #[test]
    fn frames_of_actions_are_more_likely_than_others() {
        let config = GamesConfig {
            train: 20,
            valid: 1,
            test: 1,
            minutes: 4,
            width: 24,
            noise: 0.1,
            ..Default::default()
        };
        let files = ["Labels-v2.json"];
        let games = Games::load("t", &config, List::Actions, &files, &DataDir::default()).unwrap();
        let actions = |split: usize| -> Vec<[Vec<Action>; 2]> {
            let of = |game: &crate::video::games::Game| {
                let labels = game.actions(0, files[0]).unwrap();
                crate::video::actions::by_half(&labels)
            };
            games.splits[split].iter().map(of).collect()
        };
        let found = single_frames(&games, &actions(0));
        let (mut near, mut far) = ((0.0, 0.0), (0.0, 0.0));
        for (half, of) in found[0].iter().zip(&actions(2)[0]) {
            let frames = half.chunks(CLASSES - 1);
            for (row, class) in frames.zip(classes(of, half.len() / (CLASSES - 1))) {
                let sum = if class == 0 { &mut far } else { &mut near };
                sum.0 += f64::from(row.iter().sum::<f32>());
                sum.1 += 1.0;
            }
        }
        assert!(near.0 / near.1 > far.0 / far.1, "{near:?} {far:?}");
    }
}
