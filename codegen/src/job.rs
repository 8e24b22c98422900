//! Functions that wait to be built and compiled: side by side on the processors there are, the largest first.

use crate::error::{CodegenError, Result};
use crate::options::{self, Options};
use crate::spill::spill;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{Configurable, OptLevel};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::FuncId;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use target_lexicon::Architecture;

/// Builds a function whose signature and references are declared.
pub(crate) type Build<'a> = Box<dyn FnOnce(FunctionBuilder<'_>) -> Result<()> + Send + 'a>;

/// A function that is declared.
pub(crate) struct Job<'a> {
    pub(crate) id: FuncId,
    pub(crate) name: String,
    /// About how much code it will be.
    pub(crate) size: usize,
    pub(crate) context: Context,
    /// Until it is built.
    pub(crate) build: Option<Build<'a>>,
    /// Its Cranelift text, if that is kept.
    pub(crate) clif: Option<String>,
}

/// Functions that make less code, all together, are compiled on one thread.
const WORTH_A_THREAD: usize = 60;

/// Builds and compiles functions on as many threads as there are processors and functions.
pub(crate) fn run(isa: &dyn TargetIsa, jobs: Vec<&mut Job<'_>>) -> Result<()> {
    let mut order = jobs;
    order.sort_by_key(|job| std::cmp::Reverse(job.size));
    // The largest function takes as long as it takes: another thread only helps with the rest.
    let rest: usize = order.iter().skip(1).map(|job| job.size).sum();
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (1 + rest / WORTH_A_THREAD).min(processors).min(order.len().max(1));
    let target = Target { isa, optimized: unoptimized(isa)?, registers: float_registers(isa) };
    let queue = Mutex::new(order.into_iter());
    let work = || -> Result<()> {
        let mut builder = FunctionBuilderContext::new();
        loop {
            let Some(next) = queue.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                return Ok(());
            };
            target.compile(next, &mut builder)?;
        }
    };
    std::thread::scope(|scope| {
        // Where the system refuses a thread, those that there are do its work.
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let own = work();
        let joined = others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| Err(CodegenError::Backend("the compiler panicked".into())))
        });
        joined.fold(own, Result::and)
    })
}

/// What code is made for.
struct Target<'a> {
    isa: &'a dyn TargetIsa,
    /// The same for functions that have been optimized: their instructions stay as they are.
    optimized: OwnedTargetIsa,
    /// Registers for floats, where these are spilled before registers are allocated.
    registers: Option<usize>,
}

impl Target<'_> {
    fn compile(&self, job: &mut Job<'_>, builder: &mut FunctionBuilderContext) -> Result<()> {
        if let Some(build) = job.build.take() {
            build(FunctionBuilder::new(&mut job.context.func, builder))?;
        }
        if let Some(text) = &mut job.clif {
            *text = job.context.func.display().to_string();
        }
        let failed = |error| CodegenError::Backend(format!("{}: {error:?}", job.name));
        let mut isa = self.isa;
        if let Some(registers) = self.registers {
            job.context.optimize(isa, &mut ControlPlane::default()).map_err(failed)?;
            let Context { func, domtree, loop_analysis, .. } = &mut job.context;
            spill(func, domtree, loop_analysis, registers);
            isa = &*self.optimized;
        }
        let compiled = job.context.compile(isa, &mut ControlPlane::default());
        compiled.map(|_| ()).map_err(|error| failed(error.inner))
    }
}

/// The same target without optimization.
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
