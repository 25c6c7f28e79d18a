//! The times of the parts of a training step, in bounded memory: for each part the last few thousand times
//! are kept.
//!
//! The idea is that of XPUTimer, which traces the steps of a training on many machines with little memory:
//! Ling team. *Every FLOP Counts*. 2025. <https://arxiv.org/abs/2503.05139>.
//!
//! Differs: it traces the parts of the loop, not the calls and kernels below them, and does not detect hangs.
//! On a device that computes asynchronously, the times show where the processor waits.

use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A part of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Drawing the examples and making a batch of them.
    Data,
    /// The forward pass of the network and its losses.
    Forward,
    /// The backward pass.
    Backward,
    /// Messages between the processes of a run, and waiting for other processes.
    Exchange,
    /// The norm of the gradient, and clipping.
    Clip,
    /// The step of the optimizer.
    Optimizer,
    /// Evaluation on the validation and test splits.
    Evaluation,
    /// Writing the checkpoint.
    Checkpoint,
}

impl Span {
    /// All spans, in the order in which they occur.
    pub const ALL: [Span; 8] = [
        Span::Data,
        Span::Forward,
        Span::Backward,
        Span::Exchange,
        Span::Clip,
        Span::Optimizer,
        Span::Evaluation,
        Span::Checkpoint,
    ];

    /// The name of the span.
    pub fn name(self) -> &'static str {
        match self {
            Span::Data => "data",
            Span::Forward => "forward",
            Span::Backward => "backward",
            Span::Exchange => "exchange",
            Span::Clip => "clip",
            Span::Optimizer => "optimizer",
            Span::Evaluation => "evaluation",
            Span::Checkpoint => "checkpoint",
        }
    }
}

/// A tracer of trainings, which may run concurrently.
pub struct StepTracer {
    rings: [Mutex<Ring>; Span::ALL.len()],
}

/// The last times of one span, and the number of all its times.
struct Ring {
    /// Times in seconds; once the ring is full, the oldest is at `visits % capacity`.
    last: Vec<f32>,
    capacity: usize,
    visits: usize,
    total: f64,
}

/// The times of one span.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanTimes {
    /// The span.
    pub span: Span,
    /// The number of recorded times.
    pub visits: usize,
    /// The 50th, 90th and 99th percentile of the last times, in seconds.
    pub percentiles: [f64; 3],
    /// The share of the span in all recorded time.
    pub share: f64,
}

impl Default for StepTracer {
    /// A tracer that keeps the last 4096 times of each span: 128 KiB.
    fn default() -> Self {
        Self::new(4096)
    }
}

impl StepTracer {
    /// A tracer that keeps the last `capacity` times of each span, with 4 bytes each. The memory is allocated
    /// at once.
    ///
    /// # Panics
    /// If `capacity` is 0.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "the capacity must be at least 1");
        let ring = || {
            Mutex::new(Ring { last: Vec::with_capacity(capacity), capacity, visits: 0, total: 0.0 })
        };
        Self { rings: std::array::from_fn(|_| ring()) }
    }

    /// Records a time of a span.
    pub fn add(&self, span: Span, time: Duration) {
        let mut ring = self.rings[span as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let (seconds, at) = (time.as_secs_f64(), ring.visits % ring.capacity);
        match ring.last.get_mut(at) {
            Some(oldest) => *oldest = seconds as f32,
            None => ring.last.push(seconds as f32),
        }
        ring.visits += 1;
        ring.total += seconds;
    }

    /// The times of each span that has any.
    pub fn times(&self) -> Vec<SpanTimes> {
        let rings = self.rings.each_ref().map(|ring| {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            (ring.last.clone(), ring.visits, ring.total)
        });
        let all: f64 = rings.iter().map(|(.., total)| total).sum();
        let visited = Span::ALL.into_iter().zip(rings).filter(|(_, (_, visits, _))| *visits > 0);
        visited
            .map(|(span, (last, visits, total))| SpanTimes {
                span,
                visits,
                percentiles: percentiles(last),
                share: total / all,
            })
            .collect()
    }

    /// The overhead of tracing as a share of the recorded time: the cost of recording a time, measured now,
    /// multiplied by the number of times.
    pub fn overhead(&self) -> f64 {
        const TRIES: u32 = 10_000;
        let other = Self::new(1);
        let started = Instant::now();
        for i in 0..TRIES {
            timed(Some(&other), Span::Data, || black_box(i));
        }
        let price = started.elapsed().as_secs_f64() / f64::from(TRIES);
        let sums = self.rings.each_ref().map(|ring| {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            (ring.visits as f64, ring.total)
        });
        let (visits, total) =
            sums.iter().fold((0.0, 0.0), |sum, ring| (sum.0 + ring.0, sum.1 + ring.1));
        if total > 0.0 { price * visits / total } else { 0.0 }
    }
}

/// Calls a function, and records its time if there is a tracer.
pub(crate) fn timed<T>(tracer: Option<&StepTracer>, span: Span, what: impl FnOnce() -> T) -> T {
    let Some(tracer) = tracer else { return what() };
    let started = Instant::now();
    let done = what();
    tracer.add(span, started.elapsed());
    done
}

/// The smallest times that 50, 90 and 99 % of the times do not exceed.
fn percentiles(mut times: Vec<f32>) -> [f64; 3] {
    times.sort_by(f32::total_cmp);
    [0.5, 0.9, 0.99].map(|share: f64| {
        let rank = (share * times.len() as f64).ceil() as usize;
        f64::from(times[rank.max(1) - 1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_times_and_shares_of_all() {
        let tracer = StepTracer::new(100);
        let add = |span, seconds: u64| tracer.add(span, Duration::from_secs(seconds));
        (0..50).for_each(|_| add(Span::Forward, 1000)); // overwritten below
        (1..=100).rev().for_each(|seconds| add(Span::Forward, seconds));
        add(Span::Data, 50);
        let [data, forward] = &tracer.times()[..] else { panic!("two spans") };
        assert_eq!((data.span, data.visits, data.percentiles), (Span::Data, 1, [50.0; 3]));
        assert_eq!((forward.visits, forward.percentiles), (150, [50.0, 90.0, 99.0]));
        let all = 50.0 * 1000.0 + 5050.0 + 50.0;
        assert!((data.share - 50.0 / all).abs() < 1e-12);
        assert!((data.share + forward.share - 1.0).abs() < 1e-12);
    }

    #[test]
    fn memory_is_bounded() {
        let tracer = StepTracer::new(64);
        let bytes = || {
            let capacity = |ring: &Mutex<Ring>| ring.lock().unwrap().last.capacity();
            tracer.rings.iter().map(capacity).sum::<usize>() * size_of::<f32>()
        };
        let before = bytes();
        assert_eq!(before, 64 * 4 * Span::ALL.len());
        for _ in 0..100_000 {
            Span::ALL.iter().for_each(|span| tracer.add(*span, Duration::from_nanos(1)));
        }
        assert_eq!(bytes(), before);
        assert!(tracer.times().iter().all(|times| times.visits == 100_000));
    }

    #[test]
    fn nothing_seen_is_nothing_told() {
        let tracer = StepTracer::default();
        assert_eq!((tracer.times(), tracer.overhead()), (vec![], 0.0));
        assert_eq!(timed(None, Span::Data, || 3), 3);
        assert_eq!(timed(Some(&tracer), Span::Data, || 3), 3);
        assert_eq!(tracer.times().len(), 1);
    }
}
