//! Every derivative operator against difference quotients of what it is the derivative of, on every road and engine.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina::product::{Kind, ProductMut, Products, derivative, second_derivative};

/// Step of central differences, and what they may differ by: the error of the quotient is about step^2 and rounding / step.
const STEP: f64 = 1e-5;
const QUOTIENT: f64 = 1e-8;
/// Rounding between roads.
const ROUNDING: f64 = 1e-13;

fn kernel(text: &str) -> Kernel {
    Module::from_text("test.ir", text).unwrap().kernel(None).unwrap()
}

fn wave(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| 0.3 + (1.7 * i as f64 + phase).sin()).collect()
}

/// An objective, an array and a scalar result, of two arrays of unknowns and a parameter, with tables.
const CONSTRAINED: &str = "
    kernel constrained<V, E>(x: var vec2[V], y: var f64[V], edges: index<V>[E, 2], w: f64[E], p: f64)
        -> (objective: f64, flow: f64[E, 2], total: f64) {
        let energy = sum e: [i, j] in edges { w[e] * p * exp(0.3 * dot(x[i], x[j])) * y[i] };
        let flow = map e: [i, j] in edges { let d = x[i] - x[j]; [sin(d[0]) * y[j] * p, d[1]^3 + p^2 * y[i]^2] };
        let total = sum v in 0..V { sqnorm(x[v]) * y[v] };
        (energy, flow, total)
    }";

fn constrained() -> (Kernel, Inputs) {
    let mut inputs = Inputs::new();
    let x: Vec<[f64; 2]> = wave(8, 0.1).chunks(2).map(|c| [c[0], c[1]]).collect();
    // One edge from a vertex to itself, one twice.
    let edges = [[0_i64, 1], [1, 2], [3, 3], [1, 2], [2, 0]];
    inputs
        .set("x", &x)
        .set("y", &wave(4, 0.5))
        .set("edges", &edges[..])
        .set("w", &wave(5, 0.9))
        .set("p", &0.8);
    (kernel(CONSTRAINED), inputs)
}

fn multiplied(inputs: &Inputs) -> Inputs {
    let mut inputs = inputs.clone();
    let flow: Vec<[f64; 2]> = wave(10, 2.0).chunks(2).map(|c| [c[0], c[1]]).collect();
    inputs.set("multipliers.objective", &0.7).set("multipliers.flow", &flow).set("multipliers.total", &-0.4);
    inputs
}

fn ways(options: &Options) -> Vec<Options> {
    let mut all = Vec::new();
    for (engine, threads) in [(Engine::Jit, 1), (Engine::Jit, 3), (Engine::Interp, 1)] {
        for strategy in [Strategy::Structural, Strategy::Compressed, Strategy::Dense] {
            all.push(Options { engine, threads, strategy, ..options.clone() });
        }
    }
    all
}

fn dense(problem: &Problem, values: &[f64]) -> Vec<Vec<f64>> {
    let matrix = problem.matrix(values);
    let row = |r: usize| (0..matrix.cols()).map(|c| matrix.get(r, c).copied().unwrap_or(0.0)).collect();
    (0..matrix.rows()).map(row).collect()
}

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
    let at = problem.evaluated().unwrap();
    (problem, at)
}

/// Values of an array of floats.
fn floats(inputs: &Inputs, name: &str) -> Vec<f64> {
    inputs.get(name).unwrap().to_f64(name).unwrap().into_owned()
}

/// Columns of difference quotients of what `of` computes, by the elements of the named arrays.
fn quotients(
    problem: &mut Problem,
    inputs: &Inputs,
    names: &[&str],
    of: impl Fn(&mut Problem) -> Vec<f64>,
) -> Vec<Vec<f64>> {
    let mut columns = Vec::new();
    for name in names {
        let start = floats(inputs, name);
        for k in 0..start.len() {
            let mut at = |step: f64| {
                let mut moved = start.clone();
                moved[k] += step;
                problem.set_values(name, &moved).unwrap();
                of(problem)
            };
            let (after, before) = (at(STEP), at(-STEP));
            columns.push(after.iter().zip(&before).map(|(a, b)| (a - b) / (2.0 * STEP)).collect());
        }
        problem.set_values(name, &start).unwrap();
    }
    columns
}

/// The matrix with these columns against that with those rows.
fn same_columns(matrix: &[Vec<f64>], columns: &[Vec<f64>], tolerance: f64, what: &str) {
    for (r, row) in matrix.iter().enumerate() {
        assert_eq!(row.len(), columns.len(), "{what}");
        for (c, &value) in row.iter().enumerate() {
            let wanted = columns[c][r];
            assert!(
                (value - wanted).abs() <= tolerance * (1.0 + wanted.abs()),
                "{what} ({r}, {c}): {value} {wanted}"
            );
        }
    }
}

fn same(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (k, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what} [{k}]: {a} {b}");
    }
}

fn transposed_times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    let columns = matrix.first().map_or(0, Vec::len);
    (0..columns).map(|c| matrix.iter().zip(vector).map(|(row, v)| row[c] * v).sum()).collect()
}

fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}

#[test]
fn the_hessian_of_the_lagrangian_is_that_of_the_weighted_sum() {
    let (kernel, inputs) = constrained();
    let inputs = multiplied(&inputs);
    let weights: Vec<f64> = [vec![0.7], floats(&inputs, "multipliers.flow"), vec![-0.4]].concat();
    // The oracle: the Jacobian by differences of results, its weighted sum, and differences of that.
    let (mut value, _) =
        evaluate(&kernel, &inputs_without_multipliers(&inputs), &Options::new(Derivative::Value));
    let jacobian = quotients(&mut value, &inputs, &["x", "y"], |p| p.evaluated().unwrap().results);
    let gradient: Vec<f64> =
        jacobian.iter().map(|column| column.iter().zip(&weights).map(|(a, b)| a * b).sum()).collect();
    let mut reference = None;
    for options in ways(&Options::new(Derivative::Lagrangian)) {
        let (mut problem, at) = evaluate(&kernel, &inputs, &options);
        assert_eq!(at.results.len(), 12);
        same(&at.results, &value.evaluated().unwrap().results, ROUNDING, "results");
        same(&at.gradient, &gradient, QUOTIENT, "gradient");
        let matrix = dense(&problem, &at.matrix);
        let columns = quotients(&mut problem, &inputs, &["x", "y"], |p| p.evaluated().unwrap().gradient);
        same_columns(&matrix, &columns, QUOTIENT, &format!("{options:?}"));
        let found = reference.get_or_insert_with(|| matrix.clone());
        same(&matrix.concat(), &found.concat(), ROUNDING, &format!("{options:?}"));
        let mut products = Products::with_values(&problem, Kind::Hvp).unwrap();
        let direction = wave(12, 3.0);
        let (mut product, mut results, mut beside) = (vec![0.0; 12], vec![0.0; 12], vec![0.0; 12]);
        let into = ProductMut { results: &mut results, gradient: &mut beside, product: &mut product };
        products.apply_into(&direction, into).unwrap();
        same(&product, &times(&matrix, &direction), ROUNDING, "hvp");
        same(&results, &at.results, 0.0, "results beside hvp");
        same(&beside, &at.gradient, ROUNDING, "gradient beside hvp");
        // Multipliers change without preparing again, and stay with a rebind.
        problem.set_values("multipliers.flow", &[0.0; 10]).unwrap();
        problem.set("multipliers.objective", &2.0).unwrap();
        problem.rebind(&Inputs::new()).unwrap();
        problem.set_values("multipliers.total", &[0.0]).unwrap();
        let objective = problem.evaluated().unwrap();
        let first: Vec<f64> = jacobian.iter().map(|column| 2.0 * column[0]).collect();
        same(&objective.gradient, &first, QUOTIENT, "the objective alone");
    }
}

fn inputs_without_multipliers(inputs: &Inputs) -> Inputs {
    let mut plain = Inputs::new();
    for name in inputs.names().filter(|name| !name.starts_with("multipliers.")) {
        plain.set(name, inputs.get(name).unwrap());
    }
    plain
}

#[test]
fn multipliers_are_checked() {
    let (kernel, inputs) = constrained();
    let prepare = |inputs: &Inputs| Problem::prepare(&kernel, inputs, &Options::new(Derivative::Lagrangian));
    let message = |result: Result<Problem, Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), 4);
        error.to_string()
    };
    let missing = message(prepare(&inputs));
    assert!(
        missing.contains("`multipliers.flow` (f64[E, 2])") && missing.contains("multipliers.total"),
        "{missing}"
    );
    assert!(!missing.contains("objective"), "{missing}");
    let all = multiplied(&inputs);
    assert!(message(prepare(all.clone().set("multipliers.flow", &[1.0, 2.0]))).contains("[5, 2]"));
    assert!(
        message(prepare(all.clone().set("multipliers.nothing", &1.0))).contains("objective, flow, total")
    );
    let mut value = Problem::prepare(&kernel, &all, &Options::new(Derivative::Value)).unwrap();
    assert!(value.set_values("multipliers.total", &[1.0]).unwrap_err().to_string().contains("Lagrangian"));
}

#[test]
fn gauss_newton_is_the_product_of_the_jacobian() {
    let (kernel, inputs) = constrained();
    for options in ways(&Options::new(Derivative::GaussNewton)) {
        let jacobian = Options { derivative: Derivative::Jacobian, ..options.clone() };
        let (problem, at) = evaluate(&kernel, &inputs, &jacobian);
        let jacobian = dense(&problem, &at.matrix);
        let by_columns: Vec<Vec<f64>> =
            (0..12).map(|c| jacobian.iter().map(|row| row[c]).collect()).collect();
        let normal: Vec<Vec<f64>> =
            by_columns.iter().map(|column| transposed_times(&jacobian, column)).collect();
        let (mut problem, found) = evaluate(&kernel, &inputs, &options);
        assert_eq!((problem.rows(), problem.columns()), (12, 12));
        same(&found.results, &at.results, ROUNDING, "results");
        same(&found.gradient, &transposed_times(&jacobian, &at.results), ROUNDING, "J^T r");
        same(&dense(&problem, &found.matrix).concat(), &normal.concat(), ROUNDING, &format!("{options:?}"));
        assert_eq!(problem.evaluated().unwrap(), found);
        let alone = Options { value: false, ..options.clone() };
        let (_, without) = evaluate(&kernel, &inputs, &alone);
        assert_eq!(
            (without.results.len(), &without.gradient, &without.matrix),
            (0, &found.gradient, &found.matrix)
        );
        let alone = Options { value: false, gradient: false, ..options };
        let (_, without) = evaluate(&kernel, &inputs, &alone);
        assert_eq!((without.results.len(), without.gradient.len(), &without.matrix), (0, 0, &found.matrix));
    }
}

#[test]
fn mixed_blocks_have_rows_and_columns_of_their_own() {
    let text =
        "kernel mixed<V, E>(x: var vec2[V], y: var f64[V], edges: index<V>[E, 2], w: f64[E], p: f64) -> f64 {
        sum e: [i, j] in edges { w[e]^2 * exp(p * dot(x[i], x[j])) * y[i] } + sum v in y { p * v^3 }
    }";
    let (_, inputs) = constrained();
    let kernel = kernel(text);
    let blocks: [(&[&str], &[&str]); 5] = [
        (&["x", "y"], &["p"]),
        (&["x"], &["y"]),
        (&["y"], &["w", "p"]),
        (&["p"], &["x"]),
        (&["x", "y"], &["y", "w"]),
    ];
    for (rows, columns) in blocks {
        for options in
            ways(&Options::new(Derivative::Hessian).rows(rows.iter().copied()).wrt(columns.iter().copied()))
        {
            let (mut problem, at) = evaluate(&kernel, &inputs, &options);
            let matrix = dense(&problem, &at.matrix);
            assert_eq!((matrix.len(), at.gradient.len()), (problem.rows(), problem.rows()));
            let of_gradient = quotients(&mut problem, &inputs, columns, |p| p.evaluated().unwrap().gradient);
            same_columns(&matrix, &of_gradient, QUOTIENT, &format!("{options:?}"));
            let wanted = quotients(&mut problem, &inputs, rows, |p| p.evaluated().unwrap().results);
            same(&at.gradient, &wanted.concat(), QUOTIENT, "gradient by the rows");
            let mut products = Products::new(&problem, Kind::Hvp).unwrap();
            assert_eq!(products.lengths(), (problem.columns(), problem.rows()));
            let direction = wave(problem.columns(), 1.0);
            same(&products.product(&direction).unwrap(), &times(&matrix, &direction), ROUNDING, "product");
        }
    }
    let jacobian = Options::new(Derivative::Jacobian).rows(["x"]);
    assert_eq!(Problem::prepare(&kernel, &inputs, &jacobian).unwrap_err().exit_code(), 2);
}

#[test]
fn products_and_what_they_are_the_change_of() {
    let (kernel, inputs) = constrained();
    for engine in [Engine::Jit, Engine::Interp] {
        for threads in [1, 3] {
            let options = Options { engine, threads, ..Options::new(Derivative::Jacobian) };
            let (problem, at) = evaluate(&kernel, &inputs, &options);
            let matrix = dense(&problem, &at.matrix);
            let (tangents, weights) = (wave(36, 0.2), wave(24, 0.7));
            let mut forward = Products::new(&problem, Kind::Jvp).unwrap();
            let mut products = vec![0.0; 36];
            forward.apply_many(&tangents, &mut products).unwrap();
            for (direction, product) in tangents.chunks(12).zip(products.chunks(12)) {
                same(product, &times(&matrix, direction), ROUNDING, "jvp");
            }
            assert!(forward.apply_many(&tangents[1..], &mut products).is_err());
            let mut reverse = Products::new(&problem, Kind::Vjp).unwrap();
            let mut products = vec![0.0; 24];
            reverse.apply_many(&weights, &mut products).unwrap();
            for (direction, product) in weights.chunks(12).zip(products.chunks(12)) {
                same(product, &transposed_times(&matrix, direction), ROUNDING, "vjp");
            }
            for kind in [Kind::Jvp, Kind::Vjp, Kind::Second] {
                let mut alone = Products::new(&problem, kind).unwrap();
                let mut beside = Products::with_values(&problem, kind).unwrap();
                let (mut results, mut product) = (vec![0.0; 12], vec![0.0; 12]);
                let into = ProductMut { results: &mut results, gradient: &mut [], product: &mut product };
                beside.apply_into(&weights[..12], into).unwrap();
                same(&results, &at.results, ROUNDING, "results");
                same(&product, &alone.product(&weights[..12]).unwrap(), ROUNDING, "product");
                assert_eq!(beside.apply(&weights[..12], &mut product).unwrap_err().exit_code(), 2);
            }
        }
    }
}

#[test]
fn second_derivatives_along_a_line() {
    let (kernel, inputs) = constrained();
    let (problem, _) = evaluate(&kernel, &inputs, &Options::new(Derivative::Value));
    let direction = wave(12, 0.4);
    let found = Products::new(&problem, Kind::Second).unwrap().product(&direction).unwrap();
    let along = |step: f64| {
        let mut moved = problem.fork().unwrap();
        let shift = |name: &str, by: &[f64]| -> Vec<f64> {
            floats(&inputs, name).iter().zip(by).map(|(x, v)| x + step * v).collect()
        };
        moved.set_values("x", &shift("x", &direction[..8])).unwrap();
        moved.set_values("y", &shift("y", &direction[8..])).unwrap();
        Products::new(&moved, Kind::Jvp).unwrap().product(&direction).unwrap()
    };
    let quotient: Vec<f64> =
        along(STEP).iter().zip(along(-STEP)).map(|(a, b)| (a - b) / (2.0 * STEP)).collect();
    same(&found, &quotient, QUOTIENT, "v^T H v");
}

#[test]
fn derivatives_by_one_number() {
    let kernel = kernel(
        "kernel k<N>(t: var f64, a: f64[N]) -> (s: f64, v: f64[N]) { (sin(t), map i in 0..N { a[i] * exp(a[i] * t) }) }",
    );
    let mut inputs = Inputs::new();
    inputs.set("t", &0.3).set("a", &[1.0, -2.0]);
    for engine in [Engine::Jit, Engine::Interp] {
        let options = Options { engine, ..Options::new(Derivative::Value) };
        let problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
        let e = |a: f64, n: i32| a.powi(n + 1) * (a * 0.3).exp();
        same(&derivative(&problem).unwrap(), &[0.3_f64.cos(), e(1.0, 1), e(-2.0, 1)], ROUNDING, "first");
        same(
            &second_derivative(&problem).unwrap(),
            &[-0.3_f64.sin(), e(1.0, 2), e(-2.0, 2)],
            ROUNDING,
            "second",
        );
    }
    let (kernel, inputs) = constrained();
    let problem = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Value)).unwrap();
    assert!(derivative(&problem).unwrap_err().to_string().contains("12 unknowns"));
    let options = Options::new(Derivative::Value).wrt(["p"]);
    let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
    let first = derivative(&problem).unwrap();
    let quotient = quotients(&mut problem, &inputs, &["p"], |p| p.evaluated().unwrap().results);
    same(&first, &quotient[0], QUOTIENT, "by a parameter");
    let quotient = quotients(&mut problem, &inputs, &["p"], |p| derivative(p).unwrap());
    same(&second_derivative(&problem).unwrap(), &quotient[0], QUOTIENT, "twice by a parameter");
}

#[test]
fn matrices_come_without_what_stands_beside_them() {
    let (kernel, inputs) = constrained();
    let inputs = multiplied(&inputs);
    for derivative in [Derivative::Jacobian, Derivative::Lagrangian] {
        for options in ways(&Options::new(derivative)) {
            let (_, all) = evaluate(&kernel, &inputs, &options);
            let alone = Options { value: false, gradient: false, ..options.clone() };
            let (_, found) = evaluate(&kernel, &inputs, &alone);
            assert_eq!((found.results.len(), found.gradient.len()), (0, 0));
            same(&found.matrix, &all.matrix, ROUNDING, &format!("{options:?}"));
            let (_, found) = evaluate(&kernel, &inputs, &Options { gradient: false, ..options.clone() });
            assert_eq!((&found.results, found.gradient.len()), (&all.results, 0));
            let (_, found) = evaluate(&kernel, &inputs, &Options { value: false, ..options });
            assert_eq!((found.results.len(), found.gradient.len()), (0, all.gradient.len()));
            same(&found.gradient, &all.gradient, ROUNDING, "gradient");
        }
    }
}

/// The derivative of a Hessian-vector product along a second direction, and its sparse matrix, are those of a kernel.
#[test]
fn third_order_by_composition() {
    let kernel = kernel(
        "kernel k<N, E>(x: var f64[N], edges: index<N>[E, 2], p: f64) -> f64 {
            sum [i, j] in edges { exp(p * x[i]) * sin(x[j]) * x[i] } + sum i in 1..N { x[i - 1]^3 * x[i] }
        }",
    );
    let mut inputs = Inputs::new();
    inputs.set("x", &wave(5, 0.0)).set("edges", &[[0_i64, 3], [2, 1], [4, 4]]).set("p", &0.6);
    let (v, u) = (wave(5, 1.0), wave(5, 2.0));
    let hvp = kernel.product_kernel(Kind::Hvp, None).unwrap();
    let mut composed = inputs.clone();
    composed.set("x_dot", &v);
    let (first, _) = evaluate(&kernel, &inputs, &Options::new(Derivative::Hessian));
    let mut reference = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Value)).unwrap();
    let columns = quotients(&mut reference, &inputs, &["x"], |p| {
        Products::new(p, Kind::Hvp).unwrap().product(&v).unwrap()
    });
    for options in ways(&Options::new(Derivative::Jacobian)) {
        let (problem, at) = evaluate(&hvp, &composed, &options);
        same(
            &at.results,
            &Products::new(&first, Kind::Hvp).unwrap().product(&v).unwrap(),
            ROUNDING,
            "the product",
        );
        let third = dense(&problem, &at.matrix);
        same_columns(&third, &columns, QUOTIENT, &format!("{options:?}"));
        // Sparse: x[3] and x[1] share no term.
        assert!(options.strategy == Strategy::Dense || problem.pattern().find(3, 1).is_none());
        let along = Products::new(&problem, Kind::Jvp).unwrap().product(&u).unwrap();
        same(&along, &times(&third, &u), ROUNDING, "along a direction");
        // Symmetric in all three.
        let other = Products::new(&problem, Kind::Vjp).unwrap().product(&u).unwrap();
        same(&other, &along, 1e-11, "symmetry");
    }
    // Composition goes on: the third order along both directions is a kernel, too.
    let third = hvp.product_kernel(Kind::Jvp, Some(&["x".to_owned()])).unwrap();
    composed.set("x_dot1", &u);
    let names: Vec<String> = third.lowered().params.iter().map(|p| p.name.clone()).collect();
    let direction = names.iter().filter(|name| name.starts_with("x_dot")).count();
    assert_eq!(direction, 2, "{names:?}");
}

#[test]
fn single_precision_has_all_operators() {
    let text = |float: &str| {
        format!(
            "kernel k<N>(x: var {float}[N], w: {float}[N]) -> (objective: {float}, r: {float}[N]) {{
                (sum i in 0..N {{ w[i] * x[i]^3 * x[(i + 1) % N] }}, map i in 0..N {{ sin(x[i]) * x[(i + 1) % N] }})
            }}"
        )
    };
    let (double, single) = (kernel(&text("f64")), kernel(&text("f32")));
    let mut inputs = Inputs::new();
    inputs.set("x", &wave(6, 0.3)).set("w", &wave(6, 0.6)).set("multipliers.r", &wave(6, 0.8));
    let tolerance = 4e-6;
    for derivative in
        [Derivative::Value, Derivative::Jacobian, Derivative::Lagrangian, Derivative::GaussNewton]
    {
        for options in ways(&Options::new(derivative)) {
            let (one, wanted) = evaluate(&double, &inputs, &options);
            let (two, found) = evaluate(&single, &inputs, &options);
            same(&found.results, &wanted.results, tolerance, "results");
            same(&found.gradient, &wanted.gradient, tolerance, "gradient");
            same(&found.matrix, &wanted.matrix, tolerance, &format!("{options:?}"));
            for kind in [Kind::Jvp, Kind::Vjp, Kind::Second] {
                let direction = wave(if kind == Kind::Vjp { 7 } else { 6 }, 0.9);
                let wanted = Products::new(&one, kind).unwrap().product(&direction).unwrap();
                let found = Products::new(&two, kind).unwrap().product(&direction).unwrap();
                same(&found, &wanted, tolerance, &format!("{kind:?}"));
            }
            if derivative == Derivative::Lagrangian {
                let wanted = Products::new(&one, Kind::Hvp).unwrap().product(&wave(6, 0.9)).unwrap();
                let found = Products::new(&two, Kind::Hvp).unwrap().product(&wave(6, 0.9)).unwrap();
                same(&found, &wanted, tolerance, "hvp");
            }
        }
    }
}

/// A prepared problem is shared by threads; each evaluates at its own point with its own memory, to the same bits.
#[test]
fn threads_share_a_prepared_problem() {
    let (kernel, inputs) = constrained();
    let inputs = multiplied(&inputs);
    for options in ways(&Options::new(Derivative::Lagrangian)) {
        let problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
        let found: Vec<Evaluation> = std::thread::scope(|scope| {
            let work = |n: u32| {
                let shared = &problem;
                move || {
                    let mut mine = shared.fork().unwrap();
                    mine.set_values("x", &wave(8, f64::from(n))).unwrap();
                    let mut at = mine.evaluation();
                    for _ in 0..20 {
                        mine.evaluate(&mut at).unwrap();
                    }
                    at
                }
            };
            let threads: Vec<_> = (0..3).map(|n| scope.spawn(work(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut alone = problem.fork().unwrap();
        for (n, found) in (0..).zip(found) {
            alone.set_values("x", &wave(8, f64::from(n))).unwrap();
            assert_eq!(alone.evaluated().unwrap(), found, "{options:?}");
        }
    }
}
