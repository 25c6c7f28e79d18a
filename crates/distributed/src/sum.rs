//! Sums over the ranks in the order of ranks.

use std::ops::Range;

use crate::Communicator;

/// The part of `n` numbers that each rank is responsible for. All parts are equally long except for the
/// last ones.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    n: usize,
    ranks: usize,
}

impl Chunks {
    /// `n` numbers divided over `ranks` ranks.
    pub fn new(n: usize, ranks: usize) -> Self {
        Self { n, ranks }
    }

    /// The numbers of a rank; none if the ranks before it already have all numbers.
    pub fn of(&self, rank: usize) -> Range<usize> {
        let length = self.n.div_ceil(self.ranks);
        (rank * length).min(self.n)..((rank + 1) * length).min(self.n)
    }
}

/// Adds the terms of all ranks to `sum`, rank after rank, and the terms of one rank one after the other:
/// `((sum + x_00) + x_01) + x_10 + ...`. All terms are equally long. Each rank stores and receives only
/// the sums of its own chunk.
///
/// # Panics
/// If `sum` does not have the length of this rank's chunk of a term.
pub fn add_in_order(world: &dyn Communicator, label: &str, sum: &mut [f32], own: &[&[f32]]) {
    let chunk = |term: &[f32], rank| Chunks::new(term.len(), world.size()).of(rank);
    let fits = own.iter().all(|term| chunk(term, world.rank()).len() == sum.len());
    assert!(fits, "the sum must have the length of this rank's chunk");
    let of = |rank| own.iter().map(|term| bytes_of(&term[chunk(term, rank)])).collect::<Vec<_>>();
    let to = (0..world.size()).map(|rank| of(rank).concat()).collect();
    for theirs in world.all_to_all(label, to) {
        for term in theirs.chunks_exact(4 * sum.len().max(1)) {
            sum.iter_mut().zip(term.chunks_exact(4)).for_each(|(sum, x)| *sum += number(x));
        }
    }
}

/// The numbers of all ranks, in the order of ranks.
pub fn gathered_numbers(world: &dyn Communicator, label: &str, own: &[f32]) -> Vec<Vec<f32>> {
    let theirs = world.all_gather(label, &bytes_of(own));
    theirs.iter().map(|bytes| bytes.chunks_exact(4).map(number).collect()).collect()
}

/// The numbers of all ranks, in the order of ranks, at rank 0; nothing at the other ranks.
pub fn gathered_by_first(world: &dyn Communicator, label: &str, own: &[f32]) -> Vec<Vec<f32>> {
    let theirs = gathered_bytes_by_first(world, label, bytes_of(own));
    theirs.iter().map(|bytes| bytes.chunks_exact(4).map(number).collect()).collect()
}

/// The bytes of all ranks, in the order of ranks, at rank 0; empty messages at the other ranks.
pub fn gathered_bytes_by_first(
    world: &dyn Communicator,
    label: &str,
    own: Vec<u8>,
) -> Vec<Vec<u8>> {
    let mut to = vec![Vec::new(); world.size()];
    to[0] = own;
    world.all_to_all(label, to)
}

fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn number(bytes: &[u8]) -> f32 {
    f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads;
    use std::thread;

    #[test]
    fn chunks_hold_each_number_once() {
        for (n, ranks) in [(0, 3), (2, 4), (7, 3), (8, 4), (9, 2), (5, 4)] {
            let chunks = Chunks::new(n, ranks);
            let all: Vec<usize> = (0..ranks).flat_map(|rank| chunks.of(rank)).collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>(), "{n} over {ranks}");
        }
    }

    /// Numbers of very different magnitudes: another order of additions gives other bits.
    fn numbers(term: usize) -> Vec<f32> {
        (0..1001)
            .map(|i| ((i * 7919 + term * 104_729) % 1013) as f32 * 1.7_f32.powi(term as i32))
            .collect()
    }

    /// The sums of four ranks that have `terms` terms each.
    fn sums(terms: usize) -> Vec<Vec<f32>> {
        thread::scope(|scope| {
            let ranks: Vec<_> = threads(4)
                .into_iter()
                .map(|world| {
                    scope.spawn(move || {
                        let first = terms * world.rank();
                        let own: Vec<_> = (first..first + terms).map(numbers).collect();
                        let own: Vec<&[f32]> = own.iter().map(Vec::as_slice).collect();
                        let mut sum = vec![0.1; Chunks::new(1001, 4).of(world.rank()).len()];
                        add_in_order(&world, "sum", &mut sum, &own);
                        gathered_numbers(&world, "all", &sum).concat()
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn the_first_rank_has_the_numbers_of_all() {
        let found: Vec<Vec<f32>> = thread::scope(|scope| {
            let start = |world: crate::Threads| {
                scope.spawn(move || {
                    let own = vec![world.rank() as f32; world.rank() + 1];
                    gathered_by_first(&world, "all", &own).concat()
                })
            };
            let ranks: Vec<_> = threads(3).into_iter().map(start).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        assert_eq!(found, [vec![0.0, 1.0, 1.0, 2.0, 2.0, 2.0], vec![], vec![]]);
    }

    #[test]
    fn sums_are_those_of_one_process_to_the_bit() {
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for terms in [1, 3] {
            let all: Vec<_> = (0..4 * terms).map(numbers).collect();
            let sum = |i: usize| all.iter().fold(0.1_f32, |sum, term| sum + term[i]);
            let expected: Vec<f32> = (0..1001).map(sum).collect();
            assert!(sums(terms).iter().all(|got| bits(got) == bits(&expected)), "{terms} terms");
        }
    }
}
