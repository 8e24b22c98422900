//! What projecting element Hessians costs, beside the plain Hessian of the same kernel in the same run.
//!
//! `cargo bench --bench projection`: value, gradient and Hessian, one thread; "share" is the part of the elements that has a negative
//! eigenvalue (its block changes).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options, Project};
use spadina::problem::Problem;
use spadina_ir::project::Projection;
use std::time::Instant;
use support::{generated, hand, hand_ms, median};

const ROUNDS: usize = 31;

struct Workload {
    name: &'static str,
    text: &'static str,
    elements: &'static str,
    inputs: fn() -> Inputs,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "symmetric Dirichlet",
        text:
            "kernel sd<V, E>(uv: var vec2[V], faces: index<V>[E, 3], rest_inv: mat2[E], area: f64[E]) -> f64 {
            sum t: [a, b, c] in faces {
                let j = cols(uv[b] - uv[a], uv[c] - uv[a]) @ rest_inv[t];
                let i = sqnorm(j);
                let d = det(j);
                area[t] * (i + i / d^2)
            }
        }",
        elements: "faces",
        inputs: || generated("grid", 158, &["uv", "faces", "rest_inv", "area"]),
    },
    Workload {
        name: "springs",
        text: "kernel springs<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E]) -> f64 {
            sum e: [i, j] in edges { 0.5 * (norm(x[i] - x[j]) - rest[e])^2 }
        }",
        elements: "edges",
        inputs: || generated("cloth", 158, &["x", "edges", "rest"]),
    },
    Workload {
        name: "neo-Hookean",
        text:
            "kernel neo<V, E>(x: var vec3[V], tets: index<V>[E, 4], rest_inv: mat3[E], vol: f64[E]) -> f64 {
            sum t: [a, b, c, d] in tets {
                let f = cols(x[b] - x[a], x[c] - x[a], x[d] - x[a]) @ rest_inv[t];
                let stretch = det(f) - 1.1;
                vol[t] * (0.5 * (sqnorm(f) - 3.0) + 5.0 * stretch^2)
            }
        }",
        elements: "tets",
        inputs: || generated("tets", 20, &["x", "tets", "rest_inv", "vol"]),
    },
];

/// The part of the elements whose block changes, each alone; a sample of them.
fn share(work: &Workload, inputs: &Inputs) -> f64 {
    let kernel = Module::from_text("bench.ir", work.text).unwrap().kernel(None).unwrap();
    let mut alone = inputs.clone();
    let one = |array: &spadina_io::array::Array, e: usize| {
        let width: usize = array.shape()[1..].iter().product();
        let shape = [&[1], &array.shape()[1..]].concat();
        let data = array.to_f64("").unwrap();
        let part = data[e * width..(e + 1) * width].to_vec();
        (shape, part)
    };
    let names: Vec<String> = inputs.names().filter(|n| !["uv", "x"].contains(n)).map(str::to_owned).collect();
    let count = inputs.get(work.elements).unwrap().shape()[0];
    let mut problems: Vec<Problem> = Vec::new();
    let (mut changed, mut seen) = (0, 0);
    for e in (0..count).step_by(count / 200) {
        for name in &names {
            let (shape, part) = one(inputs.get(name).unwrap(), e);
            let data = if name == work.elements {
                spadina_io::array::Data::I64(part.iter().map(|&x| x as i64).collect())
            } else {
                spadina_io::array::Data::F64(part)
            };
            alone.set(name.clone(), &spadina_io::array::Array::new(shape, data).unwrap());
        }
        let mut matrices = Vec::new();
        for (n, project) in [Project::Off, Project::All(Projection::CLAMP)].into_iter().enumerate() {
            if problems.len() <= n {
                let options = Options { project, ..Options::new(Derivative::Hessian) };
                problems.push(Problem::prepare(&kernel, &alone, &options).unwrap());
            } else {
                problems[n].rebind(&alone).unwrap();
            }
            let mut at = problems[n].evaluation();
            problems[n].evaluate(&mut at).unwrap();
            matrices.push(at.matrix);
        }
        changed += usize::from(matrices[0] != matrices[1]);
        seen += 1;
    }
    changed as f64 / f64::from(seen)
}

fn main() {
    if let Some((ms, _)) =
        hand("hand_sd").and_then(|p| hand_ms(&p, &["158", "deriv", "1", "--variant", "packed"]))
    {
        println!("this machine: hand_sd 158 deriv 1 --variant packed takes {ms:.2} ms");
    }
    println!(
        "{:<22} {:>8} {:>6} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "kernel", "elements", "share", "plain ms", "clamp ms", "abs ms", "clamp ns/el", "abs ns/el"
    );
    for work in WORKLOADS {
        let inputs = (work.inputs)();
        let kernel = Module::from_text("bench.ir", work.text).unwrap().kernel(None).unwrap();
        let projects = [Project::Off, Project::All(Projection::CLAMP), Project::All(Projection::ABS)];
        let mut problems = projects.map(|project| {
            let options = Options { project, ..Options::new(Derivative::Hessian) };
            Problem::prepare(&kernel, &inputs, &options).unwrap()
        });
        let mut times = [const { Vec::new() }; 3];
        let mut at = problems[1].evaluation();
        for _ in 0..ROUNDS {
            for (problem, times) in problems.iter_mut().zip(&mut times) {
                at.matrix.resize(problem.pattern().nnz(), 0.0);
                let started = Instant::now();
                problem.evaluate(&mut at).unwrap();
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        let elements = inputs.get(work.elements).unwrap().shape()[0];
        let [plain, clamp, abs] = times.map(|mut figures| median(&mut figures));
        let each = |ms: f64| ms * 1e6 / elements as f64;
        println!(
            "{:<22} {elements:>8} {:>6.2} {plain:>10.2} {clamp:>10.2} {abs:>10.2} {:>12.0} {:>12.0}",
            work.name,
            share(work, &inputs),
            each(clamp),
            each(abs)
        );
    }
}
