//! Checks names, sizes, buffers and the lists of columns and rows.

use super::Report;
use crate::func::{Buffer, BufferData, Entries, Plane, Role};
use crate::types::{SizeExpr, Ty};
use std::collections::BTreeSet;

/// False where a reference leads nowhere: the later checks would follow it.
pub(super) fn check(report: &mut Report<'_>) -> bool {
    let func = report.func;
    let mut names = BTreeSet::new();
    for name in func.sizes.values() {
        if name.is_empty() || !names.insert(name) {
            report.declaration((0, 0), format!("the size name `{name}` is empty or taken"));
        }
    }
    let mut names = BTreeSet::new();
    let mut sound = true;
    for (buffer, data) in &func.buffers {
        if data.name.is_empty() || !names.insert(&data.name) {
            report.declaration(data.span, format!("the buffer name `{}` is empty or taken", data.name));
        }
        sound &= check_buffer(report, buffer, data);
    }
    sound & check_lists(report)
}

fn check_buffer(report: &mut Report<'_>, buffer: Buffer, data: &BufferData) -> bool {
    let mut problems = Vec::new();
    let mut sound = true;
    let bounds = match &data.entries {
        Entries::Any => &[][..],
        Entries::Index(bounds) => &bounds[..],
        Entries::Offsets(bound) => std::slice::from_ref(bound),
    };
    for expr in data.dims.iter().chain(bounds) {
        if let Err(problem) = check_size_expr(report, expr) {
            problems.push(problem.to_owned());
            sound = false;
        }
    }
    if data.dims.iter().any(|dim| dim.as_constant().is_some_and(|n| n < 0)) {
        problems.push("has a negative dimension".to_owned());
    }
    if matches!(data.role, Role::Var | Role::Data) && !data.elem.is_float() {
        problems.push(format!("holds {}, but only structural inputs do", data.elem));
    }
    if data.entries != Entries::Any && data.elem != Ty::Int {
        problems.push(format!("promises index entries, but holds {}", data.elem));
    }
    match &data.entries {
        Entries::Index(bounds) => {
            let columns = data.dims.last().and_then(SizeExpr::as_constant);
            if bounds.len() != 1 && columns != Some(bounds.len() as i64) {
                problems.push(format!("has {} index bounds, but not as many columns", bounds.len()));
            }
        }
        Entries::Offsets(_) if data.dims.len() != 1 => {
            problems.push("holds offsets, but has not one dimension".to_owned());
        }
        Entries::Any | Entries::Offsets(_) => {}
    }
    let written = matches!(data.role, Role::Scratch | Role::Output);
    if data.default.is_some() && (written || !data.dims.is_empty()) {
        problems.push("has a default, but is no scalar input".to_owned());
    }
    sound &= check_plane(report, buffer, data, &mut problems);
    for problem in problems {
        report.declaration(data.span, format!("`{}` {problem}", data.name));
    }
    sound
}

fn check_plane(report: &Report<'_>, buffer: Buffer, data: &BufferData, problems: &mut Vec<String>) -> bool {
    let (word, of) = match data.plane {
        Plane::Primal => return true,
        Plane::Tangent(of) => ("a tangent", vec![of]),
        Plane::Adjoint(of) => ("an adjoint", vec![of]),
        Plane::Block(rows, cols) => ("a block", vec![rows, cols]),
    };
    let Some(others) = of.iter().map(|&of| report.func.buffers.get(of)).collect::<Option<Vec<_>>>() else {
        problems.push(format!("is {word} of a buffer that does not exist"));
        return false;
    };
    if of.contains(&buffer) {
        problems.push(format!("is {word} of itself"));
    }
    let dims = others.iter().flat_map(|other| &other.dims);
    let names: Vec<&str> = others.iter().map(|other| other.name.as_str()).collect();
    // A block has the type of its rows: they may be of another precision than the unknowns.
    if !dims.eq(&data.dims) || others.first().is_some_and(|other| other.elem != data.elem) {
        problems.push(format!("is {word} of `{}`, but has another shape or type", names.join("`, `")));
    }
    true
}

fn check_lists(report: &mut Report<'_>) -> bool {
    let func = report.func;
    let (columns, rows) = (&func.columns, &func.rows);
    if columns.iter().chain(rows).any(|&buffer| !func.buffers.is_valid(buffer)) {
        report.declaration((0, 0), "columns or rows list a buffer that does not exist");
        return false;
    }
    for (list, word) in [(columns, "columns"), (rows, "rows")] {
        let mut seen = BTreeSet::new();
        for &buffer in list {
            let data = &func.buffers[buffer];
            if !seen.insert(buffer) {
                report.declaration(data.span, format!("`{}` is listed twice in the {word}", data.name));
            }
            let fits = match data.role {
                Role::Var | Role::Scratch => true,
                Role::Output => word == "rows",
                Role::Data | Role::Structural => false,
            };
            if !fits {
                report.declaration(data.span, format!("`{}` cannot give {word}", data.name));
            }
        }
    }
    for (at, &buffer) in columns.iter().enumerate() {
        if let Some(row_at) = rows.iter().position(|&row| row == buffer)
            && rows[..row_at] != columns[..at]
        {
            let data = &func.buffers[buffer];
            report.declaration(
                data.span,
                format!("`{}` has one position as row, another as column", data.name),
            );
        }
    }
    true
}

/// What is wrong with a size expression.
pub(super) fn check_size_expr(report: &Report<'_>, expr: &SizeExpr) -> Result<(), &'static str> {
    if expr.terms.iter().any(|&(size, _)| !report.func.sizes.is_valid(size)) {
        return Err("uses a size that does not exist");
    }
    let sorted = expr.terms.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if !sorted || expr.terms.iter().any(|&(_, coefficient)| coefficient == 0) {
        return Err("has a size expression that is not in normal form");
    }
    Ok(())
}
