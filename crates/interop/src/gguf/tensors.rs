//! The tensors of a GGUF file: names, shapes, formats and positions.

use std::io::Read;

use anyhow::{Context, anyhow, ensure};

use super::metadata::HeaderReader;
use crate::{
    dtype::Dtype,
    stored::{Stored, size_of},
};

/// The formats that are read, by their numbers in the table `ggml_type`.
const FORMATS: [(u32, Dtype); 6] = [
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Q4_0),
    (3, Dtype::Q4_1),
    (8, Dtype::Q8_0),
    (30, Dtype::Bf16),
];

/// The names of formats that are not read, for messages.
const OTHERS: [(u32, &str); 9] = [
    (6, "Q5_0"),
    (7, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (28, "F64"),
    (39, "MXFP4"),
];

/// Reads the tensors in the order of the file; their names must be distinct. The first axis of a shape is the
/// slowest one, which is the last one in the file.
pub(super) fn read(
    header: &mut HeaderReader<impl Read>,
    count: u64,
    alignment: u64,
) -> anyhow::Result<Vec<(String, Stored)>> {
    let mut tensors: Vec<(String, Stored)> = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..count {
        let name = header.text().context("the name of a tensor")?;
        let stored = one(header, alignment).with_context(|| format!("tensor {name}"))?;
        ensure!(names.insert(name.clone()), "tensor {name} occurs twice");
        tensors.push((name, stored));
    }
    Ok(tensors)
}

fn one(header: &mut HeaderReader<impl Read>, alignment: u64) -> anyhow::Result<Stored> {
    let axes = header.small()?;
    ensure!(axes <= 4, "it has {axes} axes; the limit is 4");
    let mut shape = Vec::new();
    for _ in 0..axes {
        shape.push(usize::try_from(header.number()?)?);
    }
    shape.reverse();
    let (dtype, start) = (format(header.small()?)?, header.number()?);
    let (block, row) = (dtype.block().0, shape.last().copied().unwrap_or(1));
    ensure!(
        row.is_multiple_of(block),
        "its rows of {row} numbers cannot be split into blocks of {block}, as {} requires",
        dtype.name()
    );
    ensure!(
        start.is_multiple_of(alignment),
        "it begins at byte {start} of the numbers, which is not a multiple of {alignment}"
    );
    let end = start.checked_add(size_of(dtype, &shape)?);
    let end = end.ok_or_else(|| anyhow!("it begins at byte {start}, which is too large"))?;
    Ok(Stored { dtype, shape, range: start..end, order: None })
}

fn format(number: u32) -> anyhow::Result<Dtype> {
    let found = FORMATS.iter().find(|(known, _)| *known == number);
    found.map(|(_, dtype)| *dtype).ok_or_else(|| {
        let other = OTHERS.iter().find(|(known, _)| *known == number);
        let name = other.map_or_else(|| format!("format {number}"), |(_, name)| name.to_string());
        let known = FORMATS.map(|(_, dtype)| dtype.name()).join(", ");
        anyhow!("its numbers are {name}; known: {known}")
    })
}
