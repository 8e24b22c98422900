//! A program with inputs, and how it is shown when something about it fails.

use spadina_ir::func::Func;
use spadina_ir::interp::{ArrayData, Bindings, InterpError, Outputs, run};
use std::fmt;

/// A function and inputs that fit it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The program.
    pub func: Func,
    /// Its sizes and arrays.
    pub bindings: Bindings,
}

impl Case {
    /// What the reference interpreter gives.
    pub fn run(&self) -> Result<Outputs, InterpError> {
        run(&self.func, &self.bindings)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.func)?;
        for (size, value) in &self.bindings.sizes {
            writeln!(f, "; {} = {value}", self.func.sizes[*size])?;
        }
        for (buffer, data) in &self.bindings.arrays {
            write!(f, "; {} = ", self.func.buffers[*buffer].name)?;
            match data {
                ArrayData::F64(data) => writeln!(f, "{data:?}")?,
                ArrayData::F32(data) => writeln!(f, "{data:?}")?,
                ArrayData::Int(data) => writeln!(f, "{data:?}")?,
                ArrayData::Bool(data) => writeln!(f, "{data:?}")?,
            }
        }
        Ok(())
    }
}
