//! Choices a caller has: optimization level, which functions are made, whether texts are kept.

use crate::error::{CodegenError, Result};
use cranelift_codegen::settings::{self, Configurable};
use spadina_ir::func::Buffer;

/// How hard Cranelift works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OptLevel {
    /// Instructions stay in the order of the IR.
    None,
    /// Global value numbering, loop-invariant code motion, rewriting.
    #[default]
    Speed,
}

/// Several directions in one call; see [`crate::batch`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Directions in a call: doubles that a batched array holds for each element, side by side. An even number.
    pub lanes: usize,
    /// The inputs and results that are batched.
    pub buffers: Vec<Buffer>,
}

/// Options of one compilation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// How hard Cranelift works.
    pub opt_level: OptLevel,
    /// Whether `eval_owned` functions are made too: what several threads or ranks need.
    pub owned: bool,
    /// Several directions in one call, of an evaluation program.
    pub batch: Option<Batch>,
    /// Whether the Cranelift text and the disassembly of every function are kept.
    pub texts: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { opt_level: OptLevel::Speed, owned: true, batch: None, texts: false }
    }
}

impl Options {
    /// Cranelift's shared flags; `pic` for objects.
    pub(crate) fn flags(&self, pic: bool) -> Result<settings::Flags> {
        let mut builder = settings::builder();
        let level = match self.opt_level {
            OptLevel::None => "none",
            OptLevel::Speed => "speed",
        };
        let pairs = [
            ("opt_level", level),
            ("is_pic", if pic { "true" } else { "false" }),
            ("use_colocated_libcalls", "false"),
            ("enable_probestack", "false"),
            ("unwind_info", if pic { "true" } else { "false" }),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
        ];
        for (name, value) in pairs {
            builder.set(name, value).map_err(|e| CodegenError::Target(e.to_string()))?;
        }
        Ok(settings::Flags::new(builder))
    }
}
