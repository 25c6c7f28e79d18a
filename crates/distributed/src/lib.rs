//! Several processes of one run: a [`Communicator`] between them, and sums whose bits do not depend on the
//! network.
//!
//! A *rank* is the number of a process, from 0. All ranks make the same calls in the same order; each
//! call has a label, and a mismatch of labels is an error rather than a misread message. [`threads`] makes
//! ranks within one process, for tests; the crate `cluster` makes those of MPI.
//!
//! MPI's own sums are not used: with four ranks their order of additions, and therefore their last bits,
//! depend on the sizes and on the network.

mod sum;
mod threads;

use std::fmt::Debug;

pub use sum::{Chunks, add_in_order, gathered_by_first, gathered_bytes_by_first, gathered_numbers};
pub use threads::{Threads, threads};

/// Messages between the ranks of one computation.
///
/// # Panics
/// All methods panic if a rank has ended, or if the ranks' calls are not the same.
pub trait Communicator: Debug + Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;
    /// The number of processes.
    fn size(&self) -> usize;
    /// Sends `to[r]` to rank r, and returns the messages from all ranks to this one, in the order of
    /// ranks.
    fn all_to_all(&self, label: &str, to: Vec<Vec<u8>>) -> Vec<Vec<u8>>;
    /// The bytes of every rank, in the order of ranks.
    fn all_gather(&self, label: &str, own: &[u8]) -> Vec<Vec<u8>>;
    /// The bytes of rank 0; the arguments of the other ranks are ignored.
    fn broadcast(&self, own: &[u8]) -> Vec<u8>;
}

/// The length in bytes of a label's mark, which begins a message.
pub const MARK: usize = 8;

/// A message preceded by its mark.
pub fn marked(label: &str, bytes: &[u8]) -> Vec<u8> {
    [&mark(label), bytes].concat()
}

/// FNV-1a of the label.
fn mark(label: &str) -> [u8; MARK] {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    label.bytes().fold(0xcbf2_9ce4_8422_2325, step).to_le_bytes()
}

/// The message without its mark.
///
/// # Panics
/// If the message belongs to another call than this one.
pub fn unmarked(label: &str, rank: usize, message: Vec<u8>) -> Vec<u8> {
    let same = message.starts_with(&mark(label));
    assert!(same, "ranks are not at the same step: this rank is at {label:?}, rank {rank} is not");
    message[MARK..].to_vec()
}

/// A single process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn all_to_all(&self, _label: &str, to: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        to
    }
    fn all_gather(&self, _label: &str, own: &[u8]) -> Vec<Vec<u8>> {
        vec![own.to_vec()]
    }
    fn broadcast(&self, own: &[u8]) -> Vec<u8> {
        own.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_each_message_comes_back() {
        let alone = Alone;
        assert_eq!(alone.all_to_all("a", vec![vec![1, 2]]), [[1, 2]]);
        assert_eq!((alone.all_gather("a", &[3]), alone.broadcast(&[4])), (vec![vec![3]], vec![4]));
    }

    #[test]
    #[should_panic(expected = "this rank is at \"gradients\", rank 3 is not")]
    fn a_message_of_another_call_is_noticed() {
        assert_eq!(unmarked("a", 0, marked("a", &[1])), [1]);
        unmarked("gradients", 3, marked("losses", &[]));
    }
}
