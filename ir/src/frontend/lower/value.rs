//! What an expression stands for while it is lowered: scalars in SSA values, small arrays of them, views of buffers.

use crate::func::{Buffer, Entries, Value};
use crate::types::{SizeExpr, Ty};

/// Small arrays hold at most so many scalars in SSA values.
pub(super) const MAX_SMALL: usize = 256;

/// A scalar that is a number or a truth value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Num {
    pub(super) value: Value,
    pub(super) ty: Ty,
    /// Written as a literal: takes the type of what it meets.
    pub(super) literal: bool,
}

/// What an expression stands for.
#[derive(Clone, Debug)]
pub(super) enum Val {
    Num(Num),
    /// Real and imaginary part, both `F64`.
    Complex(Value, Value),
    Array(Small),
    Tuple(Vec<Val>),
    View(View),
    /// Reported already; silences what follows from it.
    Error,
}

impl Val {
    /// All scalars of a value, in order.
    pub(super) fn scalars(&self) -> Vec<Value> {
        match self {
            Self::Num(num) => vec![num.value],
            Self::Complex(re, im) => vec![*re, *im],
            Self::Array(Small { items: parts, .. }) | Self::Tuple(parts) => {
                parts.iter().flat_map(Self::scalars).collect()
            }
            Self::View(_) | Self::Error => Vec::new(),
        }
    }

    /// The types of its scalars, in order.
    pub(super) fn types(&self) -> Vec<Ty> {
        match self {
            Self::Num(num) => vec![num.ty],
            Self::Complex(..) => vec![Ty::F64; 2],
            Self::Array(Small { items: parts, .. }) | Self::Tuple(parts) => {
                parts.iter().flat_map(Self::types).collect()
            }
            Self::View(_) | Self::Error => Vec::new(),
        }
    }

    /// A value of the same shape with other scalars.
    pub(super) fn with(&self, scalars: &mut impl Iterator<Item = Value>) -> Self {
        match self {
            Self::Num(num) => match scalars.next() {
                Some(value) => Self::Num(Num { value, ty: num.ty, literal: false }),
                None => Self::Error,
            },
            Self::Complex(..) => match (scalars.next(), scalars.next()) {
                (Some(re), Some(im)) => Self::Complex(re, im),
                _ => Self::Error,
            },
            Self::Array(small) => {
                let items = small.items.iter().map(|item| item.with(scalars)).collect();
                Self::Array(Small { dims: small.dims.clone(), items })
            }
            Self::Tuple(parts) => Self::Tuple(parts.iter().map(|part| part.with(scalars)).collect()),
            Self::View(_) | Self::Error => Self::Error,
        }
    }

    /// Does it hold an error or an array in memory: nothing that could be a result of a loop or a branch?
    pub(super) fn is_loose(&self) -> bool {
        match self {
            Self::Num(_) | Self::Complex(..) => false,
            Self::Array(Small { items: parts, .. }) | Self::Tuple(parts) => parts.iter().any(Self::is_loose),
            Self::View(_) | Self::Error => true,
        }
    }

    /// An array of equal entries.
    pub(super) fn filled(dims: Vec<usize>, item: &Self) -> Self {
        let count = dims.iter().product();
        Self::Array(Small { dims, items: vec![item.clone(); count] })
    }
}

/// A vector, matrix or other array of literal dimensions, in SSA values, row-major.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pub(super) dims: Vec<usize>,
    /// Each a `Num` or a `Complex`.
    pub(super) items: Vec<Val>,
}

/// One axis of a buffer as seen through a view.
#[derive(Clone, Debug)]
pub(super) enum Axis {
    /// Subscripted.
    Fixed(Value),
    /// Still open; subscript 0 stands for entry `offset`.
    Free { dim: SizeExpr, offset: Option<Value> },
}

/// What the entries of a view are.
#[derive(Clone, Debug)]
pub(super) enum Elem {
    Scalar(Buffer, Ty),
    /// A pair: the last axis of the buffer, not listed among the axes.
    Complex(Buffer),
    Record {
        name: String,
        fields: Vec<Field>,
    },
}

/// One field of an array of records: a buffer of its own.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) elem: Elem,
    pub(super) dims: Vec<SizeExpr>,
}

/// A part of an array that lives in a buffer.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// For messages.
    pub(super) name: String,
    pub(super) elem: Elem,
    pub(super) axes: Vec<Axis>,
}

impl View {
    /// The whole of a buffer.
    pub(super) fn whole(name: &str, elem: Elem, dims: &[SizeExpr]) -> Self {
        let axes = dims.iter().map(|dim| Axis::Free { dim: dim.clone(), offset: None }).collect();
        Self { name: name.to_owned(), elem, axes }
    }

    /// Dimensions of the axes that are not subscripted yet.
    pub(super) fn dims(&self) -> Vec<SizeExpr> {
        let free = |axis: &Axis| match axis {
            Axis::Free { dim, .. } => Some(dim.clone()),
            Axis::Fixed(_) => None,
        };
        self.axes.iter().filter_map(free).collect()
    }

    /// Literal dimensions of the open axes, if all of them are and the array is small.
    pub(super) fn small_dims(&self) -> Option<Vec<usize>> {
        let dims: Option<Vec<usize>> =
            self.dims().iter().map(|dim| dim.as_constant().and_then(|n| usize::try_from(n).ok())).collect();
        dims.filter(|dims| {
            dims.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).is_some_and(|n| n <= MAX_SMALL)
        })
    }

    /// The position of the open axis that comes after `skip` others.
    pub(super) fn free_axis(&self, skip: usize) -> Option<usize> {
        let free = self.axes.iter().enumerate().filter(|(_, axis)| matches!(axis, Axis::Free { .. }));
        free.map(|(at, _)| at).nth(skip)
    }
}

/// The base of a type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Base {
    Scalar(Ty),
    Complex,
    Record(String),
}

/// A type with its dimensions evaluated; `vec3[V]` is a scalar base with dimensions `V, 3`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TypeSpec {
    pub(super) base: Base,
    pub(super) dims: Vec<SizeExpr>,
    pub(super) entries: Entries,
}
