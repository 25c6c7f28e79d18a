//! The learning rates of a step: that of the routers may be a multiple of the rate of all other parameters.

use burn::{
    lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    module::{Module, ParamGroup},
};

use crate::params::{below, trained_where};

/// The parameters with a rate of their own, and this rate as a multiple of the others'.
#[derive(Clone, Default)]
pub(crate) struct Rates(Option<(ParamGroup, f64)>);

impl Rates {
    /// The rates of a network: that of the parameters within a `router`, at any depth, is `multiple` times the
    /// others', or equal to it.
    ///
    /// # Errors
    /// If a multiple is given for a network without a trained router.
    pub(crate) fn of<M: Module>(network: &M, multiple: Option<f64>) -> Result<Self, String> {
        let Some(multiple) = multiple else { return Ok(Self::default()) };
        let routers = trained_where(network, |path| below(path, "router"));
        if routers.is_empty() {
            let why = "the network has no router with trained parameters";
            return Err(format!("train.router_lr = {multiple}: {why}"));
        }
        Ok(Self(Some((ParamGroup::from_ids(routers), multiple))))
    }

    /// The rates of a step in which most parameters have this one.
    pub(crate) fn at(&self, lr: f64) -> ModuleLearningRate {
        match &self.0 {
            None => lr.into(),
            Some((routers, multiple)) => {
                let rates = ModuleLrScheduler::new(lr);
                rates.with_group(routers.clone(), lr * multiple).step()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::{
        nn::Linear,
        optim::{GradientsParams, SgdConfig},
        prelude::*,
    };
    use moe::Init;

    #[derive(Module, Debug)]
    struct Network {
        router: Linear,
        experts: Linear,
    }

    fn network() -> Network {
        let init = Init::new(0, &Device::flex().autodiff());
        Network { router: init.linear("r", 2, 2, false), experts: init.linear("e", 2, 2, false) }
    }

    fn numbers(linear: &Linear) -> Vec<f32> {
        linear.weight.val().into_data().iter::<f32>().collect()
    }

    /// The largest changes of the router and of the experts by a step of rate 0.5 whose gradients are all 1.
    fn changes(multiple: Option<f64>) -> [f32; 2] {
        let before = network();
        let x = Tensor::<2>::ones([1, 2], &Device::flex().autodiff());
        let loss = (before.router.forward(x.clone()) + before.experts.forward(x)).sum();
        let grads = GradientsParams::from_grads(loss.backward(), &before);
        let rates = Rates::of(&before, multiple).unwrap().at(0.5);
        let after = SgdConfig::new().init().step(rates, before.clone(), grads);
        [(&before.router, &after.router), (&before.experts, &after.experts)].map(|(from, to)| {
            let moves = numbers(from).into_iter().zip(numbers(to)).map(|(from, to)| from - to);
            moves.fold(0.0, f32::max)
        })
    }

    #[test]
    fn the_rate_of_the_router_is_a_multiple_of_the_others() {
        let near = |a: [f32; 2], b: [f32; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(changes(None), [0.5, 0.5]), "{:?}", changes(None));
        assert!(near(changes(Some(3.0)), [1.5, 0.5]), "{:?}", changes(Some(3.0)));
        assert!(near(changes(Some(0.0)), [0.0, 0.5]), "{:?}", changes(Some(0.0)));
    }

    #[test]
    fn a_network_without_a_router_is_refused() {
        let err = Rates::of(&network().experts, Some(2.0)).err().unwrap();
        let expected = "train.router_lr = 2: the network has no router with trained parameters";
        assert_eq!(err, expected);
        assert!(Rates::of(&network().experts, None).is_ok());
    }
}
