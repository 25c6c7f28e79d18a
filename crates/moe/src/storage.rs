//! How the numbers of the experts' matrices are kept.
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

use crate::AnyExperts;

/// The numbers that the experts' matrices are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Single precision: 24 bits of each number's digits.
    #[default]
    F32,
    /// Half precision with the range of `f32`, and 8 bits of digits: off by at most 0.4 %.
    Bf16,
    /// Half precision with 11 bits of digits, off by at most 0.05 %, up to 65,504. What is smaller than
    /// 6e-5 has fewer digits.
    F16,
}

impl Storage {
    /// Is it the default?
    pub(crate) fn is_f32(&self) -> bool {
        *self == Self::F32
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
    /// The experts with their matrices kept in these numbers from now on, for evaluation: the memory that
    /// they took is given back. Biases stay, and experts that do not show their matrices stay as they are.
    pub fn stored(self, storage: Storage) -> Self {
        if self.stack().is_some() { self.map(&mut Store(storage)) } else { self }
    }
}

struct Store(Storage);

impl ModuleMapper for Store {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // A bias is [E, 1, H].
        let matrix = D == 3 && param.lazy_shape()[1] > 1;
        if matrix { param.map(|matrix| matrix.cast(self.0.numbers())) } else { param }
    }
}
