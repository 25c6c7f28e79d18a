//! Losses that the device may still be computing. They are read together, and only when needed, since each
//! read makes the processor wait for the device.

use burn::prelude::*;

use distributed::Communicator;

use crate::TrainError;

/// The losses of micro-batches since the last read.
#[derive(Default)]
pub(crate) struct PendingLosses {
    losses: Vec<Loss>,
}

struct Loss {
    /// The step, counted from 1.
    step: usize,
    /// The part of the step.
    part: usize,
    /// The task's loss, and the objective: the task's loss plus the layers' own losses.
    values: [Tensor<1>; 2],
}

impl PendingLosses {
    /// Keeps the task's loss and the objective of a part of a step; steps count from 1.
    pub(crate) fn add(&mut self, step: usize, part: usize, task: Tensor<1>, objective: Tensor<1>) {
        let values = [task.detach().inner(), objective.detach().inner()];
        self.losses.push(Loss { step, part, values });
    }

    /// Reads all losses, including those of the other processes, and adds the task's losses and their number
    /// to `sums`. Fails with the first objective that is not finite.
    pub(crate) fn read(
        &mut self,
        world: &dyn Communicator,
        sums: &mut (f64, usize),
    ) -> Result<(), TrainError> {
        let read = self.values(world);
        match read.iter().find(|read| !read.objective.is_finite()) {
            Some(bad) => Err(bad.diverged()),
            None => {
                add(&read, sums);
                Ok(())
            }
        }
    }

    /// The same for steps with losses of several networks: losses that are not finite are left out, and it
    /// fails if all losses of a step are not finite.
    pub(crate) fn read_of_many(
        &mut self,
        world: &dyn Communicator,
        sums: &mut (f64, usize),
    ) -> Result<(), TrainError> {
        for step in self.values(world).chunk_by(|a, b| a.step == b.step) {
            let well: Vec<Read> =
                step.iter().filter(|r| r.objective.is_finite()).copied().collect();
            if well.is_empty() {
                return Err(step[0].diverged());
            }
            add(&well, sums);
        }
        Ok(())
    }

    /// The losses in the order of steps and parts.
    fn values(&mut self, world: &dyn Communicator) -> Vec<Read> {
        let own = self.own();
        if world.size() == 1 {
            return own;
        }
        let own: Vec<u8> = own.iter().flat_map(Read::bytes).collect();
        let all = world.all_gather("losses", &own).concat();
        let mut all: Vec<Read> = all.chunks_exact(Read::BYTES).map(Read::of).collect();
        all.sort_by_key(|read| (read.step, read.part));
        all
    }

    fn own(&mut self) -> Vec<Read> {
        let losses = std::mem::take(&mut self.losses);
        if losses.is_empty() {
            return Vec::new();
        }
        let values = losses.iter().flat_map(|loss| loss.values.clone()).collect();
        let values: Vec<f32> = Tensor::cat(values, 0).into_data().iter::<f32>().collect();
        let pairs = losses.iter().zip(values.chunks_exact(2));
        pairs
            .map(|(loss, v)| Read { step: loss.step, part: loss.part, task: v[0], objective: v[1] })
            .collect()
    }
}

/// A loss that was read.
#[derive(Clone, Copy)]
struct Read {
    step: usize,
    part: usize,
    task: f32,
    objective: f32,
}

impl Read {
    const BYTES: usize = 24;

    fn bytes(&self) -> Vec<u8> {
        let places = [self.step, self.part].into_iter().flat_map(|n| (n as u64).to_le_bytes());
        places.chain([self.task, self.objective].into_iter().flat_map(f32::to_le_bytes)).collect()
    }

    fn of(bytes: &[u8]) -> Self {
        let place = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let loss = |at: usize| bytes[at..].first_chunk().map_or(0.0, |b| f32::from_le_bytes(*b));
        Self {
            step: place(0) as usize,
            part: place(8) as usize,
            task: loss(16),
            objective: loss(20),
        }
    }

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
    use distributed::Alone;

    #[test]
    fn sums_are_read_once_and_the_first_bad_step_is_named() {
        let device = Device::flex().autodiff();
        let one = |x: f32| Tensor::<1>::from_floats([x], &device);
        let mut pending = PendingLosses::default();
        let mut sums = (1.0, 1);
        pending.add(1, 0, one(2.0), one(2.5));
        pending.read(&Alone, &mut sums).unwrap();
        pending.read(&Alone, &mut sums).unwrap();
        assert_eq!(sums, (3.0, 2));
        for (step, objective) in [(2, 1.0), (3, f32::NAN), (4, f32::INFINITY)] {
            pending.add(step, 0, one(1.0), one(objective));
        }
        let err = pending.read(&Alone, &mut sums).unwrap_err();
        assert!(matches!(err, TrainError::Diverged { step: 3, .. }), "{err}");
    }

    #[test]
    fn of_many_networks_some_may_be_astray() {
        let device = Device::flex().autodiff();
        let one = |x: f32| Tensor::<1>::from_floats([x], &device);
        let (mut pending, mut sums) = (PendingLosses::default(), (0.0, 0));
        for (step, loss) in [(1, 1.0), (1, f32::NAN), (2, 3.0), (2, 4.0)] {
            pending.add(step, 0, one(loss), one(loss));
        }
        pending.read_of_many(&Alone, &mut sums).unwrap();
        assert_eq!(sums, (8.0, 3));
        for (step, loss) in [(3, 1.0), (3, f32::NAN), (4, f32::NAN), (4, f32::INFINITY)] {
            pending.add(step, 0, one(loss), one(loss));
        }
        let err = pending.read_of_many(&Alone, &mut sums).unwrap_err();
        assert!(matches!(err, TrainError::Diverged { step: 4, .. }), "{err}");
    }
}
