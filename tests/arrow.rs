//! Arrow matrices: unknowns that every element names. Against the dense derivative, and the same bits on every number of threads.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{
    Assembly, Derivative, Engine, Fixed, FixedRule, Options, Project, Strategy, Triangle,
};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};
use spadina_ir::project::{Filter, Projection};

/// Sums of many terms in another order.
const ROUNDING: f64 = 1e-11;

/// A scalar unknown.
const SCALAR: &str = "
    kernel scalar<N>(x: var f64[N], s: var f64) -> f64 { sum i in 0..N { sin(x[i] * s) + s^2 * x[i] } }";

/// Several, declared before and after, in two loops and under a condition on values.
const SEVERAL: &str = "
    kernel several<V, E>(a: var f64, x: var vec2[V], b: var f64, edges: index<V>[E, 2], c: var f64) -> f64 {
        let springs = sum [i, j] in edges { a * (sqnorm(x[i] - x[j]) - b)^2 };
        let wells = sum v in 0..V { if x[v][0] > 0.2 { c * sin(b * x[v][1]) } else { c^2 * a } };
        springs + wells
    }";

/// A small dense border: an array of parameters that only literals subscript.
const BORDER: &str = "
    kernel border<V, E>(x: var vec2[V], p: var f64[4], edges: index<V>[E, 2]) -> f64 {
        sum [i, j] in edges {
            p[2] * (p[0] * x[i][0] + p[1] * x[j][1])^2 + sin(p[3] * x[i][1]) + exp(0.1 * p[1] * p[3])
        }
    }";

/// A loop within the element.
const INNER: &str = "
    kernel inner<V, E>(x: var vec2[V], p: var f64[3], edges: index<V>[E, 2], w: f64[V, 5]) -> f64 {
        sum [i, j] in edges { sum k in 0..5 { w[i, k] * sin(p[0] + p[1] * x[i][0] * w[j, k] + p[2] * x[j][1]) } }
    }";

/// Nothing but parameters: curve fitting.
const FIT: &str = "
    kernel fit<N>(a: var f64, b: var vec2, t: f64[N]) -> f64 {
        sum n in 0..N { (a * exp(b[0] * t[n]) + b[1] - sin(t[n]))^2 }
    }";

/// Subscripted by literals in one loop and by data in the other: an array as any other.
const MIXED: &str = "
    kernel mixed<V, E>(x: var vec2[V], p: var f64[4], edges: index<V>[E, 2], kind: index<4>[E]) -> f64 {
        let one = sum v in 0..V { p[0] * sqnorm(x[v]) * p[1] };
        one + sum e: [i, j] in edges { p[kind[e]]^2 * dot(x[i], x[j]) }
    }";

/// An element that names the first vertex, as all others do.
const PINNED: &str = "
    kernel pinned<V, E>(x: var vec2[V], edges: index<V>[E, 2]) -> f64 {
        sum [i, j] in edges { sqnorm(x[i] - x[0])^2 * x[j][1] }
    }";

/// Marked for projection: whole blocks, the corner with them.
const PROJECTED: &str = "
    kernel projected<V, E>(x: var vec2[V], s: var f64, edges: index<V>[E, 2]) -> f64 {
        sum [i, j] in edges { sin(s * x[i][0]) * x[j][1] + s^2 * x[i][1] }
    }";

const ALL: [&str; 8] = [SCALAR, SEVERAL, BORDER, INNER, FIT, MIXED, PINNED, PROJECTED];

fn kernel(text: &str) -> Kernel {
    Module::from_text("test.ir", text).unwrap().kernel(None).unwrap()
}

fn wave(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| 0.3 + (1.7 * i as f64 + phase).sin()).collect()
}

/// A ring with chords; an edge from a vertex to itself among them.
fn inputs(text: &str, n: usize) -> Inputs {
    let mut inputs = Inputs::new();
    let x: Vec<[f64; 2]> = wave(2 * n, 0.1).chunks(2).map(|c| [c[0], c[1]]).collect();
    let edges: Vec<[i64; 2]> = (0..2 * n)
        .map(|e| [(e % n) as i64, if e < n { ((e + 1) % n) as i64 } else { (e * 5 % n) as i64 }])
        .collect();
    let w: Vec<[f64; 5]> = wave(5 * n, 0.4).chunks(5).map(|c| [c[0], c[1], c[2], c[3], c[4]]).collect();
    let kind: Vec<i64> = (0..2 * n).map(|e| (e * e % 4) as i64).collect();
    match text {
        SCALAR => inputs.set("x", &wave(n, 0.2)).set("s", &0.7),
        SEVERAL => inputs.set("x", &x).set("edges", &edges[..]).set("a", &0.7).set("b", &1.3).set("c", &-0.4),
        BORDER => inputs.set("x", &x).set("edges", &edges[..]).set("p", &wave(4, 0.8)),
        INNER => inputs.set("x", &x).set("edges", &edges[..]).set("p", &wave(3, 0.8)).set("w", &w),
        FIT => inputs.set("a", &0.6).set("b", &[0.2, 0.5]).set("t", &wave(n, 0.3)),
        MIXED => inputs.set("x", &x).set("edges", &edges[..]).set("p", &wave(4, 0.8)).set("kind", &kind[..]),
        PINNED => inputs.set("x", &x).set("edges", &edges[..]),
        _ => inputs.set("x", &x).set("edges", &edges[..]).set("s", &0.9),
    };
    inputs
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
    // Twice: what is added to must have been cleared.
    problem.evaluated().unwrap();
    let at = problem.evaluated().unwrap();
    (problem, at)
}

fn dense((problem, at): &(Problem, Evaluation)) -> Vec<f64> {
    let matrix = problem.matrix(&at.matrix);
    let entry = |k| matrix.get(k / matrix.cols(), k % matrix.cols()).copied().unwrap_or(0.0);
    (0..matrix.rows() * matrix.cols()).map(entry).collect()
}

fn close(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
    for (k, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= ROUNDING * scale, "{what} [{k}]: {a} {b}");
    }
}

fn options(text: &str, derivative: Derivative) -> Options {
    let project = match text {
        PROJECTED => Project::All(Projection::new(Filter::Clamp, 0.0).unwrap()),
        _ => Project::AsWritten,
    };
    Options { project, ..Options::new(derivative) }
}

#[test]
fn the_arrow_is_the_dense_matrix() {
    for text in ALL {
        let kernel = kernel(text);
        for n in [1, 2, 7] {
            let inputs = inputs(text, n);
            let plain = options(text, Derivative::Hessian);
            let strategy = if text == PROJECTED { Strategy::Structural } else { Strategy::Dense };
            let whole =
                evaluate(&kernel, &inputs, &Options { engine: Engine::Interp, strategy, ..plain.clone() });
            for threads in [1, 2, 3] {
                let found = evaluate(&kernel, &inputs, &Options { threads, ..plain.clone() });
                let what = format!("{text} n = {n}, {threads} threads");
                close(&dense(&found), &dense(&whole), &what);
                close(&found.1.gradient, &whole.1.gradient, &what);
                close(&found.1.results, &whole.1.results, &what);
            }
        }
    }
}

/// Evaluated with one thread and with several: the same bits.
fn same_bits(kernel: &Kernel, inputs: &Inputs, options: &Options, what: &str) -> (Problem, Evaluation) {
    let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
    let one = evaluate(kernel, inputs, options);
    for threads in [2, 3, 8] {
        let (_, many) = evaluate(kernel, inputs, &Options { threads, ..options.clone() });
        let what = format!("{what}, {threads} threads");
        assert_eq!(bits(&many.results), bits(&one.1.results), "{what}");
        assert_eq!(bits(&many.gradient), bits(&one.1.gradient), "{what}");
        assert_eq!(bits(&many.matrix), bits(&one.1.matrix), "{what}");
    }
    one
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    for text in ALL {
        let kernel = kernel(text);
        for n in [5, 1023, 2600] {
            let inputs = inputs(text, n);
            for derivative in [Derivative::Hessian, Derivative::Gradient, Derivative::Value] {
                same_bits(
                    &kernel,
                    &inputs,
                    &options(text, derivative),
                    &format!("{text} {derivative:?} n = {n}"),
                );
            }
        }
    }
}

#[test]
fn triangles_and_fixed_unknowns_of_the_corner() {
    for text in [SCALAR, SEVERAL, BORDER, INNER, FIT, PROJECTED] {
        let kernel = kernel(text);
        let inputs = inputs(text, 600);
        let plain = options(text, Derivative::Hessian);
        let whole = evaluate(&kernel, &inputs, &plain);
        let size = whole.0.pattern().rows();
        let full = dense(&whole);
        let scale = full.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
        // The first unknown, the last, the last but one: common in one text or another.
        for fixed in [vec![], vec![0], vec![size - 1], vec![0, size - 2]] {
            for triangle in [Triangle::Full, Triangle::Lower, Triangle::Upper] {
                for rule in [FixedRule::Drop, FixedRule::Identity] {
                    let what = format!("{text} {fixed:?} {triangle:?} {rule:?}");
                    let assembly = Assembly {
                        triangle,
                        fixed: vec![Fixed::List(fixed.clone())],
                        fixed_rule: rule,
                        ..Assembly::default()
                    };
                    let cut = same_bits(&kernel, &inputs, &Options { assembly, ..plain.clone() }, &what);
                    if text == PROJECTED && !fixed.is_empty() {
                        // Fixed unknowns are taken out before a block is projected.
                        continue;
                    }
                    let pattern = cut.0.pattern();
                    let kept: Vec<usize> =
                        (0..size).filter(|k| rule == FixedRule::Identity || !fixed.contains(k)).collect();
                    for (row, &r) in kept.iter().enumerate() {
                        let stored = pattern.row_ptr()[row] as usize..pattern.row_ptr()[row + 1] as usize;
                        let mut wanted: Vec<f64> = kept.iter().map(|&c| full[r * size + c]).collect();
                        for (place, &c) in wanted.iter_mut().zip(&kept) {
                            let inside = match triangle {
                                Triangle::Full => true,
                                Triangle::Lower => c <= r,
                                Triangle::Upper => c >= r,
                            };
                            if fixed.contains(&r) || fixed.contains(&c) {
                                *place = if r == c { 1.0 } else { 0.0 };
                            } else if !inside {
                                *place = 0.0;
                            }
                        }
                        let mut found = vec![0.0; kept.len()];
                        for k in stored {
                            found[pattern.col_idx()[k] as usize] = cut.1.matrix[k];
                        }
                        for (a, b) in found.iter().zip(&wanted) {
                            assert!((a - b).abs() <= ROUNDING * scale, "{what} row {r}: {a} {b}");
                        }
                    }
                }
            }
        }
    }
}

/// Sums that later loops read: a mean, a norm.
#[test]
fn sums_that_later_loops_read() {
    let text = "
        kernel spread<N>(x: var f64[N], s: var f64) -> f64 {
            let mut mean = 0.0;
            for i in 0..N { mean += x[i] * s; }
            let mut norm = 0.0;
            for i in 0..N { norm += (x[i] - mean)^2; }
            sum i in 0..N { (x[i] - mean)^2 / (1.0 + norm) * s }
        }";
    let kernel = kernel(text);
    for n in [1, 6, 3000] {
        let inputs = inputs(SCALAR, n);
        let found =
            same_bits(&kernel, &inputs, &Options::new(Derivative::Gradient), &format!("{text} n = {n}"));
        let interp = Options { engine: Engine::Interp, ..Options::new(Derivative::Gradient) };
        let (_, wanted) = evaluate(&kernel, &inputs, &interp);
        close(&found.1.gradient, &wanted.gradient, text);
        close(&found.1.results, &wanted.results, text);
    }
}

/// Parameters that all samples share: every entry is a sum over all samples, far more of them than there are loops.
#[test]
fn parameters_of_all_samples() {
    let text = "kernel net<S>(p: var f64[13], input: f64[S, 2], target: f64[S]) -> f64 {
        sum s in 0..S {
            let out = sum h in 0..3 {
                p[9 + h] * tanh(p[2 * h] * input[s, 0] + p[2 * h + 1] * input[s, 1] + p[6 + h])
            };
            (out + p[12] - target[s])^2
        }
    }";
    let wave = |shape: &[usize], phase: f64| {
        let values = (0..shape.iter().product()).map(|n: usize| (phase + 1.3 * n as f64).sin()).collect();
        Array::new(shape.to_vec(), Data::F64(values)).unwrap()
    };
    let kernel = Module::from_text("net.ir", text).unwrap().kernel(None).unwrap();
    for samples in [0, 1, 2, 70] {
        let mut inputs = Inputs::new();
        inputs.set("p", &wave(&[13], 0.2)).set("input", &wave(&[samples, 2], 0.9));
        inputs.set("target", &wave(&[samples], 2.0));
        let [structural, dense] = [Strategy::Structural, Strategy::Dense].map(|strategy| {
            let options = Options { strategy, ..Options::new(Derivative::Hessian) };
            let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
            let at = problem.evaluated().unwrap();
            let matrix = problem.matrix(&at.matrix);
            let entry = |k: usize| matrix.get(k / 13, k % 13).copied().unwrap_or(0.0);
            (0..13 * 13).map(entry).collect::<Vec<f64>>()
        });
        for (a, b) in structural.iter().zip(&dense) {
            assert!((a - b).abs() <= 1e-11 * (1.0 + b.abs()), "{samples} samples: {a} {b}");
        }
    }
}
