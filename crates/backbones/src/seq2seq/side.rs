//! The two sides of an encoder-decoder.

/// Encoder or decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What reads the source.
    Encoder,
    /// What writes the target.
    Decoder,
}
