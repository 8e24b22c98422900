//! Literals that scale unknowns: joined only where no result is lost, and never at the cost of an entry.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Engine, Options};
use spadina::problem::{Evaluation, Problem};

/// The energy `sum_i body` of unknowns `x` and data `w`, at a point; and the places of its matrix.
fn evaluate(
    body: &str,
    (x, w): (&[f64], f64),
    derivative: Derivative,
    engine: Engine,
) -> (Evaluation, Vec<u32>) {
    let text = format!(
        "kernel k<N>(x: var f64[N], w: f64[N]) -> f64 {{ sum i in 0..N {{ let j = (i + 1) % N; {body} }} }}"
    );
    let kernel = Module::from_text("k.ir", text).unwrap().kernel(None).unwrap();
    let mut inputs = Inputs::new();
    inputs.set("x", x).set("w", &vec![w; x.len()][..]);
    let options = Options { engine, ..Options::new(derivative) };
    let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();
    let places = problem.pattern().col_idx().to_vec();
    (at, places)
}

#[test]
fn results_that_numbers_hold_are_not_lost() {
    let scaled = [
        ("1.0 / (1.0 + (1e-30 * x[i])^12)", 1e30, 0.5),
        ("sqrt(1.0 + (1e-200 * x[i])^2) + 0.0 * w[i]", 1e200, 2.0_f64.sqrt()),
        ("exp(-(1e200 * x[i])^2)", 1e-200, (-1.0_f64).exp()),
        ("1.0 / (1.0 + (1e-200 * x[i])^2 + (2e-200 * x[j])^2)", 1e200, 1.0 / 6.0),
        ("(1e-200 * x[i]) * (1e-200 * x[j]) + (1e-200 * x[j])^2", 1e200, 2.0),
        ("sqrt((3e-160 * x[i])^2 + (4e-160 * x[j])^2)", 1e160, 5.0),
        // As they are written, without any derivative.
        ("1e-170 * (1e-170 * (1e34 * x[i]^2))", 1e153, 1.0),
        ("1e200 * (1e200 * x[i]) * 1e-100", 1e-300, 1.0),
        ("1e71 * (1e-160 * (1e-161 * x[i]))", 1e250, 1.0),
        ("w[i] * (1e-300 * (1e-10 * ((1e-10 * x[i]) * 1e-10)))", 1e220, 1e-10),
    ];
    for (body, x, wanted) in scaled {
        for derivative in [Derivative::Value, Derivative::Gradient, Derivative::Hessian] {
            for engine in [Engine::Jit, Engine::Interp] {
                let w = if body.starts_with('w') { 1e100 } else { 1.0 };
                let found = evaluate(body, (&[x], w), derivative, engine).0.results[0];
                assert!((found - wanted).abs() <= 1e-15 * wanted.max(1.0), "{body}, {derivative:?}: {found}");
            }
        }
    }
}

#[test]
fn a_product_of_literals_too_small_for_a_number_keeps_its_entry() {
    let x = [1e153, 2e153, 3e153];
    let bodies = [
        "(1e-200 * x[i])^2",
        "1e-170 * (1e-170 * x[i]^2)",
        "1e-300 * (x[i]^2 / 1e300)",
        "w[i] * (1e-200 * x[i])^2 + 1e-300 * (1e-300 * x[i]^3)",
    ];
    for body in bodies {
        for engine in [Engine::Jit, Engine::Interp] {
            let (at, places) = evaluate(body, (&x, 2.0), Derivative::Hessian, engine);
            assert_eq!(places, [0, 1, 2], "{body}");
            assert!(at.matrix.iter().all(|value| value.is_finite()), "{body}: {:?}", at.matrix);
        }
    }
    let (_, places) =
        evaluate("1e-170 * ((1e-170 * x[i]) * x[j])", (&x, 2.0), Derivative::Hessian, Engine::Jit);
    assert_eq!(places, [1, 2, 0, 2, 0, 1]);
}
