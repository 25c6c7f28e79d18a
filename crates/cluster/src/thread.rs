//! MPI on a thread of its own, which makes all MPI calls one after the other. MPI therefore needs no
//! support for threads, and the callers may be on any thread.

use std::{
    fmt,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use distributed::{Communicator, MARK, marked, unmarked};
use mpi::{Threading, traits::Communicator as _};

use crate::{JoinError, calls};

/// The processes of an MPI job. Dropping it ends MPI.
pub(crate) struct World {
    rank: usize,
    size: usize,
    calls: Option<Mutex<Sender<Call>>>,
    thread: Option<JoinHandle<()>>,
}

/// A call, and the channel for its result.
struct Call {
    what: What,
    answer: Sender<Vec<Vec<u8>>>,
}

enum What {
    AllToAll(Vec<Vec<u8>>),
    AllGather(Vec<u8>),
    Broadcast(Vec<u8>),
}

impl World {
    /// Starts MPI.
    pub(crate) fn start() -> Result<Self, JoinError> {
        let (told, hears) = channel();
        let (calls, todo) = channel();
        let thread = std::thread::Builder::new()
            .name("mpi".into())
            .spawn(move || serve(&told, &todo))
            .map_err(|err| JoinError::Start(err.to_string()))?;
        let gone = || JoinError::Start("it is already running".into());
        let (rank, size) = hears.recv().ok().flatten().ok_or_else(gone)?;
        Ok(Self { rank, size, calls: Some(Mutex::new(calls)), thread: Some(thread) })
    }

    fn call(&self, what: What) -> Vec<Vec<u8>> {
        let (answer, hears) = channel();
        let calls = self.calls.as_ref().expect("it is there until it is dropped");
        let sent = calls
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .send(Call { what, answer });
        sent.ok().and_then(|()| hears.recv().ok()).expect("MPI has ended")
    }
}

/// Sends rank and size, then makes the calls until all senders of calls are dropped.
fn serve(tell: &Sender<Option<(usize, usize)>>, todo: &Receiver<Call>) {
    let Some((_mpi, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        let _ = tell.send(None);
        return;
    };
    let world = _mpi.world();
    let _ = tell.send(Some((world.rank() as usize, world.size() as usize)));
    for Call { what, answer } in todo {
        // The caller may have stopped waiting; the result is then discarded.
        let _ = answer.send(match what {
            What::AllToAll(to) => calls::all_to_all(&world, &to),
            What::AllGather(own) => calls::all_gather(&world, &own),
            What::Broadcast(own) => vec![calls::broadcast(&world, &own)],
        });
    }
}

impl Drop for World {
    /// Ends MPI, which waits for the other processes. In a panic MPI is not ended here: the launcher ends
    /// the processes.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)
    }
}

impl Communicator for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_to_all(&self, label: &str, to: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let to = to.iter().map(|bytes| marked(label, bytes)).collect();
        each_unmarked(label, self.call(What::AllToAll(to)))
    }

    fn all_gather(&self, label: &str, own: &[u8]) -> Vec<Vec<u8>> {
        each_unmarked(label, self.call(What::AllGather(marked(label, own))))
    }

    fn broadcast(&self, own: &[u8]) -> Vec<u8> {
        let mut got = self.call(What::Broadcast(marked("first", own)));
        unmarked("first", 0, got.swap_remove(0))
    }
}

fn each_unmarked(label: &str, messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    debug_assert!(messages.iter().all(|message| message.len() >= MARK));
    let messages = messages.into_iter().enumerate();
    messages.map(|(rank, message)| unmarked(label, rank, message)).collect()
}
