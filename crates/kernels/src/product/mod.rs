//! Matrix products on slices, single-threaded: their callers are parallel.
//!
//! Every number of a product is the sum over blocks of 256 of the inner dimension, in order; the sum of a
//! block is a chain of fused multiply-adds, in order. Rounding depends on nothing else: neither on the
//! width of the processor's registers, nor on the size of its caches, nor on the other numbers of the
//! product. Libraries of matrix products choose blocks and lanes by the processor, so that results differ
//! between processors; [`use_library_products`] selects such a library for its speed.

mod blocks;
mod lanes;
mod library;
mod tile;

use crate::{scratch::with_scratch, transpose::transpose};
pub(crate) use blocks::DEPTH;
use blocks::{MEMORY, ProductSizes, blocks};
pub use library::use_library_products;
use tile::{Factors, Target};

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> View<'a> {
    /// `rows x columns` numbers, row by row.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A matrix whose rows are `stride` numbers apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, shape: [rows, columns], strides: [stride, 1] }
    }

    /// `n` rows from `first` on.
    pub(crate) fn rows(self, first: usize, n: usize) -> Self {
        let data = &self.data[first * self.strides[0]..];
        Self { data, shape: [n, self.shape[1]], ..self }
    }

    /// `n` columns from `first` on.
    pub(crate) fn columns(self, first: usize, n: usize) -> Self {
        self.t().rows(first, n).t()
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        let ([m, n], [r, c]) = (self.shape, self.strides);
        Self { shape: [n, m], strides: [c, r], ..self }
    }

    /// This matrix with the elements of a row adjacent in memory; a transpose is copied to `memory`.
    fn row_by_row<'b>(self, memory: &'b mut [f32]) -> View<'b>
    where
        'a: 'b,
    {
        let [rows, columns] = self.shape;
        if self.strides[1] == 1 {
            return self;
        }
        transpose(memory, self.data, [columns, rows], self.strides[1]);
        View::new(memory, rows, columns)
    }

    /// Whether all elements lie in the slice.
    fn fits(&self) -> bool {
        let last = |i: usize| (self.shape[i] - 1).checked_mul(self.strides[i]);
        let within = |last: usize| last < self.data.len();
        self.shape.contains(&0)
            || last(0).zip(last(1)).and_then(|(a, b)| a.checked_add(b)).is_some_and(within)
    }
}

/// The treatment of the old content of the output.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Old {
    /// The old content is overwritten.
    Forget,
    /// The product is added to the old content.
    Add,
}

const MISFIT: &str = "shapes of a product do not fit";

/// `out = a b`, or `out += a b`; `out` is in row-major order.
///
/// # Panics
/// If shapes do not fit.
pub(crate) fn product(out: &mut [f32], old: Old, a: View, b: View) {
    let n = b.shape[1];
    assert!(out.len() == a.shape[0] * n, "{MISFIT}");
    product_to(out, n, old, a, b);
}

/// [`product`] to rows that are `stride` numbers apart; `out` may be longer.
///
/// # Panics
/// If shapes do not fit.
pub(crate) fn product_to(out: &mut [f32], stride: usize, old: Old, a: View, b: View) {
    let ([m, k], [k2, n]) = (a.shape, b.shape);
    let target = View { data: out, shape: [m, n], strides: [stride, 1] };
    assert!(k == k2 && n <= stride && target.fits() && a.fits() && b.fits(), "{MISFIT}");
    if m == 0 || n == 0 {
        return;
    }
    if library::wanted() {
        return library::product_to(out, stride, old, a, b);
    }
    if k == 0 && old == Old::Forget {
        out.chunks_mut(stride).take(m).for_each(|row| row[..n].fill(0.0));
    }
    let turned = if b.strides[1] == 1 { 0 } else { k * n };
    with_scratch([MEMORY, turned], |[memory, turned]| {
        let b = b.row_by_row(turned);
        let to = Target { out: out.as_mut_ptr(), stride, add: old == Old::Add };
        let of = Factors {
            a: a.data.as_ptr(),
            a_strides: a.strides,
            b: b.data.as_ptr(),
            b_stride: b.strides[0],
            depth: k,
        };
        // Safety: every element of the target, of `a` and of `b` lies in its slice (`fits`); `out` is borrowed
        // mutably, so it overlaps neither factor.
        unsafe { blocks(ProductSizes { m, n, k }, to, of, memory) }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]);
        let mut out = [1.0, 1.0];
        product(&mut out, Old::Add, View::new(&a, 2, 2), View::new(&b, 2, 1));
        assert_eq!(out, [18.0, 40.0]); // 5 + 12 + 1, 15 + 24 + 1
        product(&mut out, Old::Forget, View::new(&a, 2, 2).t(), View::new(&b, 2, 1));
        assert_eq!(out, [23.0, 34.0]); // 5 + 18, 10 + 24
        product(&mut out, Old::Forget, View::new(&[], 2, 0), View::new(&[], 0, 1));
        assert_eq!(out, [0.0, 0.0]);
    }

    #[test]
    fn a_product_to_rows_that_are_apart() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]);
        let mut out = [9.0; 5];
        product_to(&mut out[1..], 2, Old::Forget, View::new(&a, 2, 2), View::new(&b, 2, 1));
        assert_eq!(out, [9.0, 17.0, 9.0, 39.0, 9.0]);
        let columns = View::new(&a, 2, 2).columns(1, 1);
        product_to(&mut out[1..], 2, Old::Add, columns, View::new(&b, 1, 1));
        assert_eq!(out, [9.0, 27.0, 9.0, 59.0, 9.0]); // 2 * 5, 4 * 5
        product_to(&mut out, 3, Old::Forget, View::new(&[], 2, 0), View::new(&[], 0, 2));
        assert_eq!(out, [0.0, 0.0, 9.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "shapes of a product")]
    fn what_does_not_fit_is_refused() {
        product(&mut [0.0], Old::Forget, View::new(&[1.0], 1, 2), View::new(&[1.0, 1.0], 2, 1));
    }
}
