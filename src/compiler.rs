//! From a source text to kernels.

use crate::error::Error;
use crate::kernel::Kernel;
use crate::report::Report;
use spadina_ir::diag::Diagnostic;
use spadina_ir::frontend::compile::compile;
use spadina_ir::frontend::program::Program;
use spadina_ir::span::SourceFile;
use spadina_ir::verify::verify;
use std::path::Path;
use std::sync::Arc;

/// A source text without errors and its kernels.
#[derive(Clone, Debug)]
pub struct Module {
    source: Arc<SourceFile>,
    program: Program,
}

impl Module {
    /// Compiles a text; `name` stands for it in messages.
    ///
    /// # Errors
    /// [`Error::Source`] with every error found; [`Error::Verification`] where lowering broke an invariant.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Result<Module, Error> {
        let source = Arc::new(SourceFile::new(name, text));
        let program = compile(&source.text);
        if program.has_errors() {
            return Err(Error::Source(Box::new(Report { source, diagnostics: program.diagnostics })));
        }
        for kernel in &program.kernels {
            check_invariants(&kernel.name, &verify(&kernel.func))?;
        }
        Ok(Module { source, program })
    }

    /// Reads and compiles a file.
    ///
    /// # Errors
    /// [`Error::Data`] where the file cannot be read or is not UTF-8, and those of [`Module::from_text`].
    pub fn open(path: &Path) -> Result<Module, Error> {
        Module::from_text(path.display().to_string(), read_source(path)?)
    }

    /// The text.
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }

    /// Warnings and notes.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.program.diagnostics
    }

    /// The warnings and notes, ready to be shown; `None` where there are none.
    pub fn report(&self) -> Option<Report> {
        let diagnostics = self.program.diagnostics.clone();
        (!diagnostics.is_empty()).then(|| Report { source: Arc::clone(&self.source), diagnostics })
    }

    /// All kernels in source order.
    pub fn kernels(&self) -> impl Iterator<Item = Kernel> + '_ {
        self.program.kernels.iter().map(|kernel| Kernel::new(&self.source, kernel.clone()))
    }

    /// The kernel of that name, or without a name the only one.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such kernel, or several and no name.
    pub fn kernel(&self, name: Option<&str>) -> Result<Kernel, Error> {
        let kernels = &self.program.kernels;
        let names: Vec<String> = kernels.iter().map(|k| format!("`{}`", k.name)).collect();
        let (file, names) = (&self.source.name, names.join(", "));
        let found = match name {
            Some(name) => kernels.iter().find(|k| k.name == name).ok_or_else(|| match kernels.len() {
                0 => format!("{file} has no kernels"),
                _ => format!("{file} has no kernel `{name}`; its kernels are {names}"),
            }),
            None => match &kernels[..] {
                [kernel] => Ok(kernel),
                [] => Err(format!("{file} has no kernels")),
                _ => Err(format!("{file} has several kernels ({names}): name one (`--kernel NAME`)")),
            },
        };
        Ok(Kernel::new(&self.source, found.map_err(Error::Usage)?.clone()))
    }
}

/// Reads a text file.
///
/// # Errors
/// [`Error::Data`] where it cannot be read or is not UTF-8.
pub fn read_source(path: &Path) -> Result<String, Error> {
    let bytes =
        std::fs::read(path).map_err(|e| Error::Data(format!("cannot read `{}`: {e}", path.display())))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::Data(format!("`{}` is not UTF-8 text (byte {at})", path.display()))
    })?;
    // Some editors mark UTF-8 with a byte order mark, which is no part of the text.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Turns violated invariants into an error.
pub(crate) fn check_invariants(
    name: &str,
    violations: &[spadina_ir::verify::Violation],
) -> Result<(), Error> {
    if violations.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = violations.iter().map(|v| format!("  {v}")).collect();
    Err(Error::Verification(format!("verification of `{name}` failed:\n{}", lines.join("\n"))))
}
