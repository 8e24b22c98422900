//! Running the index program: trips, counts, and the streams of all sites.

use crate::buffer::BufferSpec;
use crate::error::RuntimeError;
use crate::program::IndexProgram;
use crate::room::Room;
use crate::team::Team;
use spadina_layout::abi::ErrorRecord;
use spadina_layout::blocks::Stream;
use spadina_layout::env::Env;
use spadina_layout::program::SiteInfo;
use spadina_layout::site::SiteShape;
use std::ops::Range;

/// Most positions of all streams together: 8 GB. Problems of 10^8 unknowns with some ten entries a row stay below; a matrix beyond is
/// most likely a full one that nobody meant.
const MOST_POSITIONS: u64 = 1 << 31;

/// What one site emits.
#[derive(Clone, PartialEq, Debug)]
pub struct SiteStream {
    /// The number of the site.
    pub site: u32,
    /// The phase it stands in.
    pub phase: usize,
    /// Whether it carries matrix entries (else it only names rows).
    pub matrix: bool,
    /// Whether each emission stores complete rows.
    pub direct: bool,
    /// The shape of an emission.
    pub shape: SiteShape,
    /// Base positions, [`SiteShape::stream_width`] per emission.
    pub bases: Vec<u32>,
    /// Number of emissions.
    pub emissions: usize,
    /// Emissions per iteration where that is fixed.
    pub per_iteration: Option<u32>,
    /// First emission of each iteration (and the end) where it is not.
    pub first: Vec<u32>,
}

impl SiteStream {
    /// The emissions of an iteration.
    #[inline]
    pub fn emissions_of(&self, iteration: usize) -> Range<usize> {
        match self.per_iteration {
            Some(count) => iteration * count as usize..(iteration + 1) * count as usize,
            None => self.first[iteration] as usize..self.first[iteration + 1] as usize,
        }
    }

    /// The stream as the sorting routines take it.
    pub fn view(&self) -> Stream<'_> {
        Stream { shape: &self.shape, bases: &self.bases, emissions: self.emissions }
    }
}

/// Outer iterations of every phase; negative trips count as none.
pub fn run_trips(program: &dyn IndexProgram, env: &Env) -> Result<Vec<i64>, RuntimeError> {
    let mut trips = vec![0; program.info().phases.len()];
    program.trips(env, &mut trips);
    for (phase, trip) in trips.iter_mut().enumerate() {
        *trip = (*trip).max(0);
        if *trip >= 1 << 31 {
            return Err(RuntimeError::Trip { phase, trip: *trip });
        }
    }
    Ok(trips)
}

/// The streams of all sites, by phase, matrix sites before row sites. Checks every subscript on the way.
pub fn run_index(
    program: &dyn IndexProgram,
    buffers: &[BufferSpec],
    env: &mut Env,
    trips: &[i64],
    shape: (usize, usize),
    team: Team<'_>,
) -> Result<Vec<SiteStream>, RuntimeError> {
    let layout = env.layout();
    let (mut taken, room) = (Taken::default(), Room::default());
    let mut record = [ErrorRecord::default()];
    let mut streams = Vec::new();
    for (phase, info) in program.info().phases.iter().enumerate() {
        let trip = trips[phase];
        let sites = || info.sites.iter().map(|s| (s, true)).chain(info.row_sites.iter().map(|s| (s, false)));
        let unknown = sites().any(|(s, _)| s.per_iteration.is_none());
        let counts = if unknown {
            env.set_slice_mut(layout.error(), &mut record);
            let widths: Vec<usize> = sites().map(|(site, _)| site.shape.stream_width()).collect();
            match count(program, phase, env, trip, &widths)? {
                Some(counts) => counts,
                None => return Err(refused(&record[0], buffers)),
            }
        } else {
            Vec::new()
        };
        let start = streams.len();
        let counts = |k: usize| counts.get(k * trip as usize..(k + 1) * trip as usize).unwrap_or(&[]);
        for (k, (site, matrix)) in sites().enumerate() {
            taken.add(site, matrix, trip, counts(k));
        }
        taken.check(shape, &room)?;
        for (k, (site, matrix)) in sites().enumerate() {
            let counts = counts(k);
            streams.push(allocate(site, phase, matrix, trip, counts)?);
        }
        for stream in &mut streams[start..] {
            env.set_slice_mut(layout.site_data(stream.site as usize), &mut stream.bases);
            let first = if stream.per_iteration.is_none() { &stream.first[..] } else { &[] };
            match first {
                [] => env.set(layout.site_first(stream.site as usize), 0),
                first => env.set_slice(layout.site_first(stream.site as usize), first),
            }
        }
        index_phase(program, phase, env, trip, info.serial, team)
            .map_err(|found| refused(&found, buffers))?;
    }
    Ok(streams)
}

/// Emissions of each site in each iteration, site by site; `None` after an error. Once there are more positions than can be, the rest is not
/// counted: a full matrix is refused in the time that a part of it takes.
fn count(
    program: &dyn IndexProgram,
    phase: usize,
    env: &Env,
    trip: i64,
    widths: &[usize],
) -> Result<Option<Vec<u32>>, RuntimeError> {
    /// Most iterations that are counted at a time.
    const MOST: usize = 1 << 16;
    let trip = trip as usize;
    let mut counts = vec![0; widths.len().checked_mul(trip).ok_or(TOO_MANY)?];
    let (mut begin, mut length, mut positions) = (0, 1, 0);
    while begin < trip && positions <= MOST_POSITIONS {
        let end = (begin + length).min(trip);
        let mut part = vec![0; widths.len() * (end - begin)];
        if !program.count(phase, env, begin as i64..end as i64, &mut part) {
            return Ok(None);
        }
        for ((site, part), &width) in part.chunks_exact(end - begin).enumerate().zip(widths) {
            counts[site * trip + begin..site * trip + end].copy_from_slice(part);
            let emissions: u64 = part.iter().map(|&count| u64::from(count)).sum();
            positions = emissions.saturating_mul(width as u64).saturating_add(positions);
        }
        (begin, length) = (end, (2 * length).min(MOST));
    }
    Ok(Some(counts))
}

/// Writes the streams of a phase, the iterations shared by the team unless they depend on each other. The first wrong subscript in the
/// order of iterations is the error.
fn index_phase(
    program: &dyn IndexProgram,
    phase: usize,
    env: &mut Env,
    trip: i64,
    serial: bool,
    team: Team<'_>,
) -> Result<(), ErrorRecord> {
    /// Iterations that are worth handing over.
    const LEAST: i64 = 2048;
    let pieces = if serial { 1 } else { (team.members() as i64).min(trip / LEAST).max(1) };
    let ranges = (0..pieces).map(|piece| trip * piece / pieces..trip * (piece + 1) / pieces);
    let env = &*env;
    let run = |range| {
        let (mut env, mut record) = (env.clone(), [ErrorRecord::default()]);
        env.set_slice_mut(env.layout().error(), &mut record);
        if program.index(phase, &env, range) { Ok(()) } else { Err(record[0]) }
    };
    team.map(ranges.collect(), run).into_iter().collect()
}

/// What the streams so far take, and what must follow from them.
#[derive(Clone, Copy, Default, Debug)]
struct Taken {
    emissions: u64,
    positions: u64,
    /// No more than will be allocated.
    bytes: u64,
}

impl Taken {
    fn add(&mut self, site: &SiteInfo, matrix: bool, trip: i64, counts: &[u32]) {
        let emissions = match site.per_iteration {
            Some(count) => (trip as u64).saturating_mul(u64::from(count)),
            None => counts.iter().map(|&count| u64::from(count)).sum(),
        };
        let positions = emissions.saturating_mul(site.shape.stream_width() as u64);
        // An emission has a reference and an offset or more; complete rows have columns and values.
        let further = match (matrix, site.direct) {
            (false, _) => 0,
            (true, false) => 4 + 1,
            (true, true) => (4 + 8) * site.shape.entries.len() as u64,
        };
        self.emissions = self.emissions.saturating_add(emissions);
        self.positions = self.positions.saturating_add(positions);
        let bytes = positions.saturating_mul(4).saturating_add(emissions.saturating_mul(further));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn check(&self, (rows, cols): (usize, usize), room: &Room) -> Result<(), RuntimeError> {
        let limit = if self.positions > MOST_POSITIONS {
            format!("{MOST_POSITIONS} are allowed")
        } else if !room.holds(self.bytes) {
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            let free = gigabytes(room.known().unwrap_or(u64::MAX));
            format!("{:.1} GB or more, of which {free:.1} GB are free", gigabytes(self.bytes))
        } else {
            return Ok(());
        };
        let Taken { emissions, positions, .. } = *self;
        Err(RuntimeError::Large { rows, cols, emissions, positions, limit })
    }
}

const TOO_MANY: RuntimeError = RuntimeError::TooLarge { what: "emissions" };

fn allocate(
    site: &SiteInfo,
    phase: usize,
    matrix: bool,
    trip: i64,
    counts: &[u32],
) -> Result<SiteStream, RuntimeError> {
    let mut first = Vec::new();
    let total = if let Some(count) = site.per_iteration {
        trip as u64 * u64::from(count)
    } else {
        first.reserve_exact(counts.len() + 1);
        first.push(0);
        let mut total = 0_u64;
        for &count in counts {
            total += u64::from(count);
            first.push(u32::try_from(total).map_err(|_| TOO_MANY)?);
        }
        total
    };
    let emissions = u32::try_from(total).map_err(|_| TOO_MANY)? as usize;
    let len = emissions.checked_mul(site.shape.stream_width()).ok_or(TOO_MANY)?;
    let mut bases = Vec::new();
    bases.try_reserve_exact(len).map_err(|_| RuntimeError::Memory { buffer: "streams".into() })?;
    bases.resize(len, 0);
    Ok(SiteStream {
        site: site.site,
        phase,
        matrix,
        direct: site.direct,
        shape: site.shape.clone(),
        bases,
        emissions,
        per_iteration: site.per_iteration,
        first,
    })
}

fn refused(record: &ErrorRecord, buffers: &[BufferSpec]) -> RuntimeError {
    let named = usize::try_from(record.buffer).ok().and_then(|n| buffers.get(n));
    RuntimeError::Subscript {
        buffer: named.map_or_else(|| format!("buffer {}", record.buffer), |b| b.name.clone()),
        axis: record.axis,
        index: record.index,
        bound: record.bound,
        span: (record.span_start, record.span_end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spadina_layout::site::Block;

    fn site(per_iteration: Option<u32>, direct: bool) -> SiteInfo {
        let block = |start| Block { start, width: 1 };
        let shape = SiteShape {
            row_blocks: vec![block(0)],
            col_blocks: vec![block(0), block(1)],
            entries: vec![(0, 0), (0, 1)],
            symmetric: false,
        };
        SiteInfo { site: 0, shape, per_iteration, direct, common: Vec::new() }
    }

    #[test]
    fn too_many_positions_are_refused_before_they_are_made() {
        let room = Room::of(u64::MAX);
        let mut taken = Taken::default();
        taken.add(&site(Some(1), false), true, 0, &[]);
        taken.check((0, 0), &room).unwrap();
        taken.add(&site(None, false), true, 2, &[1 << 29, 1 << 27]);
        assert_eq!((taken.emissions, taken.positions), (5 << 27, 15 << 27));
        taken.check((5, 5), &room).unwrap();
        taken.add(&site(Some(1 << 8), false), true, 1 << 20, &[]);
        let error = taken.check((7, 9), &room).unwrap_err().to_string();
        for part in ["7 x 9", "2818572288 positions", "2147483648 are allowed", "hvp"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        taken.add(&site(Some(u32::MAX), true), true, i64::MAX, &[]);
        assert!(taken.check((7, 9), &room).is_err());
    }

    #[test]
    fn so_is_what_does_not_fit_into_memory() {
        let mut taken = Taken::default();
        taken.add(&site(Some(1), true), true, 1 << 26, &[]);
        assert_eq!(taken.bytes, (1 << 26) * (3 * 4 + 2 * 12));
        taken.check((3, 3), &Room::of(taken.bytes)).unwrap();
        let error = taken.check((3, 3), &Room::of(taken.bytes - 1)).unwrap_err().to_string();
        assert!(error.contains("2.4 GB or more, of which 2.4 GB are free"), "{error}");
    }
}
