//! The inner loop of a product: a tile of the result, kept in registers.
//!
//! Each number of a tile is a chain of fused multiply-adds over the depth, in order, from 0. It therefore
//! depends neither on the width of the registers nor on the size of the tile.

/// A vector register of `f32`. All methods are unsafe, since a processor may lack the instructions, and
/// `load` and `store` access memory.
pub(super) trait Lanes: Copy {
    /// The number of lanes of a register.
    const N: usize;
    /// The number of rows of the largest tile with two registers for each row.
    const ROWS: usize;
    /// `x` in all lanes.
    unsafe fn splat(x: f32) -> Self;
    /// The `N` numbers at `from`.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes `N` numbers to `to`.
    unsafe fn store(self, to: *mut f32);
    /// `self + a b`, rounded once.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
}

/// The factors of a tile.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    /// The first number of `a`.
    pub(super) a: *const f32,
    /// The distances between adjacent rows and between adjacent columns of `a`, in numbers.
    pub(super) a_strides: [usize; 2],
    /// The first number of `b`, whose columns are adjacent.
    pub(super) b: *const f32,
    /// The distance between adjacent rows of `b`, in numbers.
    pub(super) b_stride: usize,
    /// The number of columns of `a`, and of rows of `b`.
    pub(super) depth: usize,
}

/// The destination of a tile.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The first number.
    pub(super) out: *mut f32,
    /// The distance between adjacent rows, in numbers.
    pub(super) stride: usize,
    /// Whether the product is added to the old content.
    pub(super) add: bool,
}

/// The product of `R` rows of `a` and `C` registers of columns of `b`.
///
/// # Safety
/// The processor has the instructions of `L`; `a` has `R` rows, `b` and the target have `C * L::N`
/// columns; all of this memory may be read, and that of the target written.
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, const R: usize, const C: usize>(to: Target, of: Factors) {
    // Safety: the caller's promise; the loops stay within R rows, C * N columns and the depth.
    unsafe {
        let mut sums = [[L::splat(0.0); C]; R];
        let [row, column] = of.a_strides;
        let mut b = of.b;
        // One address for three rows: a load can add the stride, once or twice, at no cost.
        let mut a: [*const f32; 4] = std::array::from_fn(|i| of.a.wrapping_add(3 * i * row));
        for _ in 0..of.depth {
            let line: [L; C] = std::array::from_fn(|c| L::load(b.wrapping_add(c * L::N)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = L::splat(*a[r / 3].wrapping_add((r % 3) * row));
                for c in 0..C {
                    sums[c] = sums[c].fma(factor, line[c]);
                }
            }
            a = a.map(|a| a.wrapping_add(column));
            b = b.wrapping_add(of.b_stride);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                let out = to.out.wrapping_add(r * to.stride + c * L::N);
                let sum = if to.add { L::load(out).add(*sum) } else { *sum };
                sum.store(out);
            }
        }
    }
}
