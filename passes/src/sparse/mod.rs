//! The sparsifier: from dense derivative loops to sparse loops that emit matrix entries, and the programs around them.

pub mod collect;
pub mod element;
pub mod extract;
pub mod hessian;
pub mod index;
pub mod jacobian;
pub mod places;
pub mod project;
pub mod rows;
pub mod seed;
pub mod solve;
pub mod stages;
pub mod work;
