//! Figures that noise does not reach: operations, bytes of code and slots, instructions executed. Nothing here may grow unnoticed.
//!
//! `regression.txt` holds each figure and by how many percent it may grow. A figure that fell should be blessed; one that must grow, blessed
//! with a reason in the commit: `SPADINA_BLESS=1 cargo test --release --test regression` writes what it finds and keeps the percentages.
//! Bytes of code and instructions are those of x86-64; instructions are counted by callgrind where valgrind is installed, in optimized
//! builds.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::Problem;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A kernel whose figures are kept.
struct Kernel {
    name: &'static str,
    text: &'static str,
    kind: &'static str,
    size: usize,
    arrays: &'static [&'static str],
    /// Whether its instructions are counted: three kernels are enough.
    counted: bool,
}

const KERNELS: [Kernel; 5] = [
    Kernel {
        name: "dirichlet",
        text: "kernel dirichlet<V, F>(uv: var vec2[V], faces: index<V>[F, 3], rest_inv: mat2[F], area: f64[F]) -> f64 {
            sum t: [a, b, c] in faces {
                let j = cols(uv[b] - uv[a], uv[c] - uv[a]) @ rest_inv[t];
                let i = sqnorm(j);
                area[t] * (i + i / det(j)^2)
            }
        }",
        kind: "grid",
        size: 30,
        arrays: &["uv", "faces", "rest_inv", "area"],
        counted: true,
    },
    Kernel {
        name: "springs",
        text: "kernel springs<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E], k: f64 = 1.0) -> f64 {
            sum e: [i, j] in edges { 0.5 * k * (norm(x[i] - x[j]) - rest[e])^2 }
        }",
        kind: "cloth",
        size: 30,
        arrays: &["x", "edges", "rest"],
        counted: true,
    },
    Kernel {
        name: "neohookean",
        text: "kernel neohookean<V, T>(x: var vec3[V], tets: index<V>[T, 4], rest_inv: mat3[T], vol: f64[T],
                         mu: f64 = 1.0, la: f64 = 10.0) -> f64 {
            sum t: [a, b, c, d] in tets {
                let f = cols(x[b] - x[a], x[c] - x[a], x[d] - x[a]) @ rest_inv[t];
                let l = log(det(f));
                vol[t] * (0.5 * mu * (sqnorm(f) - 3.0) - mu * l + 0.5 * la * l^2)
            }
        }",
        kind: "tets",
        size: 6,
        arrays: &["x", "tets", "rest_inv", "vol"],
        counted: true,
    },
    Kernel {
        name: "bending",
        text: "kernel bending<V, H>(x: var vec3[V], hinges: index<V>[H, 4], rest_angle: f64[H]) -> f64 {
            sum h: [p, q, r, s] in hinges {
                let e = x[q] - x[p];
                let n1 = cross(e, x[r] - x[p]);
                let n2 = cross(x[s] - x[p], e);
                (atan2(dot(cross(n1, n2), e) / norm(e), dot(n1, n2)) - rest_angle[h])^2
            }
        }",
        kind: "cloth",
        size: 10,
        arrays: &["x", "hinges", "rest_angle"],
        counted: false,
    },
    Kernel {
        name: "scalar_edges",
        text: "kernel scalar_edges<V, E>(mass: var f64[V], edges: index<V>[E, 2], rest: f64[E]) -> f64 {
            sum e: [i, j] in edges { 0.5 * rest[e] * (mass[i] - mass[j])^2 }
        }",
        kind: "cloth",
        size: 10,
        arrays: &["mass", "edges", "rest"],
        counted: false,
    },
];

impl Kernel {
    fn problem(&self) -> Problem {
        let kernel = Module::from_text("regression.ir", self.text).unwrap().kernel(None).unwrap();
        let mut inputs = Inputs::new();
        let arrays = spadina_io::generate::kind::generate(self.kind.parse().unwrap(), self.size).unwrap();
        for named in arrays.iter().filter(|a| self.arrays.contains(&a.name.as_str())) {
            inputs.set(named.name.clone(), &named.array);
        }
        Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Hessian)).unwrap()
    }
}

/// Percentages that new figures start with: register allocation is sensitive to small things.
const NEW: [(&str, f64); 4] =
    [("operations", 0.0), ("code_bytes", 5.0), ("slot_bytes_of_one", 0.0), ("instructions_of_one", 3.0)];

static FILE: Mutex<()> = Mutex::new(());

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/regression.txt")
}

/// Figures and percentages of the file, by kernel and figure.
fn kept() -> BTreeMap<(String, String), (f64, f64)> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [kernel, figure, value, percent] = words[..] else { panic!("not four words: {line}") };
        ((kernel.to_owned(), figure.to_owned()), (value.parse().unwrap(), percent.parse().unwrap()))
    };
    lines.map(parse).collect()
}

/// Compares figures with the kept ones, or keeps them.
fn compare(found: &[(&str, &str, f64)]) {
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kept = kept();
    if std::env::var_os("SPADINA_BLESS").is_some() {
        for &(kernel, figure, value) in found {
            let start = NEW.iter().find(|new| new.0 == figure).unwrap().1;
            let place = kept.entry((kernel.to_owned(), figure.to_owned())).or_insert((0.0, start));
            place.0 = (value * 10.0).round() / 10.0;
        }
        let mut text = String::from(
            "# The most that kernels cost, and by how many percent that may grow; regression.rs says how to write it anew.\n",
        );
        for ((kernel, figure), (value, percent)) in &kept {
            writeln!(text, "{kernel:<14} {figure:<20} {value:>9} {percent:>4}").unwrap();
        }
        std::fs::write(file(), text).unwrap();
        return;
    }
    let mut grown = Vec::new();
    for &(kernel, figure, value) in found {
        let most = kept.get(&(kernel.to_owned(), figure.to_owned()));
        let &(most, percent) = most.unwrap_or_else(|| panic!("no figure is kept: {kernel} {figure}"));
        if value > most * (1.0 + percent / 100.0) + 0.05 {
            grown.push(format!("{kernel}: {figure} {value}, at most {most} and {percent} %"));
        }
    }
    assert!(grown.is_empty(), "{grown:#?}");
}

#[test]
fn operations_code_and_slots_do_not_grow() {
    let mut found = Vec::new();
    for kernel in &KERNELS {
        let problem = kernel.problem();
        let explanation = problem.kernel().explain(Derivative::Hessian, None).unwrap();
        let operations: u64 = explanation.phases.iter().map(|phase| phase.cost.total()).sum();
        found.push((kernel.name, "operations", operations as f64));
        let slots = problem.slot_bytes() as f64 / problem.elements() as f64;
        found.push((kernel.name, "slot_bytes_of_one", slots));
        if cfg!(target_arch = "x86_64") {
            found.push((kernel.name, "code_bytes", problem.code_bytes() as f64));
        }
    }
    compare(&found);
}

/// Where the number of evaluations is written for the program that callgrind runs: this one.
const EVALUATIONS: &str = "SPADINA_REGRESSION_EVALUATIONS";

#[test]
fn instructions_do_not_grow() {
    if let Ok(evaluations) = std::env::var(EVALUATIONS) {
        let (name, count) = evaluations.split_once(' ').unwrap();
        let mut problem = KERNELS.iter().find(|k| k.name == name).unwrap().problem();
        let mut at = problem.evaluation();
        for _ in 0..count.parse().unwrap() {
            problem.evaluate(&mut at).unwrap();
        }
        return;
    }
    let there = Command::new("valgrind").arg("--version").output().is_ok_and(|found| found.status.success());
    if !there || cfg!(debug_assertions) || !cfg!(target_arch = "x86_64") {
        eprintln!("instructions are not counted: that takes valgrind, x86-64 and an optimized build");
        return;
    }
    let mut found = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| kernel.counted) {
        let [few, many] = [1, 6].map(|count| collected(kernel.name, count));
        let elements = kernel.problem().elements();
        found.push((kernel.name, "instructions_of_one", (many - few) as f64 / (5 * elements) as f64));
    }
    compare(&found);
}

/// Instructions of a run with so many evaluations.
fn collected(name: &str, evaluations: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "instructions_do_not_grow", "--test-threads", "1"])
        .env(EVALUATIONS, format!("{name} {evaluations}"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find_map(|line| line.split_once("Collected :")).unwrap();
    line.1.trim().parse().unwrap()
}
