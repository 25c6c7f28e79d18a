//! Settings that may differ from layer to layer.

use moe::{Choice, MoeConfig, Placement};
use serde::{Deserialize, Serialize};

/// One value for all layers, or one value for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected one value, or a list with one for each layer")]
pub enum PerLayer<T> {
    /// One for each layer.
    Each(Vec<T>),
    /// The same for all.
    All(T),
}

impl<T> PerLayer<T> {
    /// The value for layer number `layer`.
    ///
    /// # Panics
    /// If there is no value for that layer.
    pub fn at(&self, layer: usize) -> &T {
        match self {
            Self::Each(values) => &values[layer],
            Self::All(value) => value,
        }
    }

    /// Checks that there are `layers` values if they are listed, and checks each value.
    pub fn check(
        &self,
        name: &str,
        layers: usize,
        right: impl Fn(&T) -> Result<(), String>,
    ) -> Result<(), String> {
        match self {
            Self::Each(values) if values.len() != layers => {
                let n = values.len();
                Err(format!("{name} has {n} values for {layers} layers"))
            }
            _ => (0..layers).try_for_each(|layer| {
                right(self.at(layer)).map_err(|err| format!("{name} of layer {layer}: {err}"))
            }),
        }
    }
}

/// The hidden width of the feed-forward networks of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a width, or a list with one for each expert")]
pub enum Hidden {
    /// One for all experts.
    All(usize),
    /// One for each expert, for a kind of experts whose `hidden` is a list; a dense network takes the first.
    Each(Vec<usize>),
}

impl Hidden {
    /// Checks that there is a width, and that none is 0.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::All(0) => Err("0: must be at least 1".into()),
            Self::Each(widths) if widths.is_empty() || widths.contains(&0) => {
                Err(format!("{widths:?}: at least one width is needed, and none may be 0"))
            }
            _ => Ok(()),
        }
    }

    /// The config of experts with this width.
    fn of_experts(&self, expert: &Choice) -> Choice {
        match self {
            Self::All(width) => expert.clone().with("hidden", width),
            Self::Each(widths) => expert.clone().with("hidden", widths),
        }
    }

    /// The config of a dense network with this width.
    fn of_dense(&self, dense: &Choice) -> Choice {
        match self {
            Self::All(width) => dense.clone().with("hidden", width),
            Self::Each(widths) => dense.clone().with("hidden", widths[0]),
        }
    }
}

/// The settings of the feed-forward halves on one side of the network, encoder or decoder.
#[derive(Clone, Copy)]
pub(super) struct SideExperts<'a> {
    /// The number of experts; 1 is a dense network. `moe.experts` by default.
    pub(super) experts: Option<&'a PerLayer<usize>>,
    /// The hidden width of experts and dense networks; their own setting by default.
    pub(super) hidden: Option<&'a PerLayer<Hidden>>,
}

impl SideExperts<'_> {
    /// Checks that the lists of experts and of widths, by these names, fit `layers` layers.
    pub(super) fn check(&self, names: [&str; 2], layers: usize) -> Result<(), String> {
        if let Some(experts) = self.experts {
            let right = |n: &usize| match n {
                0 => Err("0: at least one is needed".to_string()),
                _ => Ok(()),
            };
            experts.check(names[0], layers, right)?;
        }
        match self.hidden {
            Some(hidden) => hidden.check(names[1], layers, Hidden::check),
            None => Ok(()),
        }
    }

    /// Whether layer number `layer` of this side has experts, if `moe` places them there.
    pub(super) fn has_experts(&self, layer: usize) -> bool {
        self.experts.is_none_or(|experts| *experts.at(layer) > 1)
    }

    /// The MoE layer of layer number `layer`, and its dense network: those of `moe` and `dense`, with the
    /// settings of this side. `routed` is whether it has experts.
    pub(super) fn of_layer(
        &self,
        layer: usize,
        routed: bool,
        moe: MoeConfig,
        dense: &Choice,
    ) -> (MoeConfig, Choice) {
        let hidden = self.hidden.map(|hidden| hidden.at(layer));
        let dense = hidden.map_or(dense.clone(), |hidden| hidden.of_dense(dense));
        if !routed {
            return (MoeConfig { layers: Placement::NONE, ..moe }, dense);
        }
        let expert = hidden.map_or(moe.expert.clone(), |hidden| hidden.of_experts(&moe.expert));
        let experts = self.experts.map_or(moe.experts, |experts| *experts.at(layer));
        (MoeConfig { layers: Placement::ALL, experts, expert, ..moe }, dense)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_or_a_list_and_lists_of_widths() {
        let read = |json: &str| serde_json::from_str::<PerLayer<Hidden>>(json).unwrap();
        assert_eq!(read("64"), PerLayer::All(Hidden::All(64)));
        assert_eq!(read("[64, 32]"), PerLayer::Each(vec![Hidden::All(64), Hidden::All(32)]));
        let each = PerLayer::Each(vec![Hidden::Each(vec![64, 32]), Hidden::All(16)]);
        assert_eq!(read("[[64, 32], 16]"), each);
        assert_eq!(serde_json::to_string(&each).unwrap(), "[[64,32],16]");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let experts = PerLayer::Each(vec![1, 0]);
        let side = SideExperts { experts: Some(&experts), hidden: None };
        assert_eq!(
            side.check(["experts", ""], 3).unwrap_err(),
            "experts has 2 values for 3 layers"
        );
        let err = side.check(["experts", ""], 2).unwrap_err();
        assert_eq!(err, "experts of layer 1: 0: at least one is needed");
        let hidden = PerLayer::All(Hidden::Each(vec![]));
        let side = SideExperts { experts: None, hidden: Some(&hidden) };
        let err = side.check(["", "hidden"], 1).unwrap_err();
        assert!(err.starts_with("hidden of layer 0: []: at least one width is needed"), "{err}");
    }

    #[test]
    fn one_expert_is_a_dense_network() {
        let (experts, hidden) = (PerLayer::Each(vec![1, 3]), PerLayer::All(Hidden::All(7)));
        let side = SideExperts { experts: Some(&experts), hidden: Some(&hidden) };
        assert!(!side.has_experts(0) && side.has_experts(1));
        let of = |layer| side.of_layer(layer, layer == 1, MoeConfig::default(), &Choice::of("ffn"));
        let wide = Choice::of("ffn").with("hidden", 7);
        let (moe, dense) = of(0);
        assert_eq!((moe.layers, dense), (Placement::NONE, wide.clone()));
        let (moe, _) = of(1);
        assert_eq!((moe.layers, moe.experts, moe.expert), (Placement::ALL, 3, wide));
    }
}
