//! Colorings and counts known from papers and other libraries (`../shared/reference/coloring/README.md`, section 2).
#![allow(clippy::unwrap_used)]

use spadina_coloring::acyclic::TreeSet;
use spadina_coloring::check;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::error::ColoringError;
use spadina_coloring::layout::Layout;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::{Order, TieBreak};
use spadina_coloring::pattern::Pattern;
use spadina_coloring::star::StarSet;

mod support;
use support::{arrow, band, dense, frame, gallery, symmetric};

use Decompression::{Direct, Substitution};
use Partition::{Bidirectional, Column, Row, Symmetric};

fn color(pattern: &Pattern, options: &Options) -> Coloring {
    let coloring = Coloring::new(pattern, options).unwrap();
    check::coloring(&coloring).unwrap();
    coloring
}

fn count(pattern: &Pattern, partition: Partition, decompression: Decompression) -> usize {
    color(pattern, &Options::new(partition).decompression(decompression)).n_colors()
}

/// Gebremedhin, Manne, Pothen 2005, figure 4.1.
fn six() -> Pattern {
    symmetric(6, true, &[(1, 2), (2, 3), (2, 5), (2, 6), (3, 4), (4, 6)])
}

/// Gebremedhin et al. 2009, figures 1 and 4.
fn ten() -> Pattern {
    let edges = [(1, 2), (1, 7), (2, 3), (2, 5), (3, 4), (3, 6), (4, 10), (5, 6), (5, 8), (6, 9), (7, 8)];
    symmetric(10, true, &[&edges[..], &[(8, 9), (9, 10)]].concat())
}

#[test]
fn small_column_coloring() {
    let coloring = color(&dense(&["101", "011", "100"]), &Options::new(Column));
    assert_eq!(coloring.column_colors(), [1, 1, 2]);
    let compressed = coloring.compress(&[1.0, 2.0, 3.0, 4.0, 5.0], Layout::ByEntry).unwrap();
    assert_eq!(compressed, [1.0, 2.0, 3.0, 4.0, 5.0, 0.0]);
    assert_eq!(coloring.column_groups().iter().collect::<Vec<_>>(), [&[0, 1][..], &[2]]);
    assert_eq!(coloring.column_seeds(Layout::ByColor), [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(coloring.column_seeds(Layout::ByEntry), [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn small_row_coloring() {
    let coloring = color(&dense(&["101", "010", "110"]), &Options::new(Row));
    assert_eq!(coloring.row_colors(), [1, 1, 2]);
    assert_eq!((coloring.n_row_colors(), coloring.n_column_colors()), (2, 0));
}

#[test]
fn tutorial_column_coloring() {
    let pattern = dense(&["001101", "100010", "010010", "011000"]);
    assert_eq!(color(&pattern, &Options::new(Column)).column_colors(), [1, 1, 2, 1, 2, 3]);
}

#[test]
fn published_star_colorings() {
    assert_eq!(color(&six(), &Options::new(Symmetric)).column_colors(), [1, 2, 1, 3, 1, 1]);
    let coloring = color(&ten(), &Options::new(Symmetric));
    assert_eq!(coloring.column_colors(), [1, 2, 1, 3, 1, 4, 3, 5, 1, 2]);
    // Every edge contains its hub, and nontrivial stars have it in common.
    assert!(coloring.stars().is_some_and(|stars| stars.star_of_edge().len() == 13));
    assert!(coloring.stars().map_or(0, StarSet::n_stars) < 13);
}

#[test]
fn published_acyclic_coloring() {
    let coloring = color(&ten(), &Options::new(Symmetric).decompression(Substitution));
    assert_eq!(coloring.column_colors(), [1, 2, 1, 2, 1, 3, 2, 3, 2, 1]);
    let trees = coloring.trees().unwrap();
    assert_eq!((0..trees.n_trees()).map(|t| trees.pairs(t).count()).sum::<usize>(), 13);
}

#[test]
fn trees_are_solved_from_the_leaves() {
    // A path of 7 edges in two colors: chains from both ends meet in the middle.
    let edges: Vec<(u32, u32)> = (1..8).map(|i| (i, i + 1)).collect();
    let coloring = color(&symmetric(8, true, &edges), &Options::new(Symmetric).decompression(Substitution));
    assert_eq!(coloring.n_colors(), 2);
    let trees: &TreeSet = coloring.trees().unwrap();
    assert_eq!((trees.n_trees(), trees.is_star(0)), (1, false));
    let pairs: Vec<_> = trees.pairs(0).collect();
    assert_eq!(pairs, [(0, 1), (7, 6), (1, 2), (6, 5), (2, 3), (5, 4), (3, 4)]);
}

#[test]
fn antidiagonal_bicoloring() {
    let pattern = dense(&["0001", "0010", "0100", "1000"]);
    for decompression in [Direct, Substitution] {
        let options = Options::new(Bidirectional).decompression(decompression);
        assert_eq!(color(&pattern, &options).n_colors(), 2);
        assert_eq!(color(&pattern, &options.postprocess(true)).n_colors(), 1);
    }
}

#[test]
fn triangle_bicoloring() {
    let pattern = dense(&["110", "011", "101"]);
    for decompression in [Direct, Substitution] {
        let options = Options::new(Bidirectional).decompression(decompression).postprocess(true);
        assert_eq!(color(&pattern, &options).n_colors(), 3);
    }
}

/// Fewest colors over random orders.
fn best_of_seeds(pattern: &Pattern, decompression: Decompression, postprocess: bool) -> usize {
    let options = Options::new(Bidirectional)
        .decompression(decompression)
        .orders((0..20).map(Order::Random))
        .postprocess(postprocess);
    color(pattern, &options).n_colors()
}

#[test]
fn frame_bicoloring() {
    for decompression in [Direct, Substitution] {
        assert!(best_of_seeds(&frame(10, 20), decompression, false) <= 6);
        assert_eq!(best_of_seeds(&frame(10, 20), decompression, true), 4);
    }
    for decompression in [Direct, Substitution] {
        assert_eq!(best_of_seeds(&frame(1000, 2000), decompression, true), 4);
    }
}

#[test]
fn arrow_bicoloring() {
    assert_eq!(best_of_seeds(&arrow(1000), Direct, true), 4);
    let options = Options::new(Bidirectional).decompression(Substitution).postprocess(true);
    assert_eq!(color(&arrow(1000), &options).n_colors(), 3);
    assert!(best_of_seeds(&arrow(10), Substitution, true) < best_of_seeds(&arrow(10), Direct, true));
}

#[test]
fn bicoloring_of_a_random_matrix_with_dense_rows_and_columns() {
    let pattern = gallery::named("randrect_2000_dense5").unwrap();
    assert!(best_of_seeds(&pattern, Direct, true) <= 26);
    assert!(best_of_seeds(&pattern, Substitution, true) <= 19);
}

#[test]
fn banded_colorings_are_optimal() {
    for n in [5000, 10_000] {
        for (rho, star, acyclic) in [(10, 11, 6), (20, 21, 11)] {
            let pattern = band(n, rho / 2);
            let counted = |decompression| {
                let options = Options::new(Symmetric).decompression(decompression);
                Coloring::new(&pattern, &options).unwrap().n_colors()
            };
            assert_eq!((counted(Direct), counted(Substitution)), (star, acyclic));
        }
    }
}

#[test]
fn perfect_elimination_recovers_a_permuted_band() {
    for (n, m) in [(800, 80), (400, 40), (200, 20), (100, 10)] {
        // Renumbered by multiplication, which mixes well enough.
        let renumber = |v: u32| ((v as usize * 37 + 11) % n) as u32;
        let entries: Vec<(u32, u32)> =
            band(n, m).entries().map(|(i, j)| (renumber(i as u32), renumber(j as u32))).collect();
        let pattern = Pattern::from_entries(n, n, &entries).unwrap();
        let options = Options::new(Symmetric).decompression(Substitution).orders([Order::PerfectElimination]);
        assert_eq!(Coloring::new(&pattern, &options).unwrap().n_colors(), m + 1);
    }
}

#[test]
fn iterated_difference_of_ten_inputs() {
    let entries: Vec<(u32, u32)> = (0..7).flat_map(|i| (i..i + 4).map(move |j| (i, j))).collect();
    assert_eq!(count(&Pattern::from_entries(7, 10, &entries).unwrap(), Column, Direct), 4);
}

#[test]
fn several_orders_are_never_worse_than_natural() {
    let all = [
        Order::Natural,
        Order::LargestFirst,
        Order::SmallestLast,
        Order::IncidenceDegree,
        Order::DynamicLargestFirst,
        Order::PerfectElimination,
        Order::Random(1),
    ];
    for seed in 0..10 {
        let pattern = support::random_symmetric(60, 0.1, seed);
        for partition in [Column, Row, Symmetric, Bidirectional] {
            for decompression in [Direct, Substitution] {
                for ties in [TieBreak::Stacks, TieBreak::OneArray] {
                    let options = Options::new(partition).decompression(decompression).ties(ties);
                    let Ok(natural) = Coloring::new(&pattern, &options) else { continue };
                    let best = color(&pattern, &options.orders(all));
                    assert!(best.n_colors() <= natural.n_colors());
                }
            }
        }
    }
}

#[test]
fn unsuitable_requests_are_refused() {
    let wide = dense(&["101", "010"]);
    assert!(matches!(
        Coloring::new(&wide, &Options::new(Symmetric)),
        Err(ColoringError::NotSquare { nrows: 2, ncols: 3 })
    ));
    let lower = dense(&["10", "11"]);
    assert!(matches!(
        Coloring::new(&lower, &Options::new(Symmetric)),
        Err(ColoringError::NotSymmetric { row: 1, col: 0 })
    ));
    assert!(matches!(Coloring::new(&wide, &Options::new(Column).orders([])), Err(ColoringError::NoOrder)));
    assert!(matches!(
        Coloring::new(&wide, &Options::new(Column).decompression(Substitution)),
        Err(ColoringError::SubstitutionOneSided)
    ));
}

#[test]
fn patterns_without_entries_rows_or_columns() {
    for (m, n) in [(0, 0), (0, 3), (3, 0), (3, 3)] {
        let pattern = Pattern::from_entries(m, n, &[]).unwrap();
        for partition in [Column, Row, Bidirectional, Symmetric] {
            for name in
                ["natural", "largest-first", "smallest-last", "incidence-degree", "dynamic-largest-first"]
            {
                if m == n || partition != Symmetric {
                    let options = Options::new(partition).orders([name.parse().unwrap()]).postprocess(true);
                    color(&pattern, &options);
                }
            }
        }
    }
}
