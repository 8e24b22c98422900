//! Orders by degrees that change as the order grows: smallest last, incidence degree, dynamic largest first.

use super::TieBreak;
use super::buckets::{Buckets, OneArray, Stacks};
use crate::graph::Graph;

/// The neighbors of a vertex, each once; those already ordered may be left out.
pub(super) trait Neighbors {
    /// Calls `f` for the neighbors of `v`, which has just been put in the order.
    fn visit(&mut self, v: u32, f: impl FnMut(u32));
}

impl Neighbors for &Graph {
    fn visit(&mut self, v: u32, f: impl FnMut(u32)) {
        self.neighbors(v as usize).iter().copied().for_each(f);
    }
}

/// Again and again a vertex of smallest remaining degree; the order is the reverse.
pub(super) fn smallest_last(neighbors: impl Neighbors, degrees: Vec<u32>, ties: TieBreak) -> Vec<u32> {
    let max = max_degree(&degrees);
    let mut order = match ties {
        TieBreak::Stacks => ascending(neighbors, Stacks::new(&degrees, max), max),
        TieBreak::OneArray => ascending(neighbors, OneArray::new(degrees, max), max),
    };
    order.reverse();
    order
}

/// Again and again the vertex with most neighbors in the order.
pub(super) fn incidence_degree(neighbors: impl Neighbors, degrees: &[u32], ties: TieBreak) -> Vec<u32> {
    let max = max_degree(degrees);
    let zeros = vec![0; degrees.len()];
    match ties {
        TieBreak::Stacks => descending(neighbors, Stacks::new(&zeros, max), max, Stacks::increase),
        TieBreak::OneArray => descending(neighbors, OneArray::new(zeros, max), max, OneArray::increase),
    }
}

/// Again and again the vertex with most neighbors not in the order.
pub(super) fn dynamic_largest_first(
    neighbors: impl Neighbors,
    degrees: Vec<u32>,
    ties: TieBreak,
) -> Vec<u32> {
    let max = max_degree(&degrees);
    match ties {
        TieBreak::Stacks => descending(neighbors, Stacks::new(&degrees, max), max, Stacks::decrease),
        TieBreak::OneArray => descending(neighbors, OneArray::new(degrees, max), max, OneArray::decrease),
    }
}

fn max_degree(degrees: &[u32]) -> usize {
    degrees.iter().copied().max().unwrap_or(0) as usize
}

fn ascending<B: Buckets>(mut neighbors: impl Neighbors, mut buckets: B, max: usize) -> Vec<u32> {
    let mut order = Vec::new();
    let mut degree = 0;
    while degree <= max {
        let Some(v) = buckets.pop(degree) else {
            degree += 1;
            continue;
        };
        order.push(v);
        neighbors.visit(v, |w| buckets.decrease(w));
        degree = degree.saturating_sub(1);
    }
    order
}

fn descending<B: Buckets>(
    mut neighbors: impl Neighbors,
    mut buckets: B,
    max: usize,
    shift: impl Fn(&mut B, u32),
) -> Vec<u32> {
    let mut order = Vec::new();
    let mut degree = max;
    loop {
        if let Some(v) = buckets.pop(degree) {
            order.push(v);
            neighbors.visit(v, |w| shift(&mut buckets, w));
            degree = (degree + 1).min(max);
        } else if degree > 0 {
            degree -= 1;
        } else {
            return order;
        }
    }
}
