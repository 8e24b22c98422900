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

#[test]
fn integers_of_branches_and_loops_under_conditions_on_values() {
    energy("sum i in 0..N { if x[i] < 0.5 { x[(sum j in 0..i { a[j] }) % N]^2 } else { 1.0 } }");
    energy("sum i in 0..N { if x[i] < 0.5 { x[(max j in 0..i { a[j] }) % N]^2 } else { 1.0 } }");
    energy(
        "sum i in 0..N { if x[i] < 0.5 { x[((if i + 1 < N { a[i + 1] } else { 0 }) + 1) % N]^2 } else { 1.0 } }",
    );
    residual(
        "map i in 0..N { if x[i] < 0.5 { if (fold _j in 0..a[0] with q = 0 { q + 2 }) >= 1 { x[0] * x[i] } else { 0.0 } } else { 1.0 } }",
    );
    residual(
        "let mut z = zeros[N]; for i in 0..N if w[i] > 0.1 { z[if i + 1 < N { k[i + 1] } else { i }] += x[i]; } z",
    );
    residual(
        "let mut z = zeros[N]; for i in 0..N if x[i] > 0.1 { z[(sum j in 0..i { k[j] }) % N] += x[i]^2; } z",
    );
    residual(
        "let mut z = zeros[N]; for i in 0..N if w[0] > 0.1 { z[if (if i == 0 { true } else { a[i - 1] != 0 }) { 0 } else { i }] += x[i]; } z",
    );
}

#[test]
fn subscripts_that_only_a_part_of_a_condition_keeps_in_range() {
    energy(
        "let m = map i in 0..N { if i < 1 && w[i] <= 0.5 { x[min(2 * i, N - 1)] } else { 1.0 } };
         sum i in 0..N { if w[0] < 0.1 { if i <= 3 { 1.0 } else { 2.0 } } else { if i == 1 { 1.0 } else { m[i]^2 } } }",
    );
    residual(
        "let m = map i in 0..N { if i + 2 < N { x[i + 2] } else { 0.5 } };
         map i in 0..N { if w[i] > 0.2 { if x[i] > 0.1 { if i + 2 < N && w[0] < 0.9 { m[i] } else { 1.0 } } else { x[i] } } else { if i > 1 || w[i] < 0.1 { 0.5 } else { x[i]^2 } } }",
    );
}

/// The tape of a recurrence is as long as the array whose element it is, whatever is known of the subscript where it is read.
#[test]
fn ragged_elements_read_at_guarded_subscripts() {
    residual(
        "let m = map i in 0..N { fold j in 0..i with s = x[i] { sin(s) * x[j] } };
         map i in 0..N { let q = i + a[i]; if 0 <= q && q < N { m[q] } else { 0.5 } }",
    );
    energy(
        "let m = map i in 0..N { fold j in max(0, i - 1)..min(N, i + 2) with s = w[i] { s * x[j] } };
         sum i in 0..N { if x[i] > 0.2 { m[min(max(i + b[i], 0), N - 1)]^2 } else { m[N - 1 - i] } }",
    );
}

/// How often a loop runs may depend on values where nothing is looked up by its variable; else it is refused.
#[test]
fn loops_whose_bounds_depend_on_values() {
    for (body, wanted) in [
        ("sum i in 0..N, j in 0..(if w[i] > 0.1 { i } else { 1 }) { x[j]^2 }", Some("value-index")),
        ("sum i in 0..N, _j in 0..(if w[i] > 0.1 { i } else { 1 }) { x[i]^2 }", None),
        (
            "let m = map i in 0..N { x[i]^2 }; sum i in 0..N, j in 0..(if w[i] > 0.1 { i } else { 1 }) { m[j] }",
            Some("value-index"),
        ),
    ] {
        let text = format!("kernel t<N>(x: var f64[N], w: f64[N]) -> f64 {{ {body} }}");
        let program = compile(&text);
        let dense = pipeline::dense(&program.kernels[0].func, Matrix::Hessian(Weights::One)).unwrap();
        let index = spadina_passes::sparse::index::index_program(dense.func());
        assert_eq!(index.err().map(|d| d.code), wanted, "{body}");
    }
}
