//! The objective of a student.
//!
//! L = (1 - alpha) CE(z_S, y) + alpha KD(z_T, z_S)                         (1)
//!
//! The teacher gets the same images as the student, after augmentation and mixing, and is in evaluation mode.

use backbones::AnyBackbone;
use burn::prelude::*;
use moe::{LayerReport, Pass, config};
use tasks::Batch;

use super::divergence::{Reduction, divergence};
use crate::{
    batch_facts::put_batch_facts,
    objective::{Answered, Objective, Value},
};

config! {
    /// The distillation of a teacher into a student.
    pub struct DistillConfig {
        /// The weight alpha of the teacher's outputs; the task's loss has the rest.
        pub alpha: f64 = 0.5,
        /// The temperature, tau.
        pub tau: f64 = 1.0,
        /// The divisor of the sum over the scores: `"elements"`, all scores, as in the published code, or
        /// `"batch"`, the number of predictions.
        pub reduction: Reduction = Reduction::Elements,
    }
}

impl DistillConfig {
    /// Checks the ranges of the values.
    ///
    /// # Errors
    /// If a value is out of its range; names the value.
    pub fn check(&self) -> Result<(), String> {
        let Self { alpha, tau, .. } = *self;
        if !(0.0..=1.0).contains(&alpha) {
            return Err(format!("alpha = {alpha}: must be from 0 to 1"));
        }
        match (1e-3..=1e3).contains(&tau) {
            true => Ok(()),
            false => Err(format!("tau = {tau}: must be from 0.001 to 1000")),
        }
    }
}

/// A teacher, and the settings of the distillation.
pub struct Distill {
    config: DistillConfig,
    /// The teacher's network, in evaluation mode.
    teacher: AnyBackbone,
}

impl Distill {
    /// An objective with a teacher without autodiff.
    pub fn new(config: DistillConfig, teacher: AnyBackbone) -> Self {
        Self { config, teacher }
    }
}

impl Objective for Distill {
    fn value(&self, Answered { task, batch, output, loss, pass }: Answered) -> Value {
        let mut watching = Pass::eval().with_reports();
        put_batch_facts(&mut watching, task, batch);
        let taught = self.teacher.forward(&mut watching, batch.input.clone());
        let ([b, t, c], rows) = (output.dims(), real_rows(batch));
        let scores = |output: Tensor<3>| match &rows {
            Some(rows) => {
                let rows = Tensor::<1, Int>::from_data(rows.as_slice(), &output.device().inner());
                output.reshape([b * t, c]).select(0, rows)
            }
            None => output.reshape([b * t, c]),
        };
        let DistillConfig { alpha, tau, reduction } = self.config;
        let distance = divergence(scores(output), scores(taught), tau, reduction);
        pass.metric("kd", distance.clone());
        let routed: f64 = watching.reports().iter().map(|layer: &LayerReport| layer.flops).sum();
        Value {
            loss: loss * (1.0 - alpha) + distance * alpha, // (1)
            flops: self.teacher.dense_flops() * b as f64 + routed,
        }
    }
}

/// The rows of `[B * T]` that are not padding; none without padding.
fn real_rows(batch: &Batch) -> Option<Vec<i32>> {
    let ([_, t], count) = (batch.labels.dims(), &batch.text.as_ref()?.count);
    let of =
        |(example, count): (usize, &usize)| (0..*count).map(move |at| (example * t + at) as i32);
    let padded = count.iter().any(|count| *count < t);
    padded.then(|| count.iter().enumerate().flat_map(of).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::worked::{agrees, fill};
    use moe::Input;
    use tasks::TextFacts;

    #[test]
    fn padding_does_not_count() {
        let ids = Tensor::<2, Int>::zeros([2, 3], &Device::flex());
        let batch = |count: [usize; 2]| {
            let text = TextFacts { count: count.to_vec(), bytes: Vec::new(), source: Vec::new() };
            Batch { text: Some(text), ..Batch::new(Input::Tokens(ids.clone()), ids.clone()) }
        };
        assert_eq!(real_rows(&batch([3, 3])), None);
        assert_eq!(real_rows(&batch([1, 2])), Some(vec![0, 3, 4]));
        assert_eq!(real_rows(&Batch::new(Input::Tokens(ids.clone()), ids.clone())), None);
    }

    fn scores(salt: u64) -> Tensor<2> {
        Tensor::from_data(TensorData::new(fill(salt, 10, 4.0), [2, 5]), &Device::flex())
    }

    #[test]
    pub(crate) fn the_published_objective() {
        // Labels are softmax(F(142; 2, 5)): CE is the sum of p times the negative log of the student's.
        let labels: Tensor<2> =
            Tensor::from_data(TensorData::new(fill(142, 10, 1.0), [2, 5]), &Device::flex());
        let labels = kernels::softmax(labels, 1);
        let logs = burn::tensor::activation::log_softmax(scores(140), 1);
        let loss = kernels::sum(labels * logs).neg() / 2.0;
        agrees("CE of soft labels", &[loss.clone().into_scalar()], &[1.971_405_7]);
        let DistillConfig { tau, reduction, .. } = DistillConfig::default();
        let distance = divergence(scores(140), scores(141), tau, reduction);
        let whole = (loss * 0.5 + distance * 0.5).into_scalar();
        agrees("(1 - alpha) CE + alpha KD, alpha = 0.5", &[whole], &[1.029_172_5]);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let wrong = |config: DistillConfig| config.check().unwrap_err();
        let default = DistillConfig::default;
        assert_eq!(
            wrong(DistillConfig { alpha: 1.5, ..default() }),
            "alpha = 1.5: must be from 0 to 1"
        );
        let err = wrong(DistillConfig { tau: 0.0, ..default() });
        assert_eq!(err, "tau = 0: must be from 0.001 to 1000");
        assert!(wrong(DistillConfig { alpha: f64::NAN, ..default() }).contains("NaN"));
        assert_eq!(default().check(), Ok(()));
    }
}
