//! A compressed evaluation allocates nothing once it is prepared.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::Target;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::pattern::Pattern;
use spadina_runtime::compressed::directions::{Batch, Directions};
use spadina_runtime::compressed::evaluate::Compressed;
use spadina_runtime::error::RuntimeError;
use std::alloc::{GlobalAlloc, Layout, System};
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

#[test]
fn prepared_once_nothing_is_allocated() {
    let n = 50_u32;
    let near = |i: u32| i.saturating_sub(2)..(i + 3).min(n);
    let entries: Vec<(u32, u32)> = (0..n).flat_map(|i| near(i).map(move |j| (i, j))).collect();
    let pattern = Pattern::from_entries(n as usize, n as usize, &entries).expect("entries are in range");
    for partition in [Partition::Column, Partition::Row, Partition::Symmetric, Partition::Bidirectional] {
        for decompression in [Decompression::Direct, Decompression::Substitution] {
            let Ok(coloring) = Coloring::new(
                &pattern,
                &Options::new(partition).decompression(decompression).postprocess(true),
            ) else {
                continue;
            };
            for batch in [Batch::default(), Batch::single(), Batch::lanes(4)] {
                let mut compressed =
                    Compressed::new(&coloring, Target::default(), batch).expect("sizes are small");
                let mut values = vec![0.0; compressed.len()];
                let before = COUNT.load(Ordering::Relaxed);
                let form = |directions: Directions<'_>, products: &mut [f64]| {
                    products.copy_from_slice(directions.seeds);
                    Ok::<(), RuntimeError>(())
                };
                compressed.evaluate(form, &mut values).expect("lengths fit");
                assert_eq!(
                    COUNT.load(Ordering::Relaxed),
                    before,
                    "{partition:?} {decompression:?} {batch:?}"
                );
            }
        }
    }
}
