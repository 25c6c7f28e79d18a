//! The verbs of the command line, one file each. Only `run` trains.

pub(crate) mod analyse;
pub(crate) mod ask;
pub(crate) mod budget;
pub(crate) mod claims;
pub(crate) mod cmp;
pub(crate) mod cost;
pub(crate) mod docs;
pub(crate) mod fit;
pub(crate) mod list;
pub(crate) mod new;
pub(crate) mod prune;
pub(crate) mod publish;
pub(crate) mod report;
pub(crate) mod route;
mod router_speed;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod speed;
mod step_speed;
pub(crate) mod table;
pub(crate) mod tensorboard;
