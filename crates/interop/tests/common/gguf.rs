//! GGUF files, assembled from parts.

/// An entry of metadata, or a list of them.
pub(crate) fn entry(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(name), &kind.to_le_bytes()[..], value].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// The header entry of a tensor.
pub(crate) fn tensor(name: &str, shape: &[u64], format: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((shape.len() as u32).to_le_bytes());
    shape.iter().rev().for_each(|size| bytes.extend(size.to_le_bytes()));
    bytes.extend(format.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

pub(crate) fn architecture(name: &str) -> Vec<u8> {
    entry("general.architecture", 8, &text(name))
}

/// A file of version 3 with these entries and tensors, and `numbers` bytes of data, all 0.
pub(crate) fn file(entries: &[Vec<u8>], tensors: &[Vec<u8>], numbers: usize) -> Vec<u8> {
    file_with(entries, tensors, &vec![0; numbers])
}

/// A file of version 3 with these entries, tensors and data.
pub(crate) fn file_with(entries: &[Vec<u8>], tensors: &[Vec<u8>], numbers: &[u8]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((entries.len() as u64).to_le_bytes());
    bytes.extend(entries.concat());
    bytes.extend(tensors.concat());
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend(numbers);
    bytes
}
