//! The published form of GPT-OSS's experts: blocks of MXFP4 and their scales, two tensors that are joined to
//! one.
//!
//! ```text
//! NAME_blocks [E, out, G, 16] and NAME_scales [E, out, G], U8     NAME [E, in, out], in = 32 G
//! ```
//!
//! The joined tensor has the shape of the same experts in other formats (`family/gpt_oss.rs`). Export writes
//! that shape, in BF16, which represents all of their numbers.

use std::collections::BTreeMap;

use anyhow::ensure;

use crate::{
    blocks::BLOCK,
    dtype::Dtype,
    place::TensorPlace,
    stored::{Order, Stored},
};

/// Joins each pair of tensors to one, and returns whether there are any.
///
/// # Errors
/// If the shapes of a pair do not match, or a tensor with the joined name exists too.
pub(crate) fn pack(places: &mut BTreeMap<String, TensorPlace>) -> anyhow::Result<bool> {
    let named = |name: &String| name.strip_suffix("_blocks").map(str::to_string);
    let names: Vec<String> = places.keys().filter_map(named).collect();
    let mut packed = false;
    for name in names {
        let parts = [format!("{name}_blocks"), format!("{name}_scales")];
        let [Some(blocks), Some(scales)] = parts.each_ref().map(|part| places.get(part)) else {
            continue; // one alone is left, and the error says so
        };
        let place = one(&name, blocks, scales)?;
        ensure!(!places.contains_key(&name), "tensor {name} exists, and so do {parts:?}");
        parts.iter().for_each(|part| drop(places.remove(part)));
        places.insert(name, place);
        packed = true;
    }
    Ok(packed)
}

fn one(name: &str, blocks: &TensorPlace, scales: &TensorPlace) -> anyhow::Result<TensorPlace> {
    let (shape, of) = (&blocks.stored.shape, &scales.stored.shape);
    let bytes = blocks.stored.dtype == Dtype::U8 && scales.stored.dtype == Dtype::U8;
    let fits = shape.len() == 4 && shape[3] == BLOCK / 2 && shape[..3] == of[..];
    ensure!(
        bytes && fits,
        "tensors {name}_blocks {shape:?} and {name}_scales {of:?}: expected U8 of [E, out, G, 16] \
         and [E, out, G]"
    );
    let stored = Stored {
        dtype: Dtype::Mxfp4,
        shape: vec![shape[0], shape[2] * BLOCK, shape[1]],
        order: Some(Order::Transposed),
        ..blocks.stored.clone()
    };
    let second = Some((scales.shard, scales.stored.clone()));
    Ok(TensorPlace { shard: blocks.shard, stored, second })
}
