//! Two threads against one, in turns: three well-numbered meshes, a badly numbered one and arrow matrices.
//!
//! `cargo bench --bench threads [-- WORD ..]`: value, gradient and Hessian; medians of evaluations that take turns, and their ratio. The
//! shortest ones stand beside them: on a machine that does other work too they say more. The badly numbered mesh is
//! `../shared/data/meshes/penguin_3362.obj`; without it that line is left out.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::{Evaluation, Problem};
use spadina_io::mesh::read::read_mesh;
use std::path::PathBuf;
use std::time::Instant;
use support::{generated, median, prepare_with};

const ROUNDS: usize = 201;

struct Workload {
    name: &'static str,
    text: &'static str,
    inputs: fn() -> Option<Inputs>,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "symmetric Dirichlet",
        text:
            "kernel sd<V, F>(uv: var vec2[V], faces: index<V>[F, 3], rest_inv: mat2[F], area: f64[F]) -> f64 {
            sum t: [a, b, c] in faces {
                let j = cols(uv[b] - uv[a], uv[c] - uv[a]) @ rest_inv[t];
                let i = sqnorm(j);
                area[t] * (i + i / det(j)^2)
            }
        }",
        inputs: || Some(generated("grid", 158, &["uv", "faces", "rest_inv", "area"])),
    },
    Workload {
        name: "springs",
        text: "kernel springs<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E]) -> f64 {
            sum e: [i, j] in edges { 0.5 * (norm(x[i] - x[j]) - rest[e])^2 }
        }",
        inputs: || Some(generated("cloth", 158, &["x", "edges", "rest"])),
    },
    Workload {
        name: "neo-Hookean",
        text:
            "kernel neo<V, T>(x: var vec3[V], tets: index<V>[T, 4], rest_inv: mat3[T], vol: f64[T]) -> f64 {
            sum t: [a, b, c, d] in tets {
                let f = cols(x[b] - x[a], x[c] - x[a], x[d] - x[a]) @ rest_inv[t];
                let l = log(det(f));
                vol[t] * (0.5 * (sqnorm(f) - 3.0) - l + 5.0 * l^2)
            }
        }",
        inputs: || Some(generated("tets", 20, &["x", "tets", "rest_inv", "vol"])),
    },
    Workload {
        name: "dihedral bending, badly numbered",
        text: include_str!("../tests/cases/dihedral_bending.ir"),
        inputs: penguin,
    },
    Workload {
        name: "arrow: springs of unknown stiffness",
        text: "kernel arrow<V, E>(x: var vec3[V], k: var f64, edges: index<V>[E, 2], rest: f64[E]) -> f64 {
            sum e: [i, j] in edges { 0.5 * k * (norm(x[i] - x[j]) - rest[e])^2 + 0.01 * k^2 * sqnorm(x[i]) }
        }",
        inputs: || {
            let mut inputs = generated("cloth", 158, &["x", "edges", "rest"]);
            inputs.set("k", &2.0);
            Some(inputs)
        },
    },
    Workload {
        name: "arrow: nothing but three parameters",
        text: "kernel fit<V>(p: var f64[3], x: vec3[V]) -> f64 {
            sum v in 0..V { (p[0] * exp(p[1] * x[v][0]) + p[2] - sin(x[v][1]))^2 }
        }",
        inputs: || {
            let mut inputs = generated("cloth", 400, &["x"]);
            inputs.set("p", &[0.5, 0.3, 0.1]);
            Some(inputs)
        },
    },
];

fn penguin() -> Option<Inputs> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/meshes/penguin_3362.obj");
    let mesh = read_mesh(&file).ok()?;
    let hinges = mesh.hinges().ok()?;
    let mut inputs = Inputs::new();
    inputs.set("x", &mesh.vertices).set("hinge", &hinges[..]);
    inputs.set("theta0", &vec![0.1; hinges.len()]).set("k", &vec![1.0; hinges.len()]);
    Some(inputs)
}

/// One evaluation, in milliseconds.
fn once(problem: &mut Problem, at: &mut Evaluation) -> f64 {
    let started = Instant::now();
    problem.evaluate(at).unwrap();
    started.elapsed().as_secs_f64() * 1e3
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!(
        "{:<38} {:>9} {:>9} {:>6}   {:>9} {:>9} {:>6}",
        "workload", "1: ms", "2: ms", "ratio", "shortest", "shortest", "ratio"
    );
    for work in
        WORKLOADS.iter().filter(|w| words.is_empty() || words.iter().any(|word| w.name.contains(word)))
    {
        let Some(inputs) = (work.inputs)() else {
            println!("{:<38} (no mesh)", work.name);
            continue;
        };
        let mut problems = [1, 2].map(|threads| {
            prepare_with(work.text, &inputs, &Options { threads, ..Options::new(Derivative::Hessian) })
        });
        let mut at = [problems[0].evaluation(), problems[1].evaluation()];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for k in 0..2 {
                times[k].push(once(&mut problems[k], &mut at[k]));
            }
        }
        assert_eq!(at[0].matrix, at[1].matrix, "the same bits");
        let [one, two] = times.each_mut().map(|figures| median(figures));
        let [first, second] = times.map(|figures| figures[0]);
        println!(
            "{:<38} {one:>9.3} {two:>9.3} {:>6.2}   {first:>9.3} {second:>9.3} {:>6.2}",
            work.name,
            one / two,
            first / second
        );
    }
}
