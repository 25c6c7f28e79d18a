//! The analyses of a run's traces as one number each, so that suites can compare methods by them.

use super::{
    changes, label_name, load, load_entropy, margin, saturation, specialisation, weight_entropy,
};
use crate::trace::{Layer, Trace};

/// The numbers of a run's traces: name and value, averaged over the layers. From the last trace:
/// `load_entropy`, `weight_entropy`, `margin` and `label_bits`, the mutual information of experts and labels
/// beyond chance, in bits. `early_load` is the largest load over the mean in the first trace after the start,
/// and `early_saturation` is the share of the last trace's choices that are already in that trace.
/// `expert_change_rate` is averaged over pairs of consecutive traces after the start. The last three require
/// two such traces.
pub fn numbers(traces: &[Trace]) -> Vec<(&'static str, f64)> {
    let Some(last) = traces.last() else { return Vec::new() };
    let mut found = vec![
        ("load_entropy", over_layers(last, load_entropy)),
        ("weight_entropy", over_layers(last, weight_entropy)),
        ("margin", over_layers(last, margin)),
        ("label_bits", over_layers(last, |layer| label_bits(last, layer))),
    ];
    let trained: Vec<&Trace> = traces.iter().filter(|trace| trace.about.step > 0).collect();
    if let [first, .., last] = trained[..] {
        let rates: Vec<f64> =
            trained.windows(2).map(|pair| over_pairs(pair[0], pair[1], changes)).collect();
        let rate = rates.iter().sum::<f64>() / rates.len() as f64;
        found.push(("expert_change_rate", rate));
        found.push(("early_saturation", over_pairs(first, last, saturation)));
        found.push(("early_load", over_layers(first, |layer| load(layer).max_violation + 1.0)));
    }
    found
}

/// The mutual information of labels and experts minus its value by chance.
fn label_bits(trace: &Trace, layer: &Layer) -> f64 {
    let (_, whole) = label_name(trace);
    let found = specialisation(layer, &trace.label, whole.then_some(&trace.example[..]));
    found.bits - found.by_chance
}

fn over_layers(trace: &Trace, of: impl Fn(&Layer) -> f64) -> f64 {
    trace.layers.iter().map(of).sum::<f64>() / trace.layers.len().max(1) as f64
}

fn over_pairs(one: &Trace, other: &Trace, of: fn(&Layer, &Layer) -> f64) -> f64 {
    let sum: f64 = one.layers.iter().zip(&other.layers).map(|(a, b)| of(a, b)).sum();
    sum / one.layers.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    fn at(step: u64, turned: bool) -> Trace {
        let mut trace = trace();
        trace.about.step = step;
        if turned {
            trace.layers.swap(0, 1);
        }
        trace
    }

    #[test]
    fn by_hand() {
        let found = numbers(&[at(0, true), at(10, false), at(20, true), at(30, true)]);
        let value = |name: &str| found.iter().find(|(known, _)| *known == name).unwrap().1;
        // From step 10 to 20 one layer changes 0 and the other 4 of 7 choices; after that neither changes.
        assert!((value("expert_change_rate") - 4.0 / 7.0 / 2.0 / 2.0).abs() < 1e-12);
        let layers = trace().layers;
        let early = saturation(&layers[0], &layers[1]) + saturation(&layers[1], &layers[0]);
        assert!((value("early_saturation") - early / 2.0).abs() < 1e-12);
        let early = load(&layers[0]).max_violation + load(&layers[1]).max_violation;
        assert!((value("early_load") - 1.0 - early / 2.0).abs() < 1e-12);
        assert!((value("margin") - (margin(&layers[0]) + margin(&layers[1])) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn what_experts_tell_of_labels_is_measured_beyond_chance() {
        let trace = at(0, false);
        let (_, whole) = label_name(&trace);
        let blocks = whole.then_some(&trace.example[..]);
        let of = |layer: &Layer| {
            let found = specialisation(layer, &trace.label, blocks);
            found.bits - found.by_chance
        };
        let expected = (of(&trace.layers[0]) + of(&trace.layers[1])) / 2.0;
        let found = numbers(std::slice::from_ref(&trace));
        let bits = found.iter().find(|(name, _)| *name == "label_bits").unwrap().1;
        assert!((bits - expected).abs() < 1e-12 && bits.is_finite());
    }

    #[test]
    fn the_start_is_no_checkpoint() {
        let names = |traces: &[Trace]| numbers(traces).len();
        assert_eq!((names(&[]), names(&[at(0, true), at(10, false)])), (0, 4));
    }
}
