//! The entries of a TIFF directory that a mosaic needs.

/// Kinds of numbers, as TIFF numbers them.
pub(super) const BYTE: u16 = 1;
pub(super) const ASCII: u16 = 2;
pub(super) const SHORT: u16 = 3;
pub(super) const LONG: u16 = 4;
pub(super) const RATIONAL: u16 = 5;
pub(super) const SRATIONAL: u16 = 10;

pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const WIDTH: u16 = 256;
pub(super) const HEIGHT: u16 = 257;
pub(super) const BITS: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const MAKE: u16 = 271;
pub(super) const MODEL: u16 = 272;
pub(super) const STRIP_OFFSETS: u16 = 273;
pub(super) const ORIENTATION: u16 = 274;
pub(super) const SAMPLES: u16 = 277;
pub(super) const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTES: u16 = 279;
pub(super) const PLANAR: u16 = 284;
pub(super) const TILE_WIDTH: u16 = 322;
pub(super) const SUB_DIRECTORIES: u16 = 330;
pub(super) const CFA_SIZE: u16 = 33421;
pub(super) const CFA_PATTERN: u16 = 33422;
pub(super) const DNG_VERSION: u16 = 50706;
pub(super) const DNG_BACKWARD: u16 = 50707;
pub(super) const UNIQUE_MODEL: u16 = 50708;
pub(super) const BLACK: u16 = 50714;
pub(super) const WHITE: u16 = 50717;
pub(super) const COLOUR_MATRIX: u16 = 50721;
pub(super) const NEUTRAL: u16 = 50728;
pub(super) const ILLUMINANT: u16 = 50778;

/// The value of PHOTOMETRIC for a mosaic.
pub(super) const CFA: u32 = 32803;

/// Names for messages, as in the specifications.
pub(super) fn name(tag: u16) -> String {
    let name = match tag {
        WIDTH => "ImageWidth",
        HEIGHT => "ImageLength",
        BITS => "BitsPerSample",
        COMPRESSION => "Compression",
        PHOTOMETRIC => "PhotometricInterpretation",
        STRIP_OFFSETS => "StripOffsets",
        STRIP_BYTES => "StripByteCounts",
        SAMPLES => "SamplesPerPixel",
        SUB_DIRECTORIES => "SubIFDs",
        TILE_WIDTH => "TileWidth",
        CFA_SIZE => "CFARepeatPatternDim",
        CFA_PATTERN => "CFAPattern",
        BLACK => "BlackLevel",
        WHITE => "WhiteLevel",
        COLOUR_MATRIX => "ColorMatrix1",
        NEUTRAL => "AsShotNeutral",
        MAKE => "Make",
        MODEL => "Model",
        other => return format!("tag {other}"),
    };
    format!("{name} ({tag})")
}
