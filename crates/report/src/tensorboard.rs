//! Event files for TensorBoard, with scalars over steps only.
//!
//! A file is a list of records: length as 8 bytes, its checksum, the event, its checksum
//! (<https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h>).
//! An event is a protocol buffer: wall time 1, step 2, version 3, summary 5; a summary has values 1,
//! each a tag 1 and a number 2
//! (<https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/event.proto>).
//!
//! Steps are logged here without a clock, so the wall time of an event is its step number.

use std::collections::BTreeMap;

/// One number at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The number of completed steps.
    pub step: u64,
    /// The name of the scalar; a part before a slash is its group.
    pub tag: String,
    /// The number.
    pub value: f64,
}

/// The content of an event file.
pub fn events(scalars: &[Scalar]) -> Vec<u8> {
    let mut file = record(&event(0, &text(3, "brain.Event:2")));
    let mut steps: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for Scalar { step, tag, value } in scalars {
        let number = [&[key(2, 5)][..], &(*value as f32).to_le_bytes()].concat();
        let one = [text(1, tag), number].concat();
        steps.entry(*step).or_default().extend(bytes(1, &one));
    }
    for (step, summary) in steps {
        file.extend(record(&event(step, &bytes(5, &summary))));
    }
    file
}

fn event(step: u64, what: &[u8]) -> Vec<u8> {
    let time = (step as f64).to_le_bytes();
    [&[key(1, 1)][..], &time, &[key(2, 0)], &varint(step), what].concat()
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let sum = |bytes: &[u8]| masked(crc32c(bytes)).to_le_bytes();
    [&length[..], &sum(&length), event, &sum(event)].concat()
}

/// The key of a field: its number and its wire type, 0 for varint, 1 for eight bytes, 2 for length-prefixed,
/// 5 for four bytes.
fn key(field: u8, kind: u8) -> u8 {
    (field << 3) | kind
}

fn text(field: u8, text: &str) -> Vec<u8> {
    bytes(field, text.as_bytes())
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    [&[key(field, 2)][..], &varint(content.len() as u64), content].concat()
}

/// A varint: seven bits per byte, the lowest first; the highest bit of a byte is set if more bytes follow.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push((number as u8) | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// CRC-32C, bit by bit. Castagnoli et al. 1993. <https://doi.org/10.1109/26.231911>
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

/// The checksum in its stored form, masked so that a file inside of a file is not taken for one.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, B.4
    }

    #[test]
    fn numbers_are_written_seven_bits_a_byte() {
        assert_eq!(varint(1), [1]);
        assert_eq!(varint(300), [0b1010_1100, 0b10]);
    }

    #[test]
    fn a_file_by_hand() {
        let scalar = |step, value| Scalar { step, tag: "a".into(), value };
        let file = events(&[scalar(1, 0.5), scalar(1, 1.5)]);
        // The version event: 8 + 4 bytes, then 9 + 2 + 2 + 13, then 4; its length comes first.
        assert_eq!(file[..8], 26_u64.to_le_bytes());
        assert_eq!(&file[12 + 13..12 + 26], b"brain.Event:2");
        let second = &file[42..];
        let value = [10, 8, 10, 1, b'a', 21]; // value of 8 bytes: tag "a", number
        let summary = [&value[..], &0.5_f32.to_le_bytes(), &value, &1.5_f32.to_le_bytes()].concat();
        assert_eq!(second[12 + 9..12 + 13], [16, 1, 42, 20]);
        assert_eq!(second[12 + 13..12 + 33], summary);
        assert_eq!(second.len(), 12 + 33 + 4);
    }
}
