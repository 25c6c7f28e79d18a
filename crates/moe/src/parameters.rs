//! The numbers of a module by path, `gate.weight`: to look at them, and to put others in their place.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    prelude::*,
};

/// A parameter or a state of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Where it is in the module, `gate.weight`.
    pub path: String,
    /// Its sides.
    pub shape: Vec<usize>,
    /// Is it trained by gradients? If not it is a state, which a rule moves, or nobody.
    pub trained: bool,
}

/// The parameters and states of a module on an autodiff device, in the module's own order.
pub fn parameters(module: &impl Module) -> Vec<Parameter> {
    let mut list = List::default();
    module.visit(&mut list);
    list.found
}

/// The module with these numbers in the place of those that it has, by path. What is trained stays
/// trained.
///
/// # Errors
/// Names the path that the module does not have, or has in another shape, and the paths that there
/// are.
pub fn with_parameters<M: Module>(
    module: M,
    numbers: BTreeMap<String, TensorData>,
) -> Result<M, String> {
    let known = parameters(&module);
    for (path, data) in &numbers {
        let (found, shape) = (known.iter().find(|known| known.path == *path), data.shape());
        match found {
            None => return Err(format!("there is no parameter {path}; there are {}", all(&known))),
            Some(known) if known.shape != shape.as_slice() => {
                return Err(format!("{path} is {:?}, not {:?}", known.shape, shape.as_slice()));
            }
            Some(_) => {}
        }
    }
    Ok(module.map(&mut Replace { numbers, path: Vec::new() }))
}

fn all(known: &[Parameter]) -> String {
    let one = |known: &Parameter| format!("{} {:?}", known.path, known.shape);
    match known {
        [] => "none".into(),
        known => known.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

#[derive(Default)]
struct List {
    path: Vec<String>,
    found: Vec<Parameter>,
}

impl ModuleVisitor for List {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        self.found.push(Parameter {
            path: self.path.join("."),
            shape: value.dims().to_vec(),
            trained: value.is_require_grad(),
        });
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

struct Replace {
    numbers: BTreeMap<String, TensorData>,
    path: Vec<String>,
}

impl ModuleMapper for Replace {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.numbers.remove(&self.path.join(".")) else { return param };
        param.map(|old| {
            let new = Tensor::from_data(data.convert::<f32>(), &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;
    use burn::module::RunningState;

    #[derive(Module, Debug)]
    struct Two {
        gate: Inner,
        bias: RunningState<Tensor<1>>,
    }

    #[derive(Module, Debug)]
    struct Inner {
        weight: Param<Tensor<2>>,
    }

    fn two() -> Two {
        let device = Device::flex().autodiff();
        let init = Init::new(0, &device);
        let bias = init.state("bias", Tensor::zeros([3], &Device::flex()));
        Two { gate: Inner { weight: init.constant("weight", [1, 3], 2.0) }, bias }
    }

    #[test]
    fn paths_shapes_and_what_is_trained() {
        let known = |path: &str, shape: &[usize], trained| Parameter {
            path: path.into(),
            shape: shape.to_vec(),
            trained,
        };
        let expected = [known("gate.weight", &[1, 3], true), known("bias", &[3], false)];
        assert_eq!(parameters(&two()), expected);
    }

    #[test]
    fn numbers_take_their_place_and_stay_trained_or_not() {
        let of = |path: &str, data: TensorData| (path.to_string(), data);
        let numbers = [
            of("gate.weight", TensorData::new(vec![1.0_f32, 2.0, 3.0], [1, 3])),
            of("bias", TensorData::new(vec![4.0_f64, 5.0, 6.0], [3])),
        ];
        let two = with_parameters(two(), numbers.into()).unwrap();
        let values = two.gate.weight.val().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values, [1.0, 2.0, 3.0]);
        let bias = two.bias.value_sync().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(bias, [4.0, 5.0, 6.0]);
        let trained: Vec<bool> = parameters(&two).iter().map(|known| known.trained).collect();
        assert_eq!(trained, [true, false]);
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_there_is() {
        let wrong = |path: &str, shape: Vec<usize>| {
            let data = TensorData::new(vec![0_f32; shape.iter().product()], shape);
            with_parameters(two(), [(path.to_string(), data)].into()).unwrap_err()
        };
        assert_eq!(
            wrong("gate.wieght", vec![1]),
            "there is no parameter gate.wieght; there are gate.weight [1, 3], bias [3]"
        );
        assert_eq!(wrong("bias", vec![3, 1]), "bias is [3], not [3, 1]");
    }
}
