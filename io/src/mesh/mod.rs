//! Triangle and tetrahedral meshes: readers for OBJ, OFF and Medit files, and what is derived from a mesh.

pub mod medit;
pub mod obj;
pub mod off;
pub mod read;
pub mod topology;
pub mod types;
