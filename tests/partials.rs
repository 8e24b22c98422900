//! Functions with given partials: on every road and engine they are differentiated as given, to any order.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina::product::{Kind, Products};

/// Rounding between two ways of computing a derivative, relative to the largest number.
const ROUNDING: f64 = 1e-12;
/// Step of central differences, and what they may differ by.
const STEP: f64 = 1e-5;
const QUOTIENT: f64 = 1e-7;

fn kernel(text: &str) -> Kernel {
    Module::from_text("test.ir", text).unwrap_or_else(|error| panic!("{error}\n{text}")).kernel(None).unwrap()
}

fn wave(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| 0.3 + (1.7 * i as f64 + phase).sin()).collect()
}

fn ways(derivative: Derivative) -> Vec<Options> {
    let mut all = Vec::new();
    for (engine, threads) in [(Engine::Jit, 1), (Engine::Jit, 3), (Engine::Interp, 1)] {
        for strategy in [Strategy::Auto, Strategy::Structural, Strategy::Compressed, Strategy::Dense] {
            all.push(Options { engine, threads, strategy, ..Options::new(derivative) });
        }
    }
    all
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let mut problem =
        Problem::prepare(kernel, inputs, options).unwrap_or_else(|e| panic!("{options:?}: {e}"));
    let at = problem.evaluated().unwrap();
    (problem, at)
}

fn dense(problem: &Problem, values: &[f64]) -> Vec<f64> {
    let matrix = problem.matrix(values);
    let entry = |at: usize| matrix.get(at / matrix.cols(), at % matrix.cols()).copied().unwrap_or(0.0);
    (0..matrix.rows() * matrix.cols()).map(entry).collect()
}

fn same(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1.0_f64, |s, x| s.max(x.abs()));
    for (k, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what} [{k}]: {a} {b}");
    }
}

/// Functions with their partials, and the kernels that use them: of vectors, matrices, complex numbers, several results, integers, inner
/// functions, conditions and inner loops.
const GIVEN: &str = "
#[partials([b * cos(a[0] * b) * a[1]^2, 2.0 * sin(a[0] * b) * a[1]], a[0] * cos(a[0] * b) * a[1]^2)]
fn twist(a: vec2, b: f64, n: int) -> f64 { f64(n) * 0.0 + sin(a[0] * b) * a[1]^2 }

#[partials([[2.0 * a[0] * c, 0.0], [a[1], a[0]]], [a[0]^2, 0.0])]
fn pair(a: vec2, c: f64) -> vec2 { [a[0]^2 * c, a[0] * a[1]] }

#[partials((result.0 - 0.5 * t, [1.0, 2.0 * s * t]), (0.5, [0.0, s^2]))]
fn both(s: f64, t: f64) -> (f64, vec2) { (exp(s) + 0.5 * t, [s, s^2 * t]) }

#[partials(2.0 * z)]
fn square(z: complex) -> f64 { sqnorm(z) }

#[partials(transpose(inv(m)) * result)]
fn volume(m: mat2) -> f64 { det(m) }

#[partials(result * sum k in 0..3 { f64(k) * cos(f64(k) * s) / (2.0 + sin(f64(k) * s)) })]
fn product(s: f64) -> f64 { prod k in 0..3 { 2.0 + sin(f64(k) * s) } }

#[partials(if s > 0.5 { 2.0 * s - 1.0 } else { 0.0 })]
fn hinge(s: f64) -> f64 { if s > 0.5 { (s - 0.5)^2 } else { 0.0 } }

kernel energy<V, E>(x: var vec2[V], y: var f64[V], edges: index<V>[E, 2], p: f64) -> f64 {
    sum [i, j] in edges {
        let (e, v) = both(0.4 * x[j][0], y[i]);
        twist(x[i], y[j], i) + dot(pair(x[j], p), v) * e + square(complex(x[i][1], y[i]))
    }
    + sum v in 1..V { volume(rows(x[v], x[v - 1] + [3.0, 0.0]))^2 + product(y[v] * y[v - 1]) + hinge(y[v]) * x[v - 1][0] }
    + sum i in 0..V { twist([y[i], sqnorm(x[i])], y[(i + 1) % V], 2) }
}

kernel residual<V, E>(x: var vec2[V], y: var f64[V], edges: index<V>[E, 2], p: f64) -> (r: f64[E, 2], chain: f64[V]) {
    let bent = map v in 0..V { product(y[v]) * y[v] };
    (map [i, j] in edges { pair(x[i], y[j]) * both(y[i], p).0 },
     map v in 0..V { bent[v] * twist(x[v], bent[(v + 1) % V], v) })
}
";

fn plain() -> String {
    GIVEN.lines().filter(|line| !line.starts_with("#[partials")).collect::<Vec<_>>().join("\n")
}

fn inputs(vertices: usize) -> Inputs {
    let mut inputs = Inputs::new();
    let x: Vec<[f64; 2]> = wave(2 * vertices, 0.1).chunks(2).map(|c| [c[0], c[1]]).collect();
    let all = [[0_i64, 1], [1, 2], [3, 3], [1, 2], [2, 0], [4, 1]];
    let edges: Vec<[i64; 2]> =
        all.into_iter().filter(|e| e.iter().all(|&v| (v as usize) < vertices)).collect();
    inputs.set("x", &x[..]).set("y", &wave(vertices, 0.5)).set("edges", &edges[..]).set("p", &0.8);
    inputs
}

fn of(text: &str, name: &str) -> Kernel {
    let module = Module::from_text("test.ir", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    module.kernel(Some(name)).unwrap()
}

#[test]
fn right_partials_change_nothing() {
    for (name, derivative) in [("energy", Derivative::Hessian), ("residual", Derivative::Jacobian)] {
        let (given, own) = (of(GIVEN, name), of(&plain(), name));
        for vertices in [1, 2, 5] {
            let inputs = inputs(vertices);
            let dense_road = Options { strategy: Strategy::Dense, ..Options::new(derivative) };
            let (problem, wanted) = evaluate(&own, &inputs, &dense_road);
            let matrix = dense(&problem, &wanted.matrix);
            for options in ways(derivative) {
                let what = format!("{name} of {vertices}, {options:?}");
                let (problem, found) = evaluate(&given, &inputs, &options);
                same(&found.results, &wanted.results, ROUNDING, &what);
                same(&found.gradient, &wanted.gradient, ROUNDING, &what);
                same(&dense(&problem, &found.matrix), &matrix, ROUNDING, &what);
            }
        }
    }
}

#[test]
fn mixed_blocks_and_products_take_given_partials() {
    let (given, own) = (of(GIVEN, "energy"), of(&plain(), "energy"));
    let inputs = inputs(5);
    for engine in [Engine::Jit, Engine::Interp] {
        let options = Options {
            engine,
            rows: Some(vec!["p".to_owned(), "y".to_owned()]),
            wrt: Some(vec!["x".to_owned()]),
            ..Options::new(Derivative::Hessian)
        };
        let ((a, found), (b, wanted)) =
            (evaluate(&given, &inputs, &options), evaluate(&own, &inputs, &options));
        same(&dense(&a, &found.matrix), &dense(&b, &wanted.matrix), ROUNDING, "mixed block");
        let options = Options { engine, ..Options::new(Derivative::Hessian) };
        let ((a, _), (b, _)) = (evaluate(&given, &inputs, &options), evaluate(&own, &inputs, &options));
        for (kind, length) in [(Kind::Jvp, 15), (Kind::Vjp, 1), (Kind::Hvp, 15), (Kind::Second, 15)] {
            let direction = wave(length, 2.0);
            let product = |p: &Problem| Products::new(p, kind).unwrap().product(&direction).unwrap();
            same(&product(&a), &product(&b), ROUNDING, &format!("{kind:?}"));
        }
    }
}

#[test]
fn third_and_fourth_order_take_given_partials() {
    let (given, own) = (of(GIVEN, "energy"), of(&plain(), "energy"));
    let mut inputs = inputs(5);
    let x: Vec<[f64; 2]> = wave(10, 1.1).chunks(2).map(|c| [c[0], c[1]]).collect();
    inputs.set("x_dot", &x[..]).set("y_dot", &wave(5, 1.3));
    let third = |kernel: &Kernel| kernel.product_kernel(Kind::Hvp, None).unwrap();
    let fourth = |kernel: &Kernel| {
        let by = ["x".to_owned(), "y".to_owned()];
        third(kernel).product_kernel(Kind::Jvp, Some(&by)).unwrap()
    };
    for strategy in [Strategy::Structural, Strategy::Compressed] {
        let options = Options { strategy, ..Options::new(Derivative::Jacobian) };
        let by = Options { wrt: Some(vec!["x".to_owned(), "y".to_owned()]), ..options };
        let ((a, found), (b, wanted)) =
            (evaluate(&third(&given), &inputs, &by), evaluate(&third(&own), &inputs, &by));
        same(&dense(&a, &found.matrix), &dense(&b, &wanted.matrix), ROUNDING, "third order");
        let kernels = (fourth(&given), fourth(&own));
        let mut inputs = inputs.clone();
        for param in &kernels.0.lowered().params {
            let name = param.name.as_str();
            if name.starts_with("x_dot") && name != "x_dot" {
                inputs.set(name, &x[..]);
            } else if name.starts_with("y_dot") && name != "y_dot" {
                inputs.set(name, &wave(5, 1.9));
            }
        }
        let ((a, found), (b, wanted)) =
            (evaluate(&kernels.0, &inputs, &by), evaluate(&kernels.1, &inputs, &by));
        assert!(wanted.matrix.iter().any(|x| x.abs() > 0.1));
        same(&dense(&a, &found.matrix), &dense(&b, &wanted.matrix), ROUNDING, "fourth order");
    }
}

/// Rounded to steps of a thousandth, and an inner solve: what the bodies do has no usable derivative.
const BODIES: &str = "
#[partials(1.0 / (1.0 + exp(result)))]
fn root(a: f64) -> f64 {
    fold k in 0..30 with y = 0.5 * a { y - (y + exp(y) - a) / (1.0 + exp(y)) }
}
#[partials(cos(a))]
fn table(a: f64) -> f64 { floor(1000.0 * sin(a) + 0.5) / 1000.0 }

kernel solved<N>(x: var f64[N], w: f64) -> f64 {
    sum i in 1..N { root(x[i] * x[i - 1])^2 } + sum i in 0..N { w * table(x[i] + x[(i + 1) % N]) * x[i] }
}";

/// The same without steps: what the rounded one stands for, and what differences can follow.
fn smooth() -> String {
    BODIES.replace("floor(1000.0 * sin(a) + 0.5) / 1000.0", "sin(a)")
}

#[test]
fn bodies_without_derivatives_have_those_that_are_given() {
    let (rough, smooth) = (kernel(BODIES), kernel(&smooth()));
    for n in [1, 2, 6] {
        let mut inputs = Inputs::new();
        let x = wave(n, 0.4);
        inputs.set("x", &x).set("w", &0.7);
        let mut gradient = Problem::prepare(&smooth, &inputs, &Options::new(Derivative::Gradient)).unwrap();
        let mut quotients = |values: bool| {
            let mut columns = Vec::new();
            for k in 0..n {
                let mut at = |step: f64| {
                    let mut moved = x.clone();
                    moved[k] += step;
                    gradient.set_values("x", &moved).unwrap();
                    let at = gradient.evaluated().unwrap();
                    if values { at.results } else { at.gradient }
                };
                let (after, before) = (at(STEP), at(-STEP));
                columns.extend(after.iter().zip(&before).map(|(a, b)| (a - b) / (2.0 * STEP)));
            }
            columns
        };
        let (slope, curvature) = (quotients(true), quotients(false));
        for options in ways(Derivative::Hessian) {
            let (problem, at) = evaluate(&smooth, &inputs, &options);
            same(&at.gradient, &slope, QUOTIENT, &format!("gradient, {options:?}"));
            same(&dense(&problem, &at.matrix), &curvature, QUOTIENT, &format!("Hessian, {options:?}"));
            // Only the value is rounded.
            let (coarse, rounded) = evaluate(&rough, &inputs, &options);
            same(&rounded.gradient[..n.min(1)], &at.gradient[..n.min(1)], 1e-2, "gradient of the rounded");
            assert_eq!(coarse.pattern().nnz(), problem.pattern().nnz());
            assert!(rounded.matrix.iter().all(|x| x.is_finite()));
        }
    }
}

#[test]
fn programs_that_compute_values_do_not_compute_partials() {
    let kernel = kernel(BODIES);
    let text = |derivative| kernel.derive(derivative, None).unwrap().eval.to_string();
    assert!(!text(Derivative::Value).contains("cos"), "{}", text(Derivative::Value));
    assert!(text(Derivative::Gradient).contains("cos"));
    // A partial in terms of the result is written out for several orders, and is one computation in the end.
    let given = "#[partials(1.0 - result^2)] fn bend(a: f64) -> f64 { tanh(a) }
        kernel k<N>(x: var f64[N]) -> f64 { sum i in 1..N { bend(x[i] * x[i - 1]) } }";
    let own = "kernel k<N>(x: var f64[N]) -> f64 { sum i in 1..N { tanh(x[i] * x[i - 1]) } }";
    let counted = |text: &str| {
        let program = self::kernel(text).derive(Derivative::Hessian, None).unwrap();
        program.eval.to_string().matches("tanh").count()
    };
    assert_eq!((counted(given), counted(own)), (1, 1));
}

#[test]
fn derivatives_by_arrays_are_refused() {
    let text = "
        #[partials(t[1] - t[0])]
        fn line<N>(t: f64[N], a: f64) -> f64 { t[0] + a * (t[1] - t[0]) }
        kernel k<N, M>(x: var f64[N], t: f64[M]) -> f64 { sum i in 0..N { line(t, x[i])^2 } }";
    let kernel = kernel(text);
    let mut inputs = Inputs::new();
    inputs.set("x", &wave(3, 0.0)).set("t", &wave(4, 1.0));
    for options in ways(Derivative::Hessian) {
        let (_, at) = evaluate(&kernel, &inputs, &options);
        assert!(at.matrix.iter().all(|x| x.is_finite()));
        for derivative in [Derivative::Gradient, Derivative::Hessian] {
            let by = Options { derivative, wrt: Some(vec!["t".to_owned()]), ..options.clone() };
            match Problem::prepare(&kernel, &inputs, &by) {
                Err(Error::Source(report)) => assert_eq!(report.diagnostics[0].code, "partials-missing"),
                other => panic!("{options:?}: {:?}", other.map(|_| ())),
            }
        }
    }
}

#[test]
fn single_precision_takes_given_partials() {
    let text = |attr: &str| {
        format!(
            "{attr}
            fn f(a: f32, b: f64) -> f64 {{ f64(a)^2 * b }}
            kernel k<N>(x: var f32[N], y: var f64[N]) -> f64 {{ sum i in 0..N {{ f(x[i], y[i]) * y[i] }} }}"
        )
    };
    let (given, own) = (kernel(&text("#[partials(2.0 * f64(a) * b, f64(a)^2)]")), kernel(&text("")));
    let mut inputs = Inputs::new();
    inputs.set("x", &wave(4, 0.2)).set("y", &wave(4, 0.9));
    for options in ways(Derivative::Hessian) {
        let ((a, found), (b, wanted)) =
            (evaluate(&given, &inputs, &options), evaluate(&own, &inputs, &options));
        same(&found.gradient, &wanted.gradient, 1e-6, "gradient");
        same(&dense(&a, &found.matrix), &dense(&b, &wanted.matrix), 1e-6, &format!("{options:?}"));
    }
}
