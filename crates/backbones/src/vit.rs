//! A vision transformer with places for MoE layers.
//!
//! Dosovitskiy et al. *An Image is Worth 16x16 Words*. ICLR 2021. <https://arxiv.org/abs/2010.11929>
//! Riquelme et al. *Scaling Vision with Sparse Mixture of Experts*. NeurIPS 2021.
//! <https://arxiv.org/abs/2106.05974>
//!
//! z_0  = [x_1 E; ...; x_N E] + E_pos                     (1)
//! z'_l = MSA(LN(z_{l-1})) + z_{l-1}                      (2)
//! z_l  = MLP(LN(z'_l)) + z'_l                            (3), MLP or MoE
//! y    = head(mean over patches of LN(z_L))              (4)
//!
//! Differs from the papers: the mean over patches instead of a class token.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, TokenIds, config};

use crate::{Attention, AttentionConfig, Backbone, Block, Brief, Norm, Positions, wrong};

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
    }
}

/// A vision transformer.
#[derive(Module, Debug)]
pub struct Vit {
    patches: Linear,
    positions: Param<Tensor<3>>,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
    patch: usize,
}

/// What was checked before: a picture.
const PICTURES: &str = "a vit is built for pictures";

fn sizes(domain: Domain) -> Option<(usize, usize, usize)> {
    match domain {
        Domain::Image { channels, height, width } => Some((channels, height, width)),
        Domain::Text { .. } => None,
    }
}

impl Backbone for Vit {
    type Config = VitConfig;
    const NAME: &'static str = "vit";
    const ABOUT: &'static str = "vision transformer: patches, learned positions, mean pooling";
    const PAPER: &'static str = "https://arxiv.org/abs/2010.11929";
    const CAUSAL: bool = false;

    fn check(config: &VitConfig, brief: &Brief) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let (_, height, width) = sizes(brief.domain)
            .ok_or_else(|| wrong("it takes pictures, and the task has text".into()))?;
        let p = config.patch;
        if p == 0 || !height.is_multiple_of(p) || !width.is_multiple_of(p) {
            return Err(wrong(format!("patch = {p} does not divide {height} x {width} pixels")));
        }
        Attention::check(config.width, config.heads, Positions::Unordered).map_err(wrong)?;
        let shape = [(height / p) * (width / p), config.width];
        brief.check_blocks(Self::NAME, &config.dense, shape, config.depth)
    }

    fn init(config: &VitConfig, brief: &Brief, init: &Init) -> Result<Self, ConfigError> {
        let (channels, height, width) = sizes(brief.domain).expect(PICTURES);
        let (d, p) = (config.width, config.patch);
        let n = (height / p) * (width / p);
        let attention = AttentionConfig {
            width: d,
            heads: config.heads,
            positions: Positions::Unordered,
            bias: true,
        };
        let norm = |init: &Init, name: &str, width| Norm::Layer(init.layer_norm(name, width));
        let block = |i| {
            let init = init.at("blocks").at(i);
            Block::new(brief, &attention, &config.dense, (i, config.depth), n, norm, &init)
        };
        Ok(Self {
            patches: init.linear("patches", channels * p * p, d, true),
            positions: init.normal("positions", [1, n, d], 0.02),
            blocks: (0..config.depth).map(block).collect::<Result<_, _>>()?,
            norm: norm(init, "norm", d),
            head: init.linear("head", d, brief.outputs, true),
            patch: p,
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Image(pixels) = input else { panic!("{PICTURES}") };
        let patches = self.cut(pixels);
        let [b, n, _] = patches.dims();
        let device = patches.device().inner();
        let ids = Tensor::<1, Int>::arange(0..n as i64, &device).reshape([1, n]).repeat_dim(0, b);
        pass.put(TokenIds(ids));
        let mut z = self.patches.forward(patches) + self.positions.val(); // (1)
        for block in &self.blocks {
            z = block.forward(pass, z); // (2), (3)
        }
        self.head.forward(self.norm.forward(z).mean_dim(1)) // (4)
    }

    fn tokens(&self) -> usize {
        self.positions.lazy_shape().dims::<3>()[1]
    }

    fn dense_flops(&self) -> f64 {
        let n = Backbone::tokens(self);
        let map = |linear: &Linear| 2.0 * linear.weight.lazy_shape().num_elements() as f64;
        let blocks: f64 = self.blocks.iter().map(|block| block.dense_flops(n)).sum();
        n as f64 * (map(&self.patches) + blocks) + map(&self.head)
    }
}

impl Vit {
    /// `[B, channels, height, width] -> [B, N, channels * patch * patch]`, row by row.
    fn cut(&self, pixels: Tensor<4>) -> Tensor<3> {
        let ([b, c, h, w], p) = (pixels.dims(), self.patch);
        pixels.reshape([b, c, h / p, p, w / p, p]).permute([0, 2, 4, 1, 3, 5]).reshape([
            b,
            (h / p) * (w / p),
            c * p * p,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{brief, library, loss_falls};

    const DIGITS: Domain = Domain::Image { channels: 1, height: 4, width: 4 };

    #[test]
    fn patches_are_cut_row_by_row() {
        let (library, moe) = library();
        let brief = brief(DIGITS, &moe, &library);
        let init = Init::new(0, &Device::flex());
        let vit = <Vit as Backbone>::init(&VitConfig::default(), &brief, &init).unwrap();
        let pixels = Tensor::<1, Int>::arange(0..16, &Device::flex()).float().reshape([1, 1, 4, 4]);
        let second = vit.cut(pixels).narrow(1, 1, 1).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(second, [2.0, 3.0, 6.0, 7.0]);
        assert_eq!(Backbone::tokens(&vit), 4);
    }

    #[test]
    fn flops_by_hand() {
        let (library, moe) = library();
        let config = VitConfig { width: 8, depth: 1, heads: 2, ..VitConfig::default() };
        let dense = moe::MoeConfig { layers: moe::Placement::NONE, ..moe };
        let vit = <Vit as Backbone>::init(
            &config,
            &brief(DIGITS, &dense, &library),
            &Init::new(0, &Device::flex()),
        )
        .unwrap();
        // 4 patches of 4 pixels: embed 2*4*8 = 64; attention 8*64 + 4*4*8 = 640; ffn 4*8*128 = 4096.
        // head 2*8*3 = 48.
        assert_eq!(Backbone::dense_flops(&vit), 4.0 * (64.0 + 640.0 + 4096.0) + 48.0);
    }

    #[test]
    fn it_learns() {
        let (library, moe) = library();
        let config = VitConfig { width: 16, depth: 2, heads: 2, ..VitConfig::default() };
        let init = Init::new(0, &Device::flex().autodiff());
        let vit = <Vit as Backbone>::init(&config, &brief(DIGITS, &moe, &library), &init).unwrap();
        let pixels = init.normal("pixels", [3, 1, 4, 4], 1.0).val().detach();
        loss_falls(vit, Input::Image(pixels), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (library, moe) = library();
        let check = |config: VitConfig, domain| {
            <Vit as Backbone>::check(&config, &brief(domain, &moe, &library))
                .unwrap_err()
                .to_string()
        };
        let text = Domain::Text { vocab: 9, length: 4 };
        assert!(check(VitConfig::default(), text).contains("the task has text"));
        assert!(
            check(VitConfig { patch: 3, ..VitConfig::default() }, DIGITS).contains("patch = 3")
        );
        assert!(
            check(VitConfig { heads: 5, ..VitConfig::default() }, DIGITS).contains("heads = 5")
        );
    }
}
