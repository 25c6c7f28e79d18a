//! A feed-forward layer of experts of different widths, and its router.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>, section 3.1, and its code
//! (`switch_layer.py`), after Fedus et al. *Switch Transformers*. JMLR 2022.
//!
//! p = softmax(W x + b)                                     (1), over the experts of the architecture
//! e = argmax p                                             (2), the first among equals
//! y = p_e FFN_e(x)                                         (3)
//! FFN_e(x) = W2_e relu(W1_e x + b1_e) + b2_e
//! balance = N sum_e f_e P_e                                (4), of real tokens
//!
//! With one expert p is 1: a dense network, to the bit.
//!
//! Differs from the published code: there (4) is summed over the layers with the largest number of experts
//! as N, twice. Tokens are never dropped, as there by default.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::softmax;
use moe::{Init, LayerReport, Pass, RealTokens};

use super::{
    config::SupernetConfig,
    slices::{cut, front_bias, front_linear, front_matrix},
};

/// A feed-forward network with ReLU, the front of which is used.
#[derive(Module, Debug)]
pub struct Expert {
    /// `[D, H]`.
    pub first: Linear,
    /// `[H, D]`.
    pub second: Linear,
}

impl Expert {
    /// Of at most this width and hidden width; `scale` is what the initial matrices are multiplied by.
    pub fn new([width, hidden]: [usize; 2], scale: f64, init: &Init) -> Self {
        let scaled = |map: Linear| match scale == 1.0 {
            true => map,
            false => {
                let value = map.weight.val() * scale;
                Linear { weight: cut(&map.weight, value), ..map }
            }
        };
        Self {
            first: scaled(init.linear("first", width, hidden, true)),
            second: scaled(init.linear("second", hidden, width, true)),
        }
    }

    /// `[.., d] -> [.., d]` with the first `hidden` inner numbers.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, hidden: usize) -> Tensor<D> {
        let d = x.dims()[D - 1];
        let inner = front_linear(&self.first, x, hidden);
        front_linear(&self.second, burn::tensor::activation::relu(inner), d)
    }

    /// The same with these sizes alone.
    pub(super) fn cut(&self, [width, hidden]: [usize; 2]) -> Self {
        use super::slices::cut_linear;
        Self {
            first: cut_linear(&self.first, [width, hidden]),
            second: cut_linear(&self.second, [hidden, width]),
        }
    }

    /// Its maps of these sizes: matrix and bias of the first, then of the second.
    pub(super) fn front(&self, [width, hidden]: [usize; 2]) -> [(Tensor<2>, Tensor<1>); 2] {
        let of = |map: &Linear, [d_in, d_out]: [usize; 2]| {
            let bias = front_bias(map, d_out).expect("experts have biases");
            (front_matrix(map, [d_in, d_out]), bias)
        };
        [of(&self.first, [width, hidden]), of(&self.second, [hidden, width])]
    }

    /// The same parameters with these weights and biases.
    pub(super) fn with_weights(&self, [(w1, b1), (w2, b2)]: [(Tensor<2>, Tensor<1>); 2]) -> Self {
        let mut new = self.clone();
        for (map, weight, bias) in [(&mut new.first, w1, b1), (&mut new.second, w2, b2)] {
            map.weight = cut(&map.weight, weight);
            map.bias = map.bias.as_ref().map(|old| cut(old, bias));
        }
        new
    }
}

/// Parameters of an expert.
pub(super) fn expert_params([width, hidden]: [usize; 2]) -> f64 {
    (2 * width * hidden + hidden + width) as f64
}

/// Floating-point operations of an expert for a token.
pub(super) fn expert_flops([width, hidden]: [usize; 2]) -> f64 {
    (4 * width * hidden) as f64
}

/// A layer of experts.
#[derive(Module, Debug)]
pub struct SwitchLayer {
    /// `[D, E]`; none where there is one expert at most.
    pub router: Option<Linear>,
    /// The experts.
    pub experts: Vec<Expert>,
    balance: f64,
}

impl SwitchLayer {
    /// Experts of at most these hidden widths.
    pub fn new(config: &SupernetConfig, width: usize, hidden: &[usize], init: &Init) -> Self {
        let n = hidden.len();
        let expert = |(e, hidden): (usize, &usize)| {
            let init = init.at("experts").at(e);
            Expert::new([width, *hidden], config.feed_forward_scale, &init)
        };
        Self {
            router: (n > 1).then(|| init.linear("router", width, n, true)),
            experts: hidden.iter().enumerate().map(expert).collect(),
            balance: config.balance,
        }
    }

    /// `[B, T, d] -> [B, T, d]` by the first experts, with the first `hidden` inner numbers of each.
    ///
    /// # Panics
    /// If it has fewer experts or inner numbers.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>, hidden: &[usize]) -> Tensor<3> {
        let (Some(router), true) = (&self.router, hidden.len() > 1) else {
            return self.experts[0].forward(x, hidden[0]);
        };
        let [b, t, d] = x.dims();
        let p = softmax(front_linear(router, x.clone(), hidden.len()), 2); // (1)
        let chosen = first_of_the_best(&p); // (2)
        self.tell(pass, &p, &chosen, [d, t], hidden);
        let y = self.carry_out(x.reshape([b * t, d]), &chosen, hidden).reshape([b, t, d]);
        let index: Vec<i32> = chosen.iter().map(|e| *e as i32).collect();
        let index = TensorData::new(index, [b, t, 1]);
        let index = Tensor::<3, Int>::from_data(index, &p.device().inner());
        y * p.gather(2, index) // (3)
    }

    /// What each expert makes of its tokens, `[N, d]`, in the order of the tokens.
    fn carry_out(&self, x: Tensor<2>, chosen: &[usize], hidden: &[usize]) -> Tensor<2> {
        let device = x.device().inner();
        let rows = |rows: &[usize]| {
            let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
            Tensor::<1, Int>::from_data(TensorData::from(rows.as_slice()), &device)
        };
        let (mut parts, mut order) = (Vec::new(), Vec::new());
        for (e, hidden) in hidden.iter().enumerate() {
            let own: Vec<usize> = (0..chosen.len()).filter(|row| chosen[*row] == e).collect();
            if !own.is_empty() {
                let input = x.clone().select(0, rows(&own));
                parts.push(self.experts[e].forward(input, *hidden));
                order.extend(own);
            }
        }
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, row)| back[*row] = place);
        Tensor::cat(parts, 0).select(0, rows(&back))
    }

    /// The balance loss and the report.
    fn tell(
        &self,
        pass: &mut Pass,
        p: &Tensor<3>,
        chosen: &[usize],
        [d, t]: [usize; 2],
        hidden: &[usize],
    ) {
        let ([b, ..], n) = (p.dims(), hidden.len());
        let counts = pass.get::<RealTokens>().map(|RealTokens(counts)| counts.clone());
        let counts = counts.unwrap_or_else(|| vec![t; b]);
        let real: Vec<bool> = (0..b * t)
            .map(|row| counts.get(row / t).is_none_or(|count| row % t < *count))
            .collect();
        let units = real.iter().filter(|real| **real).count();
        let mut load = vec![0.0; n];
        chosen.iter().zip(&real).filter(|(_, real)| **real).for_each(|(e, _)| load[*e] += 1.0);
        if self.balance > 0.0 && units > 0 {
            let weights: Vec<f32> = chosen
                .iter()
                .enumerate()
                .flat_map(|(row, _)| {
                    let share = if real[row] { (units * units) as f64 } else { f64::INFINITY };
                    load.iter().map(move |load| (load / share) as f32).collect::<Vec<_>>()
                })
                .collect();
            let weights = TensorData::new(weights, [b, t, n]);
            let weights = Tensor::<3>::from_data(weights, &p.device().inner());
            let loss = kernels::sum(p.clone() * weights) * (n as f64 * self.balance); // (4)
            pass.loss("balance", loss);
        }
        let inputs: Vec<f64> =
            (0..b).map(|row| different(&chosen[row * t..][..counts[row]])).collect();
        let layer = pass.next_layer();
        pass.report(|| LayerReport {
            layer,
            units,
            weight: load.clone(),
            dropped: 0,
            touched: 1.0,
            inputs: b,
            by_input: inputs.iter().sum::<f64>() / b.max(1) as f64,
            flops: (units * 2 * d * n) as f64
                + load
                    .iter()
                    .zip(hidden)
                    .map(|(load, h)| load * expert_flops([d, *h]))
                    .sum::<f64>(),
            expert_params: hidden.iter().map(|h| expert_params([d, *h])).sum::<f64>() / n as f64,
            load,
        });
    }

    /// The same with the experts of an architecture alone.
    pub(super) fn cut(&self, width: usize, hidden: &[usize]) -> Self {
        use super::slices::cut_linear;
        let n = hidden.len();
        let router = self.router.as_ref().filter(|_| n > 1);
        let experts = self.experts.iter().zip(hidden);
        Self {
            router: router.map(|router| cut_linear(router, [width, n])),
            experts: experts.map(|(expert, hidden)| expert.cut([width, *hidden])).collect(),
            ..self.clone()
        }
    }
}

/// How many different ones there are.
fn different(chosen: &[usize]) -> f64 {
    let mut chosen = chosen.to_vec();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.len() as f64
}

/// The expert of the highest probability for each token, the first among equals.
fn first_of_the_best(p: &Tensor<3>) -> Vec<usize> {
    let [.., n] = p.dims();
    let values: Vec<f32> = p.clone().detach().into_data().iter().collect();
    let best = |row: &[f32]| (1..n).fold(0, |best, e| if row[e] > row[best] { e } else { best });
    values.chunks_exact(n).map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supernet::testing::{fill, given_linear, numbers};

    /// The published layer: three experts, d = 4, f = 6.
    fn layer(config: &SupernetConfig) -> SwitchLayer {
        let init = Init::new(0, &Device::flex());
        let mut layer = SwitchLayer::new(config, 4, &[6, 6, 6], &init);
        for (i, expert) in layer.experts.iter_mut().enumerate() {
            let base = 400 + 4 * i as u64;
            expert.first = given_linear(base, base + 1, [4, 6]);
            expert.second = given_linear(base + 2, base + 3, [6, 4]);
        }
        layer.router = Some(given_linear(412, 413, [4, 3]));
        layer
    }

    fn x(d: usize) -> Tensor<3> {
        let x = Tensor::from_data(TensorData::new(fill(430, 12, 2.0), [3, 1, 4]), &Device::flex());
        x.narrow(2, 0, d)
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 2e-5, "{found:?}, not {expected:?}");
        }
    }

    #[test]
    fn the_published_numbers_at_full_size() {
        let layer = layer(&SupernetConfig { balance: 1.0, ..SupernetConfig::default() });
        let p = softmax(front_linear(layer.router.as_ref().unwrap(), x(4), 3), 2);
        close(&numbers(p.clone().max_dim(2)), &[0.397842, 0.512884, 0.402911]);
        close(&numbers(p.sum_dim(0)), &[0.768167, 1.20584, 1.025993]);
        let mut pass = Pass::eval().with_reports();
        let y = numbers(layer.forward(&mut pass, x(4), &[6, 6, 6]));
        close(&y[..4], &[-0.031373, -0.135067, -0.016203, -0.063701]);
        assert_eq!(pass.reports()[0].load, [0.0, 1.0, 2.0]);
        let balance = pass.losses()[0].1 as f32;
        close(&[balance], &[1.085942]);
    }

    #[test]
    fn the_published_numbers_of_a_slice() {
        let layer = layer(&SupernetConfig::default());
        let p = softmax(front_linear(layer.router.as_ref().unwrap(), x(3), 3), 2);
        close(&numbers(p.max_dim(2)), &[0.514767, 0.378978, 0.433539]);
        let mut pass = Pass::eval().with_reports();
        let y = numbers(layer.forward(&mut pass, x(3), &[2, 4, 6]));
        let expected = [
            -0.167756, -0.096819, -0.122589, -0.098523, -0.065798, -0.093078, -0.228344, -0.121403,
            0.172487,
        ];
        close(&y, &expected);
        let report = &pass.reports()[0];
        assert_eq!(report.load, [0.0, 2.0, 1.0]);
        // Router 2 * 3 * 3 a token; experts 4 * 3 * width.
        assert_eq!(report.flops, 3.0 * 18.0 + 2.0 * 48.0 + 72.0);
        // An architecture of one expert is that expert, to the bit.
        let one = layer.forward(&mut Pass::eval(), x(4), &[5]);
        assert_eq!(one.into_data(), layer.experts[0].forward(x(4), 5).into_data());
        // The weights of an architecture alone give the same bits.
        let alone = layer.cut(3, &[2, 4, 6]);
        assert_eq!(numbers(alone.forward(&mut Pass::eval(), x(3), &[2, 4, 6])), y);
        assert_eq!(alone.num_params(), 3 * 3 + 3 + (3 * 2 * 12 + 12 + 9));
    }

    #[test]
    fn padding_counts_in_no_load_and_no_loss() {
        let layer = layer(&SupernetConfig { balance: 1.0, ..SupernetConfig::default() });
        let of = |filling: usize| {
            let real = x(4).swap_dims(0, 1); // one example of three tokens
            let more = Tensor::ones([1, filling.max(1), 4], &Device::flex()) * 3.0;
            let all = if filling > 0 { Tensor::cat(vec![real, more], 1) } else { real };
            let mut pass = Pass::eval().with_reports();
            pass.put(RealTokens(vec![3]));
            let y = layer.forward(&mut pass, all, &[6, 6, 6]).narrow(1, 0, 3);
            let report = pass.reports()[0].clone();
            (numbers(y), pass.losses(), report)
        };
        let expected = of(0);
        assert_eq!(of(1), expected);
        assert_eq!(of(20), expected);
    }
}
