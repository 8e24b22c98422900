//! Affine kernels against hand-written streaming loops in the same run: every entry of the matrix is written once, in order.
//!
//! `cargo bench --bench streaming`: ours, the loops of `benches/hand/streaming.cpp` (g++ -O3 -march=native, once with vectors as wide as the
//! machine has them and once with two doubles a vector, which is what Cranelift has) and plain writes of as many doubles take turns;
//! medians and ratios. `-- WORD ..` keeps the workloads whose names contain a word, `-- 1` or `-- 2` one number of
//! threads.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina::options::Derivative;
use spadina_io::array::{Array, Data};
use support::{evaluate_ms, hand, hand_ms, hand_with, median, prepare};

const ROUNDS: usize = 5;

struct Workload {
    name: &'static str,
    text: &'static str,
    derivative: Derivative,
    /// The loop in `streaming.cpp`, and its sizes.
    hand: &'static str,
    sizes: &'static [usize],
    inputs: fn(usize) -> Inputs,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "cubic chain, Hessian",
        text: "kernel chain<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (x[i + 1] - x[i])^3 } }",
        derivative: Derivative::Hessian,
        hand: "chain",
        sizes: &[100_000, 10_000_000],
        inputs: |n| {
            let x: Vec<f64> = (0..n).map(|i| i as f64 + 0.3 * (1.7 * i as f64).sin()).collect();
            let mut inputs = Inputs::new();
            inputs.set("x", &x);
            inputs
        },
    },
    Workload {
        name: "5-point, Jacobian",
        text: "kernel stencil<N>(u: var f64[N, N]) -> f64[N, N] {
            map i in 0..N, j in 0..N {
                u[(i + 1) % N, j] + u[(i + N - 1) % N, j] + u[i, (j + 1) % N] + u[i, (j + N - 1) % N]
                    - 4.0 * u[i, j] + u[i, j]^3
            }
        }",
        derivative: Derivative::Jacobian,
        hand: "stencil",
        sizes: &[316, 3162],
        inputs: |n| waves(&[("u", &[n, n])]),
    },
    Workload {
        name: "Brusselator, Jacobian",
        text: include_str!("../tests/cases/brusselator2d.ir"),
        derivative: Derivative::Jacobian,
        hand: "brusselator",
        sizes: &[32, 300],
        inputs: |n| {
            let mut inputs = waves(&[("u", &[n, n]), ("v", &[n, n]), ("s", &[n, n])]);
            for (name, value) in [("A", 3.4), ("B", 1.0), ("alpha", 10.0)] {
                inputs.set(name, &Array::new(Vec::new(), Data::F64(vec![value])).unwrap());
            }
            inputs
        },
    },
    Workload {
        name: "convolution, Jacobian",
        text: "kernel convolution<N>(x: var f64[N + 4, N + 4], w: f64[5, 5]) -> f64[N, N] {
            map i in 0..N, j in 0..N { sum a in 0..5, b in 0..5 { w[a, b] * x[i + a, j + b] } }
        }",
        derivative: Derivative::Jacobian,
        hand: "convolution",
        sizes: &[28],
        inputs: |n| waves(&[("x", &[n, n]), ("w", &[5, 5])]),
    },
];

fn waves(arrays: &[(&str, &[usize])]) -> Inputs {
    let mut inputs = Inputs::new();
    for &(name, shape) in arrays {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| (0.37 * i as f64).sin()).collect();
        inputs.set(name, &Array::new(shape.to_vec(), Data::F64(values)).unwrap());
    }
    inputs
}

fn main() {
    println!(
        "{:<22} {:>8} {:>7} {:>9} {:>9} {:>7} {:>9} {:>7} {:>9} {:>7}",
        "workload", "N", "threads", "ours ms", "hand ms", "ratio", "narrow ms", "ratio", "write ms", "ratio"
    );
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (counts, names): (Vec<String>, Vec<String>) =
        words.into_iter().partition(|word| word.parse::<usize>().is_ok());
    let wanted = |list: &[String], text: &str| list.is_empty() || list.iter().any(|word| text.contains(word));
    let program = hand("streaming");
    let narrow = hand_with("streaming", "streaming-narrow", &["-mprefer-vector-width=128"]);
    if program.is_none() {
        println!("(no g++: the hand-written loops are not measured)");
    }
    for work in WORKLOADS.iter().filter(|work| wanted(&names, work.name)) {
        for &n in work.sizes {
            let inputs = (work.inputs)(n);
            for threads in [1, 2].into_iter().filter(|n| wanted(&counts, &n.to_string())) {
                let mut problem = prepare(work.text, &inputs, work.derivative, threads);
                let at = problem.evaluation();
                let written = at.matrix.len() + at.gradient.len() + at.results.len();
                drop(at);
                let (mut ours, mut theirs, mut narrower, mut writes) =
                    (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for _ in 0..ROUNDS {
                    ours.push(evaluate_ms(&mut problem, 5));
                    let Some(program) = &program else { continue };
                    let [size, written, threads] = [n, written, threads].map(|n| n.to_string());
                    theirs.extend(hand_ms(program, &[work.hand, &size, &threads]).map(|found| found.0));
                    let found = narrow.as_ref().and_then(|p| hand_ms(p, &[work.hand, &size, &threads]));
                    narrower.extend(found.map(|found| found.0));
                    writes.extend(hand_ms(program, &["write", &written, &threads]).map(|found| found.0));
                }
                let ours = median(&mut ours);
                print!("{:<22} {n:>8} {threads:>7} {ours:>9.4}", work.name);
                for mut figures in
                    [theirs, narrower, writes].into_iter().filter(|figures| !figures.is_empty())
                {
                    let other = median(&mut figures);
                    print!(" {other:>9.4} {:>7.2}", ours / other);
                }
                println!();
            }
        }
    }
}
