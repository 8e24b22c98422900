//! Runs the compact code on index sets.
//!
//! Where both branches of an `if` count, both are run one after the other: sets only grow by accumulation, so what results is the
//! union. A buffer that only one of them would empty keeps its sets.

mod dependence;

use super::bind::Array;
use super::code::{Branch, CarryCode, Code, Loop, Place, Program, Target};
use super::csr::Pattern;
use super::detect::{Order, Scope};
use super::error::DetectError;
use super::pairs::{NONE, Pairs};
use super::sets::{EMPTY, Sets};
use dependence::{Dependence, NOTHING};
use spadina_ir::func::Carry;
use spadina_ir::interp::InterpError;
use spadina_ir::math::{floor_div, floor_mod};
use spadina_ir::op::Op;

/// Why a run ends early: boxed, since every step may return it and hardly any does.
type Stop = Box<DetectError>;

/// Registers, buffers and sets of one run.
pub(super) struct Machine<'a> {
    ints: Vec<i64>,
    floats: Vec<f64>,
    /// Index set and pairs of each set register.
    sets: Vec<Dependence>,
    arrays: Vec<Array<'a>>,
    names: Vec<String>,
    columns: u32,
    store: Sets,
    pairs: Pairs,
    scope: Scope,
    order: Order,
    /// Number of branches around that may not be taken.
    doubtful: u32,
    /// Yields on their way to parameters.
    moved: Vec<Parts>,
    watch: Option<Watch>,
}

/// One entry whose origin is looked for.
pub(super) struct Watch {
    /// What is added must depend on this unknown.
    pub(super) column: u32,
    pub(super) row: WatchedRow,
    /// Source locations of accumulations where it does, in order of the first time.
    pub(super) found: Vec<(u32, u32)>,
}

/// The row of a watched entry.
pub(super) enum WatchedRow {
    /// What is added must also depend on this unknown.
    Unknown(u32),
    /// It must be added to this element of this buffer.
    Element(u32, usize),
}

/// All parts of one value.
#[derive(Clone, Copy)]
struct Parts {
    int: i64,
    float: f64,
    set: Dependence,
}

impl<'a> Machine<'a> {
    pub(super) fn new(
        program: &Program,
        arrays: Vec<Array<'a>>,
        names: Vec<String>,
        columns: u32,
        (scope, order): (Scope, Order),
    ) -> Machine<'a> {
        Machine {
            ints: program.ints.clone(),
            floats: program.floats.clone(),
            sets: vec![NOTHING; program.sets],
            arrays,
            names,
            columns,
            store: Sets::new(columns),
            pairs: Pairs::new(),
            scope,
            order,
            doubtful: 0,
            moved: Vec::new(),
            watch: None,
        }
    }

    /// From now on looks for the origin of an entry.
    pub(super) fn watch(&mut self, column: u32, row: WatchedRow) {
        self.watch = Some(Watch { column, row, found: Vec::new() });
    }

    /// What has been found.
    pub(super) fn watched(self) -> Vec<(u32, u32)> {
        self.watch.map(|watch| watch.found).unwrap_or_default()
    }

    /// Notes an accumulation that the watched entry comes from.
    fn note(&mut self, place: &Place, at: usize, added: Option<u32>) {
        let (Some(watch), Some(register)) = (&mut self.watch, added) else { return };
        if watch.found.contains(&place.span) {
            return;
        }
        if let WatchedRow::Element(buffer, element) = watch.row
            && (buffer, element) != (place.buffer, at)
        {
            return;
        }
        let columns = self.store.columns(self.sets[register as usize].set);
        let depends = |column: u32| columns.contains(&column);
        let row = match watch.row {
            WatchedRow::Unknown(row) => depends(row),
            WatchedRow::Element(..) => true,
        };
        if row && depends(watch.column) {
            watch.found.push(place.span);
        }
    }

    // ---- results ----------------------------------------------------------------------------------------------

    /// The rows of the elements of some buffers.
    pub(super) fn jacobian(&mut self, rows: impl Iterator<Item = u32>) -> Result<Pattern, DetectError> {
        let ncols = self.columns as usize;
        let mut pattern = Pattern { nrows: 0, ncols, row_ptr: vec![0], col_idx: Vec::new() };
        for row in rows {
            let array = &self.arrays[row as usize];
            for at in 0..array.len {
                let columns = self.store.columns(array.set(at));
                pattern.col_idx.extend_from_slice(columns);
                pattern.row_ptr.push(pattern.col_idx.len());
                if pattern.col_idx.len() >= 1 << 31 {
                    return Err(DetectError::TooLarge);
                }
            }
        }
        if self.store.overflowed() {
            return Err(DetectError::TooLarge);
        }
        pattern.nrows = pattern.row_ptr.len() - 1;
        Ok(pattern)
    }

    /// The pairs of all elements of some buffers.
    pub(super) fn hessian(&mut self, results: impl Iterator<Item = u32>) -> Result<Pattern, DetectError> {
        if self.store.overflowed() || self.pairs.overflowed() {
            return Err(DetectError::TooLarge);
        }
        let mut roots = Vec::new();
        for result in results {
            roots.extend_from_slice(&self.arrays[result as usize].pairs);
        }
        self.pairs.pattern(&roots, &mut self.store, self.columns as usize)
    }

    /// The buffer and element that a row of the Jacobian stands for.
    pub(super) fn element_of_row(
        &self,
        rows: impl Iterator<Item = u32>,
        mut row: usize,
    ) -> Option<(u32, usize)> {
        for buffer in rows {
            let len = self.arrays[buffer as usize].len;
            if row < len {
                return Some((buffer, row));
            }
            row -= len;
        }
        None
    }

    // ---- running ----------------------------------------------------------------------------------------------

    /// Runs a program.
    pub(super) fn run(&mut self, code: &[Code]) -> Result<(), DetectError> {
        self.block(code).map_err(|stop| *stop)
    }

    fn block(&mut self, code: &[Code]) -> Result<(), Stop> {
        for code in code {
            self.step(code)?;
        }
        Ok(())
    }

    fn step(&mut self, code: &Code) -> Result<(), Stop> {
        match *code {
            Code::Int { op, dst, a, b } => {
                let (a, b) = (self.ints[a as usize], self.ints[b as usize]);
                self.ints[dst as usize] = int(op, a, b);
            }
            Code::Compare { op, dst, a, b } => {
                let (a, b) = (self.floats[a as usize], self.floats[b as usize]);
                self.ints[dst as usize] = i64::from(match op {
                    Op::FloatEq => a == b,
                    Op::FloatNe => a != b,
                    Op::FloatLt => a < b,
                    _ => a <= b,
                });
            }
            Code::PickInt { dst, cond, a, b } => {
                let taken = if self.ints[cond as usize] != 0 { a } else { b };
                self.ints[dst as usize] = self.ints[taken as usize];
            }
            Code::ToInt { dst, a } => self.ints[dst as usize] = self.floats[a as usize] as i64,
            Code::FromInt { dst, a } => self.floats[dst as usize] = self.ints[a as usize] as f64,
            Code::Indicator { dst, a, b } => {
                let equal = self.ints[a as usize] == self.ints[b as usize];
                self.floats[dst as usize] = f64::from(u8::from(equal));
            }
            Code::Float1 { function, dst, a } => {
                self.floats[dst as usize] = function(self.floats[a as usize]);
            }
            Code::Float2 { function, dst, a, b } => {
                self.floats[dst as usize] = function(self.floats[a as usize], self.floats[b as usize]);
            }
            Code::Narrow { dst, a } => self.floats[dst as usize] = f64::from(self.floats[a as usize] as f32),
            Code::PickFloat { dst, cond, a, b } => {
                let taken = if self.ints[cond as usize] != 0 { a } else { b };
                self.floats[dst as usize] = self.floats[taken as usize];
            }
            Code::Join { dst, a, b } => {
                self.sets[dst as usize] = self.join(self.sets[a as usize], self.sets[b as usize]);
            }
            Code::Product { dst, a, b, numbers } => {
                let numbers = numbers.map(|(x, y)| (self.floats[x as usize], self.floats[y as usize]));
                self.sets[dst as usize] = self.product(self.sets[a as usize], self.sets[b as usize], numbers);
            }
            Code::Quotient { dst, a, b, number } => {
                let number = number.map(|x| self.floats[x as usize]);
                self.sets[dst as usize] = self.quotient(self.sets[a as usize], self.sets[b as usize], number);
            }
            Code::Scale { dst, a, factor } => {
                let kept = self.floats[factor as usize] != 0.0;
                self.sets[dst as usize] = if kept { self.sets[a as usize] } else { NOTHING };
            }
            Code::Curve { dst, a } => self.sets[dst as usize] = self.curve(self.sets[a as usize]),
            Code::Surface { dst, a, b } => {
                let both = self.join(self.sets[a as usize], self.sets[b as usize]);
                self.sets[dst as usize] = self.curve(both);
            }
            Code::Given { dst, a, b, slope } => {
                let (a, b) = (self.sets[a as usize], self.sets[b as usize]);
                let pairs = self.pairs.product(a.pairs, b.pairs, b.set, self.sets[slope as usize].set);
                self.sets[dst as usize] = Dependence { set: self.store.union(a.set, b.set), pairs };
            }
            Code::Power { dst, a, exponent } => {
                let a = self.sets[a as usize];
                let exponent = self.floats[exponent as usize];
                self.sets[dst as usize] = if exponent == 0.0 {
                    NOTHING
                } else if exponent == 1.0 {
                    a
                } else {
                    self.curve(a)
                };
            }
            Code::Extremum { dst, a, b, x, y, least } => {
                let (x, y) = (self.floats[x as usize], self.floats[y as usize]);
                let (a, b) = (self.sets[a as usize], self.sets[b as usize]);
                self.sets[dst as usize] = self.extremum((a, x), (b, y), least);
            }
            Code::Pick { dst, cond, a, b } => {
                let taken = if self.ints[cond as usize] != 0 { a } else { b };
                self.sets[dst as usize] = self.sets[taken as usize];
            }
            Code::Load { ref at, into } => {
                let (buffer, at) = (at.buffer as usize, self.element(at)?);
                let array = &self.arrays[buffer];
                if let Some(dst) = into.int {
                    self.ints[dst as usize] = array.ints[at];
                }
                if let Some(dst) = into.float {
                    self.floats[dst as usize] = array.floats[at];
                }
                if let Some(dst) = into.set {
                    let pairs = array.pairs.get(at).copied().unwrap_or(NONE);
                    self.sets[dst as usize] = Dependence { set: array.set(at), pairs };
                }
            }
            Code::Accum { ref at, from } => self.accum(at, from)?,
            Code::Check { ref at } => {
                self.element(at)?;
            }
            Code::Reset { buffer } => {
                if self.doubtful == 0 {
                    let array = &mut self.arrays[buffer as usize];
                    array.sets.fill(EMPTY);
                    array.pairs.fill(NONE);
                    array.floats.to_mut().fill(0.0);
                    array.ints.to_mut().fill(0);
                }
            }
            Code::Loop(ref code) => self.run_loop(code)?,
            Code::Branch(ref code) => self.branch(code)?,
        }
        Ok(())
    }

    /// The row-major position of an element; every subscript is checked.
    #[inline]
    fn element(&self, place: &Place) -> Result<usize, Stop> {
        let array = &self.arrays[place.buffer as usize];
        if let ([subscript], [bound]) = (&place.index[..], &array.dims[..]) {
            let index = self.ints[*subscript as usize];
            return if (0..*bound).contains(&index) {
                Ok(index as usize)
            } else {
                Err(Box::new(self.outside(place)))
            };
        }
        let mut at = 0_i64;
        for (&subscript, &bound) in place.index.iter().zip(&array.dims) {
            let index = self.ints[subscript as usize];
            if index < 0 || index >= bound {
                return Err(Box::new(self.outside(place)));
            }
            at = at * bound + index;
        }
        if place.index.len() == array.dims.len() {
            Ok(at as usize)
        } else {
            Err(Box::new(self.outside(place)))
        }
    }

    /// Why there is no such element.
    #[cold]
    fn outside(&self, place: &Place) -> DetectError {
        let array = &self.arrays[place.buffer as usize];
        for (axis, (&subscript, &bound)) in place.index.iter().zip(&array.dims).enumerate() {
            let index = self.ints[subscript as usize];
            if index < 0 || index >= bound {
                let buffer = self.names[place.buffer as usize].clone();
                let error = InterpError::Subscript { buffer, axis, index, bound, span: place.span };
                return error.into();
            }
        }
        let what = "an access with a wrong number of subscripts".to_owned();
        InterpError::IllFormed { what, span: place.span }.into()
    }

    fn accum(&mut self, place: &Place, from: Target) -> Result<(), Stop> {
        let at = self.element(place)?;
        if self.watch.is_some() {
            self.note(place, at, from.set);
        }
        let array = &self.arrays[place.buffer as usize];
        let old = match array.sets.get(at) {
            Some(&set) => Dependence { set, pairs: array.pairs[at] },
            None => NOTHING,
        };
        let sum = from.set.map(|register| self.join(old, self.sets[register as usize]));
        let array = &mut self.arrays[place.buffer as usize];
        if let Some(sum) = sum
            && let (Some(set), Some(pairs)) = (array.sets.get_mut(at), array.pairs.get_mut(at))
        {
            (*set, *pairs) = (sum.set, sum.pairs);
        }
        if let Some(register) = from.float {
            array.floats.to_mut()[at] += self.floats[register as usize];
        }
        if let Some(register) = from.int {
            let total = &mut array.ints.to_mut()[at];
            *total = total.wrapping_add(self.ints[register as usize]);
        }
        Ok(())
    }

    // ---- structure --------------------------------------------------------------------------------------------

    fn get(&self, target: Target) -> Parts {
        Parts {
            int: target.int.map_or(0, |r| self.ints[r as usize]),
            float: target.float.map_or(0.0, |r| self.floats[r as usize]),
            set: target.set.map_or(NOTHING, |r| self.sets[r as usize]),
        }
    }

    fn put(&mut self, target: Target, parts: Parts) {
        if let Some(r) = target.int {
            self.ints[r as usize] = parts.int;
        }
        if let Some(r) = target.float {
            self.floats[r as usize] = parts.float;
        }
        if let Some(r) = target.set {
            self.sets[r as usize] = parts.set;
        }
    }

    fn run_loop(&mut self, code: &Loop) -> Result<(), Stop> {
        let (mut iv, hi) = (self.ints[code.lo as usize], self.ints[code.hi as usize]);
        for carry in &code.carries {
            let (int, float) = match carry.kind {
                Carry::Sum => (0, 0.0),
                Carry::Prod => (1, 1.0),
                Carry::Min => (i64::MAX, f64::INFINITY),
                Carry::Max => (i64::MIN, f64::NEG_INFINITY),
                Carry::State(_) => continue,
            };
            self.put(carry.result, Parts { int, float, set: NOTHING });
        }
        let base = self.moved.len();
        self.states(code, base, |carry| carry.init);
        while iv < hi {
            self.ints[code.iv as usize] = iv;
            self.block(&code.body)?;
            if !code.carries.is_empty() {
                for carry in &code.carries {
                    self.combine(carry);
                }
                self.states(code, base, |carry| carry.yielded);
            }
            if self.store.overflowed() || self.pairs.overflowed() {
                return Err(Box::new(DetectError::TooLarge));
            }
            match iv.checked_add(code.step) {
                Some(next) => iv = next,
                None => break,
            }
        }
        for carry in code.carries.iter().filter(|carry| matches!(carry.kind, Carry::State(_))) {
            let last = self.get(carry.param);
            self.put(carry.result, last);
        }
        Ok(())
    }

    /// Moves values into the parameters of recurrences, all at once.
    fn states(&mut self, code: &Loop, base: usize, from: impl Fn(&CarryCode) -> Target) {
        let states = || code.carries.iter().filter(|carry| matches!(carry.kind, Carry::State(_)));
        for carry in states() {
            let parts = self.get(from(carry));
            self.moved.push(parts);
        }
        for (n, carry) in states().enumerate() {
            self.put(carry.param, self.moved[base + n]);
        }
        self.moved.truncate(base);
    }

    fn combine(&mut self, carry: &CarryCode) {
        let (total, next) = (self.get(carry.result), self.get(carry.yielded));
        let local = self.scope == Scope::Local;
        let (int, float, set) = match carry.kind {
            Carry::State(_) => return,
            Carry::Sum => {
                let set = self.join(total.set, next.set);
                (total.int.wrapping_add(next.int), total.float + next.float, set)
            }
            Carry::Prod => {
                let set = self.product(total.set, next.set, local.then_some((total.float, next.float)));
                (total.int.wrapping_mul(next.int), total.float * next.float, set)
            }
            Carry::Min | Carry::Max => {
                let least = carry.kind == Carry::Min;
                let takes = |a: f64, b: f64| b.is_nan() || if least { b < a } else { b > a };
                let set = if local {
                    self.extremum((total.set, total.float), (next.set, next.float), least)
                } else {
                    self.join(total.set, next.set)
                };
                let int = if least { total.int.min(next.int) } else { total.int.max(next.int) };
                (int, if takes(total.float, next.float) { next.float } else { total.float }, set)
            }
        };
        self.put(carry.result, Parts { int, float, set });
    }

    fn branch(&mut self, code: &Branch) -> Result<(), Stop> {
        if let Some(cond) = code.cond {
            let holds = self.ints[cond as usize] != 0;
            self.block(if holds { &code.then } else { &code.els })?;
            for &(result, then, els) in &code.results {
                let parts = self.get(if holds { then } else { els });
                self.put(result, parts);
            }
            return Ok(());
        }
        self.doubtful += 1;
        self.block(&code.then)?;
        self.block(&code.els)?;
        self.doubtful -= 1;
        for &(result, then, els) in &code.results {
            let (then, els) = (self.get(then), self.get(els));
            let set = self.join(then.set, els.set);
            self.put(result, Parts { set, ..then });
        }
        Ok(())
    }
}

fn int(op: Op, a: i64, b: i64) -> i64 {
    match op {
        Op::IntAdd => a.wrapping_add(b),
        Op::IntSub => a.wrapping_sub(b),
        Op::IntMul => a.wrapping_mul(b),
        Op::IntDiv => floor_div(a, b),
        Op::IntMod => floor_mod(a, b),
        Op::IntMin => a.min(b),
        Op::IntMax => a.max(b),
        Op::IntEq => i64::from(a == b),
        Op::IntNe => i64::from(a != b),
        Op::IntLt => i64::from(a < b),
        Op::IntLe => i64::from(a <= b),
        Op::And => a & b,
        Op::Or => a | b,
        _ => {
            debug_assert!(op == Op::Not, "no other operation gives integers from integers");
            i64::from(a == 0)
        }
    }
}
