//! A breadth-first order of rows over the iterations that share them.
//!
//! As in the ordering of Cuthill and `McKee` (1969; George and Liu 1979 for the starting row): each component is
//! walked twice, the second time from the last row that the first walk reached, so that levels are narrow. Rows that very
//! many iterations write are not walked through (they would join everything) and come last.

use crate::partition::Rows;

/// A row is walked through if it is written by at most this many times the average.
const HUB: usize = 32;

/// First rows of all row blocks, in breadth-first order.
pub(crate) fn walk(phases: &[Vec<Rows<'_>>], trips: &[i64], rows: usize) -> Vec<u32> {
    let graph = Graph::new(phases, trips, rows);
    let mut state = State { row_seen: vec![0; rows], element_seen: vec![0; graph.elements], stamp: 0 };
    let mut done = vec![false; rows];
    let (mut order, mut first) = (Vec::new(), Vec::new());
    for start in 0..rows {
        if done[start] || graph.degree(start) == 0 || graph.is_hub(start) {
            continue;
        }
        first.clear();
        graph.component(start as u32, &mut state, &mut first);
        let far = first.last().copied().unwrap_or(start as u32);
        let begin = order.len();
        graph.component(far, &mut state, &mut order);
        for &row in &order[begin..] {
            done[row as usize] = true;
        }
    }
    order.extend((0..rows as u32).filter(|&r| graph.degree(r as usize) > 0 && graph.is_hub(r as usize)));
    order
}

/// Which iterations write which rows (first rows of blocks); iterations are numbered through all phases.
struct Graph<'a> {
    phases: &'a [Vec<Rows<'a>>],
    starts: Vec<usize>,
    elements: usize,
    first: Vec<usize>,
    members: Vec<u32>,
    hub: usize,
}

struct State {
    row_seen: Vec<u32>,
    element_seen: Vec<u32>,
    stamp: u32,
}

impl<'a> Graph<'a> {
    fn new(phases: &'a [Vec<Rows<'a>>], trips: &[i64], rows: usize) -> Graph<'a> {
        let mut starts = vec![0];
        for (sites, &trip) in phases.iter().zip(trips) {
            let trip = if sites.is_empty() { 0 } else { trip as usize };
            starts.push(starts.last().copied().unwrap_or(0) + trip);
        }
        let elements = starts.last().copied().unwrap_or(0);
        let mut graph =
            Graph { phases, starts, elements, first: vec![0; rows + 1], members: Vec::new(), hub: 0 };
        let mut first = vec![0_usize; rows + 1];
        for element in 0..elements {
            graph.rows_of(element, |row| first[row as usize + 1] += 1);
        }
        for row in 0..rows {
            first[row + 1] += first[row];
        }
        let mut members = vec![0; first[rows]];
        let mut next = first.clone();
        for element in 0..elements {
            graph.rows_of(element, |row| {
                members[next[row as usize]] = element as u32;
                next[row as usize] += 1;
            });
        }
        let used = (0..rows).filter(|&r| first[r + 1] > first[r]).count();
        graph.hub = HUB * (first[rows] / used.max(1) + 1);
        (graph.first, graph.members) = (first, members);
        graph
    }

    fn rows_of(&self, element: usize, mut visit: impl FnMut(u32)) {
        let phase = self.starts.partition_point(|&s| s <= element) - 1;
        let iteration = element - self.starts[phase];
        for site in &self.phases[phase] {
            for emission in site.stream.emissions_of(iteration) {
                site.of_emission(emission).for_each(|(base, _)| visit(base));
            }
        }
    }

    fn degree(&self, row: usize) -> usize {
        self.first[row + 1] - self.first[row]
    }

    fn is_hub(&self, row: usize) -> bool {
        self.degree(row) > self.hub
    }

    /// Appends the rows that can be reached, in breadth-first order.
    fn component(&self, start: u32, state: &mut State, order: &mut Vec<u32>) {
        state.stamp += 1;
        let stamp = state.stamp;
        let mut at = order.len();
        order.push(start);
        state.row_seen[start as usize] = stamp;
        while let Some(&row) = order.get(at) {
            at += 1;
            let row = row as usize;
            for &element in &self.members[self.first[row]..self.first[row + 1]] {
                if state.element_seen[element as usize] == stamp {
                    continue;
                }
                state.element_seen[element as usize] = stamp;
                self.rows_of(element as usize, |next| {
                    let seen = &mut state.row_seen[next as usize];
                    if *seen != stamp && !self.is_hub(next as usize) {
                        *seen = stamp;
                        order.push(next);
                    }
                });
            }
        }
    }
}
