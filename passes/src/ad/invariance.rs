//! Rows of a form that sum to zero: the derivative of what depends on unknowns through their differences only.
//!
//! # Problem
//! An energy of edge vectors does not change when all vertices move together: the rows of one vertex in gradient and Hessian are minus
//! the sums of the rows of the others. Elimination computes them from the edge vectors again.
//!
//! # Method
//! 1. Linear combinations of terminal vertices with literal coefficients, followed as long as operations are linear; those that anything
//!    else uses are *seen*.
//! 2. Vertices that one seen combination holds form a group. The group is invariant if each of its seen combinations has coefficients
//!    that sum to zero exactly.
//! 3. In each invariant group one vertex, the one in most combinations, gets minus the sum of the rows of the others.
//! 4. The cheaper of both is taken.
//!
//! # Why it keeps the meaning
//! The derivative along the group's direction `(1, .., 1)` is zero for every seen combination, so for all that follows, identically.
//!
//! # Limits
//! Directions other than all ones (rotations) are not looked for. An entry that would vanish as a literal keeps its old value: patterns
//! do not change.

use crate::ad::order::Outcome;
use crate::ad::tape::{Ref, Tape};
use crate::ad::vertex::State;
use std::collections::BTreeMap;

/// Longest combination that is followed.
const LONGEST: usize = 16;

/// Groups of vertices whose rows sum to zero; the first of each is the one that is left out.
pub struct Invariance {
    groups: Vec<Vec<usize>>,
}

impl Invariance {
    /// The groups of a graph.
    pub fn of(tape: &Tape, start: &State, inner: &[bool]) -> Invariance {
        let count = inner.len();
        let mut nonlinear: Vec<bool> = start.arcs.iter().map(|row| !row.is_empty()).collect();
        let mut combinations: Vec<Option<BTreeMap<usize, f64>>> = vec![None; count];
        for v in 0..count {
            if !inner[v] {
                combinations[v] = Some(BTreeMap::from([(v, 1.0)]));
                continue;
            }
            combinations[v] = combine(tape, start, &combinations, v);
            if combinations[v].is_none() {
                start.first[v].iter().for_each(|&(a, _)| nonlinear[a] = true);
            }
        }
        let seen = |v: usize| nonlinear[v] || start.bars[v].is_some();
        let mut groups = Groups { parent: (0..count).collect(), uses: vec![0; count] };
        let mut broken = Vec::new();
        for (v, combination) in combinations.iter().enumerate() {
            let Some(combination) = combination.as_ref().filter(|_| seen(v)) else { continue };
            let mut members = combination.keys().copied();
            let Some(first) = members.next() else { continue };
            groups.uses[first] += 1;
            for other in members {
                groups.uses[other] += 1;
                groups.join(first, other);
            }
            if combination.values().sum::<f64>() != 0.0 {
                broken.push(first);
            }
        }
        groups.whole(&broken)
    }

    /// The outcome with the rows of one vertex of each group from the others, where that is cheaper.
    pub fn apply(&self, tape: &mut Tape, outcome: Outcome, refs: impl Fn(&Outcome) -> Vec<Ref>) -> Outcome {
        if self.groups.is_empty() {
            return outcome;
        }
        let mut bars: BTreeMap<usize, Ref> = outcome.bars.iter().copied().collect();
        let mut arcs: BTreeMap<(usize, usize), Ref> =
            outcome.arcs.iter().map(|&(u, w, r)| ((u, w), r)).collect();
        for group in &self.groups {
            let (left_out, others) = (group[0], &group[1..]);
            minus_sum(tape, &mut bars, left_out, others.iter().copied());
            let mut with: Vec<usize> = arcs
                .keys()
                .filter(|&&(u, w)| u == left_out || w == left_out)
                .map(|&(u, w)| if u == left_out { w } else { u })
                .collect();
            // The diagonal entry last: it sums entries of the new row.
            with.sort_by_key(|&z| (z == left_out, z));
            for z in with {
                let pair = |o: usize| (o.min(z), o.max(z));
                minus_sum(tape, &mut arcs, pair(left_out), others.iter().map(|&o| pair(o)));
            }
        }
        let other = Outcome {
            bars: bars.into_iter().collect(),
            arcs: arcs.into_iter().map(|((u, w), r)| (u, w, r)).collect(),
        };
        let (old, new) = (tape.cost(&refs(&outcome)), tape.cost(&refs(&other)));
        if new < old { other } else { outcome }
    }
}

/// Replaces an entry by minus the sum of others, unless that is a literal zero.
fn minus_sum<K: Ord + Copy>(
    tape: &mut Tape,
    entries: &mut BTreeMap<K, Ref>,
    at: K,
    others: impl Iterator<Item = K>,
) {
    if !entries.contains_key(&at) {
        return;
    }
    let zero = tape.literal(0.0);
    let sum = others.filter_map(|o| entries.get(&o).copied()).fold(zero, |sum, r| tape.add(sum, r));
    if tape.as_literal(sum) != Some(0.0) {
        entries.insert(at, sum.negate());
    }
}

/// A vertex as a combination of terminal ones, if it is linear in them with literal coefficients.
fn combine(
    tape: &Tape,
    start: &State,
    combinations: &[Option<BTreeMap<usize, f64>>],
    v: usize,
) -> Option<BTreeMap<usize, f64>> {
    let mut sum = BTreeMap::new();
    for &(a, p) in &start.first[v] {
        let factor = tape.as_literal(p)?;
        for (&t, &c) in combinations[a].as_ref()? {
            *sum.entry(t).or_insert(0.0) += factor * c;
        }
    }
    (sum.len() <= LONGEST).then_some(sum)
}

struct Groups {
    parent: Vec<usize>,
    uses: Vec<usize>,
}

impl Groups {
    fn root(&mut self, mut v: usize) -> usize {
        while self.parent[v] != v {
            self.parent[v] = self.parent[self.parent[v]];
            v = self.parent[v];
        }
        v
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// The groups of two vertices or more without the broken ones.
    fn whole(mut self, broken: &[usize]) -> Invariance {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for v in 0..self.parent.len() {
            if self.uses[v] == 0 {
                continue;
            }
            let root = self.root(v);
            groups.entry(root).or_default().push(v);
        }
        for &v in broken {
            let root = self.root(v);
            groups.remove(&root);
        }
        let uses = self.uses;
        let groups = groups.into_values().filter(|group| group.len() > 1).map(|mut group| {
            group.sort_by_key(|&v| (std::cmp::Reverse(uses[v]), v));
            group
        });
        Invariance { groups: groups.collect() }
    }
}
