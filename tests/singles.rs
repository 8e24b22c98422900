//! Single precision: four iterations side by side give what one does, to the bit.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Engine, Options};
use spadina::problem::Problem;
use spadina_io::array::{Array, Data};

fn wave(shape: &[usize], phase: f64) -> Array {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|n| (0.9 + 0.4 * (1.7 * n as f64 + phase).sin()) as f32).collect();
    Array::new(shape.to_vec(), Data::F32(values)).unwrap()
}

/// Both engines and several threads, for every number of iterations that a pass of four can leave.
fn agrees(text: &str, derivative: Derivative, scale: usize) {
    let kernel = Module::from_text("singles.ir", text).unwrap().kernel(None).unwrap();
    for elements in [0, 1, 2, 3, 4, 5, 7, 8, 150] {
        let vertices = elements + 2;
        let corners: Vec<[i64; 3]> =
            (0..elements).map(|e| [e, e + 1, (e * scale + 2) % vertices].map(|v| v as i64)).collect();
        let mut inputs = Inputs::new();
        inputs.set("x", &wave(&[vertices, 2], 0.1)).set("t", &corners[..]);
        inputs.set("w", &wave(&[elements], 2.0));
        let [expected, one, two, three] =
            [(Engine::Interp, 1), (Engine::Jit, 1), (Engine::Jit, 2), (Engine::Jit, 3)].map(
                |(engine, threads)| {
                    let options = Options { engine, threads, ..Options::new(derivative) };
                    let at = Problem::prepare(&kernel, &inputs, &options).unwrap().evaluated().unwrap();
                    let bits = |list: &[f64]| list.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
                    ((bits(&at.gradient), bits(&at.matrix)), format!("{:?}", at.results))
                },
            );
        assert!(one == two && one == three, "threads, {elements} elements of\n{text}");
        // The interpreter adds up results in another order.
        assert!(one.0 == expected.0, "engines, {elements} elements of\n{text}");
    }
}

#[test]
fn energies_of_elements() {
    let header = "kernel k<V, T>(x: var vec2<f32>[V], t: index<V>[T, 3], w: f32[T]) -> f64";
    for term in [
        "w[e] * sqnorm(p) / (1.0 + sqnorm(q))",
        "w[e] * (norm(p) - 0.5)^2 + abs(det(cols(p, q)))",
        "w[e] * sin(p[0]) * cos(q[1]) + exp(0.1 * p[1]) * log(2.0 + sqnorm(q))",
        "if sqnorm(p) < w[e] { w[e] * sqnorm(p) } else { norm(q) }",
        "if p[0] * q[1] > 0.3 { sqrt(2.0 + p[0] * q[1]) * exp(p[1]) } else { w[e] }",
        "max(p[0] * w[e], q[1]) + min(p[1], q[0] * q[0])",
        "f64(w[e]) * exp(f64(p[0])) * f64(q[1] * p[1])",
        "dot(q, fold j in 0..3 with r = p { 0.5 * r + if r[0] < r[1] { q * r[1] } else { p * w[e] } })",
        "sum j in 0..a % 3 { w[e] * p[0] }",
        "max(0.0, max j in 0..(b % 3 + 1) { q[1] * p[0] })",
        "f64(sum j in 0..c % 4 { a * 3 + e }) * f64(p[1])^2 + f64(p[0])",
        "atan2(p[1], 2.0 + q[0]) + tanh(p[0] * q[1]) + f32(sin(f64(q[0] * p[1])))",
    ] {
        let text = format!(
            "{header} {{ sum e: [a, b, c] in t {{ let p = x[b] - x[a]; let q = x[c] - x[a]; {term} }} }}"
        );
        for scale in [1, 3] {
            agrees(&text, Derivative::Hessian, scale);
            agrees(&text, Derivative::Gradient, scale);
        }
    }
}

#[test]
fn residuals_of_elements() {
    let header = "kernel k<V, T>(x: var vec2<f32>[V], t: index<V>[T, 3], w: f32[T])";
    for body in [
        "-> f32[T] { map e: [a, b, c] in t { w[e] * dot(x[a], x[b]) / (1.0 + sqnorm(x[c])) } }",
        "-> f64[T, 2] { map e: [a, b, c] in t { [x[a][0] * x[b][1], sqrt(1.0 + x[c][0] * x[c][0])] } }",
        "-> f32[T] { map e: [a, b, c] in t { sum j in 0..2 { x[a][j] * x[b][j]^2 * w[e] } } }",
    ] {
        agrees(&format!("{header} {body}"), Derivative::Jacobian, 3);
    }
}
