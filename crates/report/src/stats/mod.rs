//! One statistic a file. Each is checked by hand, and against another program's numbers.

mod holm;
mod mean;
mod paired;

pub use holm::holm;
pub use mean::{Mean, mean, t_quantile};
pub use paired::{Paired, paired_t};
