//! The orders in which vertices are colored.
//!
//! Gebremedhin, Nguyen, Patwary, Pothen, "`ColPack`: software for graph coloring and related problems in
//! scientific computing", ACM TOMS 40 (2013), section 5.

mod buckets;
mod degrees;
mod dynamic;

use std::fmt;
use std::str::FromStr;

use crate::error::ColoringError;
use crate::graph::Graph;
use crate::pattern::Pattern;
use degrees::Distance2;

/// An order in which the greedy algorithms visit the vertices.
///
/// Degrees are those of the adjacency graph for symmetric and bidirectional colorings, and distance-2 degrees (columns
/// that share a row) for column and row colorings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// By index.
    Natural,
    /// By descending degree; equal degrees by index.
    LargestFirst,
    /// A vertex of smallest degree among those left comes last, again and again.
    SmallestLast,
    /// The vertex with most neighbors already in the order comes next.
    IncidenceDegree,
    /// The vertex with most neighbors not yet in the order comes next.
    DynamicLargestFirst,
    /// Reverse of a perfect elimination order when the graph is chordal, by maximum cardinality search (Tarjan and
    /// Yannakakis 1984); an ordinary order otherwise. Acyclic coloring of a chordal graph is then optimal.
    PerfectElimination,
    /// A random permutation, the same for the same seed on every machine.
    Random(u64),
}

/// How the dynamic orders choose among vertices of equal degree: this decides the last few colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TieBreak {
    /// A stack for each degree, as `ColPack` does; counts equal those of `ColPack`.
    #[default]
    Stacks,
    /// All degrees in one array, a vertex moving to the near end of the neighboring degree (a little less memory).
    OneArray,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Natural => "natural",
            Self::LargestFirst => "largest-first",
            Self::SmallestLast => "smallest-last",
            Self::IncidenceDegree => "incidence-degree",
            Self::DynamicLargestFirst => "dynamic-largest-first",
            Self::PerfectElimination => "perfect-elimination",
            Self::Random(seed) => return write!(f, "random:{seed}"),
        })
    }
}

impl FromStr for Order {
    type Err = ColoringError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "natural" => Self::Natural,
            "largest-first" => Self::LargestFirst,
            "smallest-last" => Self::SmallestLast,
            "incidence-degree" => Self::IncidenceDegree,
            "dynamic-largest-first" => Self::DynamicLargestFirst,
            "perfect-elimination" => Self::PerfectElimination,
            "random" => Self::Random(0),
            _ => {
                let seed = name.strip_prefix("random:").and_then(|seed| seed.parse().ok());
                Self::Random(seed.ok_or_else(|| ColoringError::UnknownOrder { name: name.into() })?)
            }
        })
    }
}

/// The vertices of a graph in the given order.
pub(crate) fn graph_order(graph: &Graph, order: Order, ties: TieBreak) -> Vec<u32> {
    let n = graph.n_vertices();
    let degrees = || (0..n).map(|v| graph.neighbors(v).len() as u32).collect::<Vec<_>>();
    match order {
        Order::Natural => natural(n),
        Order::Random(seed) => random(n, seed),
        Order::LargestFirst => degrees::by_descending(&degrees()),
        Order::SmallestLast => dynamic::smallest_last(graph, degrees(), ties),
        Order::IncidenceDegree => dynamic::incidence_degree(graph, &degrees(), ties),
        Order::DynamicLargestFirst => dynamic::dynamic_largest_first(graph, degrees(), ties),
        Order::PerfectElimination => dynamic::incidence_degree(graph, &degrees(), TieBreak::OneArray),
    }
}

/// The columns in the given order; `columns` is the transpose of `rows`.
pub(crate) fn column_order(rows: &Pattern, columns: &Pattern, order: Order, ties: TieBreak) -> Vec<u32> {
    let n = rows.ncols();
    match order {
        Order::Natural => return natural(n),
        Order::Random(seed) => return random(n, seed),
        _ => {}
    }
    // A full row makes all columns neighbors: every order gives as many colors as there are columns.
    if (0..rows.nrows()).any(|i| rows.row(i).len() == n) {
        return natural(n);
    }
    let neighbors = Distance2::new(rows, columns);
    let degrees = neighbors.degrees();
    match order {
        Order::Natural | Order::Random(_) | Order::LargestFirst => degrees::by_descending(&degrees),
        Order::SmallestLast => dynamic::smallest_last(neighbors.left(), degrees, ties),
        Order::IncidenceDegree => dynamic::incidence_degree(neighbors.left(), &degrees, ties),
        Order::DynamicLargestFirst => dynamic::dynamic_largest_first(neighbors.left(), degrees, ties),
        Order::PerfectElimination => {
            dynamic::incidence_degree(neighbors.left(), &degrees, TieBreak::OneArray)
        }
    }
}

fn natural(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

/// Fisher-Yates shuffle driven by splitmix64.
fn random(n: usize, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut order = natural(n);
    for k in (1..n).rev() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let at = ((u128::from(z) * (k as u128 + 1)) >> 64) as usize;
        order.swap(k, at);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for order in [
            Order::Natural,
            Order::LargestFirst,
            Order::SmallestLast,
            Order::IncidenceDegree,
            Order::DynamicLargestFirst,
            Order::PerfectElimination,
            Order::Random(7),
        ] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        assert!("random:x".parse::<Order>().is_err());
    }

    /// README section 2 (d): the graph 1-2, 2-3, 2-4, 3-4.
    #[test]
    fn largest_first_is_stable() {
        let edges = [(0, 1), (1, 0), (1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)];
        let graph = Graph::symmetric(&Pattern::from_entries(4, 4, &edges).unwrap()).unwrap();
        assert_eq!(graph_order(&graph, Order::LargestFirst, TieBreak::Stacks), [1, 2, 3, 0]);
    }

    #[test]
    fn every_order_is_a_permutation() {
        let entries: Vec<(u32, u32)> = (0..40).map(|k| (k * 7 % 13, k * 11 % 17)).collect();
        let rows = Pattern::from_entries(13, 17, &entries).unwrap();
        let columns = rows.transpose();
        let graph = Graph::augmented(&rows);
        for ties in [TieBreak::Stacks, TieBreak::OneArray] {
            for name in
                ["natural", "largest-first", "smallest-last", "incidence-degree", "dynamic-largest-first"]
                    .into_iter()
                    .chain(["perfect-elimination", "random:3"])
            {
                let order = name.parse().unwrap();
                for mut list in [column_order(&rows, &columns, order, ties), graph_order(&graph, order, ties)]
                {
                    let n = list.len();
                    list.sort_unstable();
                    assert_eq!(list, natural(n), "{name}");
                }
            }
        }
    }
}
