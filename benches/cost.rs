//! What an unknown costs: evaluate and prepare are linear in the data, compile time does not know it.
//!
//! `cargo bench --bench cost`: chain, springs and springs on a 2-D grid, from a thousand to a million unknowns.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina::options::Derivative;
use support::{evaluate_ms, generated, median, prepare};

fn wave(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64 + 0.3 * (1.7 * i as f64).sin()).collect()
}

fn chain(n: usize) -> Inputs {
    let mut inputs = Inputs::new();
    inputs.set("x", &wave(n));
    inputs
}

fn grid(n: usize) -> Inputs {
    let side = (n as f64).sqrt().round() as usize;
    let mut inputs = Inputs::new();
    let array =
        spadina_io::array::Array::new(vec![side, side], spadina_io::array::Data::F64(wave(side * side)))
            .unwrap();
    inputs.set("u", &array);
    inputs
}

fn springs(n: usize) -> Inputs {
    generated("cloth", ((n as f64 / 3.0).sqrt().round() as usize).max(2) - 1, &["x", "edges", "rest"])
}

const CHAIN: &str = "kernel chain<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (x[i + 1] - x[i])^3 } }";
const SPRINGS: &str = "kernel springs<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E]) -> f64 {
    sum e: [i, j] in edges { 0.5 * (norm(x[i] - x[j]) - rest[e])^2 }
}";
const GRID: &str = "kernel grid<N, M>(u: var f64[N, M]) -> f64 {
    (sum i in 0..N - 1, j in 0..M { (sqrt((u[i + 1, j] - u[i, j])^2 + 1.0) - 1.0)^2 })
  + (sum i in 0..N, j in 0..M - 1 { (sqrt((u[i, j + 1] - u[i, j])^2 + 1.0) - 1.0)^2 })
}";

fn main() {
    println!(
        "{:<10} {:>9} {:>11} {:>14} {:>14}",
        "kernel", "unknowns", "compile ms", "prepare ns/n", "evaluate ns/n"
    );
    let kernels: [(&str, &str, fn(usize) -> Inputs); 3] =
        [("chain", CHAIN, chain), ("springs", SPRINGS, springs), ("2-D grid", GRID, grid)];
    for (name, text, inputs) in kernels {
        for n in [1_000, 10_000, 100_000, 1_000_000] {
            let inputs = inputs(n);
            let (mut compile, mut prepared, mut evaluate) = (Vec::new(), Vec::new(), Vec::new());
            let mut columns = 0;
            for _ in 0..5 {
                let mut problem = prepare(text, &inputs, Derivative::Hessian, 1);
                columns = problem.columns();
                compile.push(problem.times().compile.as_secs_f64() * 1e3);
                prepared.push(problem.times().prepare.as_secs_f64() * 1e9 / columns as f64);
                evaluate.push(evaluate_ms(&mut problem, 5) * 1e6 / columns as f64);
            }
            let [compile, prepared, evaluate] =
                [compile, prepared, evaluate].map(|mut figures| median(&mut figures));
            println!("{name:<10} {columns:>9} {compile:>11.2} {prepared:>14.1} {evaluate:>14.2}");
        }
    }
}
