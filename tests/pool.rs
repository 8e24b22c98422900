//! Threads that come from the caller: shared between problems, of a rayon pool of the program, and called from inside of it.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options, Pool};
use spadina::problem::{Evaluation, Problem};
use std::sync::Arc;

const VERTICES: usize = 3000;

fn kernel() -> Kernel {
    let text = "kernel springs<V, E>(x: var vec2[V], s: var f64, edges: index<V>[E, 2]) -> f64 {
        sum [i, j] in edges { (norm(x[i] - x[j]) - s)^2 }
    }";
    Module::from_text("springs.ir", text).unwrap().kernel(None).unwrap()
}

/// A ring whose vertices are numbered badly.
fn inputs() -> Inputs {
    let number = |i: usize| (i * 1009 % VERTICES) as i64;
    let edges: Vec<[i64; 2]> = (0..VERTICES).map(|i| [number(i), number((i + 1) % VERTICES)]).collect();
    let x: Vec<[f64; 2]> = (0..VERTICES).map(|i| [i as f64, (1.3 * i as f64).sin()]).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &x).set("edges", &edges[..]).set("s", &0.7);
    inputs
}

fn options(threads: usize, pool: Option<Pool>) -> Options {
    Options { threads, pool, ..Options::new(Derivative::Hessian) }
}

fn assert_same(a: &Evaluation, b: &Evaluation) {
    assert_eq!((&a.results, &a.gradient, &a.matrix), (&b.results, &b.gradient, &b.matrix));
}

#[test]
fn problems_share_threads() {
    let (kernel, inputs) = (kernel(), inputs());
    let alone = Problem::prepare(&kernel, &inputs, &options(1, None)).unwrap().evaluated().unwrap();
    let pool = Pool::start(3).unwrap();
    // As many owners as threads, fewer and more.
    let mut problems = [3, 2, 5]
        .map(|threads| Problem::prepare(&kernel, &inputs, &options(threads, Some(pool.clone()))).unwrap());
    for _ in 0..20 {
        for problem in &mut problems {
            assert_same(&problem.evaluated().unwrap(), &alone);
        }
    }
    let mut fork = problems[0].fork().unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| fork.evaluated().unwrap());
        assert_same(&problems[1].evaluated().unwrap(), &alone);
        assert_same(&other.join().unwrap(), &alone);
    });
}

#[test]
fn evaluations_run_inside_the_pool_of_the_caller() {
    let (kernel, inputs) = (kernel(), inputs());
    let alone = Problem::prepare(&kernel, &inputs, &options(1, None)).unwrap().evaluated().unwrap();
    for size in [1, 2] {
        let own = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(size).build().unwrap());
        let pool = Pool::from(Arc::clone(&own));
        own.install(|| {
            let mut problem = Problem::prepare(&kernel, &inputs, &options(4, Some(pool))).unwrap();
            for _ in 0..5 {
                assert_same(&problem.evaluated().unwrap(), &alone);
            }
        });
    }
}

/// Before a thread is started.
#[test]
fn too_many_threads_are_refused() {
    for threads in [0, 256, 100_000, usize::MAX] {
        let refused = Problem::prepare(&kernel(), &inputs(), &options(threads, None));
        assert!(refused.err().unwrap().to_string().contains("1 to 255"));
        assert!(Pool::start(threads).is_err());
    }
}
