//! Reading tensors back to the host, where the processor waits for the device; each read-back is counted.

use std::cell::Cell;

use burn::tensor::{Tensor, TensorData, kind::Basic};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The numbers of a tensor on the host. All crates of layers read tensors by this function, so that
/// [`read_backs_of`] counts them.
pub fn read_back<const D: usize, K: Basic>(x: Tensor<D, K>) -> TensorData {
    COUNT.set(COUNT.get() + 1);
    x.into_data()
}

/// The result of `work`, and the number of read-backs that it made on this thread. On Flex, whose tensors
/// are in the host's memory, a read-back waits for nothing, but is counted nevertheless.
pub fn read_backs_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = COUNT.get();
    let result = work();
    (result, COUNT.get() - before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Int};

    #[test]
    fn read_backs_are_counted_for_each_piece_of_work() {
        let read = |n: usize| {
            for _ in 0..n {
                let x = Tensor::<1, Int>::from_ints([1, 2], &Device::flex());
                assert_eq!(read_back(x).try_to_vec::<i32>().unwrap(), [1, 2]);
            }
        };
        let (inner, outer) = read_backs_of(|| {
            read(2);
            read_backs_of(|| read(3)).1
        });
        assert_eq!((inner, outer), (3, 5));
        let elsewhere = std::thread::spawn(|| read_backs_of(|| ()).1).join().unwrap();
        assert_eq!(elsewhere, 0);
    }
}
