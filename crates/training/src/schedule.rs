//! Schedules: the learning rate, and the number of examples in a step.
//!
//! All of it follows from the step alone, so that a run that goes on from a checkpoint takes it up
//! where it was.

use std::f64::consts::PI;

use moe::config;
use serde::{Deserialize, Serialize};

use crate::TrainConfig;

/// The course of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Half a cosine down to the final rate.
    /// Loshchilov, Hutter. *SGDR*. ICLR 2017. <https://arxiv.org/abs/1608.03983>
    Cosine,
    /// Warm-up, stable, decay: it stays, then falls to the final rate.
    /// Hu et al. *MiniCPM*. 2024. <https://arxiv.org/abs/2404.06395>
    Wsd,
    /// It stays, but for the steps at which it is halved; there is no final rate.
    /// Ling team. *Every FLOP Counts*. 2025. <https://arxiv.org/abs/2503.05139>, at 60 % of the tokens.
    Halving,
}

/// The decay of `wsd`. t goes from 0 to 1, f is the final rate as a share of the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// 1 - t (1 - f).
    Linear,
    /// f + (1 - f) (1 + cos(pi t)) / 2.
    Cosine,
    /// 1 / sqrt(1 + t (1 / f^2 - 1)): the one curve a / sqrt(t + b) with both ends. Ling names the
    /// shape of its annealing and the ends, and no formula.
    InverseSqrt,
}

config! {
    /// Steps that grow at the start of a training.
    pub struct BatchWarmUp {
        /// Examples of the first step.
        pub from: usize = 8,
        /// Steps until a step has all of `batch`; the number grows linearly.
        pub over: usize = 100,
    }
}

impl Shape {
    /// The rate as a share of the largest, with the share `left` of the way down to `last` before it.
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
                Schedule::Wsd => self.shape.at(self.left(step), last),
                Schedule::Halving => 0.5_f64.powi(self.halved(step)),
            }
    }

    /// The share of `wsd`'s way down that is left: 1 before it begins, 0 at the end.
    fn left(&self, step: usize) -> f64 {
        let left = self.steps.saturating_sub(step) as f64 / (self.decay * self.steps as f64);
        left.min(1.0)
    }

    /// The number of halvings of the rate before this step.
    fn halved(&self, step: usize) -> i32 {
        let share = step as f64 / self.steps.max(1) as f64;
        self.halve_at.iter().filter(|at| share >= **at).count() as i32
    }

    /// Examples of a step, counted from 0: a multiple of `accumulate`.
    pub fn batch_at(&self, step: usize) -> usize {
        match &self.batch_warmup {
            Some(BatchWarmUp { from, over }) if step < *over => {
                let grown = from + (self.batch - from) * step / over;
                grown - grown % self.accumulate
            }
            _ => self.batch,
        }
    }

    /// Examples of all steps before this one: where a step begins in the stream of examples.
    pub fn examples_before(&self, step: usize) -> usize {
        let growing = self.batch_warmup.as_ref().map_or(0, |warm_up| warm_up.over.min(step));
        let grown: usize = (0..growing).map(|step| self.batch_at(step)).sum();
        grown + (step - growing) * self.batch
    }

    /// Checks the settings of the schedule. The message begins with the key.
    pub(crate) fn check_schedule(&self) -> Result<(), String> {
        if let Some(at) = self.halve_at.iter().find(|at| !(0.0..=1.0).contains(*at)) {
            return Err(format!("halve_at = {at}: must be from 0 to 1"));
        }
        if self.shape == Shape::InverseSqrt && self.final_lr == 0.0 {
            return Err("shape = \"inverse-sqrt\" never ends at final_lr = 0".into());
        }
        let Some(BatchWarmUp { from, over: _ }) = self.batch_warmup else { return Ok(()) };
        if from < self.accumulate || from > self.batch {
            let (least, most) = (self.accumulate, self.batch);
            return Err(format!(
                "batch_warmup.from = {from}: must be from accumulate = {least} to batch = {most}"
            ));
        }
        match &self.workers {
            Some(_) => {
                Err("batch_warmup is not for workers: each has its part of every step".into())
            }
            None => Ok(()),
        }
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
    fn wsd_is_stable_then_falls_in_its_shape() {
        let config = |shape| TrainConfig { shape, ..config(Schedule::Wsd) };
        for shape in [Shape::Linear, Shape::Cosine, Shape::InverseSqrt] {
            near(config(shape).lr_at(20), 2.0);
            near(config(shape).lr_at(79), 2.0);
            near(config(shape).lr_at(100), 0.2);
        }
        // Half of the last fifth is left.
        near(config(Shape::Linear).lr_at(90), 2.0 * (0.1 + 0.9 * 0.5));
        near(config(Shape::Cosine).lr_at(90), 2.0 * (0.1 + 0.9 * 0.5));
        // A quarter of the way, the cosine has fallen by (1 - 1 / sqrt 2) / 2 of the way.
        near(config(Shape::Cosine).lr_at(85), 2.0 * (0.1 + 0.45 * (1.0 + 0.5_f64.sqrt())));
        // 1 / r^2 is linear: halfway between 1 and 100.
        near(config(Shape::InverseSqrt).lr_at(90), 2.0 / 50.5_f64.sqrt());
        near(TrainConfig { decay: 0.5, ..config(Shape::Linear) }.lr_at(75), 2.0 * 0.55);
    }

    #[test]
    fn the_rate_is_halved_at_each_place() {
        let config = TrainConfig { halve_at: vec![0.6, 0.8], ..config(Schedule::Halving) };
        for (step, rate) in [(20, 2.0), (59, 2.0), (60, 1.0), (79, 1.0), (80, 0.5), (99, 0.5)] {
            near(config.lr_at(step), rate);
        }
    }

    #[test]
    fn steps_grow_and_no_example_is_left_out() {
        let batch_warmup = Some(BatchWarmUp { from: 4, over: 6 });
        let config =
            TrainConfig { batch: 10, accumulate: 2, batch_warmup, ..TrainConfig::default() };
        assert_eq!(config.check(), Ok(()));
        // 4 + 6 step / 6, down to even numbers.
        let sizes: Vec<usize> = (0..8).map(|step| config.batch_at(step)).collect();
        assert_eq!(sizes, [4, 4, 6, 6, 8, 8, 10, 10]);
        for step in 0..8 {
            let expected: usize = sizes[..step].iter().sum();
            assert_eq!(config.examples_before(step), expected);
        }
        assert_eq!(TrainConfig::default().examples_before(3), 3 * 32);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |config: TrainConfig| config.check().unwrap_err();
        let default = TrainConfig::default;
        let batch_warmup = Some(BatchWarmUp { from: 64, over: 10 });
        let err = wrong(TrainConfig { batch_warmup, ..default() });
        assert_eq!(err, "batch_warmup.from = 64: must be from accumulate = 1 to batch = 32");
        let err = wrong(TrainConfig { halve_at: vec![0.5, 1.5], ..default() });
        assert_eq!(err, "halve_at = 1.5: must be from 0 to 1");
        let shape = Shape::InverseSqrt;
        let err = wrong(TrainConfig { shape, final_lr: 0.0, ..default() });
        assert!(err.starts_with("shape = \"inverse-sqrt\""), "{err}");
        let (batch_warmup, workers) = (Some(BatchWarmUp::default()), Some(Default::default()));
        let err = wrong(TrainConfig { batch_warmup, workers, ..default() });
        assert!(err.starts_with("batch_warmup is not for workers"), "{err}");
    }
}
