//! Conditions that prepare knows guard subscripts wherever they stand in a condition on values.
#![allow(clippy::unwrap_used)]

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::Role;
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_ir::verify::verify;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline;
use spadina_testkit::numeric;

const N: usize = 5;

/// Hessian and gradient of `body`, a function of `i`, summed over `0..N`: well-formed, and legal at the borders.
fn hessian(body: &str) -> Vec<f64> {
    let text =
        format!("kernel k<N>(x: var f64[N], w: f64[N], on: bool[N]) -> f64 {{ sum i in 0..N {{ {body} }} }}");
    let program = compile(&text);
    let messages: Vec<&str> = program.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert!(program.kernels.len() == 1, "{messages:?}");
    let func = &program.kernels[0].func;
    let sparse = pipeline::hessian(func, Weights::One).unwrap_or_else(|d| panic!("{body}: {}", d.message));
    let mut bindings = Bindings::default();
    bindings.sizes.extend(func.sizes.keys().map(|size| (size, N as i64)));
    for (buffer, data) in &func.buffers {
        let array = match (data.role, data.name.as_str()) {
            (Role::Output, _) => continue,
            (_, "x") => ArrayData::F64(vec![0.3, -0.7, 1.1, 0.4, -0.2]),
            (_, "w") => ArrayData::F64(vec![0.9, 0.1, 0.8, 0.7, 0.2]),
            _ => ArrayData::Bool(vec![true, false, true, true, false]),
        };
        bindings.arrays.insert(buffer, array);
    }
    for func in [&sparse.eval, &sparse.index] {
        let violations: Vec<String> = verify(func).iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{}\n{func}", violations.join("\n"));
        run(func, &bindings).unwrap_or_else(|error| panic!("{body}: {error}\n{func}"));
    }
    numeric::dense(&run(&sparse.eval, &bindings).unwrap()).entries
}

/// The same function written with nested conditions that need no such care.
fn agree(body: &str, nested: &str) {
    let (found, wanted) = (hessian(body), hessian(nested));
    numeric::compare(&wanted, &found, 1e-12).unwrap_or_else(|e| panic!("{body}: {e}"));
}

const NESTED: &str = "if i > 0 { if w[i] > 0.5 { (x[i] - x[i - 1])^4 } else { x[i]^3 } } else { x[i]^3 }";

#[test]
fn a_known_part_of_a_condition_guards() {
    agree("if i > 0 && w[i] > 0.5 { (x[i] - x[i - 1])^4 } else { x[i]^3 }", NESTED);
    agree("if w[i] > 0.5 && i > 0 { (x[i] - x[i - 1])^4 } else { x[i]^3 }", NESTED);
    agree("let far = w[i] > 0.5; if far && i > 0 { (x[i] - x[i - 1])^4 } else { x[i]^3 }", NESTED);
    agree("if i == 0 || w[i] <= 0.5 { x[i]^3 } else { (x[i] - x[i - 1])^4 }", NESTED);
    agree("if w[i] <= 0.5 || i == 0 { x[i]^3 } else { (x[i] - x[i - 1])^4 }", NESTED);
}

#[test]
fn what_the_condition_itself_reads_is_guarded() {
    agree(
        "if i > 0 && x[i - 1] > 0.0 { (x[i] - x[i - 1])^4 } else { x[i]^3 }",
        "if i > 0 { if x[i - 1] > 0.0 { (x[i] - x[i - 1])^4 } else { x[i]^3 } } else { x[i]^3 }",
    );
}

#[test]
fn a_known_condition_inside_a_value_condition_guards() {
    agree("if w[i] > 0.5 { if i > 0 { (x[i] - x[i - 1])^4 } else { x[i]^3 } } else { x[i]^3 }", NESTED);
    agree(
        "if w[i] > 0.5 { 2.0 * (if i > 0 { (x[i] - x[i - 1])^4 } else { x[i]^3 }) } else { x[i]^3 + (if i < 4 { x[i + 1]^2 } else { 0.0 }) }",
        "if i > 0 { if i < 4 { if w[i] > 0.5 { 2.0 * (x[i] - x[i - 1])^4 } else { x[i]^3 + x[i + 1]^2 } }
           else { if w[i] > 0.5 { 2.0 * (x[i] - x[i - 1])^4 } else { x[i]^3 } } }
         else { if w[i] > 0.5 { 2.0 * x[i]^3 } else { x[i]^3 + x[i + 1]^2 } }",
    );
    agree(
        "if w[i] > 0.5 { if on[i] && i > 0 { (x[i] - x[i - 1])^4 } else { x[i]^3 } } else { x[i]^3 }",
        "if on[i] { if i > 0 { if w[i] > 0.5 { (x[i] - x[i - 1])^4 } else { x[i]^3 } } else { x[i]^3 } } else { x[i]^3 }",
    );
}
