//! A feed-forward layer of experts of different widths, and its router.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>, section 3.1, and its code
//! (`switch_layer.py`), after Fedus et al. *Switch Transformers*. JMLR 2022.
//!
//! p = softmax(W x + b)                                     (1), over the experts of the architecture
//! e_1, .., e_k = those of the largest p                    (2), the first among equals
//! y = sum_i p_{e_i} FFN_{e_i}(x)                           (3)
//!
//! With one expert p is 1, and the layer is bitwise a dense network. The balance loss is in `balance.rs`.
//!
//! Options of the published code, all of which its recipes leave at their defaults:
//!
//! - `scaled = false`: the factor in (3) is p / stopgrad(p), which is 1 and has the gradient of p.
//! - `capacity_factor`: an expert has capacity for capacity_factor T / N tokens, rounded down. If it has more
//!   tokens, a random subset is kept; the others pass with y = p x. This also applies in evaluation, as in
//!   the published code: with few tokens, as in decoding, all may be dropped.
//! - `identity`: the first of several experts returns x.
//!
//! Differs from the published code: padding takes no capacity and contributes to no loss; a layer of one
//! expert is a dense network even with `identity`; dropout is applied after (3), and not additionally inside
//! of layers of one expert.

mod balance;
mod routes;
#[cfg(test)]
pub(super) mod tests;

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::softmax;
use moe::{Init, LayerReport, Pass};

use super::{
    config::{SupernetConfig, SupernetRouting},
    expert::{Expert, expert_flops, expert_params},
    slices::{cut_linear, front_linear},
};
use balance::balance;
pub(super) use balance::balance_of_side;
use routes::Routes;

/// A layer of experts.
#[derive(Module, Debug)]
pub struct SwitchLayer {
    /// The router, `[D, E]`; none if there is at most one expert.
    pub router: Option<Linear>,
    /// The experts; the first one is missing if it is always the identity.
    pub experts: Vec<Option<Expert>>,
    balance: f64,
    #[module(skip)]
    routing: SupernetRouting,
}

impl SwitchLayer {
    /// Makes experts of at most these hidden widths.
    pub fn new(config: &SupernetConfig, width: usize, hidden: &[usize], init: &Init) -> Self {
        let n = hidden.len();
        let may_be_alone = !config.alone && config.space.experts.contains(&1);
        let expert = |(e, hidden): (usize, &usize)| {
            let init = init.at("experts").at(e);
            let has_weights = may_be_alone || !config.switch.is_identity(e, n);
            has_weights.then(|| Expert::new([width, *hidden], config.feed_forward_scale, &init))
        };
        Self {
            router: (n > 1).then(|| init.linear("router", width, n, true)),
            experts: hidden.iter().enumerate().map(expert).collect(),
            balance: config.balance,
            routing: config.switch.clone(),
        }
    }

    /// The single expert of a dense network.
    ///
    /// # Panics
    /// If the first expert is always the identity.
    pub fn first(&self) -> &Expert {
        self.experts[0].as_ref().expect("the expert of a dense network has weights")
    }

    /// `[B, T, d] -> [B, T, d]` by the first experts, with the first `hidden` hidden units of each.
    ///
    /// # Panics
    /// If the layer has fewer experts or hidden units.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>, hidden: &[usize]) -> Tensor<3> {
        let n = hidden.len();
        let (Some(router), true) = (&self.router, n > 1) else {
            return self.first().forward(x, hidden[0]);
        };
        let [b, t, d] = x.dims();
        let p = softmax(front_linear(router, x.clone(), n), 2); // (1)
        let mut routes = Routes::of(&p, self.routing.k, pass); // (2)
        if let Some(factor) = self.routing.capacity_factor {
            routes.drop_beyond(factor, n, pass);
        }
        balance(pass, (self.routing.balance_over, self.balance), &p, &routes);
        self.tell(pass, &routes, [b, d], hidden);
        let x = x.reshape([b * t, d]);
        let choices = routes.chosen.iter().map(|chosen| {
            let y = self.carry_out(x.clone(), (chosen, &routes.dropped), hidden);
            y.reshape([b, t, d]) * self.weights(&p, chosen)
        });
        choices.reduce(|sum, y| sum + y).expect("a token has at least one expert") // (3)
    }

    /// The factors of the chosen experts' outputs, `[B, T, 1]`.
    fn weights(&self, p: &Tensor<3>, chosen: &[usize]) -> Tensor<3> {
        let [b, t, _] = p.dims();
        let index: Vec<i32> = chosen.iter().map(|e| *e as i32).collect();
        let index = TensorData::new(index, [b, t, 1]);
        let p = p.clone().gather(2, Tensor::<3, Int>::from_data(index, &p.device().inner()));
        match self.routing.scaled {
            true => p,
            false => p.clone() / p.detach(),
        }
    }

    /// The outputs of each expert for its tokens, `[N, d]`, in the order of the tokens; dropped tokens stay
    /// unchanged.
    fn carry_out(
        &self,
        x: Tensor<2>,
        (chosen, dropped): (&[usize], &[bool]),
        hidden: &[usize],
    ) -> Tensor<2> {
        let device = x.device().inner();
        let rows = |rows: &[usize]| {
            let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
            Tensor::<1, Int>::from_data(TensorData::from(rows.as_slice()), &device)
        };
        let passes =
            |row: usize| dropped[row] || self.routing.is_identity(chosen[row], hidden.len());
        let (mut parts, mut order) = (Vec::new(), Vec::new());
        let mut add = |own: Vec<usize>, make: &dyn Fn(Tensor<2>) -> Tensor<2>| {
            if !own.is_empty() {
                parts.push(make(x.clone().select(0, rows(&own))));
                order.extend(own);
            }
        };
        for (e, (expert, hidden)) in self.experts.iter().zip(hidden).enumerate() {
            let own = (0..chosen.len()).filter(|row| chosen[*row] == e && !passes(*row)).collect();
            if let Some(expert) = expert {
                add(own, &|x| expert.forward(x, *hidden));
            }
        }
        add((0..chosen.len()).filter(|row| passes(*row)).collect(), &|x| x);
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, row)| back[*row] = place);
        Tensor::cat(parts, 0).select(0, rows(&back))
    }

    /// The report.
    fn tell(&self, pass: &mut Pass, routes: &Routes, [b, d]: [usize; 2], hidden: &[usize]) {
        let (layer, n) = (pass.next_layer(), hidden.len());
        pass.report(|| {
            let (units, t) = (routes.units(), routes.real.len() / b.max(1));
            let of_layer = Carried::of(routes, n, self.routing.scaled);
            let by_input = (0..b).map(|row| of_layer.experts_of(row * t..(row + 1) * t));
            let flops = self.routing.each(d, hidden, expert_flops);
            let params = self.routing.each(d, hidden, expert_params);
            let of_experts = of_layer.load.iter().zip(flops).map(|(load, flops)| load * flops);
            LayerReport {
                layer,
                units,
                dropped: routes.dropped.iter().filter(|dropped| **dropped).count(),
                touched: of_layer.load.iter().sum::<f64>() / units.max(1) as f64,
                inputs: b,
                by_input: by_input.sum::<usize>() as f64 / b.max(1) as f64,
                flops: (units * 2 * d * n) as f64 + of_experts.sum::<f64>(),
                expert_params: params.iter().sum::<f64>() / n as f64,
                weight: of_layer.weight,
                load: of_layer.load,
            }
        });
    }

    /// The same with only the experts of an architecture, in the form that its config describes.
    pub(super) fn cut(&self, config: &SupernetConfig, width: usize, hidden: &[usize]) -> Self {
        let n = hidden.len();
        let router = self.router.as_ref().filter(|_| n > 1);
        let cut = |(e, (expert, hidden)): (usize, (&Option<Expert>, &usize))| {
            let expert = expert.as_ref().filter(|_| !config.switch.is_identity(e, n));
            expert.map(|expert| expert.cut([width, *hidden]))
        };
        Self {
            router: router.map(|router| cut_linear(router, [width, n])),
            experts: self.experts.iter().zip(hidden).enumerate().map(cut).collect(),
            balance: config.balance,
            routing: config.switch.clone(),
        }
    }
}

/// Counts of the tokens that the experts of a layer have processed, real tokens only.
struct Carried {
    /// The number of tokens of each expert.
    load: Vec<f64>,
    /// The sum of the factors by which the outputs are multiplied.
    weight: Vec<f64>,
    /// For each token, the expert of each of its choices.
    experts: Vec<Vec<usize>>,
}

impl Carried {
    fn of(routes: &Routes, n: usize, scaled: bool) -> Self {
        let mut found = Self {
            load: vec![0.0; n],
            weight: vec![0.0; n],
            experts: vec![Vec::new(); routes.real.len()],
        };
        for (chosen, probabilities) in routes.chosen.iter().zip(&routes.probabilities) {
            for (row, e) in chosen.iter().enumerate() {
                if routes.real[row] && !routes.dropped[row] {
                    found.load[*e] += 1.0;
                    found.weight[*e] += if scaled { f64::from(probabilities[row]) } else { 1.0 };
                    found.experts[row].push(*e);
                }
            }
        }
        found
    }

    /// The number of distinct experts of some tokens.
    fn experts_of(&self, rows: std::ops::Range<usize>) -> usize {
        let mut experts = self.experts[rows].concat();
        experts.sort_unstable();
        experts.dedup();
        experts.len()
    }
}
