//! A suite: methods, tasks and seeds.
//!
//! ```toml
//! title = "Default suite"
//! seeds = [0, 1, 2]
//!
//! [base]                          # what all runs share
//! moe = { experts = 8, layers = "every 2" }
//!
//! [[task]]                        # columns: where the methods are tried
//! task = "digits"
//! backbone = { kind = "vit", width = 48 }
//! train = { steps = 600 }
//!
//! [[method]]                      # rows: what is compared; `name` defaults to the router's
//! moe.router = { kind = "top-k", k = 2 }
//! ```
//!
//! A `[budget]` holds a quantity equal between the methods of a task, see `planning/budget.rs`; a `[tune]`
//! tries settings for each method except those with `tune = false`, see `planning/search_space.rs`.
//!
//! A run's config is `base`, then its `[[task]]`, then its `[[method]]`, then `--set`, each laid over the one
//! before. `from = { train.steps = 600 }` starts a run with the final weights of another run: the one with
//! the same settings with those of `from` laid over them. `after = "NAME"` starts it from the run of a method
//! named earlier, whose settings it takes over; it has no steps of its own unless it sets them. In this way a
//! trained network is evaluated again: with another capacity, on other images, fine-tuned, or by a linear
//! head for a few examples (`few_shot = { shots = 5 }`). A method may override settings for one task in a
//! table `on`: `on.digits.moe.experts = 4`. `parts = [{ of = "NAME", take = "module", into = "meta" }]`
//! starts it with parts of the networks of methods named earlier, by their paths; `teacher = "NAME"` has it
//! learn from such a network in addition to the task, by `distill = { alpha = 0.5, tau = 1.0, reduction =
//! "batch" }`.

use super::program::Program;

/// A suite file that is part of a program; [`suite!`](crate::suite) makes one.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The name of the suite.
    pub name: &'static str,
    /// The file, for messages.
    pub file: &'static str,
    /// The text of the file.
    pub text: &'static str,
    /// The program that contains it.
    pub program: Program,
}

/// A suite file as part of the program: `lab::suite!("name", "../suite.toml")`.
#[macro_export]
macro_rules! suite {
    ($name:expr, $path:expr) => {
        $crate::Suite {
            name: $name,
            file: $path,
            text: include_str!($path),
            program: {
                use $crate::include_dir;
                static SOURCE: include_dir::Dir<'static> =
                    include_dir::include_dir!("$CARGO_MANIFEST_DIR/src");
                $crate::Program { package: env!("CARGO_PKG_NAME"), source: &SOURCE }
            },
        }
    };
}
