//! The machines that code is made for.

use crate::error::{CodegenError, Result};
use crate::options::Options;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::Flags;
use std::str::FromStr;
use target_lexicon::{Architecture, PointerWidth, Triple};

/// The machine that code is made for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Target {
    /// This machine, with everything its processor has.
    #[default]
    Host,
    /// Any processor of a target triple (`aarch64-unknown-linux-gnu`).
    Triple(String),
}

impl Target {
    /// The target in Cranelift's terms.
    pub(crate) fn isa(&self, flags: &Flags) -> Result<OwnedTargetIsa> {
        let fail = |e: &dyn std::fmt::Display| CodegenError::Target(e.to_string());
        match self {
            Target::Host => {
                let builder = cranelift_native::builder().map_err(|e| fail(&e))?;
                builder.finish(flags.clone()).map_err(|e| fail(&e))
            }
            Target::Triple(name) => {
                let triple = Triple::from_str(name).map_err(|e| fail(&e))?;
                if triple.pointer_width().map(PointerWidth::bits) != Ok(64) {
                    return Err(CodegenError::Target(format!("`{name}` has no 64-bit addresses")));
                }
                isa::lookup(triple).map_err(|e| fail(&e))?.finish(flags.clone()).map_err(|e| fail(&e))
            }
        }
    }

    /// Whether the target has fused multiply-adds, of numbers and of vectors. What has none computes one by a call.
    ///
    /// # Errors
    /// [`CodegenError::Target`] for a target that Cranelift does not know.
    pub fn fuses(&self) -> Result<bool> {
        let isa = self.isa(&Options::default().flags(false)?)?;
        Ok(match isa.triple().architecture {
            Architecture::Aarch64(_) => true,
            Architecture::X86_64 => has(&*isa, "has_fma") && has(&*isa, "has_avx"),
            _ => false,
        })
    }
}

fn has(isa: &dyn TargetIsa, feature: &str) -> bool {
    isa.isa_flags().iter().any(|flag| flag.name == feature && flag.as_bool() == Some(true))
}
