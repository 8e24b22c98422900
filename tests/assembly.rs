//! Which entries a matrix has and how they are stored: on every road, engine and number of threads the same as cut out of the whole.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{
    Assembly, Derivative, Engine, Fixed, FixedRule, Format, IndexWidth, Options, Strategy, Triangle,
};
use spadina::problem::{Evaluation, Problem};
use spadina::product::{Kind, Products};
use spadina::sum::Sum;
use std::sync::Arc;

/// Rounding between roads.
const ROUNDING: f64 = 1e-13;

const BENT: &str = "
    kernel bent<V, E>(x: var vec2[V], y: var f64[V], edges: index<V>[E, 2], k: f64 = 1.0) -> f64 {
        sum [i, j] in edges { k * exp(0.3 * dot(x[i], x[j])) * y[i] + sqnorm(x[i])^2 }
    }";

/// Intermediate arrays that loops fill and others read: what the runtime eliminates.
const STAGED: &str = "
    kernel staged<V, E>(x: var vec2[V], y: var f64[V], edges: index<V>[E, 2]) -> f64 {
        let mut n = zeros[V];
        for [i, j] in edges {
            n[i] += sin(x[j][0]) * y[i];
            n[j] += x[i][1];
        }
        sum [i, j] in edges { n[i]^2 * n[j] }
    }";

/// Affine: complete rows are stored in order where nothing is dropped.
const CHAIN: &str = "
    kernel chain<N>(x: var f64[N]) -> f64 { sum i in 1..N { (x[i]^2 - x[i - 1])^2 } }";

fn kernel(text: &str) -> Kernel {
    Module::from_text("test.ir", text).unwrap().kernel(None).unwrap()
}

fn wave(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| 0.3 + (1.7 * i as f64 + phase).sin()).collect()
}

fn inputs() -> Inputs {
    let mut inputs = Inputs::new();
    let x: Vec<[f64; 2]> = wave(10, 0.1).chunks(2).map(|c| [c[0], c[1]]).collect();
    // An edge from a vertex to itself, one twice and turned around, a vertex without edges.
    let edges = [[0_i64, 1], [1, 2], [3, 3], [2, 1], [1, 2], [2, 0]];
    inputs.set("x", &x).set("y", &wave(5, 0.5)).set("edges", &edges[..]);
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

fn evaluate(kernel: &Kernel, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let mut problem = Problem::prepare(kernel, inputs, options).unwrap();
    let at = problem.evaluated().unwrap();
    (problem, at)
}

type Dense = Vec<Vec<f64>>;

fn dense(problem: &Problem, values: &[f64]) -> Dense {
    let matrix = problem.matrix(values);
    let row = |r: usize| (0..matrix.cols()).map(|c| matrix.get(r, c).copied().unwrap_or(0.0)).collect();
    (0..matrix.rows()).map(row).collect()
}

fn same(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (k, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= ROUNDING * (1.0 + b.abs()), "{what} [{k}]: {a} {b}");
    }
}

/// The oracle: rows and columns cut out of the whole matrix, one triangle of it.
fn cut(whole: &Dense, fixed: &[usize], rule: FixedRule, triangle: Triangle) -> Dense {
    let n = whole.len();
    let keep: Vec<usize> = (0..n).filter(|k| rule == FixedRule::Identity || !fixed.contains(k)).collect();
    let entry = |r: usize, c: usize| match (fixed.contains(&r) || fixed.contains(&c), r == c) {
        (true, same) => f64::from(u8::from(same)),
        (false, _) => whole[r][c],
    };
    let inside = |r: usize, c: usize| match triangle {
        Triangle::Full => true,
        Triangle::Lower => c <= r,
        Triangle::Upper => c >= r,
    };
    let row = |&r: &usize| keep.iter().map(|&c| if inside(r, c) { entry(r, c) } else { 0.0 }).collect();
    keep.iter().map(row).collect()
}

#[test]
fn every_choice_on_every_road_is_cut_out_of_the_whole() {
    for text in [BENT, STAGED, CHAIN] {
        let kernel = kernel(text);
        let inputs = if text == CHAIN { Inputs::new().set("x", &wave(15, 0.2)).clone() } else { inputs() };
        let whole = evaluate(
            &kernel,
            &inputs,
            &Options { strategy: Strategy::Dense, ..Options::new(Derivative::Hessian) },
        );
        let gradient = whole.1.gradient.clone();
        let whole = dense(&whole.0, &whole.1.matrix);
        for fixed in [vec![], vec![0, 3, 14], (0..15).collect::<Vec<usize>>()] {
            for rule in [FixedRule::Drop, FixedRule::Identity] {
                for triangle in [Triangle::Full, Triangle::Lower, Triangle::Upper] {
                    let wanted = cut(&whole, &fixed, rule, triangle);
                    let assembly = Assembly {
                        triangle,
                        fixed: vec![Fixed::List(fixed.clone())],
                        fixed_rule: rule,
                        ..Assembly::default()
                    };
                    let options = Options { assembly, ..Options::new(Derivative::Hessian) };
                    let free: Vec<f64> = (0..15)
                        .filter(|k| rule == FixedRule::Identity || !fixed.contains(k))
                        .map(|k| if fixed.contains(&k) { 0.0 } else { gradient[k] })
                        .collect();
                    let mut patterns: Vec<(Strategy, u64)> = Vec::new();
                    for options in ways(&options) {
                        let what = format!("{text} {options:?}");
                        let (mut problem, at) = evaluate(&kernel, &inputs, &options);
                        same(&dense(&problem, &at.matrix).concat(), &wanted.concat(), &what);
                        same(&at.gradient, &free, &what);
                        assert_eq!(
                            (problem.rows(), problem.columns()),
                            (wanted.len(), wanted.len()),
                            "{what}"
                        );
                        assert_eq!(problem.evaluated().unwrap(), at, "{what}");
                        // One road has one pattern, whoever computes.
                        match patterns.iter().find(|(strategy, _)| *strategy == options.strategy) {
                            Some(&(_, id)) => assert_eq!(id, problem.pattern_id(), "{what}"),
                            None => patterns.push((options.strategy, problem.pattern_id())),
                        }
                        if triangle == Triangle::Full && !wanted.is_empty() {
                            let direction = wave(wanted.len(), 0.8);
                            let product: Vec<f64> = wanted
                                .iter()
                                .map(|row| row.iter().zip(&direction).map(|(a, b)| a * b).sum())
                                .collect();
                            let mut products = Products::new(&problem, Kind::Hvp).unwrap();
                            same(&products.product(&direction).unwrap(), &product, &what);
                        }
                    }
                }
            }
        }
    }
}

/// The matrix, read back from its storage.
fn read(problem: &Problem, values: &[f64]) -> Dense {
    let storage = problem.storage();
    let (rows, cols) = storage.shape;
    let (starts, indices): (Vec<usize>, Vec<usize>) =
        (storage.starts().iter().collect(), storage.indices().iter().collect());
    let mut dense = vec![vec![0.0; cols]; rows];
    match storage.format {
        Format::Csr => {
            for r in 0..rows {
                (starts[r]..starts[r + 1]).for_each(|k| dense[r][indices[k]] += values[k]);
            }
        }
        Format::Csc => {
            for c in 0..cols {
                (starts[c]..starts[c + 1]).for_each(|k| dense[indices[k]][c] += values[k]);
            }
        }
        Format::Coo => (0..values.len()).for_each(|k| dense[starts[k]][indices[k]] += values[k]),
        Format::Bsr(height, width) => {
            for block_row in 0..rows / height {
                for k in starts[block_row]..starts[block_row + 1] {
                    for at in 0..height * width {
                        dense[block_row * height + at / width][indices[k] * width + at % width] +=
                            values[k * height * width + at];
                    }
                }
            }
        }
    }
    dense
}

#[test]
fn formats_and_index_widths_hold_the_same_matrix() {
    let (kernel, inputs) = (kernel(BENT), inputs());
    let formats =
        [Format::Csr, Format::Csc, Format::Coo, Format::Bsr(1, 1), Format::Bsr(5, 3), Format::Bsr(15, 15)];
    for triangle in [Triangle::Full, Triangle::Lower] {
        let assembly = Assembly { triangle, ..Assembly::default() };
        let options = Options { assembly, ..Options::new(Derivative::Hessian) };
        let (plain, at) = evaluate(&kernel, &inputs, &options);
        let wanted = dense(&plain, &at.matrix);
        for format in formats {
            for width in [IndexWidth::Bits32, IndexWidth::Bits64] {
                for mut options in ways(&options) {
                    (options.assembly.format, options.assembly.width) = (format, width);
                    let what = format!("{options:?}");
                    let (problem, at) = evaluate(&kernel, &inputs, &options);
                    same(&read(&problem, &at.matrix).concat(), &wanted.concat(), &what);
                    same(&dense(&problem, &at.matrix).concat(), &wanted.concat(), &what);
                    assert_eq!(problem.values_by_rows(&at.matrix).len(), problem.pattern().nnz());
                    let wide = problem.storage().indices().as_i64().is_some();
                    assert_eq!(wide, width == IndexWidth::Bits64);
                    assert_eq!(problem.storage().starts().as_i32().is_none(), wide);
                }
            }
        }
    }
    let mut options = Options::new(Derivative::Hessian);
    options.assembly.format = Format::Bsr(4, 4);
    assert_eq!(Problem::prepare(&kernel, &inputs, &options).unwrap_err().exit_code(), 2);
}

#[test]
fn attributes_fix_unknowns_by_masks() {
    let text = |attribute: &str| {
        format!(
            "#[derive(hessian(lower))]
            kernel k<V>({attribute} x: var vec2[V], a: bool[V], b: bool[V]) -> f64 {{
                sum i in 1..V {{ sqnorm(x[i] - x[i - 1])^2 * x[i][0] }}
            }}"
        )
    };
    let mut inputs = Inputs::new();
    let x: Vec<[f64; 2]> = wave(8, 0.1).chunks(2).map(|c| [c[0], c[1]]).collect();
    inputs.set("x", &x).set("a", &[true, false, false, true]).set("b", &[false, false, true, true]);
    let whole_kernel = kernel(&text(""));
    let (whole, at) = evaluate(&whole_kernel, &inputs, &Options::new(Derivative::Hessian));
    let whole = dense(&whole, &at.matrix);
    for (attribute, fixed) in [("#[fixed(a)]", vec![0, 1, 6, 7]), ("#[fixed(a, b)]", vec![0, 5, 6, 7])] {
        let kernel = kernel(&text(attribute));
        let options = kernel.default_options();
        assert_eq!(options.assembly.triangle, Triangle::Lower);
        for options in ways(&options) {
            let (mut problem, at) = evaluate(&kernel, &inputs, &options);
            let wanted = cut(&whole, &fixed, FixedRule::Drop, Triangle::Lower);
            same(
                &dense(&problem, &at.matrix).concat(),
                &wanted.concat(),
                &format!("{attribute} {options:?}"),
            );
            let free: Vec<usize> = (0..8).filter(|k| !fixed.contains(k)).collect();
            assert_eq!((0..4).map(|c| problem.unknown(c)).collect::<Vec<_>>(), free);
            assert_eq!(problem.column_name(0).unwrap(), format!("x[{}, {}]", free[0] / 2, free[0] % 2));
            // A mask is structural: it changes by preparing again, and the pattern with it.
            let before = problem.pattern_id();
            problem.rebind(Inputs::new().set("a", &[false; 4]).set("b", &[false; 4])).unwrap();
            assert_eq!(problem.columns(), 8);
            assert_ne!(problem.pattern_id(), before);
        }
        // Of a Jacobian only columns are fixed.
        let (problem, at) = evaluate(&kernel, &inputs, &Options::new(Derivative::Jacobian));
        assert_eq!((problem.rows(), problem.columns(), at.matrix.len()), (1, 4, 4));
        assert_eq!(kernel.freed().lowered().params[0].fixed.len(), 0);
    }
    let wrong =
        Module::from_text("m.ir", text("#[fixed(c)]").replace("b: bool[V]", "b: bool[V], c: bool[V, 3]"));
    inputs.set("c", &[[false; 3]; 4]);
    let refused =
        Problem::prepare(&wrong.unwrap().kernel(None).unwrap(), &inputs, &Options::new(Derivative::Hessian));
    assert!(matches!(refused.unwrap_err(), Error::Data(text) if text.contains("mask of `x`")));
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let (kernel, inputs) = (kernel(BENT), inputs());
    let refused = |assembly: Assembly, derivative| {
        let options = Options { assembly, ..Options::new(derivative) };
        Problem::prepare(&kernel, &inputs, &options).unwrap_err()
    };
    let fixing = |fixed| Assembly { fixed: vec![fixed], ..Assembly::default() };
    let hessian = Derivative::Hessian;
    assert_eq!(refused(fixing(Fixed::List(vec![15])), hessian).exit_code(), 4);
    assert_eq!(refused(fixing(Fixed::Mask(vec![true; 14])), hessian).exit_code(), 4);
    assert_eq!(refused(fixing(Fixed::Of("z".into(), vec![])), hessian).exit_code(), 2);
    assert_eq!(refused(fixing(Fixed::Of("x".into(), vec![true; 3])), hessian).exit_code(), 4);
    let lower = Assembly { triangle: Triangle::Lower, ..Assembly::default() };
    assert_eq!(refused(lower, Derivative::Jacobian).exit_code(), 2);
    let identity = Assembly { fixed_rule: FixedRule::Identity, ..Assembly::default() };
    assert_eq!(refused(identity, Derivative::Jacobian).exit_code(), 2);
    let mut by_vertex = Options::new(hessian);
    by_vertex.assembly = fixing(Fixed::Of("x".into(), vec![true, false, false, false, true]));
    assert_eq!(Problem::prepare(&kernel, &inputs, &by_vertex).unwrap().columns(), 11);
}

/// `rebind` compiles nothing, and the id of the pattern changes exactly when the pattern does.
#[test]
fn patterns_have_ids() {
    let (kernel, inputs) = (kernel(BENT), inputs());
    for options in ways(&Options::new(Derivative::Hessian)) {
        let (mut problem, _) = evaluate(&kernel, &inputs, &options);
        let (id, pattern) = (problem.pattern_id(), Arc::clone(problem.pattern()));
        problem.set("k", &3.0).unwrap();
        problem.set_values("x", &wave(10, 0.9)).unwrap();
        assert_eq!(problem.pattern_id(), id);
        // The same edges in another order.
        let edges = [[2_i64, 0], [1, 2], [3, 3], [2, 1], [1, 2], [0, 1]];
        problem.rebind(Inputs::new().set("edges", &edges[..])).unwrap();
        assert!(problem.pattern_id() == id && Arc::ptr_eq(problem.pattern(), &pattern), "{options:?}");
        let mut anew = inputs.clone();
        let x: Vec<[f64; 2]> = wave(10, 0.9).chunks(2).map(|c| [c[0], c[1]]).collect();
        anew.set("x", &x).set("k", &3.0).set("edges", &edges[..]);
        assert_eq!(evaluate(&kernel, &anew, &options).1, problem.evaluated().unwrap(), "{options:?}");
        let other = [[0_i64, 4], [1, 2]];
        problem.rebind(Inputs::new().set("edges", &other[..])).unwrap();
        assert!(problem.pattern_id() != id || options.strategy == Strategy::Dense, "{options:?}");
        problem.rebind(Inputs::new().set("edges", &edges[..])).unwrap();
        assert_eq!(problem.pattern_id(), id);
    }
}

#[test]
fn sums_are_assembled_like_their_parts() {
    let module = Module::from_text(
        "sum.ir",
        "kernel one<V, E>(x: var vec2[V], edges: index<V>[E, 2]) -> f64 { sum [i, j] in edges { sqnorm(x[i] - x[j])^2 } }
         kernel two<V>(y: var f64[V], #[fixed(pin)] x: var vec2[V], pin: bool[V]) -> f64 { sum i in 0..V { y[i] * x[i][0]^3 } }
         kernel all<V, E>(x: var vec2[V], edges: index<V>[E, 2], y: var f64[V]) -> f64 {
             (sum [i, j] in edges { sqnorm(x[i] - x[j])^2 }) + 2.0 * sum i in 0..V { y[i] * x[i][0]^3 }
         }",
    );
    let module = module.unwrap();
    let get = |name| module.kernel(Some(name)).unwrap();
    let (one, two, all) = (get("one"), get("two"), get("all"));
    let given = inputs();
    let pick = |names: &[&str]| {
        let mut some = Inputs::new();
        for name in names {
            some.set(*name, given.get(name).unwrap());
        }
        some
    };
    let (first, mut second) = (pick(&["x", "edges"]), pick(&["x", "y"]));
    second.set("pin", &[false, true, false, false, false]);
    let whole = pick(&["x", "edges", "y"]);
    for rule in [FixedRule::Drop, FixedRule::Identity] {
        for triangle in [Triangle::Full, Triangle::Lower] {
            let assembly =
                Assembly { triangle, fixed_rule: rule, format: Format::Csc, ..Assembly::default() };
            let options = Options { assembly, ..Options::new(Derivative::Hessian) };
            let mut fixing = options.clone();
            fixing.assembly.fixed = vec![Fixed::List(vec![2, 3, 11])];
            let (problem, wanted) = evaluate(&all, &whole, &fixing);
            for mut options in ways(&options) {
                options.assembly.fixed = vec![Fixed::List(vec![11])];
                let mut sum = Sum::prepare(&[(&one, &first), (&two, &second)], &options).unwrap();
                sum.set_weight(1, 2.0).unwrap();
                let mut at = sum.evaluation();
                sum.evaluate(&mut at).unwrap();
                same(&at.results, &wanted.results, "value");
                same(&at.gradient, &wanted.gradient, "gradient");
                let matrix = sum.matrix(&at.matrix);
                let wanted = dense(&problem, &wanted.matrix);
                for (r, row) in wanted.iter().enumerate() {
                    for (c, &value) in row.iter().enumerate() {
                        let found = matrix.get(r, c).copied().unwrap_or(0.0);
                        assert!((found - value).abs() <= ROUNDING * (1.0 + value.abs()), "{options:?}");
                    }
                }
                let id = sum.pattern_id();
                sum.set_values("x", &wave(10, 0.7)).unwrap();
                sum.rebind(0, Inputs::new().set("edges", &[[4_i64, 0]])).unwrap();
                assert!(sum.pattern_id() != id || options.strategy == Strategy::Dense);
                assert!(sum.set_values("nothing", &[]).is_err());
            }
        }
    }
    let mut short = second.clone();
    short.set("x", &[[0.0, 1.0]]).set("y", &[1.0]).set("pin", &[false]);
    let refused = Sum::prepare(&[(&one, &first), (&two, &short)], &Options::new(Derivative::Hessian));
    assert!(refused.unwrap_err().to_string().contains("`x` has 2 elements in `two`"));
    assert_eq!(Sum::prepare(&[], &Options::new(Derivative::Hessian)).unwrap_err().exit_code(), 2);
}

const fn shared<T: Send + Sync>() {}

const _: () = {
    shared::<Kernel>();
    shared::<Problem>();
    shared::<Products>();
    shared::<Error>();
};
