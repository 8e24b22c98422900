//! An evaluation allocates nothing, on one thread.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use spadina_layout::abi::EnvLayout;
use spadina_layout::env::Env;
use spadina_layout::program::{PhaseInfo, ProgramInfo};
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use spadina_runtime::array::{Array, ArrayMut, Element};
use spadina_runtime::buffer::{BufferSpec, BufferUse};
use spadina_runtime::evaluate::{Call, evaluate};
use spadina_runtime::options::PrepareOptions;
use spadina_runtime::prepare::{Inputs, prepare};
use spadina_runtime::program::{EvalProgram, IndexProgram};
use spadina_runtime::team::Team;
use spadina_runtime::workspace::Workspace;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sums the numbers of its iterations.
struct Count(ProgramInfo);

impl IndexProgram for Count {
    fn info(&self) -> &ProgramInfo {
        &self.0
    }

    fn env_layout(&self) -> EnvLayout {
        EnvLayout { sizes: 1, buffers: 3, sites: 0 }
    }

    fn trips(&self, env: &Env, trips: &mut [i64]) {
        trips.fill(env.get(0) as i64);
    }

    fn count(&self, _: usize, _: &Env, _: Range<i64>, _: &mut [u32]) -> bool {
        true
    }

    fn index(&self, _: usize, _: &Env, _: Range<i64>) -> bool {
        true
    }
}

impl EvalProgram for Count {
    fn slot_layout(&self) -> SlotLayout {
        SlotLayout { mode: SlotMode::Block, width: SlotWidth::U8, drops: false, stores: false }
    }

    fn eval(&self, _: usize, _: &Env, range: Range<i64>, sums: &mut [f64]) {
        sums.fill(range.map(|i| i as f64).sum());
    }

    fn eval_owned(&self, _: usize, _: &Env, _: &[u32]) {}
}

#[test]
fn nothing_is_allocated() {
    let phase = |serial| PhaseInfo {
        sites: vec![],
        row_sites: vec![],
        sums: vec![0],
        serial,
        ..PhaseInfo::default()
    };
    let info = ProgramInfo {
        phases: vec![phase(false), phase(true)],
        scalar_outputs: 1,
        sites: 0,
        stored: Vec::new(),
        filled: Vec::new(),
        may_store: false,
    };
    let program = Count(info);
    let spec =
        |name: &str, usage| BufferSpec { name: name.into(), element: Element::F64, dims: vec![3000], usage };
    let buffers =
        vec![spec("x", BufferUse::Data), spec("y", BufferUse::Output), spec("s", BufferUse::Scratch)];
    let inputs = Inputs { sizes: &[3000], buffers, arrays: &[], rows: 3000, cols: 3000, square: true };
    let plan = prepare(&program, inputs, &PrepareOptions::default(), Team::default()).unwrap();
    let mut workspace = Workspace::serial(&plan).unwrap();
    let (x, mut y, mut scalars) = (vec![0.0; 3000], vec![1.0; 3000], [0.0]);
    let before = COUNT.load(Ordering::Relaxed);
    for _ in 0..3 {
        let call = Call {
            data: &[(0, Array::F64(&x))],
            outputs: &mut [(1, ArrayMut::F64(&mut y))],
            scalars: &mut scalars,
            values: &mut [],
            pool: None,
        };
        evaluate(&plan, &program, &mut workspace, call).unwrap();
    }
    let after = COUNT.load(Ordering::Relaxed);
    assert_eq!(after - before, 0);
    assert_eq!(scalars[0], 2.0 * 2999.0 * 1500.0);
    assert!(y.iter().all(|&v| v == 0.0));
    // With threads the result is the same.
    let mut workspace = Workspace::new(&plan, &program, 3).unwrap();
    let call = Call {
        data: &[(0, Array::F64(&x))],
        outputs: &mut [(1, ArrayMut::F64(&mut y))],
        scalars: &mut scalars,
        values: &mut [],
        pool: None,
    };
    evaluate(&plan, &program, &mut workspace, call).unwrap();
    assert_eq!(scalars[0], 2.0 * 2999.0 * 1500.0);
}
