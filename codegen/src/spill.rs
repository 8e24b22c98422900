//! Floats of long blocks live in few registers: the others wait on the stack, stored once and read where they are used.
//!
//! # Problem
//! The derivatives of an element are one long block of vector arithmetic in which dozens of values are alive at a time. Cranelift's
//! allocator finds that out by trying: each long range against every register, split where it conflicts, both parts tried again. This was
//! half of the time that compiling took. And each read of a value that it put on the stack is an instruction of its own.
//!
//! # Method
//! After Cranelift's optimizer has fixed the order of instructions, and before registers are allocated:
//! 0. Reads move to their only use, so that none holds a register meanwhile.
//! 1. A block in which far more floats are alive than there are registers is *crowded*; where it is a few, the allocator does well.
//! 2. A crowded block is walked in order with as many registers as there are. What comes from outside waits on the stack, unless the block
//!    that dominates it left it in a register. Where one more is needed, the float whose next use is furthest away leaves its register. Where
//!    it is used again it is read: into a register, or by the instruction itself if that can and no register is worth more for it.
//! 3. Every float that waits anywhere is stored right behind its definition.
//!
//! What is alive at a time then fits into registers, and the allocator finds a place for most values at once.
//!
//! # Why it keeps the meaning
//! Each float has a place of its own on the stack up to its last use. Its definition is executed before every use of it, and the store with
//! it: a read finds the value of the latest definition, as the use would.
//!
//! # Limits
//! Integers are left to the allocator. Registers that values take from one block to another are not counted.
//!
//! # References
//! Belady, A study of replacement algorithms for a virtual-storage computer, IBM Systems Journal 5 (1966); Braun and Hack, Register
//! spilling and live-range splitting for SSA-form programs, CC 2009.

mod floats;
mod places;

use crate::lower::lanes::little;
use crate::spill::floats::{ELSEWHERE, Floats, NEVER, Uses};
use crate::spill::places::Places;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{
    Block, Function, Inst, InstBuilder, InstructionData, MemFlagsData, Opcode, StackSlot, StackSlotData,
    StackSlotKind, Type, Value, ValueDef, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_codegen::loop_analysis::LoopAnalysis;
use smallvec::SmallVec;

/// Puts floats on the stack where more than `registers` are alive.
pub(crate) fn spill(func: &mut Function, domtree: &DominatorTree, loops: &LoopAnalysis, registers: usize) {
    let Some(entry) = func.layout.entry_block() else { return };
    let blocks: Vec<Block> = func.layout.blocks().collect();
    if blocks.iter().all(|&block| func.layout.block_insts(block).count() <= registers) {
        return;
    }
    read_late(func, &blocks);
    let mut floats = Floats::of(func, &blocks);
    let uses: Vec<Option<Uses>> =
        blocks.iter().map(|&block| floats.crowded(func, block, registers)).collect();
    if uses.iter().all(Option::is_none) {
        return;
    }
    let slot = func.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 0, 4));
    let base = FuncCursor::new(func).at_first_insertion_point(entry).ins().stack_addr(types::I64, slot, 0);
    let places = Places::default();
    let mut spill = Spill { func, loops, floats, registers, slot, base, places, held: Vec::new() };
    let mut ends: SecondaryMap<Block, Vec<Held>> = SecondaryMap::new();
    for (&block, uses) in blocks.iter().zip(&uses) {
        // What the block above leaves in registers is still there; where a loop starts, its end would have to leave the same.
        let above = domtree.idom(block).filter(|_| loops.is_loop_header(block).is_none());
        spill.held = above.map(|above| ends[above].clone()).unwrap_or_default();
        match uses {
            Some(uses) => spill.crowded(block, uses),
            None => spill.quiet(block),
        }
        ends[block] = std::mem::take(&mut spill.held);
    }
    spill.store();
}

/// Moves reads to their only use, across nothing that writes. The optimizer computes what is added to memory between the read before and
/// the write after.
fn read_late(func: &mut Function, blocks: &[Block]) {
    let mut uses: SecondaryMap<Value, u32> = SecondaryMap::with_capacity(func.dfg.num_values());
    for inst in blocks.iter().flat_map(|&block| func.layout.block_insts(block)) {
        func.dfg.inst_values(inst).for_each(|value| uses[value] += 1);
    }
    let (mut reads, mut args): (Vec<(Value, Inst)>, Vec<Value>) = Default::default();
    for &block in blocks {
        reads.clear();
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            args.clear();
            args.extend(func.dfg.inst_values(inst).filter(|_| !reads.is_empty()));
            for &value in &args {
                if let Some(n) = reads.iter().rposition(|read| read.0 == value) {
                    let (_, read) = reads.remove(n);
                    func.layout.remove_inst(read);
                    func.layout.insert_inst(read, inst);
                }
            }
            let opcode = func.dfg.insts[inst].opcode();
            if opcode == Opcode::Load {
                let value = func.dfg.first_result(inst);
                if uses[value] == 1 && !func.dfg.value_type(value).is_int() {
                    reads.push((value, inst));
                }
            } else if opcode.can_store() || opcode.is_call() || opcode.other_side_effects() {
                reads.clear();
            }
        }
    }
}

/// A float in a register.
#[derive(Clone, Copy)]
struct Held {
    root: Value,
    /// Itself, or what was read of it.
    holds: Value,
    /// Which instruction uses it next.
    next: u32,
    /// Before which instruction it would be stored, if only this block uses it.
    since: Option<u32>,
}

struct Spill<'f> {
    func: &'f mut Function,
    loops: &'f LoopAnalysis,
    floats: Floats,
    registers: usize,
    slot: StackSlot,
    /// The address of the slot.
    base: Value,
    places: Places,
    held: Vec<Held>,
}

impl Spill<'_> {
    /// Walks a crowded block. What is held comes from the block that dominates it.
    fn crowded(&mut self, block: Block, uses: &Uses) {
        for held in &mut self.held {
            let first = uses.next.iter().rposition(|&(value, _)| value == held.root);
            let inst = first.map(|first| uses.ends.partition_point(|&end| end > first) as u32 - 1);
            held.next = inst.unwrap_or(ELSEWHERE);
        }
        self.places.free.iter_mut().for_each(|place| place.2 = 0);
        for &(param, first) in &uses.params {
            let since = (!self.floats.shared.contains(param)).then_some(0);
            self.hold(Held { root: param, holds: param, next: first, since }, &[]);
        }
        for (n, &inst) in uses.insts.iter().enumerate() {
            let later = uses.ends.get(n + 1).copied().unwrap_or(0);
            let used = &uses.next[later..uses.ends[n]];
            self.operands(inst, used);
            self.held.retain(|held| held.next != NEVER);
            for &(root, _) in used.iter().filter(|used| used.1 == NEVER) {
                if let Some(place) = self.places.offset[root]
                    && self.floats.block[root] == block.into()
                {
                    let bytes = self.func.dfg.value_type(root).bytes().next_multiple_of(8);
                    self.places.free.push((place, bytes, n as u32 + 1));
                }
            }
            if self.overwrites(inst) {
                for held in std::mem::take(&mut self.held) {
                    self.place(held.root, held.since);
                }
            }
            if let Some(result) = self.floats.result(self.func, inst) {
                let since = (!self.floats.shared.contains(result)).then_some(n as u32 + 1);
                self.hold(Held { root: result, holds: result, next: uses.first[n], since }, &[]);
            }
        }
    }

    /// Whether an instruction calls what may overwrite all registers for floats.
    fn overwrites(&self, inst: Inst) -> bool {
        let dfg = &self.func.dfg;
        dfg.call_signature(inst)
            .is_some_and(|callee| dfg.signatures[callee].call_conv != CallConv::PreserveAll)
    }

    /// Brings what an instruction uses into registers, except for one operand that it may read itself.
    fn operands(&mut self, inst: Inst, used: &[(Value, u32)]) {
        let mut reads = false;
        for &(root, next) in used {
            if let Some(held) = self.held.iter_mut().find(|held| held.root == root) {
                held.next = next;
                let holds = held.holds;
                if holds != root {
                    self.replace(inst, root, holds);
                }
                continue;
            }
            if self.is_lane(inst) {
                self.read_lane(inst, root);
                continue;
            }
            let full = self.held.len() >= self.registers;
            let stays = next < ELSEWHERE && !(full && self.held.iter().all(|held| held.next < next));
            if !stays
                && !reads
                && let Some(operand) = self.readable(inst, root)
            {
                // A read that stands right before its only use becomes part of it.
                let value = self.read(inst, root, self.func.dfg.value_type(operand));
                self.replace(inst, root, value);
                reads = true;
                continue;
            }
            let holds = self.read(inst, root, self.func.dfg.value_type(root));
            self.replace(inst, root, holds);
            if next < ELSEWHERE {
                self.hold(Held { root, holds, next, since: None }, used);
            }
        }
    }

    /// Floats of other blocks that wait are read from there in a block that is not crowded too, or they would be alive up to here; but not
    /// again and again in a loop.
    fn quiet(&mut self, block: Block) {
        let insts: Vec<Inst> = self.func.layout.block_insts(block).collect();
        let mut used = Vec::new();
        for inst in insts {
            self.floats.used(self.func, inst, &mut used);
            for &root in &used {
                let from = self.floats.block[root].expand().filter(|&from| from != block);
                let level = |block| self.loops.loop_level(block);
                if self.places.offset[root].is_none() || from.is_none_or(|from| level(from) < level(block)) {
                    continue;
                }
                if self.is_lane(inst) {
                    self.read_lane(inst, root);
                } else {
                    let value = self.read(inst, root, self.func.dfg.value_type(root));
                    self.replace(inst, root, value);
                }
            }
        }
    }

    /// Takes a register for a float: from the one that is used last, if there is no other. Operands of the same instruction stay.
    fn hold(&mut self, float: Held, operands: &[(Value, u32)]) {
        if float.next == NEVER {
            return;
        }
        if self.held.len() >= self.registers {
            let others = self.held.iter().enumerate();
            let others = others.filter(|(_, held)| operands.iter().all(|&(value, _)| value != held.root));
            if let Some((n, _)) = others.max_by_key(|(_, held)| held.next) {
                let last = self.held.swap_remove(n);
                self.place(last.root, last.since);
            }
        }
        self.held.push(float);
    }

    /// The operand that an instruction can read from memory, if that is the float.
    fn readable(&self, inst: Inst, root: Value) -> Option<Value> {
        let &[a, b] = self.func.dfg.inst_args(inst) else { return None };
        match (self.func.dfg.insts[inst].opcode(), [a, b].map(|v| self.floats.root[v] == root.into())) {
            (Opcode::Fadd | Opcode::Fmul, [true, false]) => Some(a),
            (Opcode::Fadd | Opcode::Fmul | Opcode::Fsub | Opcode::Fdiv | Opcode::Shuffle, [false, true]) => {
                Some(b)
            }
            _ => None,
        }
    }

    /// Whether an instruction takes a lane out of a vector.
    fn is_lane(&self, inst: Inst) -> bool {
        self.func.dfg.insts[inst].opcode() == Opcode::Extractlane
    }

    /// A lane of a vector that waits is read alone.
    fn read_lane(&mut self, inst: Inst, root: Value) {
        let InstructionData::BinaryImm8 { imm, .. } = self.func.dfg.insts[inst] else { return };
        let ty = self.func.dfg.value_type(self.func.dfg.first_result(inst));
        let place = self.place(root, None) + i32::from(imm) * ty.bytes() as i32;
        self.func.replace(inst).load(ty, MemFlagsData::trusted(), self.base, place);
    }

    /// Reads a float that waits, before an instruction.
    fn read(&mut self, inst: Inst, root: Value, ty: Type) -> Value {
        let place = self.place(root, None);
        let mut cursor = FuncCursor::new(self.func).at_inst(inst);
        cursor.ins().load(ty, MemFlagsData::trusted(), self.base, place)
    }

    fn place(&mut self, root: Value, since: Option<u32>) -> i32 {
        self.places.of(root, self.func.dfg.value_type(root), since)
    }

    /// Makes an instruction use `holds` for a float, whatever type it sees it as.
    fn replace(&mut self, inst: Inst, root: Value, holds: Value) {
        let values: SmallVec<[Value; 4]> = self.func.dfg.inst_values(inst).collect();
        let mut images: SmallVec<[Value; 4]> = SmallVec::new();
        for value in values {
            let ty = self.func.dfg.value_type(value);
            images.push(if self.floats.root[value] != root.into() {
                value
            } else if ty == self.func.dfg.value_type(holds) {
                holds
            } else {
                FuncCursor::new(self.func).at_inst(inst).ins().bitcast(ty, little(), holds)
            });
        }
        let mut images = images.into_iter();
        self.func.dfg.map_inst_values(inst, |value| images.next().unwrap_or(value));
    }

    /// Stores every float that waits somewhere.
    fn store(self) {
        let Spill { func, places, base, slot, .. } = self;
        for &value in &places.floats {
            let place = places.offset[value].expect("floats are listed when they get a place");
            let mut cursor = match func.dfg.value_def(value) {
                ValueDef::Result(inst, _) => FuncCursor::new(func).after_inst(inst),
                ValueDef::Param(block, _) => FuncCursor::new(func).at_first_insertion_point(block),
                ValueDef::Union(..) => unreachable!("the optimizer has chosen"),
            };
            cursor.ins().store(MemFlagsData::trusted(), value, base, place);
        }
        func.sized_stack_slots[slot].size = places.bytes;
    }
}
