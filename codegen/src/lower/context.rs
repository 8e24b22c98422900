//! The state of lowering one function: value maps, environment words, what kind of function it is.

use crate::analyzed::Analyzed;
use crate::error::{CodegenError, Result};
use crate::lower::ahead::Ahead;
use crate::lower::check::Checks;
use crate::lower::elementary::{Turned, turning};
use crate::lower::lanes::Lanes;
use crate::prefetch::Ask;
use crate::program::{Phase, literal_product, position_base, row_buffer, scalar_outputs, visit};
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::{
    FuncRef, Immediate, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKind, Type,
    Value as Clif, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, Variable};
use spadina_ir::func::{Buffer, Func, Inst, InstData, Role, Value};
use spadina_ir::types::{Size, SizeExpr, Ty};
use spadina_layout::abi::EnvLayout;
use spadina_layout::program::{CornerSum, PhaseInfo};
use spadina_layout::site::SlotLayout;
use std::collections::{BTreeMap, BTreeSet};

/// What is known before a function is lowered.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) func: &'a Func,
    pub(crate) analyzed: &'a Analyzed<'a>,
    pub(crate) env: EnvLayout,
    /// Function references of the math functions, by name.
    pub(crate) math: &'a BTreeMap<&'static str, FuncRef>,
    /// What calls some of them aside.
    pub(crate) aside: Option<FuncRef>,
    /// Function references of the projections, by size of the block.
    pub(crate) project: &'a BTreeMap<usize, FuncRef>,
    /// Facts of the target.
    pub(crate) frontend: TargetFrontendConfig,
    /// Iterations that one pass of an element loop may take side by side.
    pub(crate) lanes: usize,
    /// Functions that ask for lines of memory, by their number; none where nobody asks.
    pub(crate) prefetch: &'a BTreeMap<Ask, FuncRef>,
}

/// The kind of function, which decides what effects become.
pub(crate) enum Mode {
    /// Nothing but pure code: iteration counts.
    Pure,
    /// Read-modify-write of matrix values and outputs.
    Eval(Eval),
    /// Counting emissions.
    Count,
    /// Writing streams.
    Index,
}

/// What evaluation needs.
#[derive(Clone, Copy)]
pub(crate) struct Eval {
    pub(crate) slots: SlotLayout,
    pub(crate) values: Clif,
    pub(crate) row_start: Clif,
    pub(crate) filter: Option<Filter>,
    pub(crate) junk: Junk,
}

/// Places on the stack that sums nobody wants go to, taken in turns: each sum in one place would wait for the one before.
#[derive(Clone, Copy)]
pub(crate) struct Junk {
    first: Clif,
    /// Bytes of a place.
    size: i64,
}

impl Junk {
    const PLACES: i64 = 16;
}

/// Writes only rows of one owner.
#[derive(Clone, Copy)]
pub(crate) struct Filter {
    pub(crate) owner: Clif,
    pub(crate) me: Clif,
}

/// Where the next emission of a site is recorded.
#[derive(Clone, Copy)]
pub(crate) enum Cursor {
    /// One emission an iteration: found from the number of the iteration.
    Fixed(Clif),
    /// An address (or, when counting, a number) that moves with each emission.
    Moving(Variable),
}

/// `dynamic + constant`, in elements.
#[derive(Clone, Copy, Default)]
pub(crate) struct Linear {
    pub(crate) dynamic: Option<Clif>,
    pub(crate) constant: i64,
}

/// How an access moves from row to row.
#[derive(Clone, Copy)]
pub(crate) struct Stride {
    /// Elements from one row to the next.
    pub(crate) delta: i64,
    /// Its address in row 0.
    pub(crate) origin: (Clif, i32),
    /// The row of the first lane.
    pub(crate) row: Clif,
}

/// Lowers one function.
pub(crate) struct Lower<'a, 'b> {
    pub(crate) program: Program<'a>,
    pub(crate) func: &'a Func,
    pub(crate) info: Option<&'a PhaseInfo>,
    pub(crate) b: FunctionBuilder<'b>,
    pub(crate) env: Clif,
    pub(crate) mode: Mode,
    /// Bounds checks, in index programs.
    pub(crate) checks: Option<Checks>,
    /// True while a prologue is copied without its effects.
    pub(crate) pure: bool,
    /// Number of enclosing constructs that may not run: loads under them must not move out.
    pub(crate) conditional: u32,
    /// When set, only these instructions are lowered.
    pub(crate) live: Option<BTreeSet<Inst>>,
    /// Subtotals of the rank-0 outputs of the phase.
    pub(crate) sums: Vec<(Buffer, Variable)>,
    /// Subtotals of the corner.
    pub(crate) corner: Vec<(CornerSum, Variable)>,
    pub(crate) cursors: BTreeMap<u32, Cursor>,
    /// Number of lanes.
    pub(crate) lanes: usize,
    /// Whether single precision is packed.
    pub(crate) singles: bool,
    /// True while instructions are lowered for all lanes at once; else for `lane` alone.
    pub(crate) wide: bool,
    /// The lane that scalar code works for.
    pub(crate) lane: usize,
    /// The values that differ between lanes.
    pub(crate) varying: EntitySet<Value>,
    /// Effects that wait for their lane's turn.
    pub(crate) deferred: Vec<Inst>,
    /// Reads of neighbors in memory, lowered together: for each, the first and the second of them.
    pub(crate) neighbors: BTreeMap<Inst, (Inst, Inst)>,
    /// Reads whose values are made already, together with those of a neighbor.
    pub(crate) loaded: BTreeSet<Inst>,
    /// Byte orders that take a half of one vector and a half of another: low or high of the first, then of the second.
    pub(crate) halves: [[Option<Immediate>; 2]; 2],
    /// Accesses that move by a known number of elements with each row, while several rows are lowered side by side.
    pub(crate) strides: BTreeMap<Inst, Stride>,
    /// Values that are read from their arrays where they are used.
    pub(crate) rereads: EntitySet<Value>,
    /// How deep the vector arithmetic behind a value is.
    pub(crate) depth: SecondaryMap<Clif, u32>,
    /// Zero, computed from the iteration in which those stand.
    pub(crate) nothing: Option<Clif>,
    /// What is handed to functions that are called aside.
    pub(crate) aside: Option<StackSlot>,
    /// Angles of which a region has sine and cosine.
    pub(crate) turning: EntitySet<Value>,
    /// The other of the last two.
    pub(crate) turned: Option<Turned>,
    /// What passes of the element loop ask for ahead of time.
    pub(crate) ahead: Option<Ahead>,
    /// The place for junk that was used last.
    junk_turn: i64,
    /// 2 and 3, by which subscripts are shifted to bytes.
    shifts: [Clif; 2],
    values: SecondaryMap<Value, Option<Lanes>>,
    positions: SecondaryMap<Value, Vec<Linear>>,
    sizes: Vec<Clif>,
    bases: SecondaryMap<Buffer, PackedOption<Clif>>,
    position_bases: SecondaryMap<Buffer, Option<Linear>>,
}

/// The Cranelift type of a scalar; truth values are bytes, 0 or 1.
pub(crate) fn clif_type(ty: Ty) -> Type {
    match ty {
        Ty::F64 => types::F64,
        Ty::F32 => types::F32,
        Ty::Int => types::I64,
        Ty::Bool => types::I8,
    }
}

/// Reads of words that never change during a call and may always be read.
pub(crate) fn env_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

impl<'a, 'b> Lower<'a, 'b> {
    pub(crate) fn new(
        program: Program<'a>,
        info: Option<&'a PhaseInfo>,
        mut b: FunctionBuilder<'b>,
        env: Clif,
    ) -> Self {
        let shifts = [2, 3].map(|by| b.ins().iconst(types::I64, by));
        Lower {
            program,
            func: program.func,
            info,
            b,
            env,
            mode: Mode::Pure,
            checks: None,
            pure: false,
            conditional: 0,
            live: None,
            sums: Vec::new(),
            corner: Vec::new(),
            cursors: BTreeMap::new(),
            lanes: 1,
            singles: false,
            wide: false,
            lane: 0,
            varying: EntitySet::new(),
            deferred: Vec::new(),
            neighbors: BTreeMap::new(),
            loaded: BTreeSet::new(),
            halves: [[None; 2]; 2],
            strides: BTreeMap::new(),
            rereads: EntitySet::new(),
            depth: SecondaryMap::new(),
            nothing: None,
            aside: None,
            turning: if program.aside.is_some() { turning(program.func) } else { EntitySet::new() },
            turned: None,
            ahead: None,
            junk_turn: 0,
            shifts,
            values: SecondaryMap::new(),
            positions: SecondaryMap::new(),
            sizes: Vec::new(),
            bases: SecondaryMap::new(),
            position_bases: SecondaryMap::new(),
        }
    }

    /// Word `n` of the environment.
    pub(crate) fn word(&mut self, n: usize) -> Clif {
        let offset = i32::try_from(8 * n).unwrap_or(i32::MAX);
        self.b.ins().load(types::I64, env_flags(), self.env, offset)
    }

    /// Reads sizes and the addresses of the buffers that `insts` touch; finds where their positions start.
    pub(crate) fn read_environment(&mut self, insts: &[Inst]) -> Result<()> {
        for n in 0..self.func.sizes.len() {
            let word = self.word(self.program.env.size(n));
            self.sizes.push(word);
        }
        let (mut touched, mut positioned) = (BTreeSet::new(), BTreeSet::new());
        let filtered = matches!(&self.mode, Mode::Eval(Eval { filter: Some(_), .. }));
        for &inst in insts {
            visit(self.func, inst, &mut |data| match data {
                InstData::Load(b, _) | InstData::Reset(b, _) => {
                    touched.insert(*b);
                }
                InstData::Accum(b, ..) => {
                    touched.insert(*b);
                    if filtered && self.is_filtered(*b) {
                        positioned.insert(row_buffer(self.func, *b).0);
                    }
                }
                InstData::Position(b, _) => {
                    positioned.insert(*b);
                }
                _ => {}
            });
        }
        for buffer in touched {
            let base = if self.program.analyzed.local.contains(&buffer) {
                self.on_stack(buffer)
            } else {
                self.word(self.program.env.buffer(buffer.as_u32() as usize))
            };
            self.bases[buffer] = base.into();
        }
        for buffer in positioned {
            let mut base = Linear::default();
            for before in position_base(self.func, buffer)? {
                let dims = self.func.buffers[before].dims.clone();
                let count = self.product(&dims);
                base = self.linear_add(base, count);
            }
            self.position_bases[buffer] = Some(base);
        }
        Ok(())
    }

    /// The address of a local array on the stack. Its size is literal; it may hold several directions.
    fn on_stack(&mut self, buffer: Buffer) -> Clif {
        let data = &self.func.buffers[buffer];
        let batch = self.program.analyzed.batched.as_ref().filter(|batch| batch.buffers.contains(&buffer));
        let directions = batch.map_or(1, |batch| batch.lanes) as i64;
        let bytes = literal_product(&data.dims).unwrap_or(0) * data.elem.bytes() as i64 * directions;
        let size = u32::try_from(bytes).unwrap_or(0);
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4));
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    /// True for the buffers whose accumulations are filtered by owner: outputs with rows.
    pub(crate) fn is_filtered(&self, buffer: Buffer) -> bool {
        let data = &self.func.buffers[buffer];
        data.role == Role::Output && !data.dims.is_empty()
    }

    /// Declares the subtotals of the phase's rank-0 outputs and of the corner.
    pub(crate) fn declare_sums(&mut self) {
        let outputs = scalar_outputs(self.func);
        let sums = self.info.map(|info| info.sums.clone()).unwrap_or_default();
        for n in sums {
            if let Some(&buffer) = outputs.get(n as usize) {
                let variable = self.b.declare_var(types::F64);
                self.sums.push((buffer, variable));
            }
        }
        for sum in self.info.map(|info| info.corner.clone()).unwrap_or_default() {
            let variable = self.b.declare_var(types::F64);
            self.corner.push((sum, variable));
        }
    }

    /// The subtotals of an iteration, in the order of [`PhaseInfo::width`].
    pub(crate) fn subtotals(&self) -> Vec<Variable> {
        let corner = self.corner.iter().map(|&(_, variable)| variable);
        self.sums.iter().map(|&(_, variable)| variable).chain(corner).collect()
    }

    /// Adds to a subtotal.
    pub(crate) fn add_to_subtotal(&mut self, variable: Variable, value: Value) -> Result<()> {
        let before = self.b.use_var(variable);
        let after = self.add_signed(before, value, types::F64)?;
        self.b.def_var(variable, after);
        Ok(())
    }

    /// Room on the stack for unwanted sums: in each place the columns of a block, those of all directions, or two.
    pub(crate) fn junk(&mut self) -> Junk {
        let blocks = self.info.iter().flat_map(|info| &info.sites).flat_map(|site| &site.shape.col_blocks);
        let widest = blocks.map(|block| block.width as usize).max().unwrap_or(0);
        let size = 8 * widest.max(self.lanes).max(2) as i64;
        let bytes = u32::try_from(Junk::PLACES * size).unwrap_or(u32::MAX);
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4));
        Junk { first: self.b.ins().stack_addr(types::I64, slot, 0), size }
    }

    /// The address where it is wanted, else a place for junk.
    pub(crate) fn or_junk(&mut self, wanted: Clif, address: Clif, junk: Junk) -> Clif {
        self.junk_turn = (self.junk_turn + 1) % Junk::PLACES;
        let place = self.offset(junk.first, self.junk_turn * junk.size);
        self.b.ins().select(wanted, address, place)
    }

    // ---- maps -------------------------------------------------------------------------------------------------

    /// The value is the same in all lanes.
    pub(crate) fn set(&mut self, value: Value, clif: Clif) {
        self.values[value] = Some(Lanes::Uniform(clif));
    }

    pub(crate) fn set_lanes(&mut self, value: Value, lanes: Lanes) {
        self.values[value] = Some(lanes);
    }

    /// Values that are not visible any more.
    pub(crate) fn forget(&mut self, values: &[Value]) {
        for &value in values {
            self.values[value] = None;
            self.positions[value] = Vec::new();
        }
    }

    /// The value in all lanes.
    pub(crate) fn lanes_of(&mut self, value: Value) -> Result<Lanes> {
        if let Some(here) = self.reread(value)? {
            return Ok(Lanes::Uniform(here));
        }
        let found = self.values[value].clone();
        found.ok_or_else(|| CodegenError::malformed(format!("{value} is used where it is not visible")))
    }

    /// The value in the current lane.
    pub(crate) fn get(&mut self, value: Value) -> Result<Clif> {
        let lanes = self.lanes_of(value)?;
        Ok(self.lane_value(&lanes))
    }

    pub(crate) fn get_all(&mut self, values: &[Value]) -> Result<Vec<Clif>> {
        values.iter().map(|&v| self.get(v)).collect()
    }

    /// A position, the same in all lanes or one for each.
    pub(crate) fn set_position(&mut self, value: Value, linear: Vec<Linear>) {
        self.positions[value] = linear;
    }

    /// The position in the current lane.
    pub(crate) fn position(&self, value: Value) -> Result<Linear> {
        let lanes = &self.positions[value];
        let found = lanes.get(self.lane).or(lanes.first()).copied();
        found.ok_or_else(|| CodegenError::malformed(format!("{value} is not a position")))
    }

    pub(crate) fn base(&self, buffer: Buffer) -> Result<Clif> {
        let found = self.bases[buffer].expand();
        found.ok_or_else(|| CodegenError::malformed(format!("{buffer} was not announced")))
    }

    pub(crate) fn position_base(&self, buffer: Buffer) -> Result<Linear> {
        self.position_bases[buffer]
            .ok_or_else(|| CodegenError::malformed(format!("{buffer} has no positions")))
    }

    // ---- sizes and offsets ----------------------------------------------------------------------------------------

    pub(crate) fn int(&mut self, n: i64) -> Clif {
        self.b.ins().iconst(types::I64, n)
    }

    /// `value * 2^shift`
    pub(crate) fn shifted(&mut self, value: Clif, shift: i64) -> Clif {
        match shift {
            0 => value,
            2 | 3 => self.b.ins().ishl(value, self.shifts[shift as usize - 2]),
            _ => self.b.ins().ishl_imm_u(value, shift),
        }
    }

    fn size_word(&mut self, size: Size) -> Clif {
        self.sizes[size.as_u32() as usize]
    }

    /// The run-time value of a size expression.
    pub(crate) fn size_expr(&mut self, expr: &SizeExpr) -> Clif {
        let mut sum = None;
        for &(size, factor) in &expr.terms {
            let word = self.size_word(size);
            let term = self.scale(word, factor);
            sum = Some(match sum {
                Some(sum) => self.b.ins().iadd(sum, term),
                None => term,
            });
        }
        match sum {
            Some(sum) => self.offset(sum, expr.constant),
            None => self.int(expr.constant),
        }
    }

    /// `factor * value`.
    pub(crate) fn scale(&mut self, value: Clif, factor: i64) -> Clif {
        match factor {
            1 => value,
            _ => self.b.ins().imul_imm_s(value, factor),
        }
    }

    /// `value + constant`.
    pub(crate) fn offset(&mut self, value: Clif, constant: i64) -> Clif {
        match constant {
            0 => value,
            _ => self.b.ins().iadd_imm_s(value, constant),
        }
    }

    /// `value * dim`.
    pub(crate) fn scale_by(&mut self, value: Clif, dim: &SizeExpr) -> Clif {
        if let Some(n) = dim.as_constant() {
            return self.scale(value, n);
        }
        let dim = self.size_expr(dim);
        self.b.ins().imul(value, dim)
    }

    /// The number of elements of an array.
    pub(crate) fn product(&mut self, dims: &[SizeExpr]) -> Linear {
        if let Some(constant) = crate::program::literal_product(dims) {
            return Linear { dynamic: None, constant };
        }
        let mut product = self.int(1);
        for dim in dims {
            product = self.scale_by(product, dim);
        }
        Linear { dynamic: Some(product), constant: 0 }
    }

    pub(crate) fn linear_add(&mut self, a: Linear, b: Linear) -> Linear {
        let dynamic = match (a.dynamic, b.dynamic) {
            (Some(x), Some(y)) => Some(self.b.ins().iadd(x, y)),
            (x, y) => x.or(y),
        };
        Linear { dynamic, constant: a.constant.wrapping_add(b.constant) }
    }

    /// The linear form as one value.
    pub(crate) fn linear_value(&mut self, linear: Linear) -> Clif {
        match linear.dynamic {
            Some(value) => self.offset(value, linear.constant),
            None => self.int(linear.constant),
        }
    }

    /// Everything the functions of a phase touch.
    pub(crate) fn insts_of(phase: &Phase) -> Vec<Inst> {
        phase.prologue.iter().copied().chain([phase.root]).collect()
    }
}
