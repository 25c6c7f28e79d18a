//! For routers without an order of experts, permuting the experts permutes the plan and changes nothing
//! else: no expert has an advantage from its index.

use std::collections::BTreeMap;

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Pass, PathVisitor, visit_paths, with_parameters};

use super::{
    permutation::rows,
    subject::{EXPERTS, Subject, distance, values},
};

/// Sizes that are not multiples of the number of experts, so that an axis of experts is recognised by its
/// length.
const SIZES: [usize; 3] = [2, 6, 5];

/// Rotates parameters and states along every axis of experts, and checks that the columns of the plan
/// rotate with them.
pub(super) fn permute_the_plan(subject: &Subject) -> Result<(), String> {
    if !subject.promises()?.alike {
        return Ok(());
    }
    let [groups, units, width] = SIZES;
    let dims = Dims { width, n_experts: EXPERTS, units };
    let router = subject.router(dims)?;
    let x = subject.noise("x", [groups, units, width]);
    let plan = |router: &moe::AnyRouter| {
        rows(router.route(&mut subject.with_facts(Pass::eval(), [groups, units]), x.clone()))
    };
    // [G, U, 2 E]: the shares in, and the shares out.
    let straight = turn(plan(&router).reshape([groups, units, 2, EXPERTS]), 3);
    let numbers = turned(&router);
    let turned = plan(&with_parameters(router, numbers)?);
    let gap = distance(&values(straight), &values(turned));
    if gap > 1e-5 {
        return Err(format!(
            "weights differ by {gap} after a permutation of the experts; a router that treats experts \
             differently must declare EXPERT_PERMUTATION_EQUIVARIANT = false"
        ));
    }
    Ok(())
}

/// The tensor rotated along an axis, by three experts.
fn turn<const D: usize>(tensor: Tensor<D>, axis: usize) -> Tensor<D> {
    let n = tensor.dims()[axis];
    let by = n / EXPERTS * 3;
    let (a, b) = (tensor.clone().narrow(axis, 0, by), tensor.narrow(axis, by, n - by));
    Tensor::cat(vec![b, a], axis)
}

/// All numbers of a router, rotated along the axes whose length is a multiple of the number of experts.
fn turned(router: &impl Module) -> BTreeMap<String, TensorData> {
    let mut visitor = Turn { found: BTreeMap::new() };
    visit_paths(router, &mut visitor);
    visitor.found
}

struct Turn {
    found: BTreeMap<String, TensorData>,
}

impl PathVisitor for Turn {
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        let mut value = param.val();
        for axis in 0..D {
            if value.dims()[axis].is_multiple_of(EXPERTS) {
                value = turn(value, axis);
            }
        }
        self.found.insert(path.join("."), value.into_data());
    }
}
