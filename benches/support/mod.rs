//! What the benchmarks share: medians, problems from text, the hand-written kernels.
#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::Problem;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// The middle of some figures.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A prepared problem, as a new process would prepare it: nothing compiled before is used.
pub fn prepare(text: &str, inputs: &Inputs, derivative: Derivative, threads: usize) -> Problem {
    let module = Module::from_text("bench.ir", text).unwrap();
    let kernel = module.kernel(None).unwrap();
    let mut options = Options::new(derivative);
    options.threads = threads;
    Problem::prepare(&kernel, inputs, &options).unwrap()
}

/// These arrays of the inputs that the project generates.
pub fn generated(kind: &str, size: usize, names: &[&str]) -> Inputs {
    let mut inputs = Inputs::new();
    let arrays = spadina_io::generate::kind::generate(kind.parse().unwrap(), size).unwrap();
    for named in arrays.iter().filter(|a| names.contains(&a.name.as_str())) {
        inputs.set(named.name.clone(), &named.array);
    }
    inputs
}

/// Median milliseconds of one evaluation, over at least `rounds` evaluations and 50 ms.
pub fn evaluate_ms(problem: &mut Problem, rounds: usize) -> f64 {
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < rounds || start.elapsed().as_millis() < 50 {
        let one = Instant::now();
        problem.evaluate(&mut at).unwrap();
        times.push(one.elapsed().as_secs_f64() * 1e3);
    }
    median(&mut times)
}

/// The hand-written kernels, compiled by g++ into the target directory; `None` without g++.
pub fn hand(name: &str) -> Option<PathBuf> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/hand");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let built = Command::new("g++")
        .args(["-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-fopenmp", "-o"])
        .arg(&program)
        .arg(source.join(format!("{name}.cpp")))
        .status();
    built.ok().filter(std::process::ExitStatus::success).map(|_| program)
}

/// Median milliseconds that a hand-written kernel reports, and its energy.
pub fn hand_ms(program: &PathBuf, args: &[&str]) -> Option<(f64, f64)> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let field = |name: &str| -> Option<f64> {
        let rest = text.split_once(&format!("\"{name}\":"))?.1;
        rest.split([',', '}']).next()?.trim().parse().ok()
    };
    Some((field("median_ms")?, field("f")?))
}
