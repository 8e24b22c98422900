//! Choosing one node for each class such that the shared graph, not the tree, is cheap.
//!
//! # Method
//! A choice is acyclic if no class needs itself. Its cost is the sum over the classes reached from the roots, each once.
//! 1. Starting points: the program as it was; the cheapest tree of each class.
//! 2. Local improvement: for each class in use, every other node of it is tried, what it needs being chosen cheaply relative to
//!    what is in use; the change stays if the total falls. Until a round brings nothing, at most `MAX_ROUNDS` rounds.
//!
//! 3. Investment: what one exchange cannot find, such as a reciprocal that only pays once several quotients use it. An expensive
//!    class is made a root, the choice improved, and the root taken away again.
//! 4. Restart: the cheapest trees when the node of each class is paid for in equal parts by the classes in use that could use it.
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
/// Restarts from each starting point.
const MAX_RESTARTS: usize = 2;
/// The cost from which a class is worth an investment: a division.
const INVESTMENT: u64 = 5 * UNIT;
/// Investments tried.
const MAX_INVESTMENTS: usize = 12;
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
    let tree = dense.cheapest(&[], None)?;
    let mut starts = Vec::new();
    let mut as_it_was = tree.clone();
    let mut seen = vec![false; dense.classes.len()];
    for (id, node) in original {
        // Classes that no root can need any more have no number.
        let Some(&class) = numbers.get(&egraph.find(*id)) else { continue };
        let node = node.clone().map_children(|child| egraph.find(child));
        if !seen[class]
            && let Some(n) = dense.classes[class].iter().position(|c| c.node == node)
        {
            seen[class] = true;
            as_it_was[class] = n;
        }
    }
    starts.push(as_it_was);
    starts.push(tree);
    let mut best: Option<(u64, Choice)> = None;
    for mut choice in starts {
        for _ in 0..MAX_RESTARTS {
            let Some(mut state) = State::new(&dense, choice) else { break };
            state.improve(MAX_ROUNDS);
            state.invest();
            if best.as_ref().is_none_or(|(least, _)| state.total < *least) {
                best = Some((state.total, state.choice.clone()));
            }
            let Some(next) = dense.cheapest(&state.possible_users(), None) else { break };
            choice = next;
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
    /// The cheapest tree of every class. Classes `in_use` cost nothing and keep their node; the node of a class costs the fraction
    /// given by its `users`.
    fn cheapest(&self, users: &[u64], in_use: Option<(&[bool], &Choice)>) -> Option<Choice> {
        let mut costs = vec![UNREACHABLE; self.classes.len()];
        let mut choice = vec![0; self.classes.len()];
        if let Some((used, current)) = in_use {
            for (class, &used) in used.iter().enumerate() {
                if used {
                    (costs[class], choice[class]) = (0, current[class]);
                }
            }
        }
        let mut changed = true;
        while changed {
            changed = false;
            for class in (0..self.classes.len()).rev() {
                if costs[class] == 0 {
                    continue;
                }
                let share = users.get(class).copied().unwrap_or(1).max(1);
                for (n, candidate) in self.classes[class].iter().enumerate() {
                    // Never for nothing, or classes could be chosen in circles.
                    let own = if candidate.cost == 0 { 0 } else { (candidate.cost / share).max(1) };
                    let args = candidate.args.iter().map(|&arg| costs[arg]);
                    let cost = args.fold(own, u64::saturating_add).min(UNREACHABLE);
                    if cost < costs[class] {
                        (costs[class], choice[class]) = (cost, n);
                        changed = true;
                    }
                }
            }
        }
        self.roots.iter().all(|&root| costs[root] < UNREACHABLE).then_some(choice)
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

    fn program(&self, choice: &Choice) -> Option<Extracted> {
        let order = self.order(choice)?;
        let mut places = vec![usize::MAX; self.classes.len()];
        let mut program = Extracted::default();
        for class in order {
            let candidate = &self.classes[class][choice[class]];
            let mut args = candidate.args.iter();
            let node =
                candidate.node.clone().map_children(|_| Id::from(args.next().map_or(0, |&arg| places[arg])));
            places[class] = program.nodes.len();
            program.nodes.push(node);
        }
        program.roots = self.roots.iter().map(|&root| places[root]).collect();
        Some(program)
    }
}

/// A choice with the number of users of each class and the total cost, kept up to date through exchanges.
#[derive(Clone)]
struct State<'a> {
    dense: &'a Dense,
    choice: Choice,
    /// Edges from classes in use, and roots.
    users: Vec<u32>,
    total: u64,
}

impl<'a> State<'a> {
    /// `None` for a choice with a cycle.
    fn new(dense: &'a Dense, choice: Choice) -> Option<State<'a>> {
        dense.order(&choice)?;
        let mut state = State { dense, choice, users: vec![0; dense.classes.len()], total: 0 };
        dense.roots.iter().for_each(|&root| state.acquire(root));
        Some(state)
    }

    fn node(&self, class: usize) -> &'a Candidate {
        &self.dense.classes[class][self.choice[class]]
    }

    fn acquire(&mut self, class: usize) {
        let mut work = vec![class];
        while let Some(class) = work.pop() {
            self.users[class] += 1;
            if self.users[class] == 1 {
                let node = self.node(class);
                self.total += node.cost;
                work.extend(&node.args);
            }
        }
    }

    fn release(&mut self, class: usize) {
        let mut work = vec![class];
        while let Some(class) = work.pop() {
            self.users[class] -= 1;
            if self.users[class] == 0 {
                let node = self.node(class);
                self.total -= node.cost;
                work.extend(&node.args);
            }
        }
    }

    /// Gives a class in use another node.
    fn exchange(&mut self, class: usize, n: usize) {
        let (old, new) = (self.node(class), &self.dense.classes[class][n]);
        self.total += new.cost;
        new.args.iter().for_each(|&arg| self.acquire(arg));
        self.total -= old.cost;
        old.args.iter().for_each(|&arg| self.release(arg));
        self.choice[class] = n;
    }

    /// True where the node of a class needs the class itself.
    fn is_circular(&self, class: usize) -> bool {
        let mut seen = vec![false; self.choice.len()];
        let mut work = self.node(class).args.clone();
        while let Some(next) = work.pop() {
            if next == class {
                return true;
            }
            if !std::mem::replace(&mut seen[next], true) {
                work.extend(&self.node(next).args);
            }
        }
        false
    }

    /// Improves the choice by single exchanges.
    fn improve(&mut self, rounds: usize) {
        for _ in 0..rounds {
            // What is not in use is chosen relative to what is: then a new class brings little with it.
            let used: Vec<bool> = self.users.iter().map(|&users| users > 0).collect();
            if let Some(relative) = self.dense.cheapest(&[], Some((&used, &self.choice))) {
                self.choice = relative;
            }
            let Some(order) = self.dense.order(&self.choice) else { return };
            let before = self.total;
            for &class in order.iter().rev() {
                for n in 0..self.dense.classes[class].len() {
                    let (kept, total) = (self.choice[class], self.total);
                    if n == kept || self.users[class] == 0 {
                        continue;
                    }
                    self.exchange(class, n);
                    if self.total >= total || self.is_circular(class) {
                        self.exchange(class, kept);
                    }
                }
            }
            if self.total == before {
                return;
            }
        }
    }

    /// For each class, how many classes in use could use it.
    fn possible_users(&self) -> Vec<u64> {
        let mut possible = vec![0_u64; self.choice.len()];
        let mut counted = vec![usize::MAX; self.choice.len()];
        for class in (0..self.choice.len()).filter(|&class| self.users[class] > 0) {
            for &arg in self.dense.classes[class].iter().flat_map(|candidate| &candidate.args) {
                if counted[arg] != class {
                    counted[arg] = class;
                    possible[arg] += 1;
                }
            }
        }
        possible
    }

    /// Tries what only pays once several use it: each expensive class that is not in use is made a root for a while.
    fn invest(&mut self) {
        let users = self.possible_users();
        let is_expensive = |class: usize| self.dense.classes[class].iter().any(|c| c.cost >= INVESTMENT);
        let mut candidates: Vec<usize> = (0..self.choice.len())
            .filter(|&class| users[class] >= 2 && self.users[class] == 0 && is_expensive(class))
            .collect();
        candidates.sort_by_key(|&class| (std::cmp::Reverse(users[class]), class));
        candidates.truncate(MAX_INVESTMENTS);
        for class in candidates {
            let mut trial = self.clone();
            trial.acquire(class);
            trial.improve(2);
            trial.release(class);
            if trial.total < self.total {
                *self = trial;
            }
        }
    }
}
