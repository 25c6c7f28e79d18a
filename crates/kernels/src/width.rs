//! The width of the vector registers that kernels use.

use std::sync::LazyLock;

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    /// The width that every processor of the architecture has.
    Narrow,
    /// AVX2 with fused multiply-add: 8 numbers in a register.
    Middle,
    /// AVX-512: 16 numbers in a register.
    Wide,
}

impl Width {
    fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let middle = has!("avx2") && has!("fma");
            let wide = has!("avx512f") && has!("avx512bw") && has!("avx512cd");
            if middle && wide && has!("avx512dq") && has!("avx512vl") {
                return Self::Wide;
            }
            if middle {
                return Self::Middle;
            }
        }
        Self::Narrow
    }
}

/// The widest width of this processor; in tests, at most the limit set by `testing::at_each_width`.
pub(crate) fn width() -> Width {
    static WIDEST: LazyLock<Width> = LazyLock::new(Width::of_this_processor);
    #[cfg(test)]
    return testing::limited(*WIDEST);
    #[cfg(not(test))]
    *WIDEST
}

/// The vector instructions that kernels use on this processor: `avx512`, `avx2` or `baseline`. Results do
/// not depend on the choice.
pub fn instruction_set() -> &'static str {
    match width() {
        Width::Narrow => "baseline",
        Width::Middle => "avx2",
        Width::Wide => "avx512",
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    };

    use super::Width;

    const ALL: [Width; 3] = [Width::Narrow, Width::Middle, Width::Wide];
    static LIMIT: AtomicU8 = AtomicU8::new(2);

    pub(super) fn limited(widest: Width) -> Width {
        widest.min(ALL[LIMIT.load(Ordering::Relaxed) as usize])
    }

    /// The results of `f` at each width up to the widest of this processor. The limit applies to all
    /// threads, so that kernels may be parallel; callers run one at a time.
    pub(crate) fn at_each_width<T>(mut f: impl FnMut() -> T) -> Vec<T> {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let widths = ALL
            .iter()
            .enumerate()
            .filter(|(_, width)| **width <= super::Width::of_this_processor());
        let results = widths
            .map(|(i, _)| {
                LIMIT.store(i as u8, Ordering::Relaxed);
                f()
            })
            .collect();
        LIMIT.store(2, Ordering::Relaxed);
        results
    }
}
