//! Knowledge distillation: a network is trained on the outputs of a trained network, the teacher.
//!
//! Hinton, Vinyals, Dean. *Distilling the Knowledge in a Neural Network*. 2015.
//! <https://arxiv.org/abs/1503.02531>
//! Lo et al. *m2mKD*. 2024. <https://arxiv.org/abs/2402.16918>: module by module. There are three phases,
//! each of them runs of their own:
//!
//! 1. A teacher's module is trained in a slot of a frozen network (`backbones::Hybrid`), without a teacher:
//!    incubation. The teacher is assembled from its modules (`parts.rs`) and trained further.
//! 2. A student's module is trained in the same slot. Its teacher is the same frozen network with the
//!    teacher's module in the slot. The modules are independent of each other, and each may have another
//!    teacher.
//! 3. The student is assembled from its modules, without the stitches, and trained further.

mod divergence;
mod objective;
mod parts;

pub use divergence::{Reduction, divergence};
pub use objective::{Distill, DistillConfig};
pub use parts::{Part, take_over};

#[cfg(test)]
mod tests {
    use crate::worked::{named_tests, page_has, table};

    #[test]
    fn worked_numbers_are_those_of_the_page() {
        let tests = named_tests![
            crate::distill::divergence::tests::the_published_values,
            crate::distill::objective::tests::the_published_objective,
        ];
        page_has("distillation", &table(&tests));
    }
}
