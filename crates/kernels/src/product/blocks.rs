//! A product cut into tiles.
//!
//! The depth is divided into blocks of [`DEPTH`]; the tiles of a block are added to those of the previous
//! blocks. A panel of `b`, as wide as a tile, stays in the first-level cache while all rows of `a` are
//! processed.

#[cfg(target_arch = "x86_64")]
use super::lanes::{Middle, Wide};
use super::{
    lanes::Narrow,
    tile::{Factors, Lanes, Target, tile},
};
use crate::width::{Width, width};

/// The number of rows of `b` that are summed in one chain. It determines the rounding of sums, so it is
/// the same on all processors.
pub(crate) const DEPTH: usize = 256;

/// The columns of the widest tile, and the rows of the highest.
const WIDEST: usize = 32;
const HIGHEST: usize = 12;

/// The memory, in numbers, that [`blocks`] needs: a copy of a panel, and a tile.
pub(super) const MEMORY: usize = (DEPTH + HIGHEST) * WIDEST;

/// The stride from which on rows of `b` map to the same lines of the first-level cache. Such a panel is
/// copied, if at least [`USES`] tiles use it.
const FAR: usize = 1024;
const USES: usize = 8;

/// The sizes of a product, `[m, k] x [k, n]`.
#[derive(Clone, Copy)]
pub(super) struct ProductSizes {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
}

/// The product, on the widest registers of this processor.
///
/// # Safety
/// The target has m rows, `stride` numbers apart, of n numbers that may be written; the factors have `m x k`
/// and `k x n` numbers that may be read, and overlap neither the target nor the memory.
///
/// # Panics
/// If `memory` is less than [`MEMORY`].
pub(super) unsafe fn blocks(sizes: ProductSizes, to: Target, of: Factors, memory: &mut [f32]) {
    assert!(memory.len() >= MEMORY, "the memory is too small for a product");
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
        fn wide(sizes: ProductSizes, to: Target, of: Factors, memory: &mut [f32]) {
            // Safety: this function has the target features; its only caller promises the rest.
            unsafe { all::<Wide>(sizes, to, of, memory) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn middle(sizes: ProductSizes, to: Target, of: Factors, memory: &mut [f32]) {
            // Safety: as above.
            unsafe { all::<Middle>(sizes, to, of, memory) }
        }
        match width() {
            // Safety: the width is Wide only where the processor has these features.
            Width::Wide => return unsafe { wide(sizes, to, of, memory) },
            // Safety: as above.
            Width::Middle => return unsafe { middle(sizes, to, of, memory) },
            Width::Narrow => {}
        }
    }
    // Safety: arrays need no special instructions; the caller promises the rest.
    unsafe { all::<Narrow>(sizes, to, of, memory) }
}

#[inline(always)]
unsafe fn all<L: Lanes>(
    ProductSizes { m, n, k }: ProductSizes,
    to: Target,
    of: Factors,
    memory: &mut [f32],
) {
    for start in (0..k).step_by(DEPTH) {
        let a = of.a.wrapping_add(start * of.a_strides[1]);
        let b = of.b.wrapping_add(start * of.b_stride);
        let block = Factors { a, b, depth: DEPTH.min(k - start), ..of };
        let add = to.add || start > 0;
        for column in (0..n).step_by(2 * L::N) {
            let to = Target { out: to.out.wrapping_add(column), add, ..to };
            let of = Factors { b: block.b.wrapping_add(column), ..block };
            // Safety: the caller's promise, for this block and the columns from `column` on.
            unsafe {
                match n - column {
                    left if left > L::N => panel::<L, 2>([m, left.min(2 * L::N)], to, of, memory),
                    left => panel::<L, 1>([m, left], to, of, memory),
                }
            }
        }
    }
}

/// Computes all rows of a panel of `b` of at most `C` registers, in tiles of nearly equal height.
#[inline(always)]
unsafe fn panel<L: Lanes, const C: usize>(
    [m, n]: [usize; 2],
    to: Target,
    of: Factors,
    memory: &mut [f32],
) {
    let width = C * L::N;
    let count = m.div_ceil(L::ROWS);
    let (copy, padded) = memory.split_at_mut(DEPTH * WIDEST);
    let whole = n == width;
    let of = if !whole || of.b_stride >= FAR && count >= USES {
        // Safety: the panel has `depth` rows of n numbers, and `copy` has room for them.
        unsafe { copied(copy, [n, width], of) }
    } else {
        of
    };
    let mut first = 0;
    for i in 0..count {
        let rows = (m - first).div_ceil(count - i);
        let to = Target { out: to.out.wrapping_add(first * to.stride), ..to };
        let of = Factors { a: of.a.wrapping_add(first * of.a_strides[0]), ..of };
        // Safety: the caller's promise, for `rows` rows from `first` on; `padded` has room for a tile.
        unsafe {
            if whole {
                some_rows::<L, C>(rows, to, of);
            } else {
                let tile = Target { out: padded.as_mut_ptr(), stride: width, add: false };
                some_rows::<L, C>(rows, tile, of);
                cut(padded, width, [rows, n], to);
            }
        }
        first += rows;
    }
}

/// Computes a tile of `rows` rows.
#[inline(always)]
unsafe fn some_rows<L: Lanes, const C: usize>(rows: usize, to: Target, of: Factors) {
    macro_rules! one_of {
        ($($r:literal)*) => {
            match rows {
                // Safety: the caller's promise.
                $($r if $r <= L::ROWS => unsafe { tile::<L, $r, C>(to, of) },)*
                _ => unreachable!("a tile has at most {} rows", L::ROWS),
            }
        };
    }
    one_of!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// Copies a panel of `b`, with n numbers for each row, to rows of `width` numbers, padded with zeros.
#[inline(always)]
unsafe fn copied(copy: &mut [f32], [n, width]: [usize; 2], of: Factors) -> Factors {
    for (i, line) in copy.chunks_exact_mut(width).take(of.depth).enumerate() {
        // Safety: row i of the panel has n numbers.
        let from = unsafe { std::slice::from_raw_parts(of.b.wrapping_add(i * of.b_stride), n) };
        line[..n].copy_from_slice(from);
        line[n..].fill(0.0);
    }
    Factors { b: copy.as_ptr(), b_stride: width, ..of }
}

/// Writes the first n numbers of each row of a tile to the target.
#[inline(always)]
unsafe fn cut(tile: &[f32], width: usize, [rows, n]: [usize; 2], to: Target) {
    for (i, line) in tile.chunks_exact(width).take(rows).enumerate() {
        // Safety: row i of the target has n numbers.
        let out = unsafe { std::slice::from_raw_parts_mut(to.out.wrapping_add(i * to.stride), n) };
        for (out, x) in out.iter_mut().zip(line) {
            *out = if to.add { *out + *x } else { *x };
        }
    }
}
