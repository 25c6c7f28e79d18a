//! The number of parameters of a part of a network.

use burn::{
    module::{Module, Param},
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
        if path.iter().any(|name| name == self.part) {
            self.count += param.lazy_shape().num_elements();
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
}
