//! Vector registers of each width.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::tile::Lanes;

/// An array, which the compiler places into the available registers.
#[derive(Clone, Copy)]
pub(super) struct Narrow([f32; 4]);

impl Lanes for Narrow {
    const N: usize = 4;
    const ROWS: usize = 6;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // Safety: the caller's promise; an array of f32 may be read without alignment.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // Safety: as above.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| a.0[i].mul_add(b.0[i], self.0[i])))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

/// Implements [`Lanes`] by the processor's instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! register {
    (
        $(#[$meta:meta])* $name:ident($register:ty), $n:literal, $rows:literal,
        $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub(super) struct $name($register);

        impl Lanes for $name {
            const N: usize = $n;
            const ROWS: usize = $rows;
            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // Safety: the caller has the instructions; the same holds for the methods below.
                Self(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // Safety: the caller has the instructions, and `N` numbers may be read.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // Safety: the caller has the instructions, and `N` numbers may be written.
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            unsafe fn fma(self, a: Self, b: Self) -> Self {
                // Safety: see above.
                Self(unsafe { $fma(a.0, b.0, self.0) })
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // Safety: see above.
                Self(unsafe { $add(self.0, other.0) })
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
register!(
    /// AVX2: 16 registers, of which a tile takes 6 x 2.
    Middle(__m256), 8, 6,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_add_ps
);

#[cfg(target_arch = "x86_64")]
register!(
    /// AVX-512: 32 registers, of which a tile takes 12 x 2.
    Wide(__m512), 16, 12,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_add_ps
);
