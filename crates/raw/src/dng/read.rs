//! Reads the mosaic of a DNG file.

use super::{Dng, tag};
use crate::{Cfa, Colour, Error, Mosaic, Result};

/// Reads the mosaic of a DNG file, and the parameters of its conversion.
///
/// # Errors
///
/// If the file is damaged, or has no uncompressed mosaic of 16 bits in strips.
pub fn read(bytes: &[u8], file: &str) -> Result<Dng> {
    let fault = |(entry, problem): Fault| Error::entry(file, entry, problem);
    let tiff = Tiff::open(bytes).map_err(fault)?;
    let first = tiff.directory(tiff.first).map_err(fault)?;
    let mosaic = tiff.with_mosaic(&first).map_err(fault)?;
    tiff.dng(&first, &mosaic).map_err(fault)
}

/// A fault: the place, and the problem there.
type Fault = (String, String);

fn at(tag: u16, problem: impl Into<String>) -> Fault {
    (tag::name(tag), problem.into())
}

fn whole(problem: impl Into<String>) -> Fault {
    (String::new(), problem.into())
}

/// The maximum number of directories below the first one: the mosaic, and previews of it.
const SUB_DIRECTORIES: usize = 64;

/// An entry: tag, kind, count, and the offset of the value.
type Entry = (u16, u16, usize, usize);

struct Tiff<'a> {
    bytes: &'a [u8],
    big: bool,
    first: usize,
}

impl<'a> Tiff<'a> {
    fn open(bytes: &'a [u8]) -> Checked<Self> {
        let big = match bytes.get(..4) {
            Some(b"II*\0") => false,
            Some(b"MM\0*") => true,
            _ => return Err(whole("not a TIFF or DNG file: it does not begin with II* or MM*")),
        };
        let mut tiff = Self { bytes, big, first: 0 };
        tiff.first = tiff.number(4, 4)? as usize;
        Ok(tiff)
    }

    fn part(&self, from: usize, many: usize) -> Checked<&'a [u8]> {
        let part = from.checked_add(many).and_then(|end| self.bytes.get(from..end));
        part.ok_or_else(|| {
            let size = self.bytes.len();
            whole(format!(
                "it is cut off: {many} bytes are needed at byte {from}, but it has {size}"
            ))
        })
    }

    /// A whole number of 1, 2 or 4 bytes.
    fn number(&self, from: usize, many: usize) -> Checked<u32> {
        let join = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
        let part = self.part(from, many)?;
        Ok(if self.big { part.iter().fold(0, join) } else { part.iter().rev().fold(0, join) })
    }

    fn directory(&self, from: usize) -> Checked<Vec<Entry>> {
        let count = self.number(from, 2)? as usize;
        let entry = |i: usize| {
            let from = from + 2 + 12 * i;
            let (tag, kind) = (self.number(from, 2)? as u16, self.number(from + 2, 2)? as u16);
            let count = self.number(from + 4, 4)? as usize;
            let size = size(kind).saturating_mul(count);
            let place = if size > 4 { self.number(from + 8, 4)? as usize } else { from + 8 };
            Ok((tag, kind, count, place))
        };
        (0..count).map(entry).collect()
    }

    /// The directory that has the mosaic: this one, or one below it.
    fn with_mosaic(&self, first: &[Entry]) -> Checked<Vec<Entry>> {
        let is_mosaic = |directory: &[Entry]| -> Checked<bool> {
            Ok(self.one(directory, tag::PHOTOMETRIC)? == Some(tag::CFA))
        };
        if is_mosaic(first)? {
            return Ok(first.to_vec());
        }
        let below = self.numbers(first, tag::SUB_DIRECTORIES)?.unwrap_or_default();
        if below.len() > SUB_DIRECTORIES {
            let problem = format!("{}; expected at most {SUB_DIRECTORIES}", below.len());
            return Err(at(tag::SUB_DIRECTORIES, problem));
        }
        for (i, place) in below.iter().enumerate() {
            if below[..i].contains(place) {
                let problem = format!("two of them are at byte {place}");
                return Err(at(tag::SUB_DIRECTORIES, problem));
            }
            let directory = self.directory(*place as usize)?;
            if is_mosaic(&directory)? {
                return Ok(directory);
            }
        }
        Err(at(tag::PHOTOMETRIC, "no directory has the value 32803, a mosaic"))
    }

    /// The whole numbers of an entry, if it exists.
    fn numbers(&self, directory: &[Entry], tag: u16) -> Checked<Option<Vec<u32>>> {
        let found = directory.iter().find(|entry| entry.0 == tag);
        let Some((_, kind, count, place)) = found.copied() else { return Ok(None) };
        if ![tag::BYTE, tag::SHORT, tag::LONG, 13].contains(&kind) {
            return Err(at(tag, format!("its kind is {kind}; expected whole numbers")));
        }
        let size = size(kind);
        self.part(place, size.saturating_mul(count))?;
        (0..count).map(|i| self.number(place + size * i, size)).collect::<Checked<_>>().map(Some)
    }

    /// The single number of an entry, if it exists.
    fn one(&self, directory: &[Entry], tag: u16) -> Checked<Option<u32>> {
        match self.numbers(directory, tag)?.as_deref() {
            None => Ok(None),
            Some([one]) => Ok(Some(*one)),
            Some(all) => Err(at(tag, format!("{} numbers; expected one", all.len()))),
        }
    }

    /// Fractions, or whole numbers, if the entry exists.
    fn fractions(&self, directory: &[Entry], tag: u16) -> Checked<Option<Vec<f32>>> {
        let found = directory.iter().find(|entry| entry.0 == tag);
        let Some((_, kind, count, place)) = found.copied() else { return Ok(None) };
        if ![tag::RATIONAL, tag::SRATIONAL].contains(&kind) {
            let numbers = self.numbers(directory, tag)?.unwrap_or_default();
            return Ok(Some(numbers.into_iter().map(|number| number as f32).collect()));
        }
        self.part(place, count.saturating_mul(8))?;
        let fraction = |i: usize| {
            let parts = [self.number(place + 8 * i, 4)?, self.number(place + 8 * i + 4, 4)?];
            let [above, below] = match kind == tag::SRATIONAL {
                true => parts.map(|part| f64::from(part as i32)),
                false => parts.map(f64::from),
            };
            match below == 0.0 {
                true => Err(at(tag, format!("fraction {above}/0"))),
                false => Ok((above / below) as f32),
            }
        };
        (0..count).map(fraction).collect::<Checked<_>>().map(Some)
    }

    fn text(&self, directory: &[Entry], tag: u16) -> Checked<String> {
        let found = directory.iter().find(|entry| entry.0 == tag && entry.1 == tag::ASCII);
        let Some((.., count, place)) = found.copied() else { return Ok(String::new()) };
        let bytes = self.part(place, count)?;
        Ok(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string())
    }

    fn dng(&self, first: &[Entry], of: &[Entry]) -> Checked<Dng> {
        if of.iter().any(|entry| entry.0 == tag::TILE_WIDTH) {
            return Err(at(tag::TILE_WIDTH, "the image is stored in tiles; expected strips"));
        }
        for (tag, expected, default) in
            [(tag::COMPRESSION, 1, 1), (tag::BITS, 16, 1), (tag::SAMPLES, 1, 1)]
        {
            let found = self.one(of, tag)?.unwrap_or(default);
            if found != expected {
                return Err(at(tag, format!("{found}; expected {expected}")));
            }
        }
        let needed = |tag| self.one(of, tag)?.ok_or_else(|| at(tag, "it is missing"));
        let (width, height) = (needed(tag::WIDTH)? as usize, needed(tag::HEIGHT)? as usize);
        let values = self.strips(of, [width, height])?;
        let levels = [self.level(of, tag::BLACK, 0.0)?, self.level(of, tag::WHITE, 65535.0)?];
        let mosaic = Mosaic::new([width, height], self.cfa(of)?, levels, values).map_err(whole)?;
        let neutral = self.fractions(first, tag::NEUTRAL)?.unwrap_or_else(|| vec![1.0; 3]);
        let matrix = self.fractions(first, tag::COLOUR_MATRIX)?;
        let matrix = matrix.ok_or_else(|| at(tag::COLOUR_MATRIX, "it is missing"))?;
        let many = |tag, found: usize, expected: usize| {
            at(tag, format!("{found} numbers; expected {expected}"))
        };
        Ok(Dng {
            mosaic,
            make: self.text(first, tag::MAKE)?,
            model: self.text(first, tag::MODEL)?,
            neutral: neutral
                .try_into()
                .map_err(|all: Vec<f32>| many(tag::NEUTRAL, all.len(), 3))?,
            matrix: matrix
                .try_into()
                .map_err(|all: Vec<f32>| many(tag::COLOUR_MATRIX, all.len(), 9))?,
        })
    }

    fn cfa(&self, of: &[Entry]) -> Checked<Cfa> {
        let size = self.numbers(of, tag::CFA_SIZE)?.unwrap_or_default();
        if size != [2, 2] {
            return Err(at(tag::CFA_SIZE, format!("{}; expected [2, 2]", shown(&size))));
        }
        let codes = self.numbers(of, tag::CFA_PATTERN)?.unwrap_or_default();
        let colour = |code: &u32| match code {
            0 => Some(Colour::Red),
            1 => Some(Colour::Green),
            2 => Some(Colour::Blue),
            _ => None,
        };
        let colours: Option<Vec<Colour>> = codes.iter().map(colour).collect();
        let colours = colours.and_then(|colours| colours.try_into().ok()).ok_or_else(|| {
            let codes = shown(&codes);
            let problem = format!("{codes}; expected four of 0 (red), 1 (green), 2 (blue)");
            at(tag::CFA_PATTERN, problem)
        })?;
        Cfa::new(colours).map_err(|problem| at(tag::CFA_PATTERN, problem))
    }

    /// A level, which must be the same for all pixels.
    fn level(&self, of: &[Entry], tag: u16, default: f32) -> Checked<f32> {
        let levels = self.fractions(of, tag)?.unwrap_or_else(|| vec![default]);
        match levels[..] {
            [first, ..] if levels.iter().all(|level| *level == first) => Ok(first),
            _ => {
                let levels = shown(&levels);
                Err(at(tag, format!("{levels}; expected one level for all pixels")))
            }
        }
    }

    /// The numbers of all strips.
    fn strips(&self, of: &[Entry], [width, height]: [usize; 2]) -> Checked<Vec<u16>> {
        let list = |tag| self.numbers(of, tag)?.ok_or_else(|| at(tag, "it is missing"));
        let (places, sizes) = (list(tag::STRIP_OFFSETS)?, list(tag::STRIP_BYTES)?);
        if places.len() != sizes.len() {
            let problem = format!("{} strips, but {} sizes", places.len(), sizes.len());
            return Err(at(tag::STRIP_BYTES, problem));
        }
        let needed = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(2));
        let there: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
        if needed.map(|needed| needed as u64) != Some(there) {
            let problem = format!("{there} bytes; expected {width} x {height} pixels of 16 bits");
            return Err(at(tag::STRIP_BYTES, problem));
        }
        let size = self.bytes.len();
        if there > size as u64 {
            let problem = format!("{there} bytes, more than the {size} of the file");
            return Err(at(tag::STRIP_BYTES, problem));
        }
        let mut values = Vec::with_capacity(width * height);
        for (place, size) in places.into_iter().zip(sizes) {
            let pairs = self.part(place as usize, size as usize)?.as_chunks::<2>().0;
            values.extend(pairs.iter().map(|pair| match self.big {
                true => u16::from_be_bytes(*pair),
                false => u16::from_le_bytes(*pair),
            }));
        }
        Ok(values)
    }
}

/// Numbers for a message, shortened to a few lines.
fn shown<T: std::fmt::Debug>(numbers: &[T]) -> String {
    match numbers.len() {
        ..=16 => format!("{numbers:?}"),
        many => format!("{many} numbers"),
    }
}

type Checked<T> = std::result::Result<T, Fault>;

/// The bytes of a number of this kind; 1 for an unknown kind.
fn size(kind: u16) -> usize {
    match kind {
        tag::SHORT => 2,
        tag::LONG | 13 => 4,
        tag::RATIONAL | tag::SRATIONAL => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{tests::dng, write};
    use super::*;

    /// The file with the value of an entry changed.
    fn changed(tag: u16, value: u32) -> String {
        let mut bytes = write(&dng()).unwrap();
        let from = (0..24).map(|i| 10 + 12 * i).find(|at| bytes[*at..*at + 2] == tag.to_le_bytes());
        let from = from.unwrap() + 8;
        bytes[from..from + 4].copy_from_slice(&value.to_le_bytes());
        read(&bytes, "a.dng").unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_entry() {
        for (tag, value, expected) in [
            (tag::COMPRESSION, 7, "a.dng: Compression (259): 7; expected 1"),
            (tag::BITS, 12, "a.dng: BitsPerSample (258): 12; expected 16"),
            (tag::PHOTOMETRIC, 2, "no directory has the value 32803, a mosaic"),
            (tag::WIDTH, 7, "StripByteCounts (279): 48 bytes; expected 7 x 4 pixels of 16 bits"),
            (tag::CFA_SIZE, 0x0006_0006, "CFARepeatPatternDim (33421): [6, 6]; expected [2, 2]"),
            (tag::CFA_PATTERN, 0x0202_0202, "CFAPattern (33422): pattern BBBB; known: RGGB"),
            (tag::CFA_PATTERN, 9, "CFAPattern (33422): [9, 0, 0, 0]; expected four of 0 (red)"),
            (tag::BLACK, 65001, "black level 65001, white level 65000"),
            (tag::STRIP_OFFSETS, u32::MAX, "it is cut off"),
        ] {
            let found = changed(tag, value);
            assert!(found.contains(expected), "{found}");
        }
        let other = read(b"\x89PNG", "a.dng").unwrap_err().to_string();
        assert_eq!(other, "a.dng: not a TIFF or DNG file: it does not begin with II* or MM*");
    }

    /// A file whose first directory has entries of the kind LONG, each with a list of numbers.
    fn listing(lists: &[(u16, Vec<u32>)]) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend((lists.len() as u16).to_le_bytes());
        let mut end = 8 + 2 + 12 * lists.len() + 4;
        for (tag, list) in lists {
            let place = if list.len() > 1 { end as u32 } else { list[0] };
            bytes.extend([tag.to_le_bytes(), tag::LONG.to_le_bytes()].concat());
            bytes.extend([(list.len() as u32).to_le_bytes(), place.to_le_bytes()].concat());
            end += if list.len() > 1 { 4 * list.len() } else { 0 };
        }
        bytes.extend([0; 4]);
        let long = lists.iter().filter(|(_, list)| list.len() > 1);
        bytes.extend(long.flat_map(|(_, list)| list).flat_map(|number| number.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_small_file_has_no_large_mosaic_and_no_endless_directories() {
        let error =
            |lists: &[(u16, Vec<u32>)]| read(&listing(lists), "a.dng").unwrap_err().to_string();
        // A thousand strips at the same place.
        let strips = [
            (tag::WIDTH, vec![1000]),
            (tag::HEIGHT, vec![1000]),
            (tag::BITS, vec![16]),
            (tag::PHOTOMETRIC, vec![tag::CFA]),
            (tag::STRIP_OFFSETS, vec![8; 1000]),
            (tag::STRIP_BYTES, vec![2000; 1000]),
        ];
        let expected =
            "a.dng: StripByteCounts (279): 2000000 bytes, more than the 8086 of the file";
        assert_eq!(error(&strips), expected);
        let below = |places: Vec<u32>| error(&[(tag::SUB_DIRECTORIES, places)]);
        assert_eq!(below(vec![8; 65]), "a.dng: SubIFDs (330): 65; expected at most 64");
        assert_eq!(below(vec![8; 64]), "a.dng: SubIFDs (330): two of them are at byte 8");
        let pattern = [
            (tag::WIDTH, vec![1]),
            (tag::HEIGHT, vec![1]),
            (tag::BITS, vec![16]),
            (tag::PHOTOMETRIC, vec![tag::CFA]),
            (tag::STRIP_OFFSETS, vec![8]),
            (tag::STRIP_BYTES, vec![2]),
            (tag::CFA_SIZE, vec![2; 1000]),
        ];
        let expected = "a.dng: CFARepeatPatternDim (33421): 1000 numbers; expected [2, 2]";
        assert_eq!(error(&pattern), expected);
    }

    /// The same entries with the other order of bytes.
    #[test]
    fn both_orders_of_bytes_are_read() {
        let mut big = b"MM\0*\0\0\0\x08\0\x0a".to_vec();
        let mut entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
            big.extend([tag.to_be_bytes(), kind.to_be_bytes()].concat());
            big.extend(count.to_be_bytes());
            big.extend(value);
        };
        let short = |value: u16| [value.to_be_bytes(), [0; 2]].concat().try_into().unwrap();
        entry(tag::WIDTH, tag::SHORT, 1, short(2));
        entry(tag::HEIGHT, tag::SHORT, 1, short(2));
        entry(tag::BITS, tag::SHORT, 1, short(16));
        entry(tag::PHOTOMETRIC, tag::SHORT, 1, short(32803));
        let end = 8 + 2 + 10 * 12 + 4;
        entry(tag::STRIP_OFFSETS, tag::LONG, 1, u32::to_be_bytes(end));
        entry(tag::STRIP_BYTES, tag::LONG, 1, 8_u32.to_be_bytes());
        entry(tag::CFA_SIZE, tag::SHORT, 2, [0, 2, 0, 2]);
        entry(tag::CFA_PATTERN, tag::BYTE, 4, [2, 1, 1, 0]);
        entry(tag::WHITE, tag::SHORT, 1, short(4095));
        entry(tag::COLOUR_MATRIX, tag::SRATIONAL, 9, u32::to_be_bytes(end + 8));
        big.extend([0; 4]);
        big.extend([0, 1, 0, 2, 0, 3, 1, 0]);
        for i in 0..9_i32 {
            big.extend([(i - 4).to_be_bytes(), 2_i32.to_be_bytes()].concat());
        }
        let dng = read(&big, "b.dng").unwrap();
        assert_eq!((dng.mosaic.values, dng.mosaic.cfa), (vec![1, 2, 3, 256], Cfa::BGGR));
        assert_eq!((dng.mosaic.black, dng.mosaic.white), (0.0, 4095.0));
        assert_eq!(dng.matrix[..2], [-2.0, -1.5]);
    }
}
