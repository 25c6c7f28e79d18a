//! Tests of the whole network.

use super::*;
use crate::{
    nac::testing::values,
    testing::{library, loss_falls, spec},
    worked::{named_tests, page_has, table},
};
use burn::module::Param;
use moe::{MoeConfig, with_parameters};

const IMAGE: Domain = Domain::Image { channels: 1, height: 4, width: 4 };

fn small() -> NacConfig {
    NacConfig { inputs: 4, mediators: 16, outputs: 3, width: 8, head: 4, ..NacConfig::default() }
}

/// The same network with first states of zero deviation: no latent has noise.
fn calm(nac: Nac) -> Nac {
    let bias = TensorData::new(vec![-1e4_f32; 8], [8]);
    with_parameters(nac, [("seeder.log_variance.bias".to_string(), bias)].into()).unwrap()
}

fn built(config: &NacConfig, device: &Device) -> Result<Nac, ConfigError> {
    let (library, moe) = library();
    let moe = MoeConfig { layers: Placement::NONE, ..moe };
    let spec = spec(IMAGE, &moe, &library);
    Nac::check(config, &spec)?;
    <Nac as Backbone>::init(config, &spec, &Init::new(0, device))
}

fn pixels(device: &Device) -> Input {
    Input::Image(Init::new(0, device).normal("pixels", [3, 1, 4, 4], 1.0).val().detach())
}

fn answers(nac: &Nac) -> Vec<f32> {
    nac.forward(&mut Pass::eval(), pixels(&Device::flex())).into_data().iter().collect()
}

fn gap(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn worked_numbers_are_those_of_the_page() {
    let tests = named_tests![
        crate::nac::mod_fc::tests::the_published_map,
        crate::nac::mod_fc::tests::the_published_network,
        crate::nac::kernel::tests::the_published_kernel,
        crate::nac::attention::tests::the_published_attention_between_latents,
        crate::nac::attention::tests::the_published_read_in,
        crate::nac::latents::tests::the_published_moments,
    ];
    page_has("neural attentive circuits", &table(&tests));
}

#[test]
fn it_learns() {
    let device = Device::flex().autodiff();
    loss_falls(built(&small(), &device).unwrap(), pixels(&device), 1);
}

#[test]
fn evaluation_has_noise_which_is_the_same_each_time() {
    let noisy = built(&small(), &Device::flex()).unwrap();
    assert_eq!(answers(&noisy), answers(&noisy));
    assert!(gap(&answers(&noisy), &answers(&calm(noisy))) > 1e-4);
}

#[test]
fn mediators_may_change_places_with_their_signatures_and_codes() {
    let nac = calm(built(&small(), &Device::flex()).unwrap());
    let order: Vec<i32> = (0..16).map(|i| (i * 7 + 3) % 16).collect();
    let order = Tensor::<1, Int>::from_data(TensorData::from(order.as_slice()), &Device::flex());
    let of = |param: &Param<Tensor<2>>| param.val().select(0, order.clone());
    let mut other = nac.clone();
    other.mediators = Set {
        codes: Param::from_tensor(of(&nac.mediators.codes)),
        signatures: Param::from_tensor(of(&nac.mediators.signatures)),
    };
    assert!(gap(&answers(&nac), &answers(&other)) < 1e-5);
    other.mediators.codes = nac.mediators.codes.clone();
    assert!(gap(&answers(&nac), &answers(&other)) > 1e-5);
}

#[test]
fn mediators_are_left_out_in_evaluation_and_the_answers_move_little_by_little() {
    let device = Device::flex();
    let with = |drop| {
        let nac = calm(built(&NacConfig { drop, ..small() }, &device).unwrap());
        (nac.left(), nac.strongest(nac.mediators.signatures.val()), answers(&nac))
    };
    let (all, _, whole) = with(0.0);
    assert_eq!(all, 16);
    let mut last = 0.0;
    for (drop, left) in [(0.0625, 15), (0.25, 12), (0.5, 8), (0.99, 1)] {
        let (count, kept, found) = with(drop);
        assert_eq!((count, kept.len()), (left, left));
        let moved = gap(&whole, &found);
        assert!(moved > 0.0 && moved < 1.0, "{drop}: {moved}");
        last = moved;
    }
    assert!(last > gap(&whole, &with(0.0625).2));
    // Hubs are left out last: node 0 of a scale-free graph is connected to all nodes of the beginning.
    let (_, kept, _) = with(0.5);
    assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
    let training = built(&NacConfig { drop: 0.5, ..small() }, &device).unwrap();
    let all = training.seeded(&mut Pass::eval(), 2, &training.mediators);
    let states = training.kept(&Pass::train(0, 0, 0.0), all).states;
    assert_eq!(states.dims(), [2, 16, 8]);
}

#[test]
fn near_latents_repel_each_other() {
    let device = Device::flex().autodiff();
    let nac = built(&small(), &device).unwrap();
    // Signatures with a direction in common, so that about a half of their pairs are near.
    let numbers = [("inputs", 4), ("mediators", 16), ("outputs", 3)].map(|(set, count)| {
        let signatures = values::<2>(count as u64, [count, SIGNATURE]) + 0.35;
        (format!("{set}.signatures"), signatures.into_data())
    });
    let nac = with_parameters(nac, numbers.into()).unwrap();
    let mut pass = Pass::train(0, 0, 0.0);
    nac.repel(&mut pass);
    let found = pass.total_loss().unwrap().into_scalar::<f32>();
    let sets = [&nac.inputs, &nac.mediators, &nac.outputs];
    let all = Tensor::cat(sets.map(|set| set.signatures.val().inner()).to_vec(), 0);
    let d: Vec<f32> = distances(all.clone(), all).into_data().iter().collect();
    let pairs = (0..23).flat_map(|u| (0..u).map(move |v| u * 23 + v));
    let near: Vec<f64> = pairs.map(|at| f64::from(d[at])).filter(|d| *d < 0.4).collect();
    let expected = -0.1 * near.iter().sum::<f64>();
    assert_eq!(near.len(), 138);
    assert!((f64::from(found) / expected - 1.0).abs() < 1e-5, "{found} {expected}");
    let mut pass = Pass::eval();
    nac.repel(&mut pass);
    assert!(pass.total_loss().is_none());
}

#[test]
fn the_density_of_the_graph_is_told_at_the_truncation() {
    let nac = built(&small(), &Device::flex()).unwrap();
    let mut pass = Pass::eval();
    nac.forward(&mut pass, pixels(&Device::flex()));
    let (name, found) = &pass.metrics()[0];
    let signatures = nac.mediators.signatures.val();
    let d: Vec<f32> = distances(signatures.clone(), signatures).into_data().iter().collect();
    let near = (0..256).filter(|at| at / 16 != at % 16 && d[*at] <= 0.9).count();
    assert_eq!(name, "graph_density");
    assert!((found - near as f64 / 240.0).abs() < 1e-6, "{found}");
}

#[test]
fn flops_by_hand() {
    let nac = built(&small(), &Device::flex()).unwrap();
    // 4 tokens of 4 pixels to 4 numbers and 64 of their place; heads of 2 * 4 numbers.
    let tokens = 4.0 * 2.0 * 4.0 * 4.0;
    let attention = |queries: f64, keys: f64, pairs: f64, from: f64| {
        2.0 * (queries * (8.0 * 8.0 * 2.0) + keys * 2.0 * from * 8.0) + pairs * 4.0 * 8.0
    };
    let network = 2.0 * (8.0 * 32.0 + 16.0 * 8.0);
    let read_in = attention(4.0, 16.0, 16.0, 68.0) + 4.0 * network;
    let layer = attention(16.0, 20.0, 320.0, 8.0) + 16.0 * network;
    let read_out = attention(3.0, 20.0, 60.0, 8.0) + 3.0 * network;
    let head = 3.0 * 2.0 * 8.0 + 2.0 * 8.0 * 3.0;
    assert_eq!(Backbone::dense_flops(&nac), tokens + read_in + 2.0 * layer + read_out + head);
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |config: NacConfig| built(&config, &Device::flex()).unwrap_err().to_string();
    let err = check(NacConfig { inputs: 0, ..small() });
    assert!(err.contains("inputs = 0: must be at least 1"), "{err}");
    let err = check(NacConfig { mediators: 2, ..small() });
    assert!(err.contains("mediators = 2: must be at least 3"), "{err}");
    assert!(check(NacConfig { drop: 1.0, ..small() }).contains("drop = 1"));
    assert!(check(NacConfig { drop: f64::NAN, ..small() }).contains("drop = NaN"));
    assert!(
        check(NacConfig { width: 6, ..small() }).contains("width = 6: must be a multiple of 4")
    );
    let err = check(NacConfig { tokens: ImageTokens::ConvNext, ..small() });
    assert!(err.contains("tokens of 8 pixels do not divide 4 x 4"), "{err}");
    let (library, moe) = library();
    let moe = MoeConfig { layers: Placement::ALL, ..moe };
    let err = Nac::check(&small(), &spec(IMAGE, &moe, &library)).unwrap_err().to_string();
    assert!(err.contains("MoE layers are not supported"), "{err}");
    let text = Domain::Text { vocab: 9, length: 4 };
    let moe = MoeConfig { layers: Placement::NONE, ..moe };
    let err = Nac::check(&small(), &spec(text, &moe, &library)).unwrap_err().to_string();
    assert!(err.contains("the task has text"), "{err}");
}
