//! The floats of a function in Cranelift's representation, and which instructions of a block use them.

use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value};

/// Not used any more.
pub(super) const NEVER: u32 = u32::MAX;
/// Used next in another block.
pub(super) const ELSEWHERE: u32 = u32::MAX - 1;

/// The floats of a function.
pub(super) struct Floats {
    /// The float behind a value: the same bits may have several types. None for literals, which need no register.
    pub(super) root: SecondaryMap<Value, PackedOption<Value>>,
    /// Where each is defined.
    pub(super) block: SecondaryMap<Value, PackedOption<Block>>,
    /// Those that are used in other blocks too.
    pub(super) shared: EntitySet<Value>,
    /// While a block is read backward: which instruction uses a float next.
    next: SecondaryMap<Value, u32>,
}

/// What the instructions of a block use.
#[derive(Default)]
pub(super) struct Uses {
    pub(super) insts: Vec<Inst>,
    /// For each instruction the floats that it uses, and which instruction uses each next; the last instruction comes first.
    pub(super) next: Vec<(Value, u32)>,
    /// For each instruction how many of `next` are its own and those of later ones.
    pub(super) ends: Vec<usize>,
    /// For each instruction which one uses its result first.
    pub(super) first: Vec<u32>,
    /// The same for parameters of the block.
    pub(super) params: Vec<(Value, u32)>,
}

impl Floats {
    /// Finds them.
    pub(super) fn of(func: &Function, blocks: &[Block]) -> Floats {
        let mut floats = Floats {
            root: SecondaryMap::with_capacity(func.dfg.num_values()),
            block: SecondaryMap::with_capacity(func.dfg.num_values()),
            shared: EntitySet::new(),
            next: SecondaryMap::with_default(NEVER),
        };
        let is_float = |value| {
            let ty = func.dfg.value_type(value);
            ty.is_float() || ty.is_vector()
        };
        for &block in blocks {
            for &param in func.dfg.block_params(block).iter().filter(|&&param| is_float(param)) {
                (floats.root[param], floats.block[param]) = (param.into(), block.into());
            }
            for inst in func.layout.block_insts(block) {
                let root = match func.dfg.insts[inst] {
                    InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. } => {
                        floats.root[arg].expand()
                    }
                    _ => None,
                };
                let literal = matches!(
                    func.dfg.insts[inst].opcode(),
                    Opcode::F32const | Opcode::F64const | Opcode::Vconst
                );
                for &result in
                    func.dfg.inst_results(inst).iter().filter(|&&result| !literal && is_float(result))
                {
                    floats.root[result] = root.unwrap_or(result).into();
                    floats.block[result] = block.into();
                }
            }
        }
        let mut used = Vec::new();
        for &block in blocks {
            for inst in func.layout.block_insts(block) {
                floats.used(func, inst, &mut used);
                used.retain(|&value| floats.comes_from_outside(value, block));
                floats.shared.extend(used.iter().copied());
            }
        }
        floats
    }

    pub(super) fn comes_from_outside(&self, value: Value, block: Block) -> bool {
        self.block[value] != block.into()
    }

    /// The result of an instruction, if that is a float and not another name for one.
    pub(super) fn result(&self, func: &Function, inst: Inst) -> Option<Value> {
        let result = func.dfg.inst_results(inst).first().copied()?;
        (self.root[result] == result.into()).then_some(result)
    }

    /// The floats that an instruction uses, each once. Another name is no use.
    pub(super) fn used(&self, func: &Function, inst: Inst, used: &mut Vec<Value>) {
        used.clear();
        let is_name = |&result: &Value| self.root[result].expand().is_some_and(|root| root != result);
        if func.dfg.inst_results(inst).first().is_some_and(is_name) {
            return;
        }
        for value in func.dfg.inst_values(inst) {
            if let Some(root) = self.root[value].expand()
                && !used.contains(&root)
            {
                used.push(root);
            }
        }
    }

    /// The uses of a block, if far more floats are alive in it than there are registers.
    pub(super) fn crowded(&mut self, func: &Function, block: Block, registers: usize) -> Option<Uses> {
        let insts: Vec<Inst> = func.layout.block_insts(block).collect();
        if insts.len() <= registers {
            return None;
        }
        let count = insts.len();
        let mut uses = Uses { insts, ends: vec![0; count], first: vec![NEVER; count], ..Uses::default() };
        let mut touched = Vec::new();
        let params = func.dfg.block_params(block);
        let results = uses.insts.iter().filter_map(|&inst| self.result(func, inst));
        let defined = params.iter().copied().chain(results);
        touched.extend(defined.filter(|&value| self.shared.contains(value)));
        for &value in &touched {
            self.next[value] = ELSEWHERE;
        }
        let (mut alive, mut most) = (touched.len(), 0);
        let mut used = Vec::new();
        for (n, &inst) in uses.insts.iter().enumerate().rev() {
            if let Some(result) = self.result(func, inst) {
                uses.first[n] = self.next[result];
                alive -= usize::from(self.next[result] != NEVER);
            }
            self.used(func, inst, &mut used);
            for &value in &used {
                if self.next[value] == NEVER {
                    touched.push(value);
                    alive += 1;
                }
                uses.next.push((value, self.next[value]));
                self.next[value] = n as u32;
            }
            most = most.max(alive);
            uses.ends[n] = uses.next.len();
        }
        let params = params.iter().filter(|&&param| self.root[param].is_some());
        uses.params.extend(params.map(|&param| (param, self.next[param])));
        for value in touched {
            self.next[value] = NEVER;
        }
        (most > registers + registers / 2).then_some(uses)
    }
}
