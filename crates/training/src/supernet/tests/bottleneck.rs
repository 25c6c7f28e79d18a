use backbones::seq2seq::sinusoids;

use super::*;

/// A stream of width 12, and layers of width 4, 8 or 12.
fn shaped(mixture: MixtureConfig) -> SupernetConfig {
    let space = SupernetSpace {
        decoder_width: vec![12],
        experts: vec![1],
        bottleneck: Some(vec![4, 8, 12]),
        ..space()
    };
    SupernetConfig { space, mixture, causal: false, inner: 99, ..config() }
}

fn standard() -> SupernetConfig {
    shaped(MixtureConfig::default())
}

fn mixtures(sets: usize) -> impl Iterator<Item = MixtureConfig> {
    [MixtureKind::Layer, MixtureKind::Neuron].into_iter().flat_map(move |kind| {
        let of = move |bottleneck| MixtureConfig {
            kind,
            sets,
            hidden: 16,
            bottleneck,
            ..MixtureConfig::default()
        };
        [of(false), of(true)]
    })
}

fn drawn(supernet: &Supernet, seed: u64) -> Architecture {
    supernet.space().draw(&mut ChaCha8Rng::seed_from_u64(seed), false)
}

/// The leading `rows` and `columns` of a matrix `[.., all]`, as lists of lists.
fn leading(matrix: &[f32], all: usize, [rows, columns]: [usize; 2]) -> Vec<Vec<f64>> {
    let row = |i: usize| (0..columns).map(|j| f64::from(matrix[i * all + j])).collect();
    (0..rows).map(row).collect()
}

/// x W + b, with the leading numbers of a map.
fn by_hand(x: &[f64], map: &burn::nn::Linear, outputs: usize) -> Vec<f64> {
    let [_, all] = map.weight.val().dims();
    let matrix = leading(&numbers(map.weight.val()), all, [x.len(), outputs]);
    let bias = numbers(map.bias.as_ref().unwrap().val());
    let output = |j: usize| {
        f64::from(bias[j]) + x.iter().zip(&matrix).map(|(x, row)| x * row[j]).sum::<f64>()
    };
    (0..outputs).map(output).collect()
}

/// N(x + y), with the initial scale 1 and shift 0.
fn normed(x: &[f64], y: &[f64]) -> Vec<f64> {
    let sum: Vec<f64> = x.iter().zip(y).map(|(x, y)| x + y).collect();
    let mean = sum.iter().sum::<f64>() / sum.len() as f64;
    let square = sum.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / sum.len() as f64;
    sum.iter().map(|x| (x - mean) / (square + 1e-5).sqrt()).collect()
}

/// The attention of the first of `tokens` tokens to all of them.
fn attended(
    layer: &crate::supernet::network::SupernetLayer,
    tokens: &[Vec<f64>],
    heads: usize,
) -> Vec<f64> {
    let (h, maps) = (tokens[0].len(), &layer.attention);
    let of = |map, x: &Vec<f64>| by_hand(x, map, h);
    let query = of(&maps.query, &tokens[0]);
    let keys: Vec<_> = tokens.iter().map(|x| of(&maps.key, x)).collect();
    let values: Vec<_> = tokens.iter().map(|x| of(&maps.value, x)).collect();
    let size = h / heads;
    let mut joined = Vec::new();
    for head in 0..heads {
        let at = head * size..(head + 1) * size;
        let product = |key: &Vec<f64>| at.clone().map(|i| query[i] * key[i]).sum::<f64>();
        let shares: Vec<f64> =
            keys.iter().map(|key| (product(key) / (size as f64).sqrt()).exp()).collect();
        let all = shares.iter().sum::<f64>();
        let mixed = |i: usize| shares.iter().zip(&values).map(|(s, v)| s / all * v[i]).sum::<f64>();
        joined.extend(at.map(mixed));
    }
    of(&maps.output, &joined)
}

#[test]
fn a_layer_in_a_bottleneck_by_hand() {
    let mut config = standard();
    config.space.decoder_layers = vec![1];
    let supernet = built(&config, TEXT);
    for (width, heads) in [(4, 2), (8, 4), (12, 4)] {
        let mut architecture = supernet.space().largest(false);
        (architecture.decoder_bottleneck, architecture.decoder_heads) = (vec![width], vec![heads]);
        architecture.decoder_hidden = vec![vec![6]];
        let layer = &supernet.decoder[0];
        let tokens = [3, 5, 7, 1, 2];
        let table = numbers(supernet.embedding.weight.val());
        let positions = sinusoids(0, 5, 12);
        let embedded = |(t, id): (usize, &i32)| -> Vec<f64> {
            let number = |i: usize| {
                f64::from(table[*id as usize * 12 + i]) * 12_f64.sqrt()
                    + f64::from(positions[t * 12 + i])
            };
            (0..12).map(number).collect()
        };
        let bottleneck = &layer.bottleneck.as_ref().unwrap().maps;
        let inside: Vec<Vec<f64>> = tokens.iter().enumerate().map(embedded).collect();
        let inside: Vec<_> = inside.iter().map(|x| by_hand(x, &bottleneck.first, width)).collect(); // (1)
        let z = normed(&inside[0], &attended(layer, &inside, heads)); // (2)
        let expert = layer.experts.first();
        let hidden: Vec<f64> = by_hand(&z, &expert.first, 6).iter().map(|x| x.max(0.0)).collect();
        let z = normed(&z, &by_hand(&hidden, &expert.second, width));
        let x = by_hand(&z, &bottleneck.second, 12); // (3)
        let scores = table
            .chunks(12)
            .map(|row| row.iter().zip(&x).map(|(a, b)| f64::from(*a) * b).sum::<f64>());
        let found =
            logits(&supernet.clone().with(architecture), Input::Tokens(ids(&[&tokens], 0).0));
        for (found, expected) in found.iter().zip(scores) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{width}: {found} {expected}");
        }
    }
}

#[test]
fn a_member_of_other_widths_gives_what_its_weights_alone_give_to_the_bit() {
    let supernet = built(&standard(), TEXT);
    for seed in 0..6 {
        let drawn = drawn(&supernet, seed);
        let shared = logits(&supernet.clone().with(drawn.clone()), text());
        let config = alone(&standard(), &drawn);
        let own = supernet.extract(&drawn, &config);
        assert_eq!(logits(&own, text()), shared);
        let fresh = built(&config, TEXT);
        assert_eq!(fresh.num_params(), own.num_params());
        assert_eq!(own.cost().params, (own.num_params() - 13 * 12) as f64);
    }
}

#[test]
fn each_width_changes_the_output() {
    let supernet = built(&standard(), TEXT);
    let of = |widths: [usize; 2]| {
        let mut architecture = supernet.space().largest(false);
        architecture.decoder_bottleneck = widths.to_vec();
        logits(&supernet.clone().with(architecture), text())
    };
    let all: Vec<_> = [[12, 12], [8, 12], [12, 8], [4, 4]].map(of).to_vec();
    for i in 0..all.len() {
        assert!((0..i).all(|j| all[i] != all[j]), "{i}");
    }
}

#[test]
fn operations_and_parameters_of_layers_of_two_widths_by_hand() {
    let supernet = built(&standard(), TEXT);
    let mut architecture = supernet.space().largest(false);
    (architecture.decoder_bottleneck, architecture.decoder_hidden) =
        (vec![4, 8], vec![vec![6], vec![10]]);
    let cost = supernet.extract(&architecture, &alone(&standard(), &architecture)).cost();
    let (mut flops, mut params) = (0, 0);
    for (h, f) in [(4, 6), (8, 10)] {
        // Into the layer and out of it, four maps of attention, scores and their sums, two of the FFN.
        flops += 5 * (2 * 12 * h + 2 * h * 12) + 5 * 4 * 2 * h * h + 2 * 2 * 5 * 5 * h;
        flops += 5 * (2 * h * f + 2 * f * h);
        params += (12 * h + h) + (h * 12 + 12) + 4 * (h * h + h) + 2 * 2 * h;
        params += (h * f + f) + (f * h + h);
    }
    assert_eq!((cost.flops(), cost.params), (flops as f64, params as f64));
    assert_eq!(cost.vocabulary_flops, (2 * 5 * 12 * 13) as f64);
}

#[test]
fn one_set_of_bottlenecks_is_the_standard_supernet_to_the_bit() {
    let plain = built(&standard(), TEXT);
    for (seed, mixture) in mixtures(1).enumerate() {
        let (mixed, drawn) = (built(&shaped(mixture), TEXT), drawn(&plain, seed as u64));
        let expected = logits(&plain.clone().with(drawn.clone()), text());
        assert_eq!(logits(&mixed.with(drawn), text()), expected);
    }
}

#[test]
fn mixed_bottlenecks_are_deployed_as_plain_weights_with_the_same_logits() {
    for (seed, mixture) in mixtures(2).enumerate() {
        let config = shaped(mixture.clone());
        let supernet = built(&config, TEXT);
        let drawn = drawn(&supernet, seed as u64);
        let mixed = logits(&supernet.clone().with(drawn.clone()), text());
        let own = supernet.extract(&drawn, &alone(&config, &drawn));
        assert_eq!(logits(&own, text()), mixed);
        assert_eq!(own.num_params(), built(&alone(&config, &drawn), TEXT).num_params());
        // Bottlenecks have a second set only if it is requested.
        let without = MixtureConfig { bottleneck: false, ..mixture.clone() };
        let other = logits(&built(&shaped(without), TEXT).with(drawn), text());
        assert_eq!(other != mixed, mixture.bottleneck);
    }
}

#[test]
fn all_members_of_a_sandwich_train_bottlenecks_and_their_router() {
    for mixture in mixtures(2).filter(|mixture| mixture.bottleneck) {
        let config = SupernetConfig { paths: Paths::Sandwich, ..shaped(mixture) };
        let supernet = built_on(&config, TEXT, &Device::flex().autodiff());
        let member = |number| {
            let mut pass = Pass::train(0, 5, 0.0);
            pass.put(PassOfStep(number));
            supernet.now(&mut pass).decoder_bottleneck
        };
        assert_eq!([member(1), member(2)], [[12, 12], [4, 4]]);
        for number in 0..3 {
            let mut pass = Pass::train(0, 0, 0.0);
            pass.put(PassOfStep(number));
            let grads = supernet.forward(&mut pass, text()).square().mean().backward();
            let bottleneck = supernet.decoder[0].bottleneck.as_ref().unwrap();
            let mixture = bottleneck.mixture.as_ref().unwrap();
            for (name, param) in [
                ("into the layer", &bottleneck.maps.first.weight),
                ("out of it", &bottleneck.maps.second.weight),
                ("the second set", &mixture.others[0].second.weight),
                ("the router", &mixture.routers[0].second.weight),
            ] {
                let most = param.val().grad(&grads).unwrap().abs().max().into_scalar::<f32>();
                assert!(most > 1e-8, "{name}, pass {number}: {most}");
            }
        }
    }
}

#[test]
fn an_architecture_is_the_width_of_each_layer() {
    let space = SupernetSpace {
        decoder_width: vec![768],
        decoder_layers: vec![3],
        heads: vec![12],
        experts: vec![1],
        hidden: vec![3072],
        bottleneck: Some(vec![120, 240, 360, 480, 540, 600, 768]),
        ..SupernetSpace::default()
    };
    let of = |space: &SupernetSpace, widths: [usize; 3], layers| {
        let mut architecture = space.largest(false);
        (architecture.decoder_bottleneck, architecture.decoder_layers) = (widths.to_vec(), layers);
        features(space, &architecture)
    };
    let number = |h: f64| (0.01 + (h - 120.0) / (768.0 - 120.0)) as f32;
    let expected = [0.01, number(540.0), 1.01];
    assert_eq!(of(&space, [120, 540, 768], 3), expected);
    // Numbers of genes that vary follow; missing layers count as 0.
    let more = SupernetSpace { decoder_layers: vec![2, 3], hidden: vec![1024, 3072], ..space };
    let expected = [0.01, number(540.0), 0.0, 2.0 / 3.0, 1.0];
    assert_eq!(of(&more, [120, 540, 768], 2), expected);
}

#[test]
fn a_config_names_the_widths_of_layers() {
    let space = standard().space;
    let of = |json: &str| space.architecture(&serde_json::from_str(json).unwrap(), false);
    assert_eq!(of("{}").unwrap().decoder_bottleneck, [12, 12]);
    assert_eq!(of("\"smallest\"").unwrap().decoder_bottleneck, [4, 4]);
    let given = of("{\"decoder_bottleneck\": [8, 4]}").unwrap();
    assert_eq!((given.decoder_bottleneck, given.decoder_width), (vec![8, 4], 12));
    let err = of("{\"decoder_bottleneck\": [8, 5]}").unwrap_err();
    assert_eq!(err, "architecture of another space: decoder_bottleneck = 5; known: [4, 8, 12]");
    let err = of("{\"decoder_bottleneck\": [8]}").unwrap_err();
    assert!(err.contains("decoder_bottleneck has 1 values for 2 layers"), "{err}");
    let none = super::space();
    let genes = serde_json::from_str("{\"decoder_bottleneck\": [8, 4]}").unwrap();
    let err = none.architecture(&genes, false).unwrap_err();
    assert!(err.contains("decoder_bottleneck = [8, 4], but space.bottleneck is missing"), "{err}");
    assert!(none.largest(false).decoder_bottleneck.is_empty());
}

#[test]
fn spaces_of_bottlenecks_that_do_not_fit_are_named() {
    let moe = MoeConfig { layers: Placement::NONE, ..MoeConfig::default() };
    let library = Library::default();
    let check = |config: &SupernetConfig, domain| {
        let spec = BackboneSpec { domain, outputs: 13, moe: &moe, library: &library };
        Supernet::check(config, &spec).map_err(|err| err.to_string())
    };
    let wrong = |change: fn(&mut SupernetConfig)| {
        let mut config = standard();
        change(&mut config);
        check(&config, TEXT).unwrap_err()
    };
    check(&standard(), TEXT).unwrap();
    let err = wrong(|config| config.space.bottleneck = Some(vec![]));
    assert!(err.contains("space.bottleneck = []: at least one value is needed"), "{err}");
    let err = wrong(|config| config.space.bottleneck = Some(vec![4, 0]));
    assert!(err.contains("space.bottleneck = [4, 0]"), "{err}");
    let err = wrong(|config| config.space.bottleneck = Some(vec![4, 16]));
    assert!(err.contains("space.bottleneck: 16 is more than decoder_width = 12"), "{err}");
    let err = wrong(|config| config.space.bottleneck = Some(vec![4, 6]));
    assert!(err.contains("space.heads: 4 does not divide 6 of space.bottleneck"), "{err}");
    let err = wrong(|config| config.space.decoder_width = vec![8, 12]);
    assert!(err.contains("space.decoder_width = [8, 12]: with space.bottleneck one"), "{err}");
    let err = check(&standard(), PAIRS).unwrap_err();
    assert!(err.contains("space.bottleneck: requires text, not pairs of sequences"), "{err}");
    let mixture = mixtures(2).find(|mixture| mixture.bottleneck).unwrap();
    let err = check(&dense(Some(mixture)), TEXT).unwrap_err();
    assert!(err.contains("mixture.bottleneck: needs space.bottleneck"), "{err}");
}
