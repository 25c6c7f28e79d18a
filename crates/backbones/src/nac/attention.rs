//! Attention of latents to tokens and to each other.
//!
//! Read-in: each latent u has its own keys and values, by its code.
//!
//! a_uv = softmax_v(q_u k_uv / sqrt(head)),  k_uv = ModFC_k(LN x_v; c_u),  v_uv likewise        (1)
//! z_u <- z_u + lambda * ModFC_o(sum_v a_uv v_uv; c_u)                                          (2)
//!
//! Between latents: queries depend on the receiver's code, keys and values on the sender's; both share one
//! norm.
//!
//! a_uv = softmax_v(q_u k_v / sqrt(head) + log K~_uv),  k_v = ModFC_k(LN z_v; c_v)              (3)
//! out_u = lambda * ModFC_o(sum_v a_uv v_v; c_u)                                                (4)

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::{matmul, softmax};
use moe::Init;

use super::mod_fc::ModFc;
use crate::Norm;

/// Widths of an attention of latents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    /// The width of the senders.
    pub(super) senders: usize,
    /// The width of the receivers, D.
    pub(super) width: usize,
    pub(super) code: usize,
    pub(super) heads: usize,
    /// The width of a head.
    pub(super) head: usize,
}

/// The maps to queries, keys, values and the output.
#[derive(Module, Debug)]
struct Maps {
    query: ModFc,
    key: ModFc,
    value: ModFc,
    exit: ModFc,
    /// lambda, `[D]`.
    gamma: Param<Tensor<1>>,
    heads: usize,
}

impl Maps {
    fn new(widths: Widths, scale: f32, init: &Init) -> Self {
        let Widths { senders, width, code, heads, head } = widths;
        let map = |name, from| ModFc::new([from, heads * head], code, false, &init.at(name));
        Self {
            query: map("query", width),
            key: map("key", senders),
            value: map("value", senders),
            exit: ModFc::new([heads * head, width], code, true, &init.at("exit")),
            gamma: init.constant("gamma", [width], scale),
            heads,
        }
    }

    /// The output map, `lambda * ModFC_o`.
    fn leave(&self, mixed: Tensor<3>, codes: Tensor<2>) -> Tensor<3> {
        self.exit.forward(mixed, codes) * self.gamma.val().unsqueeze()
    }

    /// Floating-point operations of the maps for `queries` queries and `keys` keys and values, and of `pairs`
    /// pairs of them.
    fn flops(&self, queries: usize, keys: usize, pairs: usize) -> f64 {
        let map = |map: &ModFc| map.flops()[0];
        let inner = self.exit.flops()[0] / (2.0 * self.gamma.lazy_shape().num_elements() as f64);
        queries as f64 * (map(&self.query) + map(&self.exit))
            + keys as f64 * (map(&self.key) + map(&self.value))
            + pairs as f64 * 4.0 * inner
    }
}

/// Attention of latents to tokens, (1) and (2).
#[derive(Module, Debug)]
pub(super) struct ReadIn {
    token_norm: Norm,
    norm: Norm,
    maps: Maps,
}

impl ReadIn {
    pub(super) fn new(widths: Widths, init: &Init) -> Self {
        Self {
            token_norm: Norm::layer(init, "token_norm", widths.senders, 1e-5),
            norm: Norm::layer(init, "norm", widths.width, 1e-5),
            maps: Maps::new(widths, 1.0, &init.at("maps")),
        }
    }

    /// Maps tokens `[B, V, T]`, states `[B, U, D]` and codes `[U, code]` to new states.
    pub(super) fn forward(
        &self,
        tokens: Tensor<3>,
        states: Tensor<3>,
        codes: Tensor<2>,
    ) -> Tensor<3> {
        let ([b, v, _], [_, u, _]) = (tokens.dims(), states.dims());
        let (maps, heads) = (&self.maps, self.maps.heads);
        let tokens = self.token_norm.forward(tokens);
        let q = maps.query.forward(self.norm.forward(states.clone()), codes.clone());
        let inner = q.dims()[2];
        let each = |map: &ModFc| {
            let of = map.forward_each(tokens.clone(), codes.clone());
            of.reshape([b * u, v, heads, inner / heads])
        };
        let (k, values) = (each(&maps.key), each(&maps.value));
        let q = q.reshape([b * u, heads, 1, inner / heads]);
        let scores = matmul(q, k.permute([0, 2, 3, 1])) / ((inner / heads) as f64).sqrt();
        let mixed = matmul(softmax(scores, 3), values.swap_dims(1, 2)); // (1)
        states + maps.leave(mixed.reshape([b, u, inner]), codes) // (2)
    }

    /// Floating-point operations for `latents` latents that read `tokens` tokens.
    pub(super) fn flops(&self, latents: usize, tokens: usize) -> f64 {
        self.maps.flops(latents, latents * tokens, latents * tokens)
    }
}

/// Attention between latents, (3) and (4).
#[derive(Module, Debug)]
pub(super) struct LatentAttention {
    norm: Norm,
    maps: Maps,
}

impl LatentAttention {
    pub(super) fn new(widths: Widths, init: &Init) -> Self {
        Self {
            norm: Norm::layer(init, "norm", widths.width, 1e-5),
            maps: Maps::new(widths, 0.1, &init.at("maps")),
        }
    }

    /// The values that receivers, states `[B, U, D]` with codes `[U, code]`, read from senders, `[B, V, D]`,
    /// given the logarithm of a kernel, `[1 or B, U, V]`. No residual is added.
    pub(super) fn forward(
        &self,
        receivers: (Tensor<3>, Tensor<2>),
        senders: (Tensor<3>, Tensor<2>),
        log_kernel: Tensor<3>,
    ) -> Tensor<3> {
        let (maps, (states, codes), (sent, of)) = (&self.maps, receivers, senders);
        let sent = self.norm.forward(sent);
        let q = self.heads(maps.query.forward(self.norm.forward(states), codes.clone()));
        let k = self.heads(maps.key.forward(sent.clone(), of.clone()));
        let v = self.heads(maps.value.forward(sent, of));
        let [b, heads, u, head] = q.dims();
        let scores = matmul(q, k.swap_dims(2, 3)) / (head as f64).sqrt();
        let a = softmax(scores + log_kernel.unsqueeze_dim::<4>(1), 3); // (3)
        let mixed = matmul(a, v).swap_dims(1, 2).reshape([b, u, heads * head]);
        maps.leave(mixed, codes) // (4)
    }

    /// `[B, U, H * head] -> [B, H, U, head]`.
    fn heads(&self, x: Tensor<3>) -> Tensor<4> {
        let ([b, u, width], heads) = (x.dims(), self.maps.heads);
        x.reshape([b, u, heads, width / heads]).swap_dims(1, 2)
    }

    /// Floating-point operations for `receivers` that read from `senders`.
    pub(super) fn flops(&self, receivers: usize, senders: usize) -> f64 {
        self.maps.flops(receivers, senders, receivers * senders)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nac::{
        kernel::Kernel,
        testing::{given, near, values},
    };
    use moe::Pass;

    fn widths(senders: usize) -> Widths {
        Widths { senders, width: 4, code: 3, heads: 2, head: 2 }
    }

    fn maps(base: u64) -> Vec<(&'static str, u64)> {
        let paths = [
            "maps.query.map.weight",
            "",
            "maps.query.scale.weight",
            "maps.key.map.weight",
            "",
            "maps.key.scale.weight",
            "maps.value.map.weight",
            "",
            "maps.value.scale.weight",
            "maps.exit.map.weight",
            "maps.exit.map.bias",
            "",
            "maps.exit.scale.weight",
            "maps.gamma",
        ];
        let with_salts = paths.into_iter().zip(base..);
        with_salts.filter(|(path, _)| !path.is_empty()).collect()
    }

    #[test]
    pub(crate) fn the_published_attention_between_latents() {
        let init = Init::new(0, &Device::flex());
        let salts = [vec![("norm.gamma", 41), ("norm.beta", 42)], maps(43)].concat();
        let attention = given(LatentAttention::new(widths(4), &init), &salts);
        let kernel = Kernel::new(true, &init);
        let (r, c, s) = (values::<3>(60, [1, 2, 4]), values::<2>(61, [2, 3]), values(62, [2, 5]));
        let with = |first: Tensor<2>, rest: &Tensor<2>| Tensor::cat(vec![first, rest.clone()], 0);
        let sent = Tensor::cat(vec![values(63, [1, 1, 4]), r.clone()], 1);
        let (codes, signatures) = (with(values(64, [1, 3]), &c), with(values(65, [1, 5]), &s));
        let log = kernel.forward(&mut Pass::eval(), 1, s, signatures);
        let z = r.clone() + attention.forward((r, c), (sent, codes), log);
        near(
            "attention between latents, latent 0",
            z.narrow(1, 0, 1),
            &[-0.372927, -0.067509, -0.384040, 0.361119],
        );
    }

    #[test]
    pub(crate) fn the_published_read_in() {
        let init = Init::new(0, &Device::flex());
        let norms = vec![
            ("token_norm.gamma", 70),
            ("token_norm.beta", 71),
            ("norm.gamma", 72),
            ("norm.beta", 73),
        ];
        let read_in = given(ReadIn::new(widths(3), &init), &[norms, maps(74)].concat());
        let (r, c) = (values(60, [1, 2, 4]), values(61, [2, 3]));
        let z = read_in.forward(values(90, [1, 3, 3]), r, c);
        near("read-in, latent 0", z.narrow(1, 0, 1), &[-0.312985, 0.052040, -0.493565, 0.329159]);
    }

    #[test]
    fn who_is_not_connected_has_no_weight_at_all() {
        let init = Init::new(0, &Device::flex());
        let attention = LatentAttention::new(widths(4), &init);
        let (z, codes) = (values::<3>(1, [1, 3, 4]), values::<2>(2, [3, 3]));
        let no = f32::NEG_INFINITY;
        let log = Tensor::<3>::from_data(
            [[[0.0, no, -1.0], [no, 0.0, no], [no, no, 0.0]]],
            &Device::flex(),
        );
        let out = |sent: Tensor<3>| {
            let z = (z.clone(), codes.clone());
            attention.forward(z, (sent, codes.clone()), log.clone()).into_data()
        };
        // Sender 1 is connected to receiver 1 alone.
        let moved = z.clone().slice_assign([0..1, 1..2, 0..4], values(3, [1, 1, 4]) * 100.0);
        let [a, b] =
            [out(z.clone()), out(moved)].map(|data| data.iter::<f32>().collect::<Vec<_>>());
        assert_eq!([&a[..4], &a[8..]], [&b[..4], &b[8..]]);
        assert_ne!(a[4..8], b[4..8]);
    }
}
