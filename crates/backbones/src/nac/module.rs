//! The modules of a neural attentive circuit, each used alone, as students in the slots of a transformer.
//!
//! Lo et al. *m2mKD*. 2024. <https://arxiv.org/abs/2402.16918>, as in its published code. There are two slots
//! more than propagators:
//!
//! first:  tokenizer and read-in by one latent of a fixed code and a fixed state: a single token comes out.
//! middle: z <- z + Attention(z; z), z <- ModFFN(z), of a propagator, without a kernel. All tokens are
//!         receivers and senders, and have the same fixed code.
//! last:   one latent reads the tokens by the read-out, and answers; of one output there is nothing to weigh.
//!
//! The paths of a module's weights are those of the whole network. Signatures, codes, seeder and kernels
//! exist only in the whole network.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::linear_layer;
use moe::{Init, Input};

use super::{
    CODE, IMAGES, Nac, Propagator,
    attention::{LatentAttention, ReadIn},
    mod_fc::{ModFfn, map_flops},
    tokenizer::Tokenizer,
};

/// A propagator, or the read-out, without its kernel.
#[derive(Module, Debug)]
struct Mediation {
    attention: LatentAttention,
    feed_forward: ModFfn,
}

impl Mediation {
    fn of(propagator: Propagator) -> Self {
        let Propagator { attention, feed_forward, .. } = propagator;
        Self { attention, feed_forward }
    }

    /// The values that receivers `[B, U, D]` read from senders `[B, V, D]`, all with the same code `[1,
    /// code]`; with `adds`, the receivers are added.
    fn forward(
        &self,
        receivers: Tensor<3>,
        senders: Tensor<3>,
        code: &Tensor<2>,
        adds: bool,
    ) -> Tensor<3> {
        let ([_, u, _], [_, v, _]) = (receivers.dims(), senders.dims());
        let [to, from] = [u, v].map(|count| code.clone().repeat_dim(0, count));
        let everyone = Tensor::zeros([1, u, v], &senders.device().inner());
        let read =
            self.attention.forward((receivers.clone(), to.clone()), (senders, from), everyone);
        let z = if adds { receivers + read } else { read };
        self.feed_forward.forward(z, to)
    }

    fn flops(&self, receivers: usize, senders: usize) -> f64 {
        self.attention.flops(receivers, senders) + receivers as f64 * self.feed_forward.flops()
    }
}

/// A module of a neural attentive circuit.
#[derive(Module, Debug)]
pub(crate) struct NacModule {
    tokenizer: Option<Tokenizer>,
    read_in: Option<ReadIn>,
    read_in_feed_forward: Option<ModFfn>,
    propagators: Vec<Option<Mediation>>,
    read_out: Option<Mediation>,
    head: Option<Linear>,
    /// `[1, code]`, not trained.
    fixed_code: Param<Tensor<2>>,
    /// `[1, 1, D]`, not trained.
    fixed_state: Param<Tensor<3>>,
    /// The number of tokens of an image.
    count: usize,
}

/// The message of an error that the choice of the slot excludes.
const MISSING: &str = "the module does not have this end of the network";

impl NacModule {
    /// The module of slot `slot`; `init` draws its fixed code and state.
    pub(crate) fn of(nac: Nac, slot: usize, init: &Init) -> Self {
        let (first, last) = (slot == 0, slot == nac.propagators.len() + 1);
        let width = nac.config.width;
        let propagators = nac.propagators.into_iter().enumerate();
        Self {
            tokenizer: first.then_some(nac.tokenizer),
            read_in: first.then_some(nac.read_in),
            read_in_feed_forward: first.then_some(nac.read_in_feed_forward),
            propagators: propagators
                .map(|(i, propagator)| (i + 1 == slot).then(|| Mediation::of(propagator)))
                .collect(),
            read_out: last.then(|| Mediation::of(nac.read_out)),
            head: last.then_some(nac.head),
            fixed_code: init.normal("fixed_code", [1, CODE], 1.0).no_grad(),
            fixed_state: init.normal("fixed_state", [1, 1, width], 1.0).no_grad(),
            count: nac.count,
        }
    }

    /// Maps images to one token, `[B, 1, D]`.
    ///
    /// # Panics
    /// If it is not the first module.
    pub(crate) fn read(&self, input: Input) -> Tensor<3> {
        let Input::Image(pixels) = input else { panic!("{IMAGES}") };
        let tokens = self.tokenizer.as_ref().expect(MISSING).forward(pixels);
        let (code, state) = (self.fixed_code.val(), self.state(tokens.dims()[0]));
        let z = self.read_in.as_ref().expect(MISSING).forward(tokens, state, code.clone());
        let network = self.read_in_feed_forward.as_ref().expect(MISSING);
        network.forward(z, code)
    }

    /// Maps tokens `[B, N, D]` to `[B, N, D]`, by the module's propagator.
    pub(crate) fn mediate(&self, z: Tensor<3>) -> Tensor<3> {
        let code = self.fixed_code.val();
        let all = self.propagators.iter().flatten();
        all.fold(z, |z, mediation| mediation.forward(z.clone(), z, &code, true))
    }

    /// Maps tokens `[B, N, D]` to scores, `[B, 1, outputs]`.
    ///
    /// # Panics
    /// If it is not the last module.
    pub(crate) fn answer(&self, z: Tensor<3>) -> Tensor<3> {
        let (read_out, state) = (self.read_out.as_ref().expect(MISSING), self.state(z.dims()[0]));
        let z = read_out.forward(state, z, &self.fixed_code.val(), false);
        linear_layer(self.head.as_ref().expect(MISSING), z)
    }

    fn state(&self, examples: usize) -> Tensor<3> {
        self.fixed_state.val().repeat_dim(0, examples)
    }

    /// Floating-point operations for one image that has `tokens` tokens in the frozen network.
    pub(crate) fn dense_flops(&self, tokens: usize) -> f64 {
        let read_in = self.read_in.as_ref().map_or(0.0, |read_in| read_in.flops(1, self.count));
        let mediations = self.propagators.iter().flatten().map(|part| part.flops(tokens, tokens));
        self.tokenizer.as_ref().map_or(0.0, |tokenizer| tokenizer.flops(self.count))
            + read_in
            + self.read_in_feed_forward.as_ref().map_or(0.0, ModFfn::flops)
            + mediations.sum::<f64>()
            + self.read_out.as_ref().map_or(0.0, |part| part.flops(1, tokens))
            + self.head.as_ref().map_or(0.0, map_flops)
    }
}
