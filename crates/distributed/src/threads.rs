//! Ranks that are threads of one process.

use std::{
    fmt,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use crate::{Communicator, marked, unmarked};

/// One of the ranks that [`threads`] makes.
pub struct Threads {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

/// `size` ranks, one for each thread. If one is dropped, the others panic at their next call.
pub fn threads(size: usize) -> Vec<Threads> {
    let mut ends: Vec<Threads> =
        (0..size).map(|rank| Threads { rank, to: Vec::new(), from: Vec::new() }).collect();
    for from in 0..size {
        for to in 0..size {
            let (send, receive) = channel();
            ends[from].to.push(send);
            ends[to].from.push(Mutex::new(receive));
        }
    }
    ends
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.to.len())
    }
}

impl Threads {
    fn send(&self, to: usize, bytes: Vec<u8>) {
        self.to[to].send(bytes).unwrap_or_else(|_| panic!("rank {to} has ended"));
    }

    fn receive(&self, from: usize) -> Vec<u8> {
        let queue = self.from[from].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        queue.recv().unwrap_or_else(|_| panic!("rank {from} has ended"))
    }
}

impl Communicator for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn all_to_all(&self, label: &str, to: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        assert_eq!(to.len(), self.size(), "expected one message for each rank");
        for (rank, bytes) in to.into_iter().enumerate() {
            self.send(rank, marked(label, &bytes));
        }
        (0..self.size()).map(|rank| unmarked(label, rank, self.receive(rank))).collect()
    }

    fn all_gather(&self, label: &str, own: &[u8]) -> Vec<Vec<u8>> {
        self.all_to_all(label, vec![own.to_vec(); self.size()])
    }

    fn broadcast(&self, own: &[u8]) -> Vec<u8> {
        if self.rank == 0 {
            (0..self.size()).for_each(|rank| self.send(rank, marked("first", own)));
        }
        unmarked("first", 0, self.receive(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// The results of all ranks, in their order.
    fn each<T: Send>(size: usize, work: impl Fn(Threads) -> T + Sync) -> Vec<thread::Result<T>> {
        thread::scope(|scope| {
            let work = &work;
            let ranks: Vec<_> =
                threads(size).into_iter().map(|rank| scope.spawn(move || work(rank))).collect();
            ranks.into_iter().map(|rank| rank.join()).collect()
        })
    }

    #[test]
    fn each_rank_gets_what_every_rank_had_for_it() {
        let got = each(3, |rank| {
            let own = rank.rank() as u8;
            let to = (0..3).map(|to| vec![own; usize::from(own) * to]).collect();
            (rank.all_to_all("a", to), rank.all_gather("b", &[own]), rank.broadcast(&[own + 7]))
        });
        for (rank, got) in got.into_iter().map(Result::unwrap).enumerate() {
            assert_eq!(got.0, [vec![], vec![1; rank], vec![2; 2 * rank]]);
            assert_eq!((got.1, got.2), (vec![vec![0], vec![1], vec![2]], vec![7]));
        }
    }

    #[test]
    fn the_others_end_when_one_does() {
        let got = each(3, |rank| match rank.rank() {
            1 => Vec::new(),
            _ => rank.all_gather("a", &[1]),
        });
        let ended: Vec<bool> = got.iter().map(Result::is_err).collect();
        assert_eq!(ended, [true, false, true]);
    }
}
