//! Files, generated inputs and pictures of sparse matrices and meshes; this crate knows nothing of the compiler.

pub mod array;
pub mod error;
pub mod generate;
pub mod index;
pub mod mesh;
pub mod npy;
pub mod output;
pub mod picture;
pub mod sparse_file;
mod vec3;
