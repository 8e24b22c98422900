//! Symmetric vertex elimination of a straight-line element, in the cheapest of several orders.
//!
//! # Problem
//! Edge pushing eliminates the computation graph of an element last value first. Any order gives the same Hessian, at another price:
//! eliminating what stands below a determinant *before* the determinant accumulates its gradient once, so that the logarithm above it
//! pushes one rank-two update onto few unknowns instead of one onto the entries of the matrix, which then go through two products.
//!
//! # Method
//! 1. One reverse sweep gives the adjoint of every value. The Hessian is then the quadratic form
//!    `1/2 sum_v bar_v sum_ab p_ab da db` under the linear constraints `dv = sum_a p_a da`; the gradient is a linear form under the same.
//! 2. Eliminating a value `u` substitutes its constraint: into the constraints of its consumers (`p_va += p_vu p_ua`) and into the forms
//!    (pushing its arcs; an arc to itself and arcs to its own arguments go together as a rank-two update).
//! 3. Candidate orders, each on its copy of a tape (`ad/tape`) and without building anything:
//!    - last first;
//!    - last first, a curved value (one with an arc to itself) absorbing the arguments that only it uses;
//!    - *cuts*: few values carry everything above them. What lies above a cut goes first, then what lies below, into the values of the
//!      cut, then these; sums of unknowns alone (edges of a mesh) stay until the end. Narrow cuts behind the widest place of the graph
//!      are tried, the best again with a second one.
//! 4. *Invariance*: where every sum of unknowns that the rest of the graph sees has coefficients that cancel (differences), the form has
//!    rows that sum to zero: one row in each group is minus the sum of the others (`ad/invariance`).
//! 5. Operations are counted after hash-consing; the cheapest goes through algebra (`ad/algebra`) and is built.
//!
//! # Why it keeps the meaning
//! Substitution is exact in any order (Griewank and Walther, 2nd ed., chapter 9.3; the form keeps symmetry by storing each arc once).
//!
//! # Limits
//! Straight-line graphs of one float type only: what contains an `if` or a loop is eliminated last first by `ad/eliminate`. Graphs over
//! `SEARCHED` values are eliminated last first.
//!
//! # References
//! Griewank and Walther, chapters 9 and 10.3; Gower and Mello 2012; Bhowmick and Hovland, A polynomial-time algorithm for detecting
//! directed axial symmetry in Hessian computational graphs, 2008 (symmetric elimination).

use crate::ad::algebra::{Factoring, improve};
use crate::ad::eliminate::{Partials, local_partials};
use crate::ad::form::Form;
use crate::ad::graph::Graph;
use crate::ad::invariance::Invariance;
use crate::ad::tape::{Ref, Tape};
use crate::ad::vertex::State;
use spadina_ir::builder::Builder;
use spadina_ir::func::{InstData, Value};
use spadina_ir::op::Op;
use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest graph for which several orders are tried.
const SEARCHED: usize = 400;
/// As many orders are tried as make about so many nodes.
const BUDGET: usize = 60_000;
/// About how many nodes an attempt makes for each value of a graph.
const NODES_A_VALUE: usize = 12;
/// Graphs of so many values are tried on two threads.
const WORTH_A_THREAD: usize = 60;
/// Up to this cost common factors are tried: in larger derivatives they part products that are shared.
const SMALL: usize = 150;
/// Widest cut.
const WIDEST: usize = 6;

/// Which vertices lie above a cut.
type Cut = Vec<bool>;

/// How to choose the next value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Order {
    /// Cuts, upper ones first.
    cuts: Vec<Cut>,
    /// Whether curved values absorb what only they use.
    absorb: bool,
}

/// The graph of an element, numbered.
struct Element {
    /// The value of each vertex.
    values: Vec<Value>,
    /// Whether a vertex is to be eliminated.
    inner: Vec<bool>,
    /// Sums of unknowns alone.
    entrance: Vec<bool>,
    /// The last vertex that uses each (itself if none does); the number of vertices for seeds.
    last_use: Vec<usize>,
    start: State,
}

/// What an attempt ends in, on the tape.
pub struct Outcome {
    /// Coefficients of first order.
    pub bars: Vec<(usize, Ref)>,
    /// Coefficients of second order, first vertex not after the second.
    pub arcs: Vec<(usize, usize, Ref)>,
}

/// An order that was tried.
struct Attempt {
    /// The place of the order among all.
    number: usize,
    order: Order,
    tape: Tape,
    outcome: Outcome,
    cost: usize,
}

impl Attempt {
    /// The cheaper one; of equals the first.
    fn or(self, other: Attempt) -> Attempt {
        if (other.cost, other.number) < (self.cost, self.number) { other } else { self }
    }
}

impl Outcome {
    fn refs(&self) -> Vec<Ref> {
        self.bars.iter().map(|&(_, r)| r).chain(self.arcs.iter().map(|&(_, _, r)| r)).collect()
    }
}

/// The form left on the leaves and on values before those of the graph, which lies behind the seeds.
pub fn eliminate(b: &mut Builder, graph: &mut Graph, seeds: &[(Value, Value)], line: &StraightLine) -> Form {
    let Some(&(seeded, _)) = seeds.first() else { return Form::default() };
    let mut base = Tape::new(b.func().ty(seeded), b.next_value(), 4 * line.nodes.len());
    let element = Element::new(b, graph, &mut base, seeds, &line.nodes);
    let Attempt { mut tape, outcome, .. } = element.search(&base);
    let outcome =
        Invariance::of(&tape, &element.start, &element.inner).apply(&mut tape, outcome, Outcome::refs);
    let refs = finished(&mut tape, &outcome.refs());
    let values = tape.build(b, &refs);
    let mut form = Form::default();
    let (bars, arcs) = values.split_at(outcome.bars.len());
    for (&(v, _), &bar) in outcome.bars.iter().zip(bars) {
        form.add_bar(b, element.values[v], bar);
    }
    for (&(u, w, _), &weight) in outcome.arcs.iter().zip(arcs) {
        form.add_arc(b, element.values[u], element.values[w], weight);
    }
    form
}

/// The same by algebra, where that is cheaper.
fn finished(tape: &mut Tape, refs: &[Ref]) -> Vec<Ref> {
    let better = improve(tape, refs, Factoring::None);
    if tape.cost(&better) > SMALL {
        return better;
    }
    let factored = improve(tape, refs, Factoring::Common);
    if tape.cost(&factored) < tape.cost(&better) { factored } else { better }
}

/// A graph of operations alone.
pub struct StraightLine {
    /// The active operations.
    nodes: BTreeSet<Value>,
    /// One of the leaves that it ends in, among the values numbered `mark` and above.
    pub leaf: Option<Value>,
}

impl StraightLine {
    /// The graph of the values numbered `mark` and above behind the seeds; `None` where something else than operations and leaves is
    /// among them.
    pub fn behind(
        b: &Builder,
        graph: &mut Graph,
        seeds: &[(Value, Value)],
        mark: u32,
    ) -> Option<StraightLine> {
        let mut line = StraightLine { nodes: BTreeSet::new(), leaf: None };
        let mut stack: Vec<Value> = seeds.iter().map(|&(v, _)| v).collect();
        let ty = seeds.first().map(|&(v, _)| b.func().ty(v));
        while let Some(v) = stack.pop() {
            if !graph.is_active(b, v) || line.nodes.contains(&v) {
                continue;
            }
            if Some(b.func().ty(v)) != ty {
                return None;
            }
            if v.as_u32() < mark {
                continue;
            }
            if graph.is_leaf(b, v) {
                line.leaf = Some(v);
                continue;
            }
            let Some(InstData::Op(op, args)) = b.func().def(v) else { return None };
            if matches!(op, Op::Narrow | Op::Widen) {
                return None;
            }
            stack.extend(args);
            line.nodes.insert(v);
        }
        Some(line)
    }
}

impl Element {
    /// Adjoints of all values, constraints and the initial arcs.
    fn new(
        b: &mut Builder,
        graph: &mut Graph,
        tape: &mut Tape,
        seeds: &[(Value, Value)],
        nodes: &BTreeSet<Value>,
    ) -> Element {
        let mut partials = Vec::with_capacity(nodes.len());
        let mut all: BTreeSet<Value> = nodes.clone();
        all.extend(seeds.iter().map(|&(v, _)| v).filter(|&v| graph.is_active(b, v)));
        for &v in nodes {
            let Some(InstData::Op(op, args)) = b.func().def(v).cloned() else {
                unreachable!("nodes are operations")
            };
            let found = local_partials(b, graph, op, &args, v);
            all.extend(found.first.iter().map(|&(a, _)| a));
            all.extend(found.second.iter().flat_map(|&(u, w, _)| [u, w]));
            partials.push((v, found));
        }
        let values: Vec<Value> = all.into_iter().collect();
        let number = |v: Value| values.binary_search(&v).expect("arguments are vertices");
        let count = values.len();
        let mut start = State::new(count);
        let mut last_use: Vec<usize> = (0..count).collect();
        for &(v, bar) in seeds {
            if let Ok(v) = values.binary_search(&v) {
                let bar = tape.import(b.func(), bar, &|_| true);
                start.add_bar(tape, v, bar);
                last_use[v] = count;
            }
        }
        let seeded = start.bars.clone();
        let mut inner = vec![false; count];
        for (v, Partials { first, second }) in partials.into_iter().rev() {
            let v = number(v);
            inner[v] = true;
            // Only arcs reach the slopes of given partials, and what is behind them.
            if !start.is_live(v) {
                continue;
            }
            let bar = start.bars[v];
            for (a, p) in first {
                let (a, p) = (number(a), tape.import(b.func(), p, &|_| true));
                if let Some(bar) = bar {
                    let contribution = tape.mul(bar, p);
                    start.add_bar(tape, a, contribution);
                }
                start.consumers[a].push(v);
                last_use[a] = last_use[a].max(v);
                crate::ad::vertex::add(tape, &mut start.first[v], a, p);
            }
            let Some(bar) = bar else { continue };
            for (u, w, h) in second {
                let h = tape.import(b.func(), h, &|_| true);
                let weight = tape.mul(bar, h);
                start.add_arc(tape, number(u), number(w), weight);
            }
        }
        start.bars = seeded;
        let entrance = entrances(tape, &start, &inner);
        Element { values, inner, entrance, last_use, start }
    }

    /// The cheapest of several orders.
    fn search(&self, base: &Tape) -> Attempt {
        let plain = self.attempt(base, (0, Order::default()));
        if self.values.len() > SEARCHED {
            return plain;
        }
        // Every attempt makes about as many nodes as the first one.
        let most = BUDGET / plain.tape.node_count().max(1);
        let cuts = self.cuts();
        let mut orders = vec![Order { cuts: Vec::new(), absorb: true }];
        orders.extend(cuts.iter().map(|cut| Order { cuts: vec![cut.clone()], absorb: false }));
        // By number; no more than the budget allows.
        let orders: Vec<(usize, Order)> = (1..most).zip(orders).collect();
        let best = self.cheapest(base, &orders).into_iter().fold(plain, Attempt::or);
        let [first] = &best.order.cuts[..] else { return best };
        let second = cuts.iter().filter(|&cut| cut != first).map(|cut| {
            // Sets above cuts are nested: the smaller belongs to the upper cut.
            let size = |cut: &Cut| cut.iter().filter(|&&above| above).count();
            let (upper, lower) = if size(cut) < size(first) { (cut, first) } else { (first, cut) };
            Order { cuts: vec![upper.clone(), lower.clone()], absorb: false }
        });
        let orders: Vec<(usize, Order)> = (1 + orders.len()..most).zip(second).collect();
        self.cheapest(base, &orders).into_iter().fold(best, Attempt::or)
    }

    /// The cheapest of these orders, on two threads where that is worth it.
    fn cheapest(&self, base: &Tape, orders: &[(usize, Order)]) -> Option<Attempt> {
        let next = AtomicUsize::new(0);
        let work = || {
            let waiting = std::iter::from_fn(|| orders.get(next.fetch_add(1, Ordering::Relaxed)).cloned());
            waiting.map(|order| self.attempt(base, order)).reduce(Attempt::or)
        };
        if orders.len() < 2 || self.values.len() < WORTH_A_THREAD {
            return work();
        }
        std::thread::scope(|scope| {
            // Where there is no further thread, this one does it all.
            let other = std::thread::Builder::new().spawn_scoped(scope, work);
            let mine = work();
            let other =
                other.ok().and_then(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            mine.into_iter().chain(other).reduce(Attempt::or)
        })
    }

    /// Tries an order, on a tape of its own: what it makes does not depend on others, nor on threads.
    fn attempt(&self, base: &Tape, (number, order): (usize, Order)) -> Attempt {
        let mut tape = base.fork(self.values.len() * NODES_A_VALUE);
        let outcome = self.run(&mut tape, &order);
        let cost = tape.cost(&outcome.refs());
        Attempt { number, order, tape, outcome, cost }
    }

    /// Narrow cuts: for each width the lowest behind the widest place, lowered where that makes it no wider.
    fn cuts(&self) -> Vec<Cut> {
        let count = self.values.len();
        let mut change = vec![0_isize; count + 2];
        for v in (0..count).filter(|&v| self.inner[v]) {
            change[v + 1] += 1;
            change[self.last_use[v] + 1] -= 1;
        }
        let mut width = 0;
        let widths: Vec<usize> = change
            .iter()
            .take(count)
            .map(|c| {
                width += c;
                width.unsigned_abs()
            })
            .collect();
        let widest = (0..count).rev().max_by_key(|&p| widths[p]).unwrap_or(0);
        let necks = self.necks();
        let mut cuts: Vec<Cut> = Vec::new();
        for most in 1..=WIDEST {
            let Some(p) = (widest..count).find(|&p| widths[p] > 0 && widths[p] <= most) else { continue };
            let cut = self.lowered((0..count).map(|v| v >= p).collect(), &necks);
            if !cuts.contains(&cut) {
                cuts.push(cut);
            }
        }
        cuts
    }

    /// For each vertex the lowest one that all its paths from the unknowns lead through: itself, if there is no other.
    fn necks(&self) -> Vec<usize> {
        let count = self.values.len();
        // Immediate dominators, from the unknowns upward; `None` for what has none.
        let mut above: Vec<Option<usize>> = vec![None; count];
        let mut depth = vec![0; count];
        let mut necks: Vec<usize> = (0..count).collect();
        for v in (0..count).filter(|&v| self.inner[v] && !self.entrance[v]) {
            let mut meet: Option<usize> = None;
            for (n, &(a, _)) in self.start.first[v].iter().enumerate() {
                if !self.inner[a] || self.entrance[a] {
                    meet = None;
                    break;
                }
                let (mut x, mut y) = (Some(a), if n == 0 { Some(a) } else { meet });
                while let (Some(p), Some(q)) = (x, y)
                    && p != q
                {
                    if depth[p] >= depth[q] {
                        x = above[p];
                    }
                    if depth[q] >= depth[p] {
                        y = above[q];
                    }
                }
                meet = if x == y { x } else { None };
                if meet.is_none() {
                    break;
                }
            }
            if let Some(w) = meet {
                (above[v], depth[v], necks[v]) = (Some(w), depth[w] + 1, necks[w]);
            }
        }
        necks
    }

    /// A cut in which no vertex can be replaced by one that it depends on alone.
    fn lowered(&self, mut above: Cut, necks: &[usize]) -> Cut {
        for v in (0..above.len()).rev() {
            let neck = necks[v];
            if neck == v || above[v] || !self.inner[v] || !self.crosses(v, &above) {
                continue;
            }
            for (w, &other) in necks.iter().enumerate() {
                if other == neck && w != neck {
                    above[w] = true;
                }
            }
        }
        above
    }

    /// Whether a vertex below a cut is used above it.
    fn crosses(&self, v: usize, above: &Cut) -> bool {
        !above[v] && (self.start.bars[v].is_some() || self.start.consumers[v].iter().any(|&c| above[c]))
    }

    /// The vertices in the order of their elimination, and whether they belong to a cut.
    fn sequence(&self, order: &Order) -> Vec<(usize, bool)> {
        // A vertex waits for the highest cut that it crosses, behind what lies between this cut and the next.
        let rank = |v: usize| {
            if !order.cuts.is_empty() && self.entrance[v] {
                return (2 * order.cuts.len() + 1, false);
            }
            for (n, cut) in order.cuts.iter().enumerate() {
                if cut[v] {
                    return (2 * n, false);
                }
                if self.crosses(v, cut) {
                    return (2 * n + 2, true);
                }
            }
            (2 * order.cuts.len(), false)
        };
        let mut sequence: Vec<(usize, (usize, bool))> =
            (0..self.values.len()).filter(|&v| self.inner[v]).map(|v| (v, rank(v))).collect();
        sequence.sort_by_key(|&(v, rank)| (rank, std::cmp::Reverse(v)));
        sequence.into_iter().map(|(v, (_, in_cut))| (v, in_cut)).collect()
    }

    fn run(&self, tape: &mut Tape, order: &Order) -> Outcome {
        let mut state = self.start.clone();
        let mut left = self.inner.clone();
        let mut sequence = self.sequence(order);
        for n in 0..sequence.len() {
            // Within a cut, what has no arc to itself goes first: its arcs then join the others' rank-two updates.
            if sequence[n].1 {
                let cut = sequence[n..].iter().take_while(|(_, in_cut)| *in_cut);
                let flat = cut.map(|&(v, _)| v).position(|v| !state.is_curved(v));
                sequence.swap(n, n + flat.unwrap_or(0));
            }
            let u = sequence[n].0;
            if !left[u] {
                continue;
            }
            if order.absorb {
                while let Some(a) = state.absorbed(u, |a| left[a]) {
                    left[a] = false;
                    state.eliminate(tape, a);
                }
            }
            left[u] = false;
            state.eliminate(tape, u);
        }
        let bars = state.bars.iter().enumerate().filter_map(|(v, bar)| Some((v, (*bar)?))).collect();
        let arcs = state.arcs.iter().enumerate();
        let arcs =
            arcs.flat_map(|(u, row)| row.iter().filter(move |e| e.0 >= u).map(move |&(w, r)| (u, w, r)));
        Outcome { bars, arcs: arcs.collect() }
    }
}

/// The vertices that are sums of terminal vertices with literal coefficients.
fn entrances(tape: &Tape, start: &State, inner: &[bool]) -> Vec<bool> {
    let mut entrance = vec![false; inner.len()];
    for v in (0..inner.len()).filter(|&v| inner[v]) {
        entrance[v] = start.first[v].iter().all(|&(a, p)| !inner[a] && tape.as_literal(p).is_some());
    }
    entrance
}
