//! Losses that the device may still be computing: read together, and only when someone looks, since
//! each look makes the processor wait for the device.

use burn::prelude::*;

use crate::TrainError;

/// The losses of micro-batches since the last look.
#[derive(Default)]
pub(crate) struct Unread {
    losses: Vec<Loss>,
}

struct Loss {
    /// Counted from 1.
    step: usize,
    /// The task's, and the objective: the task's and the layers' own.
    values: [Tensor<1>; 2],
}

impl Unread {
    /// Keeps the task's loss and the objective of a step, counted from 1.
    pub(crate) fn add(&mut self, step: usize, task: Tensor<1>, objective: Tensor<1>) {
        self.losses
            .push(Loss { step, values: [task.detach().inner(), objective.detach().inner()] });
    }

    /// Reads all, and adds the task's losses and their number to `sums`. Fails with the first
    /// objective that is no number.
    pub(crate) fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        if self.losses.is_empty() {
            return Ok(());
        }
        let losses = std::mem::take(&mut self.losses);
        let values = losses.iter().flat_map(|loss| loss.values.clone()).collect();
        let values: Vec<f32> = Tensor::cat(values, 0).into_data().iter::<f32>().collect();
        for (loss, pair) in losses.iter().zip(values.chunks_exact(2)) {
            if !pair[1].is_finite() {
                return Err(TrainError::Diverged { step: loss.step, loss: pair[1] });
            }
            *sums = (sums.0 + f64::from(pair[0]), sums.1 + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_once_and_the_first_bad_step_is_named() {
        let device = Device::flex().autodiff();
        let one = |x: f32| Tensor::<1>::from_floats([x], &device);
        let mut unread = Unread::default();
        let mut sums = (1.0, 1);
        unread.add(1, one(2.0), one(2.5));
        unread.read(&mut sums).unwrap();
        unread.read(&mut sums).unwrap();
        assert_eq!(sums, (3.0, 2));
        for (step, objective) in [(2, 1.0), (3, f32::NAN), (4, f32::INFINITY)] {
            unread.add(step, one(1.0), one(objective));
        }
        let err = unread.read(&mut sums).unwrap_err();
        assert!(matches!(err, TrainError::Diverged { step: 3, .. }), "{err}");
    }
}
