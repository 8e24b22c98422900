//! Affine kernels against hand-written streaming loops in the same run: every entry of the matrix is written once, in order.
//!
//! `cargo bench --bench streaming`: ours, the loop in Rust, and the bandwidth of plain writes take turns; medians and ratios, one thread.
//! `-- N ..` chooses the numbers of unknowns.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina::options::Derivative;
use spadina_io::array::{Array, Data};
use std::hint::black_box;
use std::time::Instant;
use support::{median, prepare};

const ROUNDS: usize = 9;

const CHAIN: &str = "kernel chain<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (x[i + 1] - x[i])^3 } }";
const STENCIL: &str = "kernel stencil<N, M>(u: var f64[N, M]) -> f64[N, M] {
    map i in 0..N, j in 0..M {
        u[(i + 1) % N, j] + u[(i + N - 1) % N, j] + u[i, (j + 1) % M] + u[i, (j + M - 1) % M] - 4.0 * u[i, j] + u[i, j]^3
    }
}";

/// Value, gradient and tridiagonal Hessian of the cubic chain.
fn chain(x: &[f64], gradient: &mut [f64], values: &mut [f64]) -> f64 {
    let n = x.len();
    let (head, rows) = values.split_at_mut(2);
    let mut left = x[1] - x[0];
    let mut energy = 0.0;
    (head[0], head[1], gradient[0]) = (6.0 * left, -6.0 * left, -3.0 * left * left);
    for (i, row) in (1..n - 1).zip(rows.chunks_exact_mut(3)) {
        let right = x[i + 1] - x[i];
        energy += left * left * left;
        gradient[i] = 3.0 * (left * left - right * right);
        row[0] = -6.0 * left;
        row[1] = 6.0 * (left + right);
        row[2] = -6.0 * right;
        left = right;
    }
    gradient[n - 1] = 3.0 * left * left;
    let end = rows.len();
    (rows[end - 2], rows[end - 1]) = (-6.0 * left, 6.0 * left);
    energy + left * left * left
}

/// Results and Jacobian of the wrapped stencil, columns ascending in the rows away from borders; borders are left out (their share of the time
/// vanishes with the size).
fn stencil(u: &[f64], m: usize, results: &mut [f64], values: &mut [f64]) {
    let n = u.len() / m;
    for i in 1..n - 1 {
        let (above, here, below) =
            (&u[(i - 1) * m..i * m], &u[i * m..(i + 1) * m], &u[(i + 1) * m..(i + 2) * m]);
        let out = &mut results[i * m..(i + 1) * m];
        let rows = &mut values[5 * i * m..5 * (i + 1) * m];
        for j in 1..m - 1 {
            let x = here[j];
            out[j] = above[j] + below[j] + here[j - 1] + here[j + 1] - 4.0 * x + x * x * x;
            let row = &mut rows[5 * j..5 * j + 5];
            row[0] = 1.0;
            row[1] = 1.0;
            row[2] = 3.0 * x * x - 4.0;
            row[3] = 1.0;
            row[4] = 1.0;
        }
    }
}

fn time(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100_000, 10_000_000] } else { sizes };
    println!(
        "{:<22} {:>10} {:>9} {:>9} {:>7} {:>9} {:>7}",
        "kernel", "unknowns", "ours ms", "hand ms", "ratio", "write ms", "ratio"
    );
    for &n in &sizes {
        let x: Vec<f64> = (0..n).map(|i| i as f64 + 0.3 * (1.7 * i as f64).sin()).collect();
        let mut inputs = Inputs::new();
        inputs.set("x", &x);
        let (mut gradient, mut values) = (vec![0.0; n], vec![0.0; 3 * n - 2]);
        row("cubic chain, Hessian", CHAIN, &inputs, Derivative::Hessian, n, || {
            black_box(chain(black_box(&x), &mut gradient, &mut values));
        });
        let side = (n as f64).sqrt() as usize;
        let u: Vec<f64> = (0..side * side).map(|i| (0.37 * i as f64).sin()).collect();
        let mut inputs = Inputs::new();
        inputs.set("u", &Array::new(vec![side, side], Data::F64(u.clone())).unwrap());
        let (mut results, mut values) = (vec![0.0; side * side], vec![0.0; 5 * side * side]);
        row("5-point, Jacobian", STENCIL, &inputs, Derivative::Jacobian, side * side, || {
            stencil(black_box(&u), side, &mut results, &mut values);
            black_box((&results, &values));
        });
    }
}

/// One line of the table.
fn row(name: &str, text: &str, inputs: &Inputs, derivative: Derivative, n: usize, mut hand: impl FnMut()) {
    let mut problem = prepare(text, inputs, derivative, 1);
    let mut at = problem.evaluation();
    let mut plain = vec![0.0; at.matrix.len() + at.gradient.len() + at.results.len()];
    let repeats = (2_000_000 / n).max(1);
    let mut times: [Vec<f64>; 3] = Default::default();
    problem.evaluate(&mut at).unwrap();
    hand();
    for round in 0..ROUNDS {
        for _ in 0..repeats {
            times[0].push(time(|| problem.evaluate(&mut at).unwrap()));
            times[1].push(time(&mut hand));
            times[2].push(time(|| black_box(&mut plain).fill(round as f64)));
        }
    }
    let [ours, hand, write] = times.map(|mut list| median(&mut list));
    println!(
        "{name:<22} {n:>10} {ours:>9.3} {hand:>9.3} {:>7.2} {write:>9.3} {:>7.2}",
        ours / hand,
        ours / write
    );
}
