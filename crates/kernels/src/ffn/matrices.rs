//! The matrices of a stack of experts, in `f32`, `bf16` or `f16`.

use burn::{
    backend::flex::FlexTensor,
    tensor::{DType, bf16, f16},
};

use crate::simd::vectorized;

/// All matrices of one kind, one after the other.
#[derive(Clone, Copy)]
pub(super) enum Matrices<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    F16(&'a [f16]),
}

impl<'a> Matrices<'a> {
    /// The matrices of a contiguous tensor.
    pub(super) fn new(tensor: &'a FlexTensor) -> Self {
        let found = match tensor.dtype() {
            DType::BF16 => tensor.as_slice().map(Self::Bf16),
            DType::F16 => tensor.as_slice().map(Self::F16),
            _ => tensor.as_slice().map(Self::F32),
        };
        found.expect("the tensor must be contiguous")
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::F32(all) => all.len(),
            Self::Bf16(all) => all.len(),
            Self::F16(all) => all.len(),
        }
    }

    /// The memory, in numbers, that [`Matrices::of`] needs for a matrix of this size.
    pub(super) fn memory(self, size: usize) -> usize {
        match self {
            Self::F32(_) => 0,
            _ => size.min(self.len()),
        }
    }

    /// The matrix of an expert, of `size` numbers: borrowed, or widened into `memory`.
    pub(super) fn of<'b>(self, expert: usize, size: usize, memory: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Self::F32(all) => return part(all, expert, size),
            Self::Bf16(all) => widen_bf16(memory, part(all, expert, size)),
            Self::F16(all) => widen_f16(memory, part(all, expert, size)),
        }
        memory
    }
}

vectorized! {
    /// Widens `bf16`, which is the upper half of the bits of an `f32`.
    fn widen_bf16(to: &mut [f32], from: &[bf16]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }
}

vectorized! {
    /// Widens `f16`. A product with 2^112 converts the exponent from one bias to the other, also for
    /// subnormal numbers. Infinities and NaN are preserved.
    fn widen_f16(to: &mut [f32], from: &[f16]) {
        let scale = f32::from_bits((127 + 112) << 23);
        for (to, from) in to.iter_mut().zip(from) {
            let bits = u32::from(from.to_bits());
            let finite = f32::from_bits((bits & 0x7fff) << 13) * scale;
            let beyond = if bits & 0x7c00 == 0x7c00 { 0xff << 23 } else { 0 };
            *to = f32::from_bits(finite.to_bits() | beyond | (bits & 0x8000) << 16);
        }
    }
}

/// The `width` numbers of an expert.
pub(super) fn part<T>(all: &[T], expert: usize, width: usize) -> &[T] {
    &all[expert * width..(expert + 1) * width]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_as_the_library_does() {
        let all = 0..=u16::MAX;
        let halves: Vec<f16> = all.clone().map(f16::from_bits).collect();
        let brains: Vec<bf16> = all.map(bf16::from_bits).collect();
        let mut wide = vec![0.0; halves.len()];
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        widen_f16(&mut wide, &halves);
        assert!(wide.iter().zip(&halves).all(|(a, b)| same(*a, b.to_f32())));
        widen_bf16(&mut wide, &brains);
        assert!(wide.iter().zip(&brains).all(|(a, b)| same(*a, b.to_f32())));
    }
}
