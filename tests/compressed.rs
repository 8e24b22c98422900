//! The compressed road: agreement with the definition for what structure refuses, choice, rebinding, products, detection.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use spadina::compiler::Module;
use spadina::detect::detect;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Decompression, Derivative, Engine, Mode, Options, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina::product::{Kind, Products};

/// Smoothed in place twelve times, step by step through an array that is read again.
const STAGES: &str = "kernel k<N>(x: var f64[N], w: f64 = 0.25) -> f64[N] {
    let a = map i in 0..N { x[i]^2 };
    let b = map i in 0..N { a[i] + w * (a[(i + 1) % N] - a[i]) };
    let c = map i in 0..N { sin(b[i]) * b[(i + 2) % N] };
    map i in 0..N { c[i] + fold _k in 0..50 with s = c[(i + 1) % N] { s - 0.1 * s^3 } }
}";

const NORMALS: &str = "kernel k<V, E>(x: var vec2[V], edges: index<V>[E, 2]) -> f64 {
    let mut d = zeros[V, 2];
    for [a, b] in edges {
        d[a] += x[b] - x[a];
        d[b] += x[a] - x[b];
    }
    sum [a, b] in edges { 0.5 * sqnorm(d[a] - d[b]) * cos(d[a, 0]) }
}";

fn kernel(text: &str) -> Kernel {
    Module::from_text("test.ir", text).unwrap().kernel(None).unwrap()
}

fn points(n: usize) -> Vec<f64> {
    (0..n).map(|i| 0.7 + 0.05 * (i as f64 * 1.7).sin()).collect()
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    (problem, at)
}

/// The matrix with all zeros, row by row.
fn dense(problem: &Problem, at: &Evaluation) -> Vec<f64> {
    let matrix = problem.matrix(&at.matrix);
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let all = (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c)));
    all.map(|(r, c)| matrix.get(r, c).copied().unwrap_or(0.0)).collect()
}

fn close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
    for (n, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 1e-12 * scale, "{what}: {n}: {a} against {b}");
    }
}

/// Compressed against dense, compiled, on threads and interpreted; at a second point without preparing again.
fn agrees(text: &str, derivative: Derivative, inputs: &Inputs, unknowns: &str, wrt: Option<&[&str]>) {
    let kernel = kernel(text);
    let wrt: Option<Vec<String>> = wrt.map(|list| list.iter().map(|&name| name.to_owned()).collect());
    for (engine, threads) in [(Engine::Jit, 1), (Engine::Jit, 3), (Engine::Interp, 1)] {
        let with =
            |strategy| Options { engine, threads, strategy, wrt: wrt.clone(), ..Options::new(derivative) };
        let (mut one, mut at) = evaluate(&kernel, inputs, &with(Strategy::Compressed));
        assert_eq!(one.strategy(), Some(Strategy::Compressed));
        assert!(one.warnings().is_none(), "what was asked for needs no word");
        let (mut two, mut wanted) = evaluate(&kernel, inputs, &with(Strategy::Dense));
        for scale in [1.0, 1.3] {
            let values: Vec<f64> = match inputs.get(unknowns).unwrap().data() {
                spadina_io::array::Data::F64(x) => x.iter().map(|x| x * scale).collect(),
                _ => unreachable!(),
            };
            for (problem, at) in [(&mut one, &mut at), (&mut two, &mut wanted)] {
                problem.set_values(unknowns, &values).unwrap();
                problem.evaluate(at).unwrap();
            }
            let what = format!("{text} {engine} {threads} {scale}");
            close(&at.results, &wanted.results, &what);
            close(&at.gradient, &wanted.gradient, &what);
            close(&dense(&one, &at), &dense(&two, &wanted), &what);
        }
    }
}

#[test]
fn stages_and_recurrences_agree_with_the_definition() {
    for n in [1, 2, 5, 23] {
        let mut inputs = Inputs::new();
        inputs.set("x", &points(n));
        agrees(STAGES, Derivative::Jacobian, &inputs, "x", None);
        agrees(STAGES, Derivative::Jacobian, &inputs, "x", Some(&["x", "w"]));
        agrees(STAGES, Derivative::Jacobian, &inputs, "x", Some(&["w"]));
    }
}

#[test]
fn energies_with_accumulated_arrays_agree_with_the_definition() {
    let x: Vec<[f64; 2]> = (0..12).map(|i| [f64::from(i).sin(), 0.3 * f64::from(i).cos()]).collect();
    let edges: Vec<[i64; 2]> = (0..11).map(|i| [i, i + 1]).chain([[0, 7]]).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &x).set("edges", &edges);
    agrees(NORMALS, Derivative::Hessian, &inputs, "x", None);
}

#[test]
fn scalars_constants_and_single_precision_have_their_places() {
    let text = "kernel k<N>(x: var f64[N], s: var f64, c: f64[N]) -> (a: f64, b: f64[N], d: f64[N], e: f64[N]) {
        (sum i in 0..N { x[i] * s }, map i in 0..N { c[i] }, map i in 0..N { x[i]^3 }, map i in 0..N { s * c[i] })
    }";
    let mut inputs = Inputs::new();
    inputs.set("x", &points(6)).set("s", &0.5).set("c", &points(6));
    agrees(text, Derivative::Jacobian, &inputs, "x", None);
    agrees(text, Derivative::Jacobian, &inputs, "x", Some(&["x", "s", "c"]));
    let energy = "kernel k<N>(x: var f64[N], s: var f64, unused: var f64[N]) -> f64 {
        sum i in 0..N { x[i]^2 * s + unused[i] }
    }";
    let mut inputs = Inputs::new();
    inputs.set("x", &points(6)).set("s", &0.5).set("unused", &points(6));
    agrees(energy, Derivative::Hessian, &inputs, "x", None);
    let single = kernel("kernel k<N>(x: var f32[N]) -> f32[N] { map i in 0..N { x[i] * x[(i + 1) % N] } }");
    let mut inputs = Inputs::new();
    inputs.set("x", &[1.0_f32, 2.0, 4.0, 8.0]);
    for engine in [Engine::Jit, Engine::Interp] {
        let options =
            Options { engine, strategy: Strategy::Compressed, ..Options::new(Derivative::Jacobian) };
        let (problem, at) = evaluate(&single, &inputs, &options);
        let wanted = [2.0, 1.0, 0.0, 0.0, 0.0, 4.0, 2.0, 0.0, 0.0, 0.0, 8.0, 4.0, 8.0, 0.0, 0.0, 1.0];
        close(&dense(&problem, &at), &wanted, "single");
    }
}

/// Every mode and decompression of a derivative against the definition, compiled, on threads and interpreted.
fn modes_agree(text: &str, options: &Options, inputs: &Inputs, modes: &[(Mode, &[Decompression])]) {
    let kernel = kernel(text);
    let (two, wanted) = evaluate(&kernel, inputs, &Options { strategy: Strategy::Dense, ..options.clone() });
    for &(mode, decompressions) in modes {
        for &decompression in decompressions {
            for (engine, threads) in [(Engine::Jit, 1), (Engine::Jit, 3), (Engine::Interp, 1)] {
                let strategy = Strategy::Compressed;
                let options = Options { mode, decompression, engine, threads, strategy, ..options.clone() };
                let (one, at) = evaluate(&kernel, inputs, &options);
                let what = format!("{text} {mode} {decompression} {engine} {threads}");
                assert_eq!(one.strategy(), Some(Strategy::Compressed), "{what}");
                assert!(one.warnings().is_none(), "{what}: what was asked for needs no word");
                let (_, found) = one.way().unwrap();
                assert!(decompression == Decompression::Auto || found == decompression, "{what}: {found}");
                close(&at.results, &wanted.results, &what);
                close(&at.gradient, &wanted.gradient, &what);
                close(&dense(&one, &at), &dense(&two, &wanted), &what);
            }
        }
    }
}

const ALL: &[Decompression] = &[Decompression::Auto, Decompression::Direct, Decompression::Substitution];
const PLAIN: &[Decompression] = &[Decompression::Auto, Decompression::Direct];
const RECURRENCE: &str =
    "kernel k<N>(x: var f64[N], s: var f64) -> f64 { fold i in 0..N with t = s { sin(t) * x[i] } }";
const HESSIANS: [Mode; 3] = [Mode::ForwardOverReverse, Mode::ReverseOverForward, Mode::ReverseOverReverse];

#[test]
fn every_mode_of_a_jacobian_agrees_with_the_definition() {
    let modes = [(Mode::Forward, PLAIN), (Mode::Reverse, PLAIN), (Mode::Mixed, ALL), (Mode::Auto, ALL)];
    let arrow = "kernel arrow<N>(x: var f64[N], s: var f64) -> (total: f64, each: f64[N]) {
        (sum i in 0..N { x[i]^2 * s }, map i in 0..N { x[i] * x[0] })
    }";
    for n in [1, 2, 5, 23] {
        let mut inputs = Inputs::new();
        inputs.set("x", &points(n)).set("s", &0.7);
        modes_agree(arrow, &Options::new(Derivative::Jacobian), &inputs, &modes);
        modes_agree(arrow, &Options::new(Derivative::Jacobian).wrt(["x"]), &inputs, &modes);
        modes_agree(arrow, &Options::new(Derivative::GaussNewton), &inputs, &modes);
        let mut inputs = Inputs::new();
        inputs.set("x", &points(n));
        modes_agree(STAGES, &Options::new(Derivative::Jacobian), &inputs, &modes);
    }
}

#[test]
fn every_mode_of_a_hessian_agrees_with_the_definition() {
    let modes = HESSIANS.map(|mode| (mode, ALL));
    let x: Vec<[f64; 2]> = (0..12).map(|i| [f64::from(i).sin(), 0.3 * f64::from(i).cos()]).collect();
    let edges: Vec<[i64; 2]> = (0..11).map(|i| [i, i + 1]).chain([[0, 7]]).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &x).set("edges", &edges);
    modes_agree(NORMALS, &Options::new(Derivative::Hessian), &inputs, &modes);
    // Linear, with a scalar, with an unknown that nothing depends on; at all small sizes.
    for text in [
        "kernel k<N>(x: var f64[N], s: var f64) -> f64 { sum i in 0..N { x[i] } + s }",
        "kernel k<N>(x: var f64[N], s: var f64) -> f64 { sum i in 1..N { x[i]^2 * x[i - 1] * s } }",
        "kernel k<N>(x: var f64[N], s: var f64) -> f64 { sum i in 0..N { if x[i] > 0.7 { x[i]^3 } else { x[i]^2 } } }",
        RECURRENCE,
    ] {
        // The tape of a tape is read after it was cleared: interpreted only, and refused by the compiler (`unsupported`).
        let modes = if text == RECURRENCE { &modes[..2] } else { &modes[..] };
        let plain: Vec<_> = modes.iter().map(|&(mode, _)| (mode, PLAIN)).collect();
        for n in [0, 1, 2, 7] {
            let mut inputs = Inputs::new();
            inputs.set("x", &points(n)).set("s", &0.4);
            modes_agree(text, &Options::new(Derivative::Hessian), &inputs, modes);
            // Blocks are not symmetric.
            let block = Options::new(Derivative::Hessian).rows(["s"]).wrt(["x"]);
            modes_agree(text, &block, &inputs, &plain);
            let block = Options::new(Derivative::Hessian).rows(["x"]).wrt(["s"]);
            modes_agree(text, &block, &inputs, &plain);
        }
    }
}

#[test]
fn every_mode_of_a_lagrangian_agrees_with_the_definition() {
    let text = "kernel k<N>(x: var f64[N]) -> (objective: f64, c: f64[N]) {
        (sum v in x { v^4 }, map i in 0..N { sin(x[i]) * x[(i + 1) % N]^2 })
    }";
    for n in [1, 2, 9] {
        let mut inputs = Inputs::new();
        inputs.set("x", &points(n)).set("multipliers.c", &points(n)).set("multipliers.objective", &2.5);
        let modes = HESSIANS.map(|mode| (mode, ALL));
        modes_agree(text, &Options::new(Derivative::Lagrangian), &inputs, &modes);
    }
}

#[test]
fn modes_that_do_not_fit_are_refused() {
    let (jacobian, hessian) = (kernel(STAGES), kernel(NORMALS));
    let mut inputs = Inputs::new();
    inputs.set("x", &points(4));
    let refused = |kernel: &Kernel, options: &Options| {
        let refused = Problem::prepare(kernel, &inputs, options);
        assert!(matches!(refused, Err(Error::Usage(_))), "{options:?}");
    };
    let [of_jacobian, of_hessian] = [Derivative::Jacobian, Derivative::Hessian].map(Options::new);
    refused(&jacobian, &Options { mode: Mode::ReverseOverForward, ..of_jacobian.clone() });
    refused(&hessian, &Options { mode: Mode::Mixed, ..of_hessian });
    refused(&jacobian, &Options { mode: Mode::Forward, strategy: Strategy::Dense, ..of_jacobian.clone() });
    refused(&jacobian, &Options { mode: Mode::Forward, ..Options::new(Derivative::Value) });
    let decompression = Decompression::Substitution;
    refused(&jacobian, &Options { decompression, strategy: Strategy::Structural, ..of_jacobian.clone() });
    refused(&jacobian, &Options { decompression, mode: Mode::Reverse, ..of_jacobian });
}

/// Products are chosen where they are cheaper by far, and the numbers are shown; else structure is.
#[test]
fn automatic_choice_goes_by_work() {
    // Each element is read by all: the product of two full matrices, or as many products as there are unknowns.
    let text = "kernel k<N>(x: var f64[N], t: index<N>[N, 3]) -> f64[N] {
        let mut a = zeros[N];
        for i in 0..N { for j in 0..3 { a[t[i, j]] += sin(x[i]) * x[t[i, j]]; } }
        let mut b = zeros[N];
        for i in 0..N { for j in 0..3 { b[t[i, j]] += a[i] * a[t[i, j]]; } }
        let mut c = zeros[N];
        for i in 0..N { for j in 0..3 { c[t[i, j]] += cos(b[i]) * b[t[i, j]]; } }
        map i in 0..N { c[i] }
    }";
    let kernel = kernel(text);
    for n in [1, 2, 30, 300] {
        let mut inputs = Inputs::new();
        let table: Vec<[i64; 3]> = (0..n).map(|i| [i, (i + 1) % n, (i + n - 1) % n]).collect();
        inputs.set("x", &points(n as usize)).set("t", &table);
        let of = |strategy| Options { strategy, ..Options::new(Derivative::Jacobian) };
        let (auto, at) = evaluate(&kernel, &inputs, &of(Strategy::Auto));
        let (other, wanted) = evaluate(&kernel, &inputs, &of(Strategy::Dense));
        close(&dense(&auto, &at), &dense(&other, &wanted), "auto");
        if let Some(work) = auto.work() {
            let products = work.compressed + work.compressed / 4 < work.structural;
            let wanted = if products { Strategy::Compressed } else { Strategy::Structural };
            assert_eq!(auto.strategy(), Some(wanted), "{work:?}");
        }
        let interpreted = Options { engine: Engine::Interp, ..of(Strategy::Auto) };
        let (interpreted, _) = evaluate(&kernel, &inputs, &interpreted);
        assert_eq!((auto.strategy(), auto.work()), (interpreted.strategy(), interpreted.work()), "{n}");
    }
}

#[test]
fn automatic_choice_says_what_and_why() {
    let mut inputs = Inputs::new();
    inputs.set("x", &points(40));
    let kernel = kernel(STAGES.replace("0..50", "0..n").replace("w: f64", "n: int, w: f64").as_str());
    inputs.set("n", &40_i64);
    let options = Options::new(Derivative::Jacobian);
    let (problem, at) = evaluate(&kernel, &inputs, &options);
    assert_eq!(problem.strategy(), Some(Strategy::Compressed));
    let (forward, reverse) = problem.products().unwrap();
    assert!(forward + reverse <= 8, "{forward} + {reverse}");
    assert_eq!(at.matrix.len(), problem.pattern().nnz());
    let said = problem.warnings().unwrap().to_string();
    assert!(said.contains("compressed-matrix") && said.contains("40 x 40"), "{said}");
    assert!(!said.contains("warning["), "{said}");
    // A row of the result depends on few unknowns, a full matrix on all: then products save nothing.
    let full = "kernel k<N>(x: var f64[N]) -> f64 {
        let s = sum v in x { v };
        fold _k in 0..40 with t = s { t + sin(t) }
    }";
    let full = self::kernel(full);
    let mut inputs = Inputs::new();
    inputs.set("x", &points(40));
    let (problem, _) = evaluate(&full, &inputs, &Options::new(Derivative::Hessian));
    if problem.strategy() != Some(Strategy::Structural) {
        assert_eq!(problem.strategy(), Some(Strategy::Dense));
        assert!(problem.warnings().unwrap().to_string().contains("dense-matrix"));
    }
}

#[test]
fn a_pattern_that_stays_is_shared_when_bound_anew() {
    let kernel = kernel(NORMALS);
    let mut inputs = Inputs::new();
    inputs.set("x", &[[0.0, 0.1], [1.0, 0.2], [2.0, 0.0]]).set("edges", &[[0_i64, 1], [1, 2]]);
    let options = Options { strategy: Strategy::Compressed, ..Options::new(Derivative::Hessian) };
    let (mut problem, _) = evaluate(&kernel, &inputs, &options);
    let old = problem.pattern().clone();
    problem.rebind(Inputs::new().set("edges", &[[2_i64, 1], [1, 0]])).unwrap();
    assert!(std::sync::Arc::ptr_eq(&old, problem.pattern()));
    problem.rebind(Inputs::new().set("edges", &[[0_i64, 1]])).unwrap();
    assert_ne!(old.nnz(), problem.pattern().nnz());
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    assert!(problem.rebind(Inputs::new().set("edges", &[[0_i64, 3]])).is_err());
}

#[test]
fn products_agree_with_the_matrix() {
    let kernel = kernel(STAGES);
    let mut inputs = Inputs::new();
    inputs.set("x", &points(9));
    let options = Options { strategy: Strategy::Dense, ..Options::new(Derivative::Jacobian) };
    let (problem, at) = evaluate(&kernel, &inputs, &options);
    let direction: Vec<f64> = (0..9).map(|i| f64::from(i) - 3.5).collect();
    for (kind, transposed) in [(Kind::Jvp, false), (Kind::Vjp, true)] {
        let mut products = Products::new(&problem, kind).unwrap();
        let mut product = vec![f64::NAN; 9];
        products.apply(&direction, &mut product).unwrap();
        let entry = |r: usize, c: usize| at.matrix[if transposed { c * 9 + r } else { r * 9 + c }];
        let wanted: Vec<f64> = (0..9).map(|r| (0..9).map(|c| entry(r, c) * direction[c]).sum()).collect();
        close(&product, &wanted, "product");
        assert!(matches!(products.apply(&direction[1..], &mut product), Err(Error::Data(_))));
    }
    // An HVP needs an energy.
    assert!(matches!(Products::new(&problem, Kind::Hvp), Err(Error::Source(_))));
}

#[test]
fn local_patterns_are_sparser() {
    let kernel = kernel(
        "kernel k<N>(x: var f64[N]) -> f64[N] { map i in 0..N { if x[i] > 0.0 { x[i] } else { x[(i + 1) % N] } } }",
    );
    let mut inputs = Inputs::new();
    inputs.set("x", &[1.0, -1.0, 2.0]);
    let pattern = |local| detect(&kernel, &inputs, Derivative::Jacobian, None, local).unwrap();
    assert_eq!(pattern(false).nnz(), 6);
    assert_eq!(pattern(true).col_idx(), [0, 2, 2]);
    assert!(matches!(detect(&kernel, &inputs, Derivative::Value, None, false), Err(Error::Usage(_))));
    // Of the sum of all results.
    let curved = detect(&self::kernel(STAGES), &inputs, Derivative::Hessian, None, false).unwrap();
    assert_eq!((curved.rows(), curved.cols()), (3, 3));
}

/// The reference matrix of that name; `None`, with a word, where `../shared` is not beside the checkout.
fn reference(name: &str) -> Option<spadina_io::sparse_file::csr::Csr> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/matrices");
    let path = dir.join(name);
    if !path.is_file() {
        eprintln!("skipped: {} is missing", path.display());
        return None;
    }
    Some(spadina_io::sparse_file::by_name::read_sparse(&path).unwrap())
}

fn sines(n: u32) -> Vec<f64> {
    (1..=n).map(|i| f64::from(i).sin()).collect()
}

/// Every strategy against a reference; products of the compressed one.
fn agrees_with(name: &str, text: &str, inputs: &Inputs, strategies: &[Strategy], products: (usize, usize)) {
    let Some(wanted) = reference(name) else { return };
    let kernel = kernel(text);
    for &strategy in strategies {
        let options = Options { strategy, ..Options::new(Derivative::Jacobian) };
        let (problem, at) = evaluate(&kernel, inputs, &options);
        let pattern = problem.pattern();
        let row_ptr: Vec<usize> = pattern.row_ptr().iter().map(|&n| n as usize).collect();
        let col_idx: Vec<usize> = pattern.col_idx().iter().map(|&n| n as usize).collect();
        assert_eq!((row_ptr, col_idx), (wanted.row_ptr.clone(), wanted.col_idx.clone()), "{name} {strategy}");
        close(&at.matrix, &wanted.values, name);
        if strategy == Strategy::Compressed {
            assert_eq!(problem.products(), Some(products), "{name}");
        }
    }
}

#[test]
fn iterated_differences_take_eleven_products() {
    let text = "kernel differences<N>(x: var f64[N]) -> f64[N - 10] {
        let y = fold _k in 0..10 with s = x { map i in 0..N { s[min(i + 1, N - 1)] - s[i] } };
        map i in 0..N - 10 { y[i] }
    }";
    let mut inputs = Inputs::new();
    inputs.set("x", &sines(1000));
    let roads = [Strategy::Auto, Strategy::Compressed];
    agrees_with("b_iterdiff_n1000_k10.mtx", text, &inputs, &roads, (11, 0));
}

/// A recurrence whose steps are written as conditions: arrays stay between them, and every direction of a color is taken at once.
#[test]
fn directions_side_by_side_have_the_bits_of_one_direction() {
    let text = "kernel k<N>(x: var f64[N], s: var f64) -> f64[N] {
        let y = fold k in 0..4 with y = x {
            map i in 0..N { if i < N - 1 - k { s * y[i + 1]^2 / y[i] - sin(y[i]) } else { y[i] } }
        };
        map i in 0..N { y[i] + fold _k in 0..3 with r = y[(i + 2) % N] { r - 0.1 * r^3 } }
    }";
    let kernel = kernel(text);
    for n in [1, 2, 3, 9, 30] {
        let mut inputs = Inputs::new();
        inputs.set("x", &points(n)).set("s", &0.9);
        for (threads, wrt) in [(1, None), (3, None), (1, Some(vec!["x".to_owned()]))] {
            let options = Options {
                strategy: Strategy::Compressed,
                threads,
                wrt,
                ..Options::new(Derivative::Jacobian)
            };
            let (problem, at) = evaluate(&kernel, &inputs, &options);
            let found = dense(&problem, &at);
            let mut single = Products::new(&problem, Kind::Jvp).unwrap();
            let columns = problem.columns();
            for column in 0..columns {
                let mut direction = vec![0.0; columns];
                direction[column] = 1.0;
                let mut product = vec![0.0; n];
                single.apply(&direction, &mut product).unwrap();
                for (row, wanted) in product.into_iter().enumerate() {
                    assert_eq!(found[row * columns + column], wanted, "{n} {threads} ({row}, {column})");
                }
            }
        }
    }
}

#[test]
fn convolutions_take_25_products() {
    let text = "kernel convolution(x: var f64[28, 28], w: f64[5, 5]) -> f64[24, 24] {
        map i in 0..24, j in 0..24 { sum a in 0..5, b in 0..5 { w[a, b] * x[i + a, j + b] } }
    }";
    let x: Vec<[f64; 28]> = sines(784).chunks_exact(28).map(|row| row.try_into().unwrap()).collect();
    let weight = |a: usize, b: usize| 0.1 * ((5 * a + b + 1) as f64).cos();
    let w: Vec<[f64; 5]> = (0..5).map(|a| std::array::from_fn(|b| weight(a, b))).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &x).set("w", &w);
    let roads = [Strategy::Structural, Strategy::Compressed];
    agrees_with("d_conv28_5.mtx", text, &inputs, &roads, (25, 0));
}

#[test]
fn a_dense_row_is_found_by_a_transposed_product() {
    let text = "kernel arrow<N>(x: var f64[N]) -> (total: f64, each: f64[N]) {
        (sum i in 0..N { x[i]^2 }, map i in 0..N { x[i] * x[0] })
    }";
    let mut inputs = Inputs::new();
    inputs.set("x", &points(60));
    agrees(text, Derivative::Jacobian, &inputs, "x", None);
    let options = Options { strategy: Strategy::Compressed, ..Options::new(Derivative::Jacobian) };
    let (problem, _) = evaluate(&kernel(text), &inputs, &options);
    let (forward, reverse) = problem.products().unwrap();
    assert!(reverse >= 1 && forward + reverse <= 4, "{forward} + {reverse}");
}

/// A structural program that would take many seconds of compilation is not compiled without being asked for, and that is said.
#[test]
fn large_structural_programs_are_left_to_products() {
    let kernel = kernel(
        "kernel k<N>(x: var f64[N], next: index<N>[N]) -> f64 {
            let m = fold _k in 0..3 with s = x {
                map i in 0..N { if i > 0 && i < N - 1 { s[i] + 0.2 * (s[i - 1] - 2.0 * s[i] + s[i + 1]) * sin(s[i]) } else { s[i] } }
            };
            sum i in 0..N { (m[next[i]] - m[i])^2 }
        }",
    );
    for n in [1_usize, 2, 80] {
        let mut inputs = Inputs::new();
        let next: Vec<i64> = (0..n).map(|i| ((i + 1) % n) as i64).collect();
        inputs.set("x", &points(n)).set("next", &next);
        let (problem, found) = evaluate(&kernel, &inputs, &Options::new(Derivative::Hessian));
        let said = problem.warnings().unwrap().diagnostics;
        let codes: Vec<&str> = said.iter().map(|d| d.code).collect();
        assert_ne!(problem.strategy(), Some(Strategy::Structural));
        assert!(codes.iter().all(|code| ["compressed-matrix", "dense-matrix"].contains(code)), "{codes:?}");
        assert!(said.iter().any(|d| d.message.contains("instructions")), "N = {n}");
        if n == 80 {
            assert_eq!(problem.strategy(), Some(Strategy::Compressed));
        }
        let options = Options { strategy: Strategy::Dense, ..Options::new(Derivative::Hessian) };
        let (full, wanted) = evaluate(&kernel, &inputs, &options);
        close(&dense(&problem, &found), &dense(&full, &wanted), &format!("N = {n}"));
    }
}
