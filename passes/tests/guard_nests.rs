//! Conditions inside and beside conditions, known and not, through maps and rows: every step is well-formed and computes what the kernel says.
#![allow(clippy::unwrap_used)]

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Func, Plane, Role};
use spadina_ir::interp::{ArrayData, Bindings, Outputs, run};
use spadina_ir::verify::verify;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline::{self, Matrix, Sparse, Trace};
use spadina_passes::sparse::stages;
use spadina_testkit::numeric;

/// The same terms in another order.
const REORDERED: f64 = 1e-12;

fn well_formed(func: &Func) {
    let violations: Vec<String> = verify(func).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}\n{func}", violations.join("\n"));
}

fn bindings(func: &Func, n: usize) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.sizes.extend(func.sizes.keys().map(|size| (size, n as i64)));
    for (buffer, data) in func.buffers.iter().filter(|(_, data)| data.role != Role::Output) {
        let wave = |i: usize, by: f64| {
            ((i + data.name.len()) as f64 * by + f64::from(data.name.as_bytes()[0])).sin()
        };
        let array = match data.name.as_str() {
            "a" | "b" => ArrayData::Int((0..n).map(|i| (3.0 * wave(i, 1.7)) as i64).collect()),
            "k" => ArrayData::Int((0..n).map(|i| ((i * 7 + 2) % n.max(1)) as i64).collect()),
            _ if data.role == Role::Scratch => continue,
            _ => ArrayData::F64((0..n).map(|i| wave(i, 0.9)).collect()),
        };
        bindings.arrays.insert(buffer, array);
    }
    bindings
}

/// The primal outputs, in order.
fn results(func: &Func, outputs: &Outputs) -> Vec<f64> {
    let primal = func.buffers_of(Role::Output).filter(|&y| func.buffers[y].plane == Plane::Primal);
    primal.flat_map(|y| outputs.arrays[&y].to_f64()).collect()
}

fn execute(func: &Func, bindings: &Bindings) -> Outputs {
    run(func, bindings).unwrap_or_else(|error| panic!("{error}\n{func}"))
}

fn steps(trace: &Trace) {
    trace.steps().iter().for_each(|step| well_formed(&step.func));
}

fn blocks(trace: &Trace, bindings: &Bindings) -> Vec<f64> {
    let func = trace.func();
    let outputs = execute(func, bindings);
    let is_block = |y: &_| matches!(func.buffers[*y].plane, Plane::Block(..));
    func.buffers_of(Role::Output).filter(is_block).flat_map(|y| outputs.arrays[&y].to_f64()).collect()
}

fn check(text: &str) {
    let program = compile(text);
    let messages: Vec<&str> = program.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert!(program.kernels.len() == 1, "{messages:?}\n{text}");
    let func = &program.kernels[0].func;
    let energy = func.buffers_of(Role::Output).all(|y| func.buffers[y].dims.is_empty());
    let matrix = if energy { Matrix::Hessian(Weights::One) } else { Matrix::Jacobian };
    let value = pipeline::value(func).unwrap();
    steps(&value);
    let dense = pipeline::dense(func, matrix).unwrap();
    steps(&dense);
    let made = if energy { pipeline::hessian(func, Weights::One) } else { pipeline::jacobian(func) };
    let made: Vec<Sparse> =
        made.ok().into_iter().flat_map(|s| [pipeline::affine(&s), Some(s)]).flatten().collect();
    for sparse in &made {
        steps(&sparse.trace);
        well_formed(&sparse.index);
    }
    for n in [1, 2, 3, 6, 9] {
        let bindings = bindings(func, n);
        let wanted = results(func, &execute(func, &bindings));
        let found = results(value.func(), &execute(value.func(), &bindings));
        numeric::compare(&wanted, &found, REORDERED)
            .unwrap_or_else(|e| panic!("value, N = {n}: {e}\n{text}"));
        let entries = blocks(&dense, &bindings);
        for sparse in &made {
            let outputs = execute(&sparse.eval, &bindings);
            let found = numeric::dense(&outputs).entries;
            if stages::listed(&sparse.eval).next().is_none() {
                numeric::compare(&entries, &found, REORDERED)
                    .unwrap_or_else(|e| panic!("matrix, N = {n}: {e}\n{text}"));
            }
            let found = results(&sparse.eval, &outputs);
            if !found.is_empty() {
                numeric::compare(&wanted, &found, REORDERED)
                    .unwrap_or_else(|e| panic!("results beside the matrix, N = {n}: {e}\n{text}"));
            }
            execute(&sparse.index, &bindings);
        }
    }
}

fn residual(body: &str) {
    check(&format!(
        "kernel t<N>(x: var f64[N], w: f64[N], a: int[N], b: int[N], k: index<N>[N]) -> f64[N] {{ {body} }}"
    ));
}

fn energy(body: &str) {
    check(&format!(
        "kernel t<N>(x: var f64[N], w: f64[N], a: int[N], b: int[N], k: index<N>[N]) -> f64 {{ {body} }}"
    ));
}

#[test]
fn known_conditions_beside_each_other_under_one_on_values() {
    residual(
        "map i in 0..N { if w[i] > 0.5 { (if i + 2 < N { x[i] } else { 0.5 })
           + (if N - 1 - i + 2 < N { x[N - 1 - i] } else { 0.5 }) } else { 0.5 } }",
    );
    residual(
        "map i in 0..N { if w[i] > 0.1 { (if a[i] > 0 { x[i] } else { 0.5 }) + (if b[i] > 0 { x[i]^2 } else { 0.25 }) } else { 0.5 } }",
    );
    residual(
        "map i in 0..N { if x[i] > 0.0 { (if a[i] > 0 { x[i] } else { 0.5 }) * (if b[i] > 0 { x[k[i]] } else { 0.25 }) }
           else { (if b[i] > 0 { x[i] } else { x[k[i]] }) + (if a[i] > 0 { 1.0 } else { x[i]^2 }) } }",
    );
    energy(
        "sum i in 0..N { if w[i] > 0.1 { (if a[i] > 0 { x[i]^2 } else { 0.5 }) * (if b[i] > 0 { x[k[i]] } else { if a[i] > 1 { x[i] } else { 2.0 } })
           + (if i > 0 { x[i - 1]^3 } else { 1.0 }) } else { if b[i] > 0 { x[i] } else { 0.5 } } }",
    );
}

#[test]
fn guarded_maps_under_conditions_on_values() {
    residual(
        "let m = map i in 0..N { if i + 2 < N { x[i] } else { 0.5 } };
         map i in 0..N { if w[i] > 0.5 { m[i] + m[N - 1 - i] } else { 0.5 } }",
    );
    energy(
        "let m = map i in 0..N { if i + 2 < N { x[i] } else { 0.5 } };
         sum i in 0..N { if w[i] > 0.1 { m[i] * m[N - 1 - i] } else { m[(i + 1) % N] * m[(i + 3) % N] } }",
    );
    residual(
        "let m = map i in 0..N { if i > 1 { x[i] } else { 0.5 } };
         map i in 0..N { if i > 0 { if w[i] > 0.5 { m[i] - m[i - 1] } else { 0.5 } } else { 0.0 } }",
    );
    residual(
        "let m = map i in 0..N { (if 4 + a[i] == i { x[i] } else { 0.5 }) + (sum t in 0..3 { 0.5 * x[i] }) };
         map i in 0..N { if 2 != a[i] || (if i > a[i] { i } else { 4 }) >= i { m[i % N] } else { 0.5 } }",
    );
}

#[test]
fn conditions_with_integer_branches() {
    check(
        "kernel t<N>(x: var f64[N], y: var f64[N], a: int[N]) -> f64[N] {
            let m = map i in 0..N { (if 4 + a[i] == i { y[i] } else { 0.5 }) + (sum t in 0..3 { 0.5 }) };
            map i in 0..N { if 2 != a[i] || (if i > a[i] { i } else { if true { 4 } else { 4 } }) >= i { m[i % N] } else { 0.5 } }
        }",
    );
}

#[test]
fn rows_of_branches_inside_branches() {
    residual(
        "map i in 0..N { let t = x[(i + 1) % N]; if i % 2 == 0 { x[i] } else { if i > 1 { t } else { 0.5 } } }",
    );
    residual(
        "map i in 0..N { let t = x[(i + 1) % N]; if i % 2 == 0 { x[i] } else { if i > 1 { 0.5 } else { t } } }",
    );
    residual(
        "map i in 0..N { if i + 1 < N { if x[i] > 0.1 { x[i] } else { if k[i] > 1 { x[(i + 1) % N] } else { x[(i + 2) % N] } } } else { 1.0 } }",
    );
}
