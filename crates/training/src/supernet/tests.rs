use backbones::{Backbone, BackboneSpec, PassOfStep, seq2seq::SequenceToSequence};
use burn::{module::Module, prelude::*};
use moe::{Domain, Init, Input, Library, MoeConfig, Pass, Placement, SequencePair};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{testing::numbers, *};
use crate::worked::{named_tests, page_has, table};

mod bottleneck;

const PAIRS: Domain = Domain::Pair { vocab: 13, source: 6, target: 5 };
const TEXT: Domain = Domain::Text { vocab: 13, length: 5 };

#[test]
fn worked_numbers_are_those_of_the_page() {
    let switch = named_tests![
        crate::supernet::switch::tests::the_published_numbers_at_full_size,
        crate::supernet::switch::tests::the_published_numbers_of_a_slice,
    ];
    page_has("switch layer of AutoMoE", &table(&switch));
    let mixtures = named_tests![
        crate::supernet::mixture::tests::the_published_numbers_layer_wise,
        crate::supernet::mixture::tests::the_published_numbers_neuron_wise,
    ];
    page_has("mixture of supernets", &table(&mixtures));
}

fn space() -> SupernetSpace {
    SupernetSpace {
        encoder_width: vec![8, 12],
        decoder_width: vec![8, 12],
        decoder_layers: vec![1, 2],
        heads: vec![2, 4],
        experts: vec![1, 2, 3],
        hidden: vec![6, 10],
        ..SupernetSpace::default()
    }
}

fn config() -> SupernetConfig {
    SupernetConfig { space: space(), inner: 8, ..SupernetConfig::default() }
}

fn dense(mixture: Option<MixtureConfig>) -> SupernetConfig {
    let mixture = mixture.unwrap_or_default();
    SupernetConfig { space: SupernetSpace { experts: vec![1], ..space() }, mixture, ..config() }
}

fn built_on(config: &SupernetConfig, domain: Domain, device: &Device) -> Supernet {
    let moe = MoeConfig { layers: Placement::NONE, ..MoeConfig::default() };
    let library = Library::default();
    let spec = BackboneSpec { domain, outputs: 13, moe: &moe, library: &library };
    Supernet::check(config, &spec).unwrap();
    Supernet::init(config, &spec, &Init::new(3, device)).unwrap()
}

fn built(config: &SupernetConfig, domain: Domain) -> Supernet {
    built_on(config, domain, &Device::flex())
}

fn ids(rows: &[&[i32]], filling: usize) -> (Tensor<2, Int>, Vec<usize>) {
    let counts: Vec<usize> = rows.iter().map(|row| row.len()).collect();
    let longest = counts.iter().max().unwrap() + filling;
    let filled = rows.iter().flat_map(|row| {
        let mut row = row.to_vec();
        row.resize(longest, 1);
        row
    });
    let data = TensorData::new(filled.collect::<Vec<i32>>(), [rows.len(), longest]);
    (Tensor::from_data(data, &Device::flex()), counts)
}

fn pairs(filling: usize) -> Input {
    let (source, source_counts) = ids(&[&[3, 4, 5, 6], &[7, 8]], filling);
    let (target, target_counts) = ids(&[&[2, 9, 10], &[2, 11, 12]], 0);
    Input::Pair(SequencePair { source, source_counts, target, target_counts })
}

fn text() -> Input {
    Input::Tokens(ids(&[&[3, 4, 5, 6, 7], &[7, 8, 9, 10, 11]], 0).0)
}

fn logits(network: &Supernet, input: Input) -> Vec<f32> {
    numbers(network.forward(&mut Pass::eval(), input))
}

/// The config of the network of a single architecture.
fn alone(config: &SupernetConfig, architecture: &Architecture) -> SupernetConfig {
    let pair = architecture.encoder_width > 0;
    let genes = Genes {
        encoder_width: pair.then_some(architecture.encoder_width),
        decoder_width: Some(architecture.decoder_width),
        decoder_layers: Some(architecture.decoder_layers),
        encoder_heads: pair.then(|| architecture.encoder_heads.clone()),
        encoder_hidden: pair.then(|| architecture.encoder_hidden.clone()),
        decoder_heads: Some(architecture.decoder_heads.clone()),
        cross_heads: pair.then(|| architecture.cross_heads.clone()),
        encoder_outputs: pair.then(|| architecture.encoder_outputs.clone()),
        decoder_hidden: Some(architecture.decoder_hidden.clone()),
        decoder_bottleneck: (!architecture.decoder_bottleneck.is_empty())
            .then(|| architecture.decoder_bottleneck.clone()),
        ..Genes::default()
    };
    let architecture = ArchitectureChoice::Genes(genes);
    SupernetConfig {
        architecture,
        alone: true,
        mixture: MixtureConfig::default(),
        ..config.clone()
    }
}

#[test]
fn an_architecture_is_cut_from_its_own_space_alone() {
    let supernet = built(&config(), PAIRS);
    let drawn = supernet.space().draw(&mut ChaCha8Rng::seed_from_u64(2), true);
    let choice = |config: &SupernetConfig| {
        let options = serde_json::to_value(config).unwrap().as_object().cloned().unwrap();
        moe::Choice { kind: Supernet::NAME.into(), options }
    };
    let own = alone(&config(), &drawn);
    assert!(supernet.resized(&choice(&own)).unwrap().is_some());
    let space = SupernetSpace { heads: vec![1], ..own.space.clone() };
    for (other, key) in [
        (SupernetConfig { space, ..own.clone() }, "space.heads = [1]: the supernet"),
        (SupernetConfig { inner: 2 * own.inner, ..own.clone() }, "inner = "),
        (
            SupernetConfig {
                switch: SupernetRouting { identity: true, ..SupernetRouting::default() },
                ..own
            },
            "switch.identity = true: the supernet that provides the weights has false",
        ),
    ] {
        let err = supernet.resized(&choice(&other)).err().unwrap().to_string();
        assert!(err.contains(key), "{err}");
    }
}

#[test]
fn a_slice_gives_what_its_weights_alone_give_to_the_bit() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for (domain, input) in [(PAIRS, pairs(0)), (TEXT, text())] {
        let supernet = built(&config(), domain);
        for _ in 0..6 {
            let drawn = supernet.space().draw(&mut rng, domain == PAIRS);
            let shared = logits(&supernet.clone().with(drawn.clone()), input.clone());
            let config = alone(&config(), &drawn);
            let own = supernet.extract(&drawn, &config);
            assert_eq!(logits(&own, input.clone()), shared);
            // It has the parameters of a network that is built with this config, and as many as are counted.
            let fresh = built(&config, domain);
            assert_eq!(fresh.num_params(), own.num_params());
            let table = 13 * drawn.encoder_width.max(drawn.decoder_width);
            assert_eq!(own.cost().params, (own.num_params() - table) as f64);
        }
    }
}

#[test]
fn a_slice_has_the_switches_of_its_supernet() {
    let plain = SupernetRouting::default;
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for switch in [
        SupernetRouting { k: 2, ..plain() },
        SupernetRouting { identity: true, ..plain() },
        SupernetRouting { capacity_factor: Some(1.0), ..plain() },
    ] {
        let config = SupernetConfig { switch, ..config() };
        let supernet = built(&config, PAIRS);
        let without = built(&self::config(), PAIRS);
        let mut differ = 0;
        for _ in 0..6 {
            let drawn = supernet.space().draw(&mut rng, true);
            let shared = logits(&supernet.clone().with(drawn.clone()), pairs(0));
            let alone = alone(&config, &drawn);
            let own = supernet.extract(&drawn, &alone);
            assert_eq!(logits(&own, pairs(0)), shared);
            assert_eq!(built(&alone, PAIRS).num_params(), own.num_params());
            let table = 13 * drawn.encoder_width.max(drawn.decoder_width);
            assert_eq!(own.cost().params, (own.num_params() - table) as f64);
            differ += usize::from(logits(&without.clone().with(drawn), pairs(0)) != shared);
        }
        assert!(differ > 0, "{:?} has a say", config.switch);
    }
}

#[test]
fn one_expert_everywhere_is_the_dense_network_to_the_bit() {
    let (sparse, plain) = (built(&config(), PAIRS), built(&dense(None), PAIRS));
    let architecture = plain.space().largest(true);
    // The same initial weights as in a network without a router and further experts.
    assert!(
        plain
            .encoder
            .iter()
            .chain(&plain.decoder)
            .all(|layer| { layer.experts.router.is_none() && layer.experts.experts.len() == 1 })
    );
    let mut pass = Pass::eval().with_reports();
    let found = numbers(sparse.with(architecture).forward(&mut pass, pairs(0)));
    assert_eq!(found, logits(&plain, pairs(0)));
    assert!(pass.reports().is_empty(), "nothing is routed");
}

#[test]
fn one_set_of_weights_is_the_standard_supernet_to_the_bit() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let standard = built(&dense(None), PAIRS);
    for kind in [MixtureKind::Layer, MixtureKind::Neuron] {
        let mixture = MixtureConfig { kind, sets: 1, hidden: 5, ..MixtureConfig::default() };
        let mixed = built(&dense(Some(mixture)), PAIRS);
        for _ in 0..4 {
            let drawn = standard.space().draw(&mut rng, true);
            let expected = logits(&standard.clone().with(drawn.clone()), pairs(0));
            assert_eq!(logits(&mixed.clone().with(drawn), pairs(0)), expected);
        }
    }
}

#[test]
fn a_mixture_is_deployed_as_plain_weights_with_the_same_logits() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for kind in [MixtureKind::Layer, MixtureKind::Neuron] {
        let mixture = MixtureConfig { kind, hidden: 5, ..MixtureConfig::default() };
        for (domain, input) in [(PAIRS, pairs(0)), (TEXT, text())] {
            let config = dense(Some(mixture.clone()));
            let supernet = built(&config, domain);
            let drawn = supernet.space().draw(&mut rng, domain == PAIRS);
            let mixed = logits(&supernet.clone().with(drawn.clone()), input.clone());
            let plain = supernet.extract(&drawn, &alone(&config, &drawn));
            assert_eq!(logits(&plain, input.clone()), mixed);
            assert!(plain.decoder.iter().all(|layer| layer.mixture.is_none()));
            let standard = built(&dense(None), domain).with(drawn);
            assert_ne!(logits(&standard, input), mixed, "the second set has a say");
        }
    }
}

#[test]
fn the_architecture_of_a_step_follows_from_seed_and_step() {
    let supernet = built(&config(), PAIRS);
    let at = |seed, step| supernet.now(&mut Pass::train(seed, step, 0.0));
    assert_eq!(at(0, 5), at(0, 5));
    assert!((0..5).any(|step| at(0, step) != at(0, 5)));
    assert!((0..5).any(|seed| at(seed, 5) != at(0, 5)));
    assert_eq!(supernet.now(&mut Pass::eval()), supernet.space().largest(true));
    assert_eq!(Backbone::passes(&supernet), 1);

    let sandwich = built(&SupernetConfig { paths: Paths::Sandwich, ..config() }, PAIRS);
    assert_eq!(Backbone::passes(&sandwich), 3);
    let member = |number| {
        let mut pass = Pass::train(0, 5, 0.0);
        pass.put(PassOfStep(number));
        sandwich.now(&mut pass)
    };
    assert_eq!(member(0), at(0, 5));
    assert_eq!(member(1), sandwich.space().largest(true));
    assert_eq!(member(2), sandwich.space().smallest(true));
}

#[test]
fn shared_slices_get_gradients_from_all_members_of_a_sandwich() {
    let mixture = MixtureConfig { kind: MixtureKind::Layer, hidden: 5, ..MixtureConfig::default() };
    let sandwich = SupernetConfig { paths: Paths::Sandwich, ..dense(Some(mixture)) };
    let supernet = built_on(&sandwich, PAIRS, &Device::flex().autodiff());
    let layer = &supernet.encoder[0];
    for number in 0..3 {
        let mut pass = Pass::train(0, 0, 0.0);
        pass.put(PassOfStep(number));
        let y = supernet.forward(&mut pass, pairs(0));
        let grads = y.square().mean().backward();
        let shared = layer.attention.query.weight.val().grad(&grads).unwrap().narrow(0, 0, 8);
        let mixture = layer.mixture.as_ref().unwrap();
        let router = mixture.routers[0].second.weight.val().grad(&grads).unwrap();
        let second = mixture.others[0].first.weight.val().grad(&grads).unwrap();
        for gradient in [shared, router, second] {
            let most = gradient.abs().max().into_scalar::<f32>();
            assert!(most > 1e-8, "pass {number}: {most}");
        }
    }
}

#[test]
fn padding_of_sources_changes_nothing() {
    let supernet = built(&config(), PAIRS);
    let expected = logits(&supernet, pairs(0));
    for filling in [1, 20] {
        for (a, b) in logits(&supernet, pairs(filling)).iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}

#[test]
fn token_by_token_it_answers_as_at_once() {
    let supernet = built(&config(), PAIRS);
    let expected = logits(&supernet, pairs(0));
    let (source, counts) = ids(&[&[3, 4, 5, 6], &[7, 8]], 0);
    let (target, _) = ids(&[&[2, 9, 10], &[2, 11, 12]], 0);
    let mut memory = supernet.read(&mut Pass::eval(), source, counts);
    let steps = (0..3)
        .map(|t| supernet.answer(&mut Pass::eval(), target.clone().narrow(1, t, 1), &mut memory));
    let found = numbers(Tensor::cat(steps.collect::<Vec<_>>(), 1));
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn text_is_read_forwards_or_both_ways() {
    let changed = |causal: bool| {
        let network = built(&SupernetConfig { causal, ..config() }, TEXT);
        let other = Input::Tokens(ids(&[&[3, 4, 5, 6, 12], &[7, 8, 9, 10, 1]], 0).0);
        let (before, after) = (logits(&network, text()), logits(&network, other));
        before[..13] != after[..13]
    };
    assert!(!changed(true) && changed(false));
}

#[test]
fn dropout_goes_with_the_width() {
    let mut config = config();
    (config.dropout, config.expert_dropout_ratio) = (0.3, 2.0);
    let supernet = built(&config, PAIRS);
    assert_eq!(supernet.dropout_of(12, 1, &[8, 12]), 0.3);
    assert!((supernet.dropout_of(8, 1, &[8, 12]) - 0.2).abs() < 1e-12);
    assert!((supernet.dropout_of(8, 3, &[8, 12]) - 0.4).abs() < 1e-12);
    config.expert_dropout_ratio = 9.0;
    assert!(built(&config, PAIRS).dropout_of(12, 2, &[8, 12]) < 1.0, "at most 1");
}

#[test]
fn operations_by_hand() {
    // Text: one layer of width 8, inner 8, one expert of 6, 5 tokens.
    let text = built(&config(), TEXT);
    let cost = text.clone().with(text.space().smallest(false)).cost();
    let attention = 5 * (4 * 8 * 8 + 4 * 8 * 8) + 4 * 5 * 5 * 8;
    assert_eq!(cost.flops(), (attention + 5 * 4 * 8 * 6) as f64);
    assert_eq!(cost.vocabulary_flops, (2 * 5 * 8 * 13) as f64);
    assert_eq!(cost.sparsity(), 0.0);
    let largest = text.clone().with(text.space().largest(false)).cost();
    // Two layers of three experts of 10 each: two thirds of them are idle for a token.
    let idle = 2.0 * 2.0 * (2.0 * 12.0 * 10.0 + 10.0 + 12.0);
    assert_eq!(largest.params - largest.active_params, idle);
    // If a token uses two of the three experts, one third is idle.
    let switch = SupernetRouting { k: 2, ..SupernetRouting::default() };
    let two = built(&SupernetConfig { switch, ..config() }, TEXT).cost();
    assert_eq!(two.params - two.active_params, idle / 2.0);
    assert_eq!(two.flops() - largest.flops(), (2 * 5 * 4 * 12 * 10) as f64);
}

#[test]
fn what_does_not_fit_is_named() {
    let moe = MoeConfig { layers: Placement::NONE, ..MoeConfig::default() };
    let library = Library::default();
    let wrong = |config: SupernetConfig, outputs: usize| {
        let spec = BackboneSpec { domain: PAIRS, outputs, moe: &moe, library: &library };
        Supernet::check(&config, &spec).unwrap_err().to_string()
    };
    assert!(wrong(config(), 3).contains("3 outputs, but the vocabulary has 13 tokens"));
    let err = wrong(SupernetConfig { inner: 6, ..config() }, 13);
    assert!(err.contains("space.heads: 4 does not divide inner = 6"), "{err}");
    let err = wrong(SupernetConfig { alone: true, ..config() }, 13);
    assert!(err.contains("expected a single architecture"), "{err}");
    let neuron = MixtureConfig { kind: MixtureKind::Neuron, ..MixtureConfig::default() };
    let err = wrong(SupernetConfig { mixture: neuron, ..config() }, 13);
    assert!(err.contains("needs space.experts = [1], not [1, 2, 3]"), "{err}");
    let switch = |switch: SupernetRouting| SupernetConfig { switch, ..config() };
    let plain = SupernetRouting::default;
    let err = wrong(switch(SupernetRouting { k: 0, ..plain() }), 13);
    assert!(err.contains("switch.k = 0: must be at least 1"), "{err}");
    let err = wrong(switch(SupernetRouting { k: 2, scaled: false, ..plain() }), 13);
    assert!(err.contains("switch.scaled = false: needs switch.k = 1, not 2"), "{err}");
    let factor = |k, factor| SupernetRouting { k, capacity_factor: Some(factor), ..plain() };
    let err = wrong(switch(factor(2, 1.0)), 13);
    assert!(err.contains("switch.capacity_factor = 1: needs switch.k = 1, not 2"), "{err}");
    let err = wrong(switch(factor(1, f64::NAN)), 13);
    assert!(err.contains("switch.capacity_factor = NaN: must be above 0"), "{err}");
    let genes = Genes { decoder_width: Some(9), ..Genes::default() };
    let architecture = ArchitectureChoice::Genes(genes);
    let err = wrong(SupernetConfig { architecture, ..config() }, 13);
    assert!(err.contains("another space: decoder_width = 9; known: [8, 12]"), "{err}");
    let with_moe = MoeConfig::default();
    let spec = BackboneSpec { domain: PAIRS, outputs: 13, moe: &with_moe, library: &library };
    let err = Supernet::check(&config(), &spec).unwrap_err().to_string();
    assert!(err.contains("must be \"none\""), "{err}");
}
