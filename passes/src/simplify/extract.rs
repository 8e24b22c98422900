//! Choosing one node for each class such that the shared graph, not the tree, is cheap.
//!
//! # Method
//! A choice is acyclic if no class needs itself. Its cost is the sum over the classes reached from the roots, each once.
//! 1. Starting points: the program as it was; the cheapest tree of each class; the same with costs divided by the number of users
//!    in the tree solution.
//! 2. Local improvement: for each class in use, every other node of it is tried, what it needs being chosen cheaply relative to
//!    what is in use; the change stays if the total falls. Until a round brings nothing, at most [`MAX_ROUNDS`] rounds.
//!
//! Structural classes choose only among nodes of structural arguments: a value known at prepare stays known at prepare.
//! Ties keep what is there, and the program as it was comes first, so equal cost means no change.
//!
//! # Limits
//! Optimal extraction is NP-hard; this finds local optima.

use super::cost;
use super::language::{Graph, Scalar};
use egg::{Id, Language};
use std::collections::BTreeMap;

/// Rounds of local improvement.
const MAX_ROUNDS: usize = 4;
/// Fixed-point scale: a negation costs one part, so that nothing is negated in circles.
const UNIT: u64 = 1 << 12;
const UNREACHABLE: u64 = u64::MAX / 4;

/// A program over leaves: nodes whose arguments are earlier nodes, by place.
#[derive(Clone, Debug, Default)]
pub struct Extracted {
    /// The nodes; the arguments of each are places in this list.
    pub nodes: Vec<Scalar>,
    /// The place of each root.
    pub roots: Vec<usize>,
}

struct Candidate {
    cost: u64,
    args: Vec<usize>,
    node: Scalar,
}

struct Dense {
    classes: Vec<Vec<Candidate>>,
    roots: Vec<usize>,
}

type Choice = Vec<usize>;

fn node_cost(node: &Scalar) -> u64 {
    match node {
        Scalar::Leaf(_) | Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_) | Scalar::Size(_) => 0,
        Scalar::IntNeg(_) => 1,
        Scalar::Unary(op, _) | Scalar::Binary(op, _) | Scalar::Ternary(op, _) => {
            // Free operations, which end a chain of negations, still cost a part.
            (cost::of_op(*op) * UNIT).max(1)
        }
    }
}

/// Extracts programs for the roots, best first by this cost model. `original` lists the classes of the program as it was with
/// their nodes, in program order.
pub fn extract(egraph: &Graph, roots: &[Id], original: &[(Id, Scalar)]) -> Option<Extracted> {
    let (dense, numbers) = dense(egraph, roots);
    let tree = dense.cheapest(&|_| 0, None)?;
    let mut starts = Vec::new();
    let mut as_it_was = tree.clone();
    let mut seen = vec![false; dense.classes.len()];
    for (id, node) in original {
        let class = *numbers.get(&egraph.find(*id))?;
        let node = node.clone().map_children(|child| egraph.find(child));
        if !seen[class]
            && let Some(n) = dense.classes[class].iter().position(|c| c.node == node)
        {
            seen[class] = true;
            as_it_was[class] = n;
        }
    }
    starts.push(as_it_was);
    starts.push(dense.shared(&tree)?);
    starts.push(tree);
    let mut best: Option<(u64, Choice)> = None;
    for mut choice in starts {
        let Some(cost) = dense.improve(&mut choice) else { continue };
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, choice));
        }
    }
    let (_, choice) = best?;
    dense.program(&choice)
}

fn dense(egraph: &Graph, roots: &[Id]) -> (Dense, BTreeMap<Id, usize>) {
    // Numbered from the roots, so that the order depends on the program alone.
    let mut numbers: BTreeMap<Id, usize> = BTreeMap::new();
    let mut order: Vec<Id> = Vec::new();
    let visit = |id: Id, numbers: &mut BTreeMap<Id, usize>, order: &mut Vec<Id>| -> usize {
        let id = egraph.find(id);
        *numbers.entry(id).or_insert_with(|| {
            order.push(id);
            order.len() - 1
        })
    };
    let root_numbers = roots.iter().map(|&id| visit(id, &mut numbers, &mut order)).collect();
    let mut classes = Vec::new();
    while classes.len() < order.len() {
        let class = &egraph[order[classes.len()]];
        let mut candidates = Vec::new();
        for node in &class.nodes {
            let structural = node.children().iter().all(|&child| egraph[child].data.structural);
            if class.data.structural && !structural {
                continue;
            }
            let node = node.clone().map_children(|child| egraph.find(child));
            let args = node.children().iter().map(|&child| visit(child, &mut numbers, &mut order)).collect();
            candidates.push(Candidate { cost: node_cost(&node), args, node });
        }
        classes.push(candidates);
    }
    (Dense { classes, roots: root_numbers }, numbers)
}

impl Dense {
    /// The cheapest tree of every class. `in_use` classes cost nothing and keep their node; `discount` reduces the cost of a class
    /// for those that use it.
    fn cheapest(&self, discount: &dyn Fn(usize) -> u64, in_use: Option<(&[bool], &Choice)>) -> Option<Choice> {
        let mut costs = vec![UNREACHABLE; self.classes.len()];
        let mut choice = vec![0; self.classes.len()];
        if let Some((used, current)) = in_use {
            for (class, &used) in used.iter().enumerate() {
                if used {
                    (costs[class], choice[class]) = (0, current[class]);
                }
            }
        }
        let fixed = |class: usize| in_use.is_some_and(|(used, _)| used[class]);
        let mut changed = true;
        while changed {
            changed = false;
            for class in (0..self.classes.len()).rev() {
                if fixed(class) {
                    continue;
                }
                for (n, candidate) in self.classes[class].iter().enumerate() {
                    let mut cost = candidate.cost;
                    for &arg in &candidate.args {
                        let whole = costs[arg];
                        cost = cost.saturating_add(match discount(arg) {
                            _ if whole >= UNREACHABLE => UNREACHABLE,
                            0 | 1 => whole,
                            users => whole / users + 1,
                        });
                    }
                    if cost < costs[class] {
                        (costs[class], choice[class]) = (cost, n);
                        changed = true;
                    }
                }
            }
        }
        self.roots.iter().all(|&root| costs[root] < UNREACHABLE).then_some(choice)
    }

    /// The cheapest trees where what is used by several in `tree` is paid for in parts.
    fn shared(&self, tree: &Choice) -> Option<Choice> {
        let mut users = vec![0_u64; self.classes.len()];
        for &class in &self.order(tree)? {
            for &arg in &self.classes[class][tree[class]].args {
                users[arg] += 1;
            }
        }
        self.cheapest(&|class| users[class], None)
    }

    /// The classes in use, arguments first; `None` for a choice with a cycle or without nodes.
    fn order(&self, choice: &Choice) -> Option<Vec<usize>> {
        const OPEN: u8 = 1;
        const DONE: u8 = 2;
        let mut state = vec![0_u8; self.classes.len()];
        let mut order = Vec::new();
        let mut stack: Vec<(usize, usize)> = Vec::new();
        for &root in &self.roots {
            if state[root] == DONE {
                continue;
            }
            state[root] = OPEN;
            stack.push((root, 0));
            while let Some((class, next)) = stack.pop() {
                let candidate = self.classes[class].get(choice[class])?;
                match candidate.args.get(next) {
                    None => {
                        state[class] = DONE;
                        order.push(class);
                    }
                    Some(&arg) => {
                        stack.push((class, next + 1));
                        match state[arg] {
                            0 => {
                                state[arg] = OPEN;
                                stack.push((arg, 0));
                            }
                            OPEN => return None,
                            _ => {}
                        }
                    }
                }
            }
        }
        Some(order)
    }

    fn cost(&self, choice: &Choice) -> Option<u64> {
        let order = self.order(choice)?;
        Some(order.iter().map(|&class| self.classes[class][choice[class]].cost).sum())
    }

    /// Improves a choice locally; its cost, or `None` if it is no choice at all.
    fn improve(&self, choice: &mut Choice) -> Option<u64> {
        let mut best = self.cost(choice)?;
        for _ in 0..MAX_ROUNDS {
            let order = self.order(choice)?;
            let mut used = vec![false; self.classes.len()];
            order.iter().for_each(|&class| used[class] = true);
            if let Some(relative) = self.cheapest(&|_| 0, Some((&used, choice))) {
                *choice = relative;
            }
            let before = best;
            for &class in order.iter().rev() {
                let mut kept = choice[class];
                for n in 0..self.classes[class].len() {
                    if n == kept {
                        continue;
                    }
                    choice[class] = n;
                    match self.cost(choice) {
                        Some(cost) if cost < best => (best, kept) = (cost, n),
                        _ => {}
                    }
                }
                choice[class] = kept;
            }
            if best == before {
                break;
            }
        }
        Some(best)
    }

    fn program(&self, choice: &Choice) -> Option<Extracted> {
        let order = self.order(choice)?;
        let mut places = vec![usize::MAX; self.classes.len()];
        let mut program = Extracted::default();
        for class in order {
            let candidate = &self.classes[class][choice[class]];
            let mut args = candidate.args.iter();
            let node = candidate.node.clone().map_children(|_| {
                Id::from(args.next().map_or(0, |&arg| places[arg]))
            });
            places[class] = program.nodes.len();
            program.nodes.push(node);
        }
        program.roots = self.roots.iter().map(|&root| places[root]).collect();
        Some(program)
    }
}
