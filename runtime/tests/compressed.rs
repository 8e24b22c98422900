//! Matrices from products: every partition, decompression, batch, layout and storage gives back the matrix that was multiplied.

use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::{Storage, Target, Triangle};
use spadina_coloring::layout::Layout;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern;
use spadina_runtime::compressed::choose::{self, Cost, Substitution};
use spadina_runtime::compressed::directions::{Batch, Directions, Side};
use spadina_runtime::compressed::evaluate::Compressed;
use spadina_runtime::error::RuntimeError;

/// Values are small whole numbers, so that sums are exact in any order.
struct Matrix {
    pattern: Pattern,
    dense: Vec<f64>,
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn random(nrows: usize, ncols: usize, percent: u64, symmetric: bool, seed: u64) -> Matrix {
    let mut rng = Rng(seed);
    let mut dense = vec![0.0; nrows * ncols];
    for i in 0..nrows {
        for j in 0..ncols {
            if rng.below(100) < percent {
                let value = 1.0 + rng.below(9) as f64;
                dense[i * ncols + j] = value;
                if symmetric {
                    dense[j * ncols + i] = value;
                }
            }
        }
    }
    let entries: Vec<(u32, u32)> = (0..nrows * ncols)
        .filter(|&at| dense[at] != 0.0)
        .map(|at| ((at / ncols) as u32, (at % ncols) as u32))
        .collect();
    let pattern = Pattern::from_entries(nrows, ncols, &entries).expect("entries are in range");
    Matrix { pattern, dense }
}

impl Matrix {
    /// The products of a batch; padding lanes are filled with numbers that must not be read.
    fn form(&self, directions: Directions<'_>, products: &mut [f64]) {
        let (nrows, ncols) = (self.pattern.nrows(), self.pattern.ncols());
        let lengths = match directions.side {
            Side::Columns => (ncols, nrows),
            Side::Rows => (nrows, ncols),
        };
        let width = directions.width;
        let at = |lane: usize, entry: usize, len: usize| match directions.layout {
            Layout::ByColor => lane * len + entry,
            Layout::ByEntry => entry * width + lane,
        };
        assert_eq!((directions.len(), products.len()), (lengths.0, width * lengths.1));
        products.fill(f64::NAN);
        for lane in 0..directions.count {
            for out in 0..lengths.1 {
                let terms = (0..lengths.0).map(|k| {
                    let entry = match directions.side {
                        Side::Columns => self.dense[out * ncols + k],
                        Side::Rows => self.dense[k * ncols + out],
                    };
                    entry * directions.seeds[at(lane, k, lengths.0)]
                });
                products[at(lane, out, lengths.1)] = terms.sum();
            }
        }
        for lane in directions.count..width {
            assert!(
                (0..lengths.0).all(|k| directions.seeds[at(lane, k, lengths.0)] == 0.0),
                "padding is zero"
            );
        }
    }

    fn stored(&self, target: Target) -> Vec<f64> {
        let (nrows, ncols) = (self.pattern.nrows(), self.pattern.ncols());
        let mut places: Vec<(usize, usize)> = match target.storage {
            Storage::Csr | Storage::Csc => self.pattern.entries().collect(),
            Storage::DenseRows | Storage::DenseColumns => {
                (0..nrows * ncols).map(|at| (at / ncols, at % ncols)).collect()
            }
        };
        if matches!(target.storage, Storage::Csc | Storage::DenseColumns) {
            places.sort_by_key(|&(row, col)| (col, row));
        }
        let dense = matches!(target.storage, Storage::DenseRows | Storage::DenseColumns);
        let value = |(row, col): (usize, usize)| {
            let inside = target.triangle.contains(row, col);
            (inside || dense).then(|| if inside { self.dense[row * ncols + col] } else { 0.0 })
        };
        places.into_iter().filter_map(value).collect()
    }
}

fn check(matrix: &Matrix, options: &Options) {
    let coloring = Coloring::new(&matrix.pattern, options).expect("the options fit the pattern");
    for width in [None, Some(1), Some(3), Some(8)] {
        for layout in [Layout::ByColor, Layout::ByEntry] {
            for storage in [Storage::Csr, Storage::Csc, Storage::DenseRows, Storage::DenseColumns] {
                for triangle in [Triangle::Full, Triangle::Lower, Triangle::Upper] {
                    let target = Target { storage, triangle, ..Target::default() };
                    let mut compressed =
                        Compressed::new(&coloring, target, Batch { width, layout }).expect("sizes are small");
                    let mut values = vec![f64::NAN; compressed.len()];
                    // Twice: what one evaluation leaves must not disturb the next.
                    for _ in 0..2 {
                        let form = |directions: Directions<'_>, products: &mut [f64]| {
                            matrix.form(directions, products);
                            Ok::<(), RuntimeError>(())
                        };
                        compressed.evaluate(form, &mut values).expect("lengths fit");
                        assert_eq!(
                            values,
                            matrix.stored(target),
                            "{options:?} {width:?} {layout:?} {target:?}"
                        );
                    }
                    let pattern = compressed.pattern();
                    assert_eq!(pattern.is_some(), storage == Storage::Csr);
                    assert!(pattern.is_none_or(|pattern| pattern.nnz() == values.len()));
                }
            }
        }
    }
}

#[test]
fn jacobians_come_back_from_all_partitions() {
    for seed in 0..4 {
        for (nrows, ncols, percent) in [(12, 17, 15), (17, 12, 30), (6, 9, 0), (1, 5, 100)] {
            let matrix = random(nrows, ncols, percent, false, seed);
            check(&matrix, &Options::new(Partition::Column));
            check(&matrix, &Options::new(Partition::Row).orders([Order::LargestFirst]));
            for decompression in [Decompression::Direct, Decompression::Substitution] {
                for postprocess in [false, true] {
                    let options = Options::new(Partition::Bidirectional);
                    check(&matrix, &options.decompression(decompression).postprocess(postprocess));
                }
            }
        }
    }
}

#[test]
fn hessians_come_back_directly_and_by_substitution() {
    for seed in 0..4 {
        for (n, percent) in [(14, 12), (9, 40), (3, 0)] {
            let matrix = random(n, n, percent, true, seed);
            for decompression in [Decompression::Direct, Decompression::Substitution] {
                for postprocess in [false, true] {
                    let options = Options::new(Partition::Symmetric);
                    check(&matrix, &options.decompression(decompression).postprocess(postprocess));
                }
            }
        }
    }
}

#[test]
fn an_arrow_is_cheapest_from_both_sides() {
    let n = 40;
    let entries: Vec<(u32, u32)> = (0..n).flat_map(|i| [(i, i), (0, i), (i, 0)]).collect();
    let pattern = Pattern::from_entries(n as usize, n as usize, &entries).expect("entries are in range");
    let orders = [Order::Natural, Order::LargestFirst];
    let arrow = choose::jacobian(&pattern, &orders, Cost::default()).expect("there are orders");
    assert_eq!(arrow.partition(), Partition::Bidirectional);
    assert!(arrow.n_colors() <= 4, "{}", arrow.n_colors());
    let wide = Pattern::from_entries(1, 30, &(0..30).map(|j| (0, j)).collect::<Vec<_>>()).expect("in range");
    let wide = choose::jacobian(&wide, &orders, Cost::default()).expect("there are orders");
    assert_eq!((wide.partition(), wide.n_colors()), (Partition::Row, 1));
    let matrix = random(40, 40, 5, true, 9);
    let direct = choose::hessian(&matrix.pattern, &orders, Substitution::Never).expect("symmetric");
    let solved = choose::hessian(&matrix.pattern, &orders, Substitution::IfCheaper).expect("symmetric");
    assert!(solved.n_colors() <= direct.n_colors());
    assert!(direct.trees().is_none());
}

#[test]
fn plain_closures_and_their_mistakes() {
    let matrix = random(7, 7, 40, false, 3);
    let coloring = Coloring::new(&matrix.pattern, &Options::new(Partition::Bidirectional)).expect("it fits");
    let mut compressed =
        Compressed::new(&coloring, Target::default(), Batch::single()).expect("sizes are small");
    let mut values = vec![0.0; compressed.len()];
    let product = |x: &[f64], y: &mut [f64]| {
        for (i, y) in y.iter_mut().enumerate() {
            *y = (0..7).map(|j| matrix.dense[i * 7 + j] * x[j]).sum();
        }
    };
    let transposed = |x: &[f64], y: &mut [f64]| {
        for (j, y) in y.iter_mut().enumerate() {
            *y = (0..7).map(|i| matrix.dense[i * 7 + j] * x[i]).sum();
        }
    };
    compressed.both(product, transposed, &mut values).expect("lengths fit");
    assert_eq!(values, matrix.stored(Target::default()));
    assert!(matches!(compressed.one_by_one(product, &mut values), Err(RuntimeError::Options(_))));
    assert!(matches!(compressed.both(product, transposed, &mut []), Err(RuntimeError::Length { .. })));
    // An error of the closure comes through, and leaves the seeds as they were.
    let failed = compressed.evaluate(|_, _| Err(RuntimeError::Mismatch("a and b")), &mut values);
    assert_eq!(failed, Err(RuntimeError::Mismatch("a and b")));
    compressed.both(product, transposed, &mut values).expect("lengths fit");
    assert_eq!(values, matrix.stored(Target::default()));
    let zero = Compressed::new(&coloring, Target::default(), Batch { width: Some(0), ..Batch::default() });
    assert!(zero.is_err());
    let mut lanes = Compressed::new(&coloring, Target::default(), Batch::lanes(4)).expect("sizes are small");
    assert!(matches!(lanes.both(product, transposed, &mut values), Err(RuntimeError::Options(_))));
}
