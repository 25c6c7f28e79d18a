//! A router's balance loss, with the choices that it remembers of a step.

use burn::{
    module::{Module, RunningState},
    prelude::*,
};
use moe::{Dims, Init, Pass};

use crate::kit::{Balance, load, losses, state};

/// The balance loss of a kind; [`Balance::Step`] remembers the choices of a step.
#[derive(Module, Debug)]
pub struct BalanceLoss {
    /// `[E]`: the number of choices of each expert, in the passes of the step so far.
    seen: Option<RunningState<Tensor<1>>>,
    #[module(skip)]
    kind: Balance,
}

impl BalanceLoss {
    /// A fresh balance loss.
    pub fn new(kind: Balance, dims: Dims, init: &Init) -> Self {
        let step = kind == Balance::Step;
        let seen = step.then(|| state::new(&init.at("balance"), "seen", [dims.n_experts], 0.0));
        Self { seen, kind }
    }

    /// Adds `coefficient` times the loss to the pass, for probabilities `[G, U, E]` and choices
    /// `[G, U, K]`; if the coefficient is 0, the loss is not computed.
    pub fn add(&self, pass: &mut Pass, coefficient: f64, p: Tensor<3>, experts: Tensor<3, Int>) {
        if coefficient > 0.0 {
            let loss = match &self.seen {
                Some(seen) if pass.training() => over_the_step(seen, pass, p, experts),
                _ => self.kind.loss(p, experts),
            };
            pass.loss("balance", loss * coefficient);
        }
    }
}

/// E sum_i f_i P_i, with f_i the share of expert i in all choices of the step so far, including this pass,
/// and P_i the mean probability in this pass alone.
fn over_the_step(
    seen: &RunningState<Tensor<1>>,
    pass: &Pass,
    p: Tensor<3>,
    experts: Tensor<3, Int>,
) -> Tensor<1> {
    let e = p.dims()[2];
    let own = load::counts(experts, e);
    let counts = pass.up_to_here(own.clone()).into_iter().fold(state::get(seen), |sum, c| sum + c);
    let kept = seen.clone();
    pass.follow(seen, own, move |own, ends_step| {
        let counts = state::get(&kept) + own;
        state::set(&kept, if ends_step { counts.zeros_like() } else { counts });
    });
    losses::balance_of_shares(p, counts.clone() / counts.sum().clamp_min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, scalar, values};

    /// The loss of a pass whose two units all choose one of two experts, with probability 1.
    fn loss(balance: &BalanceLoss, mut pass: Pass, expert: usize) -> f32 {
        let device = Device::flex();
        let p = if expert == 0 { [1.0, 0.0] } else { [0.0, 1.0] };
        let p = Tensor::<3>::from_floats([[p, p]], &device);
        let experts = Tensor::<3, Int>::full([1, 2, 1], expert as i64, &device);
        balance.add(&mut pass, 1.0, p, experts);
        scalar(&pass, "balance")
    }

    fn of(kind: Balance) -> BalanceLoss {
        let dims = Dims { width: 1, n_experts: 2, units: 2 };
        BalanceLoss::new(kind, dims, &Init::new(0, &Device::flex()))
    }

    fn part(index: usize) -> Pass {
        Pass::train(0, 0, 0.0).micro_batch(index, 2)
    }

    #[test]
    fn over_the_step_two_passes_balance_each_other() {
        // Each pass collapses, onto different experts: the loss of a pass alone is 2; after both,
        // f = (1/2, 1/2) and it is 1.
        let step = of(Balance::Step);
        assert_eq!(loss(&step, part(0), 0), 2.0);
        assert_eq!(loss(&step, part(1), 1), 1.0);
        // The next step starts without remembered choices.
        assert_eq!(loss(&step, part(0), 0), 2.0);
        let alone = of(Balance::Choices);
        assert_eq!((loss(&alone, part(0), 0), loss(&alone, part(1), 1)), (2.0, 2.0));
    }

    #[test]
    fn evaluation_counts_for_itself_and_moves_nothing() {
        let step = of(Balance::Step);
        loss(&step, part(0), 0);
        assert_eq!(loss(&step, Pass::eval(), 1), 2.0);
        close(&values(state::get(step.seen.as_ref().unwrap())), &[2.0, 0.0]);
    }

    #[test]
    fn without_accumulation_it_is_the_loss_of_the_pass() {
        let device = Device::flex();
        let p = Tensor::<3>::from_floats([[[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]], &device);
        let experts = Tensor::<3, Int>::from_ints([[[0], [0], [1]]], &device);
        let value = |kind| {
            let mut pass = Pass::train(0, 0, 0.0);
            of(kind).add(&mut pass, 1.0, p.clone(), experts.clone());
            scalar(&pass, "balance")
        };
        close(&[value(Balance::Step)], &[value(Balance::Choices)]);
    }
}
