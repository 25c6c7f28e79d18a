//! The number format of the experts' matrices.
//!
//! Experts hold nearly all parameters of a network, and in evaluation their matrices are what fills the
//! memory and, with many experts, what takes the time. In half precision they are half as large. Sums are
//! taken in `f32` all the same, and so are the tokens' rows, the biases, and what the router computes with.
//!
//! In training the parameters stay in `f32`, the master copy that the optimizer moves, and each pass
//! rounds them, as in Micikevicius et al. *Mixed Precision Training*, ICLR 2018,
//! <https://arxiv.org/abs/1710.03740>. The gradient is that of the rounded matrices; the processor's kernels
//! give it in `f32`, so that no loss has to be scaled, other devices in the numbers of the matrices.

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
    /// Single precision: 24 bits of each number's digits.
    #[default]
    F32,
    /// Half precision with the range of `f32`, and 8 bits of digits: off by at most 0.4 %.
    Bf16,
    /// Half precision with 11 bits of digits, off by at most 0.05 %, up to 65,504. What is smaller than
    /// 6e-5 has fewer digits.
    F16,
}

impl ExpertDtype {
    /// Whether it is the default.
    pub(crate) fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// As in a config file.
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

    /// The matrices that a layer computes with; those that are in half precision already stay so.
    pub(crate) fn of(self, stack: kernels::Ffn) -> kernels::Ffn {
        if self.is_f32() { stack } else { stack.stored(self.numbers()) }
    }
}

impl AnyExperts {
    /// The experts with their matrices converted to this format, for evaluation: the memory of the
    /// originals is freed. Biases stay, and experts that do not show their matrices stay as they are.
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
