//! Routing whole images, Mobile V-MoE: the same as routing all tokens of an image alike, and with one expert
//! the same as no routing at all.

use burn::{module::Module, prelude::*};
use moe::{BlockInput, Choice, Dims, Init, Level, Library, MoeConfig, MoeLayer, Pass, Placement};

const TOKENS: usize = 6;
const WIDTH: usize = 8;

fn library() -> Library {
    Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() }
}

fn layer(level: Level, experts: usize, k: usize, init: &Init) -> MoeLayer {
    let config = MoeConfig {
        layers: Placement::ALL,
        experts,
        level,
        router: Choice::of("mobile-v-moe").with("k", k),
        expert: Choice::of("ffn").with("hidden", 16),
        residual: Choice::of("add"),
        ..MoeConfig::default()
    };
    MoeLayer::new(&config, &library(), [TOKENS, WIDTH], init).unwrap()
}

fn values(tensor: Tensor<3>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

#[test]
fn a_image_as_a_whole_is_its_tokens_alike() {
    let device = Device::flex();
    for seed in 0..20 {
        let init = Init::new(seed, &device);
        let images = [1, 2, 5][seed as usize % 3];
        let shape = [images, TOKENS, WIDTH];
        let (x, stream) = (init.normal("x", shape, 1.0).val(), init.normal("z", shape, 2.0).val());
        let run = |level| {
            let mut pass = Pass::eval().with_reports();
            pass.put(BlockInput(stream.clone()));
            let y = layer(level, 4, 1 + seed as usize % 2, &init).forward(&mut pass, x.clone());
            (values(y), pass.reports()[0].by_input)
        };
        let (whole, token) = (run(Level::Sequence), run(Level::Token));
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
        assert!(whole.0.iter().zip(&token.0).all(close), "seed {seed}");
        assert!(whole.0.iter().any(|y| y.abs() > 1e-3));
        // In both cases an image needs k experts.
        assert_eq!([whole.1, token.1], [1.0 + (seed % 2) as f64; 2]);
    }
}

#[test]
fn one_expert_is_no_expert_bit_for_bit() {
    let device = Device::flex();
    let init = Init::new(3, &device);
    let x = init.normal("x", [3, TOKENS, WIDTH], 1.0).val();
    let dense = library().experts.get("ffn").unwrap().build.init;
    let dims = Dims { width: WIDTH, n_experts: 1, units: TOKENS };
    let dense = dense(&Choice::of("ffn").with("hidden", 16), dims, &init.at("experts")).unwrap();
    let rows = x.clone().reshape([1, 3 * TOKENS, WIDTH]);
    let expected = values(dense.forward(&mut Pass::eval(), rows));
    for level in [Level::Sequence, Level::Token] {
        let layer = layer(level, 1, 1, &init);
        assert_eq!(layer.experts.num_params(), dense.num_params());
        let mut pass = Pass::eval();
        pass.put(BlockInput(x.clone()));
        assert_eq!(values(layer.forward(&mut pass, x.clone())), expected, "{level:?}");
    }
}
