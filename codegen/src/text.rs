//! What people read of compiled code.

/// The texts of one compiled function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionText {
    /// Its symbol.
    pub name: String,
    /// Cranelift IR before optimization.
    pub clif: String,
    /// Machine code, disassembled.
    pub asm: String,
}
