//! What plan and runtime allocate, in bytes: slots, the peak while preparing, the peak while evaluating.
//!
//! Code is made before anything is counted: the compiler's memory is not the plan's.
#![allow(unsafe_code, reason = "counting bytes needs a global allocator")]
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::Problem;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most bytes of slots for each byte of one `u32` an entry, on meshes and for scalar unknowns.
const SLOTS: f64 = 1.0 / 8.0;
const SCALAR_SLOTS: f64 = 1.0 / 3.0;
/// Most bytes at once, for each byte of inputs, matrix and slots.
const PREPARING: f64 = 2.0;
const EVALUATING: f64 = 1.3;

struct Workload {
    text: &'static str,
    kind: &'static str,
    size: usize,
    arrays: &'static [&'static str],
    /// Entries that an element emits.
    entries: usize,
    slots: f64,
}

const WORKLOADS: [Workload; 4] = [
    Workload {
        text:
            "kernel dirichlet<V, F>(uv: var vec2[V], faces: index<V>[F, 3], rest_inv: mat2[F], area: f64[F]) -> f64 {
            sum t: [a, b, c] in faces {
                let j = cols(uv[b] - uv[a], uv[c] - uv[a]) @ rest_inv[t];
                let i = sqnorm(j);
                area[t] * (i + i / det(j)^2)
            }
        }",
        kind: "grid",
        size: 60,
        arrays: &["uv", "faces", "rest_inv", "area"],
        entries: 36,
        slots: SLOTS,
    },
    Workload {
        text: "kernel springs<V, E>(x: var vec3[V], edges: index<V>[E, 2], rest: f64[E]) -> f64 {
            sum e: [i, j] in edges { 0.5 * (norm(x[i] - x[j]) - rest[e])^2 }
        }",
        kind: "cloth",
        size: 60,
        arrays: &["x", "edges", "rest"],
        entries: 36,
        slots: SLOTS,
    },
    Workload {
        text:
            "kernel tets<V, T>(x: var vec3[V], tets: index<V>[T, 4], rest_inv: mat3[T], vol: f64[T]) -> f64 {
            sum t: [a, b, c, d] in tets {
                let f = cols(x[b] - x[a], x[c] - x[a], x[d] - x[a]) @ rest_inv[t];
                vol[t] * (0.5 * (sqnorm(f) - 3.0) + 5.0 * (det(f) - 1.1)^2)
            }
        }",
        kind: "tets",
        size: 10,
        arrays: &["x", "tets", "rest_inv", "vol"],
        entries: 144,
        slots: SLOTS,
    },
    Workload {
        text: "kernel laplace<V, E>(u: var f64[V], edges: index<V>[E, 2]) -> f64 {
            sum [i, j] in edges { sqrt((u[i] - u[j])^2 + 0.01) }
        }",
        kind: "grid",
        size: 60,
        arrays: &["edges"],
        entries: 4,
        slots: SCALAR_SLOTS,
    },
];

fn inputs(work: &Workload) -> Inputs {
    let mut inputs = Inputs::new();
    let arrays = spadina_io::generate::kind::generate(work.kind.parse().unwrap(), work.size).unwrap();
    for named in arrays.iter().filter(|a| work.arrays.contains(&a.name.as_str())) {
        inputs.set(named.name.clone(), &named.array);
    }
    if work.text.contains("f64[V]") {
        let unknowns: Vec<f64> = (0..(work.size + 1).pow(2)).map(|i| (i as f64).sin()).collect();
        inputs.set("u", &unknowns);
    }
    inputs
}

#[test]
fn memory_is_that_of_inputs_matrix_and_slots() {
    let mut wrong = Vec::new();
    for work in &WORKLOADS {
        let inputs = inputs(work);
        let kernel = Module::from_text("memory.ir", work.text).unwrap().kernel(None).unwrap();
        let options = Options::new(Derivative::Hessian);
        drop(Problem::prepare(&kernel, &inputs, &options).unwrap());
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
        let preparing = PEAK.load(Ordering::Relaxed) - before;
        PEAK.store(LIVE.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut at = problem.evaluation();
        problem.evaluate(&mut at).unwrap();
        let evaluating = PEAK.load(Ordering::Relaxed) - before;
        let given: usize = inputs.names().map(|name| 8 * inputs.get(name).unwrap().len()).sum();
        let pattern = problem.pattern();
        let matrix = 4 * (pattern.rows() + 1) + 12 * pattern.nnz();
        let slots = problem.slot_bytes();
        let all = (given + matrix + slots) as f64;
        let (preparing, evaluating) = (preparing as f64 / all, evaluating as f64 / all);
        let of_one = slots as f64 / (4 * work.entries as u64 * problem.elements()) as f64;
        if of_one > work.slots || preparing > PREPARING || evaluating > EVALUATING {
            wrong.push(format!(
                "{}: slots {of_one:.3} of one word an entry; peak {preparing:.2} preparing, {evaluating:.2} evaluating",
                kernel.name()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
