//! Transfers the weights of a network to a smaller one, or to one for another task.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    prelude::*,
};

use crate::walk::Walk;

/// Gives `to` the weights of `from`. Parameters are matched by their identity, which follows from their
/// path. In MoE layer l only the experts `kept[l]` are taken, indexed as in `from`: an axis that is
/// shorter in `to` is the axis of the experts. Parameters whose path satisfies `fresh` keep their values
/// of `to`.
///
/// # Errors
/// If a parameter is missing in `from`, or its shapes do not fit.
pub fn carry<M: Module>(
    from: &M,
    to: M,
    kept: &[Vec<usize>],
    fresh: impl Fn(&str) -> bool,
) -> Result<M, String> {
    let mut values = Values::default();
    from.visit(&mut values);
    let mut mapper = Mapper { walk: Walk::default(), values, kept, fresh, wrong: None };
    let to = to.map(&mut mapper);
    mapper.wrong.map_or(Ok(to), Err)
}

/// All parameters of a network.
#[derive(Default)]
struct Values(HashMap<ParamId, TensorData>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, param.val().into_data());
    }
}

struct Mapper<'a, F> {
    walk: Walk,
    values: Values,
    kept: &'a [Vec<usize>],
    fresh: F,
    wrong: Option<String>,
}

impl<F: Fn(&str) -> bool> Mapper<'_, F> {
    /// The value of the parameter with this identity, reduced to the shape of `like`.
    fn value<const D: usize>(&self, id: ParamId, like: &Tensor<D>) -> Result<Tensor<D>, String> {
        let path = self.walk.path();
        let data = self.values.0.get(&id).ok_or_else(|| format!("{path}: missing"))?;
        let device = like.device().inner();
        let mut value = Tensor::<D>::from_data(data.clone(), &device);
        let (found, wanted) = (value.dims(), like.dims());
        for axis in (0..D).filter(|axis| found[*axis] != wanted[*axis]) {
            let kept = self.walk.layer().and_then(|(layer, _)| self.kept.get(layer));
            let kept = kept.filter(|kept| {
                kept.len() == wanted[axis] && kept.iter().all(|expert| *expert < found[axis])
            });
            let Some(kept) = kept else {
                return Err(format!("{path}: cannot reduce the shape {found:?} to {wanted:?}"));
            };
            let kept: Vec<i32> = kept.iter().map(|expert| *expert as i32).collect();
            let kept = TensorData::from(kept.as_slice());
            value = value.select(axis, Tensor::from_data(kept, &device));
        }
        Ok(if like.device().is_autodiff() { Tensor::from_inner(value) } else { value })
    }
}

impl<F: Fn(&str) -> bool> ModuleMapper for Mapper<'_, F> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if (self.fresh)(&self.walk.path()) {
            return param;
        }
        let (id, old, mapper) = param.consume();
        let value = match self.value(id, &old) {
            Ok(value) => value.set_require_grad(old.is_require_grad()),
            Err(wrong) => {
                self.wrong.get_or_insert(wrong);
                old
            }
        };
        Param::from_mapped_value(id, value, mapper)
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.walk.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.exit();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use moe::{Choice, Gone, Init, Library, MoeConfig, MoeLayer, Pass, Pruned};

    /// Reproducible numbers, the same as in the tests of published values.
    pub(crate) fn fill<const D: usize>(salt: u64, shape: [usize; D], scale: f64) -> Tensor<D> {
        let mix = |x: u64| {
            let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        let value = |i| {
            let unit = (mix((salt << 32) + i) >> 11) as f64 * 2_f64.powi(-53) - 0.5;
            (unit * scale) as f32
        };
        let values: Vec<f32> = (0..shape.iter().product::<usize>() as u64).map(value).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn library() -> Library {
        Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() }
    }

    /// A layer in a stream of 5 tokens of width 8.
    pub(crate) fn layer(config: &MoeConfig, seed: u64) -> MoeLayer {
        MoeLayer::new(config, &library(), [5, 8], &Init::new(seed, &Device::flex())).unwrap()
    }

    fn output(layer: &MoeLayer) -> Vec<f32> {
        let y = layer.forward(&mut Pass::eval(), fill(1, [3, 5, 8], 2.0));
        y.into_data().try_to_vec().unwrap()
    }

    fn config(router: &str) -> MoeConfig {
        MoeConfig { experts: 4, router: Choice::of(router), ..MoeConfig::default() }
    }

    fn pruned(config: &MoeConfig, gone: Gone, kept: &[usize]) -> MoeLayer {
        let lists = vec![kept.to_vec()];
        let smaller =
            MoeConfig { pruned: Some(Pruned { gone, kept: lists.clone() }), ..config.clone() };
        // The smaller layer has another seed: all its weights at the end are transferred.
        carry(&layer(config, 0), layer(&smaller, 1), &lists, |_| false).unwrap()
    }

    #[test]
    fn pruning_nothing_changes_nothing() {
        for router in ["top-k", "v-moe", "expert-choice", "soft", "dense", "loss-free", "top-p"] {
            for gone in [Gone::Zero, Gone::Remove] {
                let config = config(router);
                let whole = pruned(&config, gone, &[0, 1, 2, 3]);
                assert_eq!(output(&whole), output(&layer(&config, 0)), "{router}, {gone:?}");
            }
        }
    }

    #[test]
    fn the_output_lacks_what_the_expert_gave() {
        // Each expert alone, with the others removed: the sum of the outputs is the output of the whole
        // layer.
        for router in ["v-moe", "expert-choice"] {
            let config = config(router);
            let mut sum = vec![0.0; 3 * 5 * 8];
            for expert in 0..4 {
                let alone = output(&pruned(&config, Gone::Zero, &[expert]));
                sum.iter_mut().zip(alone).for_each(|(sum, y)| *sum += y);
            }
            let whole = output(&layer(&config, 0));
            assert!(sum.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-5), "{router}");
            assert!(whole.iter().any(|y| y.abs() > 1e-3));
        }
    }

    #[test]
    fn the_smaller_layer_is_smaller() {
        let config = config("top-k");
        let [whole, zero, remove] = [
            layer(&config, 0),
            pruned(&config, Gone::Zero, &[1, 3]),
            pruned(&config, Gone::Remove, &[1, 3]),
        ];
        let expert = 8 * 64 + 64 + 64 * 8 + 8;
        assert_eq!(whole.num_params() - zero.num_params(), 2 * expert);
        assert_eq!(zero.num_params() - remove.num_params(), 2 * 8);
    }

    #[test]
    fn without_its_column_a_unit_is_routed_anew() {
        // The weights of every unit belong to the two remaining experts, and sum to 1.
        let config = config("top-k");
        let removed = pruned(&config, Gone::Remove, &[1, 3]);
        let mut pass = Pass::eval().with_reports();
        removed.forward(&mut pass, fill(1, [3, 5, 8], 2.0));
        let report = &pass.reports()[0];
        assert_eq!((report.load.clone(), report.dropped), (vec![15.0, 15.0], 0));
        assert!((report.weight.iter().sum::<f64>() - 15.0).abs() < 1e-4);
    }

    #[test]
    fn experts_take_as_many_units_as_before() {
        for n in 1..=4 {
            let kept: Vec<usize> = (0..n).collect();
            let removed = pruned(&config("expert-choice"), Gone::Remove, &kept);
            let mut pass = Pass::eval().with_reports();
            removed.forward(&mut pass, fill(1, [3, 5, 8], 2.0));
            // ceil(5 * 2 / 4) = 3 in each of 3 groups, for every n.
            assert_eq!(pass.reports()[0].load, vec![9.0; n]);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (four, eight) = (config("top-k"), MoeConfig { experts: 8, ..config("top-k") });
        let err = carry(&layer(&eight, 0), layer(&four, 0), &[vec![0, 1]], |_| false);
        let err = err.err().unwrap();
        assert!(err.contains("gate.weight: cannot reduce the shape [8, 8] to [8, 4]"), "{err}");
        let other = config("random");
        let err = carry(&layer(&other, 0), layer(&four, 0), &[], |_| false).err().unwrap();
        assert!(err.contains("gate.weight: missing"), "{err}");
        assert!(carry(&layer(&eight, 0), layer(&four, 0), &[], |_| true).is_ok());
    }
}
