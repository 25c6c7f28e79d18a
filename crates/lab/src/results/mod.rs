//! From runs that have ended to rows, curves and pages.

mod curves;
mod rows;
pub(crate) mod timing;
mod trials;

pub(crate) use curves::Course;
pub(crate) use rows::{blank, rows};
