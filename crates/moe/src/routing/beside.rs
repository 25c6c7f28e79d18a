//! Concurrent passes of one step, whose parts are computed by several processes, each with the
//! same network.
//!
//! The update of a state must then use the parts of all processes, in the order in which a single process
//! would have computed them. Update rules are therefore not applied at once, but by [`Beside::settle`],
//! when the parts of the other processes are known. The states of all processes stay equal, and are to the
//! bit those of one process that computes the parts one after the other.

use std::{cell::RefCell, sync::Arc};

use burn::{
    module::{Module, ModuleVisitor, Param, RunningState},
    prelude::*,
};
use distributed::{Communicator, gathered_numbers};

/// The other processes of a pass, and the update rules that wait for their parts.
pub(crate) struct Beside {
    world: Arc<dyn Communicator>,
    waiting: RefCell<Vec<Waiting>>,
}

/// An update rule, and the statistics of this pass for it.
struct Waiting {
    state: u64,
    seen: Tensor<1>,
    ends_step: bool,
    rule: Box<dyn Fn(Tensor<1>, bool)>,
}

impl Beside {
    /// The link of a pass to the processes of `world`; none if its own is the only one.
    pub(crate) fn of(world: &Arc<dyn Communicator>) -> Option<Self> {
        (world.size() > 1).then(|| Self { world: world.clone(), waiting: RefCell::default() })
    }

    /// Keeps a rule for [`Beside::settle`], with the statistics `seen` of this pass. `ends_step` says
    /// whether the step ends with this pass or with a concurrent pass of another process.
    pub(crate) fn follow<const D: usize>(
        &self,
        state: &RunningState<Tensor<D>>,
        seen: Tensor<1>,
        ends_step: bool,
        rule: impl Fn(Tensor<1>, bool) + 'static,
    ) {
        let last = self.world.rank() + 1 == self.world.size();
        let (state, ends_step, rule) = (id(state), ends_step && last, Box::new(rule));
        self.waiting.borrow_mut().push(Waiting { state, seen, ends_step, rule });
    }

    /// See [`super::Pass::up_to_here`].
    pub(crate) fn up_to_here(&self, own: Tensor<1>) -> Vec<Tensor<1>> {
        let all = gathered_numbers(&*self.world, "up to here", &numbers(&own));
        let before = all.into_iter().take(self.world.rank());
        let before = before.map(|numbers| tensor(&numbers, &own.device()));
        before.chain([own.clone()]).collect()
    }

    /// See [`super::Pass::settle`].
    pub(crate) fn settle(&self) {
        let waiting = self.waiting.take();
        let own: Vec<u8> = waiting.iter().flat_map(bytes).collect();
        for theirs in self.world.all_gather("states", &own) {
            let mut left = &theirs[..];
            while let Some((state, ends_step, numbers)) = next(&mut left) {
                let known = waiting.iter().find(|waiting| waiting.state == state);
                let known = known.expect("all parts of a step must update the same states");
                (known.rule)(tensor(&numbers, &known.seen.device()), ends_step);
            }
        }
    }
}

fn numbers(tensor: &Tensor<1>) -> Vec<f32> {
    kernels::read_back(tensor.clone().detach()).iter::<f32>().collect()
}

fn tensor(numbers: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::from(numbers), device)
}

/// The id of a state, the same in all processes.
fn id<const D: usize>(state: &RunningState<Tensor<D>>) -> u64 {
    let mut id = Id(0);
    state.visit(&mut id);
    id.0
}

struct Id(u64);

impl ModuleVisitor for Id {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0 = param.id.val();
    }
}

/// The entry of a state: its id, whether the step ends, and its statistics, preceded by their number.
fn bytes(waiting: &Waiting) -> Vec<u8> {
    let numbers = numbers(&waiting.seen);
    let head = [waiting.state, u64::from(waiting.ends_step), numbers.len() as u64];
    let head = head.into_iter().flat_map(u64::to_le_bytes);
    head.chain(numbers.into_iter().flat_map(f32::to_le_bytes)).collect()
}

/// Reads the next entry of [`bytes`].
fn next(left: &mut &[u8]) -> Option<(u64, bool, Vec<f32>)> {
    let (head, rest) = left.split_at_checked(24)?;
    let word = |at: usize| Some(u64::from_le_bytes(*head[8 * at..].first_chunk()?));
    let (numbers, rest) = rest.split_at_checked(4 * word(2)? as usize)?;
    *left = rest;
    let number = |x: &[u8]| f32::from_le_bytes([x[0], x[1], x[2], x[3]]);
    Some((word(0)?, word(1)? == 1, numbers.chunks_exact(4).map(number).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Pass;
    use distributed::threads;
    use std::thread;

    /// A rule: the state becomes 10 times itself plus `seen`, and twice that at the end of a step.
    fn follow(pass: &Pass, state: &RunningState<Tensor<1>>, seen: f32) {
        let moved = state.clone();
        let seen = Tensor::<1>::from_floats([seen], &Device::flex());
        pass.follow(state, seen, move |seen, ends| {
            let next = moved.value_sync() * 10.0 + seen;
            moved.update(if ends { next * 2.0 } else { next });
            moved.value_sync();
        });
    }

    fn state() -> RunningState<Tensor<1>> {
        let zero = Tensor::<1>::zeros([1], &Device::flex());
        RunningState::with_id(burn::module::ParamId::from(7), zero)
    }

    fn value(state: &RunningState<Tensor<1>>) -> f32 {
        state.value_sync().into_scalar::<f32>()
    }

    #[test]
    fn a_rule_is_applied_at_once_where_there_is_one_process() {
        let state = state();
        for part in 0..3 {
            let pass = Pass::train(0, 0, 0.0).micro_batch(part, 3);
            follow(&pass, &state, part as f32 + 1.0);
        }
        assert_eq!(value(&state), 246.0);
    }

    #[test]
    fn processes_move_their_states_alike_and_as_one_would() {
        // Rank 1 updates the state twice, like a layer that processes a batch in parts.
        let seen: [&[f32]; 3] = [&[1.0], &[2.0, 3.0], &[4.0]];
        let found: Vec<(f32, f32, Vec<f32>)> = thread::scope(|scope| {
            let ranks: Vec<_> = threads(3)
                .into_iter()
                .map(|world| {
                    scope.spawn(move || {
                        let (rank, state) = (world.rank(), state());
                        let world: Arc<dyn Communicator> = Arc::new(world);
                        let pass =
                            Pass::train(0, 0, 0.0).micro_batch(rank, rank + 1).beside(&world);
                        seen[rank].iter().for_each(|seen| follow(&pass, &state, *seen));
                        let before = value(&state);
                        pass.settle();
                        let own = Tensor::from_floats([rank as f32], &Device::flex());
                        let here = pass.up_to_here(own);
                        let here = here.iter().flat_map(numbers).collect();
                        (before, value(&state), here)
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        for (rank, (before, after, here)) in found.into_iter().enumerate() {
            let all: Vec<f32> = (0..=rank).map(|rank| rank as f32).collect();
            assert_eq!((before, after, here), (0.0, 2468.0, all));
        }
    }
}
