//! The parameters of a module with their paths (`gate.weight`): visiting, listing and replacing them.

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    prelude::*,
};

/// Visits parameters and states together with their paths.
pub trait PathVisitor {
    /// Visits a parameter or state; `path` has the names of the modules around it, and its own name.
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>);
}

/// Visits all parameters and states of a module, in the module's own order. Parameters that are
/// initialized on first use are not initialized, unless the visitor asks for the value.
pub fn visit_paths(module: &impl Module, visitor: &mut impl PathVisitor) {
    module.visit(&mut WithPath { path: Vec::new(), inner: visitor });
}

struct WithPath<'a, V> {
    path: Vec<String>,
    inner: &'a mut V,
}

impl<V: PathVisitor> ModuleVisitor for WithPath<'_, V> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.inner.visit(&self.path, param);
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

/// Replaces parameters and states, with their paths.
pub trait PathMapper {
    /// The replacement of a parameter or state; `path` as for [`PathVisitor::visit`].
    fn map<const D: usize>(&mut self, path: &[String], param: Param<Tensor<D>>)
    -> Param<Tensor<D>>;
}

/// The module with all its parameters and states replaced by a mapper, in the module's own order.
pub fn map_paths<M: Module>(module: M, mapper: &mut impl PathMapper) -> M {
    module.map(&mut WithPath { path: Vec::new(), inner: mapper })
}

impl<V: PathMapper> ModuleMapper for WithPath<'_, V> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.inner.map(&self.path, param)
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

/// A parameter or a state of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The path in the module, `gate.weight`.
    pub path: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// Whether it is trained by gradients. Otherwise it is a state, constant or changed by an update rule.
    pub trained: bool,
}

/// The parameters and states of a module on an autodiff device, in the module's own order.
pub fn parameters(module: &impl Module) -> Vec<Parameter> {
    list(module, &|_| false).map(|(parameter, _)| parameter).collect()
}

/// The parameters for which `wanted` is true, with their values, in the module's own order; the others
/// are not read.
pub fn numbers_of(
    module: &impl Module,
    wanted: impl Fn(&Parameter) -> bool,
) -> Vec<(Parameter, TensorData)> {
    list(module, &wanted).filter_map(|(parameter, data)| Some((parameter, data?))).collect()
}

fn list(
    module: &impl Module,
    reads: &dyn Fn(&Parameter) -> bool,
) -> impl Iterator<Item = (Parameter, Option<TensorData>)> {
    let mut list = List { reads, found: Vec::new() };
    visit_paths(module, &mut list);
    list.found.into_iter()
}

/// The module in which the parameters at these paths have these values. Whether a parameter is trained
/// does not change.
///
/// # Errors
/// If the module does not have one of the paths (the message lists its parameters), or has another shape
/// there.
pub fn with_parameters<M: Module>(
    module: M,
    numbers: BTreeMap<String, TensorData>,
) -> Result<M, String> {
    let known = parameters(&module);
    for (path, data) in &numbers {
        let (found, shape) = (known.iter().find(|known| known.path == *path), data.shape());
        match found {
            None => return Err(format!("no parameter is named {path}; known: {}", all(&known))),
            Some(known) if known.shape != shape.as_slice() => {
                return Err(format!(
                    "{path} has the shape {:?}, not {:?}",
                    known.shape,
                    shape.as_slice()
                ));
            }
            Some(_) => {}
        }
    }
    Ok(map_paths(module, &mut Replace(numbers)))
}

fn all(known: &[Parameter]) -> String {
    let one = |known: &Parameter| format!("{} {:?}", known.path, known.shape);
    match known {
        [] => "none".into(),
        known => known.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

struct List<'a> {
    reads: &'a dyn Fn(&Parameter) -> bool,
    found: Vec<(Parameter, Option<TensorData>)>,
}

impl PathVisitor for List<'_> {
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        let value = param.val();
        let parameter = Parameter {
            path: path.join("."),
            shape: value.dims().to_vec(),
            trained: value.is_require_grad(),
        };
        let data = (self.reads)(&parameter).then(|| kernels::read_back(value));
        self.found.push((parameter, data));
    }
}

struct Replace(BTreeMap<String, TensorData>);

impl PathMapper for Replace {
    fn map<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let Some(data) = self.0.remove(&path.join(".")) else { return param };
        param.map(|old| {
            let new = Tensor::from_data(data.convert::<f32>(), &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Init;
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
            "no parameter is named gate.wieght; known: gate.weight [1, 3], bias [3]"
        );
        assert_eq!(wrong("bias", vec![3, 1]), "bias has the shape [3], not [3, 1]");
    }
}
