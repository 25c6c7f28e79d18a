//! The processes of one run, started by `mpirun` or `srun`.
//!
//! [`join`] returns the communicator between them; a process that was started alone gets
//! [`distributed::Alone`]. MPI is linked only with the feature `mpi`, so that other builds do not need it.

#[cfg(feature = "mpi")]
mod calls;
#[cfg(feature = "mpi")]
mod thread;

use std::sync::Arc;

use distributed::{Alone, Communicator};

/// The reason why the processes cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The process was started as one of several, but the program has no MPI.
    #[error(
        "{count} processes were started by {by}, but this program has no MPI: build it with \
         --features mpi (Debian: libopenmpi-dev, libclang-dev)"
    )]
    NoMpi {
        /// The number of processes.
        count: usize,
        /// The environment variable with that number.
        by: &'static str,
    },
    /// The processes were started as the tasks of a Slurm step without a way to find each other.
    #[error(
        "{count} tasks were started by srun without MPI, so each would train everything by itself: add \
         --mpi=pmix to srun for one run on all of them, or --shard I/{count} to each for a part of the runs"
    )]
    Apart {
        /// The number of tasks.
        count: usize,
    },
    /// MPI failed to start.
    #[error("MPI cannot be started: {0}")]
    Start(String),
}

/// The environment variables in which launchers pass the number of processes.
const COUNTS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
/// The environment variables that are set if MPI's processes can find each other.
const LAUNCHED: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"];

/// Joins the other processes, if there are any. Call it once, before other threads are started.
///
/// # Errors
/// [`JoinError`].
pub fn join() -> Result<Arc<dyn Communicator>, JoinError> {
    match is_launched() {
        true => launched(),
        false => Ok(Arc::new(Alone)),
    }
}

/// Checks that this process is not one of several that were started together and cannot find each other.
///
/// # Errors
/// [`JoinError::Apart`].
pub fn not_apart() -> Result<(), JoinError> {
    match processes() {
        Some((count, _)) if count > 1 && !is_launched() => Err(JoinError::Apart { count }),
        _ => Ok(()),
    }
}

fn is_launched() -> bool {
    LAUNCHED.iter().any(|name| std::env::var_os(name).is_some())
}

#[cfg(feature = "mpi")]
fn launched() -> Result<Arc<dyn Communicator>, JoinError> {
    Ok(Arc::new(thread::World::start()?))
}

#[cfg(not(feature = "mpi"))]
fn launched() -> Result<Arc<dyn Communicator>, JoinError> {
    match processes() {
        Some((count, by)) if count > 1 => Err(JoinError::NoMpi { count, by }),
        _ => Ok(Arc::new(Alone)),
    }
}

/// The number of processes that a launcher has started, and the environment variable with that number.
pub fn processes() -> Option<(usize, &'static str)> {
    COUNTS.into_iter().find_map(|name| Some((std::env::var(name).ok()?.parse().ok()?, name)))
}
