//! Sample: one sentence on what is tested. `cargo run --release -p sample` runs it.

use lab::prelude::*;

config! {
    /// Hyperparameters of the experts.
    pub struct SampleConfig {
        /// The hidden width of one expert, H.
        pub hidden: usize = 64,
    }
}

/// Experts of two matrices with a ReLU between them.
#[derive(Module, Debug)]
struct Sample {
    /// `[E, D, H]`.
    enter: Param<Tensor<3>>,
    /// `[E, H, D]`.
    leave: Param<Tensor<3>>,
}

impl Experts for Sample {
    type Config = SampleConfig;
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "two matrices with a ReLU between them";

    fn check(config: &SampleConfig, _dims: Dims) -> Result<(), String> {
        match config.hidden {
            0 => Err("hidden = 0: must be at least 1".into()),
            _ => Ok(()),
        }
    }

    fn init(config: &SampleConfig, dims: Dims, init: &Init) -> Self {
        let Dims { width, n_experts, .. } = dims;
        Self {
            enter: init.stack("enter", [n_experts, width, config.hidden]),
            leave: init.stack("leave", [n_experts, config.hidden, width]),
        }
    }

    /// `[E, S, D] -> [E, S, D]`: expert e works on the rows of `slots[e]`, each row by itself.
    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        matmul(relu(matmul(slots, self.enter.val())), self.leave.val())
    }

    fn flops_per_row(&self) -> f64 {
        let [_, width, hidden] = self.enter.lazy_shape().dims();
        (4 * width * hidden) as f64
    }
}

fn main() -> ExitCode {
    lab::main(plugins(), &[lab::suite!("sample", "../suite.toml")])
}

fn plugins() -> Plugins {
    Plugins::default().with_experts::<Sample>()
}

#[test]
fn each_expert_works_on_its_own_rows() {
    let dims = Dims { width: 4, n_experts: 3, units: 2 };
    let init = Init::new(0, &Device::flex());
    let experts = Sample::init(&SampleConfig::default(), dims, &init);
    let slots = init.normal("slots", [3, 2, 4], 1.0).val();
    let forward = |slots| Experts::forward(&experts, &mut Pass::eval(), slots).into_data();
    assert_eq!(forward(slots.clone()).shape().as_slice(), [3, 2, 4]);
    // Other rows of the last expert leave those of the first two as they are.
    let other =
        Tensor::cat(vec![slots.clone().narrow(0, 0, 2), slots.clone().narrow(0, 2, 1) * 2.0], 0);
    let first = |data: TensorData| data.iter::<f32>().take(16).collect::<Vec<_>>();
    assert_eq!(first(forward(slots)), first(forward(other)));
}
