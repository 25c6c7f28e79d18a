//! Losses that the device may still be computing: read together, and only when someone looks, since
//! each look makes the processor wait for the device.

use burn::prelude::*;

use crate::TrainError;

/// The losses of micro-batches since the last look.
#[derive(Default)]
pub(crate) struct PendingLosses {
    losses: Vec<Loss>,
}

struct Loss {
    /// Counted from 1.
    step: usize,
    /// The task's, and the objective: the task's and the layers' own.
    values: [Tensor<1>; 2],
}

impl PendingLosses {
    /// Keeps the task's loss and the objective of a step, counted from 1.
    pub(crate) fn add(&mut self, step: usize, task: Tensor<1>, objective: Tensor<1>) {
        self.losses
            .push(Loss { step, values: [task.detach().inner(), objective.detach().inner()] });
    }

    /// Reads all, and adds the task's losses and their number to `sums`. Fails with the first
    /// objective that is no number.
    pub(crate) fn read(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        let read = self.values();
        match read.iter().find(|read| !read.objective.is_finite()) {
            Some(bad) => Err(bad.diverged()),
            None => {
                add(&read, sums);
                Ok(())
            }
        }
    }

    /// The same where the losses of a step are of many networks: those that are no numbers are left
    /// out, and it fails where all of a step are none.
    pub(crate) fn read_of_many(&mut self, sums: &mut (f64, usize)) -> Result<(), TrainError> {
        for step in self.values().chunk_by(|a, b| a.step == b.step) {
            let well: Vec<Read> =
                step.iter().filter(|r| r.objective.is_finite()).copied().collect();
            if well.is_empty() {
                return Err(step[0].diverged());
            }
            add(&well, sums);
        }
        Ok(())
    }

    fn values(&mut self) -> Vec<Read> {
        let losses = std::mem::take(&mut self.losses);
        if losses.is_empty() {
            return Vec::new();
        }
        let values = losses.iter().flat_map(|loss| loss.values.clone()).collect();
        let values: Vec<f32> = Tensor::cat(values, 0).into_data().iter::<f32>().collect();
        let pairs = losses.iter().zip(values.chunks_exact(2));
        pairs.map(|(loss, v)| Read { step: loss.step, task: v[0], objective: v[1] }).collect()
    }
}

/// A loss that was read.
#[derive(Clone, Copy)]
struct Read {
    step: usize,
    task: f32,
    objective: f32,
}

impl Read {
    fn diverged(&self) -> TrainError {
        let what = "the loss".to_string();
        TrainError::Diverged { step: self.step, what, value: self.objective }
    }
}

fn add(read: &[Read], sums: &mut (f64, usize)) {
    for read in read {
        *sums = (sums.0 + f64::from(read.task), sums.1 + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_once_and_the_first_bad_step_is_named() {
        let device = Device::flex().autodiff();
        let one = |x: f32| Tensor::<1>::from_floats([x], &device);
        let mut pending = PendingLosses::default();
        let mut sums = (1.0, 1);
        pending.add(1, one(2.0), one(2.5));
        pending.read(&mut sums).unwrap();
        pending.read(&mut sums).unwrap();
        assert_eq!(sums, (3.0, 2));
        for (step, objective) in [(2, 1.0), (3, f32::NAN), (4, f32::INFINITY)] {
            pending.add(step, one(1.0), one(objective));
        }
        let err = pending.read(&mut sums).unwrap_err();
        assert!(matches!(err, TrainError::Diverged { step: 3, .. }), "{err}");
    }

    #[test]
    fn of_many_networks_some_may_be_astray() {
        let device = Device::flex().autodiff();
        let one = |x: f32| Tensor::<1>::from_floats([x], &device);
        let (mut pending, mut sums) = (PendingLosses::default(), (0.0, 0));
        for (step, loss) in [(1, 1.0), (1, f32::NAN), (2, 3.0), (2, 4.0)] {
            pending.add(step, one(loss), one(loss));
        }
        pending.read_of_many(&mut sums).unwrap();
        assert_eq!(sums, (8.0, 3));
        for (step, loss) in [(3, 1.0), (3, f32::NAN), (4, f32::NAN), (4, f32::INFINITY)] {
            pending.add(step, one(loss), one(loss));
        }
        let err = pending.read_of_many(&mut sums).unwrap_err();
        assert!(matches!(err, TrainError::Diverged { step: 4, .. }), "{err}");
    }
}
