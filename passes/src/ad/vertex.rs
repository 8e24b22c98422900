//! Symmetric vertex elimination on a tape: the linear and quadratic state, in any order.
//!
//! Vertices are numbered like the values they stand for: arguments before what uses them. Rows are short sorted lists.

use crate::ad::tape::{Ref, Tape};
use smallvec::SmallVec;

/// A sparse row: vertex and coefficient, sorted.
pub type Row = SmallVec<[(usize, Ref); 4]>;

/// A graph to be eliminated.
pub struct State {
    /// `first[v]`: partials of a live vertex with respect to its arguments.
    pub first: Vec<Row>,
    /// Vertices that have, or had, a vertex as argument.
    pub consumers: Vec<SmallVec<[usize; 4]>>,
    /// The linear form.
    pub bars: Vec<Option<Ref>>,
    /// The quadratic form, both halves.
    pub arcs: Vec<Row>,
}

fn find(row: &Row, v: usize) -> Option<Ref> {
    row.binary_search_by_key(&v, |&(w, _)| w).ok().map(|at| row[at].1)
}

fn remove(row: &mut Row, v: usize) -> Option<Ref> {
    row.binary_search_by_key(&v, |&(w, _)| w).ok().map(|at| row.remove(at).1)
}

fn set(row: &mut Row, v: usize, value: Ref) {
    match row.binary_search_by_key(&v, |&(w, _)| w) {
        Ok(at) => row[at].1 = value,
        Err(at) => row.insert(at, (v, value)),
    }
}

/// Adds to an entry, and gives what it then is. A literal zero that is added makes none.
pub fn add(tape: &mut Tape, row: &mut Row, v: usize, value: Ref) -> Option<Ref> {
    if tape.as_literal(value) == Some(0.0) {
        return None;
    }
    match row.binary_search_by_key(&v, |&(w, _)| w) {
        Ok(at) => {
            row[at].1 = tape.add(row[at].1, value);
            Some(row[at].1)
        }
        Err(at) => {
            row.insert(at, (v, value));
            Some(value)
        }
    }
}

impl Clone for State {
    fn clone(&self) -> State {
        // What is copied bit by bit is not cloned one by one.
        let rows = |rows: &[Row]| rows.iter().map(|row| Row::from_slice(row)).collect();
        let consumers = self.consumers.iter().map(|list| SmallVec::from_slice(list)).collect();
        State { first: rows(&self.first), consumers, bars: self.bars.clone(), arcs: rows(&self.arcs) }
    }
}

impl State {
    /// A graph of so many vertices without edges.
    pub fn new(vertices: usize) -> State {
        State {
            first: vec![Row::new(); vertices],
            consumers: vec![SmallVec::new(); vertices],
            bars: vec![None; vertices],
            arcs: vec![Row::new(); vertices],
        }
    }

    /// Adds to the linear form.
    pub fn add_bar(&mut self, tape: &mut Tape, v: usize, bar: Ref) {
        if tape.as_literal(bar) == Some(0.0) {
            return;
        }
        self.bars[v] = Some(match self.bars[v] {
            Some(old) => tape.add(old, bar),
            None => bar,
        });
    }

    /// Adds to the quadratic form.
    pub fn add_arc(&mut self, tape: &mut Tape, u: usize, w: usize, weight: Ref) {
        // Both halves hold the same: it is added once.
        if let Some(sum) = add(tape, &mut self.arcs[u], w, weight)
            && u != w
        {
            set(&mut self.arcs[w], u, sum);
        }
    }

    /// Whether a vertex has an arc to itself.
    pub fn is_curved(&self, v: usize) -> bool {
        find(&self.arcs[v], v).is_some()
    }

    /// Whether anything is live at a vertex.
    pub fn is_live(&self, v: usize) -> bool {
        self.bars[v].is_some() || !self.arcs[v].is_empty() || self.is_used(v)
    }

    fn is_used(&self, v: usize) -> bool {
        self.consumers[v].iter().any(|&c| find(&self.first[c], v).is_some())
    }

    /// The argument that a curved vertex absorbs before it is eliminated: one that only it uses.
    pub fn absorbed(&self, last: usize, is_left: impl Fn(usize) -> bool) -> Option<usize> {
        if !self.is_curved(last) {
            return None;
        }
        let only_here = |u: usize| {
            self.bars[u].is_none()
                && self.consumers[u].iter().all(|&c| c == last || find(&self.first[c], u).is_none())
        };
        let mut args = self.first[last].iter().rev().map(|&(u, _)| u);
        args.find(|&u| is_left(u) && !self.is_curved(u) && only_here(u))
    }

    /// Substitutes a vertex into its consumers and into the form.
    pub fn eliminate(&mut self, tape: &mut Tape, u: usize) {
        if !self.is_live(u) {
            self.first[u].clear();
            return;
        }
        let args = std::mem::take(&mut self.first[u]);
        for v in std::mem::take(&mut self.consumers[u]) {
            let Some(outer) = remove(&mut self.first[v], u) else { continue };
            for &(a, p) in &args {
                let product = tape.mul(outer, p);
                add(tape, &mut self.first[v], a, product);
                if self.consumers[a].last() != Some(&v) {
                    self.consumers[a].push(v);
                }
            }
        }
        if let Some(bar) = self.bars[u].take() {
            for &(a, p) in &args {
                let contribution = tape.mul(bar, p);
                self.add_bar(tape, a, contribution);
            }
        }
        let arcs = std::mem::take(&mut self.arcs[u]);
        for &(w, _) in &arcs {
            remove(&mut self.arcs[w], u);
        }
        self.push(tape, u, &arcs, &args);
    }

    /// Pushes the arcs of an eliminated vertex onto its arguments.
    fn push(&mut self, tape: &mut Tape, u: usize, arcs: &Row, first: &Row) {
        let own = find(arcs, u);
        let is_argument = |z: usize| find(first, z).is_some();
        let literal = first.iter().all(|&(_, p)| tape.as_literal(p).is_some());
        let mixed = !literal && own.is_some() && arcs.iter().any(|&(z, _)| z != u && is_argument(z));
        for &(z, weight) in arcs {
            if z == u || (mixed && is_argument(z)) {
                continue;
            }
            for &(a, p) in first {
                let pushed = tape.mul(p, weight);
                let pushed = if a == z { tape.add(pushed, pushed) } else { pushed };
                self.add_arc(tape, a, z, pushed);
            }
        }
        let Some(own) = own else { return };
        if mixed {
            // p s^T + s p^T with s = arcs to the arguments + (own / 2) p
            let half = tape.literal(0.5);
            let half = tape.mul(half, own);
            let s: SmallVec<[Ref; 8]> = first
                .iter()
                .map(|&(a, p)| {
                    let scaled = tape.mul(half, p);
                    find(arcs, a).map_or(scaled, |w| tape.add(w, scaled))
                })
                .collect();
            for (i, &(a, p)) in first.iter().enumerate() {
                for (j, &(c, q)) in first.iter().enumerate().skip(i) {
                    let (x, y) = (tape.mul(p, s[j]), tape.mul(q, s[i]));
                    let pushed = tape.add(x, y);
                    self.add_arc(tape, a, c, pushed);
                }
            }
            return;
        }
        let scaled: SmallVec<[Ref; 8]> = first.iter().map(|&(_, p)| tape.mul(p, own)).collect();
        for (i, &(a, _)) in first.iter().enumerate() {
            for &(c, p) in &first[i..] {
                let pushed = tape.mul(scaled[i], p);
                self.add_arc(tape, a, c, pushed);
            }
        }
    }
}
