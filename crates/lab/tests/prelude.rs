//! An experiment depends on `lab` alone: its prelude contains the names that the traits of plug-ins use. This
//! file has no other import from the workspace.

use std::sync::Arc;

use lab::prelude::*;

/// A task with every extension of `docs/add-a-task.md`.
struct Everything;

impl Task for Everything {
    fn domain(&self) -> Domain {
        Domain::Text { vocab: 2, length: 1 }
    }

    fn outputs(&self) -> usize {
        2
    }

    fn causal(&self) -> bool {
        true
    }

    fn metrics(&self) -> &[&'static str] {
        &["loss"]
    }

    fn len(&self, _split: Split) -> usize {
        3
    }

    fn batch(&self, _split: Split, examples: &[usize], device: &Device) -> Batch {
        let n = examples.len();
        let ids = Tensor::<2, Int>::zeros([n, 1], device);
        let text = TextFacts { count: vec![1; n], bytes: vec![1; n], source: Vec::new() };
        Batch { text: Some(text), ..Batch::new(Input::Tokens(ids.clone()), ids) }
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        assert_eq!(place.seed, 0);
        self.batch(Split::Train, examples, device)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let loss = self.loss(output, batch).into_scalar::<f32>();
        score.add("loss", f64::from(loss), 1);
    }

    fn as_text(&self) -> Option<&dyn TextTask> {
        Some(self)
    }

    fn as_stream(&self) -> Option<&dyn StreamTask> {
        Some(self)
    }

    fn as_attacked(&self) -> Option<&dyn AttackedTask> {
        Some(self)
    }

    fn as_clustered(&self) -> Option<&dyn ClusteredTask> {
        Some(self)
    }

    fn as_conditioned(&self) -> Option<&dyn ConditionedTask> {
        Some(self)
    }

    fn as_translation(&self) -> Option<&dyn TranslationTask> {
        Some(self)
    }

    fn as_folded(&self) -> Option<&dyn FoldedTask> {
        Some(self)
    }

    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        Some(self)
    }

    fn as_sequential(&self) -> Option<&dyn SequentialTask> {
        Some(self)
    }
}

/// Bits as tokens.
struct Bits;

impl Tokenizer for Bits {
    fn vocab(&self) -> usize {
        2
    }

    fn encode(&self, text: &[u8]) -> Tokens {
        let ids = text.iter().map(|byte| i32::from(byte % 2)).collect();
        Tokens { ids, bytes: vec![1; text.len()] }
    }

    fn show(&self, id: usize) -> String {
        id.to_string()
    }
}

impl TextTask for Everything {
    fn tokenizer(&self) -> &dyn Tokenizer {
        &Bits
    }

    fn properties(&self) -> &[Property] {
        &[]
    }

    fn questions(&self) -> &[Question] {
        &[]
    }
}

impl StreamTask for Everything {
    fn len_without_padding(&self, split: Split) -> usize {
        self.len(split)
    }
}

impl AttackedTask for Everything {
    fn attacked_len(&self, split: Split) -> usize {
        self.len(split)
    }

    fn attacked(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.batch(split, examples, device)
    }

    fn measure_attacked(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        self.measure(output, batch, score);
    }
}

impl ClusteredTask for Everything {
    fn clusters(&self, batch: &Batch) -> Tensor<2, Int> {
        batch.labels.clone()
    }
}

impl ConditionedTask for Everything {
    fn condition_width(&self) -> usize {
        1
    }

    fn condition(&self, batch: &Batch) -> Tensor<2> {
        Tensor::zeros([1, 1], &batch.labels.device())
    }
}

impl FoldedTask for Everything {
    fn of_seed(&self, _seed: u64) -> Arc<dyn Task> {
        Arc::new(Self)
    }
}

impl WholeSplitTask for Everything {
    fn measure_whole(&self, _split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        score.add("whole", outputs.len() as f64, 1);
    }
}

impl SequentialTask for Everything {
    fn measure_sequence(
        &self,
        split: Split,
        network: &mut dyn FnMut(Input) -> Tensor<3>,
        device: &Device,
        score: &mut Score,
    ) {
        let batch = self.batch(split, &[0], device);
        self.measure(network(batch.input.clone()), &batch, score);
    }
}

impl TranslationTask for Everything {
    fn sentences(&self, split: Split) -> usize {
        self.len(split)
    }

    fn source(&self, _split: Split, _sentence: usize) -> Vec<i32> {
        vec![0]
    }

    fn read(&self, sentence: &str) -> Result<Vec<i32>, String> {
        Ok(Bits.encode(sentence.as_bytes()).ids)
    }

    fn writing(&self) -> Writing {
        Writing { beam: 1, length_penalty: 0.0, most: 1, begin: 0, end: 1 }
    }

    fn text(&self, answer: &[i32]) -> String {
        answer.iter().map(i32::to_string).collect()
    }

    fn score(&self, _split: Split, translations: &[String], score: &mut Score) {
        score.add("translations", translations.len() as f64, 1);
    }

    fn signatures(&self) -> Vec<String> {
        Vec::new()
    }

    fn tokens_of_example(&self) -> f64 {
        1.0
    }
}

#[test]
fn every_extension_of_a_task_can_be_written_with_the_prelude() {
    let (task, device): (&dyn Task, _) = (&Everything, Device::flex());
    let mut score = Score::default();
    let mut network = |_: Input| Tensor::<3>::zeros([1, 1, 2], &device);
    let sequential = task.as_sequential().unwrap();
    sequential.measure_sequence(Split::Test, &mut network, &device, &mut score);
    assert!((score.mean("loss") - 2_f64.ln()).abs() < 1e-6);
    assert_eq!(task.as_text().unwrap().tokenizer().decode(&[1, 0]), "10");
    assert_eq!(task.as_translation().unwrap().read("ab"), Ok(vec![1, 0]));
    task.as_whole_split().unwrap().measure_whole(Split::Test, &[vec![0.0]], &mut score);
    assert_eq!(score.mean("whole"), 1.0);
    let folded = task.as_folded().unwrap().of_seed(1);
    let place = BatchPosition { seed: 0, position: 0 };
    assert_eq!(folded.training_batch(&[0, 1], place, &device).labels.dims(), [2, 1]);
}

/// The type that a backbone for translation returns, and the experts of a fused kernel.
#[test]
fn types_of_other_plug_ins_can_be_named() {
    fn longest<B: Backbone>(backbone: &B) -> Option<[usize; 2]> {
        let network: Option<&dyn SequenceToSequence> = backbone.sequence_to_sequence();
        network.map(|network| network.longest())
    }
    let _: fn(&backbones::Vit) -> Option<[usize; 2]> = longest;
    let stack: Option<kernels::Ffn> = Same.stack();
    assert!(stack.is_none());
}

/// Experts that return what they get.
#[derive(Module, Debug)]
struct Same;

impl Experts for Same {
    type Config = NoConfig;
    const NAME: &'static str = "same";
    const ABOUT: &'static str = "returns its input";

    fn init(_: &NoConfig, _: Dims, _: &Init) -> Self {
        Self
    }

    fn forward(&self, _: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        slots
    }

    fn flops_per_row(&self) -> f64 {
        0.0
    }
}
