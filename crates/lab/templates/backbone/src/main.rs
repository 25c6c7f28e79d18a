//! Sample: one sentence on what is tested. `cargo run --release -p sample` runs it.

use lab::prelude::*;

config! {
    /// Sizes of the network.
    pub struct SampleConfig {
        /// The width of the stream, D.
        pub width: usize = 32,
        /// Blocks.
        pub depth: usize = 2,
        /// The feed-forward network of blocks without a MoE layer.
        pub dense: Choice = Choice::of("ffn").with("hidden", 64),
    }
}

/// Rows of an image are tokens; each block is a feed-forward network or a MoE layer, and the head sees
/// the mean over the tokens.
#[derive(Module, Debug)]
struct Sample {
    embedding: Linear,
    blocks: Vec<FeedForward>,
    head: Linear,
    tokens: usize,
}

/// Tokens and numbers of a token, where inputs are images of one channel.
fn sizes(domain: Domain) -> Result<[usize; 2], ConfigError> {
    match domain {
        Domain::Image { channels: 1, height, width } => Ok([height, width]),
        other => Err(invalid(format!("expected images of one channel, not {other:?}"))),
    }
}

fn invalid(message: String) -> ConfigError {
    ConfigError::Invalid { what: "backbone", name: Sample::NAME.to_string(), message }
}

impl Backbone for Sample {
    type Config = SampleConfig;
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "feed-forward blocks on the rows of an image";
    const PAPER: &'static str = "";
    const CAUSAL: bool = false;

    fn check(config: &SampleConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let [tokens, _] = sizes(spec.domain)?;
        if config.width == 0 || config.depth == 0 {
            return Err(invalid("width and depth must be at least 1".into()));
        }
        spec.library.check(spec.moe, [tokens, config.width], config.depth)
    }

    fn init(config: &SampleConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let ([tokens, numbers], width) = (sizes(spec.domain)?, config.width);
        let block = |block: usize| {
            let place = (block, config.depth);
            let init = init.at(format!("blocks.{block}"));
            FeedForward::new(spec, &config.dense, place, [tokens, width], &init)
        };
        Ok(Self {
            embedding: init.linear("embedding", numbers, width, true),
            blocks: (0..config.depth).map(block).collect::<Result<_, _>>()?,
            head: init.linear("head", width, spec.outputs, true),
            tokens,
        })
    }

    /// `[B, 1, height, width]` to `[B, 1, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Image(rows) = input else { unreachable!("checked before") };
        let mut x = linear_layer(&self.embedding, rows.squeeze_dim::<3>(1)); // [B, T, D]
        for block in &self.blocks {
            x = block.forward(pass, x.clone(), x);
        }
        linear_layer(&self.head, x.mean_dim(1))
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        let of = |linear: &Linear| 2.0 * linear.weight.lazy_shape().num_elements() as f64;
        let blocks: f64 = self.blocks.iter().map(FeedForward::dense_flops).sum();
        self.tokens as f64 * (of(&self.embedding) + blocks) + of(&self.head)
    }
}

fn main() -> ExitCode {
    lab::main(plugins(), &[lab::suite!("sample", "../suite.toml")])
}

fn plugins() -> Plugins {
    Plugins::default().with_backbone::<Sample>()
}

#[test]
fn it_gives_an_answer_for_each_image() {
    let (plugins, moe) = (plugins(), MoeConfig::default());
    let domain = Domain::Image { channels: 1, height: 4, width: 6 };
    let spec = BackboneSpec { domain, outputs: 3, moe: &moe, library: &plugins.library };
    let init = Init::new(0, &Device::flex());
    let build = plugins.backbones.get("sample").unwrap().build.init;
    let network = build(&Choice::of("sample"), &spec, &init).unwrap();
    let images = init.normal("images", [5, 1, 4, 6], 1.0).val();
    let y = network.forward(&mut Pass::eval(), Input::Image(images));
    assert_eq!(y.dims(), [5, 1, 3]);
    assert_eq!(network.tokens(), 4);
    let text = BackboneSpec { domain: Domain::Text { vocab: 9, length: 4 }, ..spec };
    assert!(build(&Choice::of("sample"), &text, &init).is_err());
}
