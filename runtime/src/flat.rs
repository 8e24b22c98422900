//! A plan as one flat buffer, and back: to keep it in a file, send it to another process, or hand it to a native object.
//!
//! The format is that of [`spadina_layout::plan`]. Header section: rows, columns, row positions, record mode (0 entries,
//! 1 blocks), offset bytes, whether there are drops (bit 0) and values are stored (bit 1), and the site number of each slot section in order. Frozen arrays are not in it: whoever
//! reads a plan binds them again.

use crate::assemble::Slots;
use crate::corner::places;
use crate::csr::Pattern;
use crate::error::RuntimeError;
use crate::plan::{Plan, PlanSite, next_serial};
use crate::prepare::{Inputs, freeze};
use crate::program::IndexProgram;
use spadina_layout::error::LayoutError;
use spadina_layout::plan::{Kind, PlanReader, PlanWriter, Section};
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const FIXED_WORDS: usize = 6;

impl Plan {
    /// The plan as one flat buffer.
    pub fn to_words(&self) -> Vec<u64> {
        let mut writer = PlanWriter::new();
        let mut header = vec![
            self.pattern.rows() as u64,
            self.pattern.cols() as u64,
            self.row_positions as u64,
            u64::from(self.layout.mode == SlotMode::Block),
            self.layout.width.bytes() as u64,
            u64::from(self.layout.drops) | u64::from(self.layout.stores) << 1,
        ];
        header.extend(self.sites.iter().map(|s| u64::from(s.site)));
        writer.put_u64(Kind::Header, &header);
        let as_words = |list: &[i64]| list.iter().map(|&x| x as u64).collect::<Vec<u64>>();
        writer.put_u64(Kind::Sizes, &as_words(&self.sizes));
        writer.put_u64(Kind::Trips, &as_words(&self.trips));
        writer.put_u32(Kind::RowPtr, self.pattern.row_ptr());
        writer.put_u32(Kind::ColIdx, self.pattern.col_idx());
        writer.put_u32(Kind::RowStart, &self.row_start);
        writer.put_u32(Kind::Identity, &self.identity);
        for site in &self.sites {
            match &site.slots {
                Slots::U8(data) => writer.put_u8(Kind::Slots, data),
                Slots::U16(data) => writer.put_u16(Kind::Slots, data),
                Slots::U32(data) => writer.put_u32(Kind::Slots, data),
            }
            writer.put_u32(Kind::SiteFirst, &site.first);
        }
        writer.finish()
    }

    /// A plan from [`Plan::to_words`], for the same program and inputs. The buffer is checked: header, hash, lengths, pattern.
    pub fn from_words(
        words: &[u64],
        program: &dyn IndexProgram,
        inputs: Inputs<'_>,
    ) -> Result<Plan, RuntimeError> {
        let reader = PlanReader::new(words)?;
        let header: Vec<u64> = reader.section(Kind::Header, 0)?.iter().collect();
        let (&[rows, cols, row_positions, mode, bytes, drops], site_numbers) =
            header.split_first_chunk::<FIXED_WORDS>().ok_or(bad("header"))?;
        let width = [SlotWidth::U8, SlotWidth::U16, SlotWidth::U32];
        let width = width.into_iter().find(|w| w.bytes() as u64 == bytes).ok_or(bad("offset width"))?;
        let mode = if mode == 1 { SlotMode::Block } else { SlotMode::Entry };
        let layout = SlotLayout { mode, width, drops: drops & 1 != 0, stores: drops & 2 != 0 };
        let list = |kind| -> Result<Vec<u32>, LayoutError> {
            Ok(reader.section(kind, 0)?.iter().map(|x| x as u32).collect())
        };
        let pattern = Pattern::new(rows as usize, cols as usize, list(Kind::RowPtr)?, list(Kind::ColIdx)?);
        let sizes: Vec<i64> = reader.section(Kind::Sizes, 0)?.iter().map(|x| x as i64).collect();
        let info = program.info().clone();
        if sizes != inputs.sizes
            || row_positions != inputs.rows as u64
            || program.env_layout().sites != info.sites
        {
            return Err(RuntimeError::Mismatch("plan and inputs"));
        }
        let sites = site_numbers.iter().enumerate().map(|(n, &site)| {
            let slots = read_slots(&reader.section(Kind::Slots, n)?, width)?;
            let first = reader.section(Kind::SiteFirst, n)?.iter().map(|x| x as u32).collect();
            Ok(PlanSite { site: site as u32, slots, first })
        });
        let sites = sites.collect::<Result<Vec<PlanSite>, LayoutError>>()?;
        let mut plan = Plan {
            serial: next_serial(),
            env_layout: program.env_layout(),
            info,
            sizes,
            frozen: freeze(&inputs.buffers, inputs.arrays)?,
            buffers: inputs.buffers,
            trips: reader.section(Kind::Trips, 0)?.iter().map(|x| x as i64).collect(),
            row_positions: inputs.rows,
            pattern: Arc::new(pattern.ok_or(bad("pattern"))?),
            row_start: list(Kind::RowStart)?,
            cleared: None,
            gaps: Vec::new(),
            frontiers: Vec::new(),
            corner: Vec::new(),
            identity: list(Kind::Identity)?,
            sites,
            layout,
            partitions: Mutex::new(BTreeMap::new()),
            made_for: None,
        };
        plan.check_shape()?;
        plan.corner = places(&plan)?;
        Ok(plan)
    }

    /// Whether all lists have the lengths that the program implies, and point inside the matrix.
    fn check_shape(&self) -> Result<(), LayoutError> {
        let nnz = self.pattern.nnz() as u32;
        let starts = if self.row_start.is_empty() { self.pattern.rows() } else { self.row_start.len() };
        let counted =
            self.trips.len() == self.info.phases.len() && self.trips.iter().all(|t| (0..1 << 31).contains(t));
        if !counted || starts != self.row_positions || self.row_start.iter().any(|&s| s > nnz) {
            return Err(bad("trips or rows"));
        }
        if self.identity.iter().any(|&at| at >= nnz) {
            return Err(bad("identity rows"));
        }
        let sites =
            self.info.phases.iter().enumerate().flat_map(|(p, f)| f.sites.iter().map(move |s| (p, s)));
        let expected = sites.filter(|(_, s)| !s.direct);
        if expected.clone().count() != self.sites.len() {
            return Err(bad("sites"));
        }
        for ((phase, info), site) in expected.zip(&self.sites) {
            let trip = self.trips[phase] as usize;
            let emissions = match info.per_iteration {
                Some(count) => trip.checked_mul(count as usize),
                None if site.first.len() == trip + 1 && site.first.is_sorted() => {
                    site.first.last().map(|&e| e as usize)
                }
                None => None,
            };
            let expected = emissions.and_then(|e| e.checked_mul(self.layout.record_len(&info.shape)));
            if site.site != info.site || expected != Some(site.slots.len()) {
                return Err(bad("slot records"));
            }
        }
        Ok(())
    }
}

fn bad(what: &'static str) -> LayoutError {
    LayoutError::Plan(what)
}

fn read_slots(section: &Section<'_>, width: SlotWidth) -> Result<Slots, LayoutError> {
    if section.bytes != width.bytes() {
        return Err(bad("slot width"));
    }
    Ok(match width {
        SlotWidth::U8 => Slots::U8(section.iter().map(|x| x as u8).collect()),
        SlotWidth::U16 => Slots::U16(section.iter().map(|x| x as u16).collect()),
        SlotWidth::U32 => Slots::U32(section.iter().map(|x| x as u32).collect()),
    })
}
