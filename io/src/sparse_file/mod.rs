//! Sparse matrices in files: scipy's `.npz`, Matrix Market `.mtx`, and dense `.npy`.

pub mod by_name;
pub mod csr;
pub mod dense;
pub mod mtx;
pub mod npz;
