//! Projected element Hessians: every block against an eigen-decomposition of this file's own, every engine and number of threads against
//! each other.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Assembly, Derivative, Engine, Fixed, Options, Project, Strategy, Triangle};
use spadina::problem::{Evaluation, Problem};
use spadina_ir::project::{Filter, Projection};
use spadina_testkit::rng::Rng;
use std::collections::BTreeSet;

/// Sums in another order, eigenpairs found in another way: a few hundred units of rounding.
const ROUNDING: f64 = 1e-12;
/// The same in single precision.
const SINGLE: f64 = 3e-5;

fn kernel(text: &str) -> Kernel {
    Module::from_text("projected.ir", text).unwrap().kernel(None).unwrap()
}

fn hessian(project: Project) -> Options {
    Options { project, strategy: Strategy::Structural, ..Options::new(Derivative::Hessian) }
}

/// Evaluated once.
struct Found {
    problem: Problem,
    at: Evaluation,
}

impl Found {
    fn new(kernel: &Kernel, inputs: &Inputs, options: &Options) -> Found {
        let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
        let said = problem.warnings().map_or_else(Vec::new, |report| report.diagnostics);
        assert!(said.iter().all(|diagnostic| diagnostic.code == "dense-matrix"), "{said:?}");
        let mut at = problem.evaluation();
        problem.evaluate(&mut at).unwrap();
        Found { problem, at }
    }

    fn dense(&self) -> Matrix {
        let pattern = self.problem.pattern();
        let mut dense = Matrix::zeros(pattern.rows());
        for row in 0..pattern.rows() {
            for k in pattern.row_ptr()[row] as usize..pattern.row_ptr()[row + 1] as usize {
                dense.rows[row][pattern.col_idx()[k] as usize] = self.at.matrix[k];
            }
        }
        dense
    }
}

/// A dense symmetric matrix.
#[derive(Clone, Debug)]
struct Matrix {
    rows: Vec<Vec<f64>>,
}

impl Matrix {
    fn zeros(size: usize) -> Matrix {
        Matrix { rows: vec![vec![0.0; size]; size] }
    }

    fn size(&self) -> usize {
        self.rows.len()
    }

    fn largest(&self) -> f64 {
        self.rows.iter().flatten().fold(0.0, |m, x| m.max(x.abs()))
    }

    fn add(&mut self, other: &Matrix) {
        for (row, others) in self.rows.iter_mut().zip(&other.rows) {
            for (a, b) in row.iter_mut().zip(others) {
                *a += b;
            }
        }
    }

    fn close(&self, other: &Matrix, tolerance: f64) {
        let bound = tolerance * self.largest().max(other.largest()).max(1.0);
        for (i, (row, others)) in self.rows.iter().zip(&other.rows).enumerate() {
            for (j, (a, b)) in row.iter().zip(others).enumerate() {
                assert!((a - b).abs() <= bound, "({i}, {j}): {a:e} and {b:e} differ by more than {bound:e}");
            }
        }
    }

    /// Eigenvalues and eigenvectors (as rows) by cyclic rotations (Jacobi 1846), which converge for every symmetric matrix.
    fn eigenpairs(&self) -> Vec<(f64, Vec<f64>)> {
        let n = self.size();
        let mut a = self.rows.clone();
        let mut vectors: Vec<Vec<f64>> =
            (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        for _ in 0..100 {
            let mut rest = 0.0_f64;
            for p in 0..n {
                for q in p + 1..n {
                    rest = rest.max(a[p][q].abs());
                    if a[p][q] == 0.0 {
                        continue;
                    }
                    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                    let c = 1.0 / (t * t + 1.0).sqrt();
                    let s = t * c;
                    for row in &mut a {
                        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                    }
                    for k in 0..n {
                        (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                        let (u, v) = (vectors[p][k], vectors[q][k]);
                        (vectors[p][k], vectors[q][k]) = (c * u - s * v, s * u + c * v);
                    }
                }
            }
            if rest < 1e-300 {
                break;
            }
        }
        (0..n).map(|k| (a[k][k], vectors[k].clone())).collect()
    }

    /// The matrix with filtered eigenvalues, on these rows; the others are zero.
    fn projected(&self, curved: &[usize], projection: Projection) -> Matrix {
        let mut block = Matrix::zeros(curved.len());
        for (a, &i) in curved.iter().enumerate() {
            for (b, &j) in curved.iter().enumerate() {
                block.rows[a][b] = 0.5 * (self.rows[i][j] + self.rows[j][i]);
            }
        }
        let mut result = Matrix::zeros(self.size());
        for (value, vector) in block.eigenpairs() {
            let filtered = match projection.filter() {
                Filter::Clamp => value.max(projection.eps()),
                Filter::Abs => value.abs().max(projection.eps()),
            };
            for (a, &i) in curved.iter().enumerate() {
                for (b, &j) in curved.iter().enumerate() {
                    result.rows[i][j] += filtered * vector[a] * vector[b];
                }
            }
        }
        result
    }

    fn smallest_eigenvalue(&self) -> f64 {
        self.eigenpairs().into_iter().map(|(value, _)| value).fold(f64::INFINITY, f64::min)
    }
}

/// A kernel over elements, a way to bind some of them.
struct Case {
    name: &'static str,
    text: &'static str,
    width: usize,
    corners: usize,
    single: bool,
}

const TRIANGLE: Case = Case {
    name: "triangle",
    text: "kernel k<V, E>(x: var vec2[V], elements: index<V>[E, 3], w: f64[E]) -> f64 {
        sum t: [a, b, c] in elements {
            let m = cols(x[b] - x[a], x[c] - x[a]);
            if det(m) > 0.0 { w[t] * (sqnorm(m) + sqnorm(inv(m))) } else { w[t] * sin(det(m)) }
        }
    }",
    width: 2,
    corners: 3,
    single: false,
};

const HINGE: Case = Case {
    name: "hinge",
    text: "kernel k<V, E>(x: var vec3[V], elements: index<V>[E, 4], w: f64[E]) -> f64 {
        sum h: [p, q, r, s] in elements {
            let e = x[q][0] - x[p][0];
            let (u, v, z) = (x[p] - x[q], x[r] - x[q], x[s] - x[p]);
            w[h] * sin(dot(cross(u, v), cross(z, v))) + dot(u, v) * z[0] * e
        }
    }",
    width: 3,
    corners: 4,
    single: false,
};

const SPRING: Case = Case {
    name: "spring",
    text: "kernel k<V, E>(x: var vec3[V], elements: index<V>[E, 2], w: f64[E]) -> f64 {
        sum e: [i, j] in elements { (sqnorm(x[i] - x[j]) - w[e])^2 }
    }",
    width: 3,
    corners: 2,
    single: false,
};

const SCALAR: Case = Case {
    name: "scalar",
    text: "kernel k<V, E>(x: var f64[V], elements: index<V>[E, 1], w: f64[E]) -> f64 {
        sum e: [i] in elements { w[e] * sin(3.0 * x[i]) }
    }",
    width: 1,
    corners: 1,
    single: false,
};

const PAIR: Case = Case {
    name: "pair",
    text: "kernel k<V, E>(x: var f64[V], elements: index<V>[E, 2], w: f64[E]) -> f64 {
        sum e: [i, j] in elements { w[e] * x[i]^2 * x[j] - cos(x[j]) }
    }",
    width: 1,
    corners: 2,
    single: false,
};

const LARGE: Case = Case {
    name: "large",
    text: "kernel k<V, E>(x: var vec3[V], elements: index<V>[E, 11], w: f64[E]) -> f64 {
        sum e in 0..E {
            let mut s = vec3(0.0);
            for k in 0..11 { s += f64(k - 4) * x[elements[e, k]]; }
            let mut c = 0.0;
            for k in 0..10 { c += cos(dot(x[elements[e, k]], x[elements[e, k + 1]])); }
            w[e] * sin(dot(s, vec3(0.3, 0.5, 0.7))) + c
        }
    }",
    width: 3,
    corners: 11,
    single: false,
};

const SINGLE_TRIANGLE: Case = Case {
    name: "single",
    text: "kernel k<V, E>(x: var f32[V, 2], elements: index<V>[E, 3], w: f32[E]) -> f64 {
        sum t: [a, b, c] in elements {
            let p = x[b] - x[a];
            let q = x[c] - x[a];
            w[t] * sin(dot(p, q)) * sqnorm(p)
        }
    }",
    width: 2,
    corners: 3,
    single: true,
};

const CASES: [Case; 7] = [TRIANGLE, HINGE, SPRING, SCALAR, PAIR, LARGE, SINGLE_TRIANGLE];

impl Case {
    fn inputs(&self, x: &[f64], elements: &[Vec<i64>], w: &[f64]) -> Inputs {
        use spadina_io::array::{Array, Data};
        let mut inputs = Inputs::new();
        let shape = if self.width == 1 { vec![x.len()] } else { vec![x.len() / self.width, self.width] };
        inputs.set("x", &Array::new(shape, Data::F64(x.to_vec())).unwrap());
        let flat = elements.iter().flatten().copied().collect();
        inputs.set("elements", &Array::new(vec![elements.len(), self.corners], Data::I64(flat)).unwrap());
        inputs.set("w", w);
        inputs
    }

    /// The distinct unknowns of an element.
    fn unknowns(&self, element: &[i64]) -> Vec<usize> {
        let all = element.iter().flat_map(|&v| (0..self.width).map(move |c| v as usize * self.width + c));
        all.collect::<BTreeSet<usize>>().into_iter().collect()
    }

    fn tolerance(&self) -> f64 {
        if self.single { SINGLE } else { ROUNDING }
    }
}

/// Points, elements (some with equal corners), weights of either sign.
fn random(case: &Case, rng: &mut Rng, coincident: bool) -> (Vec<f64>, Vec<Vec<i64>>, Vec<f64>) {
    let points = 12;
    let x = (0..points * case.width).map(|_| rng.float(-1.5, 1.5)).collect();
    let elements = (0..17)
        .map(|_| {
            let mut all: Vec<i64> = (0..points as i64).collect();
            let mut corners: Vec<i64> =
                (0..case.corners).map(|_| all.swap_remove(rng.below(all.len()))).collect();
            if coincident && case.corners > 1 {
                let (a, b) = (rng.below(case.corners), rng.below(case.corners));
                corners[a] = corners[b];
            }
            corners
        })
        .collect();
    let w = (0..17).map(|_| rng.float(-2.0, 2.0)).collect();
    (x, elements, w)
}

fn projections() -> [Projection; 4] {
    let with = |filter, eps| Projection::new(filter, eps).unwrap();
    [Projection::CLAMP, Projection::ABS, with(Filter::Clamp, 0.1), with(Filter::Abs, 0.25)]
}

#[test]
fn the_matrix_is_the_sum_of_projected_element_blocks() {
    for case in &CASES {
        let kernel = kernel(case.text);
        let mut rng = Rng::new(5);
        for coincident in [false, true] {
            let (x, elements, w) = random(case, &mut rng, coincident);
            let blocks: Vec<Matrix> = elements
                .iter()
                .zip(&w)
                .map(|(element, &w)| {
                    let inputs = case.inputs(&x, std::slice::from_ref(element), &[w]);
                    Found::new(&kernel, &inputs, &hessian(Project::Off)).dense()
                })
                .collect();
            for projection in projections() {
                let mut wanted = Matrix::zeros(x.len());
                for (block, element) in blocks.iter().zip(&elements) {
                    wanted.add(&block.projected(&case.unknowns(element), projection));
                }
                let inputs = case.inputs(&x, &elements, &w);
                let found = Found::new(&kernel, &inputs, &hessian(Project::All(projection)));
                let dense = found.dense();
                dense.close(&wanted, 100.0 * case.tolerance());
                let bound = -case.tolerance() * dense.largest();
                assert!(dense.smallest_eigenvalue() >= bound, "{}: not semidefinite", case.name);
                let plain = Found::new(&kernel, &inputs, &hessian(Project::Off));
                assert!(
                    plain.dense().smallest_eigenvalue() < 0.0,
                    "{}: a test without negative eigenvalues",
                    case.name
                );
                assert_eq!(plain.at.results, found.at.results);
                // The plain matrix may take another road, whose gradient is rounded otherwise.
                for (a, b) in plain.at.gradient.iter().zip(&found.at.gradient) {
                    assert!((a - b).abs() <= 100.0 * case.tolerance() * a.abs().max(1.0), "{a} and {b}");
                }
            }
        }
    }
}

#[test]
fn engines_and_threads_give_the_same_bits() {
    for case in &CASES {
        let kernel = kernel(case.text);
        let mut rng = Rng::new(6);
        for coincident in [false, true] {
            let (x, elements, w) = random(case, &mut rng, coincident);
            let inputs = case.inputs(&x, &elements, &w);
            for projection in projections() {
                let options = hessian(Project::All(projection));
                let first = Found::new(&kernel, &inputs, &options);
                for threads in [2, 3] {
                    let found = Found::new(&kernel, &inputs, &Options { threads, ..options.clone() });
                    assert_eq!(found.at, first.at, "{} on {threads} threads", case.name);
                }
                let found = Found::new(&kernel, &inputs, &Options { engine: Engine::Interp, ..options });
                assert_eq!(**found.problem.pattern(), **first.problem.pattern());
                // The interpreter adds entries up in another order.
                found.dense().close(&first.dense(), case.tolerance());
            }
        }
    }
}

#[test]
fn definite_elements_stay_as_they_are() {
    let text = "kernel k<V, E>(x: var vec2[V], elements: index<V>[E, 2], w: f64[E]) -> f64 {
        sum e: [i, j] in elements { w[e]^2 * sqnorm(x[i] - x[j])^2 }
    }";
    let case = Case { name: "convex", text, width: 2, corners: 2, single: false };
    let kernel = kernel(text);
    let (x, elements, w) = random(&case, &mut Rng::new(7), false);
    let inputs = case.inputs(&x, &elements, &w);
    let plain = Found::new(&kernel, &inputs, &hessian(Project::Off));
    for projection in [Projection::CLAMP, Projection::ABS] {
        let projected = Found::new(&kernel, &inputs, &hessian(Project::All(projection)));
        assert_eq!(**plain.problem.pattern(), **projected.problem.pattern());
        assert_eq!(plain.at, projected.at);
    }
}

#[test]
fn marked_sums_alone_are_projected_with_their_factor() {
    let text = "kernel k<N>(x: var f64[N], s: f64) -> f64 {
        let marked = #[project(abs, 0.5)] sum i in 0..N { x[i]^2 };
        let plain = sum i in 1..N { x[i] * x[i - 1] };
        s * marked / 2.0 - plain
    }";
    let kernel = kernel(text);
    assert!(kernel.is_projected());
    for (s, diagonal) in [(1.0, 1.0), (-3.0, 3.0), (0.25, 0.5), (0.0, 0.5)] {
        let mut inputs = Inputs::new();
        inputs.set("x", &[1.0, 2.0, 3.0]).set("s", &s);
        let found = Found::new(&kernel, &inputs, &hessian(Project::AsWritten)).dense();
        let wanted = [[diagonal, -1.0, 0.0], [-1.0, diagonal, -1.0], [0.0, -1.0, diagonal]];
        assert_eq!(found.rows, wanted.map(|row| row.to_vec()), "s = {s}");
        let plain = Found::new(&kernel, &inputs, &hessian(Project::Off)).dense();
        assert_eq!(plain.rows[0][0], s);
    }
}

#[test]
fn an_iteration_with_an_inner_sum_is_one_block() {
    // The inner terms are indefinite, their sum is not: nothing is projected.
    let text = "kernel k<E>(x: var f64[2], w: f64[E]) -> f64 {
        #[project]
        sum e in 0..E { sum q in 0..3 { (f64(q) - 0.5) * w[e] * (x[0] + 2.0 * x[1])^2 } }
    }";
    let kernel = kernel(text);
    let mut inputs = Inputs::new();
    inputs.set("x", &[0.3, 0.4]).set("w", &[1.0, -1.0, 2.0]);
    let found = Found::new(&kernel, &inputs, &hessian(Project::AsWritten)).dense();
    // 1.5 * (1 + 2) * 2 * [1, 2; 2, 4]: the element with the negative weight gives zero.
    found.close(&Matrix { rows: vec![vec![9.0, 18.0], vec![18.0, 36.0]] }, ROUNDING);
    // Marked by request, each of the inner terms is an element.
    let all = Found::new(&kernel, &inputs, &hessian(Project::All(Projection::CLAMP))).dense();
    assert!(all.rows[0][0] > 8.9);
}

#[test]
fn numbers_that_are_none_go_through() {
    let kernel = kernel(SPRING.text);
    let (mut x, elements, w) = random(&SPRING, &mut Rng::new(9), false);
    x[4] = f64::NAN;
    x[7] = 1e200;
    let inputs = SPRING.inputs(&x, &elements, &w);
    let found = Found::new(&kernel, &inputs, &hessian(Project::All(Projection::ABS)));
    assert!(found.at.matrix.iter().any(|h| !h.is_finite()));
}

#[test]
fn roads_without_elements_refuse() {
    let kernel =
        kernel("kernel k<N>(x: var f64[N]) -> f64 { #[project] sum i in 1..N { sin(x[i] * x[i - 1]) } }");
    let mut inputs = Inputs::new();
    inputs.set("x", &[1.0, 2.0, 3.0]);
    for strategy in [Strategy::Compressed, Strategy::Dense] {
        let options = Options { strategy, ..hessian(Project::AsWritten) };
        let Err(Error::Source(report)) = Problem::prepare(&kernel, &inputs, &options) else {
            panic!("{strategy}")
        };
        assert_eq!(report.diagnostics[0].code, "project");
        let plain = Options { project: Project::Off, ..options };
        Problem::prepare(&kernel, &inputs, &plain).unwrap();
    }
    // A recurrence: no elements, whatever the strategy.
    let text = "kernel k<N>(x: var f64[N]) -> f64 { fold i in 0..N with s = 0.0 { sin(s + x[i]) } }";
    let kernel = self::kernel(text);
    for strategy in [Strategy::Auto, Strategy::Structural] {
        let options = Options { strategy, ..hessian(Project::All(Projection::CLAMP)) };
        let Err(Error::Source(report)) = Problem::prepare(&kernel, &inputs, &options) else {
            panic!("{strategy}")
        };
        assert_eq!(report.diagnostics[0].code, "project");
    }
}

#[test]
fn rebinding_keeps_the_projection() {
    let kernel = kernel(SPRING.text);
    let mut rng = Rng::new(11);
    let (x, elements, w) = random(&SPRING, &mut rng, false);
    let options = hessian(Project::All(Projection::CLAMP));
    let mut problem = Problem::prepare(&kernel, &SPRING.inputs(&x, &elements, &w), &options).unwrap();
    for _ in 0..3 {
        let (x, elements, w) = random(&SPRING, &mut rng, true);
        let inputs = SPRING.inputs(&x, &elements, &w);
        problem.rebind(&inputs).unwrap();
        let mut at = problem.evaluation();
        problem.evaluate(&mut at).unwrap();
        assert_eq!(at, Found::new(&kernel, &inputs, &options).at);
    }
}

#[test]
fn what_is_not_stored_still_takes_part() {
    let kernel = kernel(TRIANGLE.text);
    let (x, elements, w) = random(&TRIANGLE, &mut Rng::new(12), true);
    let inputs = TRIANGLE.inputs(&x, &elements, &w);
    let options = hessian(Project::All(Projection::CLAMP));
    let whole = Found::new(&kernel, &inputs, &options).dense();
    for threads in [1, 2, 3] {
        let with = |assembly: Assembly| Options { assembly, threads, ..options.clone() };
        let lower = with(Assembly { triangle: Triangle::Lower, ..Assembly::default() });
        let lower = Found::new(&kernel, &inputs, &lower).dense();
        for i in 0..x.len() {
            assert_eq!(lower.rows[i][..=i], whole.rows[i][..=i]);
            assert!(lower.rows[i][i + 1..].iter().all(|h| *h == 0.0));
        }
        let fixed = vec![0, 1, 5, 10, 11, 17];
        let kept: Vec<usize> = (0..x.len()).filter(|i| !fixed.contains(i)).collect();
        let free = with(Assembly { fixed: vec![Fixed::List(fixed)], ..Assembly::default() });
        let free = Found::new(&kernel, &inputs, &free).dense();
        for (a, &i) in kept.iter().enumerate() {
            for (b, &j) in kept.iter().enumerate() {
                assert_eq!(free.rows[a][b], whole.rows[i][j]);
            }
        }
    }
}
