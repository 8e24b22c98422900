//! One compilation: declares the functions of a program in a Cranelift module, builds them one after the other and compiles them side by
//! side, the largest first.

use crate::aside;
use crate::batch::batched;
use crate::error::{CodegenError, Result};
use crate::lower::context::Program;
use crate::lower::entry;
use crate::options::{self, Batch, Options};
use crate::program::{Phase, env_layout, phases};
use crate::spill::spill;
use crate::symbols::{Symbol, called, project_name, symbol};
use crate::text::FunctionText;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{AbiParam, Function, UserFuncName, types};
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{Configurable, OptLevel};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc};
use spadina_ir::func::{Func, InstData};
use spadina_ir::walk;
use spadina_layout::program::ProgramInfo;
use spadina_layout::site::SlotLayout;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use target_lexicon::Architecture;

/// A function that was compiled.
pub(crate) type Defined = FuncId;

/// Compiles functions into a module.
pub(crate) struct Unit<'m, M: Module> {
    pub(crate) module: &'m mut M,
    pub(crate) texts: Vec<FunctionText>,
    pub(crate) code_bytes: usize,
    pending: Vec<Pending>,
    builder: FunctionBuilderContext,
    prefix: String,
    linkage: Linkage,
    keep_texts: bool,
    batch: Option<Batch>,
    /// The function by which others are called aside.
    aside: Option<FuncId>,
}

/// A function that is built and not compiled yet.
struct Pending {
    id: FuncId,
    name: String,
    clif: String,
    context: Context,
}

/// Functions with fewer instructions, all together, are compiled on one thread.
const WORTH_A_THREAD: usize = 1000;

/// The functions of an evaluation program.
pub(crate) struct EvalFunctions {
    pub(crate) trips: Defined,
    pub(crate) eval: Vec<Defined>,
    /// None for phases that store complete rows: their iterations belong to one owner each.
    pub(crate) eval_owned: Vec<Option<Defined>>,
    pub(crate) eval_listed: Vec<Option<Defined>>,
}

/// The functions of an index program.
pub(crate) struct IndexFunctions {
    pub(crate) trips: Defined,
    pub(crate) count: Vec<Option<Defined>>,
    pub(crate) index: Vec<Defined>,
}

impl<'m, M: Module> Unit<'m, M> {
    pub(crate) fn new(module: &'m mut M, prefix: &str, linkage: Linkage, options: &Options) -> Unit<'m, M> {
        Unit {
            module,
            texts: Vec::new(),
            code_bytes: 0,
            pending: Vec::new(),
            builder: FunctionBuilderContext::new(),
            prefix: prefix.to_owned(),
            linkage,
            keep_texts: options.texts,
            batch: options.batch.clone(),
            aside: None,
        }
    }

    /// `trips`, `eval_P` and, if wanted, `eval_owned_P` and `eval_listed_P`.
    pub(crate) fn eval_program(
        &mut self,
        func: &Func,
        info: &ProgramInfo,
        slots: SlotLayout,
        owned: bool,
    ) -> Result<EvalFunctions> {
        let phases = matching_phases(func, info)?;
        let trips =
            self.define(func, info, "trips", 2, true, |program, b| entry::trips(program, &phases, false, b))?;
        let mut functions =
            EvalFunctions { trips, eval: Vec::new(), eval_owned: Vec::new(), eval_listed: Vec::new() };
        for (n, (phase, shape)) in phases.iter().zip(&info.phases).enumerate() {
            let name = format!("eval_{n}");
            functions.eval.push(self.define(func, info, &name, 4, false, |program, b| {
                entry::eval(program, phase, shape, slots, b)
            })?);
            let shared = owned && !shape.stores_rows();
            let lists =
                [("owned", true, &mut functions.eval_owned), ("listed", false, &mut functions.eval_listed)];
            for (kind, filtered, list) in lists {
                let name = format!("eval_{kind}_{n}");
                let define = || {
                    self.define(func, info, &name, 3, false, |program, b| {
                        entry::eval_listed(program, phase, shape, slots, filtered, b)
                    })
                };
                list.push(shared.then(define).transpose()?);
            }
        }
        Ok(functions)
    }

    /// `trips`, `count_P` where counts vary, `index_P`.
    pub(crate) fn index_program(&mut self, func: &Func, info: &ProgramInfo) -> Result<IndexFunctions> {
        let phases = matching_phases(func, info)?;
        let trips = self.define(func, info, "index_trips", 2, true, |program, b| {
            entry::trips(program, &phases, true, b)
        })?;
        let mut functions = IndexFunctions { trips, count: Vec::new(), index: Vec::new() };
        for (n, (phase, shape)) in phases.iter().zip(&info.phases).enumerate() {
            let varies = shape.sites.iter().chain(&shape.row_sites).any(|site| site.per_iteration.is_none());
            let name = format!("count_{n}");
            functions.count.push(if varies {
                Some(self.define(func, info, &name, 4, true, |program, b| {
                    entry::count(program, phase, shape, b)
                })?)
            } else {
                None
            });
            let name = format!("index_{n}");
            functions.index.push(
                self.define(func, info, &name, 3, true, |program, b| entry::index(program, phase, shape, b))?,
            );
        }
        Ok(functions)
    }

    /// Builds one function of `params` words.
    fn define(
        &mut self,
        func: &Func,
        info: &ProgramInfo,
        name: &str,
        params: usize,
        returns: bool,
        build: impl FnOnce(Program<'_>, FunctionBuilder<'_>) -> Result<()>,
    ) -> Result<Defined> {
        let name = format!("{}{name}", self.prefix);
        let mut signature = self.module.make_signature();
        signature.params.extend((0..params).map(|_| AbiParam::new(types::I64)));
        if returns {
            signature.returns.push(AbiParam::new(types::I64));
        }
        let id =
            self.module.declare_function(&name, self.linkage, &signature).map_err(CodegenError::backend)?;
        let mut context = self.module.make_context();
        context.set_disasm(self.keep_texts);
        context.func = Function::with_name_signature(UserFuncName::user(0, id.as_u32()), signature);
        let (mut math, mut aside) = (BTreeMap::new(), None);
        for symbol in called_symbols(func) {
            if aside::calls(symbol) {
                let caller = self.define_aside()?;
                aside = Some(self.module.declare_func_in_func(caller, &mut context.func));
            } else {
                let callee = self.import(symbol)?;
                math.insert(symbol.name, self.module.declare_func_in_func(callee, &mut context.func));
            }
        }
        let mut project = BTreeMap::new();
        for size in projected_sizes(func) {
            let mut signature = self.module.make_signature();
            signature.params.extend([types::I64, types::I64, types::I64, types::F64].map(AbiParam::new));
            let callee = self
                .module
                .declare_function(&project_name(size), Linkage::Import, &signature)
                .map_err(CodegenError::backend)?;
            project.insert(size, self.module.declare_func_in_func(callee, &mut context.func));
        }
        let batched = match &self.batch {
            Some(batch) => Some(batched(func, batch).ok_or(CodegenError::Unsupported(
                "a program that cannot take several directions at once".into(),
            ))?),
            None => None,
        };
        let frontend = self.module.target_config();
        let (env, lanes) = (env_layout(func, info), lanes_of(self.module.isa()));
        let batch = batched.as_ref();
        let (math, project) = (&math, &project);
        let program = Program { func, env, math, aside, project, frontend, lanes, batch };
        build(program, FunctionBuilder::new(&mut context.func, &mut self.builder))?;
        let clif = if self.keep_texts { context.func.display().to_string() } else { String::new() };
        self.pending.push(Pending { id, name, clif, context });
        Ok(id)
    }

    /// A function of libm.
    fn import(&mut self, symbol: Symbol) -> Result<FuncId> {
        let mut signature = self.module.make_signature();
        signature.params.extend((0..symbol.arity).map(|_| AbiParam::new(types::F64)));
        signature.returns.push(AbiParam::new(types::F64));
        self.module.declare_function(symbol.name, Linkage::Import, &signature).map_err(CodegenError::backend)
    }

    /// Builds the function by which others are called aside, once.
    fn define_aside(&mut self) -> Result<FuncId> {
        if let Some(known) = self.aside {
            return Ok(known);
        }
        let (name, signature) = (format!("{}aside", self.prefix), aside::signature());
        let id =
            self.module.declare_function(&name, Linkage::Local, &signature).map_err(CodegenError::backend)?;
        let mut context = self.module.make_context();
        context.set_disasm(self.keep_texts);
        context.func = Function::with_name_signature(UserFuncName::user(0, id.as_u32()), signature);
        let mut functions = Vec::new();
        for symbol in aside::FUNCTIONS.into_iter().filter_map(symbol) {
            let callee = self.import(symbol)?;
            functions.push(self.module.declare_func_in_func(callee, &mut context.func));
        }
        let frontend = self.module.target_config();
        aside::build(FunctionBuilder::new(&mut context.func, &mut self.builder), &functions, frontend)?;
        let clif = if self.keep_texts { context.func.display().to_string() } else { String::new() };
        self.pending.push(Pending { id, name, clif, context });
        self.aside = Some(id);
        Ok(id)
    }

    /// Compiles what was built.
    pub(crate) fn compile(&mut self) -> Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        compile_all(self.module.isa(), &mut pending)?;
        for Pending { id, name, clif, context } in pending {
            let code = context.compiled_code().ok_or_else(|| CodegenError::malformed("no code"))?;
            let relocs = code.buffer.relocs().iter();
            let relocs: Vec<ModuleReloc> =
                relocs.map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, id)).collect();
            let alignment = u64::from(code.buffer.alignment);
            self.module
                .define_function_bytes(id, alignment, code.code_buffer(), &relocs)
                .map_err(CodegenError::backend)?;
            self.code_bytes += code.code_info().total_size as usize;
            if self.keep_texts {
                let asm = code.vcode.clone().unwrap_or_default();
                self.texts.push(FunctionText { name, clif, asm });
            }
        }
        Ok(())
    }
}

/// Compiles functions on as many threads as there are processors and functions.
fn compile_all(isa: &dyn TargetIsa, pending: &mut [Pending]) -> Result<()> {
    let size = |pending: &Pending| pending.context.func.dfg.num_insts();
    let mut order: Vec<&mut Pending> = pending.iter_mut().collect();
    order.sort_by_key(|pending| std::cmp::Reverse(size(pending)));
    // The largest function takes as long as it takes: another thread only helps with the rest.
    let rest: usize = order.iter().skip(1).map(|pending| size(pending)).sum();
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (1 + rest / WORTH_A_THREAD).min(processors).min(order.len().max(1));
    let optimized = unoptimized(isa)?;
    let registers = float_registers(isa);
    let queue = Mutex::new(order.into_iter());
    let work = || -> Result<()> {
        loop {
            let Some(next) = queue.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                return Ok(());
            };
            let failed = |error| CodegenError::Backend(format!("{}: {error:?}", next.name));
            let mut target = isa;
            if let Some(registers) = registers {
                next.context.optimize(isa, &mut ControlPlane::default()).map_err(failed)?;
                let Context { func, domtree, loop_analysis, .. } = &mut next.context;
                spill(func, domtree, loop_analysis, registers);
                target = &*optimized;
            }
            let compiled = next.context.compile(target, &mut ControlPlane::default());
            compiled.map_err(|error| failed(error.inner))?;
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let joined = others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| Err(CodegenError::Backend("the compiler panicked".into())))
        });
        joined.fold(own, Result::and)
    })
}

/// The same target for functions that have been optimized: their instructions stay as they are.
fn unoptimized(isa: &dyn TargetIsa) -> Result<OwnedTargetIsa> {
    let failed = |error: &dyn std::fmt::Display| CodegenError::Target(error.to_string());
    let mut builder = isa::lookup(isa.triple().clone()).map_err(|error| failed(&error))?;
    for flag in isa.isa_flags().iter().filter(|flag| flag.as_bool() == Some(true)) {
        builder.enable(flag.name).map_err(|error| failed(&error))?;
    }
    let options = Options { opt_level: options::OptLevel::None, ..Options::default() };
    builder.finish(options.flags(isa.flags().is_pic())?).map_err(|error| failed(&error))
}

/// The registers for floats that values may have at a time, less what instructions need besides; on targets where that was tried, and
/// where Cranelift brings instructions into order.
fn float_registers(isa: &dyn TargetIsa) -> Option<usize> {
    let registers = match isa.triple().architecture {
        Architecture::X86_64 => Some(15),
        Architecture::Aarch64(_) => Some(28),
        _ => None,
    };
    registers.filter(|_| isa.flags().opt_level() != OptLevel::None)
}

/// Iterations side by side on a target: where its vectors of doubles are known to be served.
fn lanes_of(isa: &dyn TargetIsa) -> usize {
    match isa.triple().architecture {
        Architecture::X86_64 | Architecture::Aarch64(_) => 2,
        _ => 1,
    }
}

/// The phases of the function, which `info` must describe.
fn matching_phases(func: &Func, info: &ProgramInfo) -> Result<Vec<Phase>> {
    let phases = phases(func)?;
    if phases.len() != info.phases.len() {
        return Err(CodegenError::malformed(format!(
            "the function has {} phases, its description {}",
            phases.len(),
            info.phases.len()
        )));
    }
    Ok(phases)
}

/// The functions that the operations of a program call.
fn called_symbols(func: &Func) -> Vec<Symbol> {
    let mut found = BTreeMap::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Op(op, _) = &func.insts[inst] {
            for symbol in called(*op).iter().filter_map(|&op| symbol(op)) {
                found.insert(symbol.name, symbol);
            }
        }
    });
    found.into_values().collect()
}

/// The sizes of the blocks that a program projects; none in an index program.
pub(crate) fn projected_sizes(func: &Func) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Emit(emit) = &func.insts[inst]
            && emit.project.is_some()
            && !emit.values.is_empty()
        {
            found.insert(emit.rows.len());
        }
    });
    found
}
