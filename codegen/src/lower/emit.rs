//! Emissions: values into the matrix through slot records, positions into streams, counts.

use crate::error::{CodegenError, Result};
use crate::lower::context::{Cursor, Eval, Linear, Lower, Mode};
use crate::lower::memory::{shared_flags, unaligned_flags};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value as Clif, types};
use spadina_ir::func::{EmitData, Value};
use spadina_ir::project::Filter;
use spadina_ir::types::Ty;
use spadina_layout::program::{CornerSum, SiteInfo};
use spadina_layout::site::{Block, SiteShape, SlotLayout, SlotMode, SlotWidth};
use std::collections::BTreeMap;

/// Slot records never change during a call.
fn slot_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly()
}

/// [`SiteShape::place`], which finds every entry of a well-formed site.
fn place_of(shape: &SiteShape, mode: SlotMode, n: usize, entry: (u32, u32)) -> Result<(usize, u32)> {
    shape
        .place(mode, n, entry)
        .ok_or_else(|| CodegenError::malformed("an entry outside the blocks of its site"))
}

impl<'a> Lower<'a, '_> {
    /// Bytes of one record of a site: slots in evaluation, positions in index programs.
    fn record_bytes(&self, site: &SiteInfo) -> i64 {
        match &self.mode {
            Mode::Eval(eval) => (eval.slots.record_len(&site.shape) * eval.slots.width.bytes()) as i64,
            Mode::Index => 4 * site.shape.stream_width() as i64,
            Mode::Count | Mode::Pure => 1,
        }
    }

    /// The sites of the phase that this kind of function deals with.
    fn sites(&self) -> impl Iterator<Item = &'a SiteInfo> + use<'a> {
        let (evaluates, indexes) = match self.mode {
            Mode::Eval(_) => (true, false),
            Mode::Count | Mode::Index => (false, true),
            Mode::Pure => (false, false),
        };
        let (sites, row_sites) = self.info.map_or((&[][..], &[][..]), |info| (&info.sites, &info.row_sites));
        let added = sites.iter().filter(move |site| indexes || (evaluates && !site.direct));
        added.chain(row_sites.iter().filter(move |_| indexes))
    }

    /// Declares the variables of sites whose emissions per iteration are not exactly one.
    pub(crate) fn declare_cursors(&mut self) {
        for site in self.sites() {
            if matches!(self.mode, Mode::Count) || site.per_iteration != Some(1) {
                let variable = self.b.declare_var(types::I64);
                self.cursors.insert(site.site, Cursor::Moving(variable));
            }
        }
    }

    /// Sets the cursors to the first emission of iteration `i`.
    pub(crate) fn start_cursors(&mut self, i: Clif) {
        for site in self.sites() {
            if matches!(self.mode, Mode::Count) {
                let zero = self.int(0);
                if let Some(Cursor::Moving(variable)) = self.cursors.get(&site.site).copied() {
                    self.b.def_var(variable, zero);
                }
                continue;
            }
            let data = self.word(self.program.env.site_data(site.site as usize));
            let first = if let Some(n) = site.per_iteration {
                self.scale(i, i64::from(n))
            } else {
                let starts = self.word(self.program.env.site_first(site.site as usize));
                let (address, offset) = self.element(starts, Linear { dynamic: Some(i), constant: 0 }, 2);
                self.b.ins().uload32(slot_flags(), address, offset)
            };
            let bytes = self.record_bytes(site);
            let skipped = self.scale(first, bytes);
            let record = self.b.ins().iadd(data, skipped);
            match self.cursors.get(&site.site).copied() {
                Some(Cursor::Moving(variable)) => self.b.def_var(variable, record),
                Some(Cursor::Fixed(_)) | None => {
                    self.cursors.insert(site.site, Cursor::Fixed(record));
                }
            }
        }
    }

    /// The address of the record of this emission; moves on.
    fn next_record(&mut self, site: &SiteInfo) -> Result<Clif> {
        match self.cursors.get(&site.site).copied() {
            Some(Cursor::Fixed(record)) => Ok(record),
            Some(Cursor::Moving(variable)) => {
                let record = self.b.use_var(variable);
                let bytes = self.record_bytes(site);
                let after = self.offset(record, bytes);
                self.b.def_var(variable, after);
                Ok(record)
            }
            None => Err(CodegenError::malformed(format!("emission site {} is not of this phase", site.site))),
        }
    }

    /// An emission, in whatever this function makes of it.
    pub(crate) fn emission(&mut self, emit: &EmitData) -> Result<()> {
        if emit.direct
            && let Mode::Eval(eval) = self.mode
        {
            return self.store_rows(emit, eval);
        }
        let site = self.sites().find(|s| s.site == emit.site);
        let Some(site) = site else {
            return match self.mode {
                Mode::Pure => Ok(()),
                _ => {
                    Err(CodegenError::malformed(format!("emission site {} is not of this phase", emit.site)))
                }
            };
        };
        match self.mode {
            Mode::Pure => Ok(()),
            Mode::Count => self.next_record(site).map(|_| ()),
            Mode::Index => self.write_stream(emit, site),
            Mode::Eval(eval) => {
                let record = self.next_record(site)?;
                let projected = self.projected(emit)?;
                self.scatter(emit, site, record, eval, projected)
            }
        }
    }

    fn write_stream(&mut self, emit: &EmitData, site: &SiteInfo) -> Result<()> {
        let record = self.next_record(site)?;
        let columns: &[Block] = if site.shape.symmetric { &[] } else { &site.shape.col_blocks };
        let rows = site.shape.row_blocks.iter().map(|block| (&emit.rows, block));
        let bases = rows.chain(columns.iter().map(|block| (&emit.cols, block)));
        for (offset, (positions, block)) in (0..).step_by(4).zip(bases) {
            let base = positions.get(block.start as usize).copied();
            let base = base.ok_or_else(|| CodegenError::malformed("an emission smaller than its shape"))?;
            let position = self.get(base)?;
            self.b.ins().istore32(MemFlagsData::trusted(), position, record, offset);
        }
        Ok(())
    }

    /// The projected block of an emission, row by row on the stack; `None` where it is not projected.
    fn projected(&mut self, emit: &EmitData) -> Result<Option<Clif>> {
        let Some(projection) = emit.project else { return Ok(None) };
        let size = emit.rows.len();
        let callee = self.program.project.get(&size).copied();
        let callee =
            callee.ok_or_else(|| CodegenError::malformed(format!("no projection of {size} unknowns")))?;
        let room = u32::try_from(8 * size * (size + 1)).unwrap_or(u32::MAX);
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, room, 4));
        let block = self.b.ins().stack_addr(types::I64, slot, 0);
        for (&(a, b), &value) in emit.entries.iter().zip(&emit.values) {
            let value = self.get(value)?;
            let value = self.convert(value, types::F64);
            self.b.ins().store(MemFlagsData::trusted(), value, block, entry_offset(size, a, b));
        }
        let positions = self.offset(block, (8 * size * size) as i64);
        for (offset, &row) in (0..).step_by(8).zip(&emit.rows) {
            let position = self.position(row)?;
            let position = self.linear_value(position);
            self.b.ins().store(MemFlagsData::trusted(), position, positions, offset);
        }
        let abs = self.int(i64::from(projection.filter() == Filter::Abs));
        let eps = self.b.ins().f64const(projection.eps());
        self.b.ins().call(callee, &[block, positions, abs, eps]);
        Ok(Some(block))
    }

    /// Adds the values of an emission to the matrix, in the order of [`SiteShape::expanded`]. The values of a projected block are read
    /// from the stack. An entry of a common row belongs to the owner of its column, or to the corner.
    fn scatter(
        &mut self,
        emit: &EmitData,
        site: &SiteInfo,
        record: Clif,
        eval: Eval,
        projected: Option<Clif>,
    ) -> Result<()> {
        let Eval { slots, values, row_start, filter, junk } = eval;
        let shape = &site.shape;
        let mode = slots.mode_of(shape);
        let mut rows: BTreeMap<u32, Clif> = BTreeMap::new();
        let mut owners: BTreeMap<u32, Clif> = BTreeMap::new();
        let mut offsets: BTreeMap<usize, Clif> = BTreeMap::new();
        // Where the entries of a row in a block start: theirs, or junk. Of a common row each entry has an owner of its own.
        let mut targets: BTreeMap<(u32, usize), Clif> = BTreeMap::new();
        let all = shape.expanded();
        let mut n = 0;
        while let Some(&(a, b, k)) = all.get(n) {
            let (Some(&row), Some(&value)) = (emit.rows.get(a as usize), emit.values.get(k)) else {
                return Err(CodegenError::malformed("an emission smaller than its shape"));
            };
            let common = site.is_common(a);
            if common && shape.symmetric && site.is_common(b) {
                // The runtime adds the sum to the mirror image too.
                if emit.entries.get(k) == Some(&(a, b)) {
                    self.add_to_corner(emit, k, projected)?;
                }
                n += 1;
                continue;
            }
            let start = if let Some(&known) = rows.get(&a) {
                known
            } else {
                let position = self.position(row)?;
                let (address, offset) = self.element(row_start, position, 2);
                let first = self.b.ins().uload32(slot_flags(), address, offset);
                let (start, _) = self.element(values, Linear { dynamic: Some(first), constant: 0 }, 3);
                rows.insert(a, start);
                start
            };
            let owner = if common { b } else { a };
            let owned = match (filter, owners.get(&owner)) {
                (None, _) => None,
                (Some(_), Some(&known)) => Some(known),
                (Some(filter), None) => {
                    let position = emit.rows.get(owner as usize).copied();
                    let position = position
                        .ok_or_else(|| CodegenError::malformed("an entry of a common row that is no row"))?;
                    let position = self.position(position)?;
                    let owned = self.owned(filter, position);
                    owners.insert(owner, owned);
                    Some(owned)
                }
            };
            let (number, inside) = place_of(shape, mode, n, (a, b))?;
            let offset = if let Some(&known) = offsets.get(&number) {
                known
            } else {
                let loaded = self.load_offset(record, number, slots.width);
                offsets.insert(number, loaded);
                loaded
            };
            let known = targets.get(&(a, number)).copied().filter(|_| !common);
            let block = known.unwrap_or_else(|| {
                let linear = Linear { dynamic: Some(offset), constant: 0 };
                let (address, _) = self.element(start, linear, 3);
                match self.wanted(owned, offset, slots) {
                    Some(wanted) => self.or_junk(wanted, address, junk),
                    None => address,
                }
            });
            targets.insert((a, number), block);
            let inside_block = Linear { dynamic: None, constant: i64::from(inside) };
            let (address, bytes) = self.element(block, inside_block, 3);
            n += 1;
            if let Some(block) = projected {
                if slots.stores {
                    return Err(CodegenError::malformed("a projected block whose entries are stored"));
                }
                let offset = entry_offset(emit.rows.len(), a.min(b), a.max(b));
                let value = self.b.ins().load(types::F64, MemFlagsData::trusted(), block, offset);
                let before = self.b.ins().load(types::F64, shared_flags(), address, bytes);
                let after = self.b.ins().fadd(before, value);
                self.b.ins().store(shared_flags(), after, address, bytes);
                continue;
            }
            let next = match all.get(n) {
                // Neighbors in a common row may belong to two owners.
                Some(&(c, d, l))
                    if c == a && !common && place_of(shape, mode, n, (c, d))? == (number, inside + 1) =>
                {
                    emit.values.get(l).copied()
                }
                _ => None,
            };
            let doubles = |v: &Value| self.func.ty(*v) == Ty::F64;
            if slots.stores {
                let next = next.filter(|next| doubles(next) && doubles(&value));
                n += usize::from(next.is_some());
                self.store_entries(address, bytes, value, next)?;
            } else if let Some(next) = next.filter(|next| doubles(next) && doubles(&value)) {
                self.add_two_to_memory(address, bytes, value, next)?;
                n += 1;
            } else {
                self.add_to_memory(address, bytes, value, Ty::F64)?;
            }
        }
        Ok(())
    }

    /// Stores an entry that nothing else adds to, or two neighbors: added to zero, as the zero of a sum has no sign.
    fn store_entries(&mut self, address: Clif, offset: i32, value: Value, next: Option<Value>) -> Result<()> {
        if let Some(next) = next {
            let both = self.side_by_side(value, next)?;
            let zero = self.b.ins().f64const(0.0);
            let zeros = self.b.ins().splat(types::F64X2, zero);
            let both = self.float_add(zeros, both);
            self.b.ins().store(unaligned_flags(), both, address, offset);
        } else {
            let zero = self.b.ins().f64const(0.0);
            let sum = self.add_signed(zero, value, types::F64)?;
            self.b.ins().store(shared_flags(), sum, address, offset);
        }
        Ok(())
    }

    /// Adds value `k` of an emission to its sum in the corner.
    fn add_to_corner(&mut self, emit: &EmitData, k: usize, projected: Option<Clif>) -> Result<()> {
        let found = self.corner.iter().find(|(sum, _)| {
            matches!(sum, CornerSum::Entry { site, entry, .. } if (*site, *entry as usize) == (emit.site, k))
        });
        let (Some(&(_, variable)), Some(&value)) = (found, emit.values.get(k)) else {
            return Err(CodegenError::malformed("an entry of the corner without a sum"));
        };
        let Some(block) = projected else { return self.add_to_subtotal(variable, value) };
        let (a, b) = emit.entries[k];
        let offset = entry_offset(emit.rows.len(), a.min(b), a.max(b));
        let value = self.b.ins().load(types::F64, MemFlagsData::trusted(), block, offset);
        let before = self.b.use_var(variable);
        let after = self.b.ins().fadd(before, value);
        self.b.def_var(variable, after);
        Ok(())
    }

    /// Stores complete rows where the matrix keeps them: rows of a block follow each other.
    fn store_rows(&mut self, emit: &EmitData, eval: Eval) -> Result<()> {
        let Eval { values, row_start, filter, junk, .. } = eval;
        let site = self.info.and_then(|info| info.sites.iter().find(|s| s.site == emit.site));
        let site = site.ok_or_else(|| CodegenError::malformed("a direct emission without a site"))?;
        for block in &site.shape.row_blocks {
            let (mut start, mut stored) = (None, 0_i64);
            for a in block.start..block.start + block.width {
                let row = emit.rows.get(a as usize).copied();
                let row = row.ok_or_else(|| CodegenError::malformed("an emission smaller than its shape"))?;
                let position = self.position(row)?;
                let start = if let Some(start) = start {
                    start
                } else {
                    let (address, offset) = self.element(row_start, position, 2);
                    let first = self.b.ins().uload32(slot_flags(), address, offset);
                    let found = self.element(values, Linear { dynamic: Some(first), constant: 0 }, 3).0;
                    *start.insert(found)
                };
                let owned = filter.map(|filter| self.owned(filter, position));
                let entries = emit.entries.iter().zip(&emit.values).filter(|(e, _)| e.0 == a);
                let values: Vec<Value> = entries.map(|(_, &value)| value).collect();
                for pair in values.chunks(2) {
                    let (address, bytes) = match owned {
                        None => (start, i32::try_from(8 * stored).unwrap_or(i32::MAX)),
                        Some(owned) => {
                            let target = self.offset(start, 8 * stored);
                            (self.or_junk(owned, target, junk), 0)
                        }
                    };
                    stored += pair.len() as i64;
                    let doubles = |v: &Value| self.func.ty(*v) == Ty::F64;
                    if let &[first, second] = pair
                        && pair.iter().all(doubles)
                    {
                        let both = self.side_by_side(first, second)?;
                        self.b.ins().store(unaligned_flags(), both, address, bytes);
                        continue;
                    }
                    for (n, &value) in (0..).step_by(8).zip(pair) {
                        let value = self.get(value)?;
                        let value = self.convert(value, types::F64);
                        self.b.ins().store(shared_flags(), value, address, bytes + n);
                    }
                }
            }
        }
        Ok(())
    }

    fn load_offset(&mut self, record: Clif, number: usize, width: SlotWidth) -> Clif {
        let flags = slot_flags().with_can_move();
        let at = i32::try_from(number * width.bytes()).unwrap_or(i32::MAX);
        match width {
            SlotWidth::U8 => self.b.ins().uload8(types::I64, flags, record, at),
            SlotWidth::U16 => self.b.ins().uload16(types::I64, flags, record, at),
            SlotWidth::U32 => self.b.ins().uload32(flags, record, at),
        }
    }

    /// Whether an entry is neither another owner's nor dropped; `None` where it always is wanted.
    fn wanted(&mut self, owned: Option<Clif>, offset: Clif, slots: SlotLayout) -> Option<Clif> {
        if !slots.drops {
            return owned;
        }
        let kept = self.b.ins().icmp_imm_u(IntCC::NotEqual, offset, i64::from(slots.width.dropped()));
        Some(match owned {
            Some(owned) => self.b.ins().band(owned, kept),
            None => kept,
        })
    }
}

/// Where an entry of a block on the stack is, in bytes.
fn entry_offset(size: usize, a: u32, b: u32) -> i32 {
    i32::try_from(8 * (a as usize * size + b as usize)).unwrap_or(i32::MAX)
}
