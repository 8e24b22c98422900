//! One compilation: declares the functions of programs in a Cranelift module, and puts their code there.

use crate::analyzed::Analyzed;
use crate::aside;
use crate::error::{CodegenError, Result};
use crate::job::{Job, run};
use crate::lower::ahead::asked;
use crate::lower::context::Program;
use crate::lower::entry::{self, From};
use crate::options::Options;
use crate::prefetch::{self, Ask};
use crate::program::env_layout;
use crate::symbols::{Symbol, project_name, symbol};
use crate::text::FunctionText;
use cranelift_codegen::ir::{AbiParam, Function, UserFuncName, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc};
use spadina_layout::site::SlotLayout;
use std::collections::BTreeMap;
use target_lexicon::Architecture;

/// A function that was declared.
pub(crate) type Defined = FuncId;

/// Compiles functions into a module.
pub(crate) struct Unit<'m, 'a, M: Module> {
    pub(crate) module: &'m mut M,
    pub(crate) texts: Vec<FunctionText>,
    pub(crate) code_bytes: usize,
    pending: Vec<Job<'a>>,
    prefix: String,
    linkage: Linkage,
    keep_texts: bool,
    /// The functions that ask for lines of memory, by their number; `None` where who calls does not say which.
    prefetch: Option<BTreeMap<Ask, FuncId>>,
    /// The function by which others are called aside.
    aside: Option<FuncId>,
}

/// The functions of an evaluation program.
pub(crate) struct EvalFunctions {
    pub(crate) trips: Defined,
    pub(crate) eval: Vec<EvalFunction>,
    /// None for phases that store complete rows: their iterations belong to one owner each.
    pub(crate) eval_owned: Vec<Option<Defined>>,
    /// None too where `eval` takes lists.
    pub(crate) eval_listed: Vec<Option<Defined>>,
}

/// A function that evaluates iterations of a phase.
pub(crate) enum EvalFunction {
    /// Those of a range.
    Range(Defined),
    /// Those of a range or of a list.
    Either(Defined),
}

/// Phases that make more code take ranges and lists by one function, where both are needed; in smaller ones that would be felt.
const WORTH_SHARING: usize = 300;

/// The functions of an index program.
pub(crate) struct IndexFunctions {
    pub(crate) trips: Defined,
    pub(crate) count: Vec<Option<Defined>>,
    pub(crate) index: Vec<Defined>,
}

impl<'m, 'a, M: Module> Unit<'m, 'a, M> {
    pub(crate) fn new(
        module: &'m mut M,
        prefix: &str,
        linkage: Linkage,
        options: &Options,
    ) -> Unit<'m, 'a, M> {
        Unit {
            module,
            texts: Vec::new(),
            code_bytes: 0,
            pending: Vec::new(),
            prefix: prefix.to_owned(),
            linkage,
            keep_texts: options.texts,
            prefetch: None,
            aside: None,
        }
    }

    /// For callers that say in each call which lines of memory to ask for.
    pub(crate) fn asking_ahead(self) -> Unit<'m, 'a, M> {
        Unit { prefetch: Some(BTreeMap::new()), ..self }
    }

    /// `trips`, `eval_P` and, if wanted, `eval_owned_P` and `eval_listed_P`; or `eval_either_P` for both lists and ranges.
    pub(crate) fn eval_program(
        &mut self,
        analyzed: &'a Analyzed<'a>,
        slots: SlotLayout,
        owned: bool,
    ) -> Result<EvalFunctions> {
        let phases = &analyzed.phases;
        let trips = self.define(analyzed, "trips", (2, true), phases.len(), move |program, b| {
            entry::trips(program, phases, false, b)
        })?;
        let mut functions =
            EvalFunctions { trips, eval: Vec::new(), eval_owned: Vec::new(), eval_listed: Vec::new() };
        for (n, (phase, shape)) in phases.iter().zip(&analyzed.info.phases).enumerate() {
            let size = analyzed.size(phase);
            let shared = owned && !shape.stores_rows();
            let mut define = |kind: &str, params, from| {
                let name = format!("eval_{kind}{n}");
                self.define(analyzed, &name, (params, false), size, move |program, b| {
                    entry::eval(program, phase, shape, slots, from, b)
                })
            };
            let (eval, listed) = match shared {
                true if size >= WORTH_SHARING => {
                    (EvalFunction::Either(define("either_", 6, From::Either)?), None)
                }
                true => (
                    EvalFunction::Range(define("", 4, From::Range)?),
                    Some(define("listed_", 3, From::List { owned: false })?),
                ),
                false => (EvalFunction::Range(define("", 4, From::Range)?), None),
            };
            functions.eval.push(eval);
            functions.eval_listed.push(listed);
            let owned = shared.then(|| define("owned_", 3, From::List { owned: true }));
            functions.eval_owned.push(owned.transpose()?);
        }
        Ok(functions)
    }

    /// `trips`, `count_P` where counts vary, `index_P`.
    pub(crate) fn index_program(&mut self, analyzed: &'a Analyzed<'a>) -> Result<IndexFunctions> {
        let phases = &analyzed.phases;
        let trips = self.define(analyzed, "index_trips", (2, true), phases.len(), move |program, b| {
            entry::trips(program, phases, true, b)
        })?;
        let mut functions = IndexFunctions { trips, count: Vec::new(), index: Vec::new() };
        for (n, (phase, shape)) in phases.iter().zip(&analyzed.info.phases).enumerate() {
            let size = analyzed.size(phase);
            let varies = shape.sites.iter().chain(&shape.row_sites).any(|site| site.per_iteration.is_none());
            let name = format!("count_{n}");
            functions.count.push(if varies {
                Some(self.define(analyzed, &name, (4, true), size, move |program, b| {
                    entry::count(program, phase, shape, b)
                })?)
            } else {
                None
            });
            let name = format!("index_{n}");
            functions.index.push(self.define(analyzed, &name, (3, true), size, move |program, b| {
                entry::index(program, phase, shape, b)
            })?);
        }
        Ok(functions)
    }

    /// Declares one function of `params` words.
    fn define(
        &mut self,
        analyzed: &'a Analyzed<'a>,
        name: &str,
        (params, returns): (usize, bool),
        size: usize,
        build: impl FnOnce(Program<'_>, FunctionBuilder<'_>) -> Result<()> + Send + 'a,
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
        for &symbol in &analyzed.symbols {
            if aside::calls(symbol) {
                let caller = self.define_aside()?;
                aside = Some(self.module.declare_func_in_func(caller, &mut context.func));
            } else {
                let callee = self.import(symbol)?;
                math.insert(symbol.name, self.module.declare_func_in_func(callee, &mut context.func));
            }
        }
        let mut project = BTreeMap::new();
        for &size in &analyzed.projected {
            let mut signature = self.module.make_signature();
            signature.params.extend([types::I64, types::I64, types::I64, types::F64].map(AbiParam::new));
            let callee = self
                .module
                .declare_function(&project_name(size), Linkage::Import, &signature)
                .map_err(CodegenError::backend)?;
            project.insert(size, self.module.declare_func_in_func(callee, &mut context.func));
        }
        let mut prefetch = BTreeMap::new();
        for ask in asked(analyzed.info) {
            if let Some(function) = self.define_prefetch(ask)? {
                prefetch.insert(ask, self.module.declare_func_in_func(function, &mut context.func));
            }
        }
        let frontend = self.module.target_config();
        let (env, lanes) = (env_layout(analyzed.func, analyzed.info), lanes_of(self.module.isa()));
        let build = move |b: FunctionBuilder<'_>| {
            let (func, math, project, prefetch) = (analyzed.func, &math, &project, &prefetch);
            build(Program { func, analyzed, env, math, aside, project, frontend, lanes, prefetch }, b)
        };
        let clif = self.keep_texts.then(String::new);
        self.pending.push(Job { id, name, size, context, build: Some(Box::new(build)), clif });
        Ok(id)
    }

    /// A function of libm.
    fn import(&mut self, symbol: Symbol) -> Result<FuncId> {
        let mut signature = self.module.make_signature();
        signature.params.extend((0..symbol.arity).map(|_| AbiParam::new(types::F64)));
        signature.returns.push(AbiParam::new(types::F64));
        self.module.declare_function(symbol.name, Linkage::Import, &signature).map_err(CodegenError::backend)
    }

    /// Declares the function by which others are called aside, once.
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
        let build = move |b: FunctionBuilder<'_>| aside::build(b, &functions, frontend);
        let clif = self.keep_texts.then(String::new);
        self.pending.push(Job { id, name, size: 1, context, build: Some(Box::new(build)), clif });
        self.aside = Some(id);
        Ok(id)
    }

    /// Defines the function that asks for this, once, where one is wanted and the target has it.
    fn define_prefetch(&mut self, ask: Ask) -> Result<Option<FuncId>> {
        let Some(known) = &mut self.prefetch else { return Ok(None) };
        if let Some(&id) = known.get(&ask) {
            return Ok(Some(id));
        }
        let Some(code) = prefetch::code(self.module.isa().triple().architecture, ask) else {
            return Ok(None);
        };
        let Ask { addresses, lines, behind } = ask;
        let name = format!("{}prefetch_{addresses}_{lines}_{behind}", self.prefix);
        let signature = prefetch::signature(ask);
        let id =
            self.module.declare_function(&name, Linkage::Local, &signature).map_err(CodegenError::backend)?;
        self.module
            .define_function_bytes(id, prefetch::ALIGNMENT, &code, &[])
            .map_err(CodegenError::backend)?;
        self.code_bytes += code.len();
        known.insert(ask, id);
        Ok(Some(id))
    }

    /// Compiles what was declared, in this module and in `other`.
    pub(crate) fn compile_with(&mut self, other: &mut Unit<'_, 'a, M>) -> Result<()> {
        run(self.module.isa(), self.pending.iter_mut().chain(&mut other.pending).collect())?;
        self.place()?;
        other.place()
    }

    /// Compiles what was declared.
    pub(crate) fn compile(&mut self) -> Result<()> {
        run(self.module.isa(), self.pending.iter_mut().collect())?;
        self.place()
    }

    /// Puts code into the module, in the order of declaration.
    fn place(&mut self) -> Result<()> {
        for Job { id, name, clif, context, .. } in std::mem::take(&mut self.pending) {
            let code = context.compiled_code().ok_or_else(|| CodegenError::malformed("no code"))?;
            let relocs = code.buffer.relocs().iter();
            let relocs: Vec<ModuleReloc> =
                relocs.map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, id)).collect();
            let alignment = u64::from(code.buffer.alignment);
            self.module
                .define_function_bytes(id, alignment, code.code_buffer(), &relocs)
                .map_err(CodegenError::backend)?;
            self.code_bytes += code.code_info().total_size as usize;
            if let Some(clif) = clif {
                let asm = code.vcode.clone().unwrap_or_default();
                self.texts.push(FunctionText { name, clif, asm });
            }
        }
        Ok(())
    }
}

/// Iterations side by side on a target: where its vectors of doubles are known to be served.
fn lanes_of(isa: &dyn TargetIsa) -> usize {
    match isa.triple().architecture {
        Architecture::X86_64 | Architecture::Aarch64(_) => 2,
        _ => 1,
    }
}
