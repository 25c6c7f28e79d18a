//! A small convolutional network with places for MoE layers after its convolutions.
//!
//! x_0 = the image
//! x_i = ReLU(Conv_i(x_{i-1})), perhaps with batch norm before ReLU, which
//!       replaces the bias of the convolution                                  (1)
//! z   = x_n as tokens, its pixels, through feed-forward blocks                 (2)
//! z'  = z + F(LN(z)), F dense or MoE                                           (3)
//! y   = head(mean of z over the pixels), or head(z) for each pixel             (4)
//!
//! LeCun et al. *Gradient-Based Learning Applied to Document Recognition*. 1998.
//! <https://doi.org/10.1109/5.726791>. Feed-forward layers after convolutions, as experts: Riquelme et
//! al. *Scaling Vision with Sparse Mixture of Experts*. NeurIPS 2021. <https://arxiv.org/abs/2106.05974>
//!
//! With `pool = "none"` there is an answer at each pixel, row by row: one map for each output.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::linear_layer;
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, Placement, config};
use serde::{Deserialize, Serialize};

use crate::{
    Backbone, BackboneSpec, FeedForward, Norm,
    convolution::{BatchNorm, ImageConvolution, channels_last},
    wrong,
};

/// The pooling before the head of a convolutional network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConvPool {
    /// The mean over the pixels: one answer for an image.
    Mean,
    /// None: one answer for each pixel.
    None,
}

config! {
    /// Sizes of a small convolutional network.
    pub struct ConvNetConfig {
        /// Channels after each convolution.
        pub widths: Vec<usize> = vec![24, 48, 96],
        /// Strides of the convolutions in pixels, one number for each.
        pub strides: Vec<usize> = vec![2, 2, 2],
        /// Rows and columns of a window.
        pub side: usize = 3,
        /// Whether batch norm follows each convolution.
        pub norm: bool = false,
        /// The decay of batch norm's running mean and variance: the share that each step keeps.
        pub momentum: f64 = 0.9,
        /// Feed-forward blocks after the convolutions.
        pub blocks: usize = 0,
        /// The feed-forward network of blocks without a MoE layer.
        pub dense: Choice = Choice::of("ffn").with("hidden", 192),
        /// The pooling before the head: `"mean"`, or `"none"` for an output at each pixel.
        pub pool: ConvPool = ConvPool::Mean,
    }
}

/// A small convolutional network.
#[derive(Module, Debug)]
pub struct ConvNet {
    convolutions: Vec<ImageConvolution>,
    norms: Vec<BatchNorm>,
    block_norms: Vec<Norm>,
    blocks: Vec<FeedForward>,
    head: Linear,
    image: [usize; 2],
    #[module(skip)]
    pool: ConvPool,
}

/// The message for an input that differs from the one that was checked: an image.
const IMAGES: &str = "a convolutional network requires images";

impl ConvNetConfig {
    /// Rows and columns after all convolutions.
    fn last_size(&self, image: [usize; 2]) -> [usize; 2] {
        self.strides.iter().fold(image, |size, stride| size.map(|n| n.div_ceil(*stride)))
    }

    fn fault(&self, spec: &BackboneSpec) -> Option<String> {
        let (widths, strides) = (&self.widths, &self.strides);
        if widths.is_empty() || widths.len() != strides.len() {
            return Some(format!(
                "widths = {widths:?}, strides = {strides:?}: expected one width and one stride for \
                 each convolution, and at least one convolution"
            ));
        }
        if widths.contains(&0) || strides.contains(&0) || self.side == 0 {
            return Some("widths, strides and side must be at least 1".into());
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Some(format!("momentum = {}: must be from 0 to below 1", self.momentum));
        }
        if self.blocks == 0 && spec.moe.layers != Placement::NONE {
            return Some("blocks = 0: MoE layers require blocks; set moe.layers = \"none\"".into());
        }
        None
    }
}

impl Backbone for ConvNet {
    type Config = ConvNetConfig;
    const NAME: &'static str = "conv-net";
    const ABOUT: &'static str =
        "small convolutional network: convolutions, then feed-forward blocks on its pixels";
    const PAPER: &'static str = "https://doi.org/10.1109/5.726791";
    const CAUSAL: bool = false;

    fn check(config: &ConvNetConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let Domain::Image { height, width, .. } = spec.domain else {
            return Err(wrong(Self::NAME, "expected images, but the task has text"));
        };
        if let Some(fault) = config.fault(spec) {
            return Err(wrong(Self::NAME, fault));
        }
        if config.blocks == 0 {
            return Ok(());
        }
        let [rows, columns] = config.last_size([height, width]);
        let stream = [rows * columns, config.widths[config.widths.len() - 1]];
        spec.check_blocks(Self::NAME, &config.dense, stream, config.blocks)
    }

    fn init(config: &ConvNetConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let Domain::Image { channels, height, width } = spec.domain else { panic!("{IMAGES}") };
        let (side, sizes) = (config.side, config.last_size([height, width]));
        let (mut from, mut convolutions, mut norms) = (channels, Vec::new(), Vec::new());
        for (i, (to, stride)) in config.widths.iter().zip(&config.strides).enumerate() {
            let name = format!("convolutions.{i}");
            convolutions.push(ImageConvolution::new(
                init,
                &name,
                [from, *to],
                [side, *stride],
                !config.norm, // batch norm would subtract it again
            ));
            if config.norm {
                norms.push(BatchNorm::new(init, &format!("norms.{i}"), *to, config.momentum));
            }
            from = *to;
        }
        let block = |i: usize| {
            let init = init.at("blocks").at(i);
            let stream = [sizes[0] * sizes[1], from];
            FeedForward::new(spec, &config.dense, (i, config.blocks), stream, &init)
        };
        let norm = |i: usize| Norm::layer(&init.at("blocks").at(i), "norm", from, 1e-5);
        Ok(Self {
            convolutions,
            norms,
            block_norms: (0..config.blocks).map(norm).collect(),
            blocks: (0..config.blocks).map(block).collect::<Result<_, _>>()?,
            head: init.linear("head", from, spec.outputs, true),
            image: [height, width],
            pool: config.pool,
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let z = self.pixels(pass, input);
        let seen = match self.pool {
            ConvPool::Mean => z.mean_dim(1),
            ConvPool::None => z,
        };
        linear_layer(&self.head, seen) // (4)
    }

    fn features(&self, pass: &mut Pass, input: Input) -> Option<Tensor<2>> {
        (self.pool == ConvPool::Mean).then(|| self.pixels(pass, input).mean_dim(1).squeeze_dim(1))
    }

    fn tokens(&self) -> usize {
        let size = self.convolutions.iter().fold(self.image, |size, conv| conv.size(size));
        size[0] * size[1]
    }

    fn dense_flops(&self) -> f64 {
        let (mut size, mut flops) = (self.image, 0.0);
        for conv in &self.convolutions {
            flops += conv.flops(size);
            size = conv.size(size);
        }
        let pixels = (size[0] * size[1]) as f64;
        let blocks: f64 = self.blocks.iter().map(FeedForward::dense_flops).sum();
        let head = 2.0 * self.head.weight.lazy_shape().num_elements() as f64;
        let heads = if self.pool == ConvPool::Mean { 1.0 } else { pixels };
        flops + pixels * blocks + heads * head
    }
}

impl ConvNet {
    /// The input of the head before pooling, `[B, pixels, width]`.
    fn pixels(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Image(pixels) = input else { panic!("{IMAGES}") };
        let mut x = channels_last(pixels);
        for (i, conv) in self.convolutions.iter().enumerate() {
            x = conv.forward(x);
            if let Some(norm) = self.norms.get(i) {
                x = norm.forward(pass, x);
            }
            x = burn::tensor::activation::relu(x); // (1)
        }
        let [b, h, w, c] = x.dims();
        let mut z = x.reshape([b, h * w, c]); // (2)
        for (norm, block) in self.block_norms.iter().zip(&self.blocks) {
            let input = norm.forward(z.clone());
            z = block.forward(pass, z, input); // (3)
        }
        z
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{library, loss_falls, spec};
    use moe::{MoeConfig, parameters};

    const COLOURS: Domain = Domain::Image { channels: 3, height: 8, width: 6 };

    fn small() -> ConvNetConfig {
        ConvNetConfig {
            widths: vec![4, 8],
            strides: vec![2, 2],
            blocks: 2,
            ..ConvNetConfig::default()
        }
    }

    fn net(config: &ConvNetConfig, layers: Placement, device: &Device) -> ConvNet {
        let (library, moe) = library();
        let moe = MoeConfig { layers, ..moe };
        let spec = spec(COLOURS, &moe, &library);
        <ConvNet as Backbone>::check(config, &spec).unwrap();
        <ConvNet as Backbone>::init(config, &spec, &Init::new(0, device)).unwrap()
    }

    fn images(device: &Device) -> Tensor<4> {
        Init::new(1, device).normal("pixels", [3, 3, 8, 6], 1.0).val().detach()
    }

    #[test]
    fn it_learns_in_every_form() {
        let device = Device::flex().autodiff();
        let normed = ConvNetConfig { norm: true, ..small() };
        for (config, layers) in
            [(small(), Placement::ALL), (small(), Placement::NONE), (normed, Placement::Last(1))]
        {
            loss_falls(net(&config, layers, &device), Input::Image(images(&device)), 1);
        }
    }

    #[test]
    fn only_convolutions_without_batch_norm_have_biases() {
        let device = Device::flex();
        for norm in [false, true] {
            let net = net(&ConvNetConfig { norm, ..small() }, Placement::NONE, &device);
            let known = parameters(&net).into_iter().map(|parameter| parameter.path);
            let paths: Vec<String> = known.filter(|path| path.contains("convolutions")).collect();
            let biases = paths.iter().filter(|path| path.ends_with("bias")).count();
            assert_eq!((paths.len() - biases, biases), (2, if norm { 0 } else { 2 }), "{paths:?}");
        }
    }

    #[test]
    fn without_pool_there_is_an_answer_at_each_pixel() {
        let config = ConvNetConfig { pool: ConvPool::None, ..small() };
        let device = Device::flex();
        let net = net(&config, Placement::NONE, &device);
        let y = Backbone::forward(&net, &mut Pass::eval(), Input::Image(images(&device)));
        assert_eq!(y.dims(), [3, 4, 3]);
        assert!(net.features(&mut Pass::eval(), Input::Image(images(&device))).is_none());
        // Its mean over the pixels is the answer of the network with mean pooling: the head is linear.
        let mean = net_of_mean().forward(&mut Pass::eval(), Input::Image(images(&device)));
        let gap = (y.mean_dim(1) - mean).abs().max().into_scalar::<f32>();
        assert!(gap < 1e-6, "{gap}");
    }

    fn net_of_mean() -> ConvNet {
        net(&small(), Placement::NONE, &Device::flex())
    }

    #[test]
    fn flops_by_hand() {
        let config = ConvNetConfig { dense: Choice::of("ffn").with("hidden", 5), ..small() };
        // 4 x 3 windows of 27 numbers to 4 channels, 2 x 2 of 36 to 8; 4 pixels through two networks of
        // 8 x 5 x 2; the head 8 x 3.
        let macs = 12 * 27 * 4 + 4 * 36 * 8 + 4 * 2 * 80 + 24;
        let net = net(&config, Placement::NONE, &Device::flex());
        assert_eq!(Backbone::dense_flops(&net), 2.0 * f64::from(macs));
        assert_eq!(Backbone::tokens(&net), 4);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (library, moe) = library();
        let check = |config: ConvNetConfig, moe: &MoeConfig, domain| {
            let spec = spec(domain, moe, &library);
            <ConvNet as Backbone>::check(&config, &spec).unwrap_err().to_string()
        };
        let text = Domain::Text { vocab: 9, length: 4 };
        assert!(check(small(), &moe, text).contains("expected images"));
        let uneven = ConvNetConfig { strides: vec![2], ..small() };
        assert!(check(uneven, &moe, COLOURS).contains("strides = [2]: expected one width"));
        let none = ConvNetConfig { blocks: 0, ..small() };
        let all = MoeConfig { layers: Placement::ALL, ..moe.clone() };
        assert!(check(none, &all, COLOURS).contains("blocks = 0: MoE layers require blocks"));
        let zero = ConvNetConfig { widths: vec![0, 8], ..small() };
        assert!(check(zero, &moe, COLOURS).contains("at least 1"));
        let momentum = ConvNetConfig { momentum: f64::NAN, ..small() };
        assert!(check(momentum, &moe, COLOURS).contains("momentum = NaN"));
    }
}
