//! Temporary memory of kernels.

use std::cell::RefCell;

/// Runs `body` with memory of this thread, slices of `sizes` numbers. The memory is kept from call to
/// call, since new memory costs a page fault for each 4 kB. It has old content on entry. Calls may be
/// nested.
pub(crate) fn with_scratch<const N: usize, R>(
    sizes: [usize; N],
    body: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    }
    let mut memory = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    let total = sizes.iter().sum();
    if memory.len() < total {
        memory = vec![0.0; total];
    }
    let mut rest = memory.as_mut_slice();
    let result = body(sizes.map(|size| {
        let (piece, more) = std::mem::take(&mut rest).split_at_mut(size);
        rest = more;
        piece
    }));
    SCRATCH.with_borrow_mut(|kept| kept.push(memory));
    result
}
