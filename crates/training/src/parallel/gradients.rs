//! The sum of the gradients of a step's parts.

use std::sync::Arc;

use backbones::AnyBackbone;
use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::{GradientsAccumulator, GradientsParams},
    prelude::*,
};
use distributed::{Chunks, Communicator, add_in_order, gathered_numbers};

use super::SplitExperts;

/// The number whose addition changes no bit, not even of -0 and of 0.
const NOTHING: f32 = -0.0;

/// The sum so far.
pub(crate) enum GradientSum {
    /// The sum in one process.
    Alone(GradientsAccumulator<AnyBackbone>),
    /// The sum over several processes: this process has the sums of its chunk of all numbers.
    Shared {
        world: Arc<dyn Communicator>,
        /// The passes over this process's current part that have not been exchanged yet.
        own: Vec<Flat>,
        sum: Vec<f32>,
        /// For each parameter, whether any part has had a gradient for it.
        there: Vec<bool>,
        /// The split of the experts, if each process has a part of them: their gradients are exchanged within
        /// the passes.
        split: Option<SplitExperts>,
        /// The sum of the gradients of this process's experts.
        experts: GradientsAccumulator<AnyBackbone>,
    },
}

impl GradientSum {
    pub(crate) fn new(world: &Arc<dyn Communicator>, split: Option<&SplitExperts>) -> Self {
        match world.size() {
            1 => Self::Alone(GradientsAccumulator::new()),
            _ => {
                let (own, sum, there) = (Vec::new(), Vec::new(), Vec::new());
                let (split, experts) = (split.cloned(), GradientsAccumulator::new());
                Self::Shared { world: world.clone(), own, sum, there, split, experts }
            }
        }
    }

    /// Adds the gradients of a pass over a part.
    pub(crate) fn add(&mut self, model: &AnyBackbone, mut grads: GradientsParams) {
        match self {
            Self::Alone(sum) => sum.accumulate(model, grads),
            Self::Shared { own, split, experts, .. } => {
                if let Some(split) = split {
                    experts.accumulate(model, split.taken(model, &mut grads));
                }
                own.push(Flat::of(model, &grads, split.as_ref()));
            }
        }
    }

    /// Adds the gradients of the parts that the processes currently hold, in the order of ranks, and the
    /// passes over a part one after the other. All processes call it after the same number of passes.
    pub(crate) fn exchange(&mut self) {
        if let Self::Shared { world, own, sum, there, .. } = self {
            let passes = std::mem::take(own);
            let numbers: Vec<&[f32]> = passes.iter().map(|pass| &pass.numbers[..]).collect();
            let length = numbers.first().map_or(0, |numbers| numbers.len());
            let chunk = Chunks::new(length, world.size()).of(world.rank());
            sum.resize(chunk.len(), NOTHING);
            let own = any(&passes);
            there.resize(own.len(), false);
            for theirs in world.all_gather("gradients that there are", &own) {
                there.iter_mut().zip(theirs).for_each(|(there, one)| *there |= one == 1);
            }
            add_in_order(&**world, "gradients", sum, &numbers);
        }
    }

    /// The sum of all parts.
    pub(crate) fn total(self, model: &AnyBackbone) -> GradientsParams {
        match self {
            Self::Alone(mut sum) => sum.grads(),
            Self::Shared { world, sum, there, split, mut experts, .. } => {
                let numbers = gathered_numbers(&*world, "sums of gradients", &sum).concat();
                let (grads, split) = (experts.grads(), split.as_ref());
                let mut cut = Cut { numbers: &numbers, there: &there, grads, split };
                model.visit(&mut cut);
                cut.grads
            }
        }
    }
}

/// The gradients of a network in the order of its parameters, with [`NOTHING`] for missing ones, and without
/// parameters of which each process has a part.
#[derive(Default)]
pub(crate) struct Flat {
    numbers: Vec<f32>,
    /// 1 for each parameter that has a gradient.
    there: Vec<u8>,
}

impl Flat {
    fn of(model: &AnyBackbone, grads: &GradientsParams, split: Option<&SplitExperts>) -> Self {
        let mut visitor = Flatten { grads, flat: Self::default(), split };
        model.visit(&mut visitor);
        visitor.flat
    }
}

/// 1 for each parameter that has a gradient in any of the passes.
fn any(passes: &[Flat]) -> Vec<u8> {
    let mut found = passes.first().map_or_else(Vec::new, |first| first.there.clone());
    for pass in passes {
        found.iter_mut().zip(&pass.there).for_each(|(found, one)| *found |= one);
    }
    found
}

struct Flatten<'a> {
    grads: &'a GradientsParams,
    flat: Flat,
    split: Option<&'a SplitExperts>,
}

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() || self.split.is_some_and(|split| split.has(param.id)) {
            return;
        }
        let grad = self.grads.get::<D>(param.id);
        self.flat.there.push(u8::from(grad.is_some()));
        match grad {
            Some(grad) => self.flat.numbers.extend(grad.into_data().iter::<f32>()),
            None => {
                let end = self.flat.numbers.len() + value.shape().num_elements();
                self.flat.numbers.resize(end, NOTHING);
            }
        }
    }
}

struct Cut<'a> {
    numbers: &'a [f32],
    there: &'a [bool],
    grads: GradientsParams,
    split: Option<&'a SplitExperts>,
}

impl ModuleVisitor for Cut<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() || self.split.is_some_and(|split| split.has(param.id)) {
            return;
        }
        let (own, rest) = self.numbers.split_at(value.shape().num_elements());
        let (there, others) = self.there.split_first().expect("each parameter must have an entry");
        if *there {
            let data = TensorData::new(own.to_vec(), value.dims());
            let grad = Tensor::from_data(data, &value.device().inner());
            self.grads.register::<D>(param.id, grad);
        }
        (self.numbers, self.there) = (rest, others);
    }
}
