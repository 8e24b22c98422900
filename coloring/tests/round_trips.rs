//! `decompress(compress(A)) == A` on random patterns: all partitions, decompressions, storages, triangles and layouts.
#![allow(clippy::unwrap_used)]

use spadina_coloring::check;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::{ColorScatter, Decompressor, Storage, Target, Triangle};
use spadina_coloring::layout::{Layout, Shape};
use spadina_coloring::optimal::optimal_coloring;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::{Order, TieBreak};
use spadina_coloring::pattern::Pattern;

mod support;
use support::{Rng, arrow, band, frame, random, random_symmetric};

const STORAGES: [Storage; 4] = [Storage::Csr, Storage::Csc, Storage::DenseRows, Storage::DenseColumns];
const TRIANGLES: [Triangle; 3] = [Triangle::Full, Triangle::Lower, Triangle::Upper];
const KINDS: [(Partition, Decompression); 6] = [
    (Partition::Column, Decompression::Direct),
    (Partition::Row, Decompression::Direct),
    (Partition::Symmetric, Decompression::Direct),
    (Partition::Symmetric, Decompression::Substitution),
    (Partition::Bidirectional, Decompression::Direct),
    (Partition::Bidirectional, Decompression::Substitution),
];

/// Whole numbers small enough that sums and differences are exact; symmetric if asked.
fn values(pattern: &Pattern, is_symmetric: bool, seed: u64) -> Vec<f64> {
    let value = |(i, j): (usize, usize)| {
        let (i, j) = if is_symmetric { (i.max(j), i.min(j)) } else { (i, j) };
        let mix = (i as u64) << 32 | j as u64;
        (Rng(seed ^ mix.wrapping_mul(0x9E37_79B9)).next() % 2001) as f64 - 1000.0
    };
    pattern.entries().map(value).collect()
}

/// The values in another storage, the slow way.
fn stored(pattern: &Pattern, values: &[f64], target: Target) -> Vec<f64> {
    let (m, n) = (pattern.nrows(), pattern.ncols());
    let mut all: Vec<_> = pattern.entries().zip(values.iter().copied()).collect();
    all.retain(|&((i, j), _)| target.triangle.contains(i, j));
    match target.storage {
        Storage::Csr => {}
        Storage::Csc => all.sort_by_key(|&((i, j), _)| (j, i)),
        Storage::DenseRows | Storage::DenseColumns => {
            let mut dense = vec![0.0; m * n];
            for ((i, j), value) in all {
                dense[if target.storage == Storage::DenseRows { i * n + j } else { j * m + i }] = value;
            }
            return dense;
        }
    }
    all.into_iter().map(|(_, value)| value).collect()
}

/// The one check every case goes through.
fn round_trip(coloring: &Coloring, seed: u64) {
    check::coloring(coloring).unwrap();
    let pattern = coloring.pattern();
    let values = values(pattern, coloring.partition() == Partition::Symmetric, seed);
    for layout in [Layout::ByColor, Layout::ByEntry] {
        let compressed = coloring.compress(&values, layout).unwrap();
        for storage in STORAGES {
            for triangle in TRIANGLES {
                let target = Target { layout, storage, triangle };
                let expected = stored(pattern, &values, target);
                let decompressor = Decompressor::new(coloring, target).unwrap();
                let mut out = vec![f64::NAN; decompressor.len()];
                decompressor.decompress(&compressed, &mut out).unwrap();
                assert_eq!(out, expected, "{target:?} {:?}", coloring.partition());
                if layout == Layout::ByColor && coloring.decompression() == Decompression::Direct {
                    assert_eq!(color_by_color(coloring, &compressed, target), expected);
                }
            }
        }
    }
}

fn color_by_color(coloring: &Coloring, compressed: &[f64], target: Target) -> Vec<f64> {
    let scatter = ColorScatter::new(coloring, target).unwrap();
    let mut out = vec![0.0; Decompressor::new(coloring, target).unwrap().len()];
    let (columns, rows) = compressed.split_at(Shape::new(coloring, Layout::ByColor).column_len());
    let (m, n) = (coloring.pattern().nrows().max(1), coloring.pattern().ncols().max(1));
    for (k, product) in columns.chunks(m).chain(rows.chunks(n)).enumerate() {
        scatter.decompress(k + 1, product, &mut out).unwrap();
    }
    out
}

/// All kinds of colorings of a pattern, with and without postprocessing, then again as colorings given by the user.
fn all_kinds(pattern: &Pattern, seed: u64) {
    for (partition, decompression) in KINDS {
        if partition == Partition::Symmetric && !pattern.is_symmetric() {
            continue;
        }
        for (postprocess, order, ties) in [
            (false, Order::Natural, TieBreak::Stacks),
            (true, Order::Random(seed), TieBreak::Stacks),
            (true, Order::SmallestLast, TieBreak::OneArray),
        ] {
            let options = Options::new(partition)
                .decompression(decompression)
                .orders([order])
                .ties(ties)
                .postprocess(postprocess);
            let coloring = Coloring::new(pattern, &options).unwrap();
            round_trip(&coloring, seed);
            let given = given_again(&coloring);
            assert_eq!(given.n_colors(), coloring.n_colors());
            round_trip(&given, seed);
        }
    }
}

fn given_again(coloring: &Coloring) -> Coloring {
    let (pattern, columns, rows) =
        (coloring.pattern(), coloring.column_colors().to_vec(), coloring.row_colors().to_vec());
    let decompression = coloring.decompression();
    match coloring.partition() {
        Partition::Column => Coloring::from_column_colors(pattern, columns),
        Partition::Row => Coloring::from_row_colors(pattern, rows),
        Partition::Symmetric => Coloring::from_symmetric_colors(pattern, columns, decompression),
        Partition::Bidirectional => {
            Coloring::from_bidirectional_colors(pattern, columns, rows, decompression)
        }
    }
    .unwrap()
}

#[test]
fn random_rectangular() {
    for seed in 0..11 {
        all_kinds(&random(10, 20, 0.05 * seed as f64, seed), seed);
        all_kinds(&random(20, 10, 0.05 * seed as f64, 100 + seed), seed);
    }
    for (seed, p) in [(1, 0.01), (2, 0.03), (3, 0.05)] {
        all_kinds(&random(100, 200, p, seed), seed);
        all_kinds(&random(200, 100, p, seed), seed);
    }
}

/// Every pattern of up to three rows and columns, those without any included.
#[test]
fn all_small_patterns() {
    for (m, n) in (0..3u32).flat_map(|m| (0..4u32).map(move |n| (m, n))) {
        for bits in 0..1u32 << (m * n) {
            let ones = (0..m * n).filter(|k| bits >> k & 1 == 1);
            let entries: Vec<_> = ones.map(|k| (k / n, k % n)).collect();
            all_kinds(&Pattern::from_entries(m as usize, n as usize, &entries).unwrap(), u64::from(bits));
        }
    }
}

#[test]
fn random_square_symmetric() {
    for seed in 0..11 {
        all_kinds(&random_symmetric(10, 0.05 * seed as f64, seed), seed);
    }
    for (seed, p) in [(1, 0.01), (2, 0.03), (3, 0.05)] {
        all_kinds(&random_symmetric(100, p, seed), seed);
    }
}

#[test]
fn structured() {
    for pattern in [arrow(30), frame(10, 20), band(30, 3), random(6, 6, 1.0, 0)] {
        all_kinds(&pattern, 5);
    }
}

/// More than 64 colors: the sets of colors leave their first word, in short and in long rows.
#[test]
fn many_colors() {
    all_kinds(&random(90, 90, 1.0, 0), 1);
    all_kinds(&random_symmetric(110, 0.8, 3), 1);
    let block = |n: u32| (0..n).flat_map(move |i| (0..n).map(move |j| (i, j)));
    let two_blocks: Vec<_> =
        block(70).flat_map(|(i, j)| [(i, j), (i + 70, j + 70), (i, i + 70), (i + 70, i)]).collect();
    all_kinds(&Pattern::from_entries(140, 140, &two_blocks).unwrap(), 2);
    // One row of 700 columns that also meet in shorter ones.
    let long: Vec<_> = (0..700).flat_map(|j| [(0, j), (1 + j % 7, j), (8 + j / 100, j)]).collect();
    let pattern = Pattern::from_entries(15, 700, &long).unwrap();
    for order in [Order::Natural, Order::Random(3)] {
        round_trip(&Coloring::new(&pattern, &Options::new(Partition::Column).orders([order])).unwrap(), 3);
    }
}

/// The optimum is never above the greedy count, and its coloring passes the same check.
#[test]
fn optimal_colorings() {
    for seed in 0..6 {
        for pattern in [random(4, 5, 0.4, seed), random_symmetric(7, 0.4, seed)] {
            for (partition, decompression) in KINDS {
                if partition == Partition::Symmetric && !pattern.is_symmetric() {
                    continue;
                }
                let best = optimal_coloring(&pattern, partition, decompression, 20_000_000).unwrap();
                round_trip(&best, seed);
                let options = Options::new(partition)
                    .decompression(decompression)
                    .orders([Order::Natural, Order::SmallestLast])
                    .postprocess(partition == Partition::Bidirectional);
                assert!(best.n_colors() <= Coloring::new(&pattern, &options).unwrap().n_colors());
            }
        }
    }
    let frame = optimal_coloring(&frame(4, 6), Partition::Bidirectional, Decompression::Direct, 20_000_000);
    assert_eq!(frame.unwrap().n_colors(), 4);
}
