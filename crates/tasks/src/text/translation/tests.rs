use std::{fs, sync::Arc};

use super::super::Translation;
use super::*;
use crate::{DataDir, LoadTask};
use moe::Choice;

fn small() -> TranslationConfig {
    TranslationConfig {
        pairs: Some(300),
        tokens: Choice::of("byte"),
        length: 80,
        batch_tokens: 400,
        ..TranslationConfig::default()
    }
}

fn load(config: &TranslationConfig) -> Arc<dyn Task> {
    Translation::load(config, &DataDir::default()).unwrap()
}

fn ints(tensor: &Tensor<2, Int>) -> Vec<i32> {
    tensor.clone().into_data().iter().collect()
}

#[test]
fn targets_are_answered_by_their_next_tokens() {
    let task = load(&small());
    let translates = task.as_translation().unwrap();
    let batch = task.batch(Split::Valid, &[0, 3], &Device::flex());
    let Input::Pair(pair) = &batch.input else { panic!("it shows pairs") };
    let (shown, answers) = (ints(&pair.target), ints(&batch.labels));
    let [b, t] = batch.labels.dims();
    assert_eq!((b, pair.target.dims()), (2, [b, t]));
    let Writing { begin, end, .. } = translates.writing();
    for (row, count) in pair.target_counts.iter().enumerate() {
        let (shown, answers) = (&shown[row * t..][..*count], &answers[row * t..][..*count]);
        assert_eq!((shown[0], answers[count - 1]), (begin, end));
        assert_eq!(shown[1..], answers[..count - 1]);
    }
    assert_eq!(batch.text.unwrap().count, pair.target_counts);
    let longest = pair.source.dims()[1];
    let source = &ints(&pair.source)[longest..][..pair.source_counts[1]];
    assert_eq!(source, translates.source(Split::Valid, 3));
}

#[test]
fn packs_have_as_many_tokens_as_fit_and_every_pair_once() {
    let config = small();
    let task = load(&config);
    let mut pairs = 0;
    for example in 0..task.len(Split::Train) {
        let batch = task.batch(Split::Train, &[example], &Device::flex());
        let Input::Pair(pair) = batch.input else { panic!("it shows pairs") };
        let ([b, s], [_, t]) = (pair.source.dims(), pair.target.dims());
        assert!(b == 1 || b * (s + t) <= config.batch_tokens);
        pairs += b;
    }
    let whole = load(&TranslationConfig { length: 1000, ..config });
    assert!(pairs > 200 && pairs <= 300, "{pairs}");
    let tokens =
        whole.as_translation().unwrap().tokens_of_example() * whole.len(Split::Train) as f64;
    assert!(tokens.round() as usize > 300 * 20, "{tokens}");
}

#[test]
fn padding_counts_in_no_loss_and_no_measure() {
    let task = load(&small());
    let device = Device::flex();
    let (alone, both) =
        (task.batch(Split::Valid, &[3], &device), task.batch(Split::Valid, &[3, 0], &device));
    let vocab = task.outputs();
    let output = |batch: &Batch, filling: f32| {
        let ([b, t], counts) = (batch.labels.dims(), &batch.text.as_ref().unwrap().count);
        let number = |i: usize| {
            let (row, at, v) = (i / vocab / t, i / vocab % t, i % vocab);
            if at < counts[row] { ((at * 7 + v * 3) % 11) as f32 / 5.0 } else { filling * v as f32 }
        };
        let numbers: Vec<f32> = (0..b * t * vocab).map(number).collect();
        Tensor::<3>::from_data(TensorData::new(numbers, [b, t, vocab]), &device)
    };
    let measured = |batch: &Batch, filling: f32| {
        let mut score = Score::default();
        task.measure(output(batch, filling), batch, &mut score);
        let loss = task.loss(output(batch, filling), batch).into_scalar::<f32>();
        let names = ["loss", "perplexity", "smoothed_loss"];
        (names.map(|name| score.mean(name)), loss)
    };
    assert_eq!(measured(&both, 0.0), measured(&both, 9.0));
    let (found, loss) = measured(&both, 0.0);
    assert!((found[2] - f64::from(loss)).abs() < 1e-4, "training minimises the smoothed loss");
    assert!((found[1] - found[0].exp()).abs() < 1e-6 * found[1]);
    // The mean over the tokens of both, not of the means.
    let (first, second) =
        (measured(&alone, 0.0), measured(&task.batch(Split::Valid, &[0], &device), 0.0));
    let counts = both.text.as_ref().unwrap().count.clone();
    let mean = (first.0[0] * counts[0] as f64 + second.0[0] * counts[1] as f64)
        / (counts[0] + counts[1]) as f64;
    assert!((mean - found[0]).abs() < 1e-5, "{mean}, not {}", found[0]);
}

#[test]
fn the_references_themselves_score_100() {
    let task = load(&TranslationConfig { source: "ja".into(), target: "en".into(), ..small() });
    let translates = task.as_translation().unwrap();
    let device = Device::flex();
    let answers = |i: usize| {
        let batch = task.batch(Split::Test, &[i], &device);
        let count = batch.text.unwrap().count[0];
        translates.text(&ints(&batch.labels)[..count])
    };
    let texts: Vec<String> = (0..20).map(answers).collect();
    let mut score = Score::default();
    translates.score(Split::Test, &texts, &mut score);
    assert!((score.mean("bleu") - 100.0).abs() < 1e-9 && (score.mean("chrf") - 100.0).abs() < 1e-9);
    assert_eq!(
        translates.signatures()[0],
        "BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
    );
    assert_eq!(translates.sentences(Split::Valid), 100);
    assert_eq!(task.metrics()[..2], ["bleu", "chrf"]);
    let none = load(&TranslationConfig { valid_sentences: 0, test_sentences: 0, ..small() });
    assert_eq!(none.metrics()[0], "loss");
}

#[test]
fn sentences_that_are_too_long_are_cut_outside_of_training() {
    let task = load(&TranslationConfig { length: 24, ..small() });
    let lengths = |split| {
        let all: Vec<usize> = (0..task.len(split)).collect();
        let Input::Pair(pair) = task.batch(split, &all, &Device::flex()).input else { panic!() };
        (pair.source.dims()[1], pair.target.dims()[1])
    };
    assert_eq!(lengths(Split::Valid), (24, 24));
    let (source, target) = lengths(Split::Train);
    assert!(source <= 24 && target <= 24);
    let translates = task.as_translation().unwrap();
    assert_eq!(translates.read("a dog.").unwrap().len(), 7);
    let err = translates.read("a dog and a cat and a mouse").unwrap_err();
    assert_eq!(err, "it has 28 tokens with the end token; the limit is 24");
    assert!(translates.read(" \n").unwrap_err().contains("it is empty"));
}

/// `train`, `valid` and `test`, each with the endings `.en` and `.de`.
fn parallel_files() -> TranslationConfig {
    let name = |stem: &str| Some(stem.to_string());
    TranslationConfig {
        target: "de".into(),
        train: name("train"),
        valid: name("valid"),
        test: name("test"),
        pairs: None,
        ..small()
    }
}

#[test]
fn parallel_files_of_all_three_splits() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
    for stem in ["train", "valid", "test"] {
        write(&format!("{stem}.en"), "a dog\ntwo cats\n");
        write(&format!("{stem}.de"), "ein Hund\nzwei Katzen\n");
    }
    let config = parallel_files();
    let load = |config: &TranslationConfig| {
        let data = DataDir::new(Some(place.path().into()));
        Translation::load(config, &data).map_err(|err| err.to_string())
    };
    let task = load(&config).unwrap();
    assert_eq!((task.len(Split::Train), task.len(Split::Test)), (1, 2));
    let wrong = |config: TranslationConfig| load(&config).err().unwrap();
    let err = wrong(TranslationConfig { valid: None, ..config.clone() });
    assert!(err.contains("set all of train, valid and test, or none"), "{err}");
    let err = wrong(TranslationConfig { length: 1, ..config.clone() });
    assert!(err.contains("length = 1: must be at least 2"), "{err}");
    let err = wrong(TranslationConfig { length: 8, ..config.clone() });
    let expected = "length = 8: all 2 training pairs are longer; the shortest has 9 tokens";
    assert!(err.contains(expected), "{err}");
    let err = wrong(TranslationConfig { beam: 0, ..config.clone() });
    assert!(err.contains("beam = 0: must be at least 1"), "{err}");
    let err = wrong(TranslationConfig { label_smoothing: 1.0, ..config.clone() });
    assert!(err.contains("label_smoothing = 1: must be from 0 to below 1"), "{err}");
    let err =
        wrong(TranslationConfig { tokens: Choice::of("bpe").with("vocab", 3), ..config.clone() });
    assert!(err.contains("must be at least 256"), "{err}");
    let err = wrong(TranslationConfig { source: "de".into(), ..config });
    assert!(err.contains("source and target are both \"de\""), "{err}");
}

#[test]
fn a_lexicon_and_counts_are_the_baselines() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
    for stem in ["train", "valid"] {
        write(&format!("{stem}.en"), "the house\nthe book\na book\n");
        write(&format!("{stem}.de"), "das Haus\ndas Buch\nein Buch\n");
    }
    write("test.en", "a house the house the book\n");
    write("test.de", "ein Haus das Haus das Buch\n");
    let config = TranslationConfig { tokens: Choice::of("word"), ..parallel_files() };
    let of = |config: &TranslationConfig| {
        let data = DataDir::new(Some(place.path().into()));
        Translation::load(config, &data).unwrap().trivial()
    };
    let found = of(&config);
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["loss", "perplexity", "bleu", "chrf"]);
    let [loss, perplexity, bleu, chrf] = [0, 1, 2, 3].map(|at| found[at].1);
    // Eight words and four marks, all equally likely.
    assert!(loss > 0.5 && loss < 12.0_f64.ln(), "{loss}");
    assert!((perplexity - loss.exp()).abs() < 1e-12);
    // No sentence of the test is one of the training, but all words are.
    assert!((bleu - 100.0).abs() < 1e-9 && (chrf - 100.0).abs() < 1e-9, "{bleu}, {chrf}");
    let without = of(&TranslationConfig { test_sentences: 0, ..config });
    assert_eq!(without, found[..2]);
}
