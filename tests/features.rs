//! Arrays and matrices of other crates.
#![allow(clippy::unwrap_used)]

use faer::prelude::Solve;
use faer::sparse::linalg::solvers::{Llt, SymbolicLlt};
use faer::{Col, Side};
use ndarray::{Array1, Array2, array};
use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Assembly, Derivative, Fixed, Format, Options};
use spadina::problem::Problem;

const TEXT: &str = "kernel k<N, E>(x: var vec2[N], edges: index<N>[E, 2]) -> f64 {
    (sum [i, j] in edges { sqnorm(x[i] - x[j]) + (x[i][0] * x[j][1])^2 }) + sum p in x { sqnorm(p) }
}";

#[test]
fn arrays_come_in_and_matrices_go_out() {
    let kernel = Module::from_text("k.ir", TEXT).unwrap().kernel(None).unwrap();
    let mut inputs = Inputs::new();
    // Column-major in memory, row-major by its subscripts.
    let x: Array2<f64> = array![[0.5, 2.0, 1.0], [1.0, 0.0, -1.0]].reversed_axes();
    inputs.set("x", &x).set("edges", &array![[0_i64, 1], [1, 2]]);
    for format in [Format::Csr, Format::Csc, Format::Coo, Format::Bsr(1, 5)] {
        let assembly = Assembly { format, fixed: vec![Fixed::List(vec![4])], ..Assembly::default() };
        let options = Options { assembly, ..Options::new(Derivative::Hessian) };
        let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
        let at = problem.evaluated().unwrap();
        let (dense, sparse) = (problem.dense_matrix(&at.matrix), problem.faer_matrix(&at.matrix));
        assert_eq!(dense.dim(), (5, 5));
        for ((r, c), &value) in dense.indexed_iter() {
            assert_eq!(sparse.get(r, c).copied().unwrap_or(0.0), value, "{format} ({r}, {c})");
        }
        // A Newton step with faer's Cholesky, the symbolic part from the pattern alone.
        let symbolic = SymbolicLlt::try_new(problem.faer_pattern().as_ref(), Side::Lower).unwrap();
        let factor = Llt::try_new_with_symbolic(symbolic, sparse.as_ref(), Side::Lower).unwrap();
        let step = factor.solve(Col::from_fn(5, |k| at.gradient[k]));
        let back = dense.dot(&Array1::from_iter((0..5).map(|k| step[k])));
        for (a, b) in back.iter().zip(&at.gradient) {
            assert!((a - b).abs() < 1e-12, "{format}");
        }
    }
}
