//! Tracking of players: a network predicts a player's next box, and a tracker uses the prediction.
//!
//! Cioppa et al. *SoccerNet-Tracking*. CVPR Workshops 2022. <https://arxiv.org/abs/2204.06918>: the task is
//! to join boxes of the truth, given without identities, to tracks.
//!
//! An example is the trajectory of a player: the last steps of its box, one per row, the newest last. A step
//! is the movement across and down in box heights, and the change of width and height. The answer, at the
//! last row, is the difference between the next step and the last one. In the test the network runs inside
//! the tracker (`tracker.rs`). Its measures are reported beside those of the tracker with boxes that do not
//! move, and with boxes that repeat their last step.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, Input, config};

use super::{
    association::Rect,
    measured::{TrackMeasures, add_official, measures},
    sequences::{Clip, load},
    sequences_config::SequencesConfig,
    tracker::{Motion, standing, straight, track},
};
use crate::{
    Batch, DataDir, DataError, LoadTask, Score, SequentialTask, Split, Task, data::files::wrong,
    score::constant,
};

/// The number of values of a step.
const STEP: usize = 4;

config! {
    /// The sequences, and the length of a trajectory.
    pub struct PlayerTrackingConfig {
        /// The sequences.
        pub sequences: SequencesConfig = SequencesConfig::default(),
        /// Steps of a trajectory that are shown.
        pub steps: usize = 8,
    }
}

/// Tracking of players.
pub struct PlayerTracking {
    config: PlayerTrackingConfig,
    clips: [Vec<Clip>; 3],
    /// The shown steps and the answer of each example, by split.
    examples: [Vec<(Vec<f32>, [f32; 2])>; 3],
}

impl LoadTask for PlayerTracking {
    type Config = PlayerTrackingConfig;
    const NAME: &'static str = "player-tracking";
    const ABOUT: &'static str = "tracking of football players with a learned motion model";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &PlayerTrackingConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        if !(1..=1000).contains(&config.steps) {
            let message = format!("steps = {}: must be from 1 to 1000", config.steps);
            return Err(wrong(Self::NAME, message));
        }
        let clips = load(Self::NAME, &config.sequences, None, data)?;
        Ok(Arc::new(Self::new(config, clips)))
    }
}

/// The change of a box from one frame to the next, divided by the height of the box.
fn step(from: Rect, to: Rect) -> [f32; STEP] {
    let scale = from[3].max(1.0);
    let center = |rect: Rect| [rect[0] + rect[2] / 2.0, rect[1] + rect[3] / 2.0];
    let (a, b) = (center(from), center(to));
    [b[0] - a[0], b[1] - a[1], to[2] - from[2], to[3] - from[3]].map(|value| (value / scale) as f32)
}

impl PlayerTracking {
    fn new(config: &PlayerTrackingConfig, clips: [Vec<Clip>; 3]) -> Self {
        let examples = |clips: &Vec<Clip>| {
            let mut examples = Vec::new();
            for trajectory in clips.iter().flat_map(Clip::trajectories) {
                for next in 2..trajectory.len() {
                    examples.push((
                        rows(&trajectory[..next], config.steps),
                        change(trajectory[next - 2], trajectory[next - 1], trajectory[next]),
                    ));
                }
            }
            examples
        };
        let [a, b, c] = &clips;
        let examples = [examples(a), examples(b), examples(c)];
        Self { config: config.clone(), clips, examples }
    }

    fn input(&self, trajectories: Vec<Vec<f32>>, device: &Device) -> Input {
        let shape = [trajectories.len(), 1, self.config.steps, STEP];
        Input::Image(Tensor::from_data(TensorData::new(trajectories.concat(), shape), device))
    }

    fn measures(&self, split: Split, motion: &mut Motion<'_>) -> TrackMeasures {
        measures(&self.clips[split as usize], &mut |clip| track(&clip.boxes(), motion, None))
    }
}

/// The last steps of a trajectory; steps before its beginning are 0.
fn rows(trajectory: &[Rect], steps: usize) -> Vec<f32> {
    let trajectory = &trajectory[trajectory.len().saturating_sub(steps + 1)..];
    let all: Vec<f32> = trajectory.windows(2).flat_map(|pair| step(pair[0], pair[1])).collect();
    let kept = all.len().min(steps * STEP);
    let mut rows = vec![0.0; steps * STEP - kept];
    rows.extend_from_slice(&all[all.len() - kept..]);
    rows
}

/// The difference of a step from the one before, across and down, in box heights.
fn change(before: Rect, last: Rect, next: Rect) -> [f32; 2] {
    let (a, b) = (step(before, last), step(last, next));
    [b[0] - a[0], b[1] - a[1]]
}

impl Task for PlayerTracking {
    fn domain(&self) -> Domain {
        Domain::Image { channels: 1, height: self.config.steps, width: STEP }
    }

    /// Two: across and down.
    fn outputs(&self) -> usize {
        2
    }

    /// Any number of answers is accepted; the last one is used.
    fn takes(&self, _answers: usize) -> Result<(), String> {
        Ok(())
    }

    fn is_classification(&self) -> bool {
        false
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &[
            "HOTA",
            "DetA",
            "AssA",
            "MOTA",
            "IDF1",
            "HOTA_standing",
            "HOTA_straight",
            "HOTA_over_standing",
            "HOTA_over_straight",
            "HOTA_less_root_AssA",
            "loss",
        ]
    }

    fn len(&self, split: Split) -> usize {
        self.examples[split as usize].len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let all = &self.examples[split as usize];
        let trajectories = examples.iter().map(|example| all[*example].0.clone()).collect();
        let targets: Vec<f32> = examples.iter().flat_map(|example| all[*example].1).collect();
        let targets = TensorData::new(targets, [examples.len(), 1, 2]);
        let labels = Tensor::zeros([examples.len(), self.config.steps], device);
        let batch = Batch::new(self.input(trajectories, device), labels);
        Batch { targets: Some(Tensor::from_data(targets, device)), ..batch }
    }

    /// The mean absolute error of the last row's answer, in tenths of a box height.
    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let targets = batch.targets.clone().expect("a batch of this task has targets");
        let [_, rows, _] = output.dims();
        let last = output.narrow(1, rows - 1, 1);
        let targets = constant(&last, targets);
        kernels::mean((last - targets).abs()) * 10.0
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        score.add_loss(self.loss(output, batch), batch);
    }

    /// The better of boxes that do not move and boxes that move in a straight line, chosen on the validation
    /// split.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let of = |split| {
            [self.measures(split, &mut standing)[0], self.measures(split, &mut straight)[0]]
        };
        let [still, moving] = of(Split::Valid);
        vec![("HOTA", of(Split::Test)[usize::from(moving >= still)])]
    }

    fn as_sequential(&self) -> Option<&dyn SequentialTask> {
        Some(self)
    }
}

impl SequentialTask for PlayerTracking {
    fn measure_sequence(
        &self,
        split: Split,
        network: &mut dyn FnMut(Input) -> Tensor<3>,
        device: &Device,
        score: &mut Score,
    ) {
        let mut learned = |tracks: &[&[Rect]]| -> Vec<Rect> {
            let trajectories =
                tracks.iter().map(|trajectory| rows(trajectory, self.config.steps)).collect();
            let output = network(self.input(trajectories, device));
            let [_, n, _] = output.dims();
            let last: Vec<f32> = output.narrow(1, n - 1, 1).into_data().iter::<f32>().collect();
            let moved = straight(tracks).into_iter().zip(tracks).zip(last.chunks(2));
            moved
                .map(|((rect, trajectory), by)| {
                    // A trajectory of one box has no last step.
                    let scale = if trajectory.len() > 1 {
                        trajectory[trajectory.len() - 1][3]
                    } else {
                        0.0
                    };
                    let [dx, dy] = [f64::from(by[0]) * scale, f64::from(by[1]) * scale];
                    [rect[0] + dx, rect[1] + dy, rect[2], rect[3]]
                })
                .collect()
        };
        let found = self.measures(split, &mut learned);
        let [still, ..] = self.measures(split, &mut standing);
        let [moving, ..] = self.measures(split, &mut straight);
        add_official(found, score);
        let [hota, _, ass_a, ..] = found;
        for (name, value) in [
            ("HOTA_standing", still),
            ("HOTA_straight", moving),
            ("HOTA_over_standing", hota - still),
            ("HOTA_over_straight", hota - moving),
            ("HOTA_less_root_AssA", hota - ass_a.sqrt()),
        ] {
            score.add(name, value, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> PlayerTracking {
        let sequences = SequencesConfig {
            train: 1,
            valid: 1,
            test: 2,
            frames: 30,
            players: 12,
            ..Default::default()
        };
        let config = PlayerTrackingConfig { sequences, steps: 3 };
        PlayerTracking::new(
            &config,
            load("t", &config.sequences, None, &DataDir::default()).unwrap(),
        )
    }

    #[test]
    fn a_network_that_says_nothing_moves_straight_on() {
        let (task, mut score, device) = (task(), Score::default(), Device::flex());
        let mut silent = |input: Input| {
            let Input::Image(rows) = input else { panic!("they are images") };
            Tensor::zeros([rows.dims()[0], 1, 2], &Device::flex())
        };
        task.measure_sequence(Split::Test, &mut silent, &device, &mut score);
        let of = |name| score.mean(name);
        assert!((of("HOTA") - of("HOTA_straight")).abs() < 1e-12);
        assert!(of("HOTA_straight") > of("HOTA_standing"), "{score:?}");
        let [("HOTA", trivial)] = task.trivial()[..] else { panic!("{score:?}") };
        assert!([of("HOTA_straight"), of("HOTA_standing")].contains(&trivial), "{trivial}");
        // The boxes are those of the truth; only where two overlap does a mistaken identity cost one.
        assert!(of("DetA") > 0.97 && of("DetA") <= 1.0, "{score:?}");
        assert!(of("HOTA_less_root_AssA").abs() < 0.02, "{score:?}");
    }

    #[test]
    fn an_example_is_the_steps_of_a_course_and_the_change_to_the_next_one() {
        let trajectory = [[0.0, 0.0, 10.0, 20.0], [2.0, 0.0, 10.0, 20.0], [6.0, 1.0, 10.0, 20.0]];
        assert_eq!(rows(&trajectory[..2], 2), [0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0]);
        let all = rows(&trajectory, 1);
        assert_eq!(all.len(), 4);
        assert!((all[0] - 0.2).abs() < 1e-6 && (all[1] - 0.05).abs() < 1e-6);
        let [dx, dy] = change(trajectory[0], trajectory[1], trajectory[2]);
        assert!((dx - 0.1).abs() < 1e-6 && (dy - 0.05).abs() < 1e-6);
        let task = task();
        assert_eq!(task.len(Split::Train), 13 * 28);
        let batch = task.batch(Split::Train, &[0, 5], &Device::flex());
        let loss =
            task.loss(Tensor::zeros([2, 3, 2], &Device::flex()), &batch).into_scalar::<f32>();
        let expected: f32 =
            [0, 5].iter().flat_map(|at: &usize| task.examples[0][*at].1).map(f32::abs).sum();
        assert!((loss - 10.0 * expected / 4.0).abs() < 1e-5);
    }
}
