//! Load of the experts.
//!
//! MaxVio = (max_i load_i - mean load) / mean load        (Wang et al., section 4.1)
//!
//! Wang et al. *Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts*. 2024.
//! <https://arxiv.org/abs/2408.15664>
//!
//! A dead expert is one that no unit chose. Fedus, Zoph, Shazeer. *Switch Transformers*. JMLR 2022.
//! <https://arxiv.org/abs/2101.03961>

use crate::trace::Layer;

/// The load of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadFacts {
    /// The number of units that chose each expert.
    pub per_expert: Vec<f64>,
    /// The largest load over the mean, minus 1.
    pub max_violation: f64,
    /// Experts that no unit chose.
    pub dead: usize,
    /// The share of units without an expert.
    pub unserved: f64,
}

/// The load of a layer.
pub fn load(layer: &Layer) -> LoadFacts {
    let mut per_expert = vec![0.0; layer.n_experts];
    let (mut units, mut unserved) = (0.0, 0.0);
    for unit in layer.units() {
        units += 1.0;
        unserved += if unit.is_empty() { 1.0 } else { 0.0 };
        unit.iter().for_each(|(expert, _)| per_expert[*expert] += 1.0);
    }
    let mean = per_expert.iter().sum::<f64>() / per_expert.len() as f64;
    let max = per_expert.iter().copied().fold(0.0, f64::max);
    LoadFacts {
        max_violation: if mean > 0.0 { max / mean - 1.0 } else { 0.0 },
        dead: per_expert.iter().filter(|load| **load == 0.0).count(),
        unserved: if units > 0.0 { unserved / units } else { 0.0 },
        per_expert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn by_hand() {
        let facts = load(&trace().layers[0]);
        assert_eq!(facts.per_expert, [3.0, 3.0, 1.0]);
        assert!((facts.max_violation - (3.0 / (7.0 / 3.0) - 1.0)).abs() < 1e-12);
        assert_eq!((facts.dead, facts.unserved), (0, 0.0));
        let facts = load(&trace().layers[1]);
        assert_eq!((facts.dead, facts.unserved, facts.max_violation), (1, 0.25, 1.0));
    }
}
