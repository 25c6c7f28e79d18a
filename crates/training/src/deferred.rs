//! The tensors of a network's record, each of which is read when it is written: the same content as that of
//! [`Module::into_record`], without a copy of the network.

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    prelude::*,
    tensor::kind::Basic,
};
use burn_pack::Tensor as Packed;

/// The tensors of a network in the order of its record.
pub(crate) fn deferred<M: Module>(model: &M) -> Vec<Packed> {
    let mut tensors = Deferred::default();
    model.visit(&mut tensors);
    tensors.all
}

#[derive(Default)]
struct Deferred {
    path: Vec<String>,
    all: Vec<Packed>,
}

impl Deferred {
    fn push<const D: usize, K: Basic + 'static>(&mut self, id: ParamId, value: Tensor<D, K>) {
        let (name, dtype, shape) = (self.path.join("."), value.dtype(), value.shape());
        let size = shape.num_elements() * dtype.size();
        let bytes = move || Ok(value.clone().into_data().into_parts().0);
        self.all.push(Packed::deferred(name, dtype, shape, Some(id.val()), size, bytes));
    }
}

impl ModuleVisitor for Deferred {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.push(param.id, param.transform_for_save().val());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.push(param.id, param.transform_for_save().val());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.push(param.id, param.transform_for_save().val());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_pack::Writer;
    use moe::Init;

    #[derive(Module, Debug)]
    struct Network {
        linear: burn::nn::Linear,
        norm: burn::nn::BatchNorm,
        whole: Param<Tensor<1, Int>>,
        small: burn::nn::Embedding,
    }

    #[test]
    fn the_bytes_are_those_of_burns_own_record() {
        let device = Device::flex().autodiff();
        let init = Init::new(0, &device);
        let whole = Tensor::<1, Int>::from_data([3, 1, 4], &Device::flex());
        let network = Network {
            linear: init.linear("l", 3, 2, true),
            norm: burn::nn::BatchNormConfig::new(4).init(&device),
            whole: Param::initialized(ParamId::new(), whole),
            small: burn::nn::EmbeddingConfig::new(5, 2).init(&device),
        };
        let own = Writer::new(deferred(&network)).into_bytes().unwrap();
        let burns = network.into_record().into_bytes().unwrap();
        assert_eq!(own[..], burns[..]);
    }
}
