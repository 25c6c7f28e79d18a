//! `gt.txt`, `det.txt` and `SNMOT-116.txt`: boxes of tracks, one a line.
//!
//! Frame (from 1), identity, left, top, width, height, confidence, class and two numbers unused.

use crate::{Error, Judge, Result};

/// One box of a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The picture, from 1.
    pub frame: usize,
    /// Which track; -1 for detections that belong to none.
    pub id: i64,
    /// Left, top, width and height in pixels.
    pub rect: [f64; 4],
    /// 0 takes a box of the ground truth out of the evaluation.
    pub confidence: f64,
    /// -1 where classes do not matter.
    pub class: i64,
}

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `gt.txt`: 8 values or more a line.
    Truth,
    /// A submission: 7 values or more a line.
    Tracks,
    /// `det.txt`: boxes that belong to no track, all with the identity -1.
    Detections,
}

/// Reads a file for a sequence of so many pictures. Odd is a box without area.
///
/// # Errors
///
/// At a line of less than 7 values (8 in the ground truth), at what is
/// no number, at a frame outside of the sequence, at an identity that a frame has twice, and at what
/// the judge refuses.
pub fn read(
    bytes: &[u8],
    file: &str,
    length: usize,
    kind: Kind,
    judge: &mut Judge,
) -> Result<Vec<Row>> {
    let text = String::from_utf8_lossy(bytes);
    let mut rows: Vec<Row> = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fault = |problem: String| Error::entry(file, format!("line {}", number + 1), problem);
        let row = row(line, kind).map_err(fault)?;
        if row.frame < 1 || row.frame > length {
            return Err(fault(format!("frame {}; 1 to {length} was expected", row.frame)));
        }
        let first = seen.insert((row.frame, row.id), number + 1);
        if let Some(first) = first.filter(|_| kind != Kind::Detections) {
            let (id, frame) = (row.id, row.frame);
            return Err(fault(format!(
                "identity {id} is in frame {frame} already, in line {first}"
            )));
        }
        if row.rect[2] <= 0.0 || row.rect[3] <= 0.0 {
            let size = format!("{} by {}", row.rect[2], row.rect[3]);
            judge.odd(fault(format!("a box of {size}; more than 0 pixels were expected")))?;
        }
        rows.push(row);
    }
    Ok(rows)
}

fn row(line: &str, kind: Kind) -> std::result::Result<Row, String> {
    let separator = if line.contains(',') { ',' } else { ' ' };
    let cells = line.trim().trim_end_matches(',').split(separator).map(str::trim);
    let (mut n, mut count) = ([0.0; 8], 0);
    for cell in cells.filter(|cell| !cell.is_empty()) {
        let number = cell.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = number.ok_or_else(|| format!("{cell:?} is no number"))?;
        n.iter_mut().skip(count).take(1).for_each(|value| *value = number);
        count += 1;
    }
    let fewest = if kind == Kind::Truth { 8 } else { 7 };
    if count < fewest {
        return Err(format!("{count} values; {fewest} or more were expected"));
    }
    let least_id = if kind == Kind::Detections { -1.0 } else { 0.0 };
    if n[0].fract() != 0.0 || n[0] < 0.0 || n[1].fract() != 0.0 || n[1] < least_id {
        return Err(format!(
            "frame {} and identity {}; whole numbers from 0 were expected",
            n[0], n[1]
        ));
    }
    let class = if count > 7 { n[7] as i64 } else { 1 };
    if kind != Kind::Truth && class > 1 {
        return Err(format!("class {class}; 1 or -1 was expected"));
    }
    let rect = [n[2], n[3], n[4], n[5]];
    Ok(Row { frame: n[0] as usize, id: n[1] as i64, rect, confidence: n[6], class })
}

/// The file's content.
pub fn write(rows: &[Row]) -> Vec<u8> {
    let line = |row: &Row| {
        let [left, top, width, height] = row.rect;
        let (frame, id, confidence, class) = (row.frame, row.id, row.confidence, row.class);
        format!("{frame},{id},{left},{top},{width},{height},{confidence},{class},-1,-1\n")
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Row>> {
        super::read(text.as_bytes(), "S.txt", 3, Kind::Tracks, &mut Judge::strict())
    }

    #[test]
    fn what_is_read_is_written() {
        let text = "1,7,399,182.5,121,229,1,-1,-1,-1\n3,7,1,2,3,4,0.5,-1,-1,-1\n";
        let rows = read(text).unwrap();
        assert_eq!((rows[0].rect[1], rows[1].confidence), (182.5, 0.5));
        assert_eq!(write(&rows), text.as_bytes());
        assert_eq!(read("1 7 1 2 3 4 1\n\n").unwrap()[0].class, 1);
    }

    #[test]
    fn detections_have_no_identity() {
        let text = b"1,-1,0,0,5,5,1\n1,-1,9,9,5,5,1\n";
        let read = |kind| super::read(text, "det.txt", 3, kind, &mut Judge::strict());
        assert_eq!(read(Kind::Detections).unwrap().len(), 2);
        assert!(read(Kind::Tracks).is_err());
    }

    #[test]
    fn wrong_lines_are_named() {
        let error =
            |line: &str| read(&format!("1,1,0,0,5,5,1,-1,-1,-1\n{line}")).unwrap_err().to_string();
        assert_eq!(error("4,1,0,0,5,5,1"), "S.txt: line 2: frame 4; 1 to 3 was expected");
        let expected = "S.txt: line 2: identity 1 is in frame 1 already, in line 1";
        assert_eq!(error("1,1,9,9,5,5,1"), expected);
        assert!(error("0,1,0,0,5,5,1").contains("frame 0; 1 to 3"));
        assert!(error("2,1,0,0,5,5").contains("6 values; 7 or more were expected"));
        assert!(error("2,1,0,x,5,5,1").contains("\"x\" is no number"));
        assert!(error("2,1,0,nan,5,5,1").contains("\"nan\" is no number"));
        assert!(error("2,-1,0,0,5,5,1").contains("whole numbers from 0"));
        assert!(error("2,1,0,0,0,5,1").contains("a box of 0 by 5"));
        assert!(error("2,1,0,0,5,5,1,2").contains("class 2; 1 or -1"));
        assert!(error("2,1").contains("2 values"));
    }
}
