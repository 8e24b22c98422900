//! The entry points: patterns of the Jacobian and of the Hessian of a function.
//!
//! ```
//! use spadina_ir::frontend::compile::compile;
//! use spadina_ir::interp::Bindings;
//! use spadina_passes::analysis::pattern::detect::{Scope, hessian, jacobian};
//!
//! let program = compile("kernel chain<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (x[i + 1] - x[i])^2 } }");
//! let func = &program.kernels[0].func;
//! let mut bindings = Bindings::default();
//! bindings.set_size(func, "N", 4)?;
//!
//! // Any values of `x`: only the sizes and index arrays matter.
//! let pattern = hessian(func, &bindings, Scope::Global)?;
//! assert_eq!((pattern.nnz(), pattern.row(1)), (10, &[0, 1, 2][..]));
//! assert_eq!(jacobian(func, &bindings, Scope::Global)?.row(0), [0, 1, 2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::bind::{bind, size};
use super::code::Code;
use super::compile::compile;
use super::csr::Pattern;
use super::error::DetectError;
use super::machine::{Machine, WatchedRow};
use spadina_ir::func::{Buffer, Func, Plane, Role};
use spadina_ir::interp::Bindings;

/// For which inputs a pattern holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// For all values of floats that are not structural: both branches of an `if` on such floats count.
    Global,
    /// At the bound point only: the branch taken, the smaller of a minimum (both where equal), no products with zero.
    Local,
}

/// How far dependences are followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Order {
    First,
    Second,
}

/// The pattern of the Jacobian: one row for each element of the results (`Func::rows`, or all outputs in order), one column for
/// each element of the unknowns in `Func::columns`.
///
/// Always a superset of the entries that can be nonzero. Sizes and structural inputs come from `inputs`; other inputs need to be
/// bound in the local scope only. Rows that are unknowns stand for their adjoints, so that the gradient program of an energy gives
/// the pattern of its Hessian.
///
/// # Errors
/// Data that does not fit, subscripts out of range, subscripts or loop bounds that depend on floats which are not structural,
/// patterns of 2^31 entries or more.
pub fn jacobian(func: &Func, inputs: &Bindings, scope: Scope) -> Result<Pattern, DetectError> {
    let rows = rows(func)?;
    let mut machine = run(func, inputs, scope, Order::First)?;
    machine.jacobian(rows.iter().map(|row| row.as_u32()))
}

/// The pattern of the Hessian of any weighted sum of all outputs: square over the unknowns in `Func::columns`, symmetric.
///
/// Always a superset of the entries that can be nonzero.
///
/// # Errors
/// As for [`jacobian`].
pub fn hessian(func: &Func, inputs: &Bindings, scope: Scope) -> Result<Pattern, DetectError> {
    let mut machine = run(func, inputs, scope, Order::Second)?;
    machine.hessian(func.buffers_of(Role::Output).map(Buffer::as_u32))
}

/// Where in the source the accumulations stand (byte offsets) that one entry of the Jacobian comes from: those into its row that
/// depend on its column, in the order in which they run. Empty for an entry outside the matrix.
///
/// # Errors
/// As for [`jacobian`].
pub fn jacobian_terms(
    func: &Func,
    inputs: &Bindings,
    (row, column): (usize, u32),
) -> Result<Vec<(u32, u32)>, DetectError> {
    let rows = rows(func)?;
    let (code, mut machine) = start(func, inputs, Scope::Global, Order::First)?;
    let Some((buffer, element)) = machine.element_of_row(rows.iter().map(|row| row.as_u32()), row) else {
        return Ok(Vec::new());
    };
    machine.watch(column, WatchedRow::Element(buffer, element));
    machine.run(&code)?;
    Ok(machine.watched())
}

/// Where in the source the accumulations stand (byte offsets) that one entry of the Hessian may come from: those that depend on both
/// unknowns, in the order in which they run. Each function of one accumulation can add to the entry; one that is linear does not.
///
/// # Errors
/// As for [`jacobian`].
pub fn hessian_terms(
    func: &Func,
    inputs: &Bindings,
    (row, column): (u32, u32),
) -> Result<Vec<(u32, u32)>, DetectError> {
    let (code, mut machine) = start(func, inputs, Scope::Global, Order::First)?;
    machine.watch(column, WatchedRow::Unknown(row));
    machine.run(&code)?;
    Ok(machine.watched())
}

fn run<'a>(
    func: &Func,
    inputs: &'a Bindings,
    scope: Scope,
    order: Order,
) -> Result<Machine<'a>, DetectError> {
    let (code, mut machine) = start(func, inputs, scope, order)?;
    machine.run(&code)?;
    Ok(machine)
}

/// The code and the machine that will run it.
fn start<'a>(
    func: &Func,
    inputs: &'a Bindings,
    scope: Scope,
    order: Order,
) -> Result<(Vec<Code>, Machine<'a>), DetectError> {
    let program = compile(func, scope, order, &|expr| size(func, inputs, expr))?;
    let (arrays, columns) = bind(func, inputs, scope, &program.active)?;
    let names = func.buffers.values().map(|data| data.name.clone()).collect();
    let machine = Machine::new(&program, arrays, names, columns, (scope, order));
    Ok((program.body, machine))
}

/// The buffers whose elements are the rows.
fn rows(func: &Func) -> Result<Vec<Buffer>, DetectError> {
    if func.rows.is_empty() {
        return Ok(func.buffers_of(Role::Output).collect());
    }
    let written = |&row: &Buffer| {
        let adjoint =
            || func.buffers_of(Role::Output).find(|&b| func.buffers[b].plane == Plane::Adjoint(row));
        let found = if func.buffers[row].role == Role::Output { Some(row) } else { adjoint() };
        found.ok_or_else(|| DetectError::NoRow { buffer: func.buffers[row].name.clone() })
    };
    func.rows.iter().map(written).collect()
}
