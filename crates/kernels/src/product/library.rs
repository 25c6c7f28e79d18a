//! Products by the library `gemm`: faster for small experts, but their bits depend on the processor.
//!
//! The library chooses blocks and lanes by the processor, so the last digits of its sums differ between
//! processors.

use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

use super::{Old, View};

static WANTED: AtomicBool = AtomicBool::new(false);

/// Uses the library for all later matrix products of this process: a few percent faster if experts have
/// few rows each, but results depend on the processor.
///
/// The choice holds for the whole process; call it before the first product.
pub fn use_library_products() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Whether [`use_library_products`] was called.
pub(super) fn wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

/// `out = a b`, or `out += a b`; [`super::product_to`] has checked the shapes and bounds.
pub(super) fn product_to(out: &mut [f32], stride: usize, old: Old, a: View, b: View) {
    let ([m, k], [_, n]) = (a.shape, b.shape);
    read_in_place();
    // Safety: every element of the target, of `a` and of `b` lies in its slice, and an empty product reads
    // nothing; `out` is borrowed mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            old == Old::Add,
            a.data.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.data.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The library copies matrices of more than 48 columns before it reads them, which takes a tenth of the
/// time of a product with 128 columns and has no benefit up to 1,500 columns.
fn read_in_place() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| gemm::set_lhs_packing_threshold_single_thread(256));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_agrees_with_our_own() {
        let (m, k, n) = (13, 300, 37);
        let numbers = |n: usize| (0..n).map(|i| ((i * 7919) % 101) as f32 / 101.0 - 0.5);
        let (a, b): (Vec<f32>, Vec<f32>) = (numbers(m * k).collect(), numbers(k * n).collect());
        for old in [Old::Forget, Old::Add] {
            for a in [View::new(&a, m, k), View::new(&a, k, m).t()] {
                let (mut ours, mut theirs) = (vec![1.0; m * n], vec![1.0; m * n]);
                super::super::product(&mut ours, old, a, View::new(&b, k, n));
                product_to(&mut theirs, n, old, a, View::new(&b, k, n));
                for (x, y) in ours.iter().zip(&theirs) {
                    assert!((x - y).abs() < 1e-4, "{x} {y}");
                }
            }
        }
        let mut none = [1.0];
        product_to(&mut none, 1, Old::Forget, View::new(&[], 1, 0), View::new(&[], 0, 1));
        assert_eq!(none, [0.0]);
    }
}
