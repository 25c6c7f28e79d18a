//! MPI calls on byte messages of any length. MPI counts in 31 bits, so longer messages are sent in pieces.

use mpi::{
    Count,
    datatype::{Partition, PartitionMut},
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Root},
};

/// The largest number of bytes in one call, over all messages.
const MOST: usize = 1 << 30;

/// See [`distributed::Communicator::all_to_all`].
pub(crate) fn all_to_all(world: &SimpleCommunicator, to: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let size = to.len();
    let lengths: Vec<u64> = to.iter().map(|bytes| bytes.len() as u64).collect();
    let mut incoming = vec![0_u64; size];
    world.all_to_all_into(&lengths[..], &mut incoming[..]);
    let longest = lengths.iter().chain(&incoming).copied().max().unwrap_or(0);
    let mut got: Vec<Vec<u8>> = incoming.iter().map(|n| Vec::with_capacity(*n as usize)).collect();
    for round in 0..rounds(world, longest) {
        let send: Vec<&[u8]> = to.iter().map(|bytes| piece(bytes, round, size)).collect();
        let expected: Vec<usize> =
            incoming.iter().map(|n| span(*n as usize, round, size).len()).collect();
        let receive = counts(expected.iter().copied());
        let (sent, mut buffer) = (send.concat(), vec![0_u8; expected.iter().sum()]);
        let lengths: Vec<usize> = send.iter().map(|piece| piece.len()).collect();
        let sent = Partition::new(&sent[..], counts(lengths.iter().copied()), places(&lengths));
        let mut into = PartitionMut::new(&mut buffer[..], receive, places(&expected));
        world.all_to_all_varcount_into(&sent, &mut into);
        share_out(&buffer, &expected, &mut got);
    }
    got
}

/// See [`distributed::Communicator::all_gather`].
pub(crate) fn all_gather(world: &SimpleCommunicator, own: &[u8]) -> Vec<Vec<u8>> {
    let size = world.size() as usize;
    let mut lengths = vec![0_u64; size];
    world.all_gather_into(&(own.len() as u64), &mut lengths[..]);
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut got: Vec<Vec<u8>> = lengths.iter().map(|n| Vec::with_capacity(*n as usize)).collect();
    for round in 0..longest.div_ceil(most(size) as u64) as usize {
        let expected: Vec<usize> =
            lengths.iter().map(|n| span(*n as usize, round, size).len()).collect();
        let mut buffer = vec![0_u8; expected.iter().sum()];
        let receive = counts(expected.iter().copied());
        let mut into = PartitionMut::new(&mut buffer[..], receive, places(&expected));
        world.all_gather_varcount_into(piece(own, round, size), &mut into);
        share_out(&buffer, &expected, &mut got);
    }
    got
}

/// See [`distributed::Communicator::broadcast`].
pub(crate) fn broadcast(world: &SimpleCommunicator, own: &[u8]) -> Vec<u8> {
    let (first, mut length) = (world.process_at_rank(0), own.len() as u64);
    first.broadcast_into(&mut length);
    let mut bytes = if world.rank() == 0 { own.to_vec() } else { vec![0; length as usize] };
    bytes.chunks_mut(MOST).for_each(|piece| first.broadcast_into(piece));
    bytes
}

/// The number of calls that the longest message of any rank requires.
fn rounds(world: &SimpleCommunicator, longest: u64) -> usize {
    let mut all = vec![0_u64; world.size() as usize];
    world.all_gather_into(&longest, &mut all[..]);
    all.into_iter().max().unwrap_or(0).div_ceil(most(world.size() as usize) as u64) as usize
}

/// The largest number of bytes from one rank to another in one call.
fn most(size: usize) -> usize {
    MOST / size
}

fn span(n: usize, round: usize, size: usize) -> std::ops::Range<usize> {
    let most = most(size);
    (round * most).min(n)..((round + 1) * most).min(n)
}

fn piece(bytes: &[u8], round: usize, size: usize) -> &[u8] {
    &bytes[span(bytes.len(), round, size)]
}

fn counts(lengths: impl Iterator<Item = usize>) -> Vec<Count> {
    lengths.map(|n| n as Count).collect()
}

/// The offset of each message in the buffer of all messages.
fn places(lengths: &[usize]) -> Vec<Count> {
    let mut at = 0;
    let place = |n: &usize| {
        at += n;
        (at - n) as Count
    };
    lengths.iter().map(place).collect()
}

/// Appends the pieces received in one call to the messages.
fn share_out(buffer: &[u8], lengths: &[usize], got: &mut [Vec<u8>]) {
    let mut rest = buffer;
    for (got, n) in got.iter_mut().zip(lengths) {
        let (own, others) = rest.split_at(*n);
        got.extend_from_slice(own);
        rest = others;
    }
}
