//! What a program is: buffers, structured regions, instructions; arenas with side tables.
//!
//! # The model
//! A [`Func`] is one kernel or one derivative of it. It talks to the world through *buffers*: dense row-major arrays
//! of scalars with symbolic dimensions. Inside, it is SSA over scalars with *structured* control: a [`Region`] is a
//! list of instructions that ends in yielded values, a loop or an `if` is one instruction that owns regions. A value
//! may be used in the region that defines it, after its definition, and in every region nested there.
//!
//! # Effects
//! The only effects are [`InstData::Accum`] (`buffer[index] += value`), [`InstData::Reset`] (all entries become zero),
//! [`InstData::Check`] (refuses bad subscripts, in index programs) and [`InstData::Emit`] (entries of the sparse matrix). Buffers that are written (`Scratch`, `Output`) hold zeros when a
//! function starts. *Every accumulation into a buffer comes before every load of it*, in program order and seen from
//! the region where both stand (between one `Reset` and the next): an array is finished before it is read. So the
//! iterations of a loop without [`Carry::State`] are independent up to the order of additions, which is what makes
//! reversal, sparsification and threads legal.
//!
//! # Loops
//! `Loop` runs its region for `iv = lo, lo + step, ..` below `hi` (no iteration when `hi <= lo`). Region parameters are
//! the induction variable, then one value per `State` carry. The region yields one value per carry. A
//! `Sum`/`Prod`/`Min`/`Max` carry reduces the yielded values from its neutral element (0, 1, inf, -inf);
//! a `State` carry starts at its initial value and is replaced by each yield. Results are the final carries, in order.

use crate::op::Op;
use crate::project::Projection;
use crate::types::{Size, SizeExpr, Ty};
use cranelift_entity::{PrimaryMap, SecondaryMap, entity_impl};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeSet;

/// A scalar SSA value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u32);
entity_impl!(Value, "v");

/// An instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inst(u32);
entity_impl!(Inst, "inst");

/// A region: a straight list of instructions with parameters and yielded values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(u32);
entity_impl!(Region, "region");

/// A buffer: a dense array that lives outside SSA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buffer(u32);
entity_impl!(Buffer, "buf");

/// Which side of the call a buffer stands on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// An unknown: an input that gives columns (if `Func::columns` names it).
    Var,
    /// Float data: may change between evaluations, never decides the pattern.
    Data,
    /// `Int` or `Bool` data, or float data marked structural: frozen at prepare.
    Structural,
    /// An intermediate array, owned by the function.
    Scratch,
    /// A result: zero at the start, accumulated into.
    Output,
}

/// What a buffer holds relative to the primal program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Plane {
    /// A buffer of the program as written (or scratch of any kind).
    Primal,
    /// The tangent `y_dot` of another buffer: an input for unknowns, an output for results.
    Tangent(Buffer),
    /// The adjoint `y_bar` of another buffer: an output for unknowns, an input (a weight) for results.
    Adjoint(Buffer),
    /// A dense block of the matrix: the derivative of the first (or of its adjoint) with respect to the second. Its dimensions
    /// are those of the first followed by those of the second. What the dense road computes and the solver removes.
    Block(Buffer, Buffer),
}

/// What is promised, and checked once when an array is bound, about the entries of an `Int` buffer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Entries {
    /// Nothing.
    #[default]
    Any,
    /// Every entry lies in `0..bound`; one bound for all, or one per column of the last axis.
    Index(Vec<SizeExpr>),
    /// Monotone (never decreasing), first entry at least 0, last entry at most the bound.
    Offsets(SizeExpr),
}

/// A buffer declaration.
#[derive(Clone, PartialEq, Debug)]
pub struct BufferData {
    /// The name in the source (`x`, `br.g`) or a derived one (`x_bar`); unique in the function.
    pub name: String,
    /// Element type.
    pub elem: Ty,
    /// Dimensions; empty for a scalar. Small vectors and matrices are trailing literal dimensions.
    pub dims: Vec<SizeExpr>,
    /// Which side of the call it stands on.
    pub role: Role,
    /// What it holds relative to the primal program.
    pub plane: Plane,
    /// Promises about integer entries.
    pub entries: Entries,
    /// The value a scalar parameter takes when it is not bound.
    pub default: Option<f64>,
    /// Where it was declared: byte offsets in the source.
    pub span: (u32, u32),
}

/// A literal.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Const {
    /// A float of type `F64`.
    F64(f64),
    /// A float of type `F32`.
    F32(f32),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

impl Const {
    /// The type of the literal.
    pub fn ty(self) -> Ty {
        match self {
            Const::F64(_) => Ty::F64,
            Const::F32(_) => Ty::F32,
            Const::Int(_) => Ty::Int,
            Const::Bool(_) => Ty::Bool,
        }
    }
}

/// How a loop combines the values its region yields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Carry {
    /// Their sum, from 0. The only carry that derivatives pass through untouched.
    Sum,
    /// Their product, from 1.
    Prod,
    /// The smallest, from +inf (floats) or `i64::MAX`; ties keep the earlier.
    Min,
    /// The largest, from -inf (floats) or `i64::MIN`; ties keep the earlier.
    Max,
    /// A recurrence: from this initial value, the yield of one iteration is the region parameter of the next.
    State(Value),
}

/// One emission of matrix entries: a small dense or sparse block.
///
/// `entries[k] = (a, b)` with value `values[k]` adds to the matrix at `(rows[a], cols[b])`. With `symmetric`, `rows`
/// equals `cols` (the local unknowns `L`), every entry has `a <= b`, and `a != b` also stands for the mirrored entry: so where
/// `L[a] == L[b]` at run time the diagonal receives the value twice.
///
/// No emission stands under an `if` whose condition depends on floats that are not structural: which entries exist is
/// decided at prepare. In an index program `values` is empty: only `rows`, `cols` and the shape count.
#[derive(Clone, PartialEq, Debug)]
pub struct EmitData {
    /// Number of the emission site: its slots are found by it. Unique in a function.
    pub site: u32,
    /// Row positions (type `Int`, made by [`InstData::Position`]).
    pub rows: Vec<Value>,
    /// Column positions.
    pub cols: Vec<Value>,
    /// Local row and column of each value.
    pub entries: Vec<(u32, u32)>,
    /// The values to add, as many as `entries`.
    pub values: Vec<Value>,
    /// Whether each off-diagonal entry stands for its mirror image too.
    pub symmetric: bool,
    /// A promise about complete rows: every row named here receives nothing but the entries of this one emission, which are listed
    /// row by row with ascending columns. So the values are stored in the order in which the matrix keeps them.
    pub direct: bool,
    /// A whole element block that is made positive semidefinite before it is added: `symmetric`, its entries the whole upper triangle row
    /// by row. Rows at equal positions are added up first (see [`crate::project`]).
    pub project: Option<Projection>,
}

impl EmitData {
    /// Entries with mirror images written out: `(local row, local column, index of the value)`, row by row with ascending
    /// columns. Values are added to the matrix in this order: it matters where local unknowns coincide at run time.
    pub fn expanded(&self) -> Vec<(u32, u32, usize)> {
        let mut all = Vec::with_capacity(2 * self.entries.len());
        for (k, &(a, b)) in self.entries.iter().enumerate() {
            all.push((a, b, k));
            if self.symmetric && a != b {
                all.push((b, a, k));
            }
        }
        all.sort_by_key(|&(a, b, _)| (a, b));
        all
    }
}

/// Operands, subscripts, results: nearly always few enough to stand in place.
pub type Values = SmallVec<[Value; 4]>;

/// An instruction.
#[derive(Clone, PartialEq, Debug)]
pub enum InstData {
    /// A literal.
    Const(Const),
    /// The run-time value of a size expression, as `Int`.
    Size(SizeExpr),
    /// A scalar operation.
    Op(Op, Values),
    /// `buffer[index]`, one `Int` per dimension.
    Load(Buffer, Values),
    /// The position of `buffer[index]` in the concatenation of the columns (for an unknown) or rows (for an output or
    /// the adjoint of an unknown): what matrix entries are addressed by. Type `Int`.
    Position(Buffer, Values),
    /// `buffer[index] += value`.
    Accum(Buffer, Values, Value),
    /// Every entry of a scratch buffer becomes zero; with a length only so many of the first (row-major), and the others are not to be
    /// read before the next reset.
    Reset(Buffer, Option<Value>),
    /// Refuses to go on unless every subscript lies inside the buffer: what index programs are made of.
    Check(Buffer, Values),
    /// A counted loop.
    Loop {
        /// First induction value.
        lo: Value,
        /// Bound (exclusive).
        hi: Value,
        /// Positive stride.
        step: i64,
        /// How yields combine; empty for a loop that is run for its effects.
        carries: Vec<Carry>,
        /// Region with the induction variable and the states as parameters.
        body: Region,
    },
    /// A choice: results are the yields of the region taken; only that region is executed.
    If {
        /// The condition.
        cond: Value,
        /// Executed when it holds.
        then: Region,
        /// Executed when it does not.
        els: Region,
    },
    /// Entries of the sparse matrix.
    Emit(EmitData),
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueDef {
    /// The n-th result of an instruction.
    Result(Inst, u32),
    /// The n-th parameter of a region.
    Param(Region, u32),
}

/// Type and definition of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueData {
    /// Its type.
    pub ty: Ty,
    /// Its definition.
    pub def: ValueDef,
}

/// Contents of a region.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RegionData {
    /// Parameters (induction variable, states).
    pub params: Vec<Value>,
    /// Instructions in order.
    pub insts: Vec<Inst>,
    /// Yielded values.
    pub yields: Vec<Value>,
}

/// A program.
#[derive(Clone, Debug)]
pub struct Func {
    /// The kernel's name; derivatives append to it (`cloth.grad`).
    pub name: String,
    /// Symbolic sizes and their names.
    pub sizes: PrimaryMap<Size, String>,
    /// Buffers.
    pub buffers: PrimaryMap<Buffer, BufferData>,
    /// Instructions.
    pub insts: PrimaryMap<Inst, InstData>,
    /// Results of each instruction.
    pub results: SecondaryMap<Inst, Values>,
    /// Source location of each instruction (byte offsets).
    pub spans: SecondaryMap<Inst, (u32, u32)>,
    /// Values.
    pub values: PrimaryMap<Value, ValueData>,
    /// Regions.
    pub regions: PrimaryMap<Region, RegionData>,
    /// The body.
    pub body: Region,
    /// The unknowns that give columns, in order; positions count through them row-major.
    pub columns: Vec<Buffer>,
    /// The buffers that give rows, in order: results for a Jacobian, `columns` again for a Hessian.
    pub rows: Vec<Buffer>,
}

impl Func {
    /// An empty function.
    pub fn new(name: impl Into<String>) -> Func {
        let mut regions = PrimaryMap::new();
        let body = regions.push(RegionData::default());
        Func {
            name: name.into(),
            sizes: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            insts: PrimaryMap::new(),
            results: SecondaryMap::new(),
            spans: SecondaryMap::new(),
            values: PrimaryMap::new(),
            regions,
            body,
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Ty {
        self.values[value].ty
    }

    /// The instruction that defines a value, unless it is a region parameter.
    pub fn def(&self, value: Value) -> Option<&InstData> {
        match self.values[value].def {
            ValueDef::Result(inst, _) => Some(&self.insts[inst]),
            ValueDef::Param(..) => None,
        }
    }

    /// The literal behind a value, if it is one.
    pub fn as_const(&self, value: Value) -> Option<Const> {
        match self.def(value) {
            Some(InstData::Const(c)) => Some(*c),
            _ => None,
        }
    }

    /// The literal integer behind a value, if it is one.
    pub fn as_int(&self, value: Value) -> Option<i64> {
        match self.as_const(value) {
            Some(Const::Int(n)) => Some(n),
            _ => None,
        }
    }

    /// The only result of an instruction that has one.
    pub fn result(&self, inst: Inst) -> Option<Value> {
        match self.results[inst][..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The buffer of that name.
    pub fn buffer_named(&self, name: &str) -> Option<Buffer> {
        self.buffers.iter().find(|(_, data)| data.name == name).map(|(buffer, _)| buffer)
    }

    /// All buffers of a role, in declaration order.
    pub fn buffers_of(&self, role: Role) -> impl Iterator<Item = Buffer> + '_ {
        self.buffers.iter().filter(move |(_, data)| data.role == role).map(|(buffer, _)| buffer)
    }

    /// A name that no buffer has yet, made from `stem`.
    pub fn fresh_buffer_name(&self, stem: &str) -> String {
        self.fresh_buffer_names(stem).next().expect("numbers do not end")
    }

    /// Names that no buffer has yet, made from `stem`: itself, then with numbers from 2 on behind it.
    pub fn fresh_buffer_names(&self, stem: &str) -> impl Iterator<Item = String> + use<> {
        let number = |name: &str| match name.strip_prefix(stem)? {
            "" => Some(1),
            rest => rest.strip_prefix('_')?.parse().ok(),
        };
        let taken: BTreeSet<usize> = self.buffers.values().filter_map(|data| number(&data.name)).collect();
        let stem = stem.to_owned();
        let free = (1_usize..).filter(move |number| !taken.contains(number));
        free.map(move |number| if number == 1 { stem.clone() } else { format!("{stem}_{number}") })
    }
}

impl InstData {
    /// The values this instruction uses directly (not those used inside its regions), in order.
    pub fn operands(&self) -> Values {
        match self {
            InstData::Const(_) | InstData::Size(_) => Values::new(),
            InstData::Reset(_, length) => length.iter().copied().collect(),
            InstData::Op(_, args)
            | InstData::Load(_, args)
            | InstData::Position(_, args)
            // Cloning would go value by value.
            | InstData::Check(_, args) => Values::from_slice(args),
            InstData::Accum(_, index, value) => index.iter().copied().chain([*value]).collect(),
            InstData::Loop { lo, hi, carries, .. } => {
                let states = carries.iter().filter_map(|carry| match carry {
                    Carry::State(init) => Some(*init),
                    Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => None,
                });
                [*lo, *hi].into_iter().chain(states).collect()
            }
            InstData::If { cond, .. } => smallvec![*cond],
            InstData::Emit(emit) => emit.rows.iter().chain(&emit.cols).chain(&emit.values).copied().collect(),
        }
    }

    /// Rewrites every value this instruction uses directly.
    pub fn map_operands(&mut self, mut map: impl FnMut(Value) -> Value) {
        match self {
            InstData::Const(_) | InstData::Size(_) => {}
            InstData::Reset(_, length) => {
                if let Some(v) = length {
                    *v = map(*v);
                }
            }
            InstData::Op(_, args)
            | InstData::Load(_, args)
            | InstData::Position(_, args)
            | InstData::Check(_, args) => {
                for v in args {
                    *v = map(*v);
                }
            }
            InstData::Accum(_, index, value) => {
                for v in index {
                    *v = map(*v);
                }
                *value = map(*value);
            }
            InstData::Loop { lo, hi, carries, .. } => {
                (*lo, *hi) = (map(*lo), map(*hi));
                for carry in carries {
                    if let Carry::State(init) = carry {
                        *init = map(*init);
                    }
                }
            }
            InstData::If { cond, .. } => *cond = map(*cond),
            InstData::Emit(emit) => {
                for v in emit.rows.iter_mut().chain(&mut emit.cols).chain(&mut emit.values) {
                    *v = map(*v);
                }
            }
        }
    }

    /// Whether it has regions: few instructions do.
    pub fn has_regions(&self) -> bool {
        matches!(self, InstData::Loop { .. } | InstData::If { .. })
    }

    /// The regions this instruction owns.
    pub fn regions(&self) -> SmallVec<[Region; 2]> {
        match self {
            InstData::Loop { body, .. } => smallvec![*body],
            InstData::If { then, els, .. } => smallvec![*then, *els],
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Op(..)
            | InstData::Load(..)
            | InstData::Position(..)
            | InstData::Accum(..)
            | InstData::Reset(..)
            | InstData::Check(..)
            | InstData::Emit(_) => SmallVec::new(),
        }
    }

    /// True for the instructions that are there for their effect (loops and ifs may be too: see [`crate::walk`]).
    pub fn is_effect(&self) -> bool {
        matches!(self, InstData::Accum(..) | InstData::Reset(..) | InstData::Check(..) | InstData::Emit(_))
    }
}
