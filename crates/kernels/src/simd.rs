//! Loops compiled for each width of vector registers; the widest that this processor supports is chosen at
//! run time. The width affects the speed of a loop, never its result.

/// Declares a function that is compiled once for each vector width. Functions that it calls must be
/// `#[inline(always)]`; otherwise they are compiled for the narrowest width.
///
/// Results do not depend on the width: the loops use additions, multiplications, divisions, square
/// roots and fused multiply-adds, which are rounded alike at every width, and sums are kept in a fixed
/// number of lanes.
macro_rules! vectorized {
    ($(#[$meta:meta])* fn $name:ident ($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? $(where $t:ident: $bound:ident)? $body:block) => {
        $(#[$meta])*
        pub(crate) fn $name $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? {
            #[inline(always)]
            fn body $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
                fn wide $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? {
                    body$(::<$t>)?($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn middle $(<$t: $bound>)? ($($arg: $ty),*) $(-> $out)? {
                    body$(::<$t>)?($($arg),*)
                }
                match $crate::width::width() {
                    // Safety: the width is Wide only where the processor has these features.
                    $crate::width::Width::Wide => return unsafe { wide$(::<$t>)?($($arg),*) },
                    // Safety: as above.
                    $crate::width::Width::Middle => return unsafe { middle$(::<$t>)?($($arg),*) },
                    $crate::width::Width::Narrow => {}
                }
            }
            body$(::<$t>)?($($arg),*)
        }
    };
}
pub(crate) use vectorized;

/// The number of lanes of a sum, fixed so that a sum is the same on every processor.
pub(crate) const LANES: usize = 16;

/// The inner product, summed in [`LANES`] lanes.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] = a[i].mul_add(b[i], lanes[i]);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane = a.mul_add(*b, *lane);
    }
    fold(lanes)
}

/// The sum, in [`LANES`] lanes.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    sum_of(a, |x| x)
}

/// The sum of `f` over the numbers, in [`LANES`] lanes.
#[inline(always)]
pub(crate) fn sum_of(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += f(chunk[i]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f(*x);
    }
    fold(lanes)
}

/// The largest number.
#[inline(always)]
pub(crate) fn largest(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = lanes[i].max(chunk[i]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = lane.max(*x);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The sum of all lanes, in pairs.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// `y += s * x`.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], s: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = s.mul_add(*x, *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_product_of_odd_length() {
        let a: Vec<f32> = (1..=37).map(|i| i as f32).collect();
        let ones = vec![1.0; 37];
        assert_eq!((dot(&a, &ones), sum(&a)), (703.0, 703.0)); // 37 * 38 / 2
        assert_eq!((largest(&a), largest(&a[..3])), (37.0, 3.0));
    }
}
