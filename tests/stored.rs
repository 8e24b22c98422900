//! Jacobians whose entries are emitted once: they are stored over whatever was there; where two terms meet they are added.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Assembly, Derivative, Fixed, Options, Strategy};
use spadina::problem::Problem;

const TEXT: &str = "
    kernel residual<V, E>(x: var vec2[V], s: var f64[E], edges: index<V>[E, 2], wide: bool = true)
        -> (r: f64[E, 2], w: f64[E]) {
        let r = map e in 0..E {
            let [i, j] = [edges[e, 0], edges[e, 1]];
            [sin(x[i][0] * x[j][1]) - s[e], if wide { x[i][1] * s[e]^2 } else { 0.0 }]
        };
        (r, map e in 0..E { s[e]^2 + s[e] })
    }";

fn wave(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| 0.3 + (1.7 * i as f64 + phase).sin()).collect()
}

/// Rows, each with its columns and values, evaluated over a matrix that is not a number.
fn rows(inputs: &Inputs, options: &Options) -> Vec<Vec<(u32, f64)>> {
    let kernel = Module::from_text("test.ir", TEXT).unwrap().kernel(None).unwrap();
    let mut problem = Problem::prepare(&kernel, inputs, options).unwrap();
    let mut at = problem.evaluation();
    for _ in 0..2 {
        at.matrix.fill(f64::NAN);
        problem.evaluate(&mut at).unwrap();
    }
    let pattern = problem.pattern();
    let row = |r: usize| {
        let range = pattern.row_ptr()[r] as usize..pattern.row_ptr()[r + 1] as usize;
        range.map(|k| (pattern.col_idx()[k], at.matrix[k])).filter(|entry| entry.1 != 0.0).collect()
    };
    (0..pattern.rows()).map(row).collect()
}

#[test]
fn entries_are_stored_or_added() {
    for edges in [3, 4, 2100_usize] {
        let vertices = edges + 2;
        let x: Vec<[f64; 2]> = wave(2 * vertices, 0.1).chunks(2).map(|c| [c[0], c[1]]).collect();
        // No edge from a vertex to itself; then one, whose entries meet.
        for meets in [false, true] {
            let mut list: Vec<[i64; 2]> = (0..edges as i64).map(|e| [e, e + 2 - e % 2]).collect();
            list[1] = [1, if meets { 1 } else { 2 }];
            let mut inputs = Inputs::new();
            inputs.set("x", &x).set("s", &wave(edges, 0.4)).set("edges", &list[..]);
            for wide in [true, false] {
                inputs.set("wide", &wide);
                for fixed in [vec![], vec![1, 2]] {
                    let assembly = Assembly { fixed: vec![Fixed::List(fixed)], ..Assembly::default() };
                    let plain = Options { assembly, ..Options::new(Derivative::Jacobian) };
                    let one = rows(&inputs, &Options { strategy: Strategy::Structural, ..plain.clone() });
                    if edges < 10 {
                        let dense = rows(&inputs, &Options { strategy: Strategy::Dense, ..plain.clone() });
                        for (found, wanted) in one.iter().zip(&dense) {
                            assert_eq!(found.len(), wanted.len(), "{found:?} {wanted:?}");
                            for (a, b) in found.iter().zip(wanted) {
                                assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-13, "{found:?} {wanted:?}");
                            }
                        }
                    }
                    for threads in [2, 3] {
                        assert_eq!(rows(&inputs, &Options { threads, ..plain.clone() }), one);
                    }
                }
            }
        }
    }
}
