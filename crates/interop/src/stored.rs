//! A tensor in a file: its format, its shape and its bytes; and the checks of a table of such tensors.

use std::ops::Range;

use anyhow::{anyhow, bail, ensure};

use crate::{
    dtype::Dtype,
    view::{View, copy},
};

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The format of its numbers.
    pub dtype: Dtype,
    /// The shape.
    pub shape: Vec<usize>,
    /// The range of its bytes, counted from the end of the header.
    pub(crate) range: Range<u64>,
    /// The order of its numbers, if it is not that of the shape.
    pub(crate) order: Option<Order>,
}

/// An order of numbers that differs from that of the shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// For rows of this number of heads: in each head the two numbers of a rotary pair are adjacent,
    /// (2i, 2i + 1) rather than (i, i + d / 2).
    Pairs(usize),
    /// The last two of three axes are exchanged.
    Transposed,
    /// For the middle one of three axes: the first halves of all entries of the first axis come before the
    /// second halves.
    Halves,
}

impl Stored {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One tensor for each entry of the first axis of a stack of matrices; none if the tensor is no such
    /// stack.
    pub(crate) fn experts(&self) -> Option<Vec<Self>> {
        const MOST: usize = 1 << 16;
        let (n, matrix) = self.shape.split_first()?;
        let Range { start, end } = self.range;
        let size = (end - start) / (*n as u64).max(1);
        if matrix.len() != 2 || size == 0 || *n > MOST {
            return None;
        }
        let one = |e: u64| {
            let range = start + e * size..start + (e + 1) * size;
            Self { dtype: self.dtype, shape: matrix.to_vec(), range, order: None }
        };
        Some((0..*n as u64).map(one).collect())
    }

    /// Decodes its bytes to numbers.
    pub(crate) fn numbers(&self, bytes: &[u8]) -> Vec<f32> {
        let numbers = self.dtype.decode(bytes);
        match self.order {
            None => numbers,
            Some(Order::Halves) => interleaved(&numbers, self.shape[0]),
            Some(Order::Pairs(heads)) => by_halves(&numbers, self.shape[0], heads),
            Some(Order::Transposed) => {
                let mut transposed = vec![0.0; numbers.len()];
                let shape = View::whole(&self.shape);
                let [n, a, b] = [0, 2, 1].map(|axis| self.shape[axis]);
                copy(&numbers, &View::whole(&[n, a, b]).transposed(), &mut transposed, &shape);
                transposed
            }
        }
    }
}

/// The two halves of each of `n` matrices, concatenated, from the first halves of all matrices and the second
/// halves.
fn interleaved(numbers: &[f32], n: usize) -> Vec<f32> {
    let (first, second) = numbers.split_at(numbers.len() / 2);
    let half = (first.len() / n.max(1)).max(1);
    first.chunks(half).zip(second.chunks(half)).flat_map(|(a, b)| [a, b].concat()).collect()
}

/// The rows with the first numbers of all pairs of a head before the second numbers.
fn by_halves(numbers: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (width, pairs) = (numbers.len() / rows.max(1), rows / heads / 2);
    let mut ordered = Vec::with_capacity(numbers.len());
    for head in 0..heads {
        for (half, pair) in [0, 1].into_iter().flat_map(|half| (0..pairs).map(move |i| (half, i))) {
            let row = 2 * (head * pairs + pair) + half;
            ordered.extend(&numbers[row * width..][..width]);
        }
    }
    ordered
}

/// The size of a tensor in bytes.
///
/// # Errors
/// If the product of its axes overflows, even without axes of size 0: the product of the last axes is
/// computed when a part of the tensor is taken.
pub(crate) fn size_of(dtype: Dtype, shape: &[usize]) -> anyhow::Result<u64> {
    let (numbers, bytes) = dtype.block();
    let n = shape.iter().try_fold(1_u64, |n, d| n.checked_mul((*d as u64).max(1)));
    let size = n.and_then(|n| (n / numbers as u64).checked_mul(bytes as u64));
    let size = size.ok_or_else(|| anyhow!("its shape {shape:?} is too large"))?;
    Ok(if shape.contains(&0) { 0 } else { size })
}

/// Checks that the tensors cover all bytes, each once; each begins at the first multiple of `alignment` after
/// the previous one.
pub(crate) fn covered(
    tensors: &[(String, Stored)],
    size: u64,
    alignment: u64,
) -> anyhow::Result<()> {
    let mut order: Vec<&(String, Stored)> = tensors.iter().collect();
    order.sort_by_key(|(_, stored)| (stored.range.start, stored.range.end));
    let mut done = 0;
    for (name, stored) in order {
        let Range { start, end } = stored.range;
        if end > size {
            bail!(
                "it is cut off: tensor {name} ends at byte {end} of the numbers, which take {size}"
            );
        }
        ensure!(
            start >= done,
            "tensor {name} overlaps the one before it: byte {start} is before byte {done}"
        );
        ensure!(
            start == done.next_multiple_of(alignment),
            "no tensor covers bytes {done} to {start}, before tensor {name}"
        );
        done = end;
    }
    let last = size - done;
    ensure!(size <= done.next_multiple_of(alignment), "no tensor covers its last {last} bytes");
    Ok(())
}
