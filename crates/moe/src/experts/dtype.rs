//! The number format of the experts' matrices.
//!
//! Experts have nearly all parameters of a network, and in evaluation their matrices take most of the
//! memory and, with many experts, most of the time. In half precision they are half as large. Sums are
//! still computed in `f32`, as are the rows of tokens, the biases, and the router.
//!
//! In training the parameters stay in `f32`, as the master copy that the optimizer updates, and each pass
//! rounds them, as in Micikevicius et al. *Mixed Precision Training*, ICLR 2018,
//! <https://arxiv.org/abs/1710.03740>. The gradient is that of the rounded matrices. The processor's
//! kernels return it in `f32`, so that no loss has to be scaled; other devices return it in the format of
//! the matrices.

use burn::{
    module::{Module, ModuleMapper, Param},
    prelude::*,
    tensor::FloatDType,
};
use serde::{Deserialize, Serialize};

use crate::experts::AnyExperts;

/// The number format of the experts' matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertDtype {
    /// Single precision: a significand of 24 bits.
    #[default]
    F32,
    /// Half precision with the range of `f32` and a significand of 8 bits: a relative error of at most
    /// 0.4 %.
    Bf16,
    /// Half precision with a significand of 11 bits, a relative error of at most 0.05 %, and a largest
    /// value of 65,504. Numbers below 6e-5 have fewer digits.
    F16,
}

impl ExpertDtype {
    /// Whether the format is the default.
    pub(crate) fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// The name in a config file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    fn numbers(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }

    /// The matrices that a layer computes with; matrices that are in half precision already are kept.
    pub(crate) fn of(self, stack: kernels::Ffn) -> kernels::Ffn {
        if self.is_f32() { stack } else { stack.stored(self.numbers()) }
    }
}

impl AnyExperts {
    /// The experts with their matrices converted to this format, for evaluation; the memory of the
    /// originals is freed. Biases are not converted, nor are experts that do not expose their matrices.
    pub fn stored(self, dtype: ExpertDtype) -> Self {
        if self.stack().is_some() { self.map(&mut Store(dtype)) } else { self }
    }
}

struct Store(ExpertDtype);

impl ModuleMapper for Store {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // A bias is [E, 1, H].
        let matrix = D == 3 && param.lazy_shape()[1] > 1;
        if matrix { param.map(|matrix| matrix.cast(self.0.numbers())) } else { param }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        experts::Experts,
        plugin::{Init, NoConfig},
        routing::{Dims, Pass},
        testing::Net,
    };
    use burn::tensor::DType;

    fn net() -> Net {
        let dims = Dims { width: 3, n_experts: 2, units: 4 };
        Net::init(&NoConfig {}, dims, &Init::new(0, &Device::flex()))
    }

    #[test]
    fn matrices_become_small_and_the_output_hardly_changes() {
        let slots =
            Tensor::<3>::from_floats([[[1.0, -2.0, 0.5]], [[0.3, 0.2, -1.0]]], &Device::flex());
        let exact = AnyExperts::new(net());
        let expected = exact.forward(&mut Pass::eval(), slots.clone());
        for (dtype, numbers, off) in
            [(ExpertDtype::Bf16, DType::BF16, 0.02), (ExpertDtype::F16, DType::F16, 0.002)]
        {
            let kept = AnyExperts::new(net()).stored(dtype);
            let stack = kept.stack().unwrap();
            assert_eq!([stack.w1.dtype(), stack.w2.dtype()], [numbers; 2]);
            assert_eq!(stack.bias1.unwrap().dtype(), DType::F32);
            let found = kept.forward(&mut Pass::eval(), slots.clone());
            let gap = (found - expected.clone()).abs().max().into_scalar::<f32>();
            let scale = expected.clone().abs().max().into_scalar::<f32>();
            assert!(0.0 < gap && gap < off * scale, "{gap} of {scale}");
        }
    }

    #[test]
    fn experts_that_show_nothing_stay_as_they_are() {
        let kept = AnyExperts::new(Net { shown: false, ..net() }).stored(ExpertDtype::Bf16);
        let numbers = crate::numbers_of(&kept, |_| true);
        assert!(numbers.iter().all(|(_, data)| data.dtype() == DType::F32) && numbers.len() == 3);
    }
}
