//! The first maps of Granite-MoE's experts, which are two tensors in GGUF files and one in the transformers
//! library: for each expert, the rows of the gate come before those of up.
//!
//! ```text
//! input_linear.gate [E, H, D] and input_linear.up [E, H, D]     input_linear [E, 2H, D]
//! ```

use std::collections::BTreeMap;

use anyhow::ensure;

use super::architecture::{GATE, UP};
use crate::{
    place::TensorPlace,
    stored::{Order, Stored},
};

/// Joins each pair of tensors to one.
///
/// # Errors
/// If the two tensors of a pair have different shapes or number formats.
pub(crate) fn join(places: &mut BTreeMap<String, TensorPlace>) -> anyhow::Result<()> {
    let named = |end: &str| format!(".{end}.weight");
    let [gate_end, up_end] = [GATE, UP].map(named);
    let before = |name: &String| name.strip_suffix(&gate_end).map(str::to_string);
    let layers: Vec<String> = places.keys().filter_map(before).collect();
    for layer in layers {
        let names = [&gate_end, &up_end].map(|end| format!("{layer}{end}"));
        let [Some(gate), Some(up)] = names.each_ref().map(|name| places.get(name)) else {
            continue; // one alone is left, and the error says so
        };
        let place = one(&names, gate, up)?;
        names.iter().for_each(|name| drop(places.remove(name)));
        places.insert(format!("{layer}.block_sparse_moe.input_linear.weight"), place);
    }
    Ok(())
}

fn one(names: &[String; 2], gate: &TensorPlace, up: &TensorPlace) -> anyhow::Result<TensorPlace> {
    let (a, b) = (&gate.stored, &up.stored);
    ensure!(
        a.shape.len() == 3 && a.shape == b.shape && a.dtype == b.dtype,
        "tensors {} {:?} in {} and {} {:?} in {}: expected stacks of the same shape and format",
        names[0],
        a.shape,
        a.dtype.name(),
        names[1],
        b.shape,
        b.dtype.name()
    );
    let shape = vec![a.shape[0], 2 * a.shape[1], a.shape[2]];
    let stored = Stored { shape, order: Some(Order::Halves), ..a.clone() };
    let second = Some((up.shard, b.clone()));
    Ok(TensorPlace { shard: gate.shard, stored, second })
}
