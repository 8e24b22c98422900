//! Kernels that are computed row by row, compiled: against the interpreter, on several threads, at sizes that end in every way.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};
use spadina_runtime::csr::Pattern;
use std::sync::Arc;

/// The same terms added in another order, relative to the largest number (at least 1).
const REORDERED: f64 = 1e-11;

/// Axes that end with and without a partner for the last row.
const SIZES: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 12];
/// Chains of several stretches, whole and not, and of more than one block of sums.
const LONG: [usize; 4] = [513, 1026, 1537, 3003];

fn values(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|i| 1.0 + 0.4 * (1.3 * i as f64 + seed as f64).sin()).collect()
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Evaluation, Arc<Pattern>) {
    let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
    let mut at = problem.evaluation();
    // What is overwritten may hold anything.
    for list in [&mut at.results, &mut at.gradient, &mut at.matrix] {
        list.fill(f64::NAN);
    }
    problem.evaluate(&mut at).unwrap();
    (at, Arc::clone(problem.pattern()))
}

fn lists(at: &Evaluation) -> [&[f64]; 3] {
    [&at.results, &at.gradient, &at.matrix]
}

fn check_at(text: &str, derivative: Derivative, sizes: &[usize], arrays: &[(&str, &[usize])]) {
    check_with(text, derivative, sizes, &floats(arrays));
}

fn floats(arrays: &[(&str, &[usize])]) -> Inputs {
    let mut inputs = Inputs::new();
    for (n, &(name, shape)) in arrays.iter().enumerate() {
        let data = Data::F64(values(shape.iter().product(), n));
        inputs.set(name, &Array::new(shape.to_vec(), data).unwrap());
    }
    inputs
}

fn check_with(text: &str, derivative: Derivative, sizes: &[usize], inputs: &Inputs) {
    let module = Module::from_text("rows.ir", text).unwrap();
    let kernel = module.kernel(None).unwrap();
    let with = |engine, threads| Options {
        engine,
        threads,
        strategy: Strategy::Structural,
        ..Options::new(derivative)
    };
    let (wanted, pattern) = evaluate(&kernel, inputs, &with(Engine::Interp, 1));
    let (one, found) = evaluate(&kernel, inputs, &with(Engine::Jit, 1));
    assert_eq!(pattern, found, "{sizes:?}\n{text}");
    for (wanted, found) in lists(&wanted).into_iter().zip(lists(&one)) {
        assert_eq!(wanted.len(), found.len());
        let scale = wanted.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
        for (n, (x, y)) in wanted.iter().zip(found).enumerate() {
            assert!((x - y).abs() <= REORDERED * scale, "{sizes:?} [{n}]: {x} {y}\n{text}");
        }
    }
    for threads in [2, 3, 8] {
        let (other, _) = evaluate(&kernel, inputs, &with(Engine::Jit, threads));
        for (one, other) in lists(&one).into_iter().zip(lists(&other)) {
            let same = one.iter().zip(other).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same, "{sizes:?}, {threads} threads\n{text}");
        }
    }
}

/// A kernel of one size; arrays by the components of an element.
fn chain(text: &str, derivative: Derivative, arrays: &[(&str, &[usize])]) {
    for &n in SIZES.iter().chain(&LONG) {
        let shapes: Vec<(&str, Vec<usize>)> =
            arrays.iter().map(|&(name, inner)| (name, [&[n], inner].concat())).collect();
        let shapes: Vec<(&str, &[usize])> = shapes.iter().map(|(name, shape)| (*name, &shape[..])).collect();
        check_at(text, derivative, &[n], &shapes);
    }
}

/// A kernel of two sizes.
fn grid(text: &str, derivative: Derivative, arrays: &[(&str, &[usize])]) {
    let short =
        [(0, 3), (1, 1), (2, 5), (3, 3), (4, 7), (5, 6), (6, 1), (7, 12), (9, 33), (40, 8), (2100, 4)];
    // Rows enough for pairs to be aligned: they start at even and at odd places, and end with a partner or without.
    let long = [(4, 65), (3, 66), (5, 67), (4, 68), (3, 131)];
    for (n, m) in short.into_iter().chain(long) {
        let shapes: Vec<(&str, Vec<usize>)> =
            arrays.iter().map(|&(name, inner)| (name, [&[n, m], inner].concat())).collect();
        let shapes: Vec<(&str, &[usize])> = shapes.iter().map(|(name, shape)| (*name, &shape[..])).collect();
        check_at(text, derivative, &[n, m], &shapes);
    }
}

#[test]
fn a_difference_is_carried_from_row_to_row() {
    let text = "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (x[i + 1] - x[i])^3 } }";
    chain(text, Derivative::Hessian, &[("x", &[])]);
    let text =
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { exp(x[i + 1] - x[i]) * sqrt(x[i]) } }";
    chain(text, Derivative::Hessian, &[("x", &[])]);
}

#[test]
fn a_window_of_three_rows() {
    let text = "kernel k<N>(x: var f64[N], a: f64[N]) -> f64 {
        sum i in 2..N - 2 { a[i] * (x[i - 2] * x[i + 2] - sqrt(x[i]) * x[i + 1])^2 }
    }";
    chain(text, Derivative::Hessian, &[("x", &[]), ("a", &[])]);
}

#[test]
fn points_and_several_unknowns() {
    let text = "kernel k<N>(x: var vec2[N]) -> f64 { sum i in 0..N { sqnorm(x[(i + 1) % N] - x[i])^2 } }";
    chain(text, Derivative::Hessian, &[("x", &[2])]);
    let text = "kernel k<N>(x: var f64[N], v: var vec3[N], a: f64[N]) -> f64 {
        sum i in 0..N - 1 { a[i] * (x[i + 1] - x[i] - 0.5 * dot(v[i], v[i + 1]))^2 + cos(x[i]) }
    }";
    chain(text, Derivative::Hessian, &[("x", &[]), ("v", &[3]), ("a", &[])]);
}

#[test]
fn branches_on_values() {
    let text = "kernel k<N>(x: var f64[N]) -> f64 {
        sum i in 0..N - 1 { if x[i] > 1.0 { (x[i + 1] - x[i])^3 } else { x[i]^2 } }
    }";
    chain(text, Derivative::Hessian, &[("x", &[])]);
    let text = "kernel k<N>(x: var f64[N]) -> f64[N] {
        map i in 0..N { if x[i] > 1.0 { exp(x[i]) * x[(i + 1) % N] } else { x[(i + 1) % N]^2 } }
    }";
    chain(text, Derivative::Jacobian, &[("x", &[])]);
}

#[test]
fn backward_strided_and_single_precision() {
    let text = "kernel k<N>(x: var f64[N], a: f64[N, 2]) -> f64[N] {
        map i in 0..N { x[N - 1 - i]^2 * a[i, 1] + x[i] * a[N - 1 - i, 0] }
    }";
    chain(text, Derivative::Jacobian, &[("x", &[]), ("a", &[2])]);
    let text = "kernel k<N>(x: var f32[N]) -> f32[N] { map i in 0..N { x[i]^2 * x[(i + 1) % N] } }";
    for n in SIZES {
        let module = Module::from_text("rows.ir", text).unwrap();
        let kernel = module.kernel(None).unwrap();
        let mut inputs = Inputs::new();
        let data: Vec<f32> = values(n, 1).into_iter().map(|x| x as f32).collect();
        inputs.set("x", &Array::new(vec![n], Data::F32(data)).unwrap());
        let with = |engine| Options { engine, ..Options::new(Derivative::Jacobian) };
        let (wanted, _) = evaluate(&kernel, &inputs, &with(Engine::Interp));
        let (found, _) = evaluate(&kernel, &inputs, &with(Engine::Jit));
        assert_eq!(wanted, found, "{n}");
    }
}

#[test]
fn stencils() {
    let text = "kernel k<N, M>(u: var f64[N, M]) -> f64[N, M] {
        map i in 0..N, j in 0..M {
            u[(i + 1) % N, j] + u[(i + N - 1) % N, j] + u[i, (j + 1) % M] + u[i, (j + M - 1) % M] - 4.0 * u[i, j] + u[i, j]^3
        }
    }";
    grid(text, Derivative::Jacobian, &[("u", &[])]);
    let text = "kernel k<N, M>(x: var vec2[N, M]) -> f64 {
        (sum i in 0..N - 1, j in 0..M { (norm(x[i + 1, j] - x[i, j]) - 0.7)^2 })
        + (sum i in 0..N, j in 0..M - 1 { (norm(x[i, j + 1] - x[i, j]) - 0.7)^2 })
    }";
    grid(text, Derivative::Hessian, &[("x", &[2])]);
    // Rows that do not follow each other along the inner loop.
    let text = "kernel k<N, M>(u: var f64[N, M]) -> f64[M, N] { map i in 0..M, j in 0..N { u[j, i]^2 * u[j, (i + 1) % M] } }";
    grid(text, Derivative::Jacobian, &[("u", &[])]);
}

#[test]
fn two_residuals_and_a_window_of_weights() {
    let text = "kernel k<N, M>(u: var f64[N, M], v: var f64[N, M]) -> (a: f64[N, M], b: f64[N, M]) {
        let a = map i in 0..N, j in 0..M { u[i, j]^2 * v[i, j] + u[(i + 1) % N, j] - u[i, (j + 1) % M] };
        let b = map i in 0..N, j in 0..M { 2.0 * u[i, j] - v[i, j]^3 + v[i, (j + 2) % M] };
        (a, b)
    }";
    grid(text, Derivative::Jacobian, &[("u", &[]), ("v", &[])]);
    let text = "kernel k<N, M>(x: var f64[N + 2, M + 2], w: f64[3, 3]) -> f64[N, M] {
        map i in 0..N, j in 0..M { sum a in 0..3, b in 0..3 { w[a, b] * x[i + a, j + b] } }
    }";
    for (n, m) in [(0, 3), (1, 1), (2, 5), (7, 12), (9, 33)] {
        check_at(text, Derivative::Jacobian, &[n, m], &[("x", &[n + 2, m + 2]), ("w", &[3, 3])]);
    }
}

/// Terms that follow data beside others whose rows follow from loops: the rows of each lie before, behind and between those of the other.
#[test]
fn rows_beside_elements() {
    let text = "kernel k<V, L, E, G>(
        p: var f64[2, L], x: var vec2[V], q: var f64[L], y: var f64[V], g: var f64[G, G], a: f64[L], edges: index<V>[E, 2],
    ) -> f64 {
        let chain = sum l in 0..L { a[l] * p[0, l]^2 * p[1, l]^2 } + sum l in 0..L - 1 { exp(q[l + 1] - q[l]) };
        let springs = sum e in 0..E { (sqrt(0.1 + sqnorm(x[edges[e, 0]] - x[edges[e, 1]])) - 0.3)^2 };
        let ring = sum i in 0..G, j in 0..G { (g[i, j] - g[(i + 1) % G, j] * g[i, (j + 1) % G])^2 };
        let others = sum e in 0..E { cos(y[edges[e, 0]] * y[edges[e, 1]]) };
        chain + springs + ring + others
    }";
    let kernel = Module::from_text("rows.ir", text).unwrap().kernel(None).unwrap();
    let explanation = kernel.explain(Derivative::Hessian, None).unwrap();
    assert!(
        explanation.road.is_some_and(|road| road.contains("the others element by element")),
        "{explanation:?}"
    );
    let ranges: Vec<(Option<usize>, &str)> =
        explanation.phases.iter().filter_map(|phase| Some((phase.line, phase.range.as_deref()?))).collect();
    // Lines of the text above, from its first term on.
    for expected in [
        (Some(5), "0..E"),
        (Some(7), "0..E"),
        (Some(4), "each row of p, q inside"),
        (Some(6), "each row of g inside"),
    ] {
        assert!(ranges.contains(&expected), "{expected:?} in {ranges:?}");
    }
    for (v, l, e, g) in [
        (1, 0, 1, 0),
        (2, 1, 0, 1),
        (5, 2, 7, 3),
        (20, 3003, 6, 0),
        (40, 513, 90, 4),
        (3000, 7, 7000, 9),
        (900, 3003, 2000, 40),
    ] {
        let shapes: [(&str, &[usize]); 6] =
            [("p", &[2, l]), ("x", &[v, 2]), ("q", &[l]), ("y", &[v]), ("g", &[g, g]), ("a", &[l])];
        let mut inputs = floats(&shapes);
        // Near neighbors, and ends far apart.
        let edge = |n: usize| {
            [n * v / e.max(1), (n * v / e.max(1) + 1 + if n.is_multiple_of(50) { 7 * n } else { n % 3 }) % v]
        };
        let edges: Vec<[i64; 2]> = (0..e).map(|n| edge(n).map(|end| end as i64)).collect();
        inputs.set("edges", &edges[..]);
        check_with(text, Derivative::Hessian, &[v, l, e, g], &inputs);
    }
}
