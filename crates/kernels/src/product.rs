//! Matrix products on slices, one thread each: who calls them is parallel already.

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

    /// The same with the rows `stride` numbers apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, shape: [rows, columns], strides: [stride, 1] }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        let ([m, n], [r, c]) = (self.shape, self.strides);
        Self { shape: [n, m], strides: [c, r], ..self }
    }

    /// Do all elements lie in the slice?
    fn fits(&self) -> bool {
        let last = |i: usize| (self.shape[i] - 1) * self.strides[i];
        self.shape.contains(&0) || last(0) + last(1) < self.data.len()
    }
}

/// What becomes of the numbers that a product is written over.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Old {
    /// They are overwritten.
    Forget,
    /// The product is added to them.
    Add,
}

/// `out = a b`, or `out += a b`; `out` is row by row.
pub(crate) fn product(out: &mut [f32], old: Old, a: View, b: View) {
    let ([m, k], [k2, n]) = (a.shape, b.shape);
    assert!(k == k2 && out.len() == m * n && a.fits() && b.fits(), "shapes of a product");
    without_copies();
    // Safety: `out` has exactly m * n numbers and is borrowed mutably, so it overlaps neither input;
    // every element of `a` and `b` lies in its slice (`fits`), and an empty product reads nothing.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
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

/// Lets products read their matrices where they are: the library copies them for more than 48 columns,
/// which takes a tenth of the time of a product with 128 columns, and gains nothing up to 1,500.
fn without_copies() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| gemm::set_lhs_packing_threshold_single_thread(256));
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
    #[should_panic(expected = "shapes of a product")]
    fn what_does_not_fit_is_refused() {
        product(&mut [0.0], Old::Forget, View::new(&[1.0], 1, 2), View::new(&[1.0, 1.0], 2, 1));
    }
}
