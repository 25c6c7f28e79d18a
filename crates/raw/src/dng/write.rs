//! Writes a mosaic as a DNG file.

use super::{Dng, tag};

/// An entry: tag, kind, count, bytes.
type Entry = (u16, u16, u32, Vec<u8>);

/// The bytes of the file.
///
/// # Errors
///
/// If the mosaic is too large for a file with 32-bit offsets, a level is not a whole number, or a number of
/// `neutral` or `matrix` is not finite.
pub fn write(dng: &Dng) -> Result<Vec<u8>, String> {
    let mosaic = &dng.mosaic;
    let size = u32::try_from(2 * mosaic.values.len()).ok().filter(|size| *size < u32::MAX / 2);
    let size = size.ok_or_else(|| {
        format!("{} x {} pixels: too many for a DNG file", mosaic.width, mosaic.height)
    })?;
    let mut entries = entries(dng, size)?;
    // Header, number of entries, entries, the next directory, values that do not fit into an entry.
    let mut end = 8 + 2 + 12 * entries.len() as u32 + 4;
    let places: Vec<u32> = entries
        .iter()
        .map(|(.., bytes)| {
            let place = end;
            end += if bytes.len() > 4 { bytes.len().next_multiple_of(2) as u32 } else { 0 };
            place
        })
        .collect();
    if let Some(strip) = entries.iter_mut().find(|entry| entry.0 == tag::STRIP_OFFSETS) {
        strip.3 = end.to_le_bytes().to_vec();
    }
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for ((tag, kind, count, bytes), place) in entries.iter().zip(places) {
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend(count.to_le_bytes());
        let mut value = if bytes.len() > 4 { place.to_le_bytes().to_vec() } else { bytes.clone() };
        value.resize(4, 0);
        file.extend(value);
    }
    file.extend([0; 4]);
    for (.., bytes) in entries.iter().filter(|(.., bytes)| bytes.len() > 4) {
        file.extend(bytes);
        file.resize(file.len().next_multiple_of(2), 0);
    }
    file.extend(mosaic.values.iter().flat_map(|value| value.to_le_bytes()));
    Ok(file)
}

/// The entries, in the order of their tags.
fn entries(dng: &Dng, size: u32) -> Result<Vec<Entry>, String> {
    let mosaic = &dng.mosaic;
    let short = |tag, value: u16| (tag, tag::SHORT, 1, value.to_le_bytes().to_vec());
    let long = |tag, value: u32| (tag, tag::LONG, 1, value.to_le_bytes().to_vec());
    let bytes = |tag, value: [u8; 4]| (tag, tag::BYTE, 4, value.to_vec());
    let text = |tag, text: &str| {
        let bytes = [text.as_bytes(), &[0]].concat();
        (tag, tag::ASCII, bytes.len() as u32, bytes)
    };
    let (width, height) = (mosaic.width as u32, mosaic.height as u32);
    let model = format!("{} {}", dng.make, dng.model);
    Ok(vec![
        long(tag::NEW_SUBFILE_TYPE, 0),
        long(tag::WIDTH, width),
        long(tag::HEIGHT, height),
        short(tag::BITS, 16),
        short(tag::COMPRESSION, 1),
        short(tag::PHOTOMETRIC, tag::CFA as u16),
        text(tag::MAKE, &dng.make),
        text(tag::MODEL, &dng.model),
        long(tag::STRIP_OFFSETS, 0), // set when all entries are known
        short(tag::ORIENTATION, 1),
        short(tag::SAMPLES, 1),
        long(tag::ROWS_PER_STRIP, height),
        long(tag::STRIP_BYTES, size),
        short(tag::PLANAR, 1),
        (tag::CFA_SIZE, tag::SHORT, 2, vec![2, 0, 2, 0]),
        bytes(tag::CFA_PATTERN, mosaic.cfa.codes()),
        bytes(tag::DNG_VERSION, [1, 4, 0, 0]),
        bytes(tag::DNG_BACKWARD, [1, 1, 0, 0]),
        text(tag::UNIQUE_MODEL, &model),
        long(tag::BLACK, level("black", mosaic.black)?),
        long(tag::WHITE, level("white", mosaic.white)?),
        rationals(tag::COLOUR_MATRIX, tag::SRATIONAL, &dng.matrix)?,
        rationals(tag::NEUTRAL, tag::RATIONAL, &dng.neutral)?,
        short(tag::ILLUMINANT, 21),
    ])
}

fn level(name: &str, level: f32) -> Result<u32, String> {
    match level.fract() == 0.0 && (0.0..=16_777_216.0).contains(&level) {
        true => Ok(level as u32),
        false => Err(format!("{name} level {level}: must be a whole number in a DNG file")),
    }
}

/// An entry of fractions in millionths.
fn rationals(tag: u16, kind: u16, numbers: &[f32]) -> Result<Entry, String> {
    const MILLION: i32 = 1_000_000;
    let mut bytes = Vec::new();
    for number in numbers {
        let millionths = (f64::from(*number) * f64::from(MILLION)).round();
        let least = if kind == tag::RATIONAL { 0.0 } else { f64::from(i32::MIN) };
        if !(least..=f64::from(i32::MAX)).contains(&millionths) {
            let name = super::tag::name(tag);
            return Err(format!("{name}: {number} cannot be written as a number of millionths"));
        }
        bytes.extend((millionths as i32).to_le_bytes());
        bytes.extend(MILLION.to_le_bytes());
    }
    Ok((tag, kind, numbers.len() as u32, bytes))
}

#[cfg(test)]
mod tests {
    use super::super::tests::dng;
    use super::*;

    #[test]
    fn twenty_four_entries_in_order() {
        let dng = dng();
        let entries = entries(&dng, 48).unwrap();
        assert_eq!(entries.len(), 24);
        assert!(entries.is_sorted_by_key(|entry| entry.0));
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let mut broken = dng();
        broken.mosaic.black = 0.5;
        assert_eq!(
            write(&broken).unwrap_err(),
            "black level 0.5: must be a whole number in a DNG file"
        );
        let mut negative = dng();
        negative.neutral[1] = -1.0;
        assert!(
            write(&negative).unwrap_err().contains("AsShotNeutral (50728): -1 cannot be written")
        );
        let mut endless = dng();
        endless.matrix[0] = f32::NAN;
        assert!(write(&endless).is_err());
    }
}
