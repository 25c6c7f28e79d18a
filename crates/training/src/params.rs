//! The parameters of a part of a network: how many, and which.

use burn::{
    module::{Module, Param, ParamId},
    prelude::*,
};
use moe::{PathVisitor, visit_paths};

/// The number of parameters below every part with this name, at any depth: `router`, `experts`.
pub fn params_of<M: Module>(model: &M, part: &str) -> usize {
    let mut visitor = Below { part, count: 0 };
    visit_paths(model, &mut visitor);
    visitor.count
}

struct Below<'a> {
    part: &'a str,
    count: usize,
}

impl PathVisitor for Below<'_> {
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        if below(path, self.part) {
            self.count += param.lazy_shape().num_elements();
        }
    }
}

/// Whether a parameter lies below a part with this name, at any depth.
pub(crate) fn below(path: &[String], part: &str) -> bool {
    path.iter().any(|name| name == part)
}

/// The trained parameters whose path fits.
pub(crate) fn trained_where<M: Module>(
    model: &M,
    fits: impl Fn(&[String]) -> bool,
) -> Vec<ParamId> {
    let mut visitor = TrainedWhere { fits, ids: Vec::new() };
    visit_paths(model, &mut visitor);
    visitor.ids
}

struct TrainedWhere<F> {
    fits: F,
    ids: Vec<ParamId>,
}

impl<F: Fn(&[String]) -> bool> PathVisitor for TrainedWhere<F> {
    // The path is asked first: whether a parameter is trained makes the values of a lazy one.
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        if (self.fits)(path) && param.val().is_require_grad() {
            self.ids.push(param.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::Linear;
    use moe::Init;

    #[derive(Module, Debug)]
    struct Layer {
        router: Linear,
        experts: Linear,
    }

    #[derive(Module, Debug)]
    struct Network {
        layers: Vec<Layer>,
        head: Linear,
    }

    #[test]
    fn a_part_is_counted_wherever_it_is() {
        let init = Init::new(0, &Device::flex());
        let layer = |n: usize| Layer {
            router: init.at(n).linear("router", 3, n, false),
            experts: init.at(n).linear("experts", 3, 5, true),
        };
        let network =
            Network { layers: vec![layer(2), layer(4)], head: init.linear("head", 3, 7, true) };
        assert_eq!(params_of(&network, "router"), 3 * 2 + 3 * 4);
        assert_eq!(params_of(&network, "experts"), 2 * (3 * 5 + 5));
        assert_eq!(params_of(&network, "no"), 0);
    }

    #[test]
    fn frozen_parameters_are_left_out() {
        let init = Init::new(0, &Device::flex().autodiff());
        let layer = |n: usize| Layer {
            router: init.at(n).linear("router", 3, n, false),
            experts: init.at(n).linear("experts", 3, 5, true),
        };
        let mut network =
            Network { layers: vec![layer(2), layer(4)], head: init.linear("head", 3, 7, true) };
        network.layers[0].router = network.layers[0].router.clone().no_grad();
        let ids = |part| trained_where(&network, |path| below(path, part));
        assert_eq!(ids("router"), [network.layers[1].router.weight.id]);
        assert_eq!(ids("experts").len(), 4);
        assert!(ids("no").is_empty());
    }
}
