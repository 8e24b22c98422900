//! Figures that noise does not reach: operations, bytes of code and slots, instructions executed. Nothing here may grow unnoticed.
//!
//! A figure that fell should be lowered here; one that must grow, raised with a reason in the commit. Bytes of code and instructions are
//! those of x86-64; instructions are counted by callgrind where valgrind is installed, in optimized builds.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::Problem;
use std::process::Command;

/// Code may grow by this factor: register allocation is sensitive to small things.
const CODE: f64 = 1.05;
/// Instructions executed, likewise.
const INSTRUCTIONS: f64 = 1.03;

/// A kernel and the most that it may cost.
struct Kernel {
    name: &'static str,
    text: &'static str,
    kind: &'static str,
    size: usize,
    arrays: &'static [&'static str],
    /// Operations of one element.
    operations: u64,
    /// Bytes of machine code, one thread.
    code: usize,
    /// Bytes of slots of one element.
    slots: usize,
    /// Instructions executed for one element.
    instructions: f64,
}

const KERNELS: [Kernel; 3] = [
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
        operations: 225,
        code: 4_093,
        slots: 9,
        instructions: 459.0,
    },
    Kernel {
        name: "springs",
        text: "kernel springs<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E], k: f64 = 1.0) -> f64 {
            sum e: [i, j] in edges { 0.5 * k * (norm(x[i] - x[j]) - rest[e])^2 }
        }",
        kind: "cloth",
        size: 30,
        arrays: &["x", "edges", "rest"],
        operations: 42,
        code: 1_901,
        slots: 4,
        instructions: 325.0,
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
        operations: 912,
        code: 17_901,
        slots: 16,
        instructions: 1_655.0,
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

#[test]
fn operations_code_and_slots_do_not_grow() {
    let mut grown = Vec::new();
    for kernel in &KERNELS {
        let problem = kernel.problem();
        let explanation = problem.kernel().explain(Derivative::Hessian, None).unwrap();
        let operations: u64 = explanation.phases.iter().map(|phase| phase.cost.total()).sum();
        let (code, slots) = (problem.code_bytes(), problem.slot_bytes());
        let elements = problem.elements();
        let machine = cfg!(target_arch = "x86_64");
        if operations > kernel.operations
            || slots as u64 > elements * kernel.slots as u64
            || (machine && code as f64 > CODE * kernel.code as f64)
        {
            let (name, slots) = (kernel.name, slots as f64 / elements as f64);
            grown.push(format!("{name}: {operations} operations, {code} bytes of code, {slots} of slots"));
        }
    }
    assert!(grown.is_empty(), "{grown:#?}");
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
        return;
    }
    let mut grown = Vec::new();
    for kernel in &KERNELS {
        let [few, many] = [1, 6].map(|count| collected(kernel.name, count));
        let elements = kernel.problem().elements();
        let each = (many - few) as f64 / (5 * elements) as f64;
        if each > INSTRUCTIONS * kernel.instructions {
            grown.push(format!("{}: {each:.1} instructions an element", kernel.name));
        }
    }
    assert!(grown.is_empty(), "{grown:#?}");
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
