//! Loops whose iterations are cut in halves: the same bits as the interpreter's, for every number of elements and threads.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::{Evaluation, Problem};

/// What stands in the middle of an element: a root, quotients, functions in line and from libm, several of them, branches before and behind; what
/// both halves read; what one half negates and the other adds up.
const BODIES: [&str; 12] = [
    "w[e] * (norm(x[i] - x[j]) - w[e])^2",
    "w[e] / (1.5 + sqnorm(x[i] - x[j]))^2",
    "exp(-w[e] * sqnorm(x[i] - x[j])) * x[i][0]",
    "let s = 0.5 + sqnorm(x[i] - x[j]); s * log(s) - x[j][1] / s",
    "let a = w[e] * x[i][0] - x[j][1]; sin(a) * cos(a) + x[i][2] * sin(a)",
    "let a = atan2(x[i][0], 1.25 + 0.5 * x[j][1]^2); a + tanh((w[e] + x[j][1]) * a)",
    "let d = sqrt(0.1 + sqnorm(x[i] - x[j])); if d < w[e] { (d - w[e])^2 * log(d) } else { d / w[e] }",
    "let d = if on[e] { sqnorm(x[i]) } else { x[i][0] * x[j][0] }; sqrt(1.0 + d^2) * exp(0.1 * d)",
    "pow(1.5 + x[i][0]^2, x[j][1]) / (2.0 + x[i][1]^2)",
    "f64(single[i]) * sqrt(1.0 + x[i][0]^2 * x[j][0]^2) / (1.0 + x[j][2]^2)",
    "let q = 1.0 / (2.0 + dot(x[i], x[j])^2); let r = sqrt(q + x[i][0]^2); r * q - abs(x[i][1] - x[j][1]) / r",
    "sum k in 0..3 { sqrt(1.0 + w[e] * x[i][k]^2) / (1.5 + x[j][k]^2) }",
];

fn kernel(body: &str) -> Kernel {
    let text = format!(
        "kernel k<V, E>(x: var vec3[V], ends: index<V>[E, 2], w: f64[E], on: bool[E], single: f32[V]) -> f64 {{
            sum e: [i, j] in ends {{ {body} }}
        }}"
    );
    Module::from_text("k.ir", text).unwrap().kernel(None).unwrap()
}

fn inputs(vertices: usize, elements: usize) -> Inputs {
    let number = |n: usize| 0.3 + (1.7 * n as f64 + 0.2).sin().abs();
    let x: Vec<[f64; 3]> =
        (0..vertices).map(|v| [number(3 * v), number(3 * v + 1), number(3 * v + 2)]).collect();
    // Never the same vertex twice: the length between would have no slope.
    let other = |e: usize| (e * 5 + 1 + e % (vertices - 1)) % vertices;
    let ends: Vec<[i64; 2]> = (0..elements).map(|e| [(e * 5 % vertices) as i64, other(e) as i64]).collect();
    let w: Vec<f64> = (0..elements).map(|e| number(e + 5)).collect();
    let on: Vec<bool> = (0..elements).map(|e| e % 3 != 1).collect();
    let single: Vec<f32> = (0..vertices).map(|v| number(v + 9) as f32).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &x).set("ends", &ends[..]).set("w", &w).set("on", &on[..]).set("single", &single[..]);
    inputs
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> Evaluation {
    Problem::prepare(kernel, inputs, options).unwrap().evaluated().unwrap()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn halves_compute_what_the_whole_does() {
    for body in BODIES {
        let kernel = kernel(body);
        for derivative in [Derivative::Value, Derivative::Gradient, Derivative::Hessian] {
            let options = Options { strategy: Strategy::Structural, ..Options::new(derivative) };
            for elements in [0, 1, 2, 3, 4, 5, 63, 64, 65, 129, 300] {
                let what = format!("{body}, {derivative:?}, {elements} elements");
                let inputs = inputs(11, elements);
                let slow = evaluate(&kernel, &inputs, &Options { engine: Engine::Interp, ..options.clone() });
                let fast = evaluate(&kernel, &inputs, &options);
                assert_eq!(bits(&slow.gradient), bits(&fast.gradient), "{what}");
                assert_eq!(bits(&slow.matrix), bits(&fast.matrix), "{what}");
                let (a, b) = (slow.results[0], fast.results[0]);
                assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{what}: {a} and {b}");
                for threads in [2, 3, 8] {
                    let other = evaluate(&kernel, &inputs, &Options { threads, ..options.clone() });
                    assert_eq!(bits(&other.results), bits(&fast.results), "{what}, {threads} threads");
                    assert_eq!(bits(&other.gradient), bits(&fast.gradient), "{what}, {threads} threads");
                    assert_eq!(bits(&other.matrix), bits(&fast.matrix), "{what}, {threads} threads");
                }
            }
        }
    }
}

#[test]
fn slopes_of_roots_at_zero_are_infinite() {
    let kernel = kernel("sqrt(x[i][0])");
    let mut inputs = inputs(2, 1);
    for (x, slope) in [(0.0, f64::INFINITY), (1e-310, 0.5 / 1e-310_f64.sqrt()), (4.0, 0.25)] {
        inputs.set("x", &[[x, 0.5, 0.5], [x, 0.5, 0.5]][..]);
        let found = evaluate(&kernel, &inputs, &Options::new(Derivative::Hessian));
        assert!(
            found.gradient[0] == slope || (found.gradient[0] - slope).abs() <= 1e-12 * slope,
            "{x}: {found:?}"
        );
        assert!(found.matrix[0] < 0.0, "{x}: {found:?}");
    }
}
