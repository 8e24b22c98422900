//! The `.npy` format of numpy (format versions 1 to 3): header, reader, writer.

pub mod header;
pub mod read;
pub mod write;
