//! The functions of a program: `trips`, `eval`, `eval_owned`, `eval_listed`, `eval_either`, `count`, `index`. Their arguments are in [`spadina_layout::abi`].

use crate::error::{CodegenError, Result};
use crate::lower::context::{Cursor, Eval, Filter, Lower, Mode, Program};
use crate::lower::lanes::{Clifs, Lanes, PER_SINGLES};
use crate::lower::live;
use crate::lower::pipeline::Numbers;
use crate::program::{Phase, Split};
use crate::varying::{Wide, neighbors, varying};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, MemFlagsData, Value as Clif, types};
use cranelift_frontend::{FunctionBuilder, Variable};
use spadina_ir::func::{Inst, Value};
use spadina_layout::abi::COUNTED;
use spadina_layout::program::PhaseInfo;
use spadina_layout::site::SlotLayout;

fn start<'a, 'b>(
    program: Program<'a>,
    info: Option<&'a PhaseInfo>,
    mut b: FunctionBuilder<'b>,
) -> (Lower<'a, 'b>, Vec<Clif>) {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    let env = params[0];
    (Lower::new(program, info, b, env), params)
}

/// [`start`] for evaluation: where a call takes several directions, everything is lowered for all of them at once.
fn start_eval<'a, 'b>(
    program: Program<'a>,
    info: &'a PhaseInfo,
    b: FunctionBuilder<'b>,
) -> (Lower<'a, 'b>, Vec<Clif>) {
    let (mut lower, params) = start(program, Some(info), b);
    if let Some(batch) = &program.analyzed.batched {
        (lower.lanes, lower.varying, lower.wide) = (batch.lanes, batch.values.clone(), true);
    }
    (lower, params)
}

/// A loop over `begin..end` that is entered only if it has iterations.
struct Range {
    header: Block,
    exit: Block,
    end: Clif,
    i: Clif,
}

impl Lower<'_, '_> {
    fn begin_range(&mut self, begin: Clif, end: Clif) -> Range {
        let (preheader, header, exit) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let some = self.b.ins().icmp(IntCC::SignedLessThan, begin, end);
        self.b.ins().brif(some, preheader, &[], exit, &[]);
        self.b.seal_block(preheader);
        self.b.switch_to_block(preheader);
        let i = self.b.append_block_param(header, types::I64);
        self.b.ins().jump(header, &[begin.into()]);
        self.b.switch_to_block(header);
        self.ask_ahead();
        Range { header, exit, end, i }
    }

    fn end_range(&mut self, range: &Range, step: usize) {
        let next = self.offset(range.i, step as i64);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, range.end);
        self.b.ins().brif(more, range.header, &[next.into()], range.exit, &[]);
        self.b.seal_block(range.header);
        self.b.seal_block(range.exit);
        self.b.switch_to_block(range.exit);
    }

    fn prologue(&mut self, insts: &[Inst]) -> Result<()> {
        self.pure = true;
        for &inst in insts {
            self.inst(inst)?;
        }
        self.pure = false;
        Ok(())
    }

    /// Iteration `i` of a phase.
    fn iteration(&mut self, phase: &Phase, i: Clif) -> Result<()> {
        self.clear_sums();
        self.start_cursors(i);
        let Some(split) = phase.split else { return self.inst(phase.root) };
        self.choose_rereads(split.body, i);
        let value = self.induction(split, i)?;
        let iv = self.induction_variable(split)?;
        self.set(iv, value);
        let known = self.note_range(iv, split.lo, split.hi);
        self.region(split.body)?;
        self.forget_range(known);
        Ok(())
    }

    fn clear_sums(&mut self) {
        for subtotal in self.subtotals() {
            let zero = self.b.ins().f64const(0.0);
            self.b.def_var(subtotal, zero);
        }
    }

    fn induction_variable(&self, split: Split) -> Result<Value> {
        let iv = self.func.regions[split.body].params.first().copied();
        iv.ok_or_else(|| CodegenError::malformed("a loop without induction variable"))
    }

    /// The induction variable in iteration `i`.
    fn induction(&mut self, split: Split, i: Clif) -> Result<Clif> {
        let value = self.scale(i, split.step);
        if self.func.as_int(split.lo) == Some(0) {
            return Ok(value);
        }
        let first = self.get(split.lo)?;
        Ok(self.b.ins().iadd(first, value))
    }

    /// Decides whether the iterations of a phase run side by side; true if so.
    fn choose_lanes(&mut self, phase: &Phase) -> bool {
        let wanted = self.program.lanes;
        if wanted < 2 || self.program.analyzed.batched.is_some() {
            return false;
        }
        let Some(Wide { varying, singles }) = varying(self.func, phase) else { return false };
        self.neighbors =
            phase.split.map(|split| neighbors(self.func, split.body, &varying)).unwrap_or_default();
        self.lanes = if singles { PER_SINGLES } else { wanted };
        (self.varying, self.singles) = (varying, singles);
        true
    }

    /// How many iterations run side by side.
    fn iterations_a_pass(&self) -> usize {
        if self.program.analyzed.batched.is_some() { 1 } else { self.lanes }
    }

    /// The iterations from `place` on that run side by side: places `place`, `place + 1`, .. below `end`, and for all but the first whether
    /// there is one. A lane without one repeats the first.
    fn places(&mut self, place: Clif, end: Clif) -> Vec<(Clif, Option<Clif>)> {
        let mut places = vec![(place, None)];
        for lane in 1..self.iterations_a_pass() {
            let next = self.offset(place, lane as i64);
            let active = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
            places.push((self.b.ins().select(active, next, place), Some(active)));
        }
        places
    }

    /// Sets the induction variable of iterations that run side by side.
    pub(crate) fn set_inductions(&mut self, split: Split, numbers: &[(Clif, Option<Clif>)]) -> Result<()> {
        let mut inductions = Clifs::new();
        for &(number, _) in numbers {
            inductions.push(self.induction(split, number)?);
        }
        let iv = self.induction_variable(split)?;
        self.set_lanes(iv, Lanes::Each(inductions));
        Ok(())
    }

    /// Iterations `numbers` of a phase side by side; lanes that are not active compute, but have no effects. `finish` ends a lane.
    pub(crate) fn iterations(
        &mut self,
        split: Split,
        numbers: &[(Clif, Option<Clif>)],
        mut finish: impl FnMut(&mut Self, usize),
    ) -> Result<()> {
        self.set_inductions(split, numbers)?;
        self.wide = true;
        self.region(split.body)?;
        self.wide = false;
        let effects = std::mem::take(&mut self.deferred);
        let done = self.b.create_block();
        for (lane, &(number, active)) in numbers.iter().enumerate() {
            if let Some(active) = active {
                let next = self.b.create_block();
                self.b.ins().brif(active, next, &[], done, &[]);
                self.b.seal_block(next);
                self.b.switch_to_block(next);
            }
            self.lane = lane;
            self.clear_sums();
            self.start_cursors(number);
            self.effects(&effects)?;
            finish(self, lane);
        }
        self.lane = 0;
        self.b.ins().jump(done, &[]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        Ok(())
    }

    /// Effects of the current lane, in order; neighbors in memory together.
    fn effects(&mut self, effects: &[Inst]) -> Result<()> {
        let mut rest = effects;
        while let Some((&first, after)) = rest.split_first() {
            if let Some(&second) = after.first()
                && self.accum_pair(first, second)?
            {
                rest = &after[1..];
                continue;
            }
            self.scalar_inst(first)?;
            rest = after;
        }
        Ok(())
    }

    /// The number of iterations of a phase.
    fn trip_value(&mut self, phase: &Phase) -> Result<Clif> {
        let Some(Split { lo, hi, step, .. }) = phase.split else { return Ok(self.int(1)) };
        let (lo, hi) = (self.get(lo)?, self.get(hi)?);
        let some = self.b.ins().icmp(IntCC::SignedLessThan, lo, hi);
        let mut trips = self.b.ins().isub(hi, lo);
        if step != 1 {
            let last = self.offset(trips, -1);
            let divisor = self.int(step);
            let whole = self.b.ins().udiv(last, divisor);
            trips = self.offset(whole, 1);
        }
        let none = self.int(0);
        Ok(self.b.ins().select(some, trips, none))
    }

    /// Stores the sums of a listed element, where they are counted.
    fn store_sums(&mut self, trips: Clif, element: Clif, number: Clif) {
        let (store, next) = (self.b.create_block(), self.b.create_block());
        let counted = self.b.ins().band_imm_u(element, i64::from(COUNTED));
        self.b.ins().brif(counted, store, &[], next, &[]);
        self.b.seal_block(store);
        self.b.switch_to_block(store);
        let sums = self.word(self.program.env.element_sums());
        for (n, subtotal) in (0..).zip(self.subtotals()) {
            let row = self.scale(trips, n);
            let at = self.b.ins().iadd(row, number);
            let scaled = self.shifted(at, 3);
            let address = self.b.ins().iadd(sums, scaled);
            let subtotal = self.b.use_var(subtotal);
            self.b.ins().store(MemFlagsData::trusted(), subtotal, address, 0);
        }
        self.b.ins().jump(next, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
    }

    /// What a list has at a place, and the number of the iteration; where a mask leaves nothing of the place, that number itself.
    fn listed(&mut self, elements: Clif, mask: Option<Clif>, place: Clif) -> (Clif, Clif) {
        let at = mask.map_or(place, |mask| self.b.ins().band(place, mask));
        let scaled = self.shifted(at, 2);
        let address = self.b.ins().iadd(elements, scaled);
        let flags = MemFlagsData::trusted().with_readonly();
        let element = self.b.ins().uload32(flags, address, 0);
        let mut number = self.b.ins().band_imm_u(element, i64::from(COUNTED - 1));
        if mask.is_some() {
            let rest = self.b.ins().isub(place, at);
            number = self.b.ins().iadd(number, rest);
        }
        (element, number)
    }

    fn store_totals(&mut self, totals: &[Variable], sums: Clif) {
        for (n, &total) in (0..).zip(totals) {
            let sum = self.b.use_var(total);
            self.b.ins().store(MemFlagsData::trusted(), sum, sums, 8 * n);
        }
    }

    fn eval_mode(&mut self, slots: SlotLayout, owned: bool) -> Result<Mode> {
        let values = self.word(self.program.env.values());
        let row_start = self.word(self.program.env.row_start());
        let junk = self.junk();
        let filter = owned.then(|| {
            let owner = self.word(self.program.env.owner());
            let me = self.word(self.program.env.me());
            Filter { owner, me: self.b.ins().ireduce(types::I8, me) }
        });
        Ok(Mode::Eval(Eval { slots, values, row_start, filter, junk }))
    }
}

/// `trips(env, out)`; with `checked`, loads are checked as in `count` and `index`. Returns 0 or 1 likewise.
pub(crate) fn trips(
    program: Program<'_>,
    phases: &[Phase],
    checked: bool,
    b: FunctionBuilder<'_>,
) -> Result<()> {
    let (mut lower, params) = start(program, None, b);
    let mut bounds = Vec::new();
    for phase in phases {
        for &inst in &phase.bounds {
            if !bounds.contains(&inst) {
                bounds.push(inst);
            }
        }
    }
    lower.read_environment(&bounds)?;
    if checked {
        lower.start_checks();
    }
    lower.prologue(&bounds)?;
    for (n, phase) in (0..).zip(phases) {
        let trips = lower.trip_value(phase)?;
        lower.b.ins().store(MemFlagsData::trusted(), trips, params[1], 8 * n);
    }
    lower.finish_checks();
    lower.b.finalize(program.frontend);
    Ok(())
}

/// Where the iterations of an evaluation function come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// `eval_P(env, begin, end, sums)`: a range.
    Range,
    /// `eval_listed_P(env, elements, count)`: a list, and all rows are written; `eval_owned_P`: those of the owner.
    List { owned: bool },
    /// `eval_either_P(env, elements, mask, begin, end, sums)`: with a mask of ones places `begin..end` of a list, with a mask of zeros (and
    /// the address of a zero) a range. Large functions are made once for both.
    Either,
}

/// A function that evaluates iterations of a phase.
pub(crate) fn eval(
    program: Program<'_>,
    phase: &Phase,
    info: &PhaseInfo,
    slots: SlotLayout,
    from: From,
    b: FunctionBuilder<'_>,
) -> Result<()> {
    let (mut lower, params) = start_eval(program, info, b);
    lower.mode = lower.eval_mode(slots, from == From::List { owned: true })?;
    lower.read_environment(&Lower::insts_of(phase))?;
    lower.prologue(&phase.prologue)?;
    lower.declare_sums();
    lower.declare_cursors();
    let (ranges, lists) = (!matches!(from, From::List { .. }), from != From::Range);
    let subtotals = lower.subtotals();
    let totals: Vec<_> =
        subtotals.iter().filter(|_| ranges).map(|_| lower.b.declare_var(types::F64)).collect();
    for &total in &totals {
        let zero = lower.b.ins().f64const(0.0);
        lower.b.def_var(total, zero);
    }
    let trips = if lists && !subtotals.is_empty() { Some(lower.trip_value(phase)?) } else { None };
    let wide = lower.choose_lanes(phase);
    if ranges {
        lower.start_asking_ahead();
    }
    let (begin, end) = match from {
        From::Range => (params[1], params[2]),
        From::List { .. } => (lower.int(0), params[2]),
        From::Either => (params[3], params[4]),
    };
    let at = |lower: &mut Lower<'_, '_>, place: Clif| {
        let mut found = Numbers::default();
        for (place, active) in lower.places(place, end) {
            let mask = (from == From::Either).then(|| params[2]);
            let (element, number) = if lists { lower.listed(params[1], mask, place) } else { (place, place) };
            found.elements.push(element);
            found.numbers.push((number, active));
        }
        found
    };
    let finish = |lower: &mut Lower<'_, '_>, lane: usize, found: &Numbers| {
        for (&total, &subtotal) in totals.iter().zip(&subtotals) {
            let (before, subtotal) = (lower.b.use_var(total), lower.b.use_var(subtotal));
            let after = lower.float_add(before, subtotal);
            lower.b.def_var(total, after);
        }
        if let Some(trips) = trips {
            lower.store_sums(trips, found.elements[lane], found.numbers[lane].0);
        }
    };
    match (phase.split.filter(|_| wide), if wide { lower.cut(phase) } else { None }) {
        (Some(_), Some(halves)) => lower.pipelined(phase, &halves, (begin, end), at, finish)?,
        (Some(split), None) => {
            let range = lower.begin_range(begin, end);
            let found = at(&mut lower, range.i);
            lower.choose_rereads(split.body, found.numbers[0].0);
            lower.iterations(split, &found.numbers, |lower, lane| finish(lower, lane, &found))?;
            let step = lower.iterations_a_pass();
            lower.end_range(&range, step);
        }
        (None, _) => {
            let range = lower.begin_range(begin, end);
            let found = at(&mut lower, range.i);
            lower.iteration(phase, found.numbers[0].0)?;
            finish(&mut lower, 0, &found);
            let step = lower.iterations_a_pass();
            lower.end_range(&range, step);
        }
    }
    match from {
        From::Range => lower.store_totals(&totals, params[3]),
        From::List { .. } => {}
        From::Either => {
            let (store, done) = (lower.b.create_block(), lower.b.create_block());
            lower.b.ins().brif(params[2], done, &[], store, &[]);
            lower.b.seal_block(store);
            lower.b.switch_to_block(store);
            lower.store_totals(&totals, params[5]);
            lower.b.ins().jump(done, &[]);
            lower.b.seal_block(done);
            lower.b.switch_to_block(done);
        }
    }
    lower.b.ins().return_(&[]);
    lower.b.finalize(program.frontend);
    Ok(())
}

/// `count_P(env, begin, end, counts)`
pub(crate) fn count(
    program: Program<'_>,
    phase: &Phase,
    info: &PhaseInfo,
    b: FunctionBuilder<'_>,
) -> Result<()> {
    let (mut lower, params) = start(program, Some(info), b);
    lower.mode = Mode::Count;
    let bounds: Vec<_> = phase.split.iter().flat_map(|split| [split.lo, split.hi]).collect();
    lower.live = Some(live::control(program.func, phase.root, &bounds));
    lower.read_environment(&Lower::insts_of(phase))?;
    lower.start_checks();
    lower.prologue(&phase.prologue)?;
    lower.declare_cursors();
    let (begin, end) = (params[1], params[2]);
    let length = lower.b.ins().isub(end, begin);
    let range = lower.begin_range(begin, end);
    lower.iteration(phase, range.i)?;
    let nth = lower.b.ins().isub(range.i, begin);
    for (n, site) in (0..).zip(info.sites.iter().chain(&info.row_sites)) {
        let Some(Cursor::Moving(variable)) = lower.cursors.get(&site.site).copied() else { continue };
        let count = lower.b.use_var(variable);
        let row = lower.scale(length, n);
        let at = lower.b.ins().iadd(row, nth);
        let scaled = lower.shifted(at, 2);
        let address = lower.b.ins().iadd(params[3], scaled);
        lower.b.ins().istore32(MemFlagsData::trusted(), count, address, 0);
    }
    lower.end_range(&range, 1);
    lower.finish_checks();
    lower.b.finalize(program.frontend);
    Ok(())
}

/// `index_P(env, begin, end)`
pub(crate) fn index(
    program: Program<'_>,
    phase: &Phase,
    info: &PhaseInfo,
    b: FunctionBuilder<'_>,
) -> Result<()> {
    let (mut lower, params) = start(program, Some(info), b);
    lower.mode = Mode::Index;
    lower.read_environment(&Lower::insts_of(phase))?;
    lower.start_checks();
    lower.prologue(&phase.prologue)?;
    lower.declare_cursors();
    let range = lower.begin_range(params[1], params[2]);
    lower.iteration(phase, range.i)?;
    lower.end_range(&range, 1);
    lower.finish_checks();
    lower.b.finalize(program.frontend);
    Ok(())
}
