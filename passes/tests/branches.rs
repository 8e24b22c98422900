//! Branches under one condition read what earlier ones have computed, and compute the same.
#![allow(clippy::unwrap_used)]

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Func, InstData, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_ir::op::Op;
use spadina_ir::verify::verify;
use spadina_ir::walk;
use spadina_passes::dce;
use spadina_passes::loops::branches;
use spadina_passes::pass::Pass;

/// Three numbers an iteration, of which each may be a branch on `positive`: as the front end writes it, no other pass.
fn kernel(first: &str, second: &str, third: &str) -> Func {
    let text = format!(
        "kernel k<N>(x: var f64[N], w: f64[N]) -> vec3[N] {{
            map i in 0..N {{
                let positive = w[i] > 0.0;
                let p = {first};
                let q = {second};
                let r = {third};
                [p, q, r]
            }}
        }}"
    );
    let program = compile(&text);
    let messages: Vec<&str> = program.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert!(program.kernels.len() == 1, "{messages:?}");
    program.kernels.into_iter().next().unwrap().func
}

fn bindings(func: &Func, size: usize) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.sizes.extend(func.sizes.keys().map(|symbol| (symbol, size as i64)));
    for (buffer, data) in func.buffers.iter().filter(|(_, data)| data.role != Role::Output) {
        let sign = if data.name == "w" { -1.0 } else { 1.0 };
        let len = if data.dims.is_empty() { 1 } else { size };
        let values = [0.3, 0.7 * sign, 1.1, 2.0 * sign];
        bindings.arrays.insert(buffer, ArrayData::F64(values[..len].to_vec()));
    }
    bindings
}

fn count(func: &Func, wanted: Op) -> usize {
    let mut count = 0;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        count += usize::from(matches!(&func.insts[inst], InstData::Op(op, _) if *op == wanted));
    });
    count
}

/// The program after the pass: well-formed, and with results of the same bits.
fn shared(func: &Func) -> Func {
    let Pass { run: pass, .. } = branches::PASS;
    let shared = pass(func).unwrap();
    let violations: Vec<String> = verify(&shared).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}\n{shared}", violations.join("\n"));
    for size in [0, 1, 2, 4] {
        let [before, after] = [func, &shared].map(|func| run(func, &bindings(func, size)).unwrap().arrays);
        assert_eq!(before, after, "size {size}");
    }
    dce::eliminate(&shared)
}

#[test]
fn what_is_dear_is_computed_once_in_each_branch() {
    let func = kernel(
        "if positive { sin(x[i]) * x[i] } else { exp(x[i]) }",
        "if positive { sin(x[i]) + p } else { exp(x[i]) - p }",
        "if positive { q / x[i] + sin(x[i]) } else { sqrt(exp(x[i])) }",
    );
    assert_eq!([Op::Sin, Op::Exp].map(|op| count(&func, op)), [3, 3]);
    assert_eq!([Op::Sin, Op::Exp].map(|op| count(&shared(&func), op)), [1, 1]);
}

#[test]
fn what_a_later_branch_was_the_first_to_compute_is_shared_too() {
    let func = kernel(
        "if positive { 1.0 / x[i] } else { 0.0 }",
        "if positive { sin(1.0 / x[i] + p) } else { p }",
        "if positive { 2.0 * sin(1.0 / x[i] + p) } else { q }",
    );
    let shared = shared(&func);
    assert_eq!([Op::Div, Op::Sin].map(|op| count(&shared, op)), [1, 1]);
}

#[test]
fn cheap_values_and_other_conditions_stay() {
    let cheap = kernel(
        "if positive { x[i] * x[i] } else { 0.0 }",
        "if positive { x[i] * x[i] + p } else { p }",
        "if w[i] > 1.0 { sin(x[i]) } else { q }",
    );
    let unchanged = shared(&cheap).to_string();
    assert_eq!(unchanged, cheap.to_string());
    let apart = kernel(
        "if positive { sin(x[i]) } else { 0.0 }",
        "if positive { p } else { sin(x[i]) }",
        "if w[i] > 1.0 { sin(x[i]) } else { q }",
    );
    assert_eq!(count(&shared(&apart), Op::Sin), 3);
}

#[test]
fn nested_branches_and_loops_read_what_is_kept() {
    let func = kernel(
        "if positive { exp(x[i]) } else { 1.0 }",
        "if positive { if x[i] > 0.5 { exp(x[i]) * p } else { sum k in 0..3 { exp(x[i]) * f64(k) } } } else { p }",
        "if positive { exp(x[i]) + (sum k in 0..3 { exp(x[i]) + f64(k) }) } else { q }",
    );
    let shared = shared(&func);
    assert!(count(&shared, Op::Exp) < count(&func, Op::Exp));
}
