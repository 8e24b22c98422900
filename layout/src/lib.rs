//! Plain data that compiled code and the runtime share: what an emission looks like, how compiled functions are called.
//!
//! Knows neither the IR nor any matrix library, allocates only in constructors, contains no `unsafe`.

pub mod abi;
pub mod program;
pub mod site;
