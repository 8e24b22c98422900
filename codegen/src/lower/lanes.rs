//! What a value is in code that runs several iterations side by side: the same for all, or one value a lane.
//!
//! # Problem
//! A loop over elements computes the same for every element. Taken `L` elements at a time, one vector instruction does the
//! work of several; but subscripts, truth values and calls stay scalar, and sums must not change their order.
//!
//! # Method
//! A [`Lanes`] stands for one IR value in `L` iterations. Double precision is packed two lanes to a vector; where most work is in single
//! precision, `L` is 4 and that is packed four lanes to a vector; everything else is one scalar a lane. Conversions happen where a value is
//! used: [`Lower::lane_value`] takes one lane out, [`Lower::packed`] makes vectors. So any operation can be lowered lane by lane, by the
//! same code that serves one lane, and those worth it in vectors.
//!
//! # Limits
//! `L` is a multiple of the lanes of a vector. Beside doubles, single precision is one scalar a lane.

use crate::error::Result;
use crate::lower::context::{Lower, clif_type};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::V128Imm;
use cranelift_codegen::ir::{Block, Endianness, InstBuilder, MemFlagsData, Type, Value as Clif, types};
use smallvec::{SmallVec, smallvec};
use spadina_ir::func::Value;
use spadina_ir::types::Ty;

/// Lanes in one vector of doubles.
pub(crate) const PER_VECTOR: usize = 2;
/// Lanes in one vector of single precision.
pub(crate) const PER_SINGLES: usize = 4;

/// Scalars, one a lane, or the vectors that they make.
pub(crate) type Clifs = SmallVec<[Clif; 2]>;

/// One value in every lane.
#[derive(Clone, Debug)]
pub(crate) enum Lanes {
    /// The same scalar in all lanes.
    Uniform(Clif),
    /// A scalar for each lane.
    Each(Clifs),
    /// Vectors of [`PER_VECTOR`] lanes in order: of doubles, or of masks (`I64X2`, all bits or none) for truth values. Or of
    /// [`PER_SINGLES`] lanes in single precision.
    Packed(Clifs),
}

/// How bitcasts see lanes.
pub(crate) fn little() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

impl Lower<'_, '_> {
    /// The vector type that lanes of a scalar type are packed into, if they are.
    pub(crate) fn vector_type(&self, ty: Ty) -> Option<Type> {
        match ty {
            Ty::F64 => Some(types::F64X2),
            Ty::F32 => self.singles.then_some(types::F32X4),
            Ty::Int | Ty::Bool => None,
        }
    }

    /// The type of a lowered value.
    pub(crate) fn clif_ty(&self, value: Clif) -> Type {
        self.b.func.dfg.value_type(value)
    }

    /// A value in the current lane.
    pub(crate) fn lane_value(&mut self, lanes: &Lanes) -> Clif {
        match lanes {
            Lanes::Uniform(clif) => *clif,
            Lanes::Each(each) => each[self.lane],
            Lanes::Packed(vectors) => {
                let per_vector = self.lanes / vectors.len();
                let vector = vectors[self.lane / per_vector];
                let lane = self.b.ins().extractlane(vector, (self.lane % per_vector) as u8);
                if self.clif_ty(vector) == types::I64X2 {
                    return self.b.ins().icmp_imm_s(IntCC::NotEqual, lane, 0);
                }
                lane
            }
        }
    }

    /// Floats or truth values in vectors.
    pub(crate) fn packed(&mut self, lanes: &Lanes) -> Clifs {
        match lanes {
            Lanes::Packed(vectors) => vectors.clone(),
            Lanes::Uniform(clif) => {
                let scalar = self.vector_scalar(*clif);
                let vector = self.vector_of(scalar);
                let all = self.b.ins().splat(vector, scalar);
                smallvec![all; self.lanes / vector.lane_count() as usize]
            }
            Lanes::Each(each) => {
                let single = each.first().is_some_and(|&scalar| self.clif_ty(scalar) == types::F32);
                let per_vector = if single { PER_SINGLES } else { PER_VECTOR };
                each.chunks(per_vector).map(|scalars| self.join(scalars)).collect()
            }
        }
    }

    /// One vector of as many scalars.
    pub(crate) fn join(&mut self, scalars: &[Clif]) -> Clif {
        let first = self.vector_scalar(scalars[0]);
        let ty = self.vector_of(first);
        let mut vector = self.b.ins().splat(ty, first);
        if scalars.iter().all(|&scalar| scalar == scalars[0]) {
            return vector;
        }
        for (lane, &scalar) in (1..).zip(&scalars[1..]) {
            let scalar = self.vector_scalar(scalar);
            vector = self.b.ins().insertlane(vector, scalar, lane);
        }
        vector
    }

    /// What stands for a scalar in a vector: truth values become masks.
    fn vector_scalar(&mut self, scalar: Clif) -> Clif {
        if self.clif_ty(scalar) == types::I8 { self.b.ins().bmask(types::I64, scalar) } else { scalar }
    }

    fn vector_of(&self, scalar: Clif) -> Type {
        match self.clif_ty(scalar) {
            types::F64 => types::F64X2,
            types::F32 => types::F32X4,
            _ => types::I64X2,
        }
    }

    /// Scalars, one a lane, in the form in which values of a type are kept.
    pub(crate) fn gather(&mut self, ty: Ty, scalars: Clifs) -> Lanes {
        match self.vector_type(ty) {
            Some(vector) => {
                let chunks = scalars.chunks(vector.lane_count() as usize);
                Lanes::Packed(chunks.map(|scalars| self.join(scalars)).collect())
            }
            None => Lanes::Each(scalars),
        }
    }

    /// Lowers something lane by lane.
    pub(crate) fn each(&mut self, ty: Ty, mut one: impl FnMut(&mut Self) -> Result<Clif>) -> Result<Lanes> {
        let mut scalars = Clifs::with_capacity(self.lanes);
        let before = (self.lane, self.wide);
        self.wide = false;
        for lane in 0..self.lanes {
            self.lane = lane;
            scalars.push(one(self)?);
        }
        (self.lane, self.wide) = before;
        Ok(self.gather(ty, scalars))
    }

    /// The low (or high) lanes of two vectors of doubles, side by side.
    pub(crate) fn halves(&mut self, a: Clif, b: Clif, high: bool) -> Clif {
        self.mix((a, high), (b, high))
    }

    /// A lane (the high one if so) of one vector of doubles beside a lane of another.
    pub(crate) fn mix(&mut self, (a, a_high): (Clif, bool), (b, b_high): (Clif, bool)) -> Clif {
        if a == b && !a_high && b_high {
            return a;
        }
        let known = self.halves[usize::from(a_high)][usize::from(b_high)];
        let mask = known.unwrap_or_else(|| {
            let byte = |n: u8| match n {
                0..8 => n + 8 * u8::from(a_high),
                _ => n + 8 + 8 * u8::from(b_high),
            };
            let bytes = std::array::from_fn(|n| byte(n as u8));
            self.b.func.dfg.immediates.push(V128Imm(bytes).into())
        });
        self.halves[usize::from(a_high)][usize::from(b_high)] = Some(mask);
        let a = self.b.ins().bitcast(types::I8X16, little(), a);
        let b = self.b.ins().bitcast(types::I8X16, little(), b);
        let mixed = self.b.ins().shuffle(a, b, mask);
        self.b.ins().bitcast(types::F64X2, little(), mixed)
    }

    /// Masks as wide as doubles, from those of single precision.
    pub(crate) fn widened_masks(&mut self, singles: &[Clif]) -> Clifs {
        let mut doubles = Clifs::with_capacity(2 * singles.len());
        for &four in singles {
            doubles.extend([0, 8].map(|start| {
                let bytes = std::array::from_fn(|n| start + 4 * (n as u8 / 8) + n as u8 % 4);
                self.bytes_of([four, four], bytes, types::I64X2)
            }));
        }
        doubles
    }

    /// Masks of single precision, from those as wide as doubles.
    pub(crate) fn narrowed_masks(&mut self, doubles: &[Clif]) -> Clifs {
        let bytes = std::array::from_fn(|n| 8 * (n as u8 / 4) + n as u8 % 4);
        doubles.chunks_exact(2).map(|pair| self.bytes_of([pair[0], pair[1]], bytes, types::I32X4)).collect()
    }

    /// Some bytes of two vectors, numbered one vector after the other.
    fn bytes_of(&mut self, vectors: [Clif; 2], bytes: [u8; 16], ty: Type) -> Clif {
        let mask = self.b.func.dfg.immediates.push(V128Imm(bytes).into());
        let [a, b] = vectors.map(|vector| self.b.ins().bitcast(types::I8X16, little(), vector));
        let mixed = self.b.ins().shuffle(a, b, mask);
        self.b.ins().bitcast(ty, little(), mixed)
    }

    /// Vectors of single precision as twice as many of doubles.
    pub(crate) fn widened(&mut self, singles: &[Clif]) -> Clifs {
        let mut doubles = Clifs::with_capacity(2 * singles.len());
        for &four in singles {
            let pairs = self.b.ins().bitcast(types::F64X2, little(), four);
            let high = self.halves(pairs, pairs, true);
            let high = self.b.ins().bitcast(types::F32X4, little(), high);
            doubles.extend([four, high].map(|two| self.b.ins().fvpromote_low(two)));
        }
        doubles
    }

    /// Vectors of doubles as half as many of single precision.
    pub(crate) fn narrowed(&mut self, doubles: &[Clif]) -> Clifs {
        let mut singles = Clifs::with_capacity(doubles.len() / 2);
        for pair in doubles.chunks_exact(2) {
            let mut rounded = Vec::with_capacity(2);
            for &two in pair {
                let two = self.b.ins().fvdemote(two);
                rounded.push(self.b.ins().bitcast(types::F64X2, little(), two));
            }
            let four = self.halves(rounded[0], rounded[1], false);
            singles.push(self.b.ins().bitcast(types::F32X4, little(), four));
        }
        singles
    }

    /// Two doubles of the current lane side by side, as memory keeps neighbors.
    pub(crate) fn side_by_side(&mut self, a: Value, b: Value) -> Result<Clif> {
        let (a, b) = (self.lanes_of(a)?, self.lanes_of(b)?);
        if matches!((&a, &b), (Lanes::Packed(_), _) | (_, Lanes::Packed(_))) {
            let (at, high) = (self.lane / PER_VECTOR, self.lane % PER_VECTOR == 1);
            let (a, b) = (self.packed(&a)[at], self.packed(&b)[at]);
            return Ok(self.halves(a, b, high));
        }
        let pair = [self.lane_value(&a), self.lane_value(&b)];
        Ok(self.join(&pair))
    }

    // ---- across blocks ----------------------------------------------------------------------------------------

    /// True for a value that differs between the lanes that are lowered together.
    pub(crate) fn varies(&self, value: Value) -> bool {
        self.wide && self.varying.contains(value)
    }

    /// Parameters of a block that receive a value like `like`.
    pub(crate) fn params(&mut self, block: Block, like: Value) -> Lanes {
        let ty = self.func.ty(like);
        if !self.varies(like) {
            return Lanes::Uniform(self.b.append_block_param(block, clif_type(ty)));
        }
        match self.vector_type(ty) {
            Some(vector) => {
                let count = self.lanes / vector.lane_count() as usize;
                Lanes::Packed((0..count).map(|_| self.b.append_block_param(block, vector)).collect())
            }
            None => Lanes::Each(
                (0..self.lanes).map(|_| self.b.append_block_param(block, clif_type(ty))).collect(),
            ),
        }
    }

    /// The arguments for [`Lower::params`] of a value like `like`.
    pub(crate) fn args(&mut self, lanes: &Lanes, like: Value) -> Clifs {
        if !self.varies(like) {
            return smallvec![self.lane_value(lanes)];
        }
        match self.vector_type(self.func.ty(like)) {
            Some(_) => self.packed(lanes),
            None => self.scalars(lanes),
        }
    }

    /// One scalar a lane.
    pub(crate) fn scalars(&mut self, lanes: &Lanes) -> Clifs {
        let before = self.lane;
        let mut scalars = Clifs::with_capacity(self.lanes);
        for lane in 0..self.lanes {
            self.lane = lane;
            scalars.push(self.lane_value(lanes));
        }
        self.lane = before;
        scalars
    }
}
