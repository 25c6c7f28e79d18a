//! Schedules of the learning rate.
//!
//! The rate depends only on the step, so that a run that continues from a checkpoint has the same rates.

use std::f64::consts::PI;

use crate::{Schedule, Shape, TrainConfig};

/// The share of the steps in which `wsd` decays. Our choice; MiniCPM needs 10 %.
const DECAY: f64 = 0.2;

/// The share of the steps at which `halving` halves the rate: Ling does it at 60 % of the tokens.
const HALVE_AT: f64 = 0.6;

impl Shape {
    /// The rate as a share of the largest, when the share `left` of the decay to `last` remains.
    fn at(self, left: f64, last: f64) -> f64 {
        let t = 1.0 - left;
        match self {
            Shape::Linear => last + (1.0 - last) * left,
            Shape::Cosine => cosine(t, last),
            Shape::InverseSqrt => (1.0 + t * (last.powi(-2) - 1.0)).powf(-0.5),
        }
    }
}

/// Half a cosine from 1 at t = 0 down to `last` at t = 1.
fn cosine(t: f64, last: f64) -> f64 {
    last + (1.0 - last) * 0.5 * (1.0 + (PI * t).cos())
}

impl TrainConfig {
    /// The learning rate of a step, counted from 0.
    pub fn lr_at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.lr * (step + 1) as f64 / self.warmup as f64;
        }
        let left = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = (step - self.warmup) as f64 / left; // 0 after the warm-up, 1 at the end
        let last = self.final_lr;
        self.lr
            * match self.schedule {
                Schedule::Constant => 1.0,
                Schedule::Cosine => cosine(done, last),
                Schedule::Cubic => last + (1.0 - last) * (1.0 - done).powi(3),
                Schedule::Wsd => self.shape.at(self.left(step), last),
                Schedule::Halving if self.share_before(step) < HALVE_AT => 1.0,
                Schedule::Halving => 0.5,
            }
    }

    /// The share of `wsd`'s decay that remains: 1 before it begins, 0 at the end.
    fn left(&self, step: usize) -> f64 {
        let left = self.steps.saturating_sub(step) as f64 / (DECAY * self.steps as f64);
        left.min(1.0)
    }

    /// The share of the steps that precede this one.
    fn share_before(&self, step: usize) -> f64 {
        step as f64 / self.steps.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }

    fn config(schedule: Schedule) -> TrainConfig {
        TrainConfig { schedule, steps: 100, warmup: 20, lr: 2.0, ..TrainConfig::default() }
    }

    #[test]
    fn the_warm_up_is_linear() {
        near(config(Schedule::Cosine).lr_at(0), 0.1);
        near(config(Schedule::Cosine).lr_at(19), 2.0);
    }

    #[test]
    fn the_cosine_is_halfway_in_the_middle() {
        let config = config(Schedule::Cosine);
        near(config.lr_at(20), 2.0);
        near(config.lr_at(60), 2.0 * (0.1 + 0.9 * 0.5));
        near(config.lr_at(100), 0.2);
    }

    #[test]
    fn the_cubic_has_an_eighth_left_in_the_middle() {
        let config = config(Schedule::Cubic);
        near(config.lr_at(20), 2.0);
        near(config.lr_at(60), 2.0 * (0.1 + 0.9 * 0.125));
        near(config.lr_at(100), 0.2);
    }

    #[test]
    fn wsd_is_stable_then_falls_in_its_shape() {
        let config = |shape| TrainConfig { shape, ..config(Schedule::Wsd) };
        for shape in [Shape::Linear, Shape::Cosine, Shape::InverseSqrt] {
            near(config(shape).lr_at(20), 2.0);
            near(config(shape).lr_at(79), 2.0);
            near(config(shape).lr_at(100), 0.2);
        }
        // Half of the last fifth remains.
        near(config(Shape::Linear).lr_at(90), 2.0 * (0.1 + 0.9 * 0.5));
        near(config(Shape::Cosine).lr_at(90), 2.0 * (0.1 + 0.9 * 0.5));
        // After a quarter of the decay, the cosine has fallen by (1 - 1 / sqrt 2) / 2 of the way.
        near(config(Shape::Cosine).lr_at(85), 2.0 * (0.1 + 0.45 * (1.0 + 0.5_f64.sqrt())));
        // 1 / r^2 is linear: halfway between 1 and 100.
        near(config(Shape::InverseSqrt).lr_at(90), 2.0 / 50.5_f64.sqrt());
    }

    #[test]
    fn the_rate_is_halved_once() {
        for (step, rate) in [(20, 2.0), (59, 2.0), (60, 1.0), (99, 1.0)] {
            near(config(Schedule::Halving).lr_at(step), rate);
        }
    }
}
