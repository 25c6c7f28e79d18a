//! `gt.txt`, `det.txt` and `SNMOT-116.txt`: boxes of tracks, one per line.
//!
//! Frame (from 1), identity, left, top, width, height, confidence, class and two numbers unused.

use crate::{Error, Judge, Result};

/// The maximum number of boxes of a frame. All pairs of boxes of a frame are compared; the challenge's frames
/// have about 25.
const BOXES: usize = 1000;

/// One box of a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackedBox {
    /// The frame, from 1.
    pub frame: usize,
    /// The track; -1 for detections that belong to none.
    pub id: i64,
    /// Left, top, width and height in pixels.
    pub rect: [f64; 4],
    /// 0 takes a box of the ground truth out of the evaluation.
    pub confidence: f64,
    /// -1 where classes do not matter.
    pub class: i64,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `gt.txt`: 8 or more values per line.
    Truth,
    /// A submission: 7 or more values per line.
    Tracks,
    /// `det.txt`: boxes that belong to no track, all with the identity -1.
    Detections,
}

/// Reads a file for a sequence of `length` frames. A box without area is reported to `judge`.
///
/// # Errors
///
/// For a line of less than 7 values (8 in the ground truth), a value that is not a number, a frame outside of
/// the sequence, an identity that a frame has twice, a frame of more than 1,000 boxes, and an oddity that the
/// judge refuses.
pub fn read(
    bytes: &[u8],
    file: &str,
    length: usize,
    kind: Kind,
    judge: &mut Judge,
) -> Result<Vec<TrackedBox>> {
    let text = String::from_utf8_lossy(bytes);
    let (mut rows, mut places): (Vec<TrackedBox>, Vec<(usize, i64, usize)>) =
        (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fault = |problem: String| Error::entry(file, format!("line {}", number + 1), problem);
        let row = row(line, kind).map_err(fault)?;
        if row.frame < 1 || row.frame > length {
            return Err(fault(format!("frame {}; expected 1 to {length}", row.frame)));
        }
        if row.rect[2] <= 0.0 || row.rect[3] <= 0.0 {
            let size = format!("{} by {}", row.rect[2], row.rect[3]);
            judge.odd(fault(format!("a box of {size}; expected more than 0 pixels")))?;
        }
        places.push((row.frame, row.id, number + 1));
        rows.push(row);
    }
    places.sort_unstable();
    if kind != Kind::Detections {
        once(&places, file)?;
    }
    few(&places, file)?;
    Ok(rows)
}

/// Checks that no frame has more boxes than the maximum, from frames in order.
fn few(places: &[(usize, i64, usize)], file: &str) -> Result<()> {
    let frames = places.chunk_by(|a, b| a.0 == b.0);
    let Some(frame) = frames.into_iter().find(|frame| frame.len() > BOXES) else { return Ok(()) };
    let (number, count) = (frame[0].0, frame.len());
    let problem = format!("frame {number} has {count} boxes; expected at most {BOXES}");
    Err(Error::file(file, problem))
}

/// Checks that each identity is in a frame at most once, from frame, identity and line in order.
fn once(places: &[(usize, i64, usize)], file: &str) -> Result<()> {
    let pairs = places.windows(2).filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1));
    let Some(pair) = pairs.min_by_key(|pair| pair[1].2) else { return Ok(()) };
    let ((frame, id, first), line) = (pair[0], pair[1].2);
    let problem = format!("identity {id} is in frame {frame} already, in line {first}");
    Err(Error::entry(file, format!("line {line}"), problem))
}

/// The values of a line. With commas, semicolons or tabs as separators no value may be missing, but the line
/// may end with a separator; any number of blanks separates two values.
fn cells(line: &str) -> impl Iterator<Item = &[u8]> {
    let line = line.trim_ascii().as_bytes();
    let separator = *b",;\t".iter().find(|byte| line.contains(byte)).unwrap_or(&b' ');
    let line = line.strip_suffix(&[separator]).unwrap_or(line);
    let cells = line.split(move |byte| *byte == separator).map(<[u8]>::trim_ascii);
    cells.filter(move |cell| separator != b' ' || !cell.is_empty())
}

fn row(line: &str, kind: Kind) -> std::result::Result<TrackedBox, String> {
    let (mut n, mut count) = ([0.0; 8], 0);
    for cell in cells(line) {
        let no_number = || format!("{:?} is not a number", String::from_utf8_lossy(cell));
        let number = number(cell).ok_or_else(no_number)?;
        n.iter_mut().skip(count).take(1).for_each(|value| *value = number);
        count += 1;
    }
    let fewest = if kind == Kind::Truth { 8 } else { 7 };
    if count < fewest {
        return Err(format!("{count} values; expected {fewest} or more"));
    }
    let least_id = if kind == Kind::Detections { -1.0 } else { 0.0 };
    if n[0].fract() != 0.0 || n[0] < 0.0 || n[1].fract() != 0.0 || n[1] < least_id {
        return Err(format!("frame {} and identity {}; expected whole numbers from 0", n[0], n[1]));
    }
    let class = if count > 7 { n[7] as i64 } else { 1 };
    if kind != Kind::Truth && class > 1 {
        return Err(format!("class {class}; expected 1 or -1"));
    }
    let rect = [n[2], n[3], n[4], n[5]];
    Ok(TrackedBox { frame: n[0] as usize, id: n[1] as i64, rect, confidence: n[6], class })
}

/// A finite number.
fn number(cell: &[u8]) -> Option<f64> {
    let general = || std::str::from_utf8(cell).ok()?.parse::<f64>().ok();
    short(cell).or_else(general).filter(|number| number.is_finite())
}

/// A number of up to 15 digits without exponent: a whole number over a power of ten, both of which
/// are exact in double precision, so that their quotient is the nearest number.
fn short(cell: &[u8]) -> Option<f64> {
    let (negative, digits) = match cell {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let (mut whole, mut power, mut point) = (0_u64, 1_u64, false);
    for byte in digits.iter().take(17) {
        match byte {
            b'0'..=b'9' => whole = 10 * whole + u64::from(byte - b'0'),
            b'.' if !point => {
                point = true;
                continue;
            }
            _ => return None,
        }
        power *= if point { 10 } else { 1 };
    }
    let is_short = (1..=15).contains(&(digits.len() - usize::from(point)));
    let number = whole as f64 / power as f64;
    is_short.then_some(if negative { -number } else { number })
}

/// The file's content.
pub fn write(rows: &[TrackedBox]) -> Vec<u8> {
    let line = |row: &TrackedBox| {
        let [left, top, width, height] = row.rect;
        let (frame, id, confidence, class) = (row.frame, row.id, row.confidence, row.class);
        format!("{frame},{id},{left},{top},{width},{height},{confidence},{class},-1,-1\n")
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<TrackedBox>> {
        super::read(text.as_bytes(), "S.txt", 3, Kind::Tracks, &mut Judge::strict())
    }

    #[test]
    fn what_is_read_is_written() {
        let text = "1,7,399,182.5,121,229,1,-1,-1,-1\n3,7,1,2,3,4,0.5,-1,-1,-1\n";
        let rows = read(text).unwrap();
        assert_eq!((rows[0].rect[1], rows[1].confidence), (182.5, 0.5));
        assert_eq!(write(&rows), text.as_bytes());
        let bare = &read("1 7 1  2 3 4 1\n\n").unwrap()[..];
        assert_eq!((bare[0].class, bare[0].rect), (1, [1.0, 2.0, 3.0, 4.0]));
        for text in ["1;7;1;2;3;4;1", "1\t7\t1\t2\t3\t4\t1", "1, 7, 1, 2, 3, 4, 1,"] {
            assert_eq!(read(text).unwrap(), bare, "{text}");
        }
    }

    #[test]
    fn short_numbers_are_those_of_the_standard_library() {
        for text in ["0", "-0", "7", "399.25", "-0.1", "123456789.012345", ".5", "5.", "0.30000"] {
            let parsed: f64 = text.parse().unwrap();
            assert_eq!(short(text.as_bytes()).unwrap().to_bits(), parsed.to_bits(), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1e3",
            "1.2.3",
            "0x1",
            "1234567890.123456",
            "99999999999999999999999",
            "+1",
        ] {
            assert_eq!(short(text.as_bytes()), None, "{text}");
        }
        assert_eq!((number(b"1e3"), number(b"+1"), number(b"inf")), (Some(1e3), Some(1.0), None));
    }

    #[test]
    fn detections_have_no_identity() {
        let text = b"1,-1,0,0,5,5,1\n1,-1,9,9,5,5,1\n";
        let read = |kind| super::read(text, "det.txt", 3, kind, &mut Judge::strict());
        assert_eq!(read(Kind::Detections).unwrap().len(), 2);
        assert!(read(Kind::Tracks).is_err());
    }

    #[test]
    fn a_frame_of_too_many_boxes_is_refused() {
        let lines = |count: usize| -> String {
            (0..count).map(|id| format!("2,{id},0,0,5,5,1\n")).collect()
        };
        assert_eq!(read(&lines(1000)).unwrap().len(), 1000);
        let error = read(&lines(1001)).unwrap_err().to_string();
        assert_eq!(error, "S.txt: frame 2 has 1001 boxes; expected at most 1000");
    }

    #[test]
    fn wrong_lines_are_named() {
        let error =
            |line: &str| read(&format!("1,1,0,0,5,5,1,-1,-1,-1\n{line}")).unwrap_err().to_string();
        assert_eq!(error("4,1,0,0,5,5,1"), "S.txt: line 2: frame 4; expected 1 to 3");
        let expected = "S.txt: line 2: identity 1 is in frame 1 already, in line 1";
        assert_eq!(error("1,1,9,9,5,5,1"), expected);
        assert!(error("0,1,0,0,5,5,1").contains("frame 0; expected 1 to 3"));
        assert!(error("2,1,0,0,5,5").contains("6 values; expected 7 or more"));
        assert!(error("2,1,0,x,5,5,1").contains("\"x\" is not a number"));
        assert!(error("2,1,0,nan,5,5,1").contains("\"nan\" is not a number"));
        assert!(error("2,-1,0,0,5,5,1").contains("whole numbers from 0"));
        assert!(error("2,1,0,0,0,5,1").contains("a box of 0 by 5"));
        assert!(error("2,1,0,0,5,5,1,2").contains("class 2; expected 1 or -1"));
        assert!(error("2,1").contains("2 values"));
        // With a missing value, the later values would be in the wrong columns.
        assert!(error("2,1,,0,0,5,5,1,-1,-1").contains("\"\" is not a number"));
        assert!(error("2,1,0,0,5,5,1,,").contains("\"\" is not a number"));
    }
}
