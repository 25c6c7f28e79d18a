//! AdamW with its moments split among the processes (ZeRO, stage 1): each process keeps the moments of its
//! chunk of a parameter, updates that chunk, and receives the other chunks from the other processes. AdamW
//! treats each number independently, so the bits are those of one process.
//!
//! A checkpoint has the complete moments: it is the same as that of one process, and any number of processes
//! can continue from it. Burn writes an optimizer's record in an order that differs between processes, so
//! chunks are first put on a [`Shelf`] by name, and exchanged there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use burn::{
    optim::{
        AdamWState, AdaptiveMomentumState, LearningRate, Optimizer, RecordState, StateSink,
        StateSource,
    },
    prelude::*,
};
use distributed::{Chunks, Communicator, gathered_bytes_by_first, gathered_numbers};

use super::{pack, unpack};
use crate::adamw::AdamW;

/// The storage for the chunks of moments while a checkpoint is written: by the name of the parameter, with
/// the first moment followed by the second.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    chunks: Mutex<BTreeMap<String, Vec<Vec<f32>>>>,
}

impl Shelf {
    fn chunks(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Vec<f32>>>> {
        self.chunks.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends the chunks to rank 0, which then has those of all processes in order. Parameters are sent one
    /// after the other, so that messages need only the memory of one.
    pub(crate) fn exchange(&self, world: &dyn Communicator) {
        let own = std::mem::take(&mut *self.chunks());
        let counts = world.all_gather("parameters with moments", &(own.len() as u64).to_le_bytes());
        let counts =
            counts.iter().filter_map(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
        let most = counts.max().unwrap_or(0);
        let mut own = own.into_iter();
        for _ in 0..most {
            let next = own.next().map_or_else(Vec::new, |(name, chunks)| {
                let numbers = chunks.iter().flatten().flat_map(|x| x.to_le_bytes());
                pack(&[name.into_bytes(), numbers.collect()])
            });
            for theirs in gathered_bytes_by_first(world, "moments", next) {
                self.put(&unpack(&theirs));
            }
        }
    }

    /// Adds the chunk of a process: name and numbers; an empty entry means that it has no more.
    fn put(&self, entry: &[Vec<u8>]) {
        let [name, numbers] = entry else { return };
        let name = String::from_utf8_lossy(name).to_string();
        let numbers = numbers.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]));
        self.chunks().entry(name).or_default().push(numbers.collect());
    }

    /// Both complete moments of a parameter.
    fn whole(&self, name: &str) -> Option<[Vec<f32>; 2]> {
        let chunks = self.chunks().remove(name)?;
        let half = |at: usize| {
            let part = |chunk: &Vec<f32>| {
                chunk.chunks(chunk.len().div_ceil(2).max(1)).nth(at).map(<[f32]>::to_vec)
            };
            chunks.iter().filter_map(part).flatten().collect()
        };
        Some([half(0), half(1)])
    }
}

/// The size below which the moments of a parameter are kept in every process, since a message would not be
/// worth it.
const SMALL: usize = 1024;

/// The part of a parameter that an optimizer moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The chunk of this process, for a parameter that every process has completely.
    Chunk,
    /// The whole parameter, in every process.
    Whole,
    /// The whole part that this process has: its experts.
    Experts,
}

/// AdamW on the part of the parameters that belongs to this process.
#[derive(Clone)]
pub(crate) struct SplitAdamW {
    rule: AdamW,
    world: Arc<dyn Communicator>,
    shelf: Arc<Shelf>,
    moved: Moved,
}

impl SplitAdamW {
    pub(crate) fn new(rule: AdamW, world: &Arc<dyn Communicator>, shelf: &Arc<Shelf>) -> Self {
        Self { rule, world: world.clone(), shelf: shelf.clone(), moved: Moved::Chunk }
    }

    /// The same for another part of a parameter.
    pub(crate) fn moving(self, moved: Moved) -> Self {
        Self { moved, ..self }
    }

    /// A step on the experts of this process.
    fn step_on_experts<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<SplitState<D>>,
    ) -> (Tensor<D>, Option<SplitState<D>>) {
        let mut shape = tensor.dims();
        let each = shape[0];
        shape[0] *= self.world.size();
        let state = state.map(|state| self.own_experts(state, each));
        let (tensor, state) = self.rule.step(lr, tensor, grad, state);
        let shelf = Some(self.shelf.clone());
        (tensor, state.map(|whole| SplitState { whole, split: true, shape, shelf }))
    }

    /// The moments of this process's `each` experts; a checkpoint has those of all experts.
    fn own_experts<const D: usize>(&self, state: SplitState<D>, each: usize) -> AdamWState<D> {
        if state.split {
            return state.whole;
        }
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } = state.whole.momentum;
        let cut = |all: Tensor<D>| copy(&all.narrow(0, self.world.rank() * each, each));
        AdamWState::new(AdaptiveMomentumState::new(time, cut(moment_1), cut(moment_2)))
    }

    /// The moments of this process's chunk of a parameter of shape `shape`.
    fn own<const D: usize>(&self, state: SplitState<D>, shape: [usize; D]) -> AdamWState<1> {
        let n: usize = shape.iter().product();
        let chunk = Chunks::new(n, self.world.size()).of(self.world.rank());
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } = state.whole.momentum;
        let cut = |moment: Tensor<D>| match state.split {
            true => moment.reshape([-1]),
            false => copy(&moment.reshape([n]).slice([chunk.clone()])),
        };
        AdamWState::new(AdaptiveMomentumState::new(time, cut(moment_1), cut(moment_2)))
    }
}

/// A copy of the numbers: a view would keep the memory of the whole tensor.
fn copy<const D: usize>(view: &Tensor<D>) -> Tensor<D> {
    Tensor::from_data(view.to_data(), &view.device())
}

/// The moments of a parameter.
#[derive(Clone)]
pub(crate) struct SplitState<const D: usize> {
    /// The complete moments; or the chunk, as `[n, 1, 1, ...]`; or those of this process's experts.
    whole: AdamWState<D>,
    /// Whether these are the moments of a chunk.
    split: bool,
    /// The shape of the whole parameter.
    shape: [usize; D],
    /// The shelf on which chunks are assembled.
    shelf: Option<Arc<Shelf>>,
}

impl<const D: usize> SplitState<D> {
    fn of_chunk(chunk: AdamWState<1>, shape: [usize; D], shelf: &Arc<Shelf>) -> Self {
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } = chunk.momentum;
        let shaped = |moment: Tensor<1>| {
            let mut sides = [1; D];
            sides[0] = moment.dims()[0];
            moment.reshape(sides)
        };
        let momentum = AdaptiveMomentumState::new(time, shaped(moment_1), shaped(moment_2));
        Self { whole: AdamWState::new(momentum), split: true, shape, shelf: Some(shelf.clone()) }
    }
}

impl<const D: usize> RecordState for SplitState<D> {
    /// The first call puts the chunk on the shelf, the second one takes the complete moments from there.
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let Some(shelf) = self.shelf.as_ref().filter(|_| self.split) else {
            return self.whole.state_flatten(prefix, out);
        };
        let momentum = &self.whole.momentum;
        let Some(whole) = shelf.whole(prefix) else {
            let moments = [&momentum.moment_1, &momentum.moment_2];
            let chunk =
                moments.into_iter().flat_map(|m| m.to_data().iter::<f32>().collect::<Vec<_>>());
            shelf.chunks().insert(prefix.into(), vec![chunk.collect()]);
            return;
        };
        let device = momentum.moment_1.device();
        let [first, second] =
            whole.map(|m| Tensor::<D>::from_data(TensorData::new(m, self.shape), &device));
        let whole = AdaptiveMomentumState::new(momentum.time, first, second);
        AdamWState::new(whole).state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let whole = AdamWState::<D>::state_unflatten(prefix, source, device)?;
        let shape = whole.momentum.moment_1.dims();
        Some(Self { whole, split: false, shape, shelf: None })
    }
}

impl Optimizer for SplitAdamW {
    type State<const D: usize> = SplitState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<SplitState<D>>,
    ) -> (Tensor<D>, Option<SplitState<D>>) {
        let (shape, n) = (tensor.dims(), tensor.shape().num_elements());
        if self.moved == Moved::Experts {
            return self.step_on_experts(lr, tensor, grad, state);
        }
        if self.moved == Moved::Whole || n < SMALL || D == 0 {
            let (tensor, state) = self.rule.step(lr, tensor, grad, state.map(|state| state.whole));
            return (
                tensor,
                state.map(|whole| SplitState { whole, split: false, shape, shelf: None }),
            );
        }
        let (world, device) = (&*self.world, tensor.device());
        let chunk = Chunks::new(n, world.size()).of(world.rank());
        let own = |all: Tensor<D>| copy(&all.reshape([n]).slice([chunk.clone()]));
        let state = state.map(|state| self.own(state, shape));
        let (moved, state) = self.rule.step(lr, own(tensor), own(grad), state);
        let moved: Vec<f32> = moved.into_data().iter::<f32>().collect();
        let all = gathered_numbers(world, "chunks of a parameter", &moved).concat();
        let state = state.map(|chunk| SplitState::of_chunk(chunk, shape, &self.shelf));
        (Tensor::from_data(TensorData::new(all, shape), &device), state)
    }

    fn to_device<const D: usize>(mut state: SplitState<D>, device: &Device) -> SplitState<D> {
        state.whole.momentum = state.whole.momentum.to_device(device);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::adamw;
    use burn::{
        module::{Module, Param},
        optim::{GradientsParams, ModuleOptimizer},
    };
    use distributed::threads;
    use moe::Init;
    use std::thread;

    /// Two experts for each of two processes.
    #[derive(Module, Debug)]
    struct Net {
        w: Param<Tensor<3>>,
    }

    /// The experts in a range after `steps` updates; each number has a different gradient.
    fn moved(
        mut optimizer: ModuleOptimizer,
        experts: std::ops::Range<usize>,
        steps: usize,
    ) -> (Net, ModuleOptimizer) {
        let init = Init::new(0, &Device::flex().autodiff());
        let (w, x) = (init.normal("w", [4, 3, 5], 1.0), init.normal("x", [4, 3, 5], 1.0).val());
        let cut = |all: Tensor<3>| copy(&all.detach().slice([experts.clone()]));
        let mut net = Net { w: w.map(|w| cut(w).require_grad()) };
        for _ in 0..steps {
            let loss = (net.w.val().square() * cut(x.clone())).sum();
            let grads = GradientsParams::from_grads(loss.backward(), &net);
            net = optimizer.step(0.1, net, grads);
        }
        (net, optimizer)
    }

    fn numbers(net: &Net) -> Vec<f32> {
        net.w.val().into_data().iter::<f32>().collect()
    }

    #[test]
    fn moments_of_experts_are_apart_and_whole_in_the_record() {
        let config = crate::TrainConfig::default();
        let (init, whole) = (Init::new(0, &Device::flex()), 0..4);
        let fresh = || adamw(&config, &init.linear("l", 1, 1, false));
        let (net, optimizer) = moved(fresh(), whole, 3);
        let expected = optimizer.into_bytes().expect("it is written");
        let found: Vec<_> = thread::scope(|scope| {
            let start = |world| {
                scope.spawn(move || {
                    let world: Arc<dyn Communicator> = Arc::new(world);
                    let (shelf, rank) = (Arc::<Shelf>::default(), world.rank());
                    let config = crate::TrainConfig::default();
                    let rule = AdamW {
                        betas: [config.beta1, config.beta2].map(|beta| beta as f32),
                        epsilon: config.epsilon as f32,
                        decay: config.weight_decay as f32,
                    };
                    let rule = SplitAdamW::new(rule, &world, &shelf).moving(Moved::Experts);
                    let (net, optimizer) = moved(rule.into(), 2 * rank..2 * rank + 2, 3);
                    optimizer.to_record();
                    let here: usize = shelf.chunks().values().flatten().map(Vec::len).sum();
                    shelf.exchange(&*world);
                    let record =
                        (rank == 0).then(|| optimizer.into_bytes().expect("it is written"));
                    (numbers(&net), here, record)
                })
            };
            let ranks: Vec<_> = threads(2).into_iter().map(start).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        let all: Vec<f32> = found.iter().flat_map(|(numbers, ..)| numbers.clone()).collect();
        assert_eq!(all, numbers(&net));
        assert!(
            found.iter().all(|(_, here, _)| *here == 2 * 2 * 3 * 5),
            "two moments of two experts"
        );
        assert!(found[0].2.as_ref() == Some(&expected), "the record is that of one process");
    }
}
