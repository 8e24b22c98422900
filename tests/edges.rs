//! Built-ins at their edges: the same value, gradient and Hessian on every road and engine, and those that are documented.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::Problem;

/// Rounding between roads.
const ROUNDING: f64 = 1e-13;

/// An expression in `x[i]` and `y[i]`, points, and there: value, slope and second derivative by `x[i]`.
struct Edge {
    expression: &'static str,
    points: &'static [(f64, f64)],
    wanted: &'static [[f64; 3]],
}

const INF: f64 = f64::INFINITY;

const EDGES: &[Edge] = &[
    Edge { expression: "pow(x[i], 0.0)", points: &[(0.0, 0.0), (-2.0, 0.0)], wanted: &[[1.0, 0.0, 0.0]; 2] },
    Edge {
        expression: "pow(x[i], 2.0)",
        points: &[(0.0, 0.0), (-0.0, 0.0), (-2.0, 0.0)],
        wanted: &[[0.0, 0.0, 2.0], [0.0, 0.0, 2.0], [4.0, -4.0, 2.0]],
    },
    Edge {
        expression: "pow(x[i], y[i])",
        points: &[(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (-2.0, 3.0)],
        wanted: &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [-8.0, 12.0, -12.0]],
    },
    Edge {
        expression: "x[i]^-1 + x[i]^3",
        points: &[(2.0, 0.0), (-1.0, 0.0)],
        wanted: &[[8.5, 11.75, 12.25], [-2.0, 2.0, -8.0]],
    },
    Edge {
        expression: "abs(x[i])",
        points: &[(0.0, 0.0), (-0.0, 0.0), (-3.0, 0.0)],
        wanted: &[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [3.0, -1.0, 0.0]],
    },
    Edge {
        expression: "min(x[i], y[i])",
        points: &[(1.0, 1.0), (1.0, 2.0), (2.0, 1.0)],
        wanted: &[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
    },
    Edge {
        expression: "max(x[i], y[i])",
        points: &[(1.0, 1.0), (1.0, 2.0), (2.0, 1.0)],
        wanted: &[[1.0, 1.0, 0.0], [2.0, 0.0, 0.0], [2.0, 1.0, 0.0]],
    },
    Edge {
        expression: "clamp(x[i], 0.0, 1.0) * x[i]",
        points: &[(-1.0, 0.0), (0.5, 0.0), (2.0, 0.0)],
        wanted: &[[0.0, 0.0, 0.0], [0.25, 1.0, 2.0], [2.0, 1.0, 0.0]],
    },
    Edge {
        expression: "copysign(x[i], y[i]) * x[i]",
        points: &[(1.0, 0.0), (-2.0, -0.0), (3.0, -1.0)],
        wanted: &[[1.0, 2.0, 2.0], [-4.0, 4.0, -2.0], [-9.0, -6.0, -2.0]],
    },
    Edge {
        expression: "copysign(x[i], x[i] - x[i]) + copysign(1.0, 0.0 * (-y[i]))",
        points: &[(2.0, 1.0), (-2.0, -1.0)],
        wanted: &[[3.0, 1.0, 0.0], [3.0, -1.0, 0.0]],
    },
    Edge {
        expression: "hypot(x[i], y[i])",
        points: &[(1.0, 0.0), (0.0, 2.0)],
        wanted: &[[1.0, 1.0, 0.0], [2.0, 0.0, 0.5]],
    },
    Edge {
        expression: "atan2(x[i], y[i])",
        points: &[(0.0, 1.0), (1.0, 0.0)],
        wanted: &[[0.0, 1.0, 0.0], [std::f64::consts::FRAC_PI_2, 0.0, 0.0]],
    },
    Edge {
        expression: "if x[i] > 0.0 { log(x[i]) } else { x[i]^2 }",
        points: &[(-1.0, 0.0), (0.0, 0.0), (1.0, 0.0)],
        wanted: &[[1.0, -2.0, 2.0], [0.0, 0.0, 2.0], [0.0, 1.0, -1.0]],
    },
    Edge {
        expression: "if y[i] > 0.0 { x[i]^2 / y[i] } else { 0.0 }",
        points: &[(1.0, 0.0), (1.0, 2.0)],
        wanted: &[[0.0, 0.0, 0.0], [0.5, 1.0, 1.0]],
    },
    Edge {
        expression: "if x[i] > 0.0 { x[i]^2 } else { inf }",
        points: &[(1.0, 0.0), (-1.0, 0.0)],
        wanted: &[[1.0, 2.0, 2.0], [INF, 0.0, 0.0]],
    },
    // The condition reads what the branch uses: its slope, which is not finite where the branch is not taken, does no harm.
    Edge {
        expression: "if norm([x[i], y[i]]) > 0.0 { norm([x[i], y[i]]) } else { x[i] }",
        points: &[(0.0, 0.0), (1.0, 0.0), (0.0, 2.0)],
        wanted: &[[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [2.0, 0.0, 0.5]],
    },
    Edge {
        expression: "if abs(1.0 / x[i]) < 10.0 { 1.0 / x[i] } else { if sqrt(x[i]) > 0.0 { log(x[i]) } else { x[i]^2 } }",
        points: &[(0.0, 0.0), (1.0, 0.0)],
        wanted: &[[0.0, 0.0, 2.0], [1.0, -1.0, 2.0]],
    },
    Edge {
        expression: "if x[i] == 0.0 { 1.0 } else { sin(x[i]) / x[i] }",
        points: &[(0.0, 0.0)],
        wanted: &[[1.0, 0.0, 0.0]],
    },
    Edge {
        expression: "softplus(x[i])",
        points: &[(800.0, 0.0), (-800.0, 0.0), (0.0, 0.0)],
        wanted: &[[800.0, 1.0, 0.0], [0.0, 0.0, 0.0], [std::f64::consts::LN_2, 0.5, 0.25]],
    },
    Edge {
        expression: "(x[i] % 1.5) * x[i]",
        points: &[(0.0, 0.0), (1.5, 0.0), (-0.5, 0.0)],
        wanted: &[[0.0, 0.0, 2.0], [0.0, 1.5, 2.0], [-0.5, 0.5, 2.0]],
    },
    Edge {
        expression: "x[i] * (floor(x[i]) + round(x[i]) + trunc(x[i]) + ceil(x[i]) + sign(x[i]))",
        points: &[(0.5, 0.0), (-0.5, 0.0), (0.0, 0.0)],
        wanted: &[[1.5, 3.0, 0.0], [1.5, -3.0, 0.0], [0.0, 0.0, 0.0]],
    },
    Edge {
        expression: "stop_gradient(x[i]^2) * x[i]^2",
        points: &[(2.0, 0.0)],
        wanted: &[[16.0, 16.0, 8.0]],
    },
];

/// Where one factor is zero the other still counts for the mixed derivative.
#[test]
fn mixed_derivatives_of_powers() {
    let text = "kernel k(a: var f64, b: var f64) -> f64 { pow(a, b) }";
    let kernel = Module::from_text("power.ir", text).unwrap().kernel(None).unwrap();
    for (a, b) in [(3.0_f64, 0.0_f64), (3.0, 1.0), (0.5, -2.0)] {
        let mut inputs = Inputs::new();
        inputs.set("a", &a).set("b", &b);
        let mixed = a.powf(b - 1.0) * (1.0 + b * a.ln());
        for strategy in [Strategy::Structural, Strategy::Compressed, Strategy::Dense] {
            let options = Options { strategy, ..Options::new(Derivative::Hessian) };
            let found = Problem::prepare(&kernel, &inputs, &options).unwrap().evaluated().unwrap().matrix;
            assert!(
                (found[1] - mixed).abs() < ROUNDING && (found[2] - mixed).abs() < ROUNDING,
                "{strategy}: {found:?}"
            );
        }
    }
}

#[test]
fn every_road_gives_the_documented_derivatives() {
    for edge in EDGES {
        let text = format!(
            "kernel k<N>(x: var f64[N], y: f64[N]) -> f64 {{ sum i in 0..N {{ 0.0 * y[i] + {} }} }}",
            edge.expression
        );
        let kernel = Module::from_text("edge.ir", text).unwrap().kernel(None).unwrap();
        for (&(x, y), &[value, slope, curvature]) in edge.points.iter().zip(edge.wanted) {
            let mut inputs = Inputs::new();
            inputs.set("x", &[x]).set("y", &[y]);
            for engine in [Engine::Jit, Engine::Interp] {
                for strategy in [Strategy::Auto, Strategy::Structural, Strategy::Compressed, Strategy::Dense]
                {
                    let options = Options { engine, strategy, ..Options::new(Derivative::Hessian) };
                    let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
                    let at = problem.evaluated().unwrap();
                    let second = at.matrix.first().copied().unwrap_or(0.0);
                    let found = [at.results[0], at.gradient[0], second];
                    for (a, b) in found.into_iter().zip([value, slope, curvature]) {
                        assert!(
                            a == b || (a - b).abs() <= ROUNDING * b.abs().max(1.0),
                            "{} at {x}, {y} by {engine} {strategy}: {found:?}",
                            edge.expression
                        );
                    }
                }
            }
        }
        assert_eq!(edge.points.len(), edge.wanted.len(), "{}", edge.expression);
    }
}
