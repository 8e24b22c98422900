//! Counts of `ColPack` 1.0.10 reached exactly, ties broken alike (`../shared/reference/coloring/README.md`, section 3).
//!
//! The patterns are those of `gen.py` there, built again; the larger ones are compared by `examples/colpack_table.rs`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use spadina_coloring::check;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern;

mod support;
use support::{Rng, arrow, band, frame};

const ORDERS: [Order; 3] = [Order::Natural, Order::LargestFirst, Order::SmallestLast];

/// Natural, largest first, smallest last.
fn counts(pattern: &Pattern, partition: Partition, decompression: Decompression) -> [usize; 3] {
    ORDERS.map(|order| {
        let options = Options::new(partition).decompression(decompression).orders([order]);
        let coloring = Coloring::new(pattern, &options).unwrap();
        if pattern.nnz() < 50_000 {
            check::coloring(&coloring).unwrap();
        }
        coloring.n_colors()
    })
}

fn column(pattern: &Pattern) -> [usize; 3] {
    counts(pattern, Partition::Column, Decompression::Direct)
}

/// Distance-2, star and acyclic counts.
fn all(pattern: &Pattern) -> [[usize; 3]; 3] {
    let star = counts(pattern, Partition::Symmetric, Decompression::Direct);
    [column(pattern), star, counts(pattern, Partition::Symmetric, Decompression::Substitution)]
}

fn pattern(m: usize, n: usize, entries: impl IntoIterator<Item = (usize, usize)>) -> Pattern {
    let entries: Vec<_> = entries.into_iter().map(|(i, j)| (i as u32, j as u32)).collect();
    Pattern::from_entries(m, n, &entries).unwrap()
}

/// All pairs within each group of vertices, `dof` unknowns a vertex.
fn cliques<const K: usize>(n: usize, groups: impl IntoIterator<Item = [usize; K]>, dof: usize) -> Pattern {
    let blocks: Vec<(usize, usize)> =
        groups.into_iter().flat_map(|g| g.into_iter().flat_map(move |a| g.map(|b| (a, b)))).collect();
    let blocks = pattern(n, n, blocks);
    let scalars = blocks
        .entries()
        .flat_map(|(a, b)| (0..dof).flat_map(move |p| (0..dof).map(move |q| (dof * a + p, dof * b + q))));
    pattern(dof * n, dof * n, scalars)
}

fn triangles(k: usize) -> Vec<[usize; 3]> {
    let cell = move |x: usize, y: usize| {
        let a = y * k + x;
        [[a, a + 1, a + k + 1], [a, a + k + 1, a + k]]
    };
    (0..k - 1).flat_map(|y| (0..k - 1).flat_map(move |x| cell(x, y))).collect()
}

fn brusselator(n: usize) -> Pattern {
    let index = |i: usize, j: usize, c: usize| (c * n + j % n) * n + i % n;
    let at = move |i: usize, j: usize, c: usize| {
        let cells =
            [(i, j, c), (i + 1, j, c), (i + n - 1, j, c), (i, j + 1, c), (i, j + n - 1, c), (i, j, 1 - c)];
        cells.map(|(a, b, d)| (index(i, j, c), index(a, b, d)))
    };
    let entries = (0..n).flat_map(|j| (0..n).flat_map(move |i| [at(i, j, 0), at(i, j, 1)]));
    pattern(2 * n * n, 2 * n * n, entries.flatten())
}

#[test]
fn arrows() {
    assert_eq!(all(&arrow(1000)), [[1000; 3], [2; 3], [2; 3]]);
    let last = (0..1000).flat_map(|i| [(i, 999), (999, i), (i, i)]);
    assert_eq!(all(&pattern(1000, 1000, last)), [[1000; 3], [2; 3], [2; 3]]);
}

#[test]
fn bands() {
    assert_eq!(all(&band(5000, 5)), [[11; 3], [11; 3], [6; 3]]);
    assert_eq!(all(&band(5000, 10)), [[21; 3], [21; 3], [11; 3]]);
}

#[test]
fn brusselators() {
    for (n, expected) in
        [(6, [9, 9, 8]), (12, [10, 10, 11]), (24, [10, 10, 11]), (32, [12; 3]), (48, [10, 10, 11])]
    {
        assert_eq!(column(&brusselator(n)), expected, "{n}");
    }
}

#[test]
fn rectangular_patterns() {
    let conv = (0..576).flat_map(|r| (0..25).map(move |k| (r, (r / 24 + k / 5) * 28 + r % 24 + k % 5)));
    assert_eq!(column(&pattern(576, 784, conv)), [25, 25, 29]);
    let diff = (0..999).flat_map(|i| [(i, i), (i, i + 1)]);
    assert_eq!(column(&pattern(999, 1000, diff)), [2; 3]);
    let reversed = (0..999).flat_map(|i| [i, i + 1, 999 - i, 998 - i].map(|j| (i, j)));
    assert_eq!(column(&pattern(999, 1000, reversed)), [4; 3]);
    assert_eq!(column(&frame(10, 20)), [20; 3]);
    assert_eq!(column(&frame(1000, 2000)), [2000; 3]);
}

#[test]
fn grids() {
    let entries = (0..27_000usize).flat_map(|v| {
        let right = (v % 30 < 29).then_some(v + 1);
        let up = (v / 30 % 30 < 29).then_some(v + 30);
        let back = (v / 900 < 29).then_some(v + 900);
        [Some(v), right, up, back].into_iter().flatten().flat_map(move |w| [(v, w), (w, v)])
    });
    let [column, star, acyclic] = all(&pattern(27_000, 27_000, entries));
    // Not in the table at this size; at 40 x 40 x 40 it has 13, 11 and 7 for every order.
    assert!(
        column.iter().all(|&c| c <= 13) && star.iter().all(|&c| c <= 11) && acyclic.iter().all(|&c| c <= 7)
    );
}

#[test]
fn random_symmetric_pattern() {
    let mut rng = Rng(1234 + 1000 + 5);
    let mut below = || ((u128::from(rng.next()) * 1000) >> 64) as usize;
    let mut lower: std::collections::BTreeSet<(usize, usize)> = (0..1000).map(|i| (i, i)).collect();
    while lower.len() < 1000 + 2500 {
        let (a, b) = (below(), below());
        if a != b {
            lower.insert((a.max(b), a.min(b)));
        }
    }
    let both = lower.into_iter().flat_map(|(i, j)| [(i, j), (j, i)]);
    assert_eq!(all(&pattern(1000, 1000, both)), [[18, 15, 15], [13, 13, 11], [6, 5, 6]]);
}

#[test]
fn triangle_meshes() {
    assert_eq!(all(&cliques(10_000, triangles(100), 1)), [[9, 10, 10], [9; 3], [4, 4, 5]]);
    assert_eq!(all(&cliques(10_000, triangles(100), 2)), [[18, 20, 19], [18; 3], [8, 8, 10]]);
}

/// More than 64 colors.
#[test]
fn tetrahedral_mesh() {
    let k = 16;
    let corner = move |x: usize, y: usize, z: usize| (z * k + y) * k + x;
    let paths = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let cells = (0..15).flat_map(|z| (0..15).flat_map(move |y| (0..15).map(move |x| [x, y, z])));
    let tets = cells.flat_map(|cell| {
        paths.map(|path| {
            let mut at = cell;
            let mut step = |axis: usize| {
                at[axis] += 1;
                corner(at[0], at[1], at[2])
            };
            [corner(cell[0], cell[1], cell[2]), step(path[0]), step(path[1]), step(path[2])]
        })
    });
    assert_eq!(all(&cliques(4096, tets, 3)), [[87, 87, 62], [60, 60, 58], [30; 3]]);
}

/// Hessians of Lagrangians of optimal power flow, from the case files when they are there.
#[test]
#[allow(clippy::print_stderr)]
fn power_flow() {
    for (case, expected) in [
        ("3_lmbd", [[6; 3], [6; 3], [6; 3]]),
        ("60_c", [[15, 14, 14], [11, 12, 14], [7, 6, 8]]),
        ("240_pserc", [[20; 3], [13, 18, 14], [9, 9, 8]]),
        ("1951_rte", [[32; 3], [19, 20, 20], [10, 11, 12]]),
        ("3375wp_k", [[25, 24, 24], [20, 16, 18], [13, 12, 12]]),
    ] {
        let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../shared/data/power/pglib_opf_case{case}.m"));
        let Ok(text) = std::fs::read_to_string(&file) else {
            eprintln!("skipped: {} is missing", file.display());
            continue;
        };
        assert_eq!(all(&power_flow_hessian(&text)), expected, "{case}");
    }
}

/// Unknowns: angles and magnitudes of the buses in order of their numbers, two of each generator, four of each branch.
fn power_flow_hessian(text: &str) -> Pattern {
    let table = |name: &str| -> Vec<Vec<f64>> {
        let start =
            text.find(&format!("mpc.{name} = [")).or_else(|| text.find(&format!("mpc.{name}=["))).unwrap();
        let body = text[start..].split_once('[').unwrap().1.split_once(']').unwrap().0;
        let lines =
            body.lines().map(|line| line.split('%').next().unwrap_or_default().trim().trim_end_matches(';'));
        let row = |line: &str| line.split_whitespace().map(|x| x.parse().unwrap()).collect();
        lines.filter(|line| !line.is_empty()).map(row).collect()
    };
    let mut buses: Vec<usize> =
        table("bus").iter().filter(|r| r[1] as usize != 4).map(|r| r[0] as usize).collect();
    buses.sort_unstable();
    let bus = |number: f64| buses.binary_search(&(number as usize)).ok();
    let generators = table("gen").iter().filter(|r| r[7] > 0.0 && bus(r[0]).is_some()).count();
    let branches: Vec<(usize, usize)> = (table("branch").iter().filter(|r| r[10] > 0.0))
        .filter_map(|r| Some((bus(r[0])?, bus(r[1])?)))
        .collect();
    let b = buses.len();
    let n = 2 * b + 2 * generators + 4 * branches.len();
    let costs = 2 * b..2 * b + generators;
    let diagonal = (b..2 * b).chain(costs).chain(2 * b + 2 * generators..n).map(|v| (v, v));
    let blocks = branches.iter().flat_map(|&(from, to)| {
        let unknowns = [from, to, b + from, b + to];
        unknowns.into_iter().flat_map(move |x| unknowns.map(|y| (x, y)))
    });
    pattern(n, n, diagonal.chain(blocks))
}
