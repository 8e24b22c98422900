//! From all unknowns to the rows and columns that were asked for: fixed unknowns, triangles, storage.
//!
//! Structural programs drop entries where they are emitted. On the other roads the whole matrix is computed and gathered from; the
//! result is the same.

use crate::bind::{Bound, number};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::options::{Assembly, Fixed, FixedRule, Triangle};
use spadina_ir::func::{Buffer, Func};
use spadina_layout::filter::{DROPPED, Filter};
use spadina_runtime::array::OwnedArray;
use spadina_runtime::csr::Pattern;
use spadina_runtime::options::PrepareOptions;
use spadina_runtime::select::{ONE, ZERO, gather, select};
use spadina_runtime::storage::Storage;
use std::sync::Arc;

/// The unknowns (or results) that rows or columns stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    /// All of them.
    positions: usize,
    /// Those that do not move, ascending.
    fixed: Vec<u32>,
    rule: FixedRule,
    /// The position of each row or column; empty where all have one.
    free: Vec<u32>,
}

impl Side {
    /// All of so many.
    pub(crate) fn all(positions: usize) -> Side {
        Side { positions, ..Side::default() }
    }

    /// Some arrays of unknowns without those that are fixed by attributes and, if `listed`, by options.
    ///
    /// # Errors
    /// [`Error::Data`]: masks that do not fit, numbers that no unknown has. [`Error::Usage`]: names that no unknown has.
    pub(crate) fn unknowns(
        kernel: &Kernel,
        func: &Func,
        bound: &Bound,
        buffers: &[Buffer],
        assembly: &Assembly,
    ) -> Result<Side, Error> {
        let mut mask = Mask { starts: Vec::new(), fixed: Vec::new() };
        for &buffer in buffers {
            mask.starts.push((buffer, mask.fixed.len()));
            mask.fixed.resize(mask.fixed.len() + bound.len_of(&func.buffers[buffer])?, false);
        }
        mask.attributes(kernel, func, bound)?;
        for fixed in &assembly.fixed {
            mask.option(kernel, func, bound, fixed)?;
        }
        Ok(Side::new(&mask.fixed, assembly.fixed_rule))
    }

    /// All unknowns but the marked ones.
    pub(crate) fn new(mask: &[bool], rule: FixedRule) -> Side {
        let numbers = |value: bool| (0..).zip(mask).filter(move |&(_, &f)| f == value).map(|(n, _)| n);
        let fixed: Vec<u32> = numbers(true).collect();
        let drops = !fixed.is_empty() && rule == FixedRule::Drop;
        let free = if drops { numbers(false).collect() } else { Vec::new() };
        Side { positions: mask.len(), fixed, rule, free }
    }

    /// Those that do not move.
    pub(crate) fn fixed(&self) -> &[u32] {
        &self.fixed
    }

    /// The same rows or columns of `buffers` among all unknowns of `func`: the others are dropped.
    pub(crate) fn within(&self, func: &Func, bound: &Bound, buffers: &[Buffer]) -> Result<Side, Error> {
        let (mut mask, mut own) = (Vec::new(), 0_u32);
        for &buffer in &func.columns {
            let inside = buffers.contains(&buffer);
            for _ in 0..bound.len_of(&func.buffers[buffer])? {
                mask.push(!inside || self.fixed.binary_search(&own).is_ok());
                own += u32::from(inside);
            }
        }
        Ok(Side::new(&mask, FixedRule::Drop))
    }

    fn drops(&self) -> bool {
        !self.fixed.is_empty() && self.rule == FixedRule::Drop
    }

    /// Whether anything is fixed.
    pub(crate) fn moves(&self) -> bool {
        !self.fixed.is_empty()
    }

    /// Rows or columns.
    pub(crate) fn len(&self) -> usize {
        if self.drops() { self.free.len() } else { self.positions }
    }

    /// All unknowns, the fixed ones too.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// The unknown that a row or column stands for.
    pub(crate) fn position(&self, number: usize) -> usize {
        if self.drops() { self.free.get(number).map_or(self.positions, |&p| p as usize) } else { number }
    }

    /// What the runtime drops or keeps at prepare.
    pub(crate) fn prepare_options(&self, triangle: Triangle) -> PrepareOptions {
        PrepareOptions {
            triangle,
            fixed: self.fixed.clone(),
            fixed_rule: self.rule,
            ..PrepareOptions::default()
        }
    }

    /// The number of each position; fixed ones have none.
    fn map(&self) -> Option<Vec<u32>> {
        if self.fixed.is_empty() {
            return None;
        }
        let mut map: Vec<u32> = (0..self.positions as u32).collect();
        if self.drops() {
            map.fill(DROPPED);
            for (number, &position) in (0..).zip(&self.free) {
                map[position as usize] = number;
            }
        }
        for &position in &self.fixed {
            map[position as usize] = DROPPED;
        }
        Some(map)
    }

    /// From all unknowns to rows or columns. Fixed ones that stay are zero.
    pub(crate) fn reduce(&self, all: &[f64], to: &mut [f64]) {
        if self.drops() {
            to.iter_mut().zip(&self.free).for_each(|(to, &p)| *to = all[p as usize]);
            return;
        }
        to.copy_from_slice(all);
        for &position in &self.fixed {
            to[position as usize] = 0.0;
        }
    }

    /// From rows or columns to all unknowns. Fixed ones are zero.
    pub(crate) fn expand(&self, from: &[f64], all: &mut [f64]) {
        if self.drops() {
            all.fill(0.0);
            from.iter().zip(&self.free).for_each(|(&x, &p)| all[p as usize] = x);
            return;
        }
        all.copy_from_slice(from);
        for &position in &self.fixed {
            all[position as usize] = 0.0;
        }
    }

    /// What the identity, in the place of fixed rows and columns, adds to a product.
    pub(crate) fn keep(&self, direction: &[f64], product: &mut [f64]) {
        if !self.drops() {
            for &position in &self.fixed {
                product[position as usize] = direction[position as usize];
            }
        }
    }
}

/// Which unknowns are fixed.
struct Mask {
    /// Where each array starts.
    starts: Vec<(Buffer, usize)>,
    fixed: Vec<bool>,
}

impl Mask {
    fn attributes(&mut self, kernel: &Kernel, func: &Func, bound: &Bound) -> Result<(), Error> {
        for param in kernel.lowered().params.iter().filter(|param| !param.fixed.is_empty()) {
            let masks = param.fixed.iter().filter_map(|&mask| match bound.arrays[number(mask)].as_deref() {
                Some(OwnedArray::Bool(mask)) => Some(&mask[..]),
                _ => None,
            });
            let masks: Vec<&[bool]> = masks.collect();
            for (n, &buffer) in param.buffers.iter().enumerate() {
                let name = &func.buffers[buffer].name;
                match &masks[..] {
                    [mask] => self.leading(bound, func, buffer, mask)?,
                    _ if param.buffers.len() > 1 && masks.len() == param.buffers.len() => {
                        self.leading(bound, func, buffer, masks[n])?;
                    }
                    _ => self.components(name, buffer, bound.len_of(&func.buffers[buffer])?, &masks)?,
                }
            }
        }
        Ok(())
    }

    fn start(&self, buffer: Buffer) -> Option<usize> {
        self.starts.iter().find(|(b, _)| *b == buffer).map(|&(_, start)| start)
    }

    /// One truth value for each element, or for each element of the leading axes.
    fn leading(&mut self, bound: &Bound, func: &Func, buffer: Buffer, mask: &[bool]) -> Result<(), Error> {
        let Some(start) = self.start(buffer) else { return Ok(()) };
        let data = &func.buffers[buffer];
        let len = bound.len_of(data)?;
        let extents =
            data.dims.iter().map(|d| bound.eval(d).and_then(|n| usize::try_from(n).ok()).unwrap_or(0));
        let mut leading = vec![1];
        for extent in extents {
            leading.push(leading[leading.len() - 1] * extent);
        }
        // Without axes one truth value is all.
        let fits = leading[usize::from(leading.len() > 1)..].contains(&mask.len());
        if !fits {
            let (name, found) = (&data.name, mask.len());
            return Err(Error::Data(format!(
                "the mask of `{name}` has {found} elements; it needs one for each of its {len}, or for each element of its leading axes"
            )));
        }
        let width = if mask.is_empty() { 0 } else { len / mask.len() };
        for (n, _) in mask.iter().enumerate().filter(|(_, fixed)| **fixed) {
            self.fixed[start + n * width..start + (n + 1) * width].fill(true);
        }
        Ok(())
    }

    /// One mask for each component: the last axis.
    fn components(&mut self, name: &str, buffer: Buffer, len: usize, masks: &[&[bool]]) -> Result<(), Error> {
        let Some(start) = self.start(buffer) else { return Ok(()) };
        let count = masks.len();
        if masks.iter().any(|mask| mask.len() * count != len) {
            return Err(Error::Data(format!(
                "`{name}` has {len} elements, which {count} masks, one for each component, do not fit"
            )));
        }
        for (component, mask) in masks.iter().enumerate() {
            for (n, _) in mask.iter().enumerate().filter(|(_, fixed)| **fixed) {
                self.fixed[start + n * count + component] = true;
            }
        }
        Ok(())
    }

    fn option(&mut self, kernel: &Kernel, func: &Func, bound: &Bound, fixed: &Fixed) -> Result<(), Error> {
        let unknowns = self.fixed.len();
        match fixed {
            Fixed::List(list) => {
                for &position in list {
                    let place = self.fixed.get_mut(position);
                    *place.ok_or_else(|| {
                        Error::Data(format!(
                            "unknown {position} cannot be fixed: there are {unknowns}, from 0"
                        ))
                    })? = true;
                }
                Ok(())
            }
            Fixed::Mask(mask) => match &self.starts[..] {
                &[(buffer, _)] => self.leading(bound, func, buffer, mask),
                _ if mask.len() == unknowns => {
                    self.fixed.iter_mut().zip(mask).for_each(|(to, &fixed)| *to |= fixed);
                    Ok(())
                }
                _ => {
                    let found = mask.len();
                    Err(Error::Data(format!(
                        "the mask has {found} elements, but there are {unknowns} unknowns"
                    )))
                }
            },
            Fixed::Of(name, mask) => {
                let buffer = func.buffer_named(name).filter(|&b| self.start(b).is_some());
                let buffer = buffer.ok_or_else(|| {
                    let known: Vec<&str> =
                        self.starts.iter().map(|&(b, _)| func.buffers[b].name.as_str()).collect();
                    let (kernel, known) = (kernel.name(), known.join(", "));
                    Error::Usage(format!("`{kernel}` has no unknown `{name}` to fix (there are: {known})"))
                })?;
                self.leading(bound, func, buffer, mask)
            }
        }
    }
}

/// The matrix that was asked for, and where its values come from.
#[derive(Clone, Debug)]
pub(crate) struct Assembled {
    /// By rows.
    pub(crate) pattern: Arc<Pattern>,
    pub(crate) storage: Arc<Storage>,
    /// For each value its place in the values of the road; `None` where they are the same.
    pub(crate) sources: Option<Arc<Vec<u32>>>,
}

impl Assembled {
    /// No matrix.
    pub(crate) fn none() -> Assembled {
        Assembled { pattern: Arc::default(), storage: Arc::new(Storage::empty()), sources: None }
    }

    /// From the pattern that a road gives: `filtered` where only what is asked for is in it.
    ///
    /// # Errors
    /// Storage that does not fit the matrix.
    pub(crate) fn new(
        road: &Arc<Pattern>,
        filtered: bool,
        (rows, cols): (&Side, &Side),
        assembly: &Assembly,
        old: Option<&Assembled>,
    ) -> Result<Assembled, Error> {
        let plain = !rows.moves() && !cols.moves() && assembly.triangle == Triangle::Full;
        let (mut pattern, mut sources) = (Arc::clone(road), None);
        if !filtered && !plain {
            let (row_map, col_map) = (rows.map(), cols.map());
            let filter = Filter {
                row_map: row_map.as_deref(),
                col_map: col_map.as_deref(),
                row_positions: rows.positions(),
                col_positions: cols.positions(),
                rows: rows.len(),
                cols: cols.len(),
                triangle: assembly.triangle,
            };
            let mut forced = Vec::new();
            if assembly.fixed_rule == FixedRule::Identity && rows.moves() {
                forced.resize(rows.len(), false);
                rows.fixed.iter().for_each(|&row| forced[row as usize] = true);
            }
            let (found, places) = select(road, &filter, &forced)?;
            (pattern, sources) = (Arc::new(found), Some(places));
        }
        if let Some(old) = old.filter(|old| *old.pattern == *pattern) {
            pattern = Arc::clone(&old.pattern);
        }
        let (storage, order) = Storage::new(&pattern, assembly.format, assembly.width)?;
        let sources = match (sources, order) {
            (None, order) => order,
            (places, None) => places,
            (Some(places), Some(order)) => {
                let place = |&at: &u32| places.get(at as usize).copied().unwrap_or(ZERO);
                Some(order.iter().map(place).collect())
            }
        };
        debug_assert!(
            sources
                .as_ref()
                .is_none_or(|s| s.iter().all(|&p| p == ONE || p == ZERO || (p as usize) < road.nnz()))
        );
        Ok(Assembled { pattern, storage: Arc::new(storage), sources: sources.map(Arc::new) })
    }

    /// Overwrites the values from those of the road.
    pub(crate) fn gather(&self, road: &[f64], matrix: &mut [f64]) {
        match &self.sources {
            Some(sources) => gather(sources, road, matrix),
            None => matrix.copy_from_slice(road),
        }
    }
}
