//! Sample: one sentence on what is tested. `cargo run --release -p sample` runs it.

use lab::prelude::*;

config! {
    /// Hyperparameters of the residual rule.
    pub struct SampleConfig {
        /// The factor on a layer's output at the start.
        pub scale: f64 = 1.0,
    }
}

/// y = x + s F(x), s a learned number for each coordinate.
#[derive(Module, Debug)]
struct Sample {
    /// `[D]`.
    scale: Param<Tensor<1>>,
}

impl ResidualRule for Sample {
    type Config = SampleConfig;
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "the output is scaled by learned numbers and added";

    fn check(config: &SampleConfig) -> Result<(), String> {
        match config.scale.is_finite() {
            true => Ok(()),
            false => Err(format!("scale = {}: expected a finite number", config.scale)),
        }
    }

    fn init(config: &SampleConfig, width: usize, init: &Init) -> Self {
        Self { scale: init.constant("scale", [width], config.scale as f32) }
    }

    /// The stream `x` and the layer's output, both `[B, T, D]`, give the new stream.
    fn join(&self, _pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        x + output * self.scale.val().unsqueeze::<3>()
    }
}

fn main() -> ExitCode {
    lab::main(plugins(), &[lab::suite!("sample", "../suite.toml")])
}

fn plugins() -> Plugins {
    Plugins::default().with_residual::<Sample>()
}

#[test]
fn the_output_is_scaled_and_added() {
    let device = Device::flex();
    let rule = Sample::init(&SampleConfig { scale: 0.5 }, 2, &Init::new(0, &device));
    let at = |values: [f32; 2]| Tensor::<3>::from_floats([[values]], &device);
    let y = rule.join(&mut Pass::eval(), at([1.0, 2.0]), at([4.0, -6.0]));
    assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [3.0, -1.0]);
}
