//! The key-value cache of a decoder.

use burn::prelude::*;
use kernels::KeyValues;

use crate::parts::Past;

/// The keys and values, or the inputs, of the tokens before, by attention layer. A pass that holds a
/// cache continues those tokens, and adds its own for the next pass.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The attention span with rotary positions; none if windows are independent.
    span: Option<usize>,
    layers: Vec<LayerCache>,
    next: usize,
}

/// The cache of one layer; its kind of positions decides which variant it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerCache {
    /// Rotary positions.
    pub(crate) keys_values: Option<KeyValues>,
    /// Rotary positions step by step, see `parts`.
    pub(crate) past: Option<Past>,
    /// Relative positions: what the layer was given, `[B, A, D]`.
    inputs: Option<Tensor<3>>,
}

impl Cache {
    /// For one text that is read on and on, without autodiff; nothing went before. With rotary
    /// positions a token will see as many tokens as this, itself among them; a network that was trained
    /// on windows of some length knows no larger distances.
    ///
    /// # Panics
    /// If a token would not even see itself.
    pub fn new(span: usize) -> Self {
        assert!(span > 0, "a token sees itself");
        Self { span: Some(span), ..Self::of_stream() }
    }

    /// An empty cache for contiguous windows, where each row continues that row of the window before.
    /// With relative positions tokens attend to the windows before; with rotary positions windows are
    /// independent.
    pub fn of_stream() -> Self {
        Self { span: None, layers: Vec::new(), next: 0 }
    }

    /// The last inputs of the layers with relative positions, `[B, A, D]` each, from which
    /// [`Cache::restored`] continues a stream.
    pub fn inputs(&self) -> Vec<Tensor<3>> {
        self.layers.iter().filter_map(|memory| memory.inputs.clone()).collect()
    }

    /// See [`Cache::inputs`].
    pub fn restored(inputs: Vec<Tensor<3>>) -> Self {
        let memory = |inputs| LayerCache { inputs: Some(inputs), ..LayerCache::default() };
        Self { layers: inputs.into_iter().map(memory).collect(), ..Self::of_stream() }
    }

    pub(crate) fn span(&self) -> Option<usize> {
        self.span
    }

    /// The pass begins: the first layer comes next.
    pub(crate) fn begin(&mut self) {
        self.next = 0;
    }

    /// The memory that [`Cache::layer`] gave last.
    pub(crate) fn again(&mut self) -> &mut LayerCache {
        &mut self.layers[self.next - 1]
    }

    /// The memory of the layer that is at work. Each layer asks once in a pass.
    pub(crate) fn layer(&mut self) -> &mut LayerCache {
        if self.next == self.layers.len() {
            self.layers.push(LayerCache::default());
        }
        self.next += 1;
        &mut self.layers[self.next - 1]
    }
}

impl LayerCache {
    /// The last `span` inputs before `x`, `[B, A, D]`, where zeros stand for those that never were; it
    /// then has the last inputs up to the end of `x`. No gradient goes into them. Where there are fewer
    /// rows than before, the last streams have ended.
    pub(crate) fn follow(&mut self, x: &Tensor<3>, span: usize) -> Tensor<3> {
        let [b, t, d] = x.dims();
        let nothing = || Tensor::zeros([b, span, d], &x.device());
        let before = self.inputs.take().unwrap_or_else(nothing).narrow(0, 0, b);
        let all = Tensor::cat(vec![before.clone(), x.clone().detach()], 1);
        self.inputs = Some(all.narrow(1, t, span));
        before
    }
}
