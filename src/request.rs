//! What a program is made for, beside the kernel and the derivative.

use crate::options::{Derivative, Options};
use spadina_passes::pipeline::Nesting;

/// Unknowns, weights, and what is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request<'a> {
    /// Names of the unknowns that give columns; all variables where there are none.
    pub(crate) wrt: Option<&'a [String]>,
    /// Names of the unknowns that give the rows of a Hessian, where these are not its columns: a mixed block.
    pub(crate) rows: Option<&'a [String]>,
    /// Whether results have weights, the multipliers of a Lagrangian, instead of counting once each.
    pub(crate) weighted: bool,
    /// Outputs beside the matrix that nobody asks for.
    pub(crate) without: Without,
    /// In which order a Hessian product is differentiated.
    pub(crate) nesting: Nesting,
}

/// Outputs beside the matrix that a program does not compute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Without {
    pub(crate) results: bool,
    pub(crate) gradient: bool,
}

impl<'a> Request<'a> {
    /// Everything, with respect to these unknowns.
    pub(crate) fn by(wrt: Option<&'a [String]>) -> Request<'a> {
        Request { wrt, ..Request::default() }
    }

    /// What the options ask for.
    pub(crate) fn of(options: &'a Options) -> Request<'a> {
        Request {
            wrt: options.wrt.as_deref(),
            rows: options.rows.as_deref(),
            weighted: options.derivative == Derivative::Lagrangian,
            without: Without { results: !options.value, gradient: !options.gradient },
            nesting: options.mode.nesting(),
        }
    }
}
