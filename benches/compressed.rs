//! The compressed road where others take it: iterated differences, the Brusselator, a convolution; and what structure makes of them.
//!
//! `cargo bench --bench compressed`: microseconds, medians. *Evaluate* is a prepared evaluation of the matrix alone; *copy* is how long copying as many values
//! takes, and how many times that an evaluation is; *prepare* is all of it, checks, detection, coloring and buffers, with derivatives and
//! machine code made before; *unprepared* is both together; *from text* also reads the kernel, derives and compiles. *Scaled* is what the
//! evaluation and the unprepared one would take where the hand-written symmetric Dirichlet kernel, which says how fast the machine is,
//! takes 3.1 ms.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options, Strategy};
use spadina::problem::Problem;
use std::time::Instant;
use support::{evaluate_ms, hand, hand_ms, median};

/// Preparations that a time is the median of.
const ROUNDS: usize = 21;
/// Milliseconds of the hand-written kernel on the machine that times are scaled to.
const REFERENCE_MS: f64 = 3.1;

struct Workload {
    name: &'static str,
    text: &'static str,
    inputs: fn() -> Inputs,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "iterated differences, 1000 unknowns, 10 steps",
        text: "kernel iter_diff<N>(x: var f64[N]) -> f64[N - 10] {
            let y = fold k in 0..10 with y = x {
                map i in 0..N { if i < N - 1 - k { y[i + 1] - y[i] } else { 0.0 } }
            };
            map i in 0..N - 10 { y[i] }
        }",
        inputs: || wave("x", &[1000]),
    },
    Workload {
        name: "Brusselator, 32 x 32",
        text: "kernel brusselator<N>(u: var f64[N, N], v: var f64[N, N]) -> (du: f64[N, N], dv: f64[N, N]) {
            let alpha = 10.0 * f64(N - 1)^2;
            let du = map i in 0..N, j in 0..N {
                let (e, w, n, s) = ((i + 1) % N, (i + N - 1) % N, (j + 1) % N, (j + N - 1) % N);
                alpha * (u[e, j] + u[w, j] + u[i, n] + u[i, s] - 4.0 * u[i, j]) + 1.0 + u[i, j]^2 * v[i, j] - 4.4 * u[i, j]
            };
            let dv = map i in 0..N, j in 0..N {
                let (e, w, n, s) = ((i + 1) % N, (i + N - 1) % N, (j + 1) % N, (j + N - 1) % N);
                alpha * (v[e, j] + v[w, j] + v[i, n] + v[i, s] - 4.0 * v[i, j]) + 3.4 * u[i, j] - u[i, j]^2 * v[i, j]
            };
            (du, dv)
        }",
        inputs: || {
            let mut inputs = wave("u", &[32, 32]);
            inputs.set("v", wave("v", &[32, 32]).get("v").unwrap());
            inputs
        },
    },
    Workload {
        name: "convolution, 28 x 28 by 5 x 5",
        text: "kernel convolution<N, K>(x: var f64[N, N], w: f64[K, K]) -> f64[N - K + 1, N - K + 1] {
            map i in 0..N - K + 1, j in 0..N - K + 1 { sum a in 0..K, b in 0..K { w[a, b] * x[i + a, j + b] } }
        }",
        inputs: || {
            let mut inputs = wave("x", &[28, 28]);
            inputs.set("w", wave("w", &[5, 5]).get("w").unwrap());
            inputs
        },
    },
    Workload {
        name: "convolution, the window literal",
        text: "kernel convolution<N>(x: var f64[N, N], w: f64[5, 5]) -> f64[N - 4, N - 4] {
            map i in 0..N - 4, j in 0..N - 4 { sum a in 0..5, b in 0..5 { w[a, b] * x[i + a, j + b] } }
        }",
        inputs: || {
            let mut inputs = wave("x", &[28, 28]);
            inputs.set("w", wave("w", &[5, 5]).get("w").unwrap());
            inputs
        },
    },
];

fn wave(name: &str, shape: &[usize]) -> Inputs {
    use spadina_io::array::{Array, Data};
    let count: usize = shape.iter().product();
    let values = (0..count).map(|i| 1.0 + 0.5 * (i as f64 + 1.0).sin()).collect();
    let mut inputs = Inputs::new();
    inputs.set(name, &Array::new(shape.to_vec(), Data::F64(values)).unwrap());
    inputs
}

/// Median microseconds of copying so many numbers, with the destination as warm as the values of an evaluation.
fn copy_us(len: usize) -> f64 {
    let (from, mut to) = (vec![1.0_f64; len], vec![0.0_f64; len]);
    let mut times: Vec<f64> = (0..1001)
        .map(|_| {
            let started = Instant::now();
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    median(&mut times)
}

/// Median microseconds of some work.
fn work_us(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    median(&mut times)
}

fn main() {
    let hand = hand("hand_sd").and_then(|hand| hand_ms(&hand, &["158", "deriv", "1", "--variant", "packed"]));
    let slower = hand.map_or(f64::NAN, |(ms, _)| ms / REFERENCE_MS);
    if let Some((ms, _)) = hand {
        println!(
            "hand-written symmetric Dirichlet, 49,928 triangles: {ms:.2} ms, {slower:.2} of {REFERENCE_MS} ms\n"
        );
    }
    println!(
        "{:<46} {:<10} {:>8} {:>9} {:>13} {:>9} {:>10} {:>10}   scaled",
        "", "", "products", "evaluate", "copy", "prepare", "unprepared", "from text"
    );
    for Workload { name, text, inputs } in WORKLOADS {
        let fresh = || Module::from_text("bench.ir", *text).unwrap().kernel(None).unwrap();
        let (kernel, inputs) = (fresh(), inputs());
        for strategy in [Strategy::Auto, Strategy::Structural, Strategy::Compressed] {
            let options = Options { strategy, value: false, ..Options::new(Derivative::Jacobian) };
            let Ok(mut problem) = Problem::prepare(&kernel, &inputs, &options) else {
                println!("{name:<46} {:<10} {:>8}", strategy.to_string(), "refused");
                continue;
            };
            let evaluate = 1e3 * evaluate_ms(&mut problem, 101);
            let copy = copy_us(problem.pattern().nnz());
            let prepare = work_us(|| drop(Problem::prepare(&kernel, &inputs, &options).unwrap()));
            let once = |kernel: &Kernel| {
                let mut problem = Problem::prepare(kernel, &inputs, &options).unwrap();
                let mut at = problem.evaluation();
                problem.evaluate(&mut at).unwrap();
            };
            let unprepared = work_us(|| once(&kernel));
            let from_text = work_us(|| once(&fresh()));
            let products =
                problem.products().map_or(String::new(), |(columns, rows)| format!("{columns} + {rows}"));
            println!(
                "{name:<46} {:<10} {products:>8} {evaluate:>9.1} {copy:>6.1} ({:>4.1}) {prepare:>9.1} {unprepared:>10.1} {from_text:>10.1}   {:.1}, {:.0}",
                strategy.to_string(),
                evaluate / copy,
                evaluate / slower,
                unprepared / slower
            );
        }
    }
}
