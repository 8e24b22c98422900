//! Random programs of the test kit through the library: compiled against interpreted, structural against dense, on several threads.
//!
//! `SPADINA_CASES=200000 SPADINA_SEED=0 cargo test --release --test random_kernels` runs a long one.
#![allow(clippy::unwrap_used)]

use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Decompression, Derivative, Engine, Mode, Options, Project, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};
use spadina_ir::func::Buffer;
use spadina_ir::interp::ArrayData;
use spadina_ir::project::Projection;
use spadina_runtime::csr::Pattern;
use spadina_testkit::case::Case;
use spadina_testkit::generate::{Config, generate};
use spadina_testkit::numeric::compare;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The same partials summed in another order, relative to the largest number (at least 1).
const REORDERED: f64 = 1e-9;
/// Programs of a short run.
const CASES: u64 = if cfg!(debug_assertions) { 150 } else { 600 };
/// What a derivative by structure may be refused for.
const REFUSALS: [&str; 7] = [
    "stage",
    "recurrence",
    "recurrence-length",
    "recurrence-int",
    "guarded-loop",
    "guarded-row",
    "value-index",
];

fn inputs_of(case: &Case) -> Inputs {
    let mut inputs = Inputs::new();
    for (size, &value) in &case.bindings.sizes {
        inputs.size(case.func.sizes[*size].clone(), value);
    }
    for (buffer, array) in &case.bindings.arrays {
        let data = &case.func.buffers[*buffer];
        let extent = |size| case.bindings.sizes[&size];
        let shape = data.dims.iter().map(|d| d.eval(&extent).unwrap() as usize).collect();
        let values = match array.clone() {
            ArrayData::F64(values) => Data::F64(values),
            ArrayData::F32(values) => Data::F32(values),
            ArrayData::Int(values) => Data::I64(values),
            ArrayData::Bool(values) => Data::Bool(values),
        };
        inputs.set(data.name.clone(), &Array::new(shape, values).unwrap());
    }
    inputs
}

fn evaluate(
    kernel: &Kernel,
    inputs: &Inputs,
    options: &Options,
) -> Result<(Evaluation, Arc<Pattern>), Error> {
    let mut problem = Problem::prepare(kernel, inputs, options)?;
    let mut at = problem.evaluation();
    // Twice: nothing is left of an evaluation in the next.
    problem.evaluate(&mut at)?;
    problem.evaluate(&mut at)?;
    Ok((at, Arc::clone(problem.pattern())))
}

fn same_bits(what: &str, wanted: &[f64], found: &[f64]) -> Result<(), String> {
    // A complete row is stored, others are added to zeros, which loses the sign of a zero.
    let zeros = |a: f64, b: f64| a == 0.0 && b == 0.0;
    let same =
        |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || zeros(*a, *b);
    match wanted.iter().zip(found).position(|pair| !same(pair)) {
        None if wanted.len() == found.len() => Ok(()),
        None => Err(format!("{what}: {} numbers instead of {}", found.len(), wanted.len())),
        Some(at) => Err(format!("{what} [{at}]: {:?} instead of {:?}", found[at], wanted[at])),
    }
}

fn near(what: &str, wanted: &[f64], found: &[f64]) -> Result<(), String> {
    compare(wanted, found, REORDERED).map_err(|difference| format!("{what} {difference}"))
}

/// What may differ but for the order of sums; the rest has the same bits.
#[derive(Clone, Copy, PartialEq)]
enum Sums {
    /// Nothing: both runs are compiled.
    None,
    /// Scalar results, which the interpreter adds in one order and compiled code in another.
    Results,
    /// Those, and what belongs to a scalar unknown: its adjoint is a scalar result too.
    Scalars,
}

fn same(what: &str, wanted: &Evaluation, found: &Evaluation, sums: Sums) -> Result<(), String> {
    let equal = |part: &str, wanted: &[f64], found: &[f64], may_differ: bool| {
        let how = if may_differ { near } else { same_bits };
        how(&format!("{what}: {part}"), wanted, found)
    };
    equal("results", &wanted.results, &found.results, sums != Sums::None)?;
    equal("gradient", &wanted.gradient, &found.gradient, sums == Sums::Scalars)?;
    equal("matrix", &wanted.matrix, &found.matrix, sums == Sums::Scalars)
}

/// Projected by request: the same by both engines and on two threads, the gradient of the plain energy, semidefinite along some directions.
fn check_projected(kernel: &Kernel, inputs: &Inputs, dense: &Evaluation, sums: Sums) -> Result<(), String> {
    for projection in [Projection::CLAMP, Projection::ABS] {
        let with = |engine, threads| {
            let (project, strategy) = (Project::All(projection), Strategy::Structural);
            let options = Options { engine, strategy, threads, project, ..Options::new(Derivative::Hessian) };
            evaluate(kernel, inputs, &options)
        };
        let (found, pattern) = match with(Engine::Jit, 1) {
            Ok(found) => found,
            Err(Error::Source(report)) if report.diagnostics[0].code == "project" => return Ok(()),
            Err(error) => return Err(format!("projected: {error}")),
        };
        near("projected: gradient", &dense.gradient, &found.gradient)?;
        let (other, its) = with(Engine::Interp, 1).map_err(|error| error.to_string())?;
        if *its != *pattern {
            return Err("projected: compiled and interpreted patterns differ".to_owned());
        }
        // The interpreter adds the blocks up in one order, a mirror image after its entry.
        near("projected: matrix", &other.matrix, &found.matrix)?;
        same(
            "projected: compiled against interpreted",
            &Evaluation { matrix: found.matrix.clone(), ..other },
            &found,
            sums,
        )?;
        let (other, _) = with(Engine::Jit, 2).map_err(|error| error.to_string())?;
        same("projected: 2 threads", &found, &other, Sums::None)?;
        for direction in 0..5_usize {
            let at = |k: usize| ((k * (2 * direction + 1) + direction) % 7) as f64 - 3.0;
            let (mut form, mut size) = (0.0, 0.0);
            for row in 0..pattern.rows() {
                let first = pattern.row_ptr()[row] as usize;
                for (k, &col) in pattern.row(row).iter().enumerate() {
                    let part = at(row) * found.matrix[first + k] * at(col as usize);
                    form += part;
                    size += part.abs();
                }
            }
            if form < -REORDERED * f64::max(size, 1.0) {
                return Err(format!("projected: {form} along direction {direction}"));
            }
        }
    }
    Ok(())
}

/// The matrix by every mode of products and every decompression, against the dense one.
fn check_modes(
    kernel: &Kernel,
    inputs: &Inputs,
    derivative: Derivative,
    dense: &Evaluation,
) -> Result<(), String> {
    let modes: &[(Mode, Decompression)] = if derivative == Derivative::Hessian {
        &[
            (Mode::ForwardOverReverse, Decompression::Direct),
            (Mode::ReverseOverForward, Decompression::Substitution),
            (Mode::ReverseOverReverse, Decompression::Direct),
        ]
    } else {
        &[
            (Mode::Forward, Decompression::Direct),
            (Mode::Reverse, Decompression::Auto),
            (Mode::Mixed, Decompression::Direct),
            (Mode::Mixed, Decompression::Substitution),
        ]
    };
    // Interpreted, what is read of scratch and was not written this time is not a number: the reversal of a reversal shows that.
    let twice = modes.iter().filter(|(mode, _)| *mode == Mode::ReverseOverReverse);
    let runs = modes.iter().map(|how| (Engine::Jit, how)).chain(twice.map(|how| (Engine::Interp, how)));
    for (engine, &(mode, decompression)) in runs {
        let options = Options { engine, mode, decompression, ..Options::new(derivative) };
        let (found, pattern) = match evaluate(kernel, inputs, &options) {
            Ok(found) => found,
            // A subscript depends on values, a tape has no length.
            Err(Error::Source(report)) if REFUSALS.contains(&report.diagnostics[0].code) => continue,
            Err(error) => return Err(format!("{mode}, {decompression} ({engine}): {error}")),
        };
        for (at, value) in dense.matrix.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            let (row, col) = (at / pattern.cols(), at % pattern.cols());
            if pattern.find(row, col as u32).is_none() {
                return Err(format!("{mode}, {decompression}: ({row}, {col}) = {value} is not detected"));
            }
        }
        near("gradient", &dense.gradient, &found.gradient)?;
        near(
            &format!("{mode}, {decompression} ({engine}), against dense"),
            &dense.matrix,
            &scattered(&found, &pattern),
        )?;
    }
    Ok(())
}

/// The matrix with all its zeros, row by row.
fn scattered(found: &Evaluation, pattern: &Pattern) -> Vec<f64> {
    let mut all = vec![0.0; pattern.rows() * pattern.cols()];
    let rows =
        (0..pattern.rows()).flat_map(|row| pattern.row(row).iter().map(move |&col| (row, col as usize)));
    for ((row, col), value) in rows.zip(&found.matrix) {
        all[row * pattern.cols() + col] = *value;
    }
    all
}

/// `more`: also the compiled dense matrix, modes of products, projection, and an uneven number of threads.
fn check(case: &Case, more: bool) -> Result<Option<&'static str>, String> {
    let kernel = Kernel::from_func(case.func.clone()).map_err(|error| error.to_string())?;
    let inputs = inputs_of(case);
    let derivative = if kernel.is_energy() { Derivative::Hessian } else { Derivative::Jacobian };
    let scalar = |&x: &Buffer| case.func.buffers[x].dims.is_empty();
    let sums = if case.func.columns.iter().any(scalar) { Sums::Scalars } else { Sums::Results };
    let with = |derivative: Derivative, engine, strategy, threads| {
        let options = Options { engine, strategy, threads, ..Options::new(derivative) };
        evaluate(&kernel, &inputs, &options)
    };
    let run = |derivative: Derivative, engine, strategy, threads| {
        let what = || format!("{} ({engine}, {strategy}, {threads} threads)", derivative.name());
        with(derivative, engine, strategy, threads).map_err(|error| format!("{}: {error}", what()))
    };
    let (value, _) = run(Derivative::Value, Engine::Interp, Strategy::Auto, 1)?;
    let (compiled, _) = run(Derivative::Value, Engine::Jit, Strategy::Auto, 1)?;
    same("value, compiled against interpreted", &value, &compiled, sums)?;
    let (dense, _) = run(derivative, Engine::Interp, Strategy::Dense, 1)?;
    near("results beside the dense matrix", &value.results, &dense.results)?;
    if more {
        let (compiled, _) = run(derivative, Engine::Jit, Strategy::Dense, 1)?;
        same("dense, compiled against interpreted", &dense, &compiled, sums)?;
    }
    if more && derivative == Derivative::Hessian {
        check_projected(&kernel, &inputs, &dense, sums)?;
    }
    if more {
        check_modes(&kernel, &inputs, derivative, &dense)?;
    }
    let (found, pattern) = match with(derivative, Engine::Jit, Strategy::Structural, 1) {
        Ok(found) => found,
        Err(Error::Source(report)) if REFUSALS.contains(&report.diagnostics[0].code) => {
            return Ok(Some(report.diagnostics[0].code));
        }
        Err(error) => return Err(error.to_string()),
    };
    near("results beside the sparse matrix", &value.results, &found.results)?;
    near("gradient", &dense.gradient, &found.gradient)?;
    near("matrix, structural against dense", &dense.matrix, &scattered(&found, &pattern))?;
    let (other, its) = run(derivative, Engine::Interp, Strategy::Structural, 1)?;
    if *its != *pattern {
        return Err("compiled and interpreted patterns differ".to_owned());
    }
    same("structural, compiled against interpreted", &other, &found, sums)?;
    for threads in [2, 5].into_iter().take(if more { 2 } else { 1 }) {
        let (other, its) = run(derivative, Engine::Jit, Strategy::Structural, threads)?;
        if *its != *pattern {
            return Err(format!("another pattern on {threads} threads"));
        }
        same(&format!("{threads} threads"), &found, &other, Sums::None)?;
    }
    Ok(None)
}

#[test]
fn compiled_programs_compute_what_interpreted_ones_do() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (count, first) = (number("SPADINA_CASES", CASES), number("SPADINA_SEED", 0));
    let configs = [Config::default(), Config::plain_energy(), Config::plain_residual()];
    let more_every = number("SPADINA_MORE_EVERY", 1).max(1);
    let mut refused = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in first..first.saturating_add(count) {
        let plain = seed % 3 != 0;
        let more = seed % more_every == 0;
        if seed % 4 == 0 {
            let wide = generate(seed, &Config::wide_energy());
            if let Err(error) = check(&wide, more) {
                failures.push(format!("wide seed {seed}: {error}\n{wide}"));
            }
        }
        if seed % 4 == 1 {
            let given = generate(seed, &Config::given_partials());
            if let Err(error) = check(&given, more) {
                failures.push(format!("given seed {seed}: {error}\n{given}"));
            }
        }
        if seed % 4 == 2 {
            let pairs = generate(seed, &Config::pairs());
            if let Err(error) = check(&pairs, more) {
                failures.push(format!("pairs seed {seed}: {error}\n{pairs}"));
            }
        }
        if seed % 2 == 1 {
            let guarded = generate(seed, &Config::guarded());
            if let Err(error) = check(&guarded, more) {
                failures.push(format!("guarded seed {seed}: {error}\n{guarded}"));
            }
        }
        let case = generate(seed, &configs[(seed % 3) as usize]);
        match check(&case, more) {
            Ok(None) => {}
            Ok(Some(code)) => {
                *refused.entry(code).or_insert(0) += 1;
                if plain {
                    failures.push(format!("seed {seed}: a plain program is refused by `{code}`\n{case}"));
                }
            }
            Err(error) => failures.push(format!("seed {seed}: {error}\n{case}")),
        }
    }
    let heads: Vec<&str> = failures.iter().map(|text| text.lines().next().unwrap()).collect();
    let first = failures.first().map_or("", |text| text);
    assert!(failures.is_empty(), "{} failures:\n{}\nthe first:\n{first}", heads.len(), heads.join("\n"));
}
