//! What is written to the terminal: results to stdout, messages to stderr.

use spadina::error::Error;
use spadina::kernel::Kernel;
use spadina::report::Report;
use spadina_ir::diag::Diagnostic;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Arc;

/// Writes results. A reader that has gone away (`spadina .. | head`) is no error.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Data(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a message.
fn message(text: &str) {
    // Nothing better can be done where stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows diagnostics.
pub(crate) fn report(report: &Report) {
    message(&report.render(io::stderr().is_terminal()));
}

/// Shows what is said about a kernel.
pub(crate) fn diagnostics(kernel: &Kernel, diagnostics: Vec<Diagnostic>) {
    if !diagnostics.is_empty() {
        report(&Report { source: Arc::clone(kernel.source()), diagnostics });
    }
}

/// Shows an error.
pub(crate) fn error(error: &Error) {
    match error {
        Error::Source(diagnostics) => report(diagnostics),
        Error::Usage(_) | Error::Verification(_) | Error::Data(_) | Error::Internal(_) => {
            message(&format!("error: {error}"));
        }
    }
}

/// Shows a note.
pub(crate) fn note(text: &str) {
    message(&format!("note: {text}"));
}
