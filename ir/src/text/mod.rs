//! The SSA text (`.ssa`): one operation a line, read and written without loss.

pub mod size;
