//! The kernels of `tests/cases` against `../shared/cases` and `../shared/cases_medium`: value, gradient or residual and matrix, at
//! both points, through the library (compiled and interpreted) and through the command.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use common::{Case, agree_matrix, agree_matvec, folder};
use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Engine, Options, Project, Strategy};
use spadina::problem::Problem;
use spadina_io::npy::read::read_npy;
use spadina_io::sparse_file::by_name::read_sparse;
use std::path::Path;
use std::process::Command;

/// Kernels with recurrences: their matrices are not found by structure.
const RECURRENT: [&str; 1] = ["elastica_scan"];

/// Evaluates a case at its second point too, where it has one.
fn check(case: &Case, engine: Engine, threads: usize, strategy: Strategy) {
    let module = Module::open(&case.kernel_file()).unwrap();
    let kernel = module.kernel(None).unwrap();
    let mut inputs = Inputs::new();
    for (name, array) in case.inputs() {
        inputs.set(name, &array);
    }
    let mut options = Options::new(kernel.default_derivative());
    (options.engine, options.threads, options.strategy) = (engine, threads, strategy);
    // The references are plain Hessians.
    options.project = Project::Off;
    let mut problem = Problem::prepare(&kernel, &inputs, &options)
        .unwrap_or_else(|error| panic!("{} ({engine}):\n{error}", case.label()));
    let mut at = problem.evaluation();
    for point in case.points() {
        for (name, array) in case.variables(point) {
            problem.set(&name, &array).unwrap();
        }
        // Twice: nothing is left of an evaluation in the next.
        for _ in 0..2 {
            problem.evaluate(&mut at).unwrap();
        }
        let what = format!("{} {point} ({engine}, {threads} threads)", case.label());
        case.agree_results(&what, point, &at.results, &at.gradient);
        let pattern = problem.pattern();
        if let Some(reference) = case.matrix(point) {
            agree_matrix(&what, &reference, pattern, &at.matrix);
        }
        if let Some((dir, product)) = case.matvec(point) {
            agree_matvec(&what, pattern, &at.matrix, &dir, &product);
        }
        if let Some((codir, product)) = case.vecmat(point) {
            common::agree_vecmat(&what, pattern, &at.matrix, &codir, &product);
        }
    }
}

fn cases(set: &str) -> Vec<Case> {
    let found = Case::all(set);
    if found.is_empty() {
        eprintln!("skipped: ../shared/{set} is not beside the checkout");
    }
    found
}

fn is_recurrent(case: &Case) -> bool {
    RECURRENT.contains(&case.name.as_str())
}

#[test]
fn all_kernels_agree_compiled() {
    for case in cases("cases") {
        let strategy = if is_recurrent(&case) { Strategy::Auto } else { Strategy::Structural };
        check(&case, Engine::Jit, 1, strategy);
        check(&case, Engine::Jit, 3, strategy);
    }
}

#[test]
fn all_kernels_agree_interpreted() {
    for case in cases("cases") {
        let strategy = if is_recurrent(&case) { Strategy::Auto } else { Strategy::Structural };
        check(&case, Engine::Interp, 1, strategy);
    }
}

#[test]
fn all_kernels_agree_compressed() {
    for case in cases("cases") {
        check(&case, Engine::Jit, 1, Strategy::Compressed);
    }
}

#[test]
fn some_kernels_agree_compressed_and_interpreted() {
    // The interpreter takes its time: those with few products.
    let quick = ["rosenbrock", "elastica_scan", "heat_implicit", "brusselator2d"];
    for case in cases("cases").iter().filter(|c| quick.contains(&c.name.as_str())) {
        check(case, Engine::Interp, 1, Strategy::Compressed);
    }
}

#[test]
fn medium_cases_agree_compiled() {
    for case in cases("cases_medium") {
        check(&case, Engine::Jit, 2, if is_recurrent(&case) { Strategy::Auto } else { Strategy::Structural });
    }
}

#[test]
fn all_kernels_agree_on_the_command_line() {
    for case in cases("cases") {
        for point in case.points() {
            by_command(&case, "jit", point);
        }
        by_command(&case, "interp", "ref");
    }
}

#[test]
fn medium_cases_agree_on_the_command_line() {
    for case in cases("cases_medium") {
        by_command(&case, "jit", "ref");
    }
}

fn by_command(case: &Case, engine: &str, point: &str) {
    let dir = folder(&format!("case-{}-{engine}-{point}", case.label().replace(['/', ' '], "-")));
    let energy = case.is_energy();
    let matrix = if energy { "hessian" } else { "jacobian" };
    let vector = if energy { "grad" } else { "residual" };
    let mut command = Command::new(env!("CARGO_BIN_EXE_spadina"));
    command
        .args(["run", "--project", "off"])
        .arg(case.kernel_file())
        .arg("--data")
        .arg(case.path.join("inputs"));
    for (name, file) in case.variable_files(point) {
        command.arg("--data").arg(format!("{name}={}", file.display()));
    }
    command.args(["--engine", engine, "--json"]);
    let (values, vectors, matrices) = (dir.join("v.npy"), dir.join("g.npy"), dir.join("m.npz"));
    command.arg("-o").arg(format!("value={}", values.display()));
    command.arg("-o").arg(format!("{vector}={}", vectors.display()));
    command.arg("-o").arg(format!("{matrix}={}", matrices.display()));
    let output = command.output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    let what = format!("{} {point} (command, {engine})", case.label());
    assert!(output.status.success(), "{what}: {messages}");
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = floats(&values);
    let gradient = if energy { floats(&vectors) } else { Vec::new() };
    if energy {
        assert_eq!(object["value"].as_f64(), results.first().copied(), "{what}");
    } else {
        assert_eq!(results, floats(&vectors), "{what}");
    }
    case.agree_results(&what, point, &results, &gradient);
    let stored = read_sparse(&matrices).unwrap();
    assert_eq!(object["nnz"].as_u64(), Some(stored.nnz() as u64), "{what}");
    let narrow = |list: &[usize]| list.iter().map(|&n| u32::try_from(n).unwrap()).collect::<Vec<u32>>();
    let pattern = spadina_runtime::csr::Pattern::new(
        stored.nrows,
        stored.ncols,
        narrow(&stored.row_ptr),
        narrow(&stored.col_idx),
    );
    let pattern = pattern.unwrap();
    if let Some(reference) = case.matrix(point) {
        agree_matrix(&what, &reference, &pattern, &stored.values);
    }
    if let Some((dir, product)) = case.matvec(point) {
        agree_matvec(&what, &pattern, &stored.values, &dir, &product);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

fn floats(path: &Path) -> Vec<f64> {
    read_npy(path).unwrap().to_f64("result").unwrap().into_owned()
}
