//! The classifiers whose time is measured: for crops of 40 x 40 pixels, as RGB and as four packed planes.
//! Their weights are the initial weights of a training; the time of a pass does not depend on the weights.

use anyhow::anyhow;
use backbones::{AnyBackbone, BackboneSpec};
use lab::prelude::*;
use moe::{Library, Placement};

/// Rows and columns of a crop.
pub(crate) const SIDE: usize = 40;

/// The input format of a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Three planes of the converted image.
    Rgb,
    /// Four planes of the mosaic, of half the size.
    Raw,
}

impl Format {
    pub(crate) const BOTH: [Self; 2] = [Self::Rgb, Self::Raw];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Raw => "raw",
        }
    }

    /// Planes, rows and columns.
    pub(crate) fn shape(self) -> [usize; 3] {
        match self {
            Self::Rgb => [3, SIDE, SIDE],
            Self::Raw => [4, SIDE / 2, SIDE / 2],
        }
    }
}

/// The classifiers, from the cheapest to the most expensive.
pub(crate) const NAMES: [&str; 6] = ["small", "medium", "MoE", "large", "ViT", "ResNet"];

/// A classifier for both formats.
pub(crate) struct Network {
    pub(crate) name: &'static str,
    of: [AnyBackbone; 2],
}

impl Network {
    /// One of [`NAMES`]. "MoE" is "medium" with two of eight experts of half its hidden width, and so with
    /// the same multiplications.
    pub(crate) fn new(name: &'static str) -> anyhow::Result<Self> {
        let one = |format| build(name, format).map_err(|err| anyhow!("{name}: {err}"));
        Ok(Self { name, of: [one(Format::Rgb)?, one(Format::Raw)?] })
    }

    /// Classifies crops, `[B, planes, rows, columns]`, and waits for the result.
    pub(crate) fn classify(&self, format: Format, crops: Vec<f32>) -> Vec<f32> {
        let [c, h, w] = format.shape();
        let crops = TensorData::new(crops.clone(), [crops.len() / (c * h * w), c, h, w]);
        let input = Input::Image(Tensor::from_data(crops, &Device::flex()));
        let output = self.of[format as usize].forward(&mut Pass::eval(), input);
        output.into_data().iter::<f32>().collect()
    }

    /// The number of floating-point operations for a crop, without those of MoE layers.
    pub(crate) fn flops(&self, format: Format) -> f64 {
        self.of[format as usize].dense_flops()
    }
}

fn build(name: &str, format: Format) -> Result<AnyBackbone, ConfigError> {
    let library =
        Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() };
    let layers = if name == "MoE" { Placement::ALL } else { Placement::NONE };
    let moe = MoeConfig {
        layers,
        experts: 8,
        router: Choice::of("top-k").with("k", 2),
        expert: Choice::of("ffn").with("hidden", 96),
        ..MoeConfig::default()
    };
    let [channels, height, width] = format.shape();
    let domain = Domain::Image { channels, height, width };
    let spec = BackboneSpec { domain, outputs: 5, moe: &moe, library: &library };
    let choice = choice(name, format);
    let build = backbones::all().get(&choice.kind)?.build;
    (build.check)(&choice, &spec)?;
    (build.init)(&choice, &spec, &Init::new(0, &Device::flex()))
}

fn choice(name: &str, format: Format) -> Choice {
    let conv = |width: usize, hidden: usize| {
        let strides = if format == Format::Rgb { [2, 2, 2] } else { [1, 2, 2] };
        Choice::of("conv-net")
            .with("widths", [width, 2 * width, 4 * width])
            .with("strides", strides)
            .with("blocks", 1)
            .with("dense", Choice::of("ffn").with("hidden", hidden))
    };
    match name {
        "small" => conv(12, 100),
        // As many operations as two experts of 96 and the router's eight scores.
        "medium" | "MoE" => conv(24, 196),
        "large" => conv(48, 388),
        "ViT" => Choice::of("vit")
            .with("patch", if format == Format::Rgb { 4 } else { 2 })
            .with("width", 48)
            .with("depth", 2)
            .with("dense", Choice::of("ffn").with("hidden", 100)),
        _ => Choice::of("raw-resnet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_takes_both_formats() {
        for name in NAMES.into_iter().filter(|name| *name != "ResNet") {
            let network = Network::new(name).unwrap();
            for format in Format::BOTH {
                let numbers = 2 * format.shape().iter().product::<usize>();
                assert_eq!(network.classify(format, vec![0.5; numbers]).len(), 2 * 5, "{name}");
                assert!(network.flops(format) > 1e5);
            }
        }
    }
}
