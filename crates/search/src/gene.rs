//! The possible values of one name of a space.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The choices under one name: one value out of several, or a list of such choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gene {
    /// One of these values.
    One(Vec<Value>),
    /// A list, each element of which is chosen independently.
    List(ListGene),
}

/// A list, each element of which is chosen independently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListGene {
    /// The values of each element.
    pub each: Vec<Value>,
    /// The number of elements.
    pub length: Length,
}

/// The length of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Length {
    /// This number.
    Fixed(usize),
    /// The value of the gene of this name. If that gene is a list, this one is a list of lists: for example
    /// the widths of all experts of each layer.
    Gene(String),
}

impl Gene {
    /// The values that one choice may take.
    pub fn values(&self) -> &[Value] {
        match self {
            Self::One(values) => values,
            Self::List(list) => &list.each,
        }
    }

    /// The gene that determines the length of this one, if there is one.
    pub(crate) fn length_gene(&self) -> Option<&str> {
        match self {
            Self::List(ListGene { length: Length::Gene(name), .. }) => Some(name),
            _ => None,
        }
    }
}
