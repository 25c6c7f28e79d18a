//! The position of a walk over a network's parameters: the MoE layer, and the part of it.

/// A part of a MoE layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerPart {
    Router,
    Experts,
    Other,
}

/// The position of a walk. MoE layers are numbered in the order in which the walk enters them.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    path: Vec<String>,
    layers: Vec<String>,
    /// The part of the layer, and the length of the path outside of the part.
    inside: Option<(LayerPart, usize)>,
}

/// Burn's names of a MoE layer and its fields.
const LAYER: &str = "Struct:MoeLayer";

impl Walk {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        if self.inside.is_none() && container == LAYER {
            let layer = self.path.join(".");
            if self.layers.last() != Some(&layer) {
                self.layers.push(layer);
            }
            let part = match name {
                "router" => LayerPart::Router,
                "experts" => LayerPart::Experts,
                _ => LayerPart::Other,
            };
            self.inside = Some((part, self.path.len()));
        }
        self.path.push(name.to_string());
    }

    pub(crate) fn exit(&mut self) {
        self.path.pop();
        if self.inside.is_some_and(|(_, outside)| outside == self.path.len()) {
            self.inside = None;
        }
    }

    /// The layer's number and its part, if the walk is within a layer.
    pub(crate) fn layer(&self) -> Option<(usize, LayerPart)> {
        self.inside.map(|(part, _)| (self.layers.len() - 1, part))
    }

    /// The whole path, with dots.
    pub(crate) fn path(&self) -> String {
        self.path.join(".")
    }

    /// The path within the layer's part, with dots.
    pub(crate) fn within(&self) -> String {
        self.inside.map_or_else(String::new, |(_, outside)| self.path[outside + 1..].join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_numbered_as_they_are_met() {
        let mut walk = Walk::default();
        let mut at = Vec::new();
        for block in ["0", "2"] {
            walk.enter(block, "Vec");
            assert_eq!(walk.layer(), None);
            for part in ["router", "experts"] {
                walk.enter(part, LAYER);
                walk.enter("gate", "Struct:TopK");
                walk.enter("weight", "Struct:Gate");
                at.push((walk.layer(), walk.within(), walk.path()));
                (0..3).for_each(|_| walk.exit());
            }
            walk.exit();
        }
        assert_eq!(at[0].0, Some((0, LayerPart::Router)));
        assert_eq!(at[1].0, Some((0, LayerPart::Experts)));
        assert_eq!(at[3].0, Some((1, LayerPart::Experts)));
        assert_eq!((at[2].1.as_str(), at[2].2.as_str()), ("gate.weight", "2.router.gate.weight"));
    }
}
