//! Symmetric vertex elimination of a straight-line element, in the cheapest of several orders.
//!
//! # Problem
//! Edge pushing eliminates the computation graph of an element last value first. Any order gives the same Hessian, at another price:
//! eliminating the products of a determinant *before* the determinant accumulates its gradient once, so that the logarithm above it
//! pushes one rank-two update onto the entries of the matrix instead of onto every product.
//!
//! # Method
//! 1. One reverse sweep gives the adjoint of every value. The Hessian is then the quadratic form
//!    `1/2 sum_v bar_v sum_ab p_ab da db` under the linear constraints `dv = sum_a p_a da`.
//! 2. Eliminating a value `u` substitutes its constraint: into the constraints of its consumers (`p_va += p_vu p_ua`) and into the form
//!    (pushing its arcs; an arc to itself and arcs to its own arguments go together as a rank-two update).
//! 3. Candidate orders: last first; last first where a curved value (one with an arc to itself) first absorbs the arguments that only
//!    it uses. Each is built on a copy, its operations are counted after hash-consing, and the cheaper is built for good. (Markowitz
//!    orders and merging of sums were tried: never cheaper on springs, triangles, tetrahedra and hinges.)
//!
//! # Why it keeps the meaning
//! Substitution is exact in any order (Griewank and Walther, 2nd ed., chapter 9.3; the form keeps symmetry by storing each arc once).
//!
//! # Limits
//! Straight-line graphs only: what contains an `if` or a loop is eliminated last first by `ad/eliminate`.
//!
//! # References
//! Griewank and Walther, chapters 9 and 10.3; Gower and Mello 2012; Bhowmick and Hovland, A polynomial-time algorithm for detecting
//! directed axial symmetry in Hessian computational graphs, 2008 (symmetric elimination).

use crate::ad::eliminate::{Form, Partials, local_partials};
use crate::ad::graph::Graph;
use spadina_ir::builder::Builder;
use spadina_ir::func::{InstData, Value};
use spadina_ir::op::Op;
use std::collections::{BTreeMap, BTreeSet};

/// How the next value is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// Largest number first: edge pushing.
    LastFirst,
    /// Largest number first, but a value with an arc to itself first absorbs the arguments that only it uses: its gradient with
    /// respect to shared values is accumulated, then one update of low rank is pushed.
    Absorb,
}

/// Largest graph for which two orders are tried: each costs about the square of the size.
const SEARCHED: usize = 400;

/// The linear and quadratic state of an elimination in any order.
#[derive(Clone, Default)]
struct State {
    /// `first[v][a]`: partial of a live value with respect to an argument.
    first: BTreeMap<Value, BTreeMap<Value, Value>>,
    /// Live consumers of each value.
    consumers: BTreeMap<Value, BTreeSet<Value>>,
    /// The quadratic form.
    form: Form,
}

/// The form left on the leaves and on values before `mark`, or `None` where the graph in between is not straight-line.
pub fn eliminate(b: &mut Builder, graph: &mut Graph, seeds: &[(Value, Value)], mark: u32) -> Option<Form> {
    let nodes = straight_line(b, graph, seeds, mark)?;
    let start = initial(b, graph, seeds, &nodes);
    if nodes.len() > SEARCHED {
        return Some(run(b, start, &nodes, Order::LastFirst));
    }
    let mut best: Option<(usize, Order)> = None;
    for order in [Order::LastFirst, Order::Absorb] {
        let mut copy = b.clone();
        let mark = copy.next_value();
        let form = run(&mut copy, start.clone(), &nodes, order);
        let cost = cost(&copy, &form, mark);
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, order));
        }
    }
    let order = best.map_or(Order::LastFirst, |(_, order)| order);
    Some(run(b, start, &nodes, order))
}

/// The active operations behind the seeds, or `None` where something else than operations and leaves is among them.
fn straight_line(
    b: &Builder,
    graph: &mut Graph,
    seeds: &[(Value, Value)],
    mark: u32,
) -> Option<BTreeSet<Value>> {
    let mut nodes = BTreeSet::new();
    let mut stack: Vec<Value> = seeds.iter().map(|&(v, _)| v).collect();
    while let Some(v) = stack.pop() {
        if v.as_u32() < mark || !graph.is_active(b, v) || graph.is_leaf(b, v) || nodes.contains(&v) {
            continue;
        }
        let Some(InstData::Op(op, args)) = b.func().def(v) else { return None };
        if matches!(op, Op::Narrow | Op::Widen) {
            return None;
        }
        stack.extend(args);
        nodes.insert(v);
    }
    Some(nodes)
}

/// Adjoints of all values, constraints and the initial arcs.
fn initial(b: &mut Builder, graph: &mut Graph, seeds: &[(Value, Value)], nodes: &BTreeSet<Value>) -> State {
    let mut state = State::default();
    for &(v, bar) in seeds {
        if graph.is_active(b, v) {
            state.form.add_bar(b, v, bar);
        }
    }
    // Values that only arcs reach: the slopes of given partials, and what is behind them.
    let mut curving = BTreeSet::new();
    for &v in nodes.iter().rev() {
        let bar = state.form.bars.remove(&v);
        if bar.is_none() && !curving.contains(&v) {
            continue;
        }
        let Some(InstData::Op(op, args)) = b.func().def(v).cloned() else {
            unreachable!("nodes are operations")
        };
        let Partials { first, second } = local_partials(b, graph, op, &args, v);
        for &(a, p) in &first {
            match bar {
                Some(bar) => {
                    let contribution = b.mul(bar, p);
                    state.form.add_bar(b, a, contribution);
                }
                None => drop(curving.insert(a)),
            }
            state.consumers.entry(a).or_default().insert(v);
        }
        state.first.insert(v, first.into_iter().collect());
        let Some(bar) = bar else { continue };
        for (u, w, h) in second {
            let weight = b.mul(bar, h);
            state.form.add_arc(b, u, w, weight);
            curving.extend([u, w]);
        }
    }
    state
}

fn run(b: &mut Builder, mut state: State, nodes: &BTreeSet<Value>, order: Order) -> Form {
    let mut left = nodes.clone();
    while let Some(&last) = left.last() {
        let next = match order {
            Order::LastFirst => last,
            Order::Absorb => state.absorbed(last, &left).unwrap_or(last),
        };
        left.remove(&next);
        state.eliminate(b, next);
    }
    state.form
}

impl State {
    /// Whether a value has an arc to itself.
    fn is_curved(&self, v: Value) -> bool {
        self.form.arcs.get(&v).is_some_and(|row| row.contains_key(&v))
    }

    /// The argument that a curved value absorbs before it is eliminated, if there is one.
    fn absorbed(&self, last: Value, left: &BTreeSet<Value>) -> Option<Value> {
        let only_here = |u: &Value| self.consumers.get(u).is_some_and(|c| c.len() == 1 && c.contains(&last));
        let args = self.first.get(&last).filter(|_| self.is_curved(last))?;
        args.keys().rev().copied().find(|u| left.contains(u) && !self.is_curved(*u) && only_here(u))
    }

    fn eliminate(&mut self, b: &mut Builder, u: Value) {
        let args = self.first.remove(&u).unwrap_or_default();
        let (_, arcs) = self.form.take(u);
        for v in self.consumers.remove(&u).unwrap_or_default() {
            let Some(outer) = self.first.get_mut(&v).and_then(|row| row.remove(&u)) else { continue };
            for (&a, &p) in &args {
                let product = b.mul(outer, p);
                let row = self.first.get_mut(&v).expect("a live consumer has its constraint");
                let sum = match row.get(&a) {
                    Some(&old) => b.add(old, product),
                    None => product,
                };
                row.insert(a, sum);
                self.consumers.entry(a).or_default().insert(v);
            }
        }
        for a in args.keys() {
            if let Some(consumers) = self.consumers.get_mut(a) {
                consumers.remove(&u);
            }
        }
        let first: Vec<(Value, Value)> = args.into_iter().collect();
        push(b, &mut self.form, u, &arcs, &first);
    }
}

/// Pushes the arcs of an eliminated value onto its arguments.
pub fn push(
    b: &mut Builder,
    form: &mut Form,
    u: Value,
    arcs: &BTreeMap<Value, Value>,
    first: &[(Value, Value)],
) {
    let own = arcs.get(&u).copied();
    let is_argument = |z: &Value| first.iter().any(|(a, _)| a == z);
    let mixed = own.is_some() && arcs.keys().any(|z| *z != u && is_argument(z));
    for (&z, &weight) in arcs {
        if z == u || (mixed && is_argument(&z)) {
            continue;
        }
        for &(a, p) in first {
            let pushed = b.mul(p, weight);
            let pushed = if a == z { b.add(pushed, pushed) } else { pushed };
            form.add_arc(b, a, z, pushed);
        }
    }
    let Some(own) = own else { return };
    if mixed {
        // p s^T + s p^T with s = arcs to the arguments + (own / 2) p
        let half = b.float(b.func().ty(own), 0.5);
        let half = b.mul(half, own);
        let s: Vec<Value> = first
            .iter()
            .map(|(a, p)| {
                let scaled = b.mul(half, *p);
                arcs.get(a).map_or(scaled, |&w| b.add(w, scaled))
            })
            .collect();
        for (i, &(a, p)) in first.iter().enumerate() {
            for (j, &(c, q)) in first.iter().enumerate().skip(i) {
                let (x, y) = (b.mul(p, s[j]), b.mul(q, s[i]));
                let pushed = b.add(x, y);
                form.add_arc(b, a, c, pushed);
            }
        }
        return;
    }
    let scaled: Vec<Value> = first.iter().map(|&(_, p)| b.mul(p, own)).collect();
    for (i, &(a, _)) in first.iter().enumerate() {
        for &(c, p) in &first[i..] {
            let pushed = b.mul(scaled[i], p);
            form.add_arc(b, a, c, pushed);
        }
    }
}

/// Distinct operations behind a form that are not older than `mark`; negations are free, divisions count eight.
fn cost(b: &Builder, form: &Form, mark: Value) -> usize {
    let mut seen = BTreeSet::new();
    let mut stack: Vec<Value> = form.bars.values().copied().collect();
    stack.extend(form.arcs.values().flat_map(|row| row.values().copied()));
    let mut cost = 0;
    while let Some(v) = stack.pop() {
        if v < mark || !seen.insert(v) {
            continue;
        }
        if let Some(InstData::Op(op, args)) = b.func().def(v) {
            cost += match op {
                Op::Neg => 0,
                Op::Div | Op::Sqrt => 8,
                _ => 1,
            };
            stack.extend(args);
        }
    }
    cost
}
