//! Expert parallelism: each process has some of the experts of every layer, and all other parameters.
//!
//! Rows are sent to the experts and back within a pass (`moe::expert_parallel`), so a process has the
//! gradients of its own experts for the rows of all processes. They are added up here, contribute to the norm
//! of the gradient, and are applied by the optimizer of this process alone. Everything else is the same as in
//! data parallelism.
//!
//! For evaluation and for the checkpoint rank 0 gathers the whole network.

use std::{collections::BTreeSet, sync::Arc};

use backbones::AnyBackbone;
use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    prelude::*,
};
use distributed::{Communicator, gathered_by_first, gathered_numbers};
use moe::{expert_parameters, read_back};

/// The experts of a process in a network.
#[derive(Clone)]
pub(crate) struct SplitExperts {
    world: Arc<dyn Communicator>,
    /// The parameters of experts, of which each process has a part.
    ids: Arc<BTreeSet<u64>>,
}

impl SplitExperts {
    /// The network with only the experts of this process, made from one with all experts.
    ///
    /// # Errors
    /// If the experts of a layer cannot be distributed equally over the processes.
    pub(crate) fn split<M: Module>(
        model: M,
        world: &Arc<dyn Communicator>,
    ) -> Result<(M, Self), String> {
        let ids = expert_parameters(&model).iter().map(|id| id.val()).collect();
        let split = Self { world: world.clone(), ids: Arc::new(ids) };
        let mut cut = Cut { split: &split, refused: None };
        let model = model.map(&mut cut);
        match cut.refused {
            Some(experts) => Err(format!(
                "a layer has {experts} experts, which {} processes cannot share equally",
                world.size()
            )),
            None => Ok((model, split)),
        }
    }

    /// Whether this process has a part of the parameter.
    pub(crate) fn has(&self, id: ParamId) -> bool {
        self.ids.contains(&id.val())
    }

    /// The network with the experts of all processes at rank 0, and with their own experts at the others. All
    /// processes must call it.
    pub(crate) fn gathered(&self, model: &AnyBackbone) -> AnyBackbone {
        model.clone().map(&mut Gather { split: self })
    }

    /// The gradients of the experts, taken out of `grads`.
    pub(crate) fn taken(
        &self,
        model: &AnyBackbone,
        grads: &mut GradientsParams,
    ) -> GradientsParams {
        let mut take = Take { split: self, grads, taken: GradientsParams::new() };
        model.visit(&mut take);
        take.taken
    }

    /// The sum of one number per process, in the order of ranks.
    pub(crate) fn sum(&self, own: f32) -> f32 {
        let all = gathered_numbers(&*self.world, "squares of gradients of experts", &[own]);
        all.iter().flatten().sum()
    }
}

/// A mapper that keeps only the experts of this process.
struct Cut<'a> {
    split: &'a SplitExperts,
    /// The number of experts of a layer that cannot be split.
    refused: Option<usize>,
}

impl ModuleMapper for Cut<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let world = &self.split.world;
        if !self.split.has(param.id) {
            return param;
        }
        let experts = param.lazy_shape()[0];
        if !experts.is_multiple_of(world.size()) {
            self.refused = Some(experts);
            return param;
        }
        let each = experts / world.size();
        // The part is copied: a view would keep the memory of all experts.
        replaced(param, |all| read_back(all.narrow(0, world.rank() * each, each)))
    }
}

/// A mapper that gives rank 0 the experts of all processes.
struct Gather<'a> {
    split: &'a SplitExperts,
}

impl ModuleMapper for Gather<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.split.has(param.id) {
            return param;
        }
        let world = &*self.split.world;
        let mut shape = param.lazy_shape().to_vec();
        let own: Vec<f32> = read_back(param.val()).iter::<f32>().collect();
        let all = gathered_by_first(world, "experts", &own);
        if world.rank() > 0 {
            return param;
        }
        shape[0] *= world.size();
        replaced(param, |_| TensorData::new(all.concat(), shape))
    }
}

/// The parameter with other values; trained parameters stay trained.
fn replaced<const D: usize>(
    param: Param<Tensor<D>>,
    by: impl FnOnce(Tensor<D>) -> TensorData,
) -> Param<Tensor<D>> {
    param.map(|old| {
        let (device, trained) = (old.device(), old.is_require_grad());
        let new = Tensor::from_data(by(old), &device);
        if trained { new.require_grad() } else { new }
    })
}

struct Take<'a> {
    split: &'a SplitExperts,
    grads: &'a mut GradientsParams,
    taken: GradientsParams,
}

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.split.has(param.id) {
            return;
        }
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            self.taken.register::<D>(param.id, grad);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{library, network, task};
    use distributed::threads;
    use moe::{Choice, Init, MoeConfig, MoeLayer, Pass, Placement, RealTokens, parameters};
    use std::thread;

    fn config() -> MoeConfig {
        let expert = Choice::of("ffn").with("hidden", 6);
        MoeConfig { layers: Placement::ALL, experts: 4, expert, ..MoeConfig::default() }
    }

    fn whole() -> AnyBackbone {
        let vit = Choice::of("vit").with("width", 8).with("depth", 2).with("heads", 2);
        network(&*task(&Choice::of("digits")), &vit, &config())
    }

    /// The output and the gradient of two passes through a layer, for sequences with the lengths `real`.
    fn through_a_layer(
        real: &[usize],
        rank: usize,
        world: Option<Arc<dyn Communicator>>,
    ) -> [Vec<f32>; 2] {
        let init = Init::new(3, &Device::flex().autodiff());
        let layer = MoeLayer::new(&config(), &library(), [3, 8], &init).unwrap();
        let x = init.at(rank).normal("x", [2, 3, 8], 1.0).val();
        let mut pass = Pass::train(0, 0, 0.0);
        pass.put(RealTokens(real.to_vec()));
        let (layer, mut pass) = match &world {
            Some(world) => {
                let (layer, _) = SplitExperts::split(layer, world).unwrap();
                (layer, pass.with_split_experts(world))
            }
            None => (layer, pass),
        };
        let y = layer.forward(&mut pass, x.clone());
        let y = layer.forward(&mut pass, x.clone() + y);
        let grads = (y.clone().square().sum() + (x.clone() * 0.0).sum()).backward();
        let values = |t: Tensor<3>| t.into_data().iter::<f32>().collect();
        [values(y), values(x.grad(&grads).unwrap())]
    }

    #[test]
    fn sequences_of_other_lengths_elsewhere_are_waited_for() {
        let cases: [[[usize; 2]; 2]; 3] = [[[3, 1], [3, 3]], [[2, 2], [1, 3]], [[3, 2], [0, 0]]];
        for real in cases {
            let found: Vec<_> = thread::scope(|scope| {
                let start = |(rank, world): (usize, distributed::Threads)| {
                    let world: Arc<dyn Communicator> = Arc::new(world);
                    scope.spawn(move || through_a_layer(&real[rank][..], rank, Some(world)))
                };
                let ranks: Vec<_> = threads(2).into_iter().enumerate().map(start).collect();
                ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
            });
            for (rank, found) in found.iter().enumerate() {
                let expected = through_a_layer(&real[rank], rank, None);
                for (a, b) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{real:?} {rank}: {a} {b}");
                }
            }
        }
    }

    /// The numbers of the network, by path.
    fn numbers(model: &AnyBackbone) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let all = moe::numbers_of(model, |_| true).into_iter();
        all.map(|(known, data)| (known.path, known.shape, data.iter::<f32>().collect())).collect()
    }

    #[test]
    fn the_parameters_of_experts_are_those_below_the_experts_of_layers() {
        let model = whole();
        let named = parameters(&model).into_iter().filter(|known| known.path.contains(".experts."));
        let found = expert_parameters(&model);
        assert_eq!(found.len(), named.count());
        assert!(found.len() >= 4, "two matrices in each of two layers");
    }

    #[test]
    fn each_process_has_its_part_and_the_first_can_have_all_again() {
        let expected = numbers(&whole());
        let found: Vec<_> = thread::scope(|scope| {
            let start = |world| {
                scope.spawn(move || {
                    let world: Arc<dyn Communicator> = Arc::new(world);
                    let (part, split) = SplitExperts::split(whole(), &world).unwrap();
                    (numbers(&part), numbers(&split.gathered(&part)), split.sum(1.5))
                })
            };
            let ranks: Vec<_> = threads(2).into_iter().map(start).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        for (rank, (part, ..)) in found.iter().enumerate() {
            for ((path, shape, own), (_, of_all, all)) in part.iter().zip(&expected) {
                if path.contains(".experts.") {
                    assert_eq!(2 * shape[0], of_all[0], "{path}");
                    assert_eq!(shape[1..], of_all[1..], "{path}");
                    assert_eq!(own[..], all[rank * own.len()..][..own.len()], "{path}");
                } else {
                    assert_eq!((shape, own), (of_all, all), "{path}");
                }
            }
        }
        assert!(found[0].1 == expected, "the first has all of them");
        assert!(found[1].1 == found[1].0, "the other has its own");
        assert_eq!([found[0].2, found[1].2], [3.0; 2]);
    }

    #[test]
    fn experts_that_cannot_be_shared_equally_are_refused() {
        // The network is split without a message to the others.
        let world: Arc<dyn Communicator> = Arc::new(threads(3).remove(0));
        let err = SplitExperts::split(whole(), &world).err().unwrap();
        assert_eq!(err, "a layer has 4 experts, which 3 processes cannot share equally");
    }
}
