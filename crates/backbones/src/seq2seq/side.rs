//! The two sides of an encoder-decoder.

/// Encoder or decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that reads the source.
    Encoder,
    /// The side that writes the target.
    Decoder,
}
