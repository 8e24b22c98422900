//! The library: smallest sizes, changes of data, threads, no allocation, refusals.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::{Evaluation, Problem};

const SPRINGS: &str = "
    kernel springs<V, E>(x: var vec2[V], edges: index<V>[E, 2], rest: f64 = 1.0) -> f64 {
        sum [i, j] in edges { 0.5 * (norm(x[i] - x[j]) - rest)^2 }
    }";

fn kernel(text: &str) -> Kernel {
    Module::from_text("test.ir", text).unwrap().kernel(None).unwrap()
}

/// Results, gradient, dense matrix.
type Results = (Vec<f64>, Vec<f64>, Vec<Vec<f64>>);

/// All ways to compute: engine, strategy, threads.
fn ways(derivative: Derivative) -> Vec<Options> {
    let mut all = Vec::new();
    for (engine, threads) in [(Engine::Jit, 1), (Engine::Jit, 2), (Engine::Interp, 1)] {
        for strategy in [Strategy::Structural, Strategy::Compressed, Strategy::Dense] {
            all.push(Options { engine, threads, strategy, ..Options::new(derivative) });
        }
    }
    all
}

/// The matrix, dense.
fn dense(problem: &Problem, at: &Evaluation) -> Vec<Vec<f64>> {
    let matrix = problem.matrix(&at.matrix);
    let row = |r: usize| (0..matrix.cols()).map(|c| matrix.get(r, c).copied().unwrap_or(0.0)).collect();
    (0..matrix.rows()).map(row).collect()
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    (problem, at)
}

#[test]
fn smallest_sizes_agree_with_the_definition() {
    let energies = [
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 1..N { (x[i] - x[i - 1])^2 } }",
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { exp(x[i]) * x[(i + 1) % N] } }",
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N, j in 0..N { x[i] * sin(x[j]) } }",
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { sum j in max(0, i - 1)..min(N, i + 2) { x[i]^2 * x[j] } } }",
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { if i == 0 { x[i]^3 } else { x[i] * x[i - 1] } } }",
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { if x[i] > 1.0 { x[i]^3 } else { x[i]^2 } } }",
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N step 2 { x[i]^4 } }",
    ];
    for text in energies {
        let kernel = kernel(text);
        for n in [0, 1, 2, 3, 7] {
            let x: Vec<f64> = (0..n).map(|i| 0.8 + 0.1 * f64::from(i)).collect();
            let mut inputs = Inputs::new();
            inputs.set("x", &x);
            let mut reference: Option<Results> = None;
            for options in ways(Derivative::Hessian) {
                let (problem, at) = evaluate(&kernel, &inputs, &options);
                let found = (at.results.clone(), at.gradient.clone(), dense(&problem, &at));
                let Some(wanted) = &reference else {
                    reference = Some(found);
                    continue;
                };
                let flat = |all: &Results| [all.0.clone(), all.1.clone(), all.2.concat()].concat();
                for (a, b) in flat(&found).iter().zip(flat(wanted)) {
                    assert!(
                        (a - b).abs() <= 1e-13 * (1.0 + b.abs()),
                        "{text} n = {n} {options:?}: {a} against {b}"
                    );
                }
            }
        }
    }
}

#[test]
fn jacobians_of_scalars_and_arrays_agree_with_the_definition() {
    let residuals = [
        "kernel k<N>(x: var f64[N]) -> f64[N] { map i in 0..N { x[i] * x[(i + N - 1) % N] } }",
        "kernel k<N>(x: var f64[N]) -> (a: f64, b: f64[N]) { let a = sum v in x { v^2 }; let b = map i in 0..N { exp(x[i]) }; (a, b) }",
        "kernel k<N>(x: var f64[N]) -> f64 { sum v in x { v^3 } }",
    ];
    for text in residuals {
        let kernel = kernel(text);
        for n in [1, 2, 5] {
            let x: Vec<f64> = (0..n).map(|i| 0.8 + 0.1 * f64::from(i)).collect();
            let mut inputs = Inputs::new();
            inputs.set("x", &x);
            let mut reference: Option<Vec<Vec<f64>>> = None;
            for options in ways(Derivative::Jacobian) {
                let (problem, at) = evaluate(&kernel, &inputs, &options);
                assert_eq!((problem.rows(), problem.columns()), (at.results.len(), n as usize));
                let found = dense(&problem, &at);
                let wanted = reference.get_or_insert_with(|| found.clone());
                for (a, b) in found.concat().iter().zip(wanted.concat()) {
                    assert!(
                        (a - b).abs() <= 1e-13 * (1.0 + b.abs()),
                        "{text} n = {n} {options:?}: {a} against {b}"
                    );
                }
            }
        }
    }
}

#[test]
fn data_change_without_preparing_again() {
    let kernel = kernel(SPRINGS);
    let mut inputs = Inputs::new();
    inputs.set("x", &[[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]]).set("edges", &[[0_i64, 1], [1, 2]]);
    let mut problem = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Hessian)).unwrap();
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    assert_eq!(at.results, [2.5]);
    problem.set("rest", &2.0).unwrap();
    problem.evaluate(&mut at).unwrap();
    assert_eq!(at.results, [0.5]);
    problem.set_values("x", &[0.0, 0.0, 2.0, 0.0, 2.0, 2.0]).unwrap();
    problem.evaluate(&mut at).unwrap();
    assert_eq!(at.results, [0.0]);
    // Structural data: other edges, another number of them, the values set so far stay.
    let pattern = problem.pattern().clone();
    assert!(matches!(problem.set("edges", &[[0_i64, 2]]), Err(Error::Data(_))));
    problem.rebind(Inputs::new().set("edges", &[[0_i32, 2]])).unwrap();
    assert_ne!(problem.pattern().nnz(), pattern.nnz());
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    assert!((at.results[0] - 0.5 * (8.0_f64.sqrt() - 2.0).powi(2)).abs() < 1e-15);
    // A refused rebinding changes nothing.
    assert!(problem.rebind(Inputs::new().set("edges", &[[0_i64, 3]])).is_err());
    let before = at.clone();
    problem.evaluate(&mut at).unwrap();
    assert_eq!(at, before);
    // The same pattern is shared.
    let old = problem.pattern().clone();
    problem.rebind(Inputs::new().set("edges", &[[2_i64, 0]])).unwrap();
    assert!(std::sync::Arc::ptr_eq(&old, problem.pattern()));
    // Wrong shapes and slices.
    assert!(problem.set("x", &[[0.0, 0.0]]).is_err());
    assert!(problem.set("y", &1.0).is_err());
    assert!(problem.set_values("x", &[1.0]).is_err());
    assert!(problem.evaluate(&mut Evaluation::default()).is_err());
}

#[test]
fn bits_do_not_depend_on_threads() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cloth.ir")).unwrap();
    let kernel = kernel(&text);
    let mut inputs = Inputs::new();
    let cloth = spadina_io::generate::kind::Kind::Cloth;
    for named in spadina_io::generate::kind::generate(cloth, 20).unwrap() {
        if kernel.func().buffer_named(&named.name).is_some() {
            inputs.set(named.name, &named.array);
        }
    }
    for derivative in [Derivative::Value, Derivative::Gradient, Derivative::Hessian] {
        let with = |threads| Options { threads, ..Options::new(derivative) };
        let (_, one) = evaluate(&kernel, &inputs, &with(1));
        for threads in [2, 3, 5] {
            let (_, several) = evaluate(&kernel, &inputs, &with(threads));
            let bits = |at: &Evaluation| {
                let all = at.results.iter().chain(&at.gradient).chain(&at.matrix);
                all.map(|x| x.to_bits()).collect::<Vec<u64>>()
            };
            assert!(bits(&one) == bits(&several), "{derivative:?} with {threads} threads");
        }
    }
}

#[test]
fn kernels_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let kernel = kernel(SPRINGS);
    shared(&kernel);
    std::thread::scope(|scope| {
        for n in 1..4_i64 {
            let kernel = kernel.clone();
            scope.spawn(move || {
                let mut inputs = Inputs::new();
                let x: Vec<[f64; 2]> = (0..=n).map(|i| [2.0 * i as f64, 0.0]).collect();
                let edges: Vec<[i64; 2]> = (0..n).map(|i| [i, i + 1]).collect();
                inputs.set("x", &x).set("edges", &edges);
                let (_, at) = evaluate(&kernel, &inputs, &Options::new(Derivative::Hessian));
                assert_eq!(at.results, [0.5 * n as f64]);
            });
        }
    });
}

#[test]
fn subscripts_are_checked_with_their_place() {
    // A plain integer array may index too: what its type does not promise, prepare checks.
    let kernel =
        kernel("kernel k<N, M>(x: var f64[N], at: int[M]) -> f64 {\n    sum e in 0..M { x[at[e]]^2 }\n}");
    for options in ways(Derivative::Hessian) {
        let mut inputs = Inputs::new();
        inputs.set("x", &[1.0, 2.0]).set("at", &[1_i64, 0]);
        assert_eq!(evaluate(&kernel, &inputs, &options).1.results, [5.0]);
        for wrong in [2_i64, -1] {
            inputs.set("at", &[0, wrong]);
            let error = Problem::prepare(&kernel, &inputs, &options).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.exit_code(), 4, "{text}");
            assert!(text.contains(&wrong.to_string()) && text.contains("`x`"), "{text}");
        }
    }
}

#[test]
fn dense_matrices_are_announced() {
    // A recurrence couples everything; its Hessian is not found by structure.
    let text = "kernel k<N>(x: var f64[N]) -> f64 {
        let p = scan i in 0..N with s = 0.0 { s + sin(x[i]) };
        sum v in p { v^2 }
    }";
    let kernel = kernel(text);
    let mut inputs = Inputs::new();
    inputs.set("x", &[0.1, 0.2, 0.3]);
    let (problem, _) = evaluate(&kernel, &inputs, &Options::new(Derivative::Hessian));
    if problem.strategy() == Some(Strategy::Dense) {
        let warning = problem.warnings().unwrap().to_string();
        assert!(warning.contains("3 x 3") && warning.contains("dense-matrix"), "{warning}");
        let structural = Options { strategy: Strategy::Structural, ..Options::new(Derivative::Hessian) };
        let refused = Problem::prepare(&kernel, &inputs, &structural).unwrap_err();
        assert_eq!(refused.exit_code(), 1);
    }
}

/// Loops of different lengths between single accumulations: each evaluates its own iterations, on any number of threads.
#[test]
fn phases_keep_their_own_iterations() {
    let kernel = kernel(
        "kernel k<A, B, C>(a: var f64[A], b: var f64[B], c: var f64[C], at: index<A>[B], w: f64[C], first: index<A>) -> f64 {
            let one = sum i in 0..B { a[at[i]] * b[i] };
            let two = sum i in 0..B { w[i % C] * b[i] };
            let three = sum i in 0..C { w[i] * c[i] };
            3.0 * a[first] + two + three + one + 2.0 * a[first + 1] + sum i in 0..C { c[i]^2 }
        }",
    );
    for (a, b, c) in [(5, 3, 40), (9, 40, 9), (40, 3, 41)] {
        let mut inputs = Inputs::new();
        let wave = |n: usize| (0..n).map(|i| (i as f64).sin()).collect::<Vec<f64>>();
        let at: Vec<i64> = (0..b).map(|i| (i * 7 % a) as i64).collect();
        inputs.set("a", &wave(a)).set("b", &wave(b)).set("c", &wave(c)).set("w", &wave(c));
        inputs.set("at", &at).set("first", &2_i64);
        let mut wanted: Option<(Evaluation, Vec<Vec<f64>>)> = None;
        for options in ways(Derivative::Hessian) {
            let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
            let mut found = problem.evaluation();
            problem.evaluate(&mut found).unwrap();
            let matrix = dense(&problem, &found);
            let (first, same) = wanted.get_or_insert_with(|| (found.clone(), matrix.clone()));
            assert!((found.results[0] - first.results[0]).abs() < 1e-12, "{options:?}");
            for (x, y) in found.gradient.iter().zip(&first.gradient) {
                assert!((x - y).abs() < 1e-13, "{options:?}");
            }
            assert_eq!(&matrix, same, "{options:?}");
        }
    }
}

#[test]
fn a_full_matrix_beyond_memory_is_refused() {
    let kernel = kernel("kernel k<N>(x: var f64[N]) -> f64 { let s = sum i in 0..N { x[i] }; s^3 }");
    let mut inputs = Inputs::new();
    inputs.set("x", &vec![0.5; 40_000]);
    let refused = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Hessian));
    let error = refused.map(|_| ()).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    for part in ["40000 x 40000", "positions (2147483648 are allowed)", "`hvp`", "--strategy"] {
        assert!(error.to_string().contains(part), "{part} in {error}");
    }
}

#[test]
fn without_a_matrix_it_is_empty() {
    let kernel = kernel("kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { x[i]^3 } }");
    let mut inputs = Inputs::new();
    inputs.set("x", &vec![0.5; 3]);
    for derivative in [Derivative::Value, Derivative::Gradient] {
        let problem = Problem::prepare(&kernel, &inputs, &Options::new(derivative)).unwrap();
        assert_eq!(problem.matrix(&problem.evaluation().matrix).nnz(), 0);
    }
}

#[test]
fn full_matrices_behind_a_recurrence_are_dense_without_a_coloring() {
    let text = "kernel k<N>(x: var f64[N]) -> f64 {
        log(fold k in 0..N with s = 1.0 { s * (1.0 + 0.001 * x[k]^2) })
    }";
    let kernel = kernel(text);
    for n in [0, 1, 2, 30] {
        let mut inputs = Inputs::new();
        inputs.set("x", &(0..n).map(|i| 0.1 + 0.01 * f64::from(i)).collect::<Vec<f64>>());
        let at = |strategy| {
            let options = Options { strategy, ..Options::new(Derivative::Hessian) };
            let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
            let mut at = problem.evaluation();
            problem.evaluate(&mut at).unwrap();
            (problem.strategy(), dense(&problem, &at))
        };
        let (chosen, auto) = at(Strategy::Auto);
        assert_eq!((chosen == Some(Strategy::Dense), auto), (n > 0, at(Strategy::Dense).1), "{n} unknowns");
    }
}
