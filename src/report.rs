//! Diagnostics as people read them: source lines, carets, code, help, patch.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use spadina_ir::diag::{Diagnostic, Severity};
use spadina_ir::span::{SourceFile, Span};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Diagnostics about one source text.
#[derive(Clone, Debug)]
pub struct Report {
    /// The text.
    pub source: Arc<SourceFile>,
    /// What is said about it, in order.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// A report of one diagnostic.
    pub fn one(source: &Arc<SourceFile>, diagnostic: Diagnostic) -> Report {
        Report { source: Arc::clone(source), diagnostics: vec![diagnostic] }
    }

    /// Renders every diagnostic, separated by empty lines; `color` for terminal color sequences.
    pub fn render(&self, color: bool) -> String {
        let all: Vec<String> = self.diagnostics.iter().map(|d| render(&self.source, d, color)).collect();
        all.join("\n\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Renders one diagnostic, without a newline at its end.
pub fn render(source: &SourceFile, diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code);
    let mut group = if diagnostic.labels.is_empty() {
        Group::with_title(title)
    } else {
        let annotations = diagnostic.labels.iter().enumerate().map(|(n, (span, label))| {
            let kind = if n == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(range(&source.text, *span));
            if label.is_empty() { annotation } else { annotation.label(label) }
        });
        title.element(Snippet::source(&source.text).path(&source.name).annotations(annotations))
    };
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    let mut groups = vec![group];
    if let Some(patch) = &diagnostic.patch {
        let at = range(&source.text, patch.span);
        let snippet = Snippet::source(&source.text).path(&source.name);
        let patched = snippet.patch(Patch::new(at, patch.replacement.as_str()));
        groups.push(Level::HELP.secondary_title("this would do").element(patched));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&groups)
}

/// The span as a range inside the text, at character boundaries.
fn range(text: &str, span: Span) -> Range<usize> {
    let inside = |offset: u32| {
        let mut at = (offset as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (inside(span.start), inside(span.end));
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_carets_code_and_help_are_shown() {
        let source = SourceFile::new("a.ir", "let a = b;\n");
        let diagnostic = Diagnostic::error("unknown-name", "`b` is not defined")
            .label(Span::new(8, 9), "no such name")
            .help("did you mean `a`?")
            .patch(Span::new(8, 9), "a");
        let text = render(&source, &diagnostic, false);
        for part in ["error[unknown-name]", "a.ir:1:9", "let a = b;", "^ no such name", "did you mean"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
        // Spans beyond the text, or inside a character, do no harm.
        let wild = Diagnostic::warning("x", "y").label(Span::new(90, 100), "").label(Span::new(1, 2), "z");
        assert!(render(&SourceFile::new("b.ir", "α"), &wild, true).contains("b.ir"));
    }
}
