//! The tensors of a network as those of a record, each read when it is written: what
//! [`Module::into_record`] gives, without a copy of the network.

use burn::{
    module::{Module, ModuleVisitor, Param},
    prelude::*,
    tensor::DType,
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
    fn push(
        &mut self,
        id: u64,
        (dtype, shape): (DType, Shape),
        data: impl Fn() -> TensorData + Send + Sync + 'static,
    ) {
        let size = shape.num_elements() * dtype.size();
        let bytes = move || Ok(data().into_parts().0);
        self.all.push(Packed::deferred(self.path.join("."), dtype, shape, Some(id), size, bytes));
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
        let value = param.transform_for_save().val();
        let kind = (value.dtype(), value.shape());
        self.push(param.id.val(), kind, move || value.clone().into_data());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let value = param.transform_for_save().val();
        let kind = (value.dtype(), value.shape());
        self.push(param.id.val(), kind, move || value.clone().into_data());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let value = param.transform_for_save().val();
        let kind = (value.dtype(), value.shape());
        self.push(param.id.val(), kind, move || value.clone().into_data());
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
            whole: Param::initialized(burn::module::ParamId::new(), whole),
            small: burn::nn::EmbeddingConfig::new(5, 2).init(&device),
        };
        let own = Writer::new(deferred(&network)).into_bytes().unwrap();
        let burns = network.into_record().into_bytes().unwrap();
        assert_eq!(own[..], burns[..]);
    }
}
