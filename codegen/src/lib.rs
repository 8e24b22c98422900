//! Machine code: lowering of the Spadina IR to Cranelift, the JIT, native objects and their C header.
//!
//! Read [`program`] first (how a function is cut into phases), then `lower` (regions to blocks), then [`jit`].
//! How the functions are called is fixed by [`spadina_layout::abi`].

pub mod align;
mod analyzed;
mod aside;
pub mod batch;
mod c_names;
pub mod common;
pub mod error;
mod filled;
mod header;
pub mod jit;
mod job;
mod local;
mod lower;
pub mod object;
pub mod options;
mod prefetch;
pub mod program;
mod row_loop;
mod spill;
mod stored;
pub mod symbols;
pub mod text;
mod unit;
mod varying;
