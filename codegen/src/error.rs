//! Why a program could not be compiled.

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// A well-formed program that this code generator has no code for.
    #[error("no code can be made for this program: {0}")]
    Unsupported(String),
    /// The IR breaks an invariant: the verifier would have refused it.
    #[error("malformed program: {0}")]
    Malformed(String),
    /// Cranelift or the linker of the JIT refused.
    #[error("the code generator failed: {0}")]
    Backend(String),
    /// The machine is not one that code can be made for.
    #[error("unsupported target: {0}")]
    Target(String),
}

impl CodegenError {
    pub(crate) fn malformed(what: impl Into<String>) -> CodegenError {
        CodegenError::Malformed(what.into())
    }

    pub(crate) fn backend(what: impl std::fmt::Display) -> CodegenError {
        CodegenError::Backend(what.to_string())
    }
}

/// Result of a step of code generation.
pub type Result<T> = std::result::Result<T, CodegenError>;
