//! A vision transformer with places for MoE layers.
//!
//! Dosovitskiy et al. *An Image is Worth 16x16 Words*. ICLR 2021. <https://arxiv.org/abs/2010.11929>
//! Riquelme et al. *Scaling Vision with Sparse Mixture of Experts*. NeurIPS 2021.
//! <https://arxiv.org/abs/2106.05974>
//!
//! z_0  = [x_class; x_1 E; ...; x_N E] + E_pos            (1), with a class token or without
//! z'_l = MSA(LN(z_{l-1})) + z_{l-1}                      (2)
//! z_l  = MLP(LN(z'_l)) + z'_l                            (3), MLP or MoE
//! y    = head(z) with z the class token of LN(z_L),      (4)
//!        or the mean of LN(z_L) over the patches;
//!        of DeiT the mean of two heads, see `vit_distillation.rs`
//!
//! Differs from the papers: by default, the mean over patches in place of a class token, the epsilon of norms
//! and the initial weights. `pool = "class-token"`, `init = "flax"`, `epsilon = 1e-6` are as published; there
//! the head begins at 0, with a bias of -ln(classes). No dropout. `wiring = "output-norm"` is the momentum
//! V-MoE of `block.rs`; (4) has its norm with every wiring.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::linear_layer;
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, Scheme, TokenIds, config};
use serde::{Deserialize, Serialize};

use crate::{
    AttentionConfig, Backbone, BackboneSpec, Block, Norm, Wiring, vit_distillation::Distillation,
    wrong,
};

/// The pooling before the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The mean over the patches.
    Mean,
    /// A class token, the first token.
    ClassToken,
    /// A class token, and a second one for distillation with its own head (DeiT).
    Distilled,
}

config! {
    /// Sizes of a vision transformer.
    pub struct VitConfig {
        /// Rows and columns of pixels in a patch.
        pub patch: usize = 2,
        /// The width of the stream, D.
        pub width: usize = 64,
        /// Blocks.
        pub depth: usize = 4,
        /// Attention heads.
        pub heads: usize = 4,
        /// The feed-forward network of blocks without a MoE layer.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
        /// The pooling before the head: `"mean"`, `"class-token"`, or `"distilled"` as in DeiT.
        pub pool: Pool = Pool::Mean,
        /// The initialisation: `"torch"`, or `"flax"` as in V-MoE.
        pub init: Scheme = Scheme::Torch,
        /// The epsilon of the norms, added to the variance.
        pub epsilon: f64 = 1e-5,
        /// The order of norms and residual connections.
        pub wiring: Wiring = Wiring::PreNorm,
    }
}

impl VitConfig {
    fn attention(&self) -> AttentionConfig {
        AttentionConfig::unordered(self.width, self.heads)
    }

    /// The number of tokens of an image: patches, and additional tokens.
    pub(crate) fn tokens(&self, height: usize, width: usize) -> usize {
        let own = match self.pool {
            Pool::Mean => 0,
            Pool::ClassToken => 1,
            Pool::Distilled => 2,
        };
        (height / self.patch) * (width / self.patch) + own
    }
}

/// A vision transformer.
#[derive(Module, Debug)]
pub struct Vit {
    pub(crate) patches: Linear,
    pub(crate) class: Option<Param<Tensor<3>>>,
    pub(crate) distillation: Option<Distillation>,
    pub(crate) positions: Param<Tensor<3>>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Norm,
    pub(crate) head: Linear,
    pub(crate) patch: usize,
}

/// The message of an error that `check` excludes.
pub(crate) const IMAGES: &str = "a vit requires images";

/// Channels, height and width of images.
pub(crate) fn sizes(domain: Domain) -> Option<(usize, usize, usize)> {
    match domain {
        Domain::Image { channels, height, width } => Some((channels, height, width)),
        _ => None,
    }
}

impl Backbone for Vit {
    type Config = VitConfig;
    const NAME: &'static str = "vit";
    const ABOUT: &'static str =
        "vision transformer: patches, learned positions, mean or class token";
    const PAPER: &'static str = "https://arxiv.org/abs/2010.11929";
    const CAUSAL: bool = false;

    fn check(config: &VitConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let (_, height, width) = sizes(spec.domain)
            .ok_or_else(|| wrong("expected images, but the task has text".into()))?;
        let p = config.patch;
        if p == 0 || !height.is_multiple_of(p) || !width.is_multiple_of(p) {
            return Err(wrong(format!("patch = {p} does not divide {height} x {width} pixels")));
        }
        Norm::check(config.epsilon).map_err(wrong)?;
        config.attention().check().map_err(wrong)?;
        let shape = [config.tokens(height, width), config.width];
        spec.check_blocks(Self::NAME, &config.dense, shape, config.depth)
    }

    fn init(config: &VitConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let init = &init.by(config.init);
        let (channels, height, width) = sizes(spec.domain).expect(IMAGES);
        let (d, p, n) = (config.width, config.patch, config.tokens(height, width));
        let attention = config.attention();
        let norm = |init: &Init, name: &str, width| Norm::layer(init, name, width, config.epsilon);
        let block = |i| {
            let (place, init) = ((i, config.depth), init.at("blocks").at(i));
            let block = Block::new(spec, &attention, &config.dense, place, n, &norm, &init)?;
            Ok::<_, ConfigError>(block.wired(config.wiring, |name| norm(&init, name, d)))
        };
        let class = || init.constant("class", [1, 1, d], 0.0);
        Ok(Self {
            patches: init.linear("patches", channels * p * p, d, true),
            class: (config.pool != Pool::Mean).then(class),
            distillation: (config.pool == Pool::Distilled)
                .then(|| Distillation::new([d, spec.outputs], init)),
            positions: init.normal("positions", [1, n, d], 0.02),
            blocks: (0..config.depth).map(block).collect::<Result<_, _>>()?,
            norm: norm(init, "norm", d),
            head: head(config.init, [d, spec.outputs], init),
            patch: p,
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let (z, distilled) = self.last(pass, input);
        let scores = linear_layer(&self.head, z); // (4)
        match distilled {
            Some(other) => (scores + other) / 2.0,
            None => scores,
        }
    }

    fn features(&self, pass: &mut Pass, input: Input) -> Option<Tensor<2>> {
        Some(self.last(pass, input).0.squeeze_dim::<2>(1))
    }

    fn tokens(&self) -> usize {
        self.positions.lazy_shape().dims::<3>()[1]
    }

    fn dense_flops(&self) -> f64 {
        let n = Backbone::tokens(self);
        let own = usize::from(self.class.is_some()) + usize::from(self.distillation.is_some());
        let patches = n - own;
        let map = |linear: &Linear| 2.0 * linear.weight.lazy_shape().num_elements() as f64;
        let blocks: f64 = self.blocks.iter().map(|block| block.dense_flops(n)).sum();
        let second = self.distillation.as_ref().map_or(0.0, |second| map(&second.head));
        patches as f64 * map(&self.patches) + n as f64 * blocks + map(&self.head) + second
    }
}

/// The head `[width, classes]`.
fn head(scheme: Scheme, [width, classes]: [usize; 2], init: &Init) -> Linear {
    let head = init.linear("head", width, classes, true);
    match scheme {
        Scheme::Torch => head,
        Scheme::Flax => {
            let part = init.at("head");
            let bias = part.constant("bias", [classes], -(classes as f32).ln());
            Linear { weight: part.constant("weight", [width, classes], 0.0), bias: Some(bias) }
        }
    }
}

impl Vit {
    /// The pooled tokens, `[B, 1, D]`, and the scores of the token for distillation, `[B, 1, outputs]`.
    fn last(&self, pass: &mut Pass, input: Input) -> (Tensor<3>, Option<Tensor<3>>) {
        let tokens = [self.class.as_ref(), self.distillation.as_ref().map(|second| &second.token)];
        let own: Vec<_> = tokens.into_iter().flatten().collect();
        let mut z = embedded(pass, input, &self.patches, &own, &self.positions, self.patch);
        for block in &self.blocks {
            z = block.forward(pass, z); // (2), (3)
        }
        let scores = self.distillation.as_ref();
        let scores = scores.map(|second| second.scores(self.norm.forward(z.clone())));
        (pooled(z, &self.norm, self.class.is_some()), scores)
    }
}

/// z_0 of images, `[B, N, D]`, by (1), with these tokens `[1, 1, D]` before the patches. Stores the number of
/// each token in the pass.
pub(crate) fn embedded(
    pass: &mut Pass,
    input: Input,
    patches: &Linear,
    own: &[&Param<Tensor<3>>],
    positions: &Param<Tensor<3>>,
    patch: usize,
) -> Tensor<3> {
    let Input::Image(pixels) = input else { panic!("{IMAGES}") };
    let mut z = linear_layer(patches, cut(pixels, patch));
    let [b, _, d] = z.dims();
    if !own.is_empty() {
        let own = own.iter().map(|token| token.val().expand([b, 1, d]));
        z = Tensor::cat(own.chain([z]).collect(), 1);
    }
    let (n, device) = (z.dims()[1], z.device().inner());
    let ids = Tensor::<1, Int>::arange(0..n as i64, &device).reshape([1, n]).repeat_dim(0, b);
    pass.put(TokenIds(ids));
    z + positions.val()
}

/// The input of the head from z_L, `[B, N, D]` to `[B, 1, D]`.
pub(crate) fn pooled(z: Tensor<3>, norm: &Norm, class: bool) -> Tensor<3> {
    let z = norm.forward(z);
    if class { z.narrow(1, 0, 1) } else { z.mean_dim(1) }
}

/// Cuts images into patches, row by row: `[B, channels, height, width] -> [B, N, channels * patch * patch]`.
pub(crate) fn cut(pixels: Tensor<4>, p: usize) -> Tensor<3> {
    let [b, c, h, w] = pixels.dims();
    let tiles = pixels.reshape([b, c, h / p, p, w / p, p]).permute([0, 2, 4, 1, 3, 5]);
    tiles.reshape([b, (h / p) * (w / p), c * p * p])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{library, loss_falls, spec};

    const DIGITS: Domain = Domain::Image { channels: 1, height: 4, width: 4 };

    fn small() -> VitConfig {
        VitConfig { width: 16, depth: 2, heads: 2, ..VitConfig::default() }
    }

    fn vit(config: &VitConfig, device: &Device) -> Vit {
        let (library, moe) = library();
        let init = Init::new(0, device);
        <Vit as Backbone>::init(config, &spec(DIGITS, &moe, &library), &init).unwrap()
    }

    #[test]
    fn patches_are_cut_row_by_row() {
        let vit = vit(&VitConfig::default(), &Device::flex());
        let pixels = Tensor::<1, Int>::arange(0..16, &Device::flex()).float().reshape([1, 1, 4, 4]);
        let second = cut(pixels, 2).narrow(1, 1, 1).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(second, [2.0, 3.0, 6.0, 7.0]);
        assert_eq!(Backbone::tokens(&vit), 4);
    }

    #[test]
    fn flops_by_hand() {
        let (library, moe) = library();
        let config = VitConfig { width: 8, depth: 1, heads: 2, ..VitConfig::default() };
        let dense = moe::MoeConfig { layers: moe::Placement::NONE, ..moe };
        let flops = |config: &VitConfig| {
            let init = Init::new(0, &Device::flex());
            let spec = spec(DIGITS, &dense, &library);
            Backbone::dense_flops(&<Vit as Backbone>::init(config, &spec, &init).unwrap())
        };
        // 4 patches of 4 pixels: embed 2*4*8 = 64; attention 8*64 + 4*4*8 = 640; ffn 4*8*128 = 4096.
        // head 2*8*3 = 48.
        assert_eq!(flops(&config), 4.0 * (64.0 + 640.0 + 4096.0) + 48.0);
        // A class token is a fifth token of the blocks, also in attention.
        let config = VitConfig { pool: Pool::ClassToken, ..config };
        assert_eq!(flops(&config), 4.0 * 64.0 + 5.0 * (672.0 + 4096.0) + 48.0);
        // A token for distillation is a sixth one, with its own head.
        let config = VitConfig { pool: Pool::Distilled, ..config };
        assert_eq!(flops(&config), 4.0 * 64.0 + 6.0 * (704.0 + 4096.0) + 2.0 * 48.0);
    }

    #[test]
    fn it_learns_in_every_form() {
        let published =
            VitConfig { pool: Pool::ClassToken, init: Scheme::Flax, epsilon: 1e-6, ..small() };
        let device = Device::flex().autodiff();
        let normed = VitConfig { wiring: Wiring::OutputNorm, ..small() };
        let distilled = VitConfig { pool: Pool::Distilled, ..small() };
        for config in [small(), published, normed, distilled] {
            let init = Init::new(0, &device);
            let pixels = init.normal("pixels", [3, 1, 4, 4], 1.0).val().detach();
            loss_falls(vit(&config, &device), Input::Image(pixels), 1);
        }
    }

    #[test]
    fn features_are_what_the_head_sees() {
        let config = VitConfig { pool: Pool::ClassToken, ..small() };
        let vit = vit(&config, &Device::flex());
        let pixels = Init::new(0, &Device::flex()).normal("pixels", [3, 1, 4, 4], 1.0).val();
        let features = vit.features(&mut Pass::eval(), Input::Image(pixels.clone())).unwrap();
        assert_eq!(features.dims(), [3, 16]);
        let logits = vit.head.forward(features.unsqueeze_dim::<3>(1));
        let output = vit.forward(&mut Pass::eval(), Input::Image(pixels));
        assert_eq!(output.into_data(), logits.into_data());
    }

    #[test]
    fn a_distilled_network_answers_with_the_mean_of_two_heads() {
        let vit = vit(&VitConfig { pool: Pool::Distilled, ..small() }, &Device::flex());
        let pixels = Init::new(0, &Device::flex()).normal("pixels", [3, 1, 4, 4], 1.0).val();
        let input = || Input::Image(pixels.clone());
        let features = vit.features(&mut Pass::eval(), input()).unwrap();
        let one = vit.head.forward(features.unsqueeze_dim::<3>(1));
        let (_, other) = vit.last(&mut Pass::eval(), input());
        let mean = ((one.clone() + other.unwrap()) / 2.0).into_data();
        let output = vit.forward(&mut Pass::eval(), input()).into_data();
        assert_eq!(output, mean);
        assert_ne!(output, one.into_data(), "the second head has a say");
    }

    #[test]
    fn a_flax_network_says_nothing_at_first() {
        let vit = vit(&VitConfig { init: Scheme::Flax, ..small() }, &Device::flex());
        let pixels = Init::new(0, &Device::flex()).normal("pixels", [2, 1, 4, 4], 1.0).val();
        let output = vit.forward(&mut Pass::eval(), Input::Image(pixels)).into_data();
        assert_eq!(output.try_to_vec::<f32>().unwrap(), [-(3_f32.ln()); 6]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (library, moe) = library();
        let check = |config: VitConfig, domain| {
            <Vit as Backbone>::check(&config, &spec(domain, &moe, &library))
                .unwrap_err()
                .to_string()
        };
        let text = Domain::Text { vocab: 9, length: 4 };
        let default = VitConfig::default;
        assert!(check(default(), text).contains("the task has text"));
        assert!(check(VitConfig { patch: 3, ..default() }, DIGITS).contains("patch = 3"));
        assert!(check(VitConfig { heads: 5, ..default() }, DIGITS).contains("heads = 5"));
        for number in [f64::NAN, f64::INFINITY, -0.0, 1e300, 1e-300] {
            let err = check(VitConfig { epsilon: number, ..default() }, DIGITS);
            assert!(err.contains(&format!("epsilon = {number}: must be from 1e-30 to 1")), "{err}");
        }
    }
}
