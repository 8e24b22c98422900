//! Plain data that compiled code and the runtime share: what an emission looks like, how compiled functions are called,
//! and the routines that turn streams of emissions into a pattern and slot records.
//!
//! Knows neither the IR nor any matrix library, allocates only in constructors, contains no `unsafe`.

#![no_std]

extern crate alloc;

pub mod abi;
pub mod band;
pub mod blocks;
pub mod env;
pub mod error;
pub mod filter;
pub mod plan;
pub mod program;
pub mod rows;
pub mod site;
pub mod slots;
pub mod sort;
