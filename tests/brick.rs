//! A 20-node brick with 27 quadrature points: small code, one block an element, the same bits on every number of threads.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options, Strategy};
use spadina::problem::Problem;
use spadina_io::array::{Array, Data};
use std::process::Command;

const KERNEL: &str = "
kernel brick<V, E>(
    x: var vec3[V], nodes: index<V>[E, 20], dn: f64[E, 27, 20, 3], w: f64[E, 27], mu: f64 = 1.0, la: f64 = 2.0,
) -> f64 {
    sum e in 0..E, q in 0..27 {
        let mut f = zeros[3, 3];
        for a in 0..20 { f += outer(x[nodes[e, a]], dn[e, q, a]); }
        let j = 30.0 + det(f);
        w[e, q] * (0.5 * mu * (sqnorm(f) - 3.0) - mu * log(j) + 0.5 * la * log(j)^2)
    }
}";
/// Code of a whole object: value, gradient and Hessian, one thread and several.
const LARGEST: u64 = 64 * 1024;
/// The same sums in another order.
const REORDERED: f64 = 1e-9;
const VERTICES: usize = 31;
const ELEMENTS: usize = 5;

/// Numbers between -0.5 and 0.5 that look random.
fn numbers(count: usize, seed: f64) -> Vec<f64> {
    (0..count).map(|i| ((i as f64 * 12.9898 + seed).sin() * 43758.547).rem_euclid(1.0) - 0.5).collect()
}

fn inputs() -> Inputs {
    let mut inputs = Inputs::new();
    let mut set = |name: &str, shape: &[usize], data| {
        inputs.set(name, &Array::new(shape.to_vec(), data).unwrap());
    };
    set("x", &[VERTICES, 3], Data::F64(numbers(VERTICES * 3, 1.0)));
    // The third brick has a node twice.
    let nodes =
        (0..ELEMENTS * 20).map(|i| if i == 47 { 3 } else { (i * 7 + i / 20 * 5) as i64 % VERTICES as i64 });
    set("nodes", &[ELEMENTS, 20], Data::I64(nodes.collect()));
    set("dn", &[ELEMENTS, 27, 20, 3], Data::F64(numbers(ELEMENTS * 27 * 60, 2.0)));
    set("w", &[ELEMENTS, 27], Data::F64(numbers(ELEMENTS * 27, 3.0)));
    inputs
}

#[test]
fn code_is_small() {
    let folder = std::env::temp_dir().join(format!("spadina-brick-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (source, object) = (folder.join("brick.ir"), folder.join("brick.o"));
    std::fs::write(&source, KERNEL).unwrap();
    let command = Command::new(env!("CARGO_BIN_EXE_spadina"))
        .args(["compile", "--derive", "hessian"])
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .output();
    assert!(command.unwrap().status.success());
    let size = std::fs::metadata(&object).unwrap().len();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(size <= LARGEST, "{size} bytes");
}

#[test]
fn the_matrix_is_the_dense_one_and_the_same_on_all_numbers_of_threads() {
    let module = Module::from_text("brick.ir", KERNEL).unwrap();
    let kernel = module.kernel(None).unwrap();
    let evaluate = |strategy, threads| {
        let options = Options { strategy, threads, ..Options::new(Derivative::Hessian) };
        let mut problem = Problem::prepare(&kernel, &inputs(), &options).unwrap();
        let mut at = problem.evaluation();
        problem.evaluate(&mut at).unwrap();
        problem.evaluate(&mut at).unwrap();
        (at, problem.pattern().clone())
    };
    let (dense, _) = evaluate(Strategy::Dense, 1);
    let (found, pattern) = evaluate(Strategy::Structural, 1);
    let n = pattern.cols();
    let mut scattered = vec![0.0; n * n];
    let places = (0..n).flat_map(|row| pattern.row(row).iter().map(move |&col| row * n + col as usize));
    places.zip(&found.matrix).for_each(|(at, &value)| scattered[at] = value);
    let largest = dense.matrix.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    for (a, b) in dense.matrix.iter().zip(&scattered) {
        assert!((a - b).abs() <= REORDERED * largest, "{b} instead of {a}");
    }
    for threads in [2, 3, 8] {
        let (other, _) = evaluate(Strategy::Structural, threads);
        assert_eq!(found.matrix, other.matrix, "{threads} threads");
        assert_eq!(found.gradient, other.gradient, "{threads} threads");
        assert_eq!(found.results, other.results, "{threads} threads");
    }
}
