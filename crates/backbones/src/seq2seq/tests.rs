use super::*;
use crate::testing::{library, loss_falls, spec};
use moe::{MoeConfig, Placement, SequencePair};

const PAIR: Domain = Domain::Pair { vocab: 11, source: 6, target: 5 };

/// Configs that differ in wiring, positions, sizes of layers and the outputs that they attend to.
fn kinds() -> Vec<TransformerSeq2SeqConfig> {
    let plain = || TransformerSeq2SeqConfig {
        width: 16,
        dropout: 0.0,
        encoder_heads: PerLayer::Each(vec![2, 4]),
        ..TransformerSeq2SeqConfig::default()
    };
    let head = crate::HeadConfig { bias: true, ..crate::HeadConfig::default() };
    vec![
        plain(),
        TransformerSeq2SeqConfig {
            wiring: crate::Wiring::PreNorm,
            positions: PositionKind::Learned,
            encoder_outputs: PerLayer::Each(vec![2, 1]),
            ..plain()
        },
        TransformerSeq2SeqConfig {
            inner: Some(24),
            encoder_experts: Some(PerLayer::Each(vec![1, 3])),
            decoder_hidden: Some(PerLayer::Each(vec![Hidden::All(8), Hidden::All(20)])),
            embedding_norm: true,
            head,
            ..plain()
        },
        // T5.
        TransformerSeq2SeqConfig {
            wiring: crate::Wiring::PreNorm,
            norm: NormKind::Rms,
            positions: PositionKind::Relative,
            relative: RelativeConfig { buckets: 4, max_distance: 4 },
            encoder_heads: PerLayer::All(2),
            scale_attention: false,
            scale_embedding: false,
            scale_output: true,
            bias: false,
            ..plain()
        },
    ]
}

fn of(device: &Device, config: &TransformerSeq2SeqConfig) -> TransformerSeq2Seq {
    let (library, moe) = library();
    let moe = MoeConfig { layers: Placement::ALL, ..moe };
    let spec = BackboneSpec { outputs: 11, ..spec(PAIR, &moe, &library) };
    <TransformerSeq2Seq as Backbone>::check(config, &spec).unwrap();
    <TransformerSeq2Seq as Backbone>::init(config, &spec, &Init::new(0, device)).unwrap()
}

fn ids(rows: &[&[i32]]) -> Tensor<2, Int> {
    let data = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
    Tensor::from_data(data, &Device::flex())
}

fn pair(source: &[&[i32]], source_counts: &[usize], target: &[&[i32]], counts: &[usize]) -> Input {
    Input::Pair(SequencePair {
        source: ids(source),
        source_counts: source_counts.to_vec(),
        target: ids(target),
        target_counts: counts.to_vec(),
    })
}

fn answers(network: &TransformerSeq2Seq, input: Input) -> Tensor<3> {
    Backbone::forward(network, &mut Pass::eval(), input)
}

fn gap(a: Tensor<3>, b: Tensor<3>) -> f32 {
    (a - b).abs().max().into_scalar::<f32>()
}

#[test]
fn an_answer_depends_on_the_whole_source_and_on_no_later_token() {
    for config in kinds() {
        let network = of(&Device::flex(), &config);
        let of = |source: &[i32], target: &[i32]| {
            answers(&network, pair(&[source], &[4], &[target], &[4]))
        };
        let whole = of(&[3, 4, 5, 6], &[1, 7, 8, 9]);
        let other = of(&[3, 4, 5, 6], &[1, 7, 2, 2]);
        let first = |y: &Tensor<3>| y.clone().narrow(1, 0, 2);
        assert_eq!(first(&whole).into_data(), first(&other).into_data());
        assert!(gap(whole.clone(), other) > 1e-3);
        assert!(gap(first(&whole), first(&of(&[3, 4, 5, 7], &[1, 7, 8, 9]))) > 1e-4);
    }
}

/// A network filled with numbers by the path of a parameter, in which a dense network and a stack of one
/// expert have the same name.
fn filled(network: TransformerSeq2Seq) -> TransformerSeq2Seq {
    let numbers = moe::parameters(&network).into_iter().map(|parameter| {
        let name = parameter.path.replace(".Dense.", ".").replace(".Moe.experts.", ".");
        let mut state = moe::stable_hash(&name);
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let values: Vec<f32> = (0..parameter.shape.iter().product()).map(|_| draw()).collect();
        (parameter.path, TensorData::new(values, parameter.shape))
    });
    let numbers = numbers.collect();
    moe::with_parameters(network, numbers).unwrap()
}

#[test]
fn one_expert_everywhere_is_the_dense_network_to_the_bit() {
    let (library, moe) = library();
    let network = |config: &TransformerSeq2SeqConfig, layers: Placement| {
        let expert = config.dense.clone();
        let moe = MoeConfig { layers, experts: 1, expert, ..moe.clone() };
        let spec = BackboneSpec { outputs: 11, ..spec(PAIR, &moe, &library) };
        <TransformerSeq2Seq as Backbone>::check(config, &spec).unwrap();
        let init = Init::new(0, &Device::flex());
        filled(<TransformerSeq2Seq as Backbone>::init(config, &spec, &init).unwrap())
    };
    let input = || {
        let source: [&[i32]; 2] = [&[3, 4, 5, 9, 9], &[6, 7, 8, 9, 10]];
        pair(&source, &[3, 5], &[&[1, 7, 2, 2], &[1, 2, 3, 4]], &[2, 4])
    };
    for wiring in [crate::Wiring::PostNorm, crate::Wiring::PreNorm] {
        let dense = moe::Choice::of("ffn").with("hidden", 40).with("activation", "gelu");
        let config = TransformerSeq2SeqConfig {
            wiring,
            width: 16,
            dropout: 0.0,
            dense,
            ..TransformerSeq2SeqConfig::default()
        };
        let (experts, dense) =
            (network(&config, Placement::ALL), network(&config, Placement::NONE));
        let paths = |network| moe::parameters(network).into_iter().map(|found| found.path);
        assert!(paths(&experts).any(|path| path.contains(".Moe.experts.")));
        assert!(paths(&dense).all(|path| !path.contains(".Moe.")));
        // The real tokens only: experts get no padding.
        let values = |y: Tensor<3>| {
            let rows = [y.clone().narrow(0, 0, 1).narrow(1, 0, 2), y.narrow(0, 1, 1)];
            rows.map(|row| row.into_data().iter::<f32>().collect::<Vec<_>>()).concat()
        };
        let (a, b) = (values(answers(&experts, input())), values(answers(&dense, input())));
        assert!(a.iter().all(|x| x.is_finite()) && a != vec![a[0]; a.len()]);
        assert_eq!(a, b, "{wiring:?}");
    }
}

#[test]
fn padding_changes_nothing() {
    for config in kinds() {
        let network = of(&Device::flex(), &config);
        let alone = answers(&network, pair(&[&[3, 4, 5]], &[3], &[&[1, 7]], &[2]));
        let source: [&[i32]; 2] = [&[3, 4, 5, 9, 9], &[6, 6, 6, 6, 6]];
        let target: [&[i32]; 2] = [&[1, 7, 2, 2], &[1, 2, 3, 4]];
        let padded = answers(&network, pair(&source, &[3, 5], &target, &[2, 4]));
        let real = padded.narrow(0, 0, 1).narrow(1, 0, 2);
        assert!(gap(alone, real) < 1e-5);
    }
}

#[test]
fn with_a_cache_the_answers_are_the_same() {
    for config in kinds() {
        let network = of(&Device::flex(), &config);
        let (source, counts): ([&[i32]; 2], _) = ([&[3, 4, 5], &[6, 7, 0]], vec![3, 2]);
        let target: [&[i32]; 2] = [&[1, 7, 8, 2], &[1, 3, 4, 5]];
        let whole = answers(&network, pair(&source, &counts, &target, &[4, 4]));
        let mut memory = network.read(&mut Pass::eval(), ids(&source), counts);
        let mut parts = Vec::new();
        for (first, n) in [(0, 2), (2, 1), (3, 1)] {
            let part = ids(&target).narrow(1, first, n);
            parts.push(network.answer(&mut Pass::eval(), part, &mut memory));
        }
        assert_eq!(memory.tokens(), 4);
        assert!(gap(Tensor::cat(parts, 1), whole) < 1e-5);
    }
}

#[test]
fn sources_in_a_batch_are_translated_as_alone_and_a_beam_of_one_is_greedy() {
    let device = Device::flex();
    for (config, beam) in kinds().iter().zip([1, 3, 4, 2]) {
        let network = of(&device, config);
        let search = BeamSearch { beam, length_penalty: 0.6, most: 5, begin: 0, end: 1 };
        let sources = [vec![3, 4, 5], vec![6], vec![7, 2, 2, 9]];
        let together = translate(&network, &sources, &search, &device);
        for (source, answer) in sources.iter().zip(&together) {
            let alone = translate(&network, std::slice::from_ref(source), &search, &device);
            assert_eq!(&alone[0], answer);
        }
        let one = BeamSearch { beam: 1, ..search };
        let greedy = greedy(&network, &sources, &one, &device);
        assert_eq!(beam_search(&network, &sources, &one, &device), greedy);
        assert!(greedy.iter().any(|answer| !answer.is_empty()));
    }
}

#[test]
fn it_learns() {
    let device = Device::flex().autodiff();
    for config in kinds() {
        let input = pair(&[&[3, 4, 5], &[6, 7, 0]], &[3, 2], &[&[1, 7, 8], &[1, 3, 0]], &[3, 2]);
        loss_falls(of(&device, &config), input, 3);
    }
}

#[test]
fn only_distances_count_with_relative_positions() {
    let config = &kinds()[3];
    let network = of(&Device::flex(), config);
    let path = |p: &moe::Parameter| p.path.ends_with("relative.table");
    let tables: Vec<_> = moe::parameters(&network).into_iter().filter(path).collect();
    assert_eq!(tables.len(), 2, "one table of each side, whatever the number of layers");
    assert!(tables.iter().all(|table| [vec![4, 2], vec![4, 4]].contains(&table.shape)));
    // The same token three times: the positions differ only by their neighbours.
    let y = answers(&network, pair(&[&[3, 3, 3]], &[3], &[&[1, 1, 1]], &[3]));
    let gap_of = |t: usize| gap(y.clone().narrow(1, 0, 1), y.clone().narrow(1, t, 1));
    assert!(gap_of(1) < 1e-5, "equal tokens are one whatever their distances");
    let y = answers(&network, pair(&[&[3, 4, 5]], &[3], &[&[1, 7, 7]], &[3]));
    let z = answers(&network, pair(&[&[5, 4, 3]], &[3], &[&[1, 7, 7]], &[3]));
    assert!(gap(y, z) > 1e-4, "the order of the source matters");
}

#[test]
fn experts_are_where_the_lists_say() {
    let [plain, _, lists, _] = kinds().try_into().unwrap();
    let count = |config: &TransformerSeq2SeqConfig| {
        let network = of(&Device::flex(), config);
        let mut pass = Pass::eval().with_reports();
        Backbone::forward(&network, &mut pass, pair(&[&[3]], &[1], &[&[1]], &[1]));
        pass.reports().iter().map(|report| report.load.len()).collect::<Vec<_>>()
    };
    assert_eq!(count(&plain), [2, 2, 2, 2]);
    assert_eq!(count(&lists), [3, 2, 2]);
    let network = of(&Device::flex(), &lists);
    let of_decoder = moe::parameters(&network).into_iter();
    let of_decoder = of_decoder.filter(|p| p.path.starts_with("decoder") && p.path.ends_with("w1"));
    let shapes: Vec<_> = of_decoder.map(|parameter| parameter.shape).collect();
    assert_eq!(shapes, [[2, 16, 8], [2, 16, 20]]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (library, moe) = library();
    let check = |config: TransformerSeq2SeqConfig, domain| {
        let spec = BackboneSpec { outputs: 11, ..spec(domain, &moe, &library) };
        <TransformerSeq2Seq as Backbone>::check(&config, &spec).unwrap_err().to_string()
    };
    let plain = TransformerSeq2SeqConfig::default;
    let err = check(plain(), Domain::Text { vocab: 11, length: 4 });
    assert!(err.contains("expected pairs of sequences"), "{err}");
    let cases = [
        (
            TransformerSeq2SeqConfig { cross_heads: PerLayer::Each(vec![4, 3]), ..plain() },
            "cross_heads of layer 1: 3 does not divide the width of queries, 64",
        ),
        (
            TransformerSeq2SeqConfig { encoder_outputs: PerLayer::All(3), ..plain() },
            "encoder_outputs of layer 0: 3: must be from 1 to encoder_layers = 2",
        ),
        (
            TransformerSeq2SeqConfig { decoder_experts: Some(PerLayer::Each(vec![2])), ..plain() },
            "decoder_experts has 1 values for 2 layers",
        ),
        (
            TransformerSeq2SeqConfig { wiring: crate::Wiring::OutputNorm, ..plain() },
            "wiring: expected \"post-norm\" or \"pre-norm\"",
        ),
        (
            TransformerSeq2SeqConfig {
                positions: PositionKind::Relative,
                decoder_heads: PerLayer::Each(vec![4, 2]),
                ..plain()
            },
            "decoder_heads of layer 1: 2 differs from the 4 of layer 0",
        ),
        (
            TransformerSeq2SeqConfig {
                relative: RelativeConfig { buckets: 8, max_distance: 9 },
                ..plain()
            },
            "relative requires positions = \"relative\"",
        ),
        (TransformerSeq2SeqConfig { dropout: 1.0, ..plain() }, "dropout = 1: must be from 0"),
        (TransformerSeq2SeqConfig { encoder_layers: 0, ..plain() }, "must be at least 1"),
    ];
    for (config, expected) in cases {
        let err = check(config, PAIR);
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn flops_by_hand() {
    let network = of(&Device::flex(), &kinds()[0]);
    // All feed-forward networks are experts. Attention of S = 6 to itself: maps 4 * 16 * 16 for each of
    // six tokens, 36 pairs; of T = 5: 25 pairs; to the source: two maps for 5, two for 6, 30 pairs.
    let own = |t: f64| 2.0 * t * 1024.0 + 4.0 * t * t * 16.0;
    let cross = 2.0 * (5.0 + 6.0) * 512.0 + 4.0 * 30.0 * 16.0;
    let head = 5.0 * 2.0 * 16.0 * 11.0;
    assert_eq!(Backbone::dense_flops(&network), 2.0 * (own(6.0) + own(5.0) + cross) + head);
    assert_eq!(Backbone::tokens(&network), 11);
}
