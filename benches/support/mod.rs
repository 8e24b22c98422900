//! What the benchmarks share: medians, problems from text, the hand-written kernels.
#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::Problem;
use spadina_ir::func::Role;
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

/// The same with all options.
pub fn prepare_with(text: &str, inputs: &Inputs, options: &Options) -> Problem {
    let kernel = Module::from_text("bench.ir", text).unwrap().kernel(None).unwrap();
    Problem::prepare(&kernel, inputs, options).unwrap()
}

/// Medians of compiling, preparing and binding structural arrays anew, operations, bytes of code and of slots.
pub fn costs(text: &str, inputs: &Inputs, options: &Options) -> String {
    const ROUNDS: usize = 5;
    let mut times = [const { Vec::new() }; 3];
    let mut problem = prepare_with(text, inputs, options);
    let mut structural = Inputs::new();
    for data in problem.kernel().func().buffers.values().filter(|data| data.role == Role::Structural) {
        if let Some(array) = inputs.get(&data.name) {
            structural.set(data.name.clone(), array);
        }
    }
    for _ in 0..ROUNDS {
        let fresh = prepare_with(text, inputs, options).times();
        times[0].push(fresh.compile.as_secs_f64() * 1e3);
        times[1].push(fresh.prepare.as_secs_f64() * 1e3);
        let started = Instant::now();
        problem.rebind(&structural).unwrap();
        times[2].push(started.elapsed().as_secs_f64() * 1e3);
    }
    let [compile, prepare, rebind] = times.map(|mut figures| median(&mut figures));
    let evaluate = evaluate_ms(&mut problem, 15);
    let explanation = problem.kernel().explain(options.derivative, None).unwrap();
    let operations: u64 = explanation.phases.iter().map(|phase| phase.cost.total()).sum();
    format!(
        "compile {compile:.2} ms, prepare {prepare:.2} ms ({:.1} evaluations), rebind {rebind:.2} ms ({:.1}); {operations} operations an iteration, {} bytes of code, {} of slots",
        prepare / evaluate,
        rebind / evaluate,
        problem.code_bytes(),
        problem.slot_bytes()
    )
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
    evaluate_for(problem, rounds, 50)
}

/// Median milliseconds of one evaluation, over at least `rounds` evaluations and so many milliseconds.
pub fn evaluate_for(problem: &mut Problem, rounds: usize, milliseconds: u128) -> f64 {
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < rounds || start.elapsed().as_millis() < milliseconds {
        let one = Instant::now();
        problem.evaluate(&mut at).unwrap();
        times.push(one.elapsed().as_secs_f64() * 1e3);
    }
    median(&mut times)
}

/// The hand-written kernels, compiled by g++ into the target directory; `None` without g++.
pub fn hand(name: &str) -> Option<PathBuf> {
    hand_with(name, name, &[])
}

/// The same with more options, as a program of this name.
pub fn hand_with(name: &str, program: &str, options: &[&str]) -> Option<PathBuf> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/hand");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(program);
    let built = Command::new("g++")
        .args(["-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-fopenmp"])
        .args(options)
        .arg("-o")
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
