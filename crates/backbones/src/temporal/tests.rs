//! Tests of each network on frames: shapes, learning, the frames that an answer depends on, refused configs.

use burn::prelude::*;
use moe::{Domain, Init, Input, Library, MoeConfig, Pass, Placement};

use super::{
    frames::{around, shifted, window_max, window_sum},
    *,
};
use crate::{
    Backbone, BackboneSpec,
    testing::{library, loss_falls_with, spec},
};

const FRAMES: Domain = Domain::Image { channels: 1, height: 12, width: 5 };

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

fn column(values: &[f32]) -> Tensor<3> {
    let data = TensorData::new(values.to_vec(), [1, values.len(), 1]);
    Tensor::from_data(data, &Device::flex())
}

#[test]
fn windows_by_hand() {
    let x = || column(&[1.0, 5.0, 2.0, 0.0, 3.0]);
    assert_eq!(values(shifted(x(), 2)), [2.0, 0.0, 3.0, 3.0, 3.0]);
    assert_eq!(values(shifted(x(), -1)), [1.0, 1.0, 5.0, 2.0, 0.0]);
    assert_eq!(values(shifted(x(), 9)), [3.0; 5]);
    assert_eq!(values(window_max(x(), 3)), [5.0, 5.0, 5.0, 3.0, 3.0]);
    assert_eq!(values(window_max(x(), 1)), [1.0, 5.0, 2.0, 0.0, 3.0]);
    assert_eq!(values(window_sum(x(), -1, 2)), [6.0, 8.0, 7.0, 5.0, 3.0]);
    assert_eq!(values(window_sum(x(), -2, 0)), [0.0, 1.0, 6.0, 7.0, 2.0]);
    let two = values(around(column(&[1.0, 2.0, 3.0]), 3));
    assert_eq!(two, [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 0.0]);
    assert_eq!(values(around(column(&[1.0, 2.0]), 2)), [0.0, 1.0, 1.0, 2.0]);
}

/// Checks that a network has the right shape and learns, with and without MoE layers.
fn works<N: Backbone>(config: N::Config, domain: Domain, outputs: usize, rows: usize) {
    works_with::<N>(0.05, config, domain, outputs, rows);
}

/// The same with this learning rate.
fn works_with<N: Backbone>(
    rate: f64,
    config: N::Config,
    domain: Domain,
    outputs: usize,
    rows: usize,
) {
    let (library, moe) = library();
    let Domain::Image { channels, height, width } = domain else { panic!("they are images") };
    for layers in [Placement::NONE, Placement::ALL] {
        let moe = MoeConfig { layers, ..moe.clone() };
        let spec = BackboneSpec { outputs, ..spec(domain, &moe, &library) };
        N::check(&config, &spec).unwrap();
        let init = Init::new(0, &Device::flex().autodiff());
        let network = N::init(&config, &spec, &init).unwrap();
        let x = init.normal("x", [3, channels, height, width], 1.0).val().detach();
        let y = network.forward(&mut Pass::eval(), Input::Image(x.clone()));
        assert_eq!(y.dims(), [3, rows, outputs]);
        assert!(network.dense_flops() > 0.0 && network.tokens() == height);
        loss_falls_with(rate, network, Input::Image(x), rows);
    }
}

#[test]
fn every_network_learns_dense_and_with_experts() {
    let pair = Domain::Image { channels: 2, height: 12, width: 5 };
    works::<MaxPool>(MaxPoolConfig { width: 6, window: 4, ..Default::default() }, FRAMES, 3, 12);
    let vlad = NetVladConfig { clusters: 3, window: 4, width: 6, ..Default::default() };
    works::<NetVlad>(vlad.clone(), FRAMES, 3, 12);
    works::<NetVlad>(NetVladConfig { halves: true, ..vlad }, FRAMES, 3, 12);
    let transformer =
        TemporalTransformerConfig { width: 8, heads: 2, depth: 1, ..Default::default() };
    works::<TemporalTransformer>(transformer.clone(), FRAMES, 3, 12);
    let local = TemporalTransformerConfig { kernel: 3, ..transformer };
    works::<TemporalTransformer>(local, FRAMES, 3, 12);
    let convolution =
        TemporalConvolutionConfig { depth: 1, last_relu: false, ..Default::default() };
    works::<TemporalConvolution>(convolution, FRAMES, 3, 12);
    works::<Siamese>(SiameseConfig { width: 6, ..Default::default() }, pair, 1, 12);
    let pooled = SiameseConfig { width: 6, clusters: Some(2), window: 4, ..Default::default() };
    // The length of pooled frames grows with the number of their entries, and that of their products too.
    works_with::<Siamese>(0.005, pooled, pair, 1, 12);
}

#[test]
fn calf_has_scores_of_frames_and_spots() {
    let config = CalfConfig::default();
    let (library, moe) = library();
    let moe = MoeConfig { layers: Placement::ALL, ..moe };
    let spec = BackboneSpec { outputs: 2 + 3, ..spec(FRAMES, &moe, &library) };
    Calf::check(&config, &spec).unwrap();
    let init = Init::new(0, &Device::flex());
    let network = Calf::init(&config, &spec, &init).unwrap();
    let x = init.normal("x", [2, 1, 12, 5], 1.0).val();
    let y = Backbone::forward(&network, &mut Pass::eval(), Input::Image(x));
    assert_eq!(y.dims(), [2, 12 + 5, 5]);
    let (frames, spots) = (values(y.clone().narrow(1, 0, 12)), values(y.narrow(1, 12, 5)));
    assert!(frames.chunks(5).all(|row| row[..2] == [0.0; 2]));
    assert!(frames.iter().chain(&spots).all(|value| (0.0..=1.0).contains(value)));
    let sums = spots.chunks(5).map(|row| row[2..].iter().sum::<f32>());
    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-5));
    let classes = BackboneSpec { outputs: 2, ..spec };
    assert!(Calf::check(&config, &classes).unwrap_err().to_string().contains("loss = \"calf\""));
}

#[test]
fn scores_of_the_segmentation_of_calf_are_logits_of_lengths() {
    let (library, moe) = library();
    for layers in [Placement::NONE, Placement::ALL] {
        let (config, moe) =
            (CalfSegmentationConfig::default(), MoeConfig { layers, ..moe.clone() });
        let spec = BackboneSpec { outputs: 4, ..spec(FRAMES, &moe, &library) };
        CalfSegmentation::check(&config, &spec).unwrap();
        let init = Init::new(0, &Device::flex());
        let network = CalfSegmentation::init(&config, &spec, &init).unwrap();
        let x = init.normal("x", [2, 1, 12, 5], 1.0).val();
        let y = Backbone::forward(&network, &mut Pass::eval(), Input::Image(x.clone()));
        assert_eq!(y.dims(), [2, 12, 4]);
        // Lengths are kept between about 3e-5 and 1 - 1e-6.
        assert!(values(y.clone()).iter().all(|y| y.abs() < 14.0));
        let [_, p] = network.capsules.forward(&mut Pass::eval(), x.squeeze_dim::<3>(1));
        let back = burn::tensor::activation::sigmoid(y);
        assert!((back - p).abs().max().into_scalar::<f32>() < 1e-5);
        assert!(network.dense_flops() > 0.0 && Backbone::tokens(&network) == 12);
    }
}

#[test]
fn a_pooled_replay_is_the_same_in_any_order_of_its_frames_up_to_the_encoder() {
    let config = SiameseConfig { width: 6, clusters: Some(2), window: 4, ..Default::default() };
    let domain = Domain::Image { channels: 2, height: 12, width: 5 };
    let (library, moe) = library();
    let moe = MoeConfig { layers: Placement::NONE, ..moe };
    let spec = BackboneSpec { outputs: 1, ..spec(domain, &moe, &library) };
    let network = Siamese::init(&config, &spec, &Init::new(0, &Device::flex())).unwrap();
    // One frame of the replay differs. Kernels cover two frames on either side, so it may be any in the
    // middle.
    let answer = |differs: usize| {
        let mut x: Vec<f32> = (0..60).map(|at| (at as f32 * 0.7).sin()).collect();
        x.extend(vec![0.5; 60]);
        x[60 + 5 * differs] = 2.0;
        let x = Tensor::from_data(TensorData::new(x, [1, 2, 12, 5]), &Device::flex());
        values(Backbone::forward(&network, &mut Pass::eval(), Input::Image(x)))
    };
    let away =
        |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(away(answer(4), answer(7)) < 1e-4);
    assert!(away(answer(4), answer(0)) > 1e-5, "at the edge the encoder sees fewer frames");
}

/// The frames that the answer at frame 6 depends on.
fn sees(config: NetVladConfig) -> Vec<usize> {
    let (library, moe) = library();
    let moe = MoeConfig { layers: Placement::NONE, ..moe };
    let spec = spec(FRAMES, &moe, &library);
    let init = Init::new(0, &Device::flex());
    let network = NetVlad::init(&config, &spec, &init).unwrap();
    let answer = |changed: Option<usize>| {
        let mut x: Vec<f32> = (0..60).map(|at| (at as f32 * 0.7).sin()).collect();
        changed.iter().for_each(|frame| x[frame * 5] += 1.0);
        let x = Tensor::from_data(TensorData::new(x, [1, 1, 12, 5]), &Device::flex());
        let y = Backbone::forward(&network, &mut Pass::eval(), Input::Image(x));
        values(y.narrow(1, 6, 1))
    };
    let still = answer(None);
    (0..12).filter(|frame| answer(Some(*frame)) != still).collect()
}

#[test]
fn a_window_is_what_its_name_says_and_halves_tell_order() {
    let config = NetVladConfig { window: 4, ..Default::default() };
    assert_eq!(sees(config.clone()), [4, 5, 6, 7]);
    assert_eq!(sees(NetVladConfig { halves: true, depth: 0, ..config.clone() }), [4, 5, 6, 7]);

    // Frames in another order within the window give the same answer in NetVLAD, but not in NetVLAD++.
    let (library, moe) = library();
    let moe = MoeConfig { layers: Placement::NONE, ..moe };
    let differs = |halves: bool| {
        let config = NetVladConfig { halves, ..config.clone() };
        let network =
            NetVlad::init(&config, &spec(FRAMES, &moe, &library), &Init::new(0, &Device::flex()))
                .unwrap();
        let answer = |order: [usize; 4]| {
            let mut x = vec![0.1_f32; 60];
            for (at, own) in order.into_iter().enumerate() {
                x[(4 + at) * 5 + own] = 1.0;
            }
            let x = Tensor::from_data(TensorData::new(x, [1, 1, 12, 5]), &Device::flex());
            let y = Backbone::forward(&network, &mut Pass::eval(), Input::Image(x));
            values(y.narrow(1, 6, 1))
        };
        let (a, b) = (answer([0, 1, 2, 3]), answer([2, 3, 0, 1]));
        a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(differs(false) < 1e-5 && differs(true) > 1e-3, "{} {}", differs(false), differs(true));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (library, moe): (Library, MoeConfig) = library();
    let all = MoeConfig { layers: Placement::ALL, ..moe };
    let text = Domain::Text { vocab: 9, length: 4 };
    let error = |domain, config: &MaxPoolConfig| {
        MaxPool::check(config, &spec(domain, &all, &library)).unwrap_err().to_string()
    };
    let config = MaxPoolConfig::default();
    assert!(error(text, &config).contains("with rows as frames"));
    assert!(error(FRAMES, &MaxPoolConfig { window: 0, ..config.clone() }).contains("window = 0"));
    let none = error(FRAMES, &MaxPoolConfig { depth: 0, ..config });
    assert!(none.contains("depth = 0 does not support MoE layers"), "{none}");
    let spec = spec(FRAMES, &all, &library);
    let vlad = NetVladConfig { window: 1, ..Default::default() };
    assert!(NetVlad::check(&vlad, &spec).unwrap_err().to_string().contains("window = 1"));
    let siamese = Siamese::check(&SiameseConfig::default(), &spec).unwrap_err().to_string();
    assert!(siamese.contains("images of two channels"), "{siamese}");
}
