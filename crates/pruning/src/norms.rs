//! Norms of the router's vectors and of the experts' weights.

use burn::{
    module::{Module, ModuleVisitor, Param},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use crate::walk::{LayerPart, Walk};

/// The norms in one MoE layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerNorms {
    /// The norm of the vector with which the router scores each expert: the columns of its `gate.weight`,
    /// `[D, E]`. None if the router has no such matrix.
    pub router: Option<Vec<f64>>,
    /// The norm of all weights of each expert, which are in stacks `[E, ...]`. None if experts differ in
    /// size.
    pub experts: Option<Vec<f64>>,
}

/// The norms in all MoE layers of a network, first to last.
pub fn norms<M: Module>(model: &M) -> Vec<LayerNorms> {
    let mut visitor = Visitor::default();
    model.visit(&mut visitor);
    visitor.layers.into_iter().map(Squares::norms).collect()
}

/// Sums of squares.
#[derive(Default)]
struct Squares {
    router: Option<Vec<f64>>,
    experts: Option<Vec<f64>>,
    uneven: bool,
}

impl Squares {
    fn norms(self) -> LayerNorms {
        let roots = |squares: Vec<f64>| squares.into_iter().map(f64::sqrt).collect();
        let experts = self.experts.filter(|_| !self.uneven);
        LayerNorms { router: self.router.map(roots), experts: experts.map(roots) }
    }

    fn add_to_experts(&mut self, squares: Vec<f64>) {
        let sums = self.experts.get_or_insert_with(|| vec![0.0; squares.len()]);
        self.uneven |= sums.len() != squares.len();
        sums.iter_mut().zip(squares).for_each(|(sum, more)| *sum += more);
    }
}

/// The end of the path of the matrix with a column for each expert.
const GATE: &str = ".gate.weight";

#[derive(Default)]
struct Visitor {
    walk: Walk,
    layers: Vec<Squares>,
}

impl ModuleVisitor for Visitor {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some((layer, part)) = self.walk.layer() else { return };
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, Squares::default);
        }
        let layer = &mut self.layers[layer];
        match part {
            // For a router within a router the path is longer.
            LayerPart::Router if D == 2 && format!(".{}", self.walk.within()).ends_with(GATE) => {
                layer.router = Some(squares(param, 1));
            }
            LayerPart::Experts => layer.add_to_experts(squares(param, 0)),
            _ => {}
        }
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.exit();
    }
}

/// The sum of squares of each slice along `axis`.
fn squares<const D: usize>(param: &Param<Tensor<D>>, axis: usize) -> Vec<f64> {
    let tensor = param.val();
    let shape = tensor.dims();
    let stride: usize = shape[axis + 1..].iter().product();
    let mut sums = vec![0.0; shape[axis]];
    for (place, value) in tensor.into_data().iter::<f32>().enumerate() {
        sums[place / stride % shape[axis]] += f64::from(value).powi(2);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carry::tests::layer;
    use moe::{Choice, MoeConfig};

    #[test]
    fn columns_of_the_gate_and_stacks_of_experts() {
        let layer = layer(&MoeConfig { experts: 3, ..MoeConfig::default() }, 0);
        let found = norms(&layer);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].router.as_ref().map(Vec::len), Some(3));
        assert_eq!(found[0].experts.as_ref().map(Vec::len), Some(3));
        // Weights of 8 -> 64 -> 8, uniform within 1 / sqrt(fan in): variance bound^2 / 3.
        let expected = (8.0 * 64.0 / 8.0 / 3.0 + 64.0 * 8.0 / 64.0 / 3.0_f64).sqrt();
        let experts = found[0].experts.clone().unwrap();
        assert!(experts.iter().all(|norm| (norm / expected - 1.0).abs() < 0.1), "{experts:?}");
    }

    #[test]
    fn a_router_without_vectors_has_no_lengths() {
        let config = MoeConfig { router: Choice::of("random"), ..MoeConfig::default() };
        assert_eq!(norms(&layer(&config, 0))[0].router, None);
    }

    #[test]
    fn squares_along_an_axis_by_hand() {
        let matrix = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &Device::flex());
        let matrix = Param::from_tensor(matrix);
        assert_eq!(squares(&matrix, 0), [5.0, 25.0]);
        assert_eq!(squares(&matrix, 1), [10.0, 20.0]);
    }
}
