//! Jacobians by rows: reads out of loops that do not run, matrices of which a part is asked for, single precision under conditions.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Assembly, Derivative, Engine, Fixed, Options, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};

fn solved(text: &str, inputs: &Inputs, options: &Options) -> (Problem, Evaluation) {
    let kernel = Module::from_text("rows.ir", text).unwrap().kernel(None).unwrap();
    let mut problem = Problem::prepare(&kernel, inputs, options).unwrap();
    let at = problem.evaluated().unwrap();
    (problem, at)
}

fn wave(shape: &[usize]) -> Array {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|n| 0.5 + (0.7 * n as f64).sin()).collect();
    Array::new(shape.to_vec(), Data::F64(values)).unwrap()
}

/// More weights than registers, of which none is there: no iteration reads them.
#[test]
fn weights_that_are_not_there_are_not_read() {
    let term = |n: usize| format!("w[{}] * x[p + {}, q + {}]", n * 9_000_000, n / 3, n % 3);
    let sum = (0..9).map(term).collect::<Vec<_>>().join(" + ");
    let text = format!(
        "kernel k<N, M, K>(x: var f64[N, M], w: f64[K]) -> f64[N - 2, M - 2] {{
            map p in 0..N - 2, q in 0..M - 2 {{ {sum} }}
        }}"
    );
    let mut inputs = Inputs::new();
    inputs.set("x", &wave(&[6, 2])).set("w", &wave(&[0]));
    for threads in [1, 2] {
        let options = Options { threads, ..Options::new(Derivative::Jacobian) };
        assert_eq!(solved(&text, &inputs, &options).1.matrix, [0.0; 0]);
    }
}

/// Fixed unknowns: the same pattern and the same bits from both engines.
#[test]
fn engines_agree_where_unknowns_are_fixed() {
    let text = "kernel k<O, A, B>(x: var f64[A], z: var f64[B], obs: index<(A, B)>[O, 2]) -> f64[O, 2] {
        map o: [i, k] in obs { [(if o < 3 { x[i] } else { z[k] }), x[i] * z[k] + sin(0.7 * x[i])] }
    }";
    let obs: Vec<[i64; 2]> = (0..8).map(|o| [o * 3 % 5, o * 2 % 4]).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &wave(&[5])).set("z", &wave(&[4])).set("obs", &obs[..]);
    for fixed in [Vec::new(), vec![Fixed::List(vec![0, 6])]] {
        let assembly = Assembly { fixed, ..Assembly::default() };
        let [(jit, a), (interp, b)] = [Engine::Jit, Engine::Interp].map(|engine| {
            let options =
                Options { engine, assembly: assembly.clone(), ..Options::new(Derivative::Jacobian) };
            solved(text, &inputs, &options)
        });
        assert_eq!(jit.pattern().col_idx(), interp.pattern().col_idx());
        assert_eq!((a.results, a.matrix), (b.results, b.matrix));
    }
}

#[test]
fn single_unknowns_are_widened_under_a_condition() {
    let text = "kernel k<N>(x: var f32[N], y: var f32[N], b: f64[N]) -> f64[N] {
        map i in 0..N { if b[i] < 0.5 { f64(x[i]) * b[i] } else { f64(y[i])^2 } }
    }";
    let single = |phase: f32| Data::F32((0..7).map(|n| (phase + n as f32).cos()).collect());
    let mut inputs = Inputs::new();
    inputs.set("x", &Array::new(vec![7], single(0.1)).unwrap());
    inputs.set("y", &Array::new(vec![7], single(0.6)).unwrap());
    inputs.set("b", &wave(&[7]));
    let dense = |strategy| {
        let options = Options { strategy, ..Options::new(Derivative::Jacobian) };
        let (problem, at) = solved(text, &inputs, &options);
        let matrix = problem.matrix(&at.matrix);
        let entry = |k: usize| matrix.get(k / 14, k % 14).copied().unwrap_or(0.0);
        (0..7 * 14).map(entry).collect::<Vec<f64>>()
    };
    for (a, b) in dense(Strategy::Structural).into_iter().zip(dense(Strategy::Dense)) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}
