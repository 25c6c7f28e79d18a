//! The key-value cache of a decoder.

use burn::prelude::*;
use kernels::KeyValues;

/// The keys and values, or the inputs, of earlier tokens, by attention layer. A pass with a cache continues
/// these tokens, and adds its own for the next pass.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The attention span with rotary positions; none if windows are independent.
    span: Option<usize>,
    layers: Vec<LayerCache>,
    next: usize,
}

/// The cache of one layer; the kind of positions determines which field is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerCache {
    /// The keys and values with rotary positions.
    pub(crate) keys_values: Option<KeyValues>,
    /// The inputs of the layer with relative positions, `[B, A, D]`.
    inputs: Option<Tensor<3>>,
}

impl Cache {
    /// An empty cache for one text that is read part by part, without autodiff. With rotary positions a token
    /// attends to this many tokens, itself included; a network that was trained on windows of some length has
    /// not learned larger distances.
    ///
    /// # Panics
    /// If the span is 0, so that a token would not even attend to itself.
    pub fn new(span: usize) -> Self {
        assert!(span > 0, "the span must be at least 1");
        Self { span: Some(span), ..Self::of_stream() }
    }

    /// An empty cache for contiguous windows, where each row continues the same row of the previous window.
    /// With relative positions tokens attend to earlier windows; with rotary positions windows are
    /// independent.
    pub fn of_stream() -> Self {
        Self { span: None, layers: Vec::new(), next: 0 }
    }

    /// The last inputs of the layers with relative positions, `[B, A, D]` each, from which
    /// [`Cache::restored`] continues a stream.
    pub fn inputs(&self) -> Vec<Tensor<3>> {
        self.layers.iter().filter_map(|memory| memory.inputs.clone()).collect()
    }

    /// A cache with these inputs, see [`Cache::inputs`].
    pub fn restored(inputs: Vec<Tensor<3>>) -> Self {
        let memory = |inputs| LayerCache { inputs: Some(inputs), ..LayerCache::default() };
        Self { layers: inputs.into_iter().map(memory).collect(), ..Self::of_stream() }
    }

    pub(crate) fn span(&self) -> Option<usize> {
        self.span
    }

    /// Begins a pass: the first layer is next.
    pub(crate) fn begin(&mut self) {
        self.next = 0;
    }

    /// The cache of the layer that called [`Cache::layer`] last.
    pub(crate) fn again(&mut self) -> &mut LayerCache {
        &mut self.layers[self.next - 1]
    }

    /// The cache of the current layer. Each layer calls this once per pass.
    pub(crate) fn layer(&mut self) -> &mut LayerCache {
        if self.next == self.layers.len() {
            self.layers.push(LayerCache::default());
        }
        self.next += 1;
        &mut self.layers[self.next - 1]
    }
}

impl LayerCache {
    /// The last `span` inputs before `x`, `[B, A, D]`, with zeros where there were none; stores the last
    /// inputs up to the end of `x` in their place. No gradient flows into them. If there are fewer rows than
    /// before, the last streams have ended.
    pub(crate) fn follow(&mut self, x: &Tensor<3>, span: usize) -> Tensor<3> {
        let [b, t, d] = x.dims();
        let nothing = || Tensor::zeros([b, span, d], &x.device());
        let before = self.inputs.take().unwrap_or_else(nothing).narrow(0, 0, b);
        let all = Tensor::cat(vec![before.clone(), x.clone().detach()], 1);
        self.inputs = Some(all.narrow(1, t, span));
        before
    }
}
