//! How entries of a symmetric matrix are found in products: read directly, or solved for where fewer products are counted cheaper.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Decompression, Derivative, Options, Strategy};
use spadina::problem::Problem;

/// Neighbors along three axes and a diagonal: 14 colors to read entries, 8 to solve for them.
const GRID: &str = "kernel grid<N>(x: var f64[N, N, N]) -> f64 {
    sum i in 1..N, j in 1..N, k in 1..N {
        exp(x[i, j, k] * x[i - 1, j, k]) + sin(x[i, j, k] * x[i, j - 1, k])
            + exp(x[i, j, k] * x[i, j, k - 1]) * x[i - 1, j - 1, k - 1]
    }
}";

/// A chain: few colors either way.
const CHAIN: &str = "kernel chain<N>(x: var f64[N]) -> f64 {
    sum i in 2..N { exp(x[i] * x[i - 1] * x[i - 2]) }
}";

fn inputs(shape: &[usize]) -> Inputs {
    use spadina_io::array::{Array, Data};
    let count: usize = shape.iter().product();
    let values = (0..count).map(|i| 0.5 * (1.7 * i as f64).sin()).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &Array::new(shape.to_vec(), Data::F64(values)).unwrap());
    inputs
}

/// The prepared problem and its values.
fn evaluated(
    text: &str,
    inputs: &Inputs,
    strategy: Strategy,
    decompression: Decompression,
) -> (Problem, Vec<f64>) {
    let kernel = Module::from_text("test.ir", text).unwrap().kernel(None).unwrap();
    let options = Options { strategy, decompression, ..Options::new(Derivative::Hessian) };
    let mut problem = Problem::prepare(&kernel, inputs, &options).unwrap();
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    (problem, at.matrix)
}

fn way(problem: &Problem) -> (Decompression, usize) {
    (problem.way().unwrap().1, problem.products().unwrap().0)
}

#[test]
fn substitution_is_chosen_where_it_is_counted_cheaper() {
    let inputs = inputs(&[8, 8, 8]);
    let (structural, exact) = evaluated(GRID, &inputs, Strategy::Structural, Decompression::Auto);
    let (auto, found) = evaluated(GRID, &inputs, Strategy::Compressed, Decompression::Auto);
    let (direct, read) = evaluated(GRID, &inputs, Strategy::Compressed, Decompression::Direct);
    let (auto_way, direct_way) = (way(&auto), way(&direct));
    assert_eq!((auto_way.0, direct_way.0), (Decompression::Substitution, Decompression::Direct));
    assert!(auto_way.1 <= 8 && direct_way.1 > 8, "{auto_way:?} against {direct_way:?}");
    assert_eq!(auto.pattern().col_idx(), structural.pattern().col_idx());
    // Each subtraction of a chain adds a rounding.
    for ((a, b), c) in found.iter().zip(&read).zip(&exact) {
        assert!((a - b).abs() <= 1e-13 && (b - c).abs() <= 1e-13, "{a}, {b}, {c}");
    }
}

#[test]
fn entries_are_read_where_solving_saves_nothing() {
    let (chain, _) = evaluated(CHAIN, &inputs(&[200]), Strategy::Compressed, Decompression::Auto);
    let (decompression, products) = way(&chain);
    assert_eq!(decompression, Decompression::Direct);
    assert!(products <= 8, "{products}");
}

#[test]
fn a_choice_of_substitution_is_told() {
    // Recurrences whose length is a size: structure refuses them.
    let text = "kernel grid<N, K>(x: var f64[N, N, N], w: f64[K]) -> f64 {
        sum i in 1..N, j in 1..N, k in 1..N {
            fold m in 0..K with t = x[i, j, k] * x[i - 1, j, k] { t + 0.1 * sin(w[m] * t) }
                + fold m in 0..K with t = x[i, j, k] * x[i, j - 1, k] { t + 0.1 * sin(w[m] * t) }
                + fold m in 0..K with t = x[i, j, k] * x[i, j, k - 1] * x[i - 1, j - 1, k - 1] { t + 0.1 * sin(w[m] * t) }
        }
    }";
    let mut inputs = inputs(&[8, 8, 8]);
    inputs.set("w", &[1.0, 0.5, 0.25]);
    let (problem, _) = evaluated(text, &inputs, Strategy::Auto, Decompression::Auto);
    assert_eq!(problem.strategy(), Some(Strategy::Compressed));
    let told = problem.warnings().unwrap().to_string();
    assert!(told.contains("products, entries by substitution (13 products to read them directly)"), "{told}");
}
