//! Elements written out: whatever order, invariance and algebra make of them, the matrix is that of the dense definition.
#![allow(clippy::unwrap_used)]

mod element_support;

use element_support::{check, func};
use spadina_ir::func::InstData;
use spadina_ir::walk;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline;

/// Divisions of the program that computes the value.
fn divisions(text: &str) -> usize {
    let program = pipeline::value(&func(text)).unwrap();
    let mut count = 0;
    walk::visit_insts(program.func(), program.func().body, &mut |_, inst| {
        count += usize::from(matches!(program.func().insts[inst], InstData::Op(spadina_ir::op::Op::Div, _)));
    });
    count
}

#[test]
fn rows_of_what_moves_together() {
    // Differences, midpoints, two groups, a chain of three; then what breaks them.
    for body in [
        "let d = x[n[e, 0]] - x[n[e, 1]]; sqnorm(d)^2 + sin(d[0] * d[1])",
        "let d = x[n[e, 0]] - 0.5 * (x[n[e, 1]] + x[n[e, 2]]); exp(0.1 * sqnorm(d)) * d[0]",
        "let d = x[n[e, 0]] - x[n[e, 1]]; let f = x[n[e, 2]] - x[n[e, 3]]; sin(dot(d, f)) + sqnorm(d)",
        "let d = x[n[e, 1]] - x[n[e, 0]]; let f = x[n[e, 2]] - x[n[e, 1]]; w[e] * dot(d, f)^3 / (1.0 + sqnorm(d) + sqnorm(f))",
        "let d = x[n[e, 0]] - x[n[e, 1]]; sqnorm(d)^2 + x[n[e, 0]][0]^3",
        "let d = x[n[e, 0]] - 0.25 * x[n[e, 1]]; sqnorm(d)^2",
        "let d = x[n[e, 0]] - x[n[e, 1]]; sqnorm(d)^2 * x[n[e, 2]][1]",
        "let d = x[n[e, 0]] - x[n[e, 1]]; (d[0] + d[1])^3 + cos(d[0])",
    ] {
        check(&format!(
            "kernel k<V, E>(x: var vec2[V], n: index<V>[E, 4], w: f64[E]) -> f64 {{ sum e in 0..E {{ {body} }} }}"
        ));
    }
}

#[test]
fn narrow_places() {
    for body in [
        "let j = cols(x[n[e, 1]] - x[n[e, 0]], x[n[e, 2]] - x[n[e, 0]]) @ m[e]; let i = sqnorm(j); w[e] * (i + i / (3.0 + det(j)^2))",
        "let j = cols(x[n[e, 1]] - x[n[e, 0]], x[n[e, 2]] - x[n[e, 0]]) @ m[e]; let l = log(9.0 + det(j)); sqnorm(j) * l^2 + l * w[e]",
        "let d = x[n[e, 0]] - x[n[e, 1]]; let q = 1.0 + sqnorm(d); let s = sqrt(q); let t = sin(s); t * s + exp(-t) * atan2(q, s)",
        "let a = sin(x[n[e, 0]][0] * x[n[e, 1]][1]); let b = a * x[n[e, 2]][0] + w[e]; let c = cos(a * b); c * c * b + a",
    ] {
        check(&format!(
            "kernel k<V, E>(x: var vec2[V], n: index<V>[E, 4], w: f64[E], m: mat2[E]) -> f64 {{ sum e in 0..E {{ {body} }} }}"
        ));
    }
}

#[test]
fn common_factors_and_what_cancels() {
    for body in [
        "let q = 2.0 + y[n[e, 0]]^2; (y[n[e, 1]] / q)^2 + (y[n[e, 2]] / q)^2 + y[n[e, 1]]^2 + y[n[e, 2]]^2",
        "let (a, b, c) = (y[n[e, 0]], y[n[e, 1]], y[n[e, 2]]); (a * b) * c - (c * b) * a + sin(a) * b",
        "let (a, b, c) = (y[n[e, 0]], y[n[e, 1]], y[n[e, 2]]); w[e] * a * b + w[e] * a * c - 2.0 * (b * a) * w[e] + 3.0",
        "let (a, b, c) = (y[n[e, 0]], y[n[e, 1]], y[n[e, 2]]); let s = a * b + a * c; if c > 0.0 { s * s / (1.0 + c) + s / (1.0 + c) } else { s * a + s * b }",
        "let (a, b) = (y[n[e, 0]], y[n[e, 1]]); sum k in 0..3 { (a + b) * w[e] + (a + b) * y[n[e, k]]^3 }",
    ] {
        check(&format!(
            "kernel k<V, E>(y: var f64[V], n: index<V>[E, 4], w: f64[E]) -> f64 {{ sum e in 0..E {{ {body} }} }}"
        ));
    }
}

#[test]
fn a_common_divisor_divides_once() {
    let text = "kernel k<E>(j: mat2[E]) -> f64 { sum e in 0..E { sqnorm(j[e]) + sqnorm(inv(j[e])) } }";
    assert_eq!(divisions(text), 1);
}

/// Orders are tried on two threads, whichever is free takes the next one: the program must not tell.
#[test]
fn programs_do_not_depend_on_threads() {
    let func = func(
        "kernel k<V, E>(x: var vec3[V], n: index<V>[E, 4]) -> f64 {
            sum e in 0..E {
                let (p, q, r, s) = (x[n[e, 0]], x[n[e, 1]], x[n[e, 2]], x[n[e, 3]]);
                let (a, b) = (cross(q - p, r - p), cross(s - p, q - p));
                atan2(dot(cross(a, b), q - p) / norm(q - p), dot(a, b))^2
            }
        }",
    );
    let program = || pipeline::hessian(&func, Weights::One).unwrap().eval.to_string();
    let first = program();
    assert!((0..20).all(|_| program() == first));
}
