//! `spadina derive`: derivative programs in SSA form, step by step.

use super::args::DeriveArgs;
use super::{console, result};
use spadina::compiler::Module;
use spadina::error::Error;
use spadina::options::Derivative;
use spadina_ir::text::print;
use std::fmt::Write;

pub(crate) fn derive(args: &DeriveArgs) -> Result<(), Error> {
    let module = Module::open(&args.kernel.file)?;
    if let Some(report) = module.report() {
        console::report(&report);
    }
    let kernel = module.kernel(args.kernel.kernel.as_deref())?;
    let derivative = result::largest(&kernel, args.derive.as_deref())?;
    if derivative == Derivative::GaussNewton {
        return Err(Error::usage("J^T J is formed from the program of `jacobian`: derive that"));
    }
    let wrt = args.wrt.as_deref();
    kernel.columns(wrt)?;
    let Some(wanted) = &args.print_after else {
        let program = kernel.derive(derivative, wrt)?;
        return console::print(&print(&program.eval));
    };
    let steps = kernel.steps(derivative, wrt)?;
    if wanted != "all" && !steps.iter().any(|step| step.pass == wanted) {
        let mut names: Vec<&str> = Vec::new();
        for step in &steps {
            if !names.contains(&step.pass) {
                names.push(step.pass);
            }
        }
        return Err(Error::Usage(format!(
            "no step of this derivation is called `{wanted}`; its steps are {} (or `all`)",
            names.join(", ")
        )));
    }
    let mut text = String::new();
    let mut before = String::new();
    for (n, step) in steps.iter().enumerate() {
        let program = print(&step.func);
        if wanted == "all" || step.pass == wanted {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "; {n}. {}: {}", step.pass, step.summary);
            // Names tell derivatives apart, not steps.
            let body = |program: &str| program.split_once('\n').map(|(_, rest)| rest.to_owned());
            if n > 0 && body(&program) == body(&before) {
                let _ = writeln!(text, "; nothing to do\n");
            } else {
                let _ = writeln!(text, "{program}");
            }
        }
        before = program;
    }
    console::print(&text)
}
