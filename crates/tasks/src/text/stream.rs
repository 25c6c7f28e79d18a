//! Next-token prediction on the texts of three splits, shared by all text tasks.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Choice, ConfigError, Domain, Input};
use serde::{Deserialize, Serialize};

use super::{
    CHOICE_METRICS, attack, choices,
    sources::{Sources, SplitTokens},
    tokens::{Tokenizer, learn},
};
use crate::{
    AttackedTask, Batch, ClusteredTask, DataDir, DataError, Property, Question, Score, Split,
    StreamTask, Task, TextFacts, TextTask,
    score::{classification, cross_entropy},
    trivial::best_order,
};

/// The order in which windows of the text are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Each window by itself, in a random order. An incomplete window at the end of a text is left out.
    Windows,
    /// Row b of a batch continues row b of the batch before. In evaluation every token of a text but
    /// the first is predicted once.
    ///
    /// Dai et al. *Transformer-XL*. ACL 2019. <https://arxiv.org/abs/1901.02860>
    Contiguous,
}

/// The settings that the configs of all text tasks share.
pub(crate) struct TextSettings<'a> {
    pub(crate) task: &'static str,
    pub(crate) length: usize,
    pub(crate) attack: f64,
    pub(crate) tokens: &'a Choice,
    pub(crate) stream: Stream,
    pub(crate) choices: Option<&'a str>,
    pub(crate) data: &'a DataDir,
}

/// Bits per byte and perplexity of the test text under attack.
const ATTACKED: [&str; 2] = ["attacked_bits_per_byte", "attacked_perplexity"];

/// Three texts as tokens, cut into windows. Window i shows the tokens from `i * length` on, and its label at
/// each position is the next token; windows do not overlap.
pub(crate) struct Streams {
    length: usize,
    stream: Stream,
    tokenizer: Arc<dyn Tokenizer>,
    /// Train, valid, test.
    texts: [SplitTokens; 3],
    /// The test text under attack.
    attacked: Option<SplitTokens>,
    properties: Vec<Property>,
    questions: Vec<Question>,
    metrics: Vec<&'static str>,
}

impl Streams {
    /// Encodes the texts of train, valid and test; `short` turns the message about a text that is too short
    /// into an error.
    pub(crate) fn new(
        texts: [&[u8]; 3],
        shown: &TextSettings,
        mut sources: Sources,
        short: impl Fn(String) -> DataError,
    ) -> Result<Self, DataError> {
        let TextSettings { task, length, attack: rate, tokens, stream, choices, data } = *shown;
        attack::check(task, rate)?;
        if length == 0 {
            let message = "length = 0: must be at least 1".into();
            Err(ConfigError::Invalid { what: "task", name: task.into(), message })?;
        }
        let tokenizer = learn(task, tokens, texts[0], data)?;
        let splits = [Split::Train, Split::Valid, Split::Test];
        let parts = splits.map(|split| {
            let at = split as usize;
            SplitTokens::new(tokenizer.encode(texts[at]), &sources.ends[at])
        });
        for (part, split) in parts.iter().zip(splits.map(Split::name)) {
            part.check_length(&format!("its {split} part"), length).map_err(&short)?;
        }
        let attacked = (rate > 0.0).then(|| {
            let ends = &mut sources.ends[Split::Test as usize];
            let text = attack::attacked(texts[2], rate, ends.iter_mut().map(|end| &mut end.at));
            SplitTokens::new(tokenizer.encode(&text), ends)
        });
        if let Some(part) = &attacked {
            let name = format!("with attack = {rate}, its test part");
            part.check_length(&name, length).map_err(&short)?;
        }
        let questions = match choices {
            Some(file) => choices::read(data, file, &*tokenizer, length)?,
            None => Vec::new(),
        };
        let metrics = metrics(&*tokenizer, attacked.is_some(), !questions.is_empty());
        let properties = sources.properties;
        Ok(Self {
            length,
            stream,
            tokenizer,
            texts: parts,
            attacked,
            properties,
            questions,
            metrics,
        })
    }

    /// The windows of a text with these indices. If the text ends within a window, its last token is
    /// repeated, and the answers there do not count.
    fn windows(&self, part: &SplitTokens, windows: &[usize], device: &Device) -> Batch {
        let (length, text) = (self.length, &part.tokens);
        let last = text.ids.len() - 1;
        let cut = |shift: usize| {
            let places = windows.iter().flat_map(|window| {
                (0..length).map(move |at| (window * length + at + shift).min(last))
            });
            let ids: Vec<i32> = places.map(|at| text.ids[at]).collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, [windows.len(), length]), device)
        };
        let answers = |window: &usize| (last - window * length).min(length);
        let bytes = |window: &usize| {
            let first = window * length + 1;
            text.bytes[first..first + answers(window)].iter().map(|n| *n as usize).sum::<usize>()
        };
        let shown = windows.iter().flat_map(|window| window * length..(window + 1) * length);
        let text = TextFacts {
            count: windows.iter().map(answers).collect(),
            bytes: windows.iter().map(bytes).collect(),
            source: shown.map_while(|token| part.source(token)).collect(),
        };
        Batch { text: Some(text), ..Batch::new(Input::Tokens(cut(0)), cut(1)) }
    }

    /// The number of windows of a text. With `whole`, the last one may be padded.
    fn count(&self, part: &SplitTokens, whole: bool) -> usize {
        let answers = part.tokens.ids.len().saturating_sub(1);
        if whole { answers.div_ceil(self.length) } else { answers / self.length }
    }

    /// Whether the last window may be padded; in training all windows are full.
    fn whole(&self, split: Split) -> bool {
        self.stream == Stream::Contiguous && split != Split::Train
    }

    /// Adds bits per byte and, if tokens are words, perplexity.
    fn add(&self, nats: f64, text: &TextFacts, names: [&'static str; 2], score: &mut Score) {
        score.add(names[0], nats / std::f64::consts::LN_2, text.bytes.iter().sum());
        if self.tokenizer.words() {
            score.add_exponent(names[1], nats, text.count.iter().sum());
        }
    }
}

/// A batch's output and labels without padding: as a whole if there is none, else row by row.
fn counted<'a>(
    output: &'a Tensor<3>,
    labels: &'a Tensor<2, Int>,
    text: &'a TextFacts,
) -> Vec<(Tensor<3>, Tensor<2, Int>)> {
    let [_, length] = labels.dims();
    if text.count.iter().all(|count| *count == length) {
        return vec![(output.clone(), labels.clone())];
    }
    let row = |(row, count): (usize, &usize)| {
        let output = output.clone().narrow(0, row, 1).narrow(1, 0, *count);
        (output, labels.clone().narrow(0, row, 1).narrow(1, 0, *count))
    };
    text.count.iter().enumerate().map(row).collect()
}

/// The measures of texts.
fn metrics(tokenizer: &dyn Tokenizer, attacked: bool, asked: bool) -> Vec<&'static str> {
    let perplexity = |name: &'static str| tokenizer.words().then_some(name);
    let mut metrics = vec!["bits_per_byte"];
    metrics.extend(perplexity("perplexity"));
    metrics.extend(["accuracy", "loss"]);
    if attacked {
        metrics.push(ATTACKED[0]);
        metrics.extend(perplexity(ATTACKED[1]));
    }
    if asked {
        metrics.extend(CHOICE_METRICS);
    }
    metrics
}

/// The text facts of a batch made by [`Streams`].
fn of(batch: &Batch) -> &TextFacts {
    batch.text.as_ref().expect("batches of text say how much there is")
}

impl Task for Streams {
    fn domain(&self) -> Domain {
        Domain::Text { vocab: self.tokenizer.vocab(), length: self.length }
    }

    fn outputs(&self) -> usize {
        self.tokenizer.vocab()
    }

    fn causal(&self) -> bool {
        true
    }

    fn metrics(&self) -> &[&'static str] {
        &self.metrics
    }

    fn len(&self, split: Split) -> usize {
        self.count(&self.texts[split as usize], self.whole(split))
    }

    fn batch(&self, split: Split, windows: &[usize], device: &Device) -> Batch {
        self.windows(&self.texts[split as usize], windows, device)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let parts = counted(&output, &batch.labels, of(batch));
        let nats: f64 =
            parts.into_iter().map(|(output, labels)| classification(output, &labels, score)).sum();
        self.add(nats, of(batch), ["bits_per_byte", "perplexity"], score);
    }

    /// An n-gram model of up to five tokens, of the order that predicts the validation text best. Its context
    /// is the whole text before a token, while that of a network is its window.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let [train, valid, test] = &self.texts;
        let model = best_order(5, self.tokenizer.vocab(), &train.tokens.ids, &valid.tokens.ids);
        let bits = model.nats(&test.tokens.ids) / std::f64::consts::LN_2;
        let bytes: u32 = test.tokens.bytes.iter().skip(1).sum();
        vec![("bits_per_byte", bits / f64::from(bytes.max(1)))]
    }

    fn as_text(&self) -> Option<&dyn TextTask> {
        Some(self)
    }

    fn as_stream(&self) -> Option<&dyn StreamTask> {
        (self.stream == Stream::Contiguous).then_some(self)
    }

    fn as_attacked(&self) -> Option<&dyn AttackedTask> {
        self.attacked.is_some().then_some(self)
    }

    fn as_clustered(&self) -> Option<&dyn ClusteredTask> {
        (!self.properties.is_empty()).then_some(self)
    }
}

impl TextTask for Streams {
    fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.tokenizer
    }

    fn properties(&self) -> &[Property] {
        &self.properties
    }

    fn questions(&self) -> &[Question] {
        &self.questions
    }
}

impl StreamTask for Streams {
    fn len_without_padding(&self, split: Split) -> usize {
        self.count(&self.texts[split as usize], false)
    }
}

impl AttackedTask for Streams {
    /// Short words make the text under attack longer, long ones make it shorter.
    fn attacked_len(&self, split: Split) -> usize {
        let text = self.attacked.as_ref().filter(|_| split == Split::Test);
        text.map_or(0, |text| self.count(text, self.whole(split)))
    }

    fn attacked(&self, _split: Split, windows: &[usize], device: &Device) -> Batch {
        self.windows(self.attacked.as_ref().expect("there are such windows"), windows, device)
    }

    fn measure_attacked(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let nats =
            |(output, labels)| f64::from(cross_entropy(output, labels).sum().into_scalar::<f32>());
        let nats = counted(&output, &batch.labels, of(batch)).into_iter().map(nats).sum();
        self.add(nats, of(batch), ATTACKED, score);
    }
}

impl ClusteredTask for Streams {
    /// The value of the first property of the text that each token is from.
    fn clusters(&self, batch: &Batch) -> Tensor<2, Int> {
        let value = |source: &usize| self.properties[0].of[*source] as i32;
        let values: Vec<i32> = of(batch).source.iter().map(value).collect();
        let labels = &batch.labels;
        Tensor::from_data(TensorData::new(values, labels.dims()), &labels.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_new(
        texts: [&str; 3],
        (tokens, length, attack, stream): (&str, usize, f64, Stream),
    ) -> Result<Streams, String> {
        let (tokens, data) = (Choice::of(tokens), DataDir::default());
        let (task, choices, tokens, data) = ("text-lm", None, &tokens, &data);
        let shown = TextSettings { task, length, attack, tokens, stream, choices, data };
        let name = || task.to_string();
        let short = |message| ConfigError::Invalid { what: "task", name: name(), message }.into();
        Streams::new(texts.map(str::as_bytes), &shown, Sources::default(), short)
            .map_err(|err| err.to_string())
    }

    fn streams(texts: [&str; 3], length: usize, attack: f64) -> Streams {
        try_new(texts, ("ascii", length, attack, Stream::Windows)).unwrap()
    }

    fn ints(tensor: &Tensor<2, Int>) -> Vec<i32> {
        tensor.to_data().try_to_vec::<i32>().unwrap()
    }

    #[test]
    fn labels_are_the_next_tokens_and_windows_do_not_overlap() {
        let streams = streams(["abcdefg", "abcd", "abcd"], 3, 0.0);
        assert_eq!((streams.len(Split::Train), streams.len(Split::Valid)), (2, 1));
        let batch = streams.batch(Split::Train, &[1], &Device::flex());
        let Input::Tokens(ids) = batch.input else { unreachable!("text is tokens") };
        let a = i32::from(b'a' - b' ');
        assert_eq!(ints(&ids), [a + 3, a + 4, a + 5]);
        assert_eq!(ints(&batch.labels), [a + 4, a + 5, a + 6]);
    }

    #[test]
    fn a_uniform_guess_costs_log2_of_the_vocabulary() {
        let streams = streams(["abcd", "abcd", "abcd"], 3, 0.0);
        let batch = streams.batch(Split::Test, &[0], &Device::flex());
        let mut score = Score::default();
        streams.measure(Tensor::zeros([1, 3, 97], &Device::flex()), &batch, &mut score);
        assert!((score.mean("bits_per_byte") - 97_f64.log2()).abs() < 1e-5);
        assert!(!score.has("perplexity"));
    }

    #[test]
    fn the_test_text_is_attacked_beside_itself() {
        let text = "ab cdefg, hijkl mnopq";
        let streams = self::streams([text, text, text], 3, 1.0);
        assert_eq!(streams.metrics().last(), Some(&ATTACKED[0]));
        let device = Device::flex();
        assert!(streams.as_attacked().is_some());
        // "AAA AAA, AAA AAA" has five windows of three tokens, the text itself six.
        assert_eq!(streams.attacked_len(Split::Valid), 0);
        assert_eq!((streams.len(Split::Test), streams.attacked_len(Split::Test)), (6, 5));
        let batch = streams.attacked(Split::Test, &[0, 1, 2, 3, 4], &device);
        assert_eq!(ints(&batch.labels), streams.tokenizer.encode(b"AA AAA, AAA AAA").ids);
        let mut score = Score::default();
        streams.measure_attacked(Tensor::zeros([5, 3, 97], &device), &batch, &mut score);
        assert!((score.mean(ATTACKED[0]) - 97_f64.log2()).abs() < 1e-5);
        let plain = self::streams([text, text, text], 3, 0.0);
        assert!(!plain.metrics().contains(&ATTACKED[0]));
        assert!(plain.as_attacked().is_none() && plain.as_stream().is_none());
    }

    #[test]
    fn every_token_of_a_contiguous_text_is_predicted_once() {
        let text = "one two three four\nfive six\n"; // 8 tokens, the first of 3 bytes, 28 in all
        let streams = try_new([text; 3], ("word", 3, 1.0, Stream::Contiguous)).unwrap();
        assert!(streams.as_stream().is_some());
        assert_eq!((streams.len(Split::Train), streams.len(Split::Test)), (2, 3));
        let (device, mut score) = (Device::flex(), Score::default());
        let mut answers = Vec::new();
        for window in 0..3 {
            let batch = streams.batch(Split::Test, &[window], &device);
            let count = batch.text.as_ref().unwrap().count[0];
            answers.extend(ints(&batch.labels).into_iter().take(count));
            streams.measure(Tensor::zeros([1, 3, 8], &device), &batch, &mut score);
        }
        assert_eq!(answers, streams.tokenizer.encode(text.as_bytes()).ids[1..]);
        // Seven words, each of which costs three bits, over 25 bytes.
        assert!((score.mean("perplexity") - 8.0).abs() < 1e-4);
        assert!((score.mean("bits_per_byte") - 7.0 * 3.0 / 25.0).abs() < 1e-5);

        // Two rows of which the second is filled up: the same.
        let mut again = Score::default();
        let batch = streams.batch(Split::Test, &[0, 1, 2], &device);
        streams.measure(Tensor::zeros([3, 3, 8], &device), &batch, &mut again);
        assert!((again.mean("loss") - score.mean("loss")).abs() < 1e-6);
        assert_eq!(
            batch.text.unwrap(),
            TextFacts { count: vec![3, 3, 1], bytes: vec![15, 9, 1], source: vec![] }
        );

        // Training, too, would learn from the seven words alone: the last two answers are padding.
        assert_eq!(streams.len_without_padding(Split::Test), 2);
        let batch = streams.batch(Split::Test, &[0, 1, 2], &device);
        let wrong_at_padding = Tensor::<3>::from_data(
            TensorData::new(
                (0..72)
                    .map(|at| if at / 8 > 6 { (at % 8) as f32 } else { 0.0 })
                    .collect::<Vec<_>>(),
                [3, 3, 8],
            ),
            &device,
        );
        let loss = streams.loss(wrong_at_padding, &batch).into_scalar::<f32>();
        assert!((loss - 8_f32.ln()).abs() < 1e-6, "{loss}");

        assert_eq!(streams.attacked_len(Split::Test), 3);
        let batch = streams.attacked(Split::Test, &[2], &device);
        streams.measure_attacked(Tensor::zeros([1, 3, 8], &device), &batch, &mut score);
        assert!((score.mean("attacked_perplexity") - 8.0).abs() < 1e-4);
    }

    #[test]
    fn a_text_too_short_for_one_window_is_named() {
        let of = |length| {
            try_new(["abcd", "abc", "abcd"], ("ascii", length, 0.0, Stream::Windows)).err().unwrap()
        };
        assert!(
            of(3).ends_with("its valid part has 3 tokens, too few for one window of length = 3")
        );
        assert!(of(0).ends_with("length = 0: must be at least 1"));
        // Under attack, the word of four letters is one of three.
        let attack = |rate| try_new(["abcd"; 3], ("ascii", 3, rate, Stream::Windows)).err();
        assert_eq!(attack(0.0), None);
        let err = attack(1.0).unwrap();
        assert!(err.contains("with attack = 1, its test part has 3 tokens"), "{err}");
    }
}
