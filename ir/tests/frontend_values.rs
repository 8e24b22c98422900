//! Small kernels, one construct each: what they lower to gives the value that the language says.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::format_push_string, reason = "helpers of tests")]

use spadina_ir::frontend::compile::compile;
use spadina_ir::frontend::parser::parse;
use spadina_ir::frontend::pretty::print_file;
use spadina_ir::func::{Func, InstData, Role};
use spadina_ir::interp::{ArrayData, Bindings, infer_sizes, run};
use spadina_ir::text;
use spadina_ir::verify::verify;
use spadina_ir::walk::visit_insts;
use std::collections::BTreeMap;

type Input<'a> = (&'a str, &'a [i64], ArrayData);

fn f(data: &[f64]) -> ArrayData {
    data.to_vec().into()
}

fn n(data: &[i64]) -> ArrayData {
    data.to_vec().into()
}

fn lowered(source: &str) -> Func {
    let program = compile(source);
    let errors: Vec<String> = program
        .diagnostics
        .iter()
        .map(|diagnostic| format!("{diagnostic} {:?}", diagnostic.labels))
        .collect();
    let kernel = program.kernels.into_iter().next().unwrap_or_else(|| panic!("{source}\n{errors:#?}"));
    let violations = verify(&kernel.func);
    assert!(violations.is_empty(), "{violations:?}\n{}", text::print(&kernel.func));
    let printed = text::print(&kernel.func);
    let again = text::parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(printed, text::print(&again));
    kernel.func
}

/// All results of the only kernel of `source`, in one vector.
fn eval(source: &str, inputs: &[Input<'_>]) -> Vec<f64> {
    let func = lowered(source);
    let mut bindings = Bindings::default();
    let mut shapes = BTreeMap::new();
    for (name, shape, data) in inputs {
        let buffer = func.buffer_named(name).unwrap_or_else(|| panic!("no buffer {name}"));
        shapes.insert(buffer, shape.to_vec());
        bindings.arrays.insert(buffer, data.clone());
    }
    bindings.sizes = infer_sizes(&func, &shapes).unwrap();
    let outputs = run(&func, &bindings).unwrap_or_else(|error| panic!("{error}\n{}", text::print(&func)));
    func.buffers_of(Role::Output).flat_map(|buffer| outputs.arrays[&buffer].to_f64()).collect()
}

fn check(source: &str, inputs: &[Input<'_>], wanted: &[f64]) {
    let found = eval(source, inputs);
    assert_eq!(found.len(), wanted.len(), "{source}\n{found:?}");
    for (a, b) in found.iter().zip(wanted) {
        assert!(
            (a - b).abs() <= 1e-12 * b.abs().max(1.0) || a == b,
            "{source}\n{found:?} against {wanted:?}"
        );
    }
}

/// A kernel over `x: f64[N]` = 1, 2, 3, 4 with this body.
fn on_x(body: &str, wanted: f64) {
    let source = format!("kernel k<N>(x: var f64[N]) -> f64 {{ {body} }}");
    check(&source, &[("x", &[4], f(&[1.0, 2.0, 3.0, 4.0]))], &[wanted]);
}

#[test]
fn reductions() {
    on_x("sum i in 0..N { x[i] }", 10.0);
    on_x("prod i in 0..N { x[i] }", 24.0);
    on_x("min i in 0..N { x[i] }", 1.0);
    on_x("max i in 0..N { x[i] }", 4.0);
    on_x("max i in 0..N { x[i] } * min v in x { v }", 4.0);
    on_x("sum i in 0..N if i != 1 { x[i] }", 8.0);
    on_x("sum i in 0..N step 3 { x[i] }", 5.0);
    on_x("sum i in max(1, 0)..min(N, 3) { x[i] }", 5.0);
    on_x("sum i in 3..1 { x[i] } + 1.0", 1.0);
    on_x("sum i in 0..N, j in i + 1..N { x[i] * x[j] }", 35.0);
    on_x("sum k: v in x { f64(k) * v }", 20.0);
    on_x("prod i in 0..N if x[i] > 2.0 { x[i] }", 12.0);
    on_x("f64(sum i in 0..N if x[i] > 1.5 { 1 })", 3.0);
    on_x("let [a, b] = sum i in 0..N { [x[i], x[i]^2] }; a * b", 300.0);
    on_x("norm(sum i in 0..N { vec3(x[i]) })", 300.0f64.sqrt());
}

#[test]
fn linear_parts_become_loops_of_their_own() {
    on_x("2.0 * sum i in 0..N { x[i] } - (sum i in 0..N { x[i]^2 }) / 3.0", 10.0);
    on_x("let a = sum i in 0..N { x[i] }; let b = -a; 1.0 - b * 3.0", 31.0);
    on_x("let a = sum i in 0..N { x[i] }; a * a", 100.0);
    on_x("sum i in 0..N { x[i] * sum j in 0..i { x[j] } }", 35.0);
    on_x("if x[0] > 0.0 { sum i in 0..N { x[i] } } else { 0.0 }", 10.0);
    let func = lowered(
        "kernel k<N>(x: var f64[N]) -> f64 { let a = sum i in 0..N { x[i] }; 3.0 * a - sum i in 0..N { x[i]^2 } }",
    );
    let body = &func.regions[func.body];
    let loops = body
        .insts
        .iter()
        .filter(|&&inst| matches!(&func.insts[inst], InstData::Loop { carries, .. } if carries.is_empty()));
    assert_eq!(loops.count(), 2, "{}", text::print(&func));
}

#[test]
fn calls_are_inlined_into_their_place() {
    let source = "
fn total<M>(a: f64[M]) -> f64 { let s = sum i in 0..M { a[i] }; s / f64(M) }
kernel k<N>(x: var f64[N]) -> f64 { 2.0 * total(x) + total([1.0, 2.0]) }";
    check(source, &[("x", &[4], f(&[1.0, 2.0, 3.0, 4.0]))], &[6.5]);
    let source = "
fn split(a: f64) -> (f64, vec2) { (a, [a, -a]) }
fn twice<M>(a: f64[M], i: int) -> f64 { let (p, q) = split(a[i]); p + q[0] }
kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { twice(x, i) } }";
    check(source, &[("x", &[2], f(&[1.0, 2.0]))], &[6.0]);
}

#[test]
fn accumulators() {
    on_x("let mut s = 0.0; for i in 0..N { s += x[i]; } s^2", 100.0);
    on_x("let mut s = 1.0; s -= 3.0; for i in 0..N { s += x[i]; s += 1.0; } s", 12.0);
    on_x(
        "let mut v = vec3(0.0); for i in 0..N, c in 0..3 if c != 1 { v[c] += x[i] * f64(c); } v[0] + v[1] + v[2]",
        20.0,
    );
    on_x("let mut m = zeros[2, 2]; for i in 0..N { m[1] += [x[i], 1.0]; } m[1, 0] * m[1, 1]", 40.0);
    on_x(
        "let mut y = zeros[N]; for i in 0..N { y[(i + 1) % N] += x[i]; } sum i in 0..N { y[i] * x[i] }",
        24.0,
    );
    on_x("let mut y = zeros[N]; for i in 0..N { y[i] -= x[i]; } y[0]", -1.0);
    on_x("let mut c = 0; for i in 0..N if x[i] > 2.0 { c += 1; } f64(c)", 2.0);
    on_x(
        "sum i in 0..N { let mut y = zeros[N]; for j in 0..i { y[j] += x[i]; } sum j in 0..N { y[j]^2 } }",
        4.0 + 2.0 * 9.0 + 3.0 * 16.0,
    );
    let source = "kernel k<N, M>(x: var f64[N], at: index<M>[N], w: f64[M]) -> (y: f64[M], z: f64[N]) {
        let mut y = zeros[M];
        let z = map i in 0..N { 2.0 * x[i] };
        for i in 0..N { y[at[i]] += w[at[i]] * x[i]; }
        (y, z)
    }";
    let inputs =
        [("x", &[2i64][..], f(&[1.0, 2.0])), ("at", &[2], n(&[1, 1])), ("w", &[3], f(&[9.0, 10.0, 11.0]))];
    check(source, &inputs, &[0.0, 30.0, 0.0, 2.0, 4.0]);
}

#[test]
fn maps_and_stages() {
    on_x("let y = map i in 0..N { x[i]^2 }; sum i in 1..N { y[i] * y[i - 1] }", 4.0 + 36.0 + 144.0);
    on_x("let y = map i in 1..N { x[i] - x[i - 1] }; sum i in 0..N - 1 { y[i] }", 3.0);
    on_x("let y = map c in 0..3 { x[c] + x[3] }; y[0] * y[1] * y[2]", 5.0 * 6.0 * 7.0);
    on_x(
        "let (a, b) = map i in 0..N { (x[i], [x[i], 1.0]) }; sum i in 0..N { a[i] * b[i, 0] + b[i, 1] }",
        34.0,
    );
    on_x("let m = map i in 0..N { map j in 0..N { x[i] * x[j] } }; sum i in 0..N { m[i, N - 1 - i] }", 20.0);
    on_x("let v = vec2(2.0); let w = map c in 0..2 { v[c] * f64(c) }; w[1] + x[0]", 3.0);
    let source = "kernel k<N>(x: var f64[N]) -> f64[N - 1] { let y = map i in 0..N { 2.0 * x[i] }; y[1..N] }";
    check(source, &[("x", &[3], f(&[1.0, 2.0, 3.0]))], &[4.0, 6.0]);
    let source = "kernel k<N>(u: var f64[N, 2]) -> f64[N] { map [a, b] in u { a * b } }";
    check(source, &[("u", &[2, 2], f(&[1.0, 2.0, 3.0, 4.0]))], &[2.0, 12.0]);
    let source = "kernel k<N>(u: var f64[N, 4]) -> f64 { sum i in 1..N { let v = u[i - 1..i + 0, 2]; 1.0 } }";
    assert!(compile(source).has_errors());
}

#[test]
fn recurrences() {
    on_x("fold i in 0..N with s = 0.0 { 2.0 * s + x[i] }", 26.0);
    on_x("let (a, b) = fold v in x with (a, b) = (0.0, 1.0) { (a + v, b * v) }; a + b", 34.0);
    on_x("let p = scan i in 0..N with s = 0.0 { s + x[i] }; sum i in 0..N { p[i] }", 20.0);
    on_x(
        "let p = scan i in 1..N with v = vec2(0.0) { [v[1], v[0] + x[i]] }; p[0, 1] + p[N - 2, 0]",
        2.0 + 3.0,
    );
    on_x(
        "let (s, t) = scan i in 0..N with (a, b) = (0.0, 0.0) { (a + x[i], b + a) }; s[N - 1] + t[N - 1]",
        20.0,
    );
    on_x("let r = fold k in 0..20 with y = 1.0 { 0.5 * (y + x[1] / y) }; r", 2f64.sqrt());
    on_x(
        "let u = fold k in 0..2 with u = x { map i in 0..N { if i + 1 < N { u[i + 1] - u[i] } else { 0.0 } } }; sum i in 0..N { u[i] * f64(i + 1) }",
        -4.0 + 1.0,
    );
    on_x("let v = fold c in 0..3 with v = vec3(1.0) { v + [x[c], v[c], 0.0] }; v[0] + v[1]", 7.0 + 5.0);
}

#[test]
fn complex_numbers() {
    let source = "kernel k<N>(z: var complex[N], w: complex) -> (a: f64, b: complex[N]) {
        let a = sum i in 0..N { abs(z[i] * conj(w))^2 + re(z[i]) - im(z[i]) + arg(complex(0.0, 1.0)) };
        let b = map i in 0..N { z[i]^2 / w + 2 * exp(complex(0.0, pi)) - 1.0 };
        (a, b)
    }";
    // z = 1 + 2i, w = 3 - i: |z conj w|^2 = 50; z^2 / w = (-3 + 4i)(3 + i) / 10.
    let inputs = [("z", &[1i64, 2][..], f(&[1.0, 2.0])), ("w", &[2], f(&[3.0, -1.0]))];
    let pi = std::f64::consts::PI;
    check(source, &inputs, &[50.0 - 1.0 + pi / 2.0, -1.3 - 2.0 - 1.0, 0.9]);
}

#[test]
fn records_and_tables() {
    let source = "
struct Spring { i: index<V>, at: vec2, k: f64 }
kernel k<V, S>(x: var vec2[V], s: Spring[S], g: Spring) -> f64 {
    let g2 = g.at;
    sum e in s { e.k * sqnorm(x[e.i] - e.at) } + g.k * g2[0] + sum e in 0..S { s[e].at[1] + s.k[e] }
}";
    let inputs = [
        ("x", &[2i64, 2][..], f(&[1.0, 2.0, 3.0, 4.0])),
        ("s.i", &[2], n(&[1, 0])),
        ("s.at", &[2, 2], f(&[0.0, 0.0, 1.0, 1.0])),
        ("s.k", &[2], f(&[2.0, 10.0])),
        ("g.i", &[], n(&[0])),
        ("g.at", &[2], f(&[5.0, 6.0])),
        ("g.k", &[], f(&[7.0])),
    ];
    check(source, &inputs, &[2.0 * 25.0 + 10.0 + 35.0 + 1.0 + 12.0]);
}

#[test]
fn single_precision_sums_in_double() {
    let source =
        "kernel k<N>(x: var vec2<f32>[N], w: f32) -> f64 { sum i in 0..N { w * sqnorm(x[i]) + 0.5 } }";
    let inputs =
        [("x", &[1i64, 2][..], ArrayData::F32(vec![3.0, 4.0])), ("w", &[], ArrayData::F32(vec![2.0]))];
    check(source, &inputs, &[50.5]);
    let source = "kernel k<N>(x: var f32[N]) -> f32[N] { map v in x { if v > 1.0 { 2 } else { v * 0.5 } } }";
    check(source, &[("x", &[2], ArrayData::F32(vec![3.0, 1.0]))], &[2.0, 0.5]);
}

/// Literals take the type of the other branch, inside of vectors, matrices and tuples too, whichever branch comes first.
#[test]
fn literals_in_branches_give_way() {
    for (then, els, use_of) in [
        ("[x, 1.0]", "[0.5, 1.5]", "f64(v[0] * x + v[1])"),
        ("[0.5, 1]", "[x, 1.0]", "f64(dot(v, [x, x]))"),
        ("[[x, 1.0], [1.0, x]]", "[[1.0, 2.0], [3.0, 4.0]]", "f64(det(v) * x)"),
        ("(x, 1.0)", "(0.5, 1.5)", "f64(v.0) * f64(v.1)"),
    ] {
        let source = format!(
            "kernel k(x: var f32, f: bool) -> f64 {{ let v = if f {{ {then} }} else {{ {els} }}; {use_of} }}"
        );
        lowered(&source);
    }
}

#[test]
fn conditions_and_guards() {
    on_x("sum i in 0..N { if i > 0 && x[i - 1] > 1.5 { x[i - 1] } else { 0.0 } }", 5.0);
    on_x("sum i in 0..N { if i == 0 || x[i - 1] < 1.5 { 1.0 } else { 0.0 } }", 2.0);
    on_x("sum i in 0..N { if i + 1 < N { x[i + 1] } else if i > 100 { 5 } else { inf } }", f64::INFINITY);
    on_x("let c = x[0] < x[1]; if c == true && !(c != true) { 3 } else { x[0] }", 3.0);
    on_x(
        "if x[0] >= 1.0 { let (a, b) = if x[1] > 5.0 { (1.0, x[0]) } else { (2.0, x[1]) }; a * b } else { 0.0 }",
        4.0,
    );
    on_x("sum i in 0..N { log(if x[i] > 2.0 { x[i] } else { 1.0 }) }", 12f64.ln());
}

#[test]
fn arithmetic() {
    on_x("-x[1]^2 + 2^-1 + x[3]^0.5 + x[0]^3 / x[1]^-2", -4.0 + 0.5 + 2.0 + 4.0);
    on_x("f64((0 - 1) % 4) + (-1.0) % 4.0 + f64((0 - 7) / 2)", 3.0 + 3.0 - 4.0);
    on_x("2 ^ 3 ^ 2 * 1.0", 512.0);
    on_x("pow(x[1], 3) + clamp(x[3], 0, 2) + min(x[0], x[1], 0.5) + abs(0 - 3) * 1.0", 8.0 + 2.0 + 0.5 + 3.0);
    on_x(
        "hypot(3.0, 4.0) + sign(-x[0]) + floor(1.5) + copysign(2.0, -1.0) + f64(len(x))",
        5.0 - 1.0 + 1.0 - 2.0 + 4.0,
    );
    on_x(
        "let v = [x[0], x[1]]; let m = [v, [3.0, 4.0]]; det(m) + trace(m @ inv(m)) + dot(m @ v, v @ m)",
        -2.0 + 2.0 + 5.0 * 7.0 + 11.0 * 10.0,
    );
    on_x(
        "let m = rows([1.0, 2.0], [3.0, 4.0]); let d = diag(diag(m)); sqnorm(d) + sqnorm(outer([1.0, 2.0], [3.0, 4.0]) - hadamard(m, m)) + identity(2)[1, 1]",
        17.0 + 4.0 + 0.0 + 9.0 + 64.0 + 1.0,
    );
    on_x(
        "let v = [1.0, 2.0, 3.0, 4.0]; norm(v[1..3]) + cross([1.0, 0.0], v[0..2]) + vec3(1.0, 2.0, 3.0).z",
        13f64.sqrt() + 2.0 + 3.0,
    );
    on_x("det(mat3(2.0, 0.0, 1.0, 1.0, 3.0, 0.0, 0.0, 1.0, 4.0)) + det(identity(4) * 2.0)", 25.0 + 16.0);
    on_x("let m = mat3(2.0, 0.0, 1.0, 1.0, 3.0, 0.0, 0.0, 1.0, 4.0); sqnorm(m @ inv(m) - identity(3))", 0.0);
}

#[test]
fn constants_and_defaults() {
    let source = "
const N0: int = 3;
const G: f64 = 2 * pi;
/// Docs.
kernel k<N>(
    /// The unknowns.
    x: var f64[N, N0],
    c: f64 = G / 2.0,
) -> f64 { c * sum i in 0..N, j in 0..N0 { x[i, j] } }";
    check(source, &[("x", &[1, 3], f(&[1.0, 2.0, 3.0]))], &[6.0 * std::f64::consts::PI]);
    let program = compile(source);
    assert_eq!(program.kernels[0].docs, ["Docs."]);
    assert_eq!(program.kernels[0].params[0].docs, ["The unknowns."]);
}

#[test]
fn short_loops_stay_loops_unless_they_subscript_registers() {
    let count = |body: &str| {
        let func = lowered(&format!("kernel k<V>(x: var vec3[V], p: vec3) -> f64 {{ {body} }}"));
        let mut loops = 0;
        visit_insts(&func, func.body, &mut |_, inst| {
            loops += usize::from(matches!(func.insts[inst], InstData::Loop { .. }));
        });
        loops
    };
    assert_eq!(count("sum v in 0..V { sum c in 0..3 { x[v, c]^2 } }"), 2);
    assert_eq!(count("sum v in 0..V { let q = x[v]; sum c in 0..3 { q[c]^2 } }"), 1);
    assert_eq!(
        count("sum v in 0..V { sum c in 0..3 { let d = 2 - c; [p[0], p[1], p[2]][d] * x[v, c] } }"),
        1
    );
}

#[test]
fn integers_of_data_may_index() {
    let source = "kernel k<N, M>(x: var f64[N], at: int[M], w: f64[M]) -> f64 { sum k in 0..M { x[at[k] - 1] * x[int(w[k])] } }";
    check(
        source,
        &[("x", &[3], f(&[1.0, 2.0, 3.0])), ("at", &[2], n(&[1, 3])), ("w", &[2], f(&[1.5, 2.0]))],
        &[2.0 + 9.0],
    );
}

#[test]
fn float_data_behind_an_index_is_frozen() {
    let func = lowered(
        "kernel k<N>(x: var f64[N], w: f64[N], v: f64[N]) -> f64 { sum i in 0..N { v[i] * x[int(w[i])] } }",
    );
    let role = |name: &str| func.buffers[func.buffer_named(name).unwrap()].role;
    assert_eq!((role("w"), role("v")), (Role::Structural, Role::Data));
}

#[test]
fn factors_that_are_sums_over_unknowns_are_not_sunk() {
    let source = "kernel k<N>(x: var f64[N], c: var f64) -> f64 {
        let s = sum i in 0..N { x[i] };
        s * sum i in 0..N { x[i]^2 } + s + c * sum i in 0..N { x[i]^3 }
    }";
    check(source, &[("x", &[2], f(&[1.0, 2.0])), ("c", &[], f(&[3.0]))], &[15.0 + 3.0 + 27.0]);
    let func = lowered(source);
    let loops = func.regions[func.body].insts.iter().filter_map(|&inst| match &func.insts[inst] {
        InstData::Loop { carries, .. } => Some(carries.len()),
        _ => None,
    });
    assert_eq!(loops.collect::<Vec<_>>(), [1, 1, 0], "{}", text::print(&func));
}

#[test]
fn results_of_zeros_store_nothing() {
    let func = lowered("kernel k<N>(x: var f64[N]) -> (a: f64[N], b: f64) { (zeros[N], x[0]) }");
    assert_eq!(spadina_ir::walk::inst_count(&func), 3, "{}", text::print(&func));
}

#[test]
fn long_chains_are_no_nesting() {
    let chain = |terms: usize| {
        let terms: Vec<String> = (0..terms).map(|k| format!("{k}.0 * x[{}]", k % 3)).collect();
        format!("kernel k<N>(x: var f64[N]) -> f64 {{ {} }}", terms.join(" + "))
    };
    let wanted: f64 = (0..1000).map(|k| f64::from(k) * f64::from(k % 3 + 1)).sum();
    check(&chain(1000), &[("x", &[3], f(&[1.0, 2.0, 3.0]))], &[wanted]);
    let sunk = format!(
        "kernel k<N>(x: var f64[N]) -> f64 {{ (sum i in 0..N {{ x[i] }}) {} }}",
        "- 1.0 + x[0] * x[0] / x[0] * 2.0 ".repeat(400)
    );
    check(&sunk, &[("x", &[2], f(&[1.0, 2.0]))], &[3.0 + 400.0]);
    let product = format!("kernel k<N>(x: var f64[N]) -> f64 {{ x[0] {} }}", "* 2.0 / x[0] ".repeat(500));
    check(&product, &[("x", &[1], f(&[2.0]))], &[2.0]);
    let again = print_file(&parse(&chain(1000)).0);
    assert_eq!(print_file(&parse(&again).0), again, "the printed text reads back");
    let said = compile(&chain(2001)).diagnostics;
    assert_eq!(said.iter().map(|d| d.code).collect::<Vec<_>>(), ["too-deep"]);
}
