//! Holds a kernel against the dense derivative entry by entry: compiled and interpreted, on one thread and on three, and against
//! differences. Other test files include this one.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "every test file uses its own part"
)]

use spadina::compiler::Module;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Assembly, Derivative, Engine, Fixed, FixedRule, Options, Strategy, Triangle};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};
use spadina_ir::types::Ty;
use spadina_runtime::csr::Pattern;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The same partials summed in another order, relative to the largest number.
pub const REORDERED: f64 = 1e-11;
/// As [`REORDERED`] where numbers are single.
const SINGLE: f64 = 1e-5;
/// An exact product with the matrix against a central difference.
const DIFFERENCE: f64 = 1e-6;
/// The step of a difference.
const STEP: f64 = 1e-5;

/// The places of a matrix.
pub type Places = BTreeSet<(usize, usize)>;

/// What one way of computing gives.
pub struct Found {
    pub at: Evaluation,
    pub pattern: Arc<Pattern>,
}

impl Found {
    /// The entry at a place, zero where none is stored.
    pub fn entry(&self, row: usize, col: usize) -> f64 {
        self.pattern.find(row, col as u32).map_or(0.0, |at| self.at.matrix[at])
    }

    pub fn places(&self) -> Places {
        let rows = 0..self.pattern.rows();
        rows.flat_map(|r| self.pattern.row(r).iter().map(move |&c| (r, c as usize))).collect()
    }

    pub fn nnz(&self) -> usize {
        self.pattern.nnz()
    }
}

/// How something is computed.
pub type How = (Engine, Strategy, usize);

/// The kernel of a file beside this one.
pub fn kernel(file: &str, name: Option<&str>) -> Kernel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
    let module = Module::open(&path).unwrap_or_else(|error| panic!("{error}"));
    module.kernel(name).unwrap()
}

pub fn text(text: &str) -> Kernel {
    let module = Module::from_text("test.ir", text).unwrap_or_else(|error| panic!("{error}"));
    module.kernel(None).unwrap()
}

pub fn options(kernel: &Kernel, (engine, strategy, threads): How) -> Options {
    Options { engine, strategy, threads, ..Options::new(kernel.default_derivative()) }
}

pub fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> Result<Found, Error> {
    let mut problem = Problem::prepare(kernel, inputs, options)?;
    let mut at = problem.evaluation();
    // Twice: nothing is left of an evaluation in the next.
    problem.evaluate(&mut at)?;
    problem.evaluate(&mut at)?;
    Ok(Found { at, pattern: Arc::clone(problem.pattern()) })
}

/// The code of a refused derivative.
pub fn refusal(error: &Error) -> &'static str {
    match error {
        Error::Source(report) => report.diagnostics[0].code,
        other => panic!("not refused, but: {other}"),
    }
}

pub fn same_bits(what: &str, wanted: &[f64], found: &[f64]) {
    assert_eq!(wanted.len(), found.len(), "{what}: length");
    for (n, (a, b)) in wanted.iter().zip(found).enumerate() {
        assert!(
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            "{what} [{n}]: {b:?} instead of {a:?}"
        );
    }
}

/// Same bits everywhere but in scalar results, which the interpreter sums in another order.
pub fn same_evaluation(what: &str, wanted: &Evaluation, found: &Evaluation) {
    near(&format!("{what}, results"), &wanted.results, &found.results, REORDERED);
    same_bits(&format!("{what}, gradient"), &wanted.gradient, &found.gradient);
    same_bits(&format!("{what}, matrix"), &wanted.matrix, &found.matrix);
}

pub fn scale(values: &[f64]) -> f64 {
    values.iter().filter(|x| x.is_finite()).fold(0.0_f64, |s, x| s.max(x.abs()))
}

/// Every number within the tolerance times the largest; what is not finite alike.
pub fn near(what: &str, wanted: &[f64], found: &[f64], tolerance: f64) {
    assert_eq!(wanted.len(), found.len(), "{what}: length");
    let limit = tolerance * scale(wanted).max(f64::MIN_POSITIVE);
    for (n, (a, b)) in wanted.iter().zip(found).enumerate() {
        let agree = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= limit;
        assert!(agree, "{what} [{n}]: {b:?} instead of {a:?}");
    }
}

/// Every entry of a dense matrix: stored and equal, or not stored and zero.
pub fn same_matrix(what: &str, dense: &Found, found: &Found, tolerance: f64) {
    let (rows, cols) = (dense.pattern.rows(), dense.pattern.cols());
    assert_eq!((rows, cols), (found.pattern.rows(), found.pattern.cols()), "{what}: shape");
    assert_eq!(dense.nnz(), rows * cols, "{what}: the oracle is dense");
    // Terms that cancel were of order one.
    let limit = tolerance * scale(&dense.at.matrix).max(1.0);
    for row in 0..rows {
        for col in 0..cols {
            let (a, b) = (dense.at.matrix[row * cols + col], found.entry(row, col));
            let agree = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= limit;
            assert!(agree, "{what}, entry ({row}, {col}): {b:?} instead of {a:?}");
        }
    }
}

fn single(kernel: &Kernel) -> bool {
    kernel.func().buffers.values().any(|buffer| buffer.elem == Ty::F32)
}

/// Every road against the dense derivative; what the structural road finds.
pub fn check(what: &str, kernel: &Kernel, inputs: &Inputs) -> Found {
    check_with(what, inputs, kernel, &options(kernel, (Engine::Jit, Strategy::Structural, 1)))
}

/// As [`check`], for a choice of columns.
pub fn check_with(what: &str, inputs: &Inputs, kernel: &Kernel, options: &Options) -> Found {
    let tolerance = if single(kernel) { SINGLE } else { REORDERED };
    let run = |engine, strategy, threads| {
        let options = Options { engine, strategy, threads, ..options.clone() };
        evaluate(kernel, inputs, &options)
            .unwrap_or_else(|error| panic!("{what} ({engine}, {strategy}, {threads} threads):\n{error}"))
    };
    let dense = run(Engine::Interp, Strategy::Dense, 1);
    let compiled = run(Engine::Jit, Strategy::Dense, 1);
    same_evaluation(&format!("{what}: dense, compiled against interpreted"), &dense.at, &compiled.at);
    let found = run(Engine::Jit, Strategy::Structural, 1);
    for (engine, threads) in [(Engine::Interp, 1), (Engine::Jit, 3)] {
        let other = run(engine, Strategy::Structural, threads);
        let what = format!("{what}: {engine}, {threads} threads");
        if engine == Engine::Jit {
            same_bits(&format!("{what}, results"), &found.at.results, &other.at.results);
        }
        assert_eq!(found.pattern, other.pattern, "{what}: pattern");
        same_evaluation(&what, &other.at, &found.at);
    }
    near(&format!("{what}: results"), &dense.at.results, &found.at.results, tolerance);
    near(&format!("{what}: gradient"), &dense.at.gradient, &found.at.gradient, tolerance);
    same_matrix(what, &dense, &found, tolerance);
    if options.derivative == Derivative::Hessian {
        stored_in_part(what, kernel, inputs, options, &found);
    }
    if !single(kernel) && dense.at.matrix.iter().chain(&dense.at.results).all(|x| x.is_finite()) {
        differences(what, kernel, inputs, options, &dense);
    }
    found
}

/// Lower storage, every second unknown fixed (the y of points in the plane), and both: what is kept has the values of the whole.
fn stored_in_part(what: &str, kernel: &Kernel, inputs: &Inputs, options: &Options, whole: &Found) {
    let n = whole.pattern.rows();
    let odd: Vec<usize> = (1..n).step_by(2).collect();
    for (triangle, fixed, rule) in [
        (Triangle::Lower, Vec::new(), FixedRule::Drop),
        (Triangle::Full, odd.clone(), FixedRule::Drop),
        (Triangle::Lower, odd.clone(), FixedRule::Drop),
        (Triangle::Upper, odd, FixedRule::Identity),
    ] {
        let free: Vec<usize> = (0..n).filter(|k| rule == FixedRule::Identity || !fixed.contains(k)).collect();
        let assembly = Assembly {
            triangle,
            fixed: vec![Fixed::List(fixed.clone())],
            fixed_rule: rule,
            ..Assembly::default()
        };
        for (engine, threads) in [(Engine::Jit, 1), (Engine::Jit, 3), (Engine::Interp, 1)] {
            let what =
                format!("{what}: {triangle:?}, {} fixed, {rule:?}, {engine}, {threads} threads", fixed.len());
            let options = Options {
                engine,
                threads,
                strategy: Strategy::Structural,
                assembly: assembly.clone(),
                ..options.clone()
            };
            let part = evaluate(kernel, inputs, &options).unwrap();
            let mut count = 0;
            for (row, &r) in free.iter().enumerate() {
                for (col, &c) in free.iter().enumerate() {
                    let inside = match triangle {
                        Triangle::Full => true,
                        Triangle::Lower => col <= row,
                        Triangle::Upper => col >= row,
                    };
                    let stored = part.pattern.find(row, col as u32).map(|at| part.at.matrix[at]);
                    let wanted = if fixed.contains(&r) || fixed.contains(&c) {
                        (r == c).then_some(1.0)
                    } else {
                        whole.pattern.find(r, c as u32).map(|at| whole.at.matrix[at])
                    };
                    let wanted = wanted.filter(|_| inside);
                    assert_eq!(stored.is_some(), wanted.is_some(), "{what}: entry ({row}, {col})");
                    count += usize::from(stored.is_some());
                    let (stored, wanted) = (stored.unwrap_or(0.0), wanted.unwrap_or(0.0));
                    let close = (stored - wanted).abs() <= 1e-13 * scale(&whole.at.matrix);
                    let odd = !stored.is_finite() && !wanted.is_finite();
                    assert!(
                        close || odd || single(kernel),
                        "{what}: entry ({row}, {col}) is {stored}, not {wanted}"
                    );
                }
            }
            assert_eq!(count, part.pattern.nnz(), "{what}");
        }
    }
}

/// The dense matrix times a direction against a central difference of gradient or results.
fn differences(what: &str, kernel: &Kernel, inputs: &Inputs, options: &Options, dense: &Found) {
    let first = match options.derivative {
        Derivative::Hessian => Derivative::Gradient,
        _ => Derivative::Value,
    };
    let options = Options { derivative: first, strategy: Strategy::Auto, ..options.clone() };
    let mut problem = Problem::prepare(kernel, inputs, &options).unwrap();
    let mut noise = Noise::new(17);
    let names = kernel.columns(options.wrt.as_deref()).unwrap();
    let mut direction = Vec::new();
    let parts = names.iter().map(|name| {
        let array = inputs.get(name).unwrap();
        let values = array.to_f64(name).unwrap().into_owned();
        let part: Vec<f64> = values.iter().map(|_| noise.between(-1.0, 1.0)).collect();
        direction.extend_from_slice(&part);
        (name, array.shape().to_vec(), values, part)
    });
    let parts: Vec<_> = parts.collect();
    let mut shifted = |by: f64| {
        for (name, shape, values, part) in &parts {
            let moved = values.iter().zip(part).map(|(x, d)| x + by * d).collect();
            problem.set(name, &Array::new(shape.clone(), Data::F64(moved)).unwrap()).unwrap();
        }
        let mut at = problem.evaluation();
        problem.evaluate(&mut at).unwrap();
        if first == Derivative::Gradient { at.gradient } else { at.results }
    };
    let (up, down) = (shifted(STEP), shifted(-STEP));
    let difference: Vec<f64> = up.iter().zip(&down).map(|(a, b)| (a - b) / (2.0 * STEP)).collect();
    let cols = direction.len();
    let rows = dense.at.matrix.chunks(cols.max(1));
    let product: Vec<f64> =
        rows.map(|row| row.iter().zip(&direction).map(|(a, d)| a * d).sum::<f64>()).collect();
    if cols > 0 {
        let size = scale(&product).max(scale(&dense.at.matrix)).max(1.0);
        for (row, (a, b)) in product.iter().zip(&difference).enumerate() {
            assert!(
                (a - b).abs() <= DIFFERENCE * size,
                "{what}, row {row}: {a:?}, but differences give {b:?}"
            );
        }
    }
}

/// Checks the dense road; the structural one may refuse with this code, or must be right.
pub fn refused_or_right(what: &str, kernel: &Kernel, inputs: &Inputs, code: &str) -> Found {
    let how = options(kernel, (Engine::Jit, Strategy::Structural, 1));
    match evaluate(kernel, inputs, &how) {
        Ok(_) => {
            check(what, kernel, inputs);
        }
        Err(error) => assert_eq!(refusal(&error), code, "{what}:\n{error}"),
    }
    let run = |engine| evaluate(kernel, inputs, &options(kernel, (engine, Strategy::Dense, 1))).unwrap();
    let (dense, compiled) = (run(Engine::Interp), run(Engine::Jit));
    same_evaluation(&format!("{what}: dense, compiled against interpreted"), &dense.at, &compiled.at);
    differences(what, kernel, inputs, &how, &dense);
    dense
}

/// The full blocks of elements, each a list of unknowns.
pub fn blocks(elements: impl IntoIterator<Item = Vec<usize>>) -> Places {
    let mut places = Places::new();
    for unknowns in elements {
        places.extend(unknowns.iter().flat_map(|&r| unknowns.iter().map(move |&c| (r, c))));
    }
    places
}

/// The components of these points.
pub fn components(points: impl IntoIterator<Item = usize>, width: usize) -> Vec<usize> {
    points.into_iter().flat_map(|p| width * p..width * (p + 1)).collect()
}

/// Numbers that look random and are the same in every run.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 29)
    }

    /// In `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn list(&mut self, len: usize, low: f64, high: f64) -> Vec<f64> {
        (0..len).map(|_| self.between(low, high)).collect()
    }

    pub fn points<const W: usize>(&mut self, len: usize, low: f64, high: f64) -> Vec<[f64; W]> {
        (0..len).map(|_| std::array::from_fn(|_| self.between(low, high))).collect()
    }

    /// A table of entries in `0..n`.
    pub fn table<const W: usize>(&mut self, len: usize, n: usize) -> Vec<[i64; W]> {
        (0..len).map(|_| std::array::from_fn(|_| self.below(n) as i64)).collect()
    }
}

#[test]
fn a_lost_entry_is_noticed() {
    let made = |row_ptr: &[u32], col_idx: &[u32], matrix: &[f64]| Found {
        at: Evaluation { matrix: matrix.to_vec(), ..Evaluation::default() },
        pattern: Arc::new(Pattern::new(2, 2, row_ptr.to_vec(), col_idx.to_vec()).unwrap()),
    };
    let dense = made(&[0, 2, 4], &[0, 1, 0, 1], &[2.0, 3.0, 0.0, 1.0]);
    same_matrix("right", &dense, &made(&[0, 2, 3], &[0, 1, 1], &[2.0, 3.0, 1.0]), 0.0);
    let lost = made(&[0, 1, 2], &[0, 1], &[2.0, 1.0]);
    let noticed =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| same_matrix("lost", &dense, &lost, 0.0)));
    let message =
        noticed.expect_err("the lost entry passes").downcast::<String>().expect("a formatted message");
    assert!(message.contains("entry (0, 1): 0.0 instead of 3.0"), "{message}");
}
