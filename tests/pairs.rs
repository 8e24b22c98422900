//! Elements of two vertices, alone and beside other terms: against the dense and the compressed matrix on graphs of all kinds, with the same bits
//! by both engines and on every number of threads.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Assembly, Derivative, Engine, Fixed, Options, Strategy, Triangle};
use spadina::problem::{Evaluation, Problem};
use std::sync::Arc;

/// Sums of the same numbers in another order; terms that cancel are of the size of the largest.
const REORDERED: f64 = 1e-11;

const SPRINGS: &str = "
    kernel springs<V, E>(x: var vec3[V], ends: index<V>[E, 2], w: f64[E], m: f64[V]) -> f64 {
        sum e: [i, j] in ends { w[e] * (sqrt(0.1 + sqnorm(x[i] - x[j])) - 1.0)^2 }
    }";

/// A term for each vertex beside them; rows without elements have only that.
const INERTIA: &str = "
    kernel inertia<V, E>(x: var vec3[V], ends: index<V>[E, 2], w: f64[E], m: f64[V]) -> f64 {
        sum v in 0..V { m[v] * sqnorm(x[v])^2 } + sum e: [i, j] in ends { w[e] * (sqrt(0.1 + sqnorm(x[i] - x[j])) - 1.0)^2 }
    }";

/// The same with a diagonal Hessian: it fits into blocks where each vertex has an element.
const DIAGONAL: &str = "
    kernel diagonal<V, E>(x: var vec3[V], ends: index<V>[E, 2], w: f64[E], m: f64[V]) -> f64 {
        sum e: [i, j] in ends { w[e] * (sqrt(0.1 + sqnorm(x[i] - x[j])) - 1.0)^2 } + sum v in 0..V { m[v] * sqnorm(x[v]) }
    }";

/// Two graphs of pairs, under a condition on values, and elements that are none.
const SEVERAL: &str = "
    kernel several<V, E>(x: var vec3[V], ends: index<V>[E, 2], w: f64[E], m: f64[V]) -> f64 {
        let near = sum e: [i, j] in ends { let d = sqnorm(x[i] - x[j]); if d < w[e] { (d - w[e])^2 } else { 0.0 } };
        let tied = sum e: [j, i] in ends { (m[i] + m[j]) * dot(x[i], x[j])^2 };
        near + tied + sum e: [i, j] in ends { m[i] * x[i][0]^2 * x[j][1] }
    }";

/// Two arrays of unknowns; the position of a vertex is not the first subscript.
const ARRAYS: &str = "
    kernel arrays<V, E>(t: var f64[V], x: var f64[2, V], ends: index<V>[E, 2], w: f64[E], m: f64[V]) -> f64 {
        sum e: [i, j] in ends { w[e] * ((x[0, i] - x[0, j])^2 + (x[1, i] - x[1, j])^2 + (t[i] - t[j])^2)^2 }
    }";

const ALL: [&str; 5] = [SPRINGS, INERTIA, DIAGONAL, SEVERAL, ARRAYS];

fn kernel(text: &str) -> Kernel {
    Module::from_text("pairs.ir", text).unwrap().kernel(None).unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as i64
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 30) as f64 / f64::from(1 << 30)
    }
}

fn inputs(text: &str, vertices: usize, ends: &[[i64; 2]]) -> Inputs {
    let mut random = Random(vertices as u64);
    let mut numbers = |n: usize| (0..n).map(|_| 0.2 + random.unit()).collect::<Vec<f64>>();
    let mut inputs = Inputs::new();
    if text == ARRAYS {
        let (a, b) = (numbers(vertices), numbers(vertices));
        inputs.set("t", &numbers(vertices)).set("x", &[a, b].concat()[..]);
        let array = spadina_io::array::Array::new(
            vec![2, vertices],
            spadina_io::array::Data::F64(numbers(2 * vertices)),
        );
        inputs.set("x", &array.unwrap());
    } else {
        let x: Vec<[f64; 3]> = numbers(3 * vertices).chunks(3).map(|c| [c[0], c[1], c[2]]).collect();
        inputs.set("x", &x);
    }
    inputs.set("ends", ends).set("w", &numbers(ends.len())).set("m", &numbers(vertices));
    inputs
}

fn graphs() -> Vec<(usize, Vec<[i64; 2]>)> {
    let mut random = Random(5);
    let mut graphs = vec![
        (1, vec![]),
        (4, vec![[2, 1]]),
        (6, (1..6).map(|v| if v % 2 == 0 { [0, v] } else { [v, 0] }).collect()),
        (5, vec![[1, 1], [1, 2], [2, 1], [4, 4], [4, 4]]),
    ];
    for n in [7, 40, 150] {
        let chance = (0..3 * n).map(|_| [random.below(n), random.below(n)]).collect();
        graphs.push((n, chance));
        // Each pair once.
        let side = n as i64;
        let chords = (0..side).flat_map(|v| [[v, (v + 1) % side], [(v + 3) % side, v]]);
        graphs.push((n, chords.collect()));
    }
    graphs
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
    // Twice: nothing is left of an evaluation in the next.
    let mut at = problem.evaluated().unwrap();
    at.matrix.fill(7.0);
    at.gradient.fill(7.0);
    problem.evaluate(&mut at).unwrap();
    (problem, at)
}

fn close(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
    for (k, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= REORDERED * scale, "{what} [{k}]: {a} instead of {b}");
    }
}

fn dense((problem, at): &(Problem, Evaluation)) -> Vec<f64> {
    let matrix = problem.matrix(&at.matrix);
    let entry = |k| matrix.get(k / matrix.cols(), k % matrix.cols()).copied().unwrap_or(0.0);
    (0..matrix.rows() * matrix.cols()).map(entry).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn options(strategy: Strategy) -> Options {
    Options { strategy, ..Options::new(Derivative::Hessian) }
}

#[test]
fn every_road_engine_and_number_of_threads() {
    for text in ALL {
        let kernel = kernel(text);
        for (n, (vertices, ends)) in graphs().into_iter().enumerate() {
            let what = format!("{}, graph {n}", kernel.name());
            let inputs = inputs(text, vertices, &ends);
            let first = evaluate(&kernel, &inputs, &options(Strategy::Structural));
            let whole = evaluate(&kernel, &inputs, &options(Strategy::Dense));
            close(&dense(&first), &dense(&whole), &what);
            close(&first.1.results, &whole.1.results, &what);
            close(&first.1.gradient, &whole.1.gradient, &what);
            let products = evaluate(&kernel, &inputs, &options(Strategy::Compressed));
            close(&dense(&first), &dense(&products), &what);
            let matrix = first.0.matrix(&first.1.matrix);
            for (value, (row, col)) in &matrix {
                assert_eq!(
                    matrix.get(col, row).map(|x| x.to_bits()),
                    Some(value.to_bits()),
                    "{what}: symmetry"
                );
            }
            for (engine, threads) in
                [(Engine::Interp, 1), (Engine::Jit, 2), (Engine::Jit, 3), (Engine::Jit, 8)]
            {
                let other = Options { engine, threads, ..options(Strategy::Structural) };
                let found = evaluate(&kernel, &inputs, &other);
                assert_eq!(**found.0.pattern(), **first.0.pattern(), "{what}: {engine:?}, {threads}");
                assert_eq!(bits(&found.1.matrix), bits(&first.1.matrix), "{what}: {engine:?}, {threads}");
                assert_eq!(bits(&found.1.gradient), bits(&first.1.gradient), "{what}: {engine:?}, {threads}");
                if engine == Engine::Jit {
                    assert_eq!(bits(&found.1.results), bits(&first.1.results), "{what}: {threads}");
                }
            }
        }
    }
}

#[test]
fn parts_of_the_matrix_are_those_of_the_whole() {
    for text in ALL {
        let kernel = kernel(text);
        for (vertices, ends) in graphs().into_iter().skip(3).take(3) {
            let inputs = inputs(text, vertices, &ends);
            let whole = evaluate(&kernel, &inputs, &options(Strategy::Structural));
            let lower = Assembly { triangle: Triangle::Lower, ..Assembly::default() };
            let part =
                evaluate(&kernel, &inputs, &Options { assembly: lower, ..options(Strategy::Structural) });
            let (whole, part, n) = (dense(&whole), dense(&part), whole.0.columns());
            let kept: Vec<f64> = (0..n * n).map(|k| if k % n <= k / n { whole[k] } else { 0.0 }).collect();
            close(&part, &kept, kernel.name());
            let name = if text == ARRAYS { "t" } else { "x" };
            let all = Fixed::Of(name.into(), vec![true; vertices]);
            let fixed = Assembly { fixed: vec![all], ..Assembly::default() };
            let free =
                evaluate(&kernel, &inputs, &Options { assembly: fixed, ..options(Strategy::Structural) });
            assert_eq!(free.0.columns(), if text == ARRAYS { 2 * vertices } else { 0 });
        }
    }
}

#[test]
fn other_graphs_are_bound_and_problems_forked() {
    for text in ALL {
        let kernel = kernel(text);
        for threads in [1, 2] {
            let options = Options { threads, ..options(Strategy::Structural) };
            let (vertices, ends) = graphs().remove(4);
            let mut problem = Problem::prepare(&kernel, &inputs(text, vertices, &ends), &options).unwrap();
            let pattern = Arc::clone(problem.pattern());
            let before = problem.evaluated().unwrap();
            // The same graph again: the same pattern.
            problem.rebind(&inputs(text, vertices, &ends)).unwrap();
            assert_eq!(**problem.pattern(), *pattern);
            assert_eq!(problem.evaluated().unwrap(), before);
            // Other weights.
            let mut weights = Inputs::new();
            weights.set("w", &vec![0.5; ends.len()]);
            problem.rebind(&weights).unwrap();
            assert!(Arc::ptr_eq(problem.pattern(), &pattern) || **problem.pattern() == *pattern);
            for (vertices, ends) in graphs() {
                let inputs = inputs(text, vertices, &ends);
                problem.rebind(&inputs).unwrap();
                let fresh = evaluate(&kernel, &inputs, &options);
                assert_eq!(**problem.pattern(), **fresh.0.pattern());
                assert_eq!(problem.evaluated().unwrap(), fresh.1);
                assert_eq!(problem.fork().unwrap().evaluated().unwrap(), fresh.1);
            }
        }
    }
}

#[test]
fn a_subscript_outside_is_found() {
    let text = "
        kernel k<V, E, T>(x: var vec3[V], table: int[T], ends: index<T>[E, 2], w: f64[E]) -> f64 {
            sum e: [a, b] in ends { w[e] * sqnorm(x[table[a]] - x[table[b]])^2 }
        }";
    let kernel = kernel(text);
    let mut inputs = Inputs::new();
    inputs.set("x", &[[0.0, 1.0, 2.0], [1.0, 0.0, 3.0]][..]).set("w", &[1.0, 2.0]);
    inputs.set("ends", &[[0, 1], [1, 2]][..]).set("table", &[0, 1, 0][..]);
    for engine in [Engine::Jit, Engine::Interp] {
        let options = Options { engine, ..options(Strategy::Structural) };
        Problem::prepare(&kernel, &inputs, &options).unwrap();
        for wrong in [2, -1] {
            let mut inputs = inputs.clone();
            inputs.set("table", &[0, 1, wrong][..]);
            let error = Problem::prepare(&kernel, &inputs, &options).unwrap_err().to_string();
            assert!(error.contains("`x`") && error.contains(&wrong.to_string()), "{error}");
        }
    }
}
