//! Expert parallelism: each process has a part of the experts, and rows are sent to the experts and back.
//!
//! Lepikhin et al. *GShard*. ICLR 2021. <https://arxiv.org/abs/2006.16668>, section 3.2: dispatch, experts
//! and combine with an all-to-all before and after the experts.
//!
//! ```text
//! rows, sorted by expert -> counts to all -> rows to all -> grouped_ffn -> rows back -> weights, sums
//! ```
//!
//! Of E experts, rank r of N has those from r E / N on. The backward pass makes the same exchanges in
//! reverse, so every process must run it. The gradients of a process's experts are summed over the rows of
//! all processes.
//!
//! Difference from the paper: rows are neither padded nor dropped to make their numbers equal; the numbers
//! are sent first.

use std::sync::Arc;

use burn::prelude::*;
use distributed::Communicator;
use kernels::{Carry, ExpertRow, Ffn, Rows, carry, carry_back, grouped_ffn, permute, unpermute};

use super::{ExpertCall, dropless::rows_of};
use crate::routing::{Plan, SplitExperts};

/// The experts that one process has.
#[derive(Clone, Debug)]
pub struct ExpertShard {
    world: Arc<dyn Communicator>,
    /// The number of experts of all processes.
    all: usize,
}

impl ExpertShard {
    /// The experts of this process, out of `experts`.
    ///
    /// # Errors
    /// If the processes cannot share the experts equally.
    pub fn new(world: &Arc<dyn Communicator>, experts: usize) -> Result<Self, String> {
        match experts > 0 && experts.is_multiple_of(world.size()) {
            true => Ok(Self { world: world.clone(), all: experts }),
            false => Err(format!(
                "experts = {experts}: {} processes cannot share them equally",
                world.size()
            )),
        }
    }

    /// The indices of this process's experts.
    pub fn own(&self) -> std::ops::Range<usize> {
        let each = self.all / self.world.size();
        self.world.rank() * each..(self.world.rank() + 1) * each
    }

    /// The matrices of this process's experts, copied from those of all experts.
    pub fn of(&self, all: &Ffn) -> Ffn {
        let own = |matrices: &Tensor<3>| {
            let own = matrices.clone().slice([self.own()]);
            // A copy: a view would keep the memory of all experts.
            let own = Tensor::from_data(kernels::read_back(own), &matrices.device());
            if matrices.is_require_grad() { own.require_grad() } else { own }
        };
        Ffn {
            w1: own(&all.w1),
            gate: all.gate.as_ref().map(own),
            w2: own(&all.w2),
            bias1: all.bias1.as_ref().map(own),
            bias2: all.bias2.as_ref().map(own),
            activation: all.activation,
        }
    }
}

/// `[G, U, P] -> [G, U, P]`: the plan's mixture of the experts' outputs for the units of this process,
/// each of which is an integer number of rows of the experts' width. `experts` are those of this process.
/// All processes must call it at the same time.
///
/// # Errors
/// If the plan mixes units or parameters, which is not supported over several processes, or if the plan is
/// for another number of experts.
pub fn expert_parallel(
    shard: &ExpertShard,
    plan: &Plan,
    experts: Ffn,
    payload: Tensor<3>,
) -> Result<Tensor<3>, String> {
    let ([g, u, p], [_, width, _]) = (payload.dims(), experts.w1.dims());
    if plan.n_experts() != shard.all {
        return Err(format!("the plan is for {} experts, not {}", plan.n_experts(), shard.all));
    }
    let (rows, weights) = rows_of(plan, p / width)
        .ok_or("routers that mix units or parameters do not support several processes")?;
    let (rows, x) = (Arc::new(rows), payload.reshape([g * u * p / width, width]));
    let exchange = Exchange::new(shard, &rows.loads());
    let by: Arc<dyn Carry> = Arc::new(exchange.clone());
    let outputs = grouped_ffn(carry(leaving(&x, &rows), &by), &exchange.rows(), None, experts);
    Ok(combine(x, &rows, weights, carry_back(outputs, &by)).reshape([g, u, p]))
}

/// [`expert_parallel`] for a layer of a pass whose processes have parts of the experts.
///
/// # Panics
/// If the plan mixes units or parameters, or if the layer has other experts than those of this process.
/// [`crate::Library::check`] refuses such routers beforehand, and a network is split in all its layers.
pub(super) fn of_layer(
    split: &mut SplitExperts,
    plan: &Plan,
    work: &ExpertCall,
    payload: Tensor<3>,
) -> Tensor<3> {
    let shard = ExpertShard::new(split.world(), plan.n_experts());
    let output = shard.and_then(|shard| {
        let stack =
            work.stack().ok_or("experts without matrices do not support several processes")?;
        match (stack.w1.dims()[0], shard.own().len()) {
            (here, own) if here != own => {
                Err(format!("this process has {here} experts, expected {own}"))
            }
            _ => expert_parallel(&shard, plan, stack, split.after(payload)),
        }
    });
    let output = output.unwrap_or_else(|why| panic!("moe.expert_parallel: {why}"));
    split.before(&output);
    output
}

/// The rows that are sent; an arbitrary one if there are none, since no tensor is empty.
fn leaving(x: &Tensor<2>, rows: &Arc<Rows>) -> Tensor<2> {
    match rows.is_empty() {
        true => x.clone().narrow(0, 0, 1),
        false => permute(x.clone(), rows),
    }
}

/// The sum of each token's outputs, weighted.
fn combine(x: Tensor<2>, rows: &Arc<Rows>, weights: Tensor<1>, outputs: Tensor<2>) -> Tensor<2> {
    if rows.is_empty() {
        // Zeros, with gradients of zero: the backward passes of the other processes need this one.
        return x * 0.0 + ((outputs.sum() + weights.sum()) * 0.0).reshape([1, 1]);
    }
    let choices: Vec<i32> = rows.choices().map(|choice| choice as i32).collect();
    let choices = Tensor::from_data(TensorData::from(&choices[..]), &outputs.device().inner());
    let weights = weights.select(0, choices).unsqueeze_dim::<2>(1);
    unpermute(outputs * weights, rows)
}

/// The number of rows that are sent to each rank and received from it.
#[derive(Clone, Debug)]
struct Exchange {
    world: Arc<dyn Communicator>,
    /// The number of rows sent to each rank.
    sent: Vec<usize>,
    /// The number of rows received from each rank, for each expert of this process.
    got: Vec<Vec<usize>>,
}

impl Exchange {
    /// Sends each rank the number of rows for its experts.
    fn new(shard: &ExpertShard, loads: &[usize]) -> Self {
        let world = shard.world.clone();
        let each = shard.all / world.size();
        let counts = loads.chunks(each);
        let bytes =
            |loads: &[usize]| loads.iter().flat_map(|n| (*n as u64).to_le_bytes()).collect();
        let incoming = world.all_to_all("counts of rows", counts.clone().map(bytes).collect());
        let count = |b: &[u8]| b.first_chunk().map_or(0, |b| u64::from_le_bytes(*b) as usize);
        let got = incoming.iter().map(|bytes| bytes.chunks_exact(8).map(count).collect()).collect();
        Self { world, sent: counts.map(|loads| loads.iter().sum()).collect(), got }
    }

    /// The received rows, sorted by rank and then by expert, as work of this process's experts.
    fn rows(&self) -> Arc<Rows> {
        let experts = self.got.first().map_or(0, Vec::len);
        let of_rank = |counts: &Vec<usize>| -> Vec<usize> {
            let runs = counts.iter().enumerate();
            runs.flat_map(|(expert, n)| std::iter::repeat_n(expert, *n)).collect()
        };
        let expert: Vec<usize> = self.got.iter().flat_map(of_rank).collect();
        let entries = expert.iter().enumerate();
        let entries = entries.map(|(token, &expert)| ExpertRow { expert, token, choice: 0 });
        Arc::new(Rows::new(expert.len().max(1), experts, 1, entries))
    }

    /// Sends `pieces[r]` of the rows to each rank r, and returns the received rows, or one row of zeros if
    /// there are none.
    fn swap(&self, label: &str, rows: &[f32], width: usize, pieces: &[usize]) -> Vec<f32> {
        let mut left = rows;
        let mut piece = |n: &usize| {
            let (own, others) = left.split_at(n * width);
            left = others;
            own.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
        let got = self.world.all_to_all(label, pieces.iter().map(&mut piece).collect());
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let mut got: Vec<f32> =
            got.iter().flat_map(|bytes| bytes.chunks_exact(4).map(number)).collect();
        if got.is_empty() {
            got.resize(width, 0.0);
        }
        got
    }
}

impl Carry for Exchange {
    fn there(&self, rows: &[f32], width: usize) -> Vec<f32> {
        self.swap("rows to experts", rows, width, &self.sent)
    }

    fn back(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let got: Vec<usize> = self.got.iter().map(|counts| counts.iter().sum()).collect();
        self.swap("rows back", rows, width, &got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capacity::Capacity,
        engine::{Engine, ExpertCall},
        experts::{AnyExperts, ExpertDtype, Experts},
        plugin::{Init, NoConfig},
        routing::{Dims, Pass},
        testing::Net,
    };
    use distributed::threads;
    use std::thread;

    const WIDTH: usize = 3;

    /// Choices `[1, U, K]` of each rank, and the number of experts.
    struct Case {
        experts: usize,
        k: usize,
        chosen: Vec<Vec<i32>>,
        capacity: Option<f64>,
    }

    /// The output, then the gradients of units and weights, of one rank.
    type Found = [Vec<f32>; 3];

    fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
        t.into_data().iter::<f32>().collect()
    }

    impl Case {
        fn init() -> Init {
            Init::new(5, &Device::flex().autodiff())
        }

        fn net(&self) -> Net {
            let dims = Dims { width: WIDTH, n_experts: self.experts, units: 1 };
            Net::init(&NoConfig {}, dims, &Self::init().at("net"))
        }

        /// The plan, units, weights and target of a rank.
        fn of(&self, rank: usize) -> (Plan, Tensor<3>, Tensor<3>, Tensor<3>) {
            let init = Self::init();
            let init = init.at(rank);
            let u = self.chosen[rank].len() / self.k;
            let experts = TensorData::new(self.chosen[rank].clone(), [1, u, self.k]);
            let experts = Tensor::<3, Int>::from_data(experts, &Device::flex());
            let weights = init.normal("weights", [1, u, self.k], 1.0).val();
            let plan =
                Plan::TokenChoice { experts, weights: weights.clone(), n_experts: self.experts };
            let plan = match self.capacity {
                Some(factor) => {
                    let capacity = Capacity { factor: Some(factor), ..Capacity::default() };
                    capacity.apply(&mut Pass::eval(), plan)
                }
                None => plan,
            };
            let x = init.normal("x", [1, u, 2 * WIDTH], 1.0).val();
            (plan, x, weights, init.normal("goal", [1, u, 2 * WIDTH], 1.0).val().detach())
        }

        /// The results on one process: each rank's part with all experts, and the sums of the experts'
        /// gradients.
        fn alone(&self) -> (Vec<Found>, Vec<Vec<f32>>) {
            let net = self.net();
            let experts = AnyExperts::new(net.clone());
            let work =
                ExpertCall { experts: &experts, dtype: ExpertDtype::F32, row: WIDTH, slots: None };
            let (mut found, mut sums) = (Vec::new(), vec![Vec::new(); 3]);
            for rank in 0..self.chosen.len() {
                let (plan, x, weights, goal) = self.of(rank);
                let y = Engine::Dropless.run(&plan, &work, &mut Pass::eval(), x.clone());
                let grads = (y.clone() * goal).sum().backward();
                let own = net.w1.val().grad(&grads).map(values);
                let own = [
                    own,
                    net.w2.val().grad(&grads).map(values),
                    net.bias.val().grad(&grads).map(values),
                ];
                for (sum, own) in sums.iter_mut().zip(own.map(Option::unwrap)) {
                    sum.resize(own.len(), 0.0);
                    sum.iter_mut().zip(own).for_each(|(sum, x): (&mut f32, f32)| *sum += x);
                }
                let grads = [x.grad(&grads).unwrap(), weights.grad(&grads).unwrap()].map(values);
                let [dx, dw] = grads;
                found.push([values(y), dx, dw]);
            }
            (found, sums)
        }

        fn together(&self) -> (Vec<Found>, Vec<Vec<f32>>) {
            let part = |world: Arc<dyn Communicator>| {
                let shard = ExpertShard::new(&world, self.experts).unwrap();
                let own = shard.of(&self.net().stack().unwrap());
                let (plan, x, weights, goal) = self.of(world.rank());
                let y = expert_parallel(&shard, &plan, own.clone(), x.clone()).unwrap();
                let grads = (y.clone() * goal).sum().backward();
                let experts = [&own.w1, &own.w2, own.bias1.as_ref().unwrap()];
                let experts = experts.map(|w| values(w.grad(&grads).unwrap()));
                let inputs = [x.grad(&grads).unwrap(), weights.grad(&grads).unwrap()];
                let [dx, dw] = inputs.map(values);
                ([values(y), dx, dw], experts)
            };
            let parts: Vec<_> = thread::scope(|scope| {
                let start = |world| scope.spawn(|| part(Arc::new(world)));
                let parts: Vec<_> = threads(self.chosen.len()).into_iter().map(start).collect();
                parts.into_iter().map(|part| part.join().unwrap()).collect()
            });
            let mut experts = vec![Vec::new(); 3];
            for (_, own) in &parts {
                experts.iter_mut().zip(own).for_each(|(all, own)| all.extend(own));
            }
            (parts.into_iter().map(|(found, _)| found).collect(), experts)
        }

        fn check(&self) {
            let ((alone, expected), (together, experts)) = (self.alone(), self.together());
            let near = |a: &[f32], b: &[f32], what: &str| {
                assert_eq!(a.len(), b.len(), "{what}");
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
                assert!(a.iter().zip(b).all(near), "{what}: {a:?} {b:?}");
            };
            for (found, expected) in together.iter().zip(&alone) {
                for (at, what) in ["output", "units", "weights"].into_iter().enumerate() {
                    near(&found[at], &expected[at], what);
                }
            }
            for (at, what) in ["w1", "w2", "bias"].into_iter().enumerate() {
                near(&experts[at], &expected[at], what);
            }
            assert!(alone.iter().flatten().flatten().any(|x| *x != 0.0));
        }
    }

    /// Experts with a gate and two biases, in which each matrix is trained.
    fn gated(experts: usize) -> Ffn {
        let init = Case::init().at("gated");
        let matrix = |name: &str, [d_in, d_out]: [usize; 2]| {
            init.normal(name, [experts, d_in, d_out], 0.5).val().detach().require_grad()
        };
        let bias =
            |name: &str, n| init.normal(name, [experts, 1, n], 0.5).val().detach().require_grad();
        Ffn {
            w1: matrix("w1", [WIDTH, 5]),
            gate: Some(matrix("gate", [WIDTH, 5])),
            w2: matrix("w2", [5, WIDTH]),
            bias1: Some(bias("bias1", 5)),
            bias2: Some(bias("bias2", WIDTH)),
            activation: kernels::Activation::Silu,
        }
    }

    /// The outputs of a rank, and the gradients of all matrices of its experts.
    fn with_gates(case: &Case, rank: usize, world: Arc<dyn Communicator>) -> Vec<Vec<f32>> {
        let shard = ExpertShard::new(&world, case.experts).unwrap();
        let own = shard.of(&gated(case.experts));
        let (plan, x, _, goal) = case.of(rank);
        let y = expert_parallel(&shard, &plan, own.clone(), x).unwrap();
        let grads = (y.clone() * goal).sum().backward();
        let (gate, biases) = (own.gate.unwrap(), [own.bias1.unwrap(), own.bias2.unwrap()]);
        let matrices = [own.w1, gate, own.w2].map(|w| values(w.grad(&grads).unwrap()));
        let biases = biases.map(|b| values(b.grad(&grads).unwrap()));
        [values(y)].into_iter().chain(matrices).chain(biases).collect()
    }

    #[test]
    fn gates_and_biases_have_their_gradients() {
        let chosen = (0..2).map(|rank| chosen(rank, 14, 4)).collect();
        let case = Case { experts: 4, k: 2, chosen, capacity: None };
        let alone: Vec<_> =
            (0..2).map(|rank| with_gates(&case, rank, Arc::new(distributed::Alone))).collect();
        let together: Vec<_> = thread::scope(|scope| {
            let start = |(rank, world)| {
                let case = &case;
                scope.spawn(move || with_gates(case, rank, Arc::new(world)))
            };
            let parts: Vec<_> = threads(2).into_iter().enumerate().map(start).collect();
            parts.into_iter().map(|part| part.join().unwrap()).collect()
        });
        let near = |a: &f32, b: &f32| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
        for (found, expected) in together.iter().zip(&alone) {
            assert!(found[0].iter().zip(&expected[0]).all(|(a, b)| near(a, b)));
        }
        for at in 1..=5 {
            // The experts of both processes; each gradient is the sum over the rows of both.
            let found = [together[0][at].clone(), together[1][at].clone()].concat();
            let sums = alone[0][at].iter().zip(&alone[1][at]).map(|(a, b)| a + b);
            let expected: Vec<f32> = sums.collect();
            assert_eq!(found.len(), expected.len(), "{at}");
            assert!(found.iter().zip(&expected).all(|(a, b)| near(a, b)), "{at}");
            assert!(expected.iter().any(|x| *x != 0.0), "{at}");
        }
    }

    /// Choices that follow from `n`; some are the null expert.
    fn chosen(rank: usize, n: usize, experts: usize) -> Vec<i32> {
        (0..n).map(|i| ((i * 7919 + rank * 104_729 + 13) % 1013 % (experts + 1)) as i32).collect()
    }

    #[test]
    fn it_is_the_dropless_engine() {
        for (ranks, experts) in [(2, 4), (4, 8), (3, 6), (1, 2)] {
            let chosen = (0..ranks).map(|rank| chosen(rank, 2 * (5 + rank), experts)).collect();
            Case { experts, k: 2, chosen, capacity: None }.check();
        }
    }

    #[test]
    fn with_a_capacity_choices_are_dropped_alike() {
        let chosen = (0..2).map(|rank| chosen(rank, 24, 4)).collect();
        Case { experts: 4, k: 2, chosen, capacity: Some(0.5) }.check();
    }

    #[test]
    fn one_expert_may_get_half_and_a_process_nothing() {
        // Expert 0 has half of the rows; no row goes to rank 1, which has the experts 2 and 3.
        let skewed = [0, 0, 1, 0, 4, 5, 0, 5, 4, 0, 5, 0];
        Case { experts: 6, k: 1, chosen: vec![skewed.to_vec(); 3], capacity: None }.check();
        // A rank that chooses only the null expert sends nothing, and receives rows.
        let chosen = vec![vec![2, 2, 2], vec![0, 1, 0]];
        Case { experts: 2, k: 1, chosen, capacity: None }.check();
    }

    #[test]
    fn each_process_may_have_one_expert() {
        let chosen = (0..4).map(|rank| chosen(rank, 9, 4)).collect();
        Case { experts: 4, k: 1, chosen, capacity: None }.check();
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for world in threads(4) {
            let world: Arc<dyn Communicator> = Arc::new(world);
            let err = ExpertShard::new(&world, 6).unwrap_err();
            assert_eq!(err, "experts = 6: 4 processes cannot share them equally");
        }
        let alone: Arc<dyn Communicator> = Arc::new(distributed::Alone);
        let shard = ExpertShard::new(&alone, 2).unwrap();
        let case = Case { experts: 2, k: 1, chosen: vec![vec![0]], capacity: None };
        let (plan, x, ..) = Case { experts: 3, ..case }.of(0);
        let net = Case { experts: 2, k: 1, chosen: vec![], capacity: None }.net();
        let err = expert_parallel(&shard, &plan, net.stack().unwrap(), x.clone()).unwrap_err();
        assert_eq!(err, "the plan is for 3 experts, not 2");
        let weights = Tensor::zeros([1, 1, 2], &Device::flex());
        let plan = Plan::Merged { weights, n_units: 1, segment: 1 };
        assert!(expert_parallel(&shard, &plan, net.stack().unwrap(), x).is_err());
    }
}
