//! The header of a GGUF file: numbers, texts and lists, without allocating memory for more than the file can
//! contain.

use std::io::Read;

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::{Map, Number, Value};

/// The largest length of a text, in bytes.
const TEXT: u64 = 1 << 24;
/// The largest length of a list.
const LIST: u64 = 1 << 22;

/// The unread rest of a file of known size.
pub(super) struct HeaderReader<R> {
    from: R,
    at: u64,
    size: u64,
}

impl<R: Read> HeaderReader<R> {
    pub(super) fn new(from: R, size: u64) -> Self {
        Self { from, at: 0, size }
    }

    /// The number of bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Checks that at least `bytes` more bytes follow.
    fn has(&self, bytes: u64) -> anyhow::Result<()> {
        let (at, left) = (self.at, self.size - self.at);
        ensure!(
            bytes <= left,
            "it is cut off: {bytes} bytes are needed at byte {at}, but {left} are left"
        );
        Ok(())
    }

    /// Reads the next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        self.has(N as u64)?;
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// Reads a number of four bytes.
    pub(super) fn small(&mut self) -> anyhow::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a number of eight bytes.
    pub(super) fn number(&mut self) -> anyhow::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a text with its length in front.
    pub(super) fn text(&mut self) -> anyhow::Result<String> {
        let n = self.number()?;
        ensure!(n <= TEXT, "the string has {n} bytes; the limit is {TEXT}");
        self.has(n)?;
        let mut bytes = vec![0; n as usize];
        self.from.read_exact(&mut bytes)?;
        self.at += n;
        String::from_utf8(bytes).map_err(|err| anyhow!("the string is not UTF-8: {err}"))
    }
}

/// Reads the entries of metadata, whose names must be distinct.
pub(super) fn read(
    header: &mut HeaderReader<impl Read>,
    entries: u64,
) -> anyhow::Result<Map<String, Value>> {
    let mut metadata = Map::new();
    for _ in 0..entries {
        let name = header.text().context("the name of a metadata entry")?;
        let kind = header.small()?;
        let value = value(header, kind, false).with_context(|| name.clone())?;
        ensure!(!metadata.contains_key(&name), "{name} occurs twice");
        metadata.insert(name, value);
    }
    Ok(metadata)
}

/// Reads a value whose kind is one of the format's table `gguf_metadata_value_type`.
fn value(header: &mut HeaderReader<impl Read>, kind: u32, listed: bool) -> anyhow::Result<Value> {
    Ok(match kind {
        0 => u8::from_le_bytes(header.array()?).into(),
        1 => i8::from_le_bytes(header.array()?).into(),
        2 => u16::from_le_bytes(header.array()?).into(),
        3 => i16::from_le_bytes(header.array()?).into(),
        4 => header.small()?.into(),
        5 => i32::from_le_bytes(header.array()?).into(),
        6 => single(f32::from_le_bytes(header.array()?))?,
        7 => match header.array()? {
            [0] => false.into(),
            [1] => true.into(),
            [other] => bail!("{other} is neither true nor false"),
        },
        8 => header.text()?.into(),
        9 if listed => bail!("lists of lists are not supported"),
        9 => list(header)?,
        10 => header.number()?.into(),
        11 => i64::from_le_bytes(header.array()?).into(),
        12 => finite(f64::from_le_bytes(header.array()?))?,
        other => bail!("unknown value type {other}; known: 0 to 12"),
    })
}

fn list(header: &mut HeaderReader<impl Read>) -> anyhow::Result<Value> {
    let (kind, n) = (header.small()?, header.number()?);
    ensure!(n <= LIST, "the list has {n} entries; the limit is {LIST}");
    header.has(n)?; // each entry has a byte at least
    (0..n).map(|_| value(header, kind, true)).collect()
}

/// The shortest decimal number that is this one in single precision, which is the number as originally
/// written.
fn single(x: f32) -> anyhow::Result<Value> {
    finite(x.to_string().parse()?)
}

fn finite(x: f64) -> anyhow::Result<Value> {
    let number = Number::from_f64(x).ok_or_else(|| anyhow!("{x} is not a finite number"))?;
    Ok(Value::Number(number))
}
