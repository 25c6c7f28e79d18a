//! Operations that Burn lacks or is slow at, most of them differentiable, fused for the processor.
//!
//! Each operation is a plain function on tensors. On Burn's processor back end, in `f32`, it runs a kernel
//! of this crate, forward and backward; on all others it is a composition of Burn's own operations with
//! the same meaning, against which the kernels are tested.
//!
//! Kernels give the same bits for every number of threads: work is divided into blocks by the shape of the
//! problem alone, and sums are computed in a fixed order.
//!
//! This is the only crate with `unsafe`; a comment on each block states why it is sound.

mod activation;
mod adamw;
mod attention;
mod carry;
mod cross_entropy;
mod differentiable;
mod ffn;
mod flex;
mod gelu;
mod math;
mod matmul;
mod memory;
mod norm;
mod permute;
mod product;
mod read_back;
mod rows;
#[cfg(test)]
mod same_bits;
mod scratch;
mod simd;
mod softmax;
mod top_k;
mod total;
mod transpose;
mod unfold;
mod width;

pub use activation::Activation;
pub use adamw::{AdamW, adamw};
pub use attention::{
    AttentionForm, AttentionPositions, KeyValues, attention, attention_after, causal_mask,
};
pub use carry::{Carry, carry, carry_back};
pub use cross_entropy::cross_entropy;
pub use ffn::{Ffn, grouped_ffn, slotwise};
pub use flex::{on_flex, without_kernels};
pub use gelu::gelu;
pub use matmul::{linear, linear_layer, matmul};
pub use memory::keep_freed_memory;
pub use norm::{layer_norm, rms_norm, rms_norm_parts};
pub use permute::{permute, unpermute};
pub use product::use_library_products;
pub use read_back::{read_back, read_backs_of};
pub use rows::{ExpertRow, Rows};
pub use softmax::softmax;
pub use top_k::top_k_indices;
pub use total::{mean, sum};
pub use unfold::{Windows, unfold};
pub use width::instruction_set;
