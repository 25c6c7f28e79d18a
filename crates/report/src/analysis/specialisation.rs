//! Specialisation of experts on classes, domains or tokens.
//!
//! usage(c, i) = share of the choices of units of class c that fall on expert i
//!               (Muennighoff et al., section 5.3: domain and vocabulary specialisation)
//! I(C; E)     = sum_{c,i} p(c, i) log ( p(c, i) / (p(c) p(i)) )       in bits, over all choices
//!
//! With few units mutual information is positive by chance, so it is compared with its value after
//! permutations of the labels: p = (1 + number of permutations with at least this value) / (1 +
//! permutations), never 0. All units of one example have the class of the example, so for labels of whole
//! examples, examples are permuted. Adjacent units with one label, such as the frames of a shot, are not
//! independent observations either, so for other labels runs of equal labels are permuted as blocks.
//!
//! Muennighoff et al. *OLMoE*. 2024. <https://arxiv.org/abs/2409.02060>
//! Phipson, Smyth. *Permutation P-values Should Never Be Zero*. 2010.
//! <https://doi.org/10.2202/1544-6115.1585>

use std::collections::BTreeMap;

use crate::{stats::Rng, trace::Layer};

/// The mutual information between experts and labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Specialisation {
    /// Mutual information in bits.
    pub bits: f64,
    /// Its expectation by chance: the mean over the permutations.
    pub by_chance: f64,
    /// The share of permutations that reach it.
    pub p_value: f64,
}

/// The number of permutations of the labels.
const PERMUTATIONS: usize = 200;

/// The mutual information of labels and experts, with a permutation test. If `blocks` is none, runs of equal
/// labels are permuted; otherwise whole blocks (examples) exchange their labels.
pub fn specialisation(layer: &Layer, labels: &[i32], blocks: Option<&[i32]>) -> Specialisation {
    let bits = information(layer, labels);
    let mut rng = Rng::new(0);
    let (mut sum, mut reached) = (0.0, 0);
    for _ in 0..PERMUTATIONS {
        let chance = information(layer, &permuted(labels, blocks, &mut rng));
        sum += chance;
        reached += usize::from(chance >= bits);
    }
    let n = PERMUTATIONS as f64;
    Specialisation { bits, by_chance: sum / n, p_value: (1.0 + reached as f64) / (1.0 + n) }
}

/// For each label in order, the share of each expert in its choices.
pub fn usage(layer: &Layer, labels: &[i32]) -> BTreeMap<i32, Vec<f64>> {
    let mut counts = counts(layer, labels);
    for row in counts.values_mut() {
        let total = row.iter().sum::<f64>();
        row.iter_mut().for_each(|n| *n = if total > 0.0 { *n / total } else { 0.0 });
    }
    counts
}

fn counts(layer: &Layer, labels: &[i32]) -> BTreeMap<i32, Vec<f64>> {
    let mut counts = BTreeMap::new();
    for (unit, label) in layer.units().zip(labels) {
        let row = counts.entry(*label).or_insert_with(|| vec![0.0; layer.n_experts]);
        unit.iter().for_each(|(expert, _)| row[*expert] += 1.0);
    }
    counts
}

/// The mutual information, computed from the sorted pairs of label and expert and not from a table of them: a
/// trace may have thousands of both.
fn information(layer: &Layer, labels: &[i32]) -> f64 {
    let mut pairs: Vec<(i32, usize)> = Vec::new();
    for (unit, label) in layer.units().zip(labels) {
        pairs.extend(unit.iter().map(|(expert, _)| (*label, *expert)));
    }
    pairs.sort_unstable();
    let total = pairs.len() as f64;
    let mut of_experts = vec![0.0; layer.n_experts];
    pairs.iter().for_each(|(_, expert)| of_experts[*expert] += 1.0);
    let mut bits = 0.0;
    for of_label in pairs.chunk_by(|a, b| a.0 == b.0) {
        let labelled = of_label.len() as f64;
        for both in of_label.chunk_by(|a, b| a.1 == b.1) {
            let (n, of_expert) = (both.len() as f64, of_experts[both[0].1]);
            bits += n / total * (n * total / (labelled * of_expert)).log2();
        }
    }
    bits
}

fn permuted(labels: &[i32], blocks: Option<&[i32]>, rng: &mut Rng) -> Vec<i32> {
    let Some(blocks) = blocks else {
        let mut stretches: Vec<&[i32]> = labels.chunk_by(|a, b| a == b).collect();
        shuffle(&mut stretches, rng);
        return stretches.concat();
    };
    let of_block: BTreeMap<i32, i32> = blocks.iter().copied().zip(labels.iter().copied()).collect();
    let mut dealt: Vec<i32> = of_block.values().copied().collect();
    shuffle(&mut dealt, rng);
    let now: BTreeMap<i32, i32> = of_block.keys().copied().zip(dealt).collect();
    blocks.iter().map(|block| now[block]).collect()
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.below(at + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty examples of two units each; unit u of class c is routed to `expert(c, u)`.
    fn made(expert: impl Fn(usize, usize) -> usize) -> (Layer, Vec<i32>, Vec<i32>) {
        let class = |unit: usize| unit / 2 % 4;
        let choices: Vec<Vec<(usize, f32)>> =
            (0..80).map(|unit| vec![(expert(class(unit), unit), 1.0)]).collect();
        let labels = (0..80).map(|unit| class(unit) as i32).collect();
        (Layer::new(4, &choices), labels, (0..80).map(|unit| unit / 2).collect())
    }

    #[test]
    fn experts_that_are_classes_tell_all_of_them() {
        let (layer, labels, examples) = made(|class, _| 3 - class);
        let found = specialisation(&layer, &labels, Some(&examples));
        assert!((found.bits - 2.0).abs() < 1e-12, "{found:?}");
        assert!(found.by_chance < 0.5 && found.p_value < 0.01, "{found:?}");
        assert_eq!(usage(&layer, &labels)[&0], [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn experts_that_know_nothing_tell_nothing() {
        let (layer, labels, examples) = made(|_, unit| (unit * 7 + unit / 9) % 4);
        let found = specialisation(&layer, &labels, Some(&examples));
        assert!(found.p_value > 0.05, "{found:?}");
        let found = specialisation(&layer, &labels, None);
        assert!(found.bits < 0.3 && found.p_value > 0.05, "{found:?}");
    }

    #[test]
    fn stretches_of_one_label_are_one_observation() {
        // Eight shots of ten frames; the experts follow the shots and are independent of their labels.
        let experts = [0, 1, 1, 0, 1, 0, 0, 1];
        let labels: Vec<i32> = (0..80).map(|frame| frame / 10 % 2).collect();
        let choices: Vec<Vec<(usize, f32)>> =
            (0..80).map(|frame| vec![(experts[frame / 10], 1.0)]).collect();
        let layer = Layer::new(2, &choices);
        let found = specialisation(&layer, &labels, None);
        assert!(found.p_value > 0.05, "{found:?}");
        // The same number of frames with alternating labels of their own differ from chance.
        let alone: Vec<i32> = (0..80).map(|frame| frame % 2).collect();
        let choices: Vec<Vec<(usize, f32)>> = (0..80).map(|frame| vec![(frame % 2, 1.0)]).collect();
        let found = specialisation(&Layer::new(2, &choices), &alone, None);
        assert!(found.p_value < 0.01 && (found.bits - 1.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn many_experts_and_labels_take_no_table_of_both() {
        let choices: Vec<Vec<(usize, f32)>> =
            (0..4096).map(|unit| vec![(unit * 15, 1.0)]).collect();
        let labels: Vec<i32> = (0..4096).collect();
        // As a table this would take 2 GB, 201 times.
        let found = specialisation(&Layer::new(1 << 16, &choices), &labels, None);
        assert!((found.bits - 12.0).abs() < 1e-9 && found.p_value == 1.0, "{found:?}");
    }

    #[test]
    fn one_class_is_no_information() {
        let (layer, labels, _) = made(|_, unit| unit % 4);
        let one = vec![0; labels.len()];
        let found = specialisation(&layer, &one, None);
        assert_eq!((found.bits, found.p_value), (0.0, 1.0));
    }
}
