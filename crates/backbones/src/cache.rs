//! What the attention layers of a decoder keep of the tokens that went before.

use burn::prelude::*;
use kernels::KeyValues;

/// What the attention layers of a decoder keep of the tokens that went before, layer by layer. Put
/// into a pass, the tokens of the pass follow those; then it has them too, for the next pass.
#[derive(Clone, Debug)]
pub struct Cache {
    span: usize,
    layers: Vec<Memory>,
    next: usize,
}

/// What one layer keeps; which of both is the layer's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Rotary positions.
    pub(crate) keys_values: Option<KeyValues>,
    /// Relative positions: what the layer was given, `[B, A, D]`.
    inputs: Option<Tensor<3>>,
}

impl Cache {
    /// Nothing went before. With rotary positions a token will see as many tokens as this, itself
    /// among them; a network that was trained on windows of some length knows no larger distances.
    ///
    /// # Panics
    /// If a token would not even see itself.
    pub fn new(span: usize) -> Self {
        assert!(span > 0, "a token sees itself");
        Self { span, layers: Vec::new(), next: 0 }
    }

    pub(crate) fn span(&self) -> usize {
        self.span
    }

    /// The pass begins: the first layer comes next.
    pub(crate) fn begin(&mut self) {
        self.next = 0;
    }

    /// The memory of the layer that is at work. Each layer asks once in a pass.
    pub(crate) fn layer(&mut self) -> &mut Memory {
        if self.next == self.layers.len() {
            self.layers.push(Memory::default());
        }
        self.next += 1;
        &mut self.layers[self.next - 1]
    }
}

impl Memory {
    /// The last `span` inputs before `x`, `[B, A, D]`, where zeros stand for those that never were; it
    /// then has the last inputs up to the end of `x`. No gradient goes into them.
    pub(crate) fn follow(&mut self, x: &Tensor<3>, span: usize) -> Tensor<3> {
        let [b, t, d] = x.dims();
        let nothing = || Tensor::zeros([b, span, d], &x.device());
        let before = self.inputs.take().unwrap_or_else(nothing);
        let all = Tensor::cat(vec![before.clone(), x.clone().detach()], 1);
        self.inputs = Some(all.narrow(1, t, span));
        before
    }
}
