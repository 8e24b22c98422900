//! The local Hessian of an element in a block of scratch: products of slopes are added to it, and its entries are emitted once.

use crate::ad::form::Form;
use crate::ad::graph::{Graph, Obstacle};
use crate::sparse::collect::Collector;
use crate::sparse::element::form::{Elimination, Member, Vector, scratch};
use crate::sparse::element::places::{Family, Unknowns};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A family and the number of an iteration.
type Place = (usize, Value);

/// Meets every two members of an element once: the first one's family is not before the second's, and in one family the first one's
/// iteration is the later one; then every member with itself.
trait Pairs {
    /// A loop was opened.
    fn open(&mut self) {}
    /// A loop is about to be closed.
    fn close(&mut self, _b: &mut Builder) {}
    /// The first member.
    fn row(&mut self, _b: &mut Builder, _first: Place) {}
    /// The second one; `alone` where it is the first.
    fn pair(&mut self, b: &mut Builder, first: Place, second: Place, alone: bool);
}

fn open(b: &mut Builder, family: &Family, visitor: &mut dyn Pairs) -> Value {
    let zero = b.int(0);
    if family.trips.is_none() {
        return zero;
    }
    let count = b.int(family.count());
    let (nth, _) = b.begin_loop(zero, count, 1, &[]);
    visitor.open();
    nth
}

fn close(b: &mut Builder, family: &Family, visitor: &mut dyn Pairs) {
    if family.trips.is_some() {
        visitor.close(b);
        b.end_loop(&[]);
    }
}

fn pairs(b: &mut Builder, unknowns: &Unknowns, visitor: &mut dyn Pairs) {
    for (f, family) in unknowns.families.iter().enumerate() {
        let i = open(b, family, visitor);
        visitor.row(b, (f, i));
        for (g, other) in unknowns.families[..f].iter().enumerate() {
            let j = open(b, other, visitor);
            visitor.pair(b, (f, i), (g, j), false);
            close(b, other, visitor);
        }
        if family.trips.is_some() {
            let zero = b.int(0);
            let (j, _) = b.begin_loop(zero, i, 1, &[]);
            visitor.open();
            visitor.pair(b, (f, i), (f, j), false);
            visitor.close(b);
            b.end_loop(&[]);
        }
        visitor.pair(b, (f, i), (f, i), true);
        close(b, family, visitor);
    }
}

impl Elimination<'_> {
    /// Hands the gradient on and adds the form that is left on loads and vectors to the block.
    pub fn finish(&mut self, b: &mut Builder, graph: &Graph, form: &Form) -> Result<(), Obstacle> {
        for (&leaf, &bar) in &form.bars {
            (self.gradient)(b, leaf, bar);
        }
        let mut weights: BTreeMap<Value, Vec<(Value, Value)>> = BTreeMap::new();
        let mut mixed: BTreeMap<Value, Vec<(Value, Value)>> = BTreeMap::new();
        for (&u, row) in &form.arcs {
            for (&w, &weight) in row {
                match (graph.is_leaf(b, u), graph.is_leaf(b, w)) {
                    (true, true) if u <= w => {
                        let (m, s) = self.slot(b, u, None)?;
                        let (n, t) = self.slot(b, w, None)?;
                        self.everywhere.extend([(m, n), (n, m)]);
                        self.add(b, s, t, u == w, weight);
                    }
                    (true, false) => mixed.entry(u).or_default().push((w, weight)),
                    (false, false) => weights.entry(u).or_default().push((w, weight)),
                    (_, true) => {}
                }
            }
        }
        for (leaf, row) in mixed {
            self.leaf_row(b, leaf, &row)?;
        }
        if !weights.is_empty() {
            self.products(b, &weights);
        }
        Ok(())
    }

    fn combined(&self, terms: &[(Value, Value)]) -> BTreeSet<Member> {
        terms.iter().flat_map(|(t, _)| self.vectors[t].support.iter().copied()).collect()
    }

    /// `sum_t weight_t J_t[slot]` over the vectors that have the member.
    fn weighted(
        &self,
        b: &mut Builder,
        terms: &[(Value, Value)],
        member: Member,
        slot: Value,
    ) -> Option<Value> {
        let mut sum = None;
        for (t, weight) in terms {
            let of = &self.vectors[t];
            if of.support.contains(&member) {
                let slope = b.load(of.array, &[slot]);
                let product = b.mul(*weight, slope);
                sum = Some(match sum {
                    Some(sum) => b.add(sum, product),
                    None => product,
                });
            }
        }
        sum
    }

    /// Adds `dX[leaf] * sum_t weight_t J_t dX`.
    fn leaf_row(&mut self, b: &mut Builder, leaf: Value, terms: &[(Value, Value)]) -> Result<(), Obstacle> {
        let (m, s) = self.slot(b, leaf, None)?;
        let support = self.combined(terms);
        for &n in &support {
            self.everywhere.extend([(m, n), (n, m)]);
        }
        let unknowns = self.unknowns;
        for (g, family) in unknowns.families.iter().enumerate() {
            let j = open(b, family, &mut Quiet);
            for d in 0..family.components.len() {
                let t = family.slot(b, j, d);
                if let Some(sum) = self.weighted(b, terms, (g, d), t) {
                    b.accum(self.block, &[s, t], sum);
                }
            }
            close(b, family, &mut Quiet);
        }
        Ok(())
    }

    /// Adds `1/2 sum_tu weight_tu (J_t dX)(J_u dX)`: one product by the weights, then one for each pair of unknowns.
    fn products(&mut self, b: &mut Builder, weights: &BTreeMap<Value, Vec<(Value, Value)>>) {
        let slots = self.unknowns.slots();
        let mut weighted: BTreeMap<Value, Vector> = BTreeMap::new();
        for (&t, terms) in weights {
            let ty = b.func().ty(terms[0].1);
            let array = scratch(b, "weighted", ty, &[slots]);
            b.reset(array);
            weighted.insert(t, Vector { array, support: self.combined(terms) });
        }
        let unknowns = self.unknowns;
        for (g, family) in unknowns.families.iter().enumerate() {
            let j = open(b, family, &mut Quiet);
            for d in 0..family.components.len() {
                let slot = family.slot(b, j, d);
                for (&t, terms) in weights {
                    if let Some(sum) = self.weighted(b, terms, (g, d), slot) {
                        b.accum(weighted[&t].array, &[slot], sum);
                    }
                }
            }
            close(b, family, &mut Quiet);
        }
        for (t, of) in &weighted {
            for &m in &self.vectors[t].support {
                self.everywhere.extend(of.support.iter().flat_map(|&n| [(m, n), (n, m)]));
            }
        }
        let rows = BTreeMap::new();
        let block = self.block;
        pairs(
            b,
            unknowns,
            &mut Products { unknowns, vectors: &self.vectors, weighted: &weighted, block, rows },
        );
    }
}

/// Opens nothing but the loop.
struct Quiet;

impl Pairs for Quiet {
    fn pair(&mut self, _b: &mut Builder, _first: Place, _second: Place, _alone: bool) {}
}

struct Products<'a> {
    unknowns: &'a Unknowns,
    vectors: &'a BTreeMap<Value, Vector>,
    weighted: &'a BTreeMap<Value, Vector>,
    block: Buffer,
    /// Slopes of the first member by component.
    rows: BTreeMap<usize, Vec<(Value, Value)>>,
}

impl Pairs for Products<'_> {
    fn row(&mut self, b: &mut Builder, (f, i): Place) {
        self.rows.clear();
        let family = &self.unknowns.families[f];
        for c in 0..family.components.len() {
            let slot = family.slot(b, i, c);
            let mut slopes = Vec::new();
            for t in self.weighted.keys() {
                let of = &self.vectors[t];
                if of.support.contains(&(f, c)) {
                    slopes.push((*t, b.load(of.array, &[slot])));
                }
            }
            self.rows.insert(c, slopes);
        }
    }

    fn pair(&mut self, b: &mut Builder, (f, i): Place, (g, j): Place, alone: bool) {
        let (first, second) = (&self.unknowns.families[f], &self.unknowns.families[g]);
        for c in 0..first.components.len() {
            for d in 0..if alone { c + 1 } else { second.components.len() } {
                let t = second.slot(b, j, d);
                let mut sum = None;
                for &(key, slope) in &self.rows[&c] {
                    let of = &self.weighted[&key];
                    if of.support.contains(&(g, d)) {
                        let other = b.load(of.array, &[t]);
                        let product = b.mul(slope, other);
                        sum = Some(match sum {
                            Some(sum) => b.add(sum, product),
                            None => product,
                        });
                    }
                }
                let Some(mut sum) = sum else { continue };
                if alone && c == d {
                    let half = b.float(b.func().ty(sum), 0.5);
                    sum = b.mul(half, sum);
                }
                let s = first.slot(b, i, c);
                b.accum(self.block, &[s, t], sum);
            }
        }
    }
}

/// A finished block, to be emitted where its element ends.
#[derive(Clone)]
pub struct Block {
    /// The local unknowns.
    pub unknowns: Unknowns,
    /// The Hessian is this array plus its transpose.
    pub array: Buffer,
    /// Which members are coupled.
    pub coupled: BTreeSet<(Member, Member)>,
}

impl Block {
    /// Emits every entry once.
    pub fn emit(&self, b: &mut Builder, collector: &mut Collector) {
        pairs(b, &self.unknowns, &mut Emitted { block: self, collector });
    }
}

struct Emitted<'a> {
    block: &'a Block,
    collector: &'a mut Collector,
}

impl Pairs for Emitted<'_> {
    fn open(&mut self) {
        self.collector.open();
    }

    fn close(&mut self, b: &mut Builder) {
        self.collector.close(b);
    }

    fn pair(&mut self, b: &mut Builder, (f, i): Place, (g, j): Place, alone: bool) {
        let families = &self.block.unknowns.families;
        let (first, second) = (&families[f], &families[g]);
        for c in 0..first.components.len() {
            for d in 0..if alone { c + 1 } else { second.components.len() } {
                if !self.block.coupled.contains(&((f, c), (g, d))) {
                    continue;
                }
                let (s, t) = (first.slot(b, i, c), second.slot(b, j, d));
                let (lower, upper) = (b.load(self.block.array, &[s, t]), b.load(self.block.array, &[t, s]));
                let value = b.add(lower, upper);
                let (row, col) = (first.position(b, i, c), second.position(b, j, d));
                self.collector.push(row, col, value);
                if !(alone && c == d) {
                    self.collector.push(col, row, value);
                }
            }
        }
    }
}
