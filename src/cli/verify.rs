//! `spadina verify`: one matrix in every way it can be computed.
//!
//! # Checks
//! 1. Every entry that is not zero, in any of the matrices, is in the detected pattern.
//! 2. Structural, compressed and dense matrix agree, entry by entry.
//! 3. A Hessian is symmetric.
//! 4. Products with random directions agree with the matrix: all there is to hold against a large one.
//! 5. Differences of results or gradients along random directions, which know nothing of derivatives, agree with the matrix.
//!
//! Where a random direction finds a wrong row, it is halved until one column is left, so that a failure names an entry; and pattern
//! detection tells the terms of the source that the entry comes from.

mod differences;
mod matrix;
mod probe;
mod products;

use super::args::{MATRICES, VerifyArgs};
use super::{console, data, pattern, result};
use differences::{Verdict, differences};
use matrix::Matrix;
use products::products;
use spadina::bind::Bound;
use spadina::error::Error;
use spadina::options::{Derivative, Options, Project, Strategy};
use std::fmt::Write;

/// Most entries of a dense matrix that is computed to compare with.
const DENSE: usize = 1 << 22;

pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Error> {
    let kernel = pattern::kernel(&args.kernel.file, args.kernel.kernel.as_deref())?;
    // Every entry is compared.
    if kernel.has_fixed() {
        console::note("entries of fixed unknowns are verified like all others");
    }
    let kernel = kernel.freed();
    let mut derivative = result::largest(&kernel, args.derive.as_deref())?;
    if !derivative.has_matrix() {
        if args.derive.is_some() {
            return Err(Error::usage(format!("a matrix is verified: {MATRICES}")));
        }
        derivative = if kernel.is_energy() { Derivative::Hessian } else { Derivative::Jacobian };
    }
    let mut options = Options::new(derivative);
    (options.wrt, options.engine) = (args.wrt.clone(), args.engine);
    // Only the plain Hessian is the same in every way.
    options.project = Project::Off;
    kernel.columns(options.wrt.as_deref())?;
    let inputs = data::inputs(&kernel, &args.data)?;
    // What follows from data that are not numbers is not the fault of any road.
    if let Some(report) = Bound::new(&kernel, &inputs)?.doubts(&kernel) {
        console::report(&report);
    }
    let mut said = String::new();
    let compressed = match Matrix::new(&kernel, &inputs, &options, Strategy::Compressed) {
        Err(Error::Source(report)) => {
            console::note("the pattern cannot be detected; this check is left out");
            console::report(&report);
            None
        }
        other => Some(other?),
    };
    let structural = match Matrix::new(&kernel, &inputs, &options, Strategy::Structural) {
        Err(Error::Source(report)) => {
            let codes: Vec<&str> = report.diagnostics.iter().map(|d| d.code).collect();
            say(&mut said, "structural", &format!("refused ({})", codes.join(", ")));
            None
        }
        other => Some(other?),
    };
    let first = structural.as_ref().or(compressed.as_ref());
    let (rows, columns) = match first {
        Some(matrix) => (matrix.problem.rows(), matrix.problem.columns()),
        None => (0, 0),
    };
    let dense = if first.is_none() || rows.saturating_mul(columns) <= DENSE {
        Some(Matrix::new(&kernel, &inputs, &options, Strategy::Dense)?)
    } else {
        say(&mut said, "dense", &format!("left out: {rows} x {columns} is too large"));
        None
    };
    let all: Vec<&Matrix> = [&structural, &compressed, &dense].into_iter().flatten().collect();
    let Some(&reference) = all.last() else { return Ok(()) };
    if let Some(detected) = &compressed {
        for matrix in all.iter().filter(|m| m.strategy != Strategy::Compressed) {
            matrix.inside(detected.problem.pattern())?;
        }
        let entries = detected.problem.pattern().nnz();
        say(&mut said, "pattern", &format!("{entries} entries detected, none missing"));
    }
    for matrix in &all[..all.len() - 1] {
        let largest = matrix.agrees(reference)?;
        let (a, b) = (matrix.strategy, reference.strategy);
        say(&mut said, "values", &format!("{a} and {b} agree (largest difference {largest:.1e})"));
    }
    if derivative.is_square() {
        for matrix in &all {
            matrix.symmetric()?;
        }
        say(&mut said, "symmetry", "holds");
    }
    // Products and substitution carry what is not finite to other entries: each matrix has its own number.
    let wild = all.iter().map(|m| (m.strategy, m.values.iter().filter(|x| !x.is_finite()).count()));
    let wild: Vec<String> = wild.filter(|w| w.1 > 0).map(|(s, count)| format!("{count} ({s})")).collect();
    if !wild.is_empty() {
        let (name, derivative) = (kernel.name(), derivative.name());
        let counts = wild.join(", ");
        let text =
            format!("entries not finite at this point, and left out: {counts}; products and slopes too");
        say(&mut said, "finite", &text);
        return console::print(&format!(
            "{said}{name}: the {derivative} is sound where it is finite; try another point\n"
        ));
    }
    products(&all, derivative, &mut said)?;
    let (name, derivative) = (kernel.name(), derivative.name());
    let verdict = match differences(&kernel, &inputs, reference, &mut said)? {
        Verdict::Confirmed => format!("the {derivative} is sound"),
        Verdict::NotHere => {
            format!("differences cannot confirm the {derivative} here; try another point")
        }
        Verdict::Never(why) => {
            format!("the {derivative} is the same in every way; differences cannot confirm it: {why}")
        }
    };
    console::print(&format!("{said}{name}: {verdict}\n"))
}

/// Adds a line; all are shown at the end, where nothing has failed. Writing to a string cannot fail.
fn say(said: &mut String, what: &str, text: &str) {
    let _ = writeln!(said, "{what:<10} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use spadina::compiler::Module;
    use spadina::inputs::Inputs;
    use spadina::kernel::Kernel;
    use spadina_runtime::csr::Pattern;

    const CHAIN: &str = "kernel k<N>(x: var vec2[N]) -> f64 {
        let springs = sum i in 1..N { sqnorm(x[i] - x[i - 1])^2 };
        springs + sum i in 0..N { x[i, 0]^3 }
    }";

    fn chain() -> (Kernel, Inputs) {
        let kernel = Module::from_text("chain.ir", CHAIN).unwrap().kernel(None).unwrap();
        let mut inputs = Inputs::new();
        inputs.set("x", &[[0.0, 1.0], [2.0, 3.0], [5.0, 4.0]]);
        (kernel, inputs)
    }

    fn matrix(strategy: Strategy) -> Matrix {
        let (kernel, inputs) = chain();
        Matrix::new(&kernel, &inputs, &Options::new(Derivative::Hessian), strategy).unwrap()
    }

    fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        error.to_string()
    }

    fn holds(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn failures_name_the_entry_and_its_terms() {
        let (mut wrong, right) = (matrix(Strategy::Structural), matrix(Strategy::Compressed));
        assert!(wrong.agrees(&right).unwrap() < 1e-12);
        wrong.symmetric().unwrap();
        // Row 2, column 3: x[1, 0] and x[1, 1]; it comes from the springs, not from the powers.
        let at = wrong.problem.pattern().find(2, 3).unwrap();
        wrong.values[at] += 1.0;
        let entry = ["(2, 3)", "`x[1, 0]`", "`x[1, 1]`", "chain.ir:2:", "sqnorm"];
        let text = message(wrong.agrees(&right).map(|_| ()));
        holds(&text, &entry);
        holds(&text, &["structural", "compressed"]);
        assert!(!text.contains("chain.ir:3:"), "{text}");
        holds(&message(wrong.symmetric()), &["mirror", "chain.ir:2:"]);
        let text = message(products(&[&wrong], Derivative::Hessian, &mut String::new()));
        holds(&text, &entry);
        holds(&text, &["H v"]);
        let (kernel, inputs) = chain();
        let text = message(differences(&kernel, &inputs, &wrong, &mut String::new()));
        holds(&text, &entry);
        holds(&text, &["by differences"]);
        let diagonal = Pattern::new(6, 6, (0..=6).collect(), (0..6).collect()).unwrap();
        holds(&message(right.inside(&diagonal)), &["not in the detected pattern", "chain.ir:2:"]);
    }

    #[test]
    fn a_wrong_gradient_names_the_unknown() {
        let mut wrong = matrix(Strategy::Structural);
        wrong.gradient[4] *= 1.001;
        let (kernel, inputs) = chain();
        let text = message(differences(&kernel, &inputs, &wrong, &mut String::new()));
        holds(&text, &["gradient", "`x[2, 0]`"]);
    }

    #[test]
    fn kinks_and_jumps_are_left_out() {
        let text = "kernel k<N>(x: var f64[N]) -> f64[N] {
            map i in 0..N { abs(x[i]) + max(x[i], 0.0) + floor(x[i]) + (if x[i] > 0.25 { x[i]^2 } else { 3.0 }) }
        }";
        let kernel = Module::from_text("kinks.ir", text).unwrap().kernel(None).unwrap();
        let mut inputs = Inputs::new();
        inputs.set("x", &[0.0, 1.0, 0.25, 0.251, 0.7]);
        let options = Options::new(Derivative::Jacobian);
        let mut matrix = Matrix::new(&kernel, &inputs, &options, Strategy::Dense).unwrap();
        let mut said = String::new();
        differences(&kernel, &inputs, &matrix, &mut said).unwrap();
        assert!(said.contains("left out"), "{said}");
        // What is smooth is still held to it.
        matrix.values[4 * 5 + 4] += 1e-4;
        let text = message(differences(&kernel, &inputs, &matrix, &mut String::new()));
        holds(&text, &["(4, 4)", "kinks.ir:2:"]);
    }
}
