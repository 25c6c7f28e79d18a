//! Packing of several messages into one.

/// The concatenated messages, each after its length.
pub(crate) fn pack<T: AsRef<[u8]>>(messages: &[T]) -> Vec<u8> {
    let one = |message: &T| {
        let bytes = message.as_ref();
        [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
    };
    messages.iter().flat_map(one).collect()
}

/// The messages that [`pack`] has packed.
///
/// # Panics
/// If the bytes are truncated.
pub(crate) fn unpack(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut left, mut messages) = (bytes, Vec::new());
    while let Some((length, rest)) = left.split_first_chunk::<8>() {
        let (message, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
        messages.push(message.to_vec());
        left = rest;
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        for messages in [vec![], vec![vec![]], vec![vec![1, 2], vec![], vec![3]]] {
            assert_eq!(unpack(&pack(&messages)), messages);
        }
    }
}
