//! Machine code: lowering of the Spadina IR to Cranelift, the JIT, native objects and their C header.
//!
//! Read [`program`] first (how a function is cut into phases), then [`lower`] (regions to blocks), then [`jit`].
//! How the functions are called is fixed by [`spadina_layout::abi`].

pub mod error;
pub mod jit;
pub mod lower;
pub mod options;
pub mod program;
pub mod symbols;
mod unit;
