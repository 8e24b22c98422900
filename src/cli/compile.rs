//! `spadina compile`: native objects with C headers, and the texts on the way to them.

use super::args::{CompileArgs, Emit, What};
use super::staged::Staged;
use super::{console, result};
use spadina::compiler::Module;
use spadina::error::Error;
use spadina::kernel::Kernel;
use spadina::options::Derivative;
use spadina::program::Program;
use spadina_codegen::object::{DEFAULT_SLOTS, NativeObject, ObjectProgram, Target, compile_object};
use spadina_codegen::options::Options;
use spadina_io::output::write_bytes;
use spadina_ir::text::print;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) fn compile(args: &CompileArgs) -> Result<(), Error> {
    let module = Module::open(&args.kernel.file)?;
    if let Some(report) = module.report() {
        console::report(&report);
    }
    let kernel = module.kernel(args.kernel.kernel.as_deref())?;
    let wrt = args.wrt.as_deref();
    kernel.columns(wrt)?;
    let mut programs = Vec::new();
    for derivative in derivatives(&kernel, args.derive.as_deref())? {
        console::diagnostics(&kernel, kernel.left_to_the_caller(derivative));
        programs.push((derivative, kernel.portable(derivative, wrt)?));
    }
    let emits: BTreeSet<Emit> = match &args.emit[..] {
        [] => BTreeSet::from([Emit::Obj, Emit::Header]),
        some => some.iter().copied().collect(),
    };
    let object = if emits.iter().all(|&emit| emit == Emit::Ssa) {
        None
    } else {
        let target = args.target.clone().map_or(Target::Host, Target::Triple);
        Some(object(&kernel, &programs, &target)?)
    };
    let mut staged = Staged::default();
    let mut shown = String::new();
    for &emit in &emits {
        let bytes = contents(emit, &programs, object.as_ref());
        match path(args, &kernel, emit, emits.len()) {
            Some(path) => staged.add(&path, |to| Ok(write_bytes(to, &bytes)?))?,
            None => shown += &String::from_utf8_lossy(&bytes),
        }
    }
    staged.commit()?;
    console::print(&shown)
}

/// The derivatives asked for, smallest first.
fn derivatives(kernel: &Kernel, derive: Option<&[What]>) -> Result<BTreeSet<Derivative>, Error> {
    let Some(list) = derive else { return Ok(BTreeSet::from([usual(kernel)?])) };
    let named = list.iter().map(|what| match what.product() {
        None => Ok(what.derivative()),
        Some(_) => Err(Error::usage("a native object has value, grad, jacobian, hessian and lagrangian")),
    });
    let derivatives: BTreeSet<Derivative> = named.collect::<Result<_, Error>>()?;
    for &derivative in &derivatives {
        kernel.admits(derivative)?;
        if derivative == Derivative::GaussNewton {
            return Err(Error::usage("a native object has no J^T J: ask for `jacobian`"));
        }
    }
    Ok(derivatives)
}

/// What the kernel's attribute asks for, as far as an object can have it.
fn usual(kernel: &Kernel) -> Result<Derivative, Error> {
    Ok(match result::largest(kernel, None)? {
        Derivative::GaussNewton => Derivative::Jacobian,
        other => other,
    })
}

fn object(
    kernel: &Kernel,
    programs: &[(Derivative, Arc<Program>)],
    target: &Target,
) -> Result<NativeObject, Error> {
    let names: Vec<String> =
        programs.iter().map(|(d, _)| format!("{}_{}", kernel.name(), d.name())).collect();
    let docs = kernel.lowered().docs.join("\n");
    let described: Vec<ObjectProgram<'_>> = programs
        .iter()
        .zip(&names)
        .map(|((_, program), name)| ObjectProgram {
            name,
            docs: &docs,
            eval: &program.eval,
            index: Some(&program.index),
            slots: DEFAULT_SLOTS,
        })
        .collect();
    let options = Options { texts: true, owned: false, ..Options::default() };
    Ok(compile_object(&described, target, &options)?)
}

fn contents(emit: Emit, programs: &[(Derivative, Arc<Program>)], object: Option<&NativeObject>) -> Vec<u8> {
    let mut text = String::new();
    match (emit, object) {
        (Emit::Ssa, _) => {
            for (_, program) in programs {
                text += &print(&program.eval);
                text.push('\n');
                text += &print(&program.index);
            }
        }
        (_, None) => {}
        (Emit::Obj, Some(object)) => return object.bytes.clone(),
        (Emit::Header, Some(object)) => text.clone_from(&object.header),
        (Emit::Clif, Some(object)) => {
            for function in &object.texts {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "; {}\n{}", function.name, function.clif);
            }
        }
        (Emit::Asm, Some(object)) => {
            for function in &object.texts {
                let _ = writeln!(text, "{}:\n{}", function.name, function.asm);
            }
        }
    }
    text.into_bytes()
}

/// Where a kind goes; `None` for standard output, which texts go to without `-o`.
fn path(args: &CompileArgs, kernel: &Kernel, emit: Emit, kinds: usize) -> Option<PathBuf> {
    let ending = match emit {
        Emit::Obj => "o",
        Emit::Header => "h",
        Emit::Ssa => "ssa",
        Emit::Clif => "clif",
        Emit::Asm => "s",
    };
    match &args.output {
        Some(path) if kinds == 1 => Some(path.clone()),
        Some(path) => Some(path.with_extension(ending)),
        None if matches!(emit, Emit::Obj | Emit::Header) => {
            Some(PathBuf::from(kernel.name()).with_extension(ending))
        }
        None => None,
    }
}
