//! Loops over complete rows, two rows side by side: reads and stores along the arrays, no look-up of a row's place but the first.
//!
//! # Alignment
//! A store of two doubles that lies across two cache lines costs more than one. Where rows have an odd number of entries, every other row starts
//! on a multiple of 16 bytes. In a long loop pairs start with such a row: the one before is left to the end, where a last one without a partner
//! is computed too. Not where rows are summed: the order of sums must not depend on an address.
//!
//! # Order of sums
//! Results without subscripts are summed by even and by odd rows of the loop, then both are added, then a last row without a partner. So the
//! additions of one row need not wait for those of the row before.

use crate::error::{CodegenError, Result};
use crate::lower::context::{Eval, Linear, Lower, Mode, Stride};
use crate::lower::lanes::Lanes;
use crate::lower::memory::unaligned_flags;
use crate::row_loop::{RowLoop, row_loop};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value as Clif, types};
use cranelift_frontend::Variable;
use smallvec::smallvec;
use spadina_ir::func::{Buffer, Carry, Func, Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_layout::program::PhaseInfo;
use std::collections::{BTreeMap, BTreeSet};

/// Rows that are computed side by side.
pub(crate) const ROWS: usize = 2;
/// Rows from which on it is worth to compute one alone so that pairs are aligned.
const LONG: i64 = 64;

/// The rows that are computed one by one: `first..begin` and `end..bound`, one at most in each.
struct Rest {
    first: Clif,
    begin: Clif,
    end: Clif,
    bound: Clif,
}

/// What lives through the rows.
struct Running {
    /// The next values of the states in both rows before.
    states: Vec<Variable>,
    /// Even and odd sums of the outputs without subscripts.
    sums: BTreeMap<Buffer, Variable>,
    /// By emission.
    places: BTreeMap<Inst, Place>,
}

/// Where the values of rows go that follow each other.
#[derive(Clone, Copy)]
struct Place {
    /// Those of the next row.
    next: Variable,
    /// Those of the first row of the last pair.
    last: Clif,
}

impl Lower<'_, '_> {
    /// How a loop takes rows side by side, if it does. Iterations that several owners share are computed row by row.
    pub(crate) fn row_loop(&self, inst: Inst) -> Option<RowLoop> {
        let evaluates = matches!(self.mode, Mode::Eval(Eval { filter: None, .. })) && !self.pure;
        let alone = self.lanes == 1 && self.program.lanes == ROWS && self.program.analyzed.batched.is_none();
        let complete = self.info.is_some_and(PhaseInfo::stores_rows);
        (evaluates && alone && complete).then(|| row_loop(self.func, inst, &self.program.analyzed.stored))?
    }

    /// Rows `lo..hi`, by pairs; then a last one, if there is one.
    pub(crate) fn rows_by_pairs(
        &mut self,
        inst: Inst,
        (lo, hi): (Value, Value),
        carries: &[Carry],
        body: Region,
        rows: RowLoop,
    ) -> Result<()> {
        let func = self.func;
        let iv = func.regions[body].params.first().copied();
        let iv = iv.ok_or_else(|| CodegenError::malformed("a loop without induction variable"))?;
        let params: Vec<Value> = func.regions[body].params[1..].to_vec();
        let (first, bound) = (self.get(lo)?, self.get(hi)?);
        let running = self.start_rows(carries, body)?;
        let (zero, length) = (self.int(0), self.b.ins().isub(bound, first));
        let length = self.b.ins().smax(length, zero);
        let begin = match Self::to_align(func, &rows, &running) {
            Some(emission) => self.aligned(iv, first, length, emission, &rows)?,
            None => first,
        };
        let length = self.b.ins().isub(bound, begin);
        let length = self.b.ins().smax(length, zero);
        let paired = self.b.ins().band_imm_s(length, -(ROWS as i64));
        let end = self.b.ins().iadd(begin, paired);
        let after = self.b.create_block();
        let preheader = self.b.create_block();
        let some = self.b.ins().icmp(IntCC::SignedLessThan, begin, end);
        self.b.ins().brif(some, preheader, &[], after, &[]);
        self.b.seal_block(preheader);
        self.b.switch_to_block(preheader);
        self.conditional += 1;
        let strides = self.origins(iv, &rows)?;
        let running = self.find_places(running, iv, (begin, end), &rows)?;
        let header = self.b.create_block();
        let row = self.b.append_block_param(header, types::I64);
        self.b.ins().jump(header, &[begin.into()]);
        self.b.switch_to_block(header);
        self.choose_rereads(body, row);
        self.strides = strides.into_iter().map(|(inst, known)| (inst, Stride { row, ..known })).collect();
        self.pair(iv, row, &params, body, rows, &running)?;
        self.strides = BTreeMap::new();
        let next = self.offset(row, ROWS as i64);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
        self.b.ins().brif(more, header, &[next.into()], after, &[]);
        self.b.seal_block(header);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        self.last_rows(inst, iv, &params, body, &running, Rest { first, begin, end, bound })?;
        self.conditional -= 1;
        Ok(())
    }

    /// The emission whose rows pairs may be aligned to.
    fn to_align(func: &Func, rows: &RowLoop, running: &Running) -> Option<Inst> {
        let free = running.sums.is_empty() && running.states.is_empty();
        let odd =
            |inst: &Inst| matches!(&func.insts[*inst], InstData::Emit(emit) if emit.values.len() % 2 == 1);
        rows.streamed.iter().copied().find(odd).filter(|_| free)
    }

    /// The first row or the second: the one whose values start on a multiple of 16 bytes, if there are many.
    fn aligned(
        &mut self,
        iv: Value,
        first: Clif,
        length: Clif,
        emission: Inst,
        rows: &RowLoop,
    ) -> Result<Clif> {
        let (look, start) = (self.b.create_block(), self.b.create_block());
        let begin = self.b.append_block_param(start, types::I64);
        let long = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, length, LONG);
        self.b.ins().brif(long, look, &[], start, &[first.into()]);
        self.b.seal_block(look);
        self.b.switch_to_block(look);
        self.conditional += 1;
        self.set(iv, first);
        for &inst in &rows.subscripts {
            self.scalar_inst(inst)?;
        }
        let chosen = match self.first_place(emission)? {
            Some(place) => {
                let eights = self.b.ins().ushr_imm_u(place, 3);
                let odd = self.b.ins().band_imm_s(eights, 1);
                self.b.ins().iadd(first, odd)
            }
            None => first,
        };
        self.conditional -= 1;
        self.b.ins().jump(start, &[chosen.into()]);
        self.b.seal_block(start);
        self.b.switch_to_block(start);
        Ok(begin)
    }

    /// Declares what lives through the rows.
    fn start_rows(&mut self, carries: &[Carry], body: Region) -> Result<Running> {
        let mut running = Running { states: Vec::new(), sums: BTreeMap::new(), places: BTreeMap::new() };
        for carry in carries {
            let Carry::State(init) = carry else {
                return Err(CodegenError::malformed("rows with a reduction"));
            };
            let init = self.get(*init)?;
            let both = self.b.ins().splat(types::F64X2, init);
            let variable = self.b.declare_var(types::F64X2);
            self.b.def_var(variable, both);
            running.states.push(variable);
        }
        let func = self.func;
        for &inst in &func.regions[body].insts {
            if let InstData::Accum(buffer, ..) = &func.insts[inst]
                && self.sums.iter().any(|(sum, _)| sum == buffer)
                && !running.sums.contains_key(buffer)
            {
                let zero = self.b.ins().f64const(0.0);
                let zeros = self.b.ins().splat(types::F64X2, zero);
                let variable = self.b.declare_var(types::F64X2);
                self.b.def_var(variable, zeros);
                running.sums.insert(*buffer, variable);
            }
        }
        Ok(running)
    }

    /// The addresses in row 0 of what moves along with the rows.
    fn origins(&mut self, iv: Value, rows: &RowLoop) -> Result<Vec<(Inst, Stride)>> {
        let func = self.func;
        let zero = self.int(0);
        self.set(iv, zero);
        for &inst in &rows.subscripts {
            self.scalar_inst(inst)?;
        }
        let mut found = Vec::new();
        for (&inst, &delta) in &rows.strides {
            let (InstData::Load(buffer, index) | InstData::Accum(buffer, index, _)) = &func.insts[inst]
            else {
                continue;
            };
            let base = self.base(*buffer)?;
            let linear = self.flatten(*buffer, index)?;
            let shift = Self::shift(func.buffers[*buffer].elem);
            let origin = self.element(base, linear, shift);
            found.push((inst, Stride { delta, origin, row: zero }));
        }
        Ok(found)
    }

    /// Looks up where the values of the first row go.
    fn find_places(
        &mut self,
        mut running: Running,
        iv: Value,
        (first, end): (Clif, Clif),
        rows: &RowLoop,
    ) -> Result<Running> {
        self.set(iv, first);
        for &inst in &rows.subscripts {
            self.scalar_inst(inst)?;
        }
        for &inst in &rows.streamed {
            let Some(start) = self.first_place(inst)? else { continue };
            let InstData::Emit(emit) = &self.func.insts[inst] else { continue };
            let next = self.b.declare_var(types::I64);
            self.b.def_var(next, start);
            let rows = self.b.ins().isub(end, first);
            let rows = self.offset(rows, -(ROWS as i64));
            let before = self.scale(rows, 8 * emit.values.len() as i64);
            let last = self.b.ins().iadd(start, before);
            running.places.insert(inst, Place { next, last });
        }
        Ok(running)
    }

    /// Where the values of an emission go, in the current row.
    fn first_place(&mut self, emission: Inst) -> Result<Option<Clif>> {
        let func = self.func;
        let (Mode::Eval(Eval { values, row_start, .. }), InstData::Emit(emit)) =
            (&self.mode, &func.insts[emission])
        else {
            return Ok(None);
        };
        let (values, row_start) = (*values, *row_start);
        let row = emit.rows.first().and_then(|&row| func.def(row));
        let Some(InstData::Position(buffer, index)) = row else { return Ok(None) };
        let position = self.position_of(*buffer, index)?;
        Ok(Some(self.row_address(values, row_start, position)))
    }

    /// Two rows.
    fn pair(
        &mut self,
        iv: Value,
        row: Clif,
        params: &[Value],
        body: Region,
        rows: RowLoop,
        running: &Running,
    ) -> Result<()> {
        let func = self.func;
        let second = self.offset(row, 1);
        self.lanes = ROWS;
        self.wide = true;
        let before = std::mem::replace(&mut self.varying, rows.varying);
        self.neighbors = rows.neighbors;
        self.set_lanes(iv, Lanes::Each(smallvec![row, second]));
        let mut done = BTreeSet::new();
        let mut next_states = Vec::new();
        for (n, needed) in rows.states {
            for inst in needed {
                self.inst(inst)?;
                done.insert(inst);
            }
            let next = self.lanes_of(func.regions[body].yields[n])?;
            let next = self.packed(&next)[0];
            let last = self.b.use_var(running.states[n]);
            let state = self.mix((last, true), (next, false));
            self.set_lanes(params[n], Lanes::Packed(smallvec![state]));
            next_states.push((running.states[n], next));
        }
        for &inst in &func.regions[body].insts {
            if !done.contains(&inst) {
                self.inst(inst)?;
            }
        }
        self.wide = false;
        let effects = std::mem::take(&mut self.deferred);
        self.pair_effects(&effects, running)?;
        for (variable, next) in next_states {
            self.b.def_var(variable, next);
        }
        self.neighbors = BTreeMap::new();
        self.loaded = BTreeSet::new();
        self.varying = before;
        (self.lanes, self.lane) = (1, 0);
        Ok(())
    }

    /// The effects of two rows: sums and streams together, the rest row by row.
    fn pair_effects(&mut self, effects: &[Inst], running: &Running) -> Result<()> {
        let func = self.func;
        let streams = effects.iter().filter_map(|inst| match &func.insts[*inst] {
            InstData::Emit(emit) => running.places.get(inst).map(|place| (place, emit.values.len())),
            _ => None,
        });
        let streams: Vec<_> =
            streams.map(|(place, values)| (self.b.use_var(place.next), place.last, values)).collect();
        self.ask_further(&streams);
        let mut rest = Vec::new();
        let mut stores = Vec::new();
        for &inst in effects {
            match &func.insts[inst] {
                InstData::Accum(buffer, _, value) if running.sums.contains_key(buffer) => {
                    self.add_both(running.sums[buffer], *value)?;
                }
                InstData::Accum(buffer, index, value) if self.is_pair_store(inst, *buffer, *value) => {
                    let (address, offset) = self.lane_address(inst, *buffer, index)?;
                    stores.push((*buffer, address, offset, self.strides[&inst].delta, *value));
                }
                InstData::Emit(emit) if running.places.contains_key(&inst) => {
                    let next = running.places[&inst].next;
                    let start = self.b.use_var(next);
                    self.store_both(start, 0, &emit.values)?;
                    let after = self.offset(start, (8 * ROWS * emit.values.len()) as i64);
                    self.b.def_var(next, after);
                }
                _ => rest.push(inst),
            }
        }
        self.store_elements(stores)?;
        for lane in 0..ROWS {
            self.lane = lane;
            for &inst in &rest {
                self.scalar_inst(inst)?;
            }
        }
        self.lane = 0;
        Ok(())
    }

    /// True for a store of doubles that moves with the rows.
    fn is_pair_store(&self, inst: Inst, buffer: Buffer, value: Value) -> bool {
        let doubles = self.func.buffers[buffer].elem == Ty::F64 && self.func.ty(value) == Ty::F64;
        doubles && self.program.analyzed.stored.contains(&inst) && self.strides.contains_key(&inst)
    }

    /// Elements of outputs, in both rows: where those of one row fill all room up to those of the next, in vectors.
    fn store_elements(&mut self, mut stores: Vec<(Buffer, Clif, i32, i64, Value)>) -> Result<()> {
        stores.sort_by_key(|&(buffer, address, offset, ..)| (buffer, address, offset));
        let mut rest = &stores[..];
        while let Some(&(buffer, address, offset, delta, _)) = rest.first() {
            let follows = |(n, store): (usize, &(Buffer, Clif, i32, i64, Value))| {
                let behind = i32::try_from(8 * n).ok().and_then(|n| offset.checked_add(n));
                (store.0, store.1, Some(store.2), store.3) == (buffer, address, behind, delta)
            };
            let whole = usize::try_from(delta).ok().filter(|&n| n <= rest.len());
            let whole = whole.filter(|&n| n > 0 && rest[..n].iter().enumerate().all(follows));
            let (here, after) = rest.split_at(whole.unwrap_or(1));
            let values: Vec<Value> = here.iter().map(|store| store.4).collect();
            if whole.is_some() {
                self.store_both(address, offset, &values)?;
            } else {
                let second = self.offset(address, delta.wrapping_mul(8));
                for (lane, address) in [address, second].into_iter().enumerate() {
                    self.lane = lane;
                    let value = self.get(values[0])?;
                    self.b.ins().store(unaligned_flags(), value, address, offset);
                }
                self.lane = 0;
            }
            rest = after;
        }
        Ok(())
    }

    /// Stores these values of the first row, and behind them those of the second.
    fn store_both(&mut self, address: Clif, offset: i32, values: &[Value]) -> Result<()> {
        let count = values.len();
        for n in (0..ROWS * count).step_by(2) {
            let [a, b] = [n, n + 1].map(|n| (values[n % count], n / count > 0));
            let pair = match self.reread_both(a.0, b.0)? {
                Some(pair) => pair,
                None => self.pair_of(a, b)?,
            };
            let at = i32::try_from(8 * n).ok().and_then(|n| offset.checked_add(n));
            let at = at.ok_or_else(|| CodegenError::Unsupported("a row beyond all bounds".into()))?;
            self.b.ins().store(unaligned_flags(), pair, address, at);
        }
        Ok(())
    }

    /// Two doubles side by side, each that of the first row or of the second.
    fn pair_of(&mut self, a: (Value, bool), b: (Value, bool)) -> Result<Clif> {
        let (first, second) = (self.lanes_of(a.0)?, self.lanes_of(b.0)?);
        if matches!((&first, &second), (Lanes::Packed(_), _) | (_, Lanes::Packed(_))) {
            let (x, y) = (self.packed(&first)[0], self.packed(&second)[0]);
            return Ok(self.mix((x, a.1), (y, b.1)));
        }
        let mut scalars = Vec::new();
        for (lanes, later) in [(first, a.1), (second, b.1)] {
            self.lane = usize::from(later);
            scalars.push(self.lane_value(&lanes));
        }
        self.lane = 0;
        Ok(self.join(&scalars))
    }

    /// Adds a value in both rows to the even and odd sums.
    fn add_both(&mut self, variable: Variable, value: Value) -> Result<()> {
        let before = self.b.use_var(variable);
        let (value, negated) = match self.func.def(value) {
            Some(InstData::Op(Op::Neg, args)) => (args[0], true),
            _ => (value, false),
        };
        let lanes = self.lanes_of(value)?;
        let both = self.packed_doubles(&lanes);
        let after = if negated { self.float_sub(before, both) } else { self.float_add(before, both) };
        self.b.def_var(variable, after);
        Ok(())
    }

    /// A float in both rows, as doubles.
    fn packed_doubles(&mut self, lanes: &Lanes) -> Clif {
        if let Lanes::Packed(vectors) = lanes {
            return vectors[0];
        }
        let scalars = self.scalars(lanes);
        let doubles: Vec<Clif> = scalars.into_iter().map(|s| self.convert(s, types::F64)).collect();
        self.join(&doubles)
    }

    /// Brings the sums of pairs together, and computes the row before the first pair and that behind the last one where there are such.
    fn last_rows(
        &mut self,
        inst: Inst,
        iv: Value,
        params: &[Value],
        body: Region,
        running: &Running,
        Rest { first, begin, end, bound }: Rest,
    ) -> Result<()> {
        let func = self.func;
        for (&buffer, &variable) in &running.sums {
            let both = self.b.use_var(variable);
            let [even, odd] = [0, 1].map(|lane| self.b.ins().extractlane(both, lane));
            let both = self.float_add(even, odd);
            if let Some(&(_, total)) = self.sums.iter().find(|sum| sum.0 == buffer) {
                let before = self.b.use_var(total);
                let sum = self.float_add(before, both);
                self.b.def_var(total, sum);
            }
        }
        let mut results = Vec::new();
        for (&variable, &param) in running.states.iter().zip(params) {
            let both = self.b.use_var(variable);
            let state = self.b.ins().extractlane(both, 1);
            let last = self.b.declare_var(types::F64);
            self.b.def_var(last, state);
            self.set(param, state);
            results.push(last);
        }
        let (tail, exit) = (self.b.create_block(), self.b.create_block());
        let row = self.b.append_block_param(tail, types::I64);
        let behind = self.b.ins().icmp(IntCC::SignedLessThan, end, bound);
        let (mut some, mut start) = (behind, end);
        if first != begin {
            let before = self.b.ins().icmp(IntCC::SignedLessThan, first, begin);
            some = self.b.ins().bor(before, behind);
            start = self.b.ins().select(before, first, end);
        }
        self.b.ins().brif(some, tail, &[start.into()], exit, &[]);
        self.b.switch_to_block(tail);
        self.set(iv, row);
        self.nothing = None;
        self.region(body)?;
        for (&last, &yielded) in results.iter().zip(&func.regions[body].yields) {
            let yielded = self.get(yielded)?;
            self.b.def_var(last, yielded);
        }
        if first == begin {
            self.b.ins().jump(exit, &[]);
        } else {
            let before = self.b.ins().icmp(IntCC::SignedLessThan, row, begin);
            let another = self.b.ins().band(before, behind);
            self.b.ins().brif(another, tail, &[end.into()], exit, &[]);
        }
        self.b.seal_block(tail);
        self.b.seal_block(exit);
        self.b.switch_to_block(exit);
        for (&last, &result) in results.iter().zip(&func.results[inst]) {
            let value = self.b.use_var(last);
            self.set(result, value);
        }
        Ok(())
    }

    /// The address of the values of a row.
    pub(crate) fn row_address(&mut self, values: Clif, row_start: Clif, position: Linear) -> Clif {
        let (address, offset) = self.element(row_start, position, 2);
        let flags = MemFlagsData::trusted().with_readonly();
        let first = self.b.ins().uload32(flags, address, offset);
        let first = Linear { dynamic: Some(first), constant: 0 };
        self.element(values, first, 3).0
    }
}
