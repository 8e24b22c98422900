//! Operations of derivatives, counted: deterministic figures that must not grow.
#![allow(clippy::unwrap_used)]

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::Func;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::analysis::cost;
use spadina_passes::pipeline;

const SPRING: &str =
    "kernel spring<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E], k: f64) -> f64 {
    sum e: [i, j] in edges { 0.5 * k * (norm(x[i] - x[j]) - rest[e])^2 }
}";

const DIRICHLET: &str = "
kernel dirichlet<V, F>(uv: var vec2[V], faces: index<V>[F, 3], rest_inv: mat2[F], area: f64[F]) -> f64 {
    sum t: [a, b, c] in faces {
        let j = cols(uv[b] - uv[a], uv[c] - uv[a]) @ rest_inv[t];
        let i = sqnorm(j);
        area[t] * (i + i / det(j)^2)
    }
}";

const DIRICHLET_BY_INVERSE: &str = "
kernel dirichlet<V, F>(uv: var vec2[V], faces: index<V>[F, 3], rest_inv: mat2[F], area: f64[F]) -> f64 {
    sum t: [a, b, c] in faces {
        let j = cols(uv[b] - uv[a], uv[c] - uv[a]) @ rest_inv[t];
        area[t] * (sqnorm(j) + sqnorm(inv(j)))
    }
}";

const NEOHOOKEAN: &str = "
kernel neohookean<V, T>(x: var vec3[V], tets: index<V>[T, 4], rest_inv: mat3[T], vol: f64[T], mu: f64, la: f64) -> f64 {
    sum t: [a, b, c, d] in tets {
        let f = cols(x[b] - x[a], x[c] - x[a], x[d] - x[a]) @ rest_inv[t];
        let l = log(det(f));
        vol[t] * (0.5 * mu * (sqnorm(f) - 3.0) - mu * l + 0.5 * la * l^2)
    }
}";

const DIHEDRAL: &str = "
kernel dihedral<V, H>(x: var vec3[V], hinge: index<V>[H, 4], theta0: f64[H], k: f64[H]) -> f64 {
    sum h: [p, q, r, s] in hinge {
        let e = x[q] - x[p];
        let n1 = cross(e, x[r] - x[p]);
        let n2 = cross(x[s] - x[p], e);
        let theta = atan2(dot(cross(n1, n2), e) / norm(e), dot(n1, n2));
        k[h] * (theta - theta0[h])^2
    }
}";

const BUNDLE: &str = "
fn rotate(r: vec3, d: vec3) -> vec3 {
    let angle = norm(r);
    let axis = r / angle;
    d * cos(angle) + cross(axis, d) * sin(angle) + axis * (dot(axis, d) * (1.0 - cos(angle)))
}
kernel bundle<C, P, O>(cam: var f64[C, 11], X: var vec3[P], obs: index<(C, P)>[O, 2], feat: vec2[O], w: f64[O]) -> f64 {
    sum o: [i, j] in obs {
        let c = cam[i];
        let y = rotate(c[0..3], X[j] - c[3..6]);
        let p = [y[0], y[1]] / y[2];
        let q = sqnorm(p);
        let distortion = 1.0 + c[9] * q + c[10] * q^2;
        0.5 * sqnorm(w[o] * (p * distortion * c[6] + c[7..9] - feat[o]))
    }
}";

fn kernel(text: &str) -> Func {
    let program = compile(text);
    assert!(program.diagnostics.iter().all(|d| !d.is_error()), "{:?}", program.diagnostics);
    program.kernels.into_iter().next().unwrap().func
}

/// Operations of value, gradient and Hessian of one element; negations are free.
fn operations(text: &str) -> u64 {
    cost::operations(&pipeline::hessian(&kernel(text), Weights::One).unwrap().eval)
}

/// What the counts may be: what the best order and the algebra behind it reach. Lower them when they fall.
const BOUNDS: [(&str, &str, u64); 6] = [
    ("spring", SPRING, 34),
    ("dirichlet", DIRICHLET, 165),
    ("dirichlet by inverse", DIRICHLET_BY_INVERSE, 165),
    ("neohookean", NEOHOOKEAN, 690),
    ("dihedral", DIHEDRAL, 1001),
    ("bundle", BUNDLE, 1099),
];

#[test]
fn counts_do_not_grow() {
    let found: Vec<(&str, u64, u64)> =
        BOUNDS.iter().map(|&(name, text, bound)| (name, operations(text), bound)).collect();
    assert!(found.iter().all(|(_, count, bound)| count <= bound), "{found:?}");
}

/// A chain of so many operations, then a square.
fn chain(length: usize) -> String {
    let steps: Vec<String> = (0..length / 4)
        .map(|n| format!("        let z{} = sin(z{n}) * x[i, {}] + 0.5 * z{n};\n", n + 1, n % 3))
        .collect();
    let steps = steps.concat();
    format!(
        "kernel chain<N>(x: var f64[N, 3]) -> f64 {{\n    sum i in 0..N {{\n        let z0 = x[i, 0];\n{steps}        z{}^2\n    }}\n}}",
        length / 4
    )
}

/// A chain twice as long has no more than twice the operations, a little aside.
#[test]
fn long_chains_stay_linear() {
    let [short, long] = [2_000, 4_000].map(|length| operations(&chain(length)));
    assert!(10 * long <= 21 * short, "{short} {long}");
}
