//! Evaluation allocates nothing once a problem is prepared.
#![allow(unsafe_code, reason = "counting allocations needs a global allocator")]
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Fixed, Format, Options, Project, Strategy, Triangle};
use spadina::problem::Problem;
use spadina::product::{Kind, ProductMut, Products};
use spadina_ir::project::Projection;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_is_allocated_after_prepare() {
    let module = Module::from_text(
        "springs.ir",
        "kernel springs<V, E>(x: var vec2[V], edges: index<V>[E, 2], rest: f64 = 2.5) -> f64 {
            let a = sum [i, j] in edges { 0.5 * (norm(x[i] - x[j]) - rest)^2 };
            let b = sum p in x { sqnorm(p) };
            a + b
        }",
    );
    let kernel = module.unwrap().kernel(None).unwrap();
    let mut inputs = Inputs::new();
    inputs.set("x", &[[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]]).set("edges", &[[0_i64, 1], [1, 2]]);
    let mut all: Vec<Options> =
        [Derivative::Value, Derivative::Gradient, Derivative::Hessian, Derivative::Jacobian]
            .map(Options::new)
            .to_vec();
    for derivative in [Derivative::Hessian, Derivative::Jacobian] {
        all.push(Options { strategy: Strategy::Compressed, ..Options::new(derivative) });
    }
    // Compressed springs: blocks change.
    for projection in [Projection::CLAMP, Projection::ABS] {
        all.push(Options { project: Project::All(projection), ..Options::new(Derivative::Hessian) });
    }
    for strategy in [Strategy::Structural, Strategy::Compressed, Strategy::Dense] {
        for derivative in [Derivative::Hessian, Derivative::Lagrangian, Derivative::GaussNewton] {
            let mut options = Options { strategy, ..Options::new(derivative) };
            all.push(options.clone());
            options.assembly.fixed = vec![Fixed::List(vec![0, 5])];
            (options.assembly.format, options.assembly.triangle) = (Format::Csc, Triangle::Lower);
            all.push(options);
        }
        all.push(Options { strategy, ..Options::new(Derivative::Hessian).rows(["x"]).wrt(["rest"]) });
    }
    for options in all {
        let problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
        // A thread's evaluator has its own memory from the start.
        let mut problem = problem.fork().unwrap();
        let mut at = problem.evaluation();
        let before = COUNT.load(Ordering::Relaxed);
        for step in 0..10 {
            let shift = 0.1 * f64::from(step);
            problem.set_values("x", &[shift, 0.0, 2.0, 0.0, 2.0, 3.0]).unwrap();
            problem.evaluate(&mut at).unwrap();
        }
        assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0, "{options:?}");
        for kind in [Kind::Jvp, Kind::Vjp, Kind::Hvp, Kind::Second] {
            let mut alone = Products::new(&problem, kind).unwrap();
            let mut beside = Products::with_values(&problem, kind).unwrap();
            let (inputs, outputs) = alone.lengths();
            let (directions, mut products) = (vec![1.0; 3 * inputs], vec![0.0; 3 * outputs]);
            let (mut results, mut gradient) = ([0.0], vec![0.0; if kind == Kind::Hvp { outputs } else { 0 }]);
            let before = COUNT.load(Ordering::Relaxed);
            alone.apply_many(&directions, &mut products).unwrap();
            let (results, gradient, product) = (&mut results, &mut gradient, &mut products[..outputs]);
            beside.apply_into(&directions[..inputs], ProductMut { results, gradient, product }).unwrap();
            assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0, "{kind:?} {options:?}");
        }
    }
}
