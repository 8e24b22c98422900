//! The reference interpreter: slow, obviously right, the oracle that compiled code and every pass are compared with.
//!
//! It runs a [`Func`] as [`crate::func`] defines it, one instruction after the other, with the arithmetic of
//! [`crate::math`]. Everything is checked: shapes, the promises about index arrays, every subscript, every position of
//! the matrix. A function that breaks an invariant gives [`InterpError::IllFormed`] and never a panic, as long as its
//! entities exist.
//!
//! # Positions
//! `Position(buffer, index)` is the number of elements of the buffers that stand before `buffer` in `Func::columns`
//! (for an unknown that is listed there) or else in `Func::rows`, plus the row-major index. It is arithmetic and never fails, so
//! passes may move it: out of a loop that does not run, say. Emissions check what they are given.
//! An emission without values (in an index program) gives its entries with value zero.

mod bind;
pub mod data;
pub mod error;
pub mod sizes;

pub use data::{ArrayData, Bindings, Outputs, Stats};
pub use error::InterpError;
pub use sizes::infer_sizes;

use crate::func::{Buffer, Carry, Const, EmitData, Func, Inst, InstData, Region, Role, Value};
use crate::math;
use crate::op::Op;
use crate::project::{Projection, project_slice};
use crate::types::Ty;
use cranelift_entity::SecondaryMap;
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;

/// Runs `func` on `inputs`.
///
/// Scratch and output buffers start as zeros. Every size must be bound (see [`infer_sizes`]), and every input (roles
/// `Var`, `Data` and `Structural`, whatever their plane) that is not a scalar with a default.
///
/// # Errors
/// Arrays that do not fit, index entries out of range (found before anything runs), subscripts and matrix positions
/// out of range, ill-formed functions.
pub fn run(func: &Func, inputs: &Bindings) -> Result<Outputs, InterpError> {
    observe(func, inputs, &mut |_, _, _| {})
}

/// Told of each operation and its operands, before it is executed.
pub type Observer<'a> = dyn FnMut(Inst, Op, &[Const]) + 'a;

/// As [`run`], telling `observer` of every operation.
///
/// # Errors
/// As [`run`].
pub fn observe(func: &Func, inputs: &Bindings, observer: &mut Observer<'_>) -> Result<Outputs, InterpError> {
    let mut machine = Machine::bind(func, inputs, observer)?;
    machine.region(func.body)?;
    machine.check_direct()?;
    let mut outputs = Outputs {
        triplets: machine.triplets,
        shape: (machine.row_count, machine.col_count),
        stats: machine.stats,
        ..Outputs::default()
    };
    for (buffer, data) in &func.buffers {
        if data.role == Role::Output {
            outputs.arrays.insert(buffer, machine.arrays[buffer].data.clone());
        }
    }
    Ok(outputs)
}

/// Operands and results of one instruction: few enough to stand in place.
type Consts = SmallVec<[Const; 4]>;

/// One buffer at run time.
#[derive(Clone)]
struct Array {
    dims: Vec<i64>,
    data: ArrayData,
    /// Elements before it in the columns or rows.
    offset: Option<usize>,
}

impl Default for Array {
    fn default() -> Self {
        Array { dims: Vec::new(), data: ArrayData::F64(Vec::new()), offset: None }
    }
}

struct Machine<'a> {
    func: &'a Func,
    observer: &'a mut Observer<'a>,
    inputs: &'a Bindings,
    arrays: SecondaryMap<Buffer, Array>,
    values: SecondaryMap<Value, Option<Const>>,
    triplets: Vec<(usize, usize, f64)>,
    row_count: usize,
    col_count: usize,
    /// Rows that a direct emission has completed, with their number of entries.
    direct: BTreeMap<usize, usize>,
    stats: Stats,
    /// Location of the instruction being executed.
    span: (u32, u32),
}

impl Machine<'_> {
    fn ill_formed(&self, what: impl Into<String>) -> InterpError {
        InterpError::IllFormed { what: what.into(), span: self.span }
    }

    fn get(&self, value: Value) -> Result<Const, InterpError> {
        self.values[value].ok_or_else(|| self.ill_formed(format!("{value} is used before it is defined")))
    }

    fn get_all(&self, values: &[Value]) -> Result<Consts, InterpError> {
        values.iter().map(|&value| self.get(value)).collect()
    }

    fn get_int(&self, value: Value) -> Result<i64, InterpError> {
        match self.get(value)? {
            Const::Int(n) => Ok(n),
            other => Err(self.ill_formed(format!("{value} is {} where an int is needed", other.ty()))),
        }
    }

    fn eval(&mut self, op: Op, args: &[Const]) -> Result<Const, InterpError> {
        self.stats.add(op);
        math::eval(op, args).ok_or_else(|| self.ill_formed(format!("`{}` does not take {args:?}", op.name())))
    }

    /// Runs a region and gives its yields.
    fn region(&mut self, region: Region) -> Result<Consts, InterpError> {
        for &inst in &self.func.regions[region].insts {
            self.inst(inst)?;
        }
        self.get_all(&self.func.regions[region].yields)
    }

    fn inst(&mut self, inst: Inst) -> Result<(), InterpError> {
        self.span = self.func.spans[inst];
        let results: Consts = match &self.func.insts[inst] {
            InstData::Const(constant) => smallvec![*constant],
            InstData::Size(expr) => {
                let n = self.size(expr).ok_or_else(|| self.ill_formed("a size expression overflows"))?;
                smallvec![Const::Int(n)]
            }
            InstData::Op(op, args) => {
                let args = self.get_all(args)?;
                (self.observer)(inst, *op, &args);
                smallvec![self.eval(*op, &args)?]
            }
            InstData::Load(buffer, index) => {
                self.stats.loads += 1;
                let at = self.element(*buffer, index)?;
                let loaded = self.arrays[*buffer].data.get(at);
                smallvec![loaded.ok_or_else(|| self.ill_formed("the subscripts were checked"))?]
            }
            InstData::Position(buffer, index) => {
                let at = self.linear(*buffer, index)?;
                let Some(offset) = self.arrays[*buffer].offset else {
                    let name = &self.func.buffers[*buffer].name;
                    return Err(self.ill_formed(format!("`{name}` gives neither columns nor rows")));
                };
                smallvec![Const::Int((offset as i64).wrapping_add(at))]
            }
            InstData::Accum(buffer, index, value) => {
                self.accum(*buffer, index, *value)?;
                Consts::new()
            }
            InstData::Reset(buffer, length) => {
                let length = match length {
                    Some(v) => Some(self.get_int(*v)?),
                    None => None,
                };
                self.reset(*buffer, length)?;
                Consts::new()
            }
            InstData::Check(buffer, index) => {
                self.element(*buffer, index)?;
                Consts::new()
            }
            InstData::Loop { lo, hi, step, carries, body } => {
                self.run_loop(*lo, *hi, *step, carries, *body)?
            }
            InstData::If { cond, then, els } => match self.get(*cond)? {
                Const::Bool(true) => self.region(*then)?,
                Const::Bool(false) => self.region(*els)?,
                other => return Err(self.ill_formed(format!("a condition of type {}", other.ty()))),
            },
            InstData::Emit(emit) => {
                self.emit(emit)?;
                Consts::new()
            }
        };
        let places = &self.func.results[inst];
        if places.len() != results.len() {
            return Err(self.ill_formed(format!("{} results for {} values", results.len(), places.len())));
        }
        for (&place, result) in places.iter().zip(results) {
            self.values[place] = Some(result);
        }
        Ok(())
    }

    /// The row-major position of an element; every subscript is checked.
    fn element(&self, buffer: Buffer, index: &[Value]) -> Result<usize, InterpError> {
        let array = &self.arrays[buffer];
        if index.len() != array.dims.len() {
            let (have, want) = (index.len(), array.dims.len());
            return Err(self.ill_formed(format!("{have} subscripts for {want} dimensions")));
        }
        let mut at = 0_i64;
        for (axis, (&subscript, &bound)) in index.iter().zip(&array.dims).enumerate() {
            let index = self.get_int(subscript)?;
            if index < 0 || index >= bound {
                let buffer = self.func.buffers[buffer].name.clone();
                return Err(InterpError::Subscript { buffer, axis, index, bound, span: self.span });
            }
            at = at * bound + index;
        }
        Ok(at as usize)
    }

    /// The row-major index, of subscripts that may lie outside.
    fn linear(&self, buffer: Buffer, index: &[Value]) -> Result<i64, InterpError> {
        let dims = &self.arrays[buffer].dims;
        if index.len() != dims.len() {
            let (have, want) = (index.len(), dims.len());
            return Err(self.ill_formed(format!("{have} subscripts for {want} dimensions")));
        }
        index.iter().zip(dims).try_fold(0_i64, |at, (&subscript, &bound)| {
            Ok(at.wrapping_mul(bound).wrapping_add(self.get_int(subscript)?))
        })
    }

    fn accum(&mut self, buffer: Buffer, index: &[Value], value: Value) -> Result<(), InterpError> {
        self.stats.accums += 1;
        if is_input(self.func.buffers[buffer].role) {
            return Err(self.ill_formed("an input is written"));
        }
        let at = self.element(buffer, index)?;
        let value = self.get(value)?;
        let old = self.arrays[buffer].data.get(at);
        let sum = match (old, value) {
            (Some(Const::F64(a)), Const::F64(b)) => Const::F64(a + b),
            (Some(Const::F32(a)), Const::F32(b)) => Const::F32(a + b),
            (Some(Const::Int(a)), Const::Int(b)) => Const::Int(a.wrapping_add(b)),
            _ => return Err(self.ill_formed("an accumulation of another type than its buffer")),
        };
        if self.arrays[buffer].data.set(at, sum) {
            Ok(())
        } else {
            Err(self.ill_formed("the subscripts were checked"))
        }
    }

    /// Clears a scratch array; what stands beyond `length` becomes poison, so that reading it shows.
    fn reset(&mut self, buffer: Buffer, length: Option<i64>) -> Result<(), InterpError> {
        let data = &self.func.buffers[buffer];
        if data.role != Role::Scratch {
            return Err(self.ill_formed("only scratch is reset"));
        }
        let len = self.arrays[buffer].data.len();
        let zeros = ArrayData::zeros(data.elem, len);
        let mut zeros = zeros.ok_or(InterpError::TooLarge { buffer: data.name.clone() })?;
        if let Some(length) = length {
            let from = usize::try_from(length.max(0)).unwrap_or(len).min(len);
            match &mut zeros {
                ArrayData::F64(data) => data[from..].fill(f64::NAN),
                ArrayData::F32(data) => data[from..].fill(f32::NAN),
                ArrayData::Int(data) => data[from..].fill(i64::MIN),
                ArrayData::Bool(_) => {}
            }
        }
        self.arrays[buffer].data = zeros;
        Ok(())
    }

    fn run_loop(
        &mut self,
        lo: Value,
        hi: Value,
        step: i64,
        carries: &[Carry],
        body: Region,
    ) -> Result<Consts, InterpError> {
        let (lo, hi) = (self.get_int(lo)?, self.get_int(hi)?);
        let region = &self.func.regions[body];
        if step <= 0 {
            return Err(self.ill_formed("a stride that is not positive"));
        }
        if region.yields.len() != carries.len() {
            return Err(self.ill_formed("a loop needs one yield per carry"));
        }
        let mut current = Consts::new();
        for (&carry, &yielded) in carries.iter().zip(&region.yields) {
            current.push(self.neutral(carry, self.func.ty(yielded))?);
        }
        let mut iv = lo;
        while iv < hi {
            self.stats.iterations += 1;
            let states = carries.iter().zip(&current).filter(|(carry, _)| matches!(carry, Carry::State(_)));
            let arguments: Consts =
                [Const::Int(iv)].into_iter().chain(states.map(|(_, &state)| state)).collect();
            if arguments.len() != region.params.len() {
                return Err(self.ill_formed("a loop region takes the induction variable and the states"));
            }
            for (&param, argument) in region.params.iter().zip(arguments) {
                self.values[param] = Some(argument);
            }
            let yields = self.region(body)?;
            for ((&carry, total), yielded) in carries.iter().zip(&mut current).zip(yields) {
                *total = self.combine(carry, *total, yielded)?;
            }
            match iv.checked_add(step) {
                Some(next) => iv = next,
                None => break,
            }
        }
        Ok(current)
    }

    /// What a carry starts from.
    fn neutral(&self, carry: Carry, ty: Ty) -> Result<Const, InterpError> {
        let (float, int) = match carry {
            Carry::Sum => (0.0, 0),
            Carry::Prod => (1.0, 1),
            Carry::Min => (f64::INFINITY, i64::MAX),
            Carry::Max => (f64::NEG_INFINITY, i64::MIN),
            Carry::State(init) => return self.get(init),
        };
        match ty {
            Ty::F64 => Ok(Const::F64(float)),
            Ty::F32 => Ok(Const::F32(float as f32)),
            Ty::Int => Ok(Const::Int(int)),
            Ty::Bool => Err(self.ill_formed("truth values are not reduced")),
        }
    }

    fn combine(&mut self, carry: Carry, total: Const, yielded: Const) -> Result<Const, InterpError> {
        let int = yielded.ty() == Ty::Int;
        let op = match carry {
            Carry::Sum if int => Op::IntAdd,
            Carry::Sum => Op::Add,
            Carry::Prod if int => Op::IntMul,
            Carry::Prod => Op::Mul,
            Carry::Min if int => Op::IntMin,
            Carry::Min => Op::Min,
            Carry::Max if int => Op::IntMax,
            Carry::Max => Op::Max,
            Carry::State(_) => return Ok(yielded),
        };
        self.eval(op, &[total, yielded])
    }

    fn emit(&mut self, emit: &EmitData) -> Result<(), InterpError> {
        let positions_only = emit.values.is_empty();
        if !positions_only && emit.entries.len() != emit.values.len() {
            return Err(self.ill_formed("an emission needs one value per entry"));
        }
        let rows = self.positions(&emit.rows, "row", self.row_count)?;
        let cols = self.positions(&emit.cols, "column", self.col_count)?;
        if emit.direct {
            self.direct_rows(emit, &rows, &cols)?;
        }
        let mut values = Vec::with_capacity(emit.values.len());
        for &value in &emit.values {
            values.push(match self.get(value)? {
                Const::F64(x) => x,
                Const::F32(x) => f64::from(x),
                other => return Err(self.ill_formed(format!("an emission of type {}", other.ty()))),
            });
        }
        if let (Some(projection), false) = (emit.project, positions_only) {
            let whole = project_entries(&emit.entries, &mut values, &rows, projection);
            whole.ok_or_else(|| self.ill_formed("a projected emission that is no whole block"))?;
        }
        for (a, b, k) in emit.expanded() {
            let value = values.get(k).copied().unwrap_or(0.0);
            let (Some(&row), Some(&col)) = (rows.get(a as usize), cols.get(b as usize)) else {
                return Err(self.ill_formed("an entry names no local row or column"));
            };
            self.stats.entries += 1;
            self.triplets.push((row, col, value));
        }
        Ok(())
    }

    /// A direct emission keeps its promises: ascending columns in every row, every row once.
    fn direct_rows(&mut self, emit: &EmitData, rows: &[usize], cols: &[usize]) -> Result<(), InterpError> {
        let mut previous = None;
        for &(a, b) in &emit.entries {
            let (row, col) = (rows.get(a as usize), cols.get(b as usize));
            let (Some(&row), Some(&col)) = (row, col) else {
                return Err(self.ill_formed("an entry names no local row or column"));
            };
            if previous.is_some_and(|(r, c)| r == row && c >= col) {
                return Err(self.ill_formed("a direct emission whose columns do not ascend"));
            }
            previous = Some((row, col));
        }
        for (a, &row) in (0..).zip(rows) {
            let count = emit.entries.iter().filter(|e| e.0 == a).count();
            if self.direct.insert(row, count).is_some() {
                return Err(self.ill_formed("a row is stored directly twice"));
            }
        }
        Ok(())
    }

    /// Rows that were stored directly received nothing else.
    fn check_direct(&self) -> Result<(), InterpError> {
        let mut found: BTreeMap<usize, usize> = self.direct.keys().map(|&row| (row, 0)).collect();
        for (row, ..) in &self.triplets {
            if let Some(count) = found.get_mut(row) {
                *count += 1;
            }
        }
        if found == self.direct {
            Ok(())
        } else {
            Err(self.ill_formed("a row stored directly receives more entries"))
        }
    }

    fn positions(
        &self,
        values: &[Value],
        side: &'static str,
        bound: usize,
    ) -> Result<Vec<usize>, InterpError> {
        let check = |&value: &Value| {
            let position = self.get_int(value)?;
            match usize::try_from(position) {
                Ok(at) if at < bound => Ok(at),
                _ => {
                    let bound = bound as i64;
                    Err(InterpError::MatrixPosition { side, position, bound, span: self.span })
                }
            }
        };
        values.iter().map(check).collect()
    }
}

/// Projects the values of a block; `None` where its entries are not a whole triangle.
fn project_entries(
    entries: &[(u32, u32)],
    values: &mut [f64],
    rows: &[usize],
    projection: Projection,
) -> Option<()> {
    let size = rows.len();
    let mut block = vec![0.0; size * size];
    let at = |&(a, b): &(u32, u32)| a as usize * size + b as usize;
    for (entry, value) in entries.iter().zip(&*values) {
        *block.get_mut(at(entry))? = *value;
    }
    let positions: Option<Vec<i64>> = rows.iter().map(|&p| i64::try_from(p).ok()).collect();
    if !project_slice(size, &mut block, &positions?, projection) {
        return None;
    }
    for (entry, value) in entries.iter().zip(values) {
        *value = *block.get(at(entry))?;
    }
    Some(())
}

fn is_input(role: Role) -> bool {
    match role {
        Role::Var | Role::Data | Role::Structural => true,
        Role::Scratch | Role::Output => false,
    }
}
