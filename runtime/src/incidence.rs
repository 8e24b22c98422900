//! Incidence lists: which ends of elements meet at each vertex.

use crate::array::OwnedArray;
use crate::error::RuntimeError;
use crate::prepare::{Inputs, streams};
use crate::program::IndexProgram;
use crate::team::Team;

/// The ends of all elements, by vertex. Every element has two ends, which may be the same vertex: then both are in its list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Incidence {
    /// The vertices that have ends, ascending.
    pub vertex: Vec<i64>,
    /// Where the list of each begins, and the end of the last.
    pub start: Vec<i64>,
    /// The other end of each end, ascending within a list.
    pub other: Vec<i64>,
    /// Its element; among equal others ascending.
    pub element: Vec<i64>,
}

impl Incidence {
    /// By a program that emits one pair of row blocks for each element: its ends.
    ///
    /// # Errors
    /// As for running any index program.
    pub fn of(
        program: &dyn IndexProgram,
        inputs: Inputs<'_>,
        team: Team<'_>,
    ) -> Result<Incidence, RuntimeError> {
        let vertices = inputs.rows;
        let streams = streams(program, inputs, team)?;
        let mut matrix = streams.iter().filter(|stream| stream.matrix);
        match (matrix.next(), matrix.next()) {
            (Some(stream), None) if stream.shape.stream_width() == 2 && stream.per_iteration == Some(1) => {
                Ok(Incidence::new(vertices, stream.bases.chunks_exact(2).map(|ends| (ends[0], ends[1]))))
            }
            _ => Err(RuntimeError::Mismatch("a program of ends")),
        }
    }

    /// By the two ends of each element, below the number of vertices.
    ///
    /// Linear, but for sorting each list.
    pub fn new(vertices: usize, ends: impl ExactSizeIterator<Item = (u32, u32)> + Clone) -> Incidence {
        let mut first = vec![0_u32; vertices + 1];
        for (a, b) in ends.clone() {
            first[a as usize + 1] += 1;
            first[b as usize + 1] += 1;
        }
        let used = first.iter().filter(|&&count| count > 0).count();
        for v in 0..vertices {
            first[v + 1] += first[v];
        }
        // The other end above the element: sorting sorts by both.
        let mut lists = vec![0_u64; 2 * ends.len()];
        let mut next = first.clone();
        let mut put = |at: u32, other: u32, element: u64| {
            let place = &mut next[at as usize];
            lists[*place as usize] = u64::from(other) << 32 | element;
            *place += 1;
        };
        for (element, (a, b)) in (0..).zip(ends) {
            put(a, b, element);
            put(b, a, element);
        }
        let mut made = Incidence {
            vertex: Vec::with_capacity(used),
            start: Vec::with_capacity(used + 1),
            other: Vec::with_capacity(lists.len()),
            element: Vec::with_capacity(lists.len()),
        };
        for (v, ends) in first.windows(2).enumerate().filter(|(_, ends)| ends[0] < ends[1]) {
            made.vertex.push(v as i64);
            made.start.push(i64::from(ends[0]));
            let list = &mut lists[ends[0] as usize..ends[1] as usize];
            list.sort_unstable();
            made.other.extend(list.iter().map(|end| (end >> 32) as i64));
            made.element.extend(list.iter().map(|end| (end & u64::from(u32::MAX)) as i64));
        }
        made.start.push(lists.len() as i64);
        made
    }

    /// The arrays in order: vertices, starts, others, elements.
    pub fn into_arrays(self) -> [OwnedArray; 4] {
        [self.vertex, self.start, self.other, self.element].map(OwnedArray::I64)
    }
}
