//! Ours against the best hand-written C++ kernels in the same run: value, gradient and Hessian into a fixed CSR.
//!
//! `cargo bench --bench limits`: ours and theirs take turns; the table shows medians and ratios, then what compiling,
//! preparing and rebinding cost, and what an element costs at ten times the size. `-- WORD ..` keeps the workloads
//! whose names contain a word, `-- 1` or `-- 2` one number of threads.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use support::{costs, evaluate_for, evaluate_ms, generated, hand, hand_ms, median, prepare};

const ROUNDS: usize = 7;
/// How long each side runs in a round.
const MILLISECONDS: u128 = 300;

struct Workload {
    name: &'static str,
    text: &'static str,
    inputs: fn() -> Inputs,
    /// Elements, and the same at about ten times the size.
    elements: usize,
    tenfold: (fn() -> Inputs, usize),
    program: &'static str,
    size: &'static str,
    variants: &'static [&'static str],
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "symmetric Dirichlet, 49,928 triangles",
        text:
            "kernel sd<V, F>(uv: var vec2[V], faces: index<V>[F, 3], rest_inv: mat2[F], area: f64[F]) -> f64 {
            sum t: [a, b, c] in faces {
                let j = cols(uv[b] - uv[a], uv[c] - uv[a]) @ rest_inv[t];
                let i = sqnorm(j);
                let d = det(j);
                area[t] * (i + i / d^2)
            }
        }",
        inputs: || generated("grid", 158, &["uv", "faces", "rest_inv", "area"]),
        elements: 49_928,
        tenfold: (|| generated("grid", 500, &["uv", "faces", "rest_inv", "area"]), 500_000),
        program: "hand_sd",
        size: "158",
        variants: &["cse", "struct", "packed", "simdp"],
    },
    Workload {
        name: "springs, 75,208 edges",
        text:
            "kernel springs<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E], k: f64 = 1.0) -> f64 {
            sum e: [i, j] in edges { 0.5 * k * (norm(x[i] - x[j]) - rest[e])^2 }
        }",
        inputs: || generated("cloth", 158, &["x", "edges", "rest"]),
        elements: 75_208,
        tenfold: (|| generated("cloth", 500, &["x", "edges", "rest"]), 751_000),
        program: "hand_spring",
        size: "158",
        variants: &["elem", "simd", "vert"],
    },
    Workload {
        name: "neo-Hookean, 48,000 tetrahedra",
        text: "kernel neo<V, T>(x: var vec3[V], tets: index<V>[T, 4], rest_inv: mat3[T], vol: f64[T],
                         mu: f64 = 1.0, la: f64 = 10.0) -> f64 {
            sum t: [a, b, c, d] in tets {
                let f = cols(x[b] - x[a], x[c] - x[a], x[d] - x[a]) @ rest_inv[t];
                let l = log(det(f));
                vol[t] * (0.5 * mu * (sqnorm(f) - 3.0) - mu * l + 0.5 * la * l^2)
            }
        }",
        inputs: || generated("tets", 20, &["x", "tets", "rest_inv", "vol"]),
        elements: 48_000,
        tenfold: (|| generated("tets", 43, &["x", "tets", "rest_inv", "vol"]), 477_042),
        program: "hand_neohook",
        size: "20",
        variants: &[""],
    },
];

fn main() {
    println!(
        "{:<40} {:>7} {:>9} {:>9} {:>7}  hand-written",
        "workload", "threads", "ours ms", "hand ms", "ratio"
    );
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (counts, names): (Vec<String>, Vec<String>) =
        words.into_iter().partition(|word| word.parse::<usize>().is_ok());
    let wanted = |list: &[String], text: &str| list.is_empty() || list.iter().any(|word| text.contains(word));
    for work in WORKLOADS.iter().filter(|work| wanted(&names, work.name)) {
        let program = hand(work.program);
        for threads in [1, 2].into_iter().filter(|n| wanted(&counts, &n.to_string())) {
            let mut problem = prepare(work.text, &(work.inputs)(), Derivative::Hessian, threads);
            let Some(program) = &program else {
                let ours = evaluate_ms(&mut problem, 31);
                println!(
                    "{:<40} {threads:>7} {ours:>9.3}  (no g++: the hand-written kernel is not measured)",
                    work.name
                );
                continue;
            };
            let mut ours = Vec::new();
            let mut theirs: Vec<Vec<f64>> = vec![Vec::new(); work.variants.len()];
            for _ in 0..ROUNDS {
                ours.push(evaluate_for(&mut problem, 31, MILLISECONDS));
                for (n, variant) in work.variants.iter().enumerate() {
                    let count = threads.to_string();
                    let budget = format!("{}", MILLISECONDS as f64 / 1e3);
                    let mut args = vec![work.size, "deriv", &count, "--budget", &budget];
                    if !variant.is_empty() {
                        args.extend(["--variant", variant]);
                    }
                    if let Some((ms, _)) = hand_ms(program, &args) {
                        theirs[n].push(ms);
                    }
                }
            }
            let ours = median(&mut ours);
            for (variant, figures) in work.variants.iter().zip(&mut theirs) {
                if figures.is_empty() {
                    continue;
                }
                let hand = median(figures);
                println!(
                    "{:<40} {threads:>7} {ours:>9.3} {hand:>9.3} {:>7.2}  {variant}",
                    work.name,
                    ours / hand
                );
            }
        }
        let options = Options::new(Derivative::Hessian);
        println!("  {}", costs(work.text, &(work.inputs)(), &options));
        let each = |inputs: Inputs, elements: usize| {
            let mut problem = prepare(work.text, &inputs, Derivative::Hessian, 1);
            evaluate_ms(&mut problem, 15) * 1e6 / elements as f64
        };
        let (small, large) = (each((work.inputs)(), work.elements), each((work.tenfold.0)(), work.tenfold.1));
        println!(
            "  {small:.1} ns an element, {large:.1} at {} elements: ratio {:.2}",
            work.tenfold.1,
            large / small
        );
    }
}
