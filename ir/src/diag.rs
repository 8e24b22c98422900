//! Diagnostics: what is wrong, where, and what to do about it, as strings and spans only.
//!
//! Nothing here knows tokens, trees or the IR, so that every layer can speak the same language; rendering with source lines
//! and carets is the business of the root crate.

use crate::span::Span;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The program has no meaning, or a request was refused.
    Error,
    /// The program is legal and suspicious.
    Warning,
    /// Something worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A textual change that would resolve a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What to replace.
    pub span: Span,
    /// What to put there.
    pub replacement: String,
}

/// One message about a source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error, warning or note.
    pub severity: Severity,
    /// Stable kebab-case name, documented by `spadina explain CODE`.
    pub code: &'static str,
    /// One line: what is wrong.
    pub message: String,
    /// Places, the first is the primary one; a text may be empty.
    pub labels: Vec<(Span, String)>,
    /// What to do about it, one line each.
    pub help: Vec<String>,
    /// A change that can be applied, where one is known.
    pub patch: Option<Patch>,
}

impl Diagnostic {
    /// An error without labels yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning without labels yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self { severity, code, message: message.into(), labels: Vec::new(), help: Vec::new(), patch: None }
    }

    /// Adds a labelled place; the first one added is the primary place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    /// Adds a help line.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Sets the change that would resolve it.
    #[must_use]
    pub fn patch(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.patch = Some(Patch { span, replacement: replacement.into() });
        self
    }

    /// The primary place, if any.
    pub fn span(&self) -> Option<Span> {
        self.labels.first().map(|label| label.0)
    }

    /// Is this an error (and not a warning or a note)?
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity, self.code, self.message)
    }
}
