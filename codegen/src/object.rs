//! Native objects: the functions of programs with exported symbols, for this machine or another, and their C header.

use crate::align::align;
use crate::analyzed::{Analyzed, projected_sizes};
use crate::c_names::is_identifier;
use crate::error::{CodegenError, Result};
use crate::header::{self, Described};
use crate::options::Options;
use crate::program::program_info;
use crate::text::FunctionText;
use crate::unit::Unit;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_module::{Linkage, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use spadina_ir::func::Func;
use spadina_layout::program::ProgramInfo;
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use std::str::FromStr;
use target_lexicon::Triple;

/// The machine that code is made for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Target {
    /// This machine, with everything its processor has.
    #[default]
    Host,
    /// Any processor of a target triple (`aarch64-unknown-linux-gnu`).
    Triple(String),
}

/// The slot layout of objects unless another is asked for: right for every pattern.
pub const DEFAULT_SLOTS: SlotLayout =
    SlotLayout { mode: SlotMode::Entry, width: SlotWidth::U32, drops: false, stores: false };

/// One program of an object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectProgram<'a> {
    /// What its C names begin with: `cloth_hessian`.
    pub name: &'a str,
    /// The documentation of the kernel, copied to the header.
    pub docs: &'a str,
    /// The program.
    pub eval: &'a Func,
    /// Its index program. Without one nothing is checked at prepare: only for programs without emissions and tables.
    pub index: Option<&'a Func>,
    /// Entry slots of any width; with drops, the header's prepare can keep the lower triangle alone.
    pub slots: SlotLayout,
}

/// A native object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NativeObject {
    /// The contents of the object file.
    pub bytes: Vec<u8>,
    /// The C header that makes it stand alone, with libm.
    pub header: String,
    /// Bytes of machine code.
    pub code_bytes: usize,
    /// Texts of its functions, if [`Options::texts`] was set.
    pub texts: Vec<FunctionText>,
    /// The target triple.
    pub triple: String,
}

fn target_isa(target: &Target, options: &Options) -> Result<OwnedTargetIsa> {
    let fail = |e: &dyn std::fmt::Display| CodegenError::Target(e.to_string());
    let flags = options.flags(true)?;
    match target {
        Target::Host => {
            let builder = cranelift_native::builder().map_err(|e| fail(&e))?;
            builder.finish(flags).map_err(|e| fail(&e))
        }
        Target::Triple(name) => {
            let triple = Triple::from_str(name).map_err(|e| fail(&e))?;
            if triple.pointer_width().map(target_lexicon::PointerWidth::bits) != Ok(64) {
                return Err(CodegenError::Target(format!("`{name}` has no 64-bit addresses")));
            }
            isa::lookup(triple).map_err(|e| fail(&e))?.finish(flags).map_err(|e| fail(&e))
        }
    }
}

/// Compiles programs to a native object with a C header.
pub fn compile_object(
    programs: &[ObjectProgram<'_>],
    target: &Target,
    options: &Options,
) -> Result<NativeObject> {
    let isa = target_isa(target, options)?;
    let triple = isa.triple().to_string();
    let builder =
        ObjectBuilder::new(isa, "spadina", default_libcall_names()).map_err(CodegenError::backend)?;
    let mut module = ObjectModule::new(builder);
    let (mut texts, mut code_bytes) = (Vec::new(), 0);
    let mut described = Vec::new();
    for program in programs {
        if program.slots.mode == SlotMode::Block {
            return Err(CodegenError::Unsupported("block slots in a native object".into()));
        }
        if !is_identifier(program.name) {
            return Err(CodegenError::Malformed(format!("`{}` is not a C name", program.name)));
        }
        if !projected_sizes(program.eval).is_empty() {
            return Err(CodegenError::Unsupported("projected element blocks in a native object".into()));
        }
        let index_info = match program.index {
            Some(index) => program_info(index)?,
            None => ProgramInfo {
                phases: Vec::new(),
                scalar_outputs: 0,
                sites: 0,
                stored: Vec::new(),
                filled: Vec::new(),
                may_store: false,
            },
        };
        let aligned = align(program.eval, &index_info)?;
        let prefix = format!("{}_", program.name);
        let eval_info = aligned.of_evaluation();
        let eval = Analyzed::new(program.eval, &eval_info, options.batch.as_ref())?;
        let index = program.index.map(|index| Analyzed::new(index, &index_info, None)).transpose()?;
        let mut unit = Unit::new(&mut module, &prefix, Linkage::Export, options);
        unit.eval_program(&eval, program.slots, false)?;
        let mut counted = Vec::new();
        if let Some(index) = &index {
            let functions = unit.index_program(index)?;
            counted = functions.count.iter().map(Option::is_some).collect();
        }
        unit.compile()?;
        texts.append(&mut unit.texts);
        code_bytes += unit.code_bytes;
        described.push(Described { program, aligned, counted });
    }
    let header = header::write(&described)?;
    let bytes = module.finish().emit().map_err(CodegenError::backend)?;
    Ok(NativeObject { bytes, header, code_bytes, texts, triple })
}
