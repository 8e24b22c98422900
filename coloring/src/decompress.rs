//! Decompression prepared once: afterwards a gather, or a gather and a chain of subtractions, without allocation.
//!
//! Direct recovery: Gebremedhin, Tarafdar, Pothen, Walther, "Efficient computation of sparse Hessians using coloring
//! and automatic differentiation", INFORMS J. Comput. 21 (2009), section 3, with one flat index for each entry.
//! Substitution: the same, section 4. There an accumulator for each vertex collects what was solved; here each value
//! subtracts the values before it at its leaf straight from the output, so no workspace is needed.

use crate::acyclic::TreeSet;
use crate::coloring::{Coloring, Recovery};
use crate::error::ColoringError;
use crate::graph::NONE;
use crate::layout::{Layout, Shape, require_len};
use crate::options::Partition;
use crate::pattern::Pattern;

/// Order of the decompressed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Storage {
    /// Stored entries, row by row.
    #[default]
    Csr,
    /// Stored entries, column by column.
    Csc,
    /// All entries row by row, 0 where nothing is stored.
    DenseRows,
    /// All entries column by column, 0 where nothing is stored.
    DenseColumns,
}

/// Part of the matrix that is decompressed; the other entries take no place in CSR and CSC storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Triangle {
    /// All entries.
    #[default]
    Full,
    /// Entries with row >= column.
    Lower,
    /// Entries with row <= column.
    Upper,
}

impl Triangle {
    /// Whether an entry is in this part.
    pub fn contains(self, row: usize, col: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Lower => row >= col,
            Self::Upper => row <= col,
        }
    }
}

/// From where to where: layout of the compressed values, storage and part of the decompressed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Target {
    /// Layout of the compressed values.
    pub layout: Layout,
    /// Order of the decompressed values.
    pub storage: Storage,
    /// Part of the matrix.
    pub triangle: Triangle,
}

/// Prepared decompression for one coloring and one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decompressor {
    compressed_len: usize,
    len: usize,
    /// Values that are read: position in the compressed buffer, and in the output (all of it in order when `None`).
    src: Vec<u32>,
    dst: Option<Vec<u32>>,
    /// Values that are solved for afterwards.
    chain: Chain,
    has_gaps: bool,
}

/// Values that need others first: `out[dst] = compressed[src] - sum of out[subtracted]`, also put into `mirror`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Chain {
    links: Vec<Link>,
    subtracted: Vec<u32>,
    /// What stands for subtracted values that are not in the part of the matrix asked for.
    inlined: Vec<Inlined>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    src: u32,
    dst: u32,
    /// The symmetric entry, or again `dst`.
    mirror: u32,
    /// Ends of this link's parts of `subtracted` and `inlined`.
    subtracted_end: u32,
    inlined_end: u32,
}

/// A value added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inlined {
    at: u32,
    is_compressed: bool,
    is_added: bool,
}

impl Decompressor {
    /// Prepares the decompression of a coloring.
    ///
    /// # Errors
    /// When the compressed values or the output would have 2^32 values or more.
    pub fn new(coloring: &Coloring, target: Target) -> Result<Self, ColoringError> {
        let places = Places::new(coloring.pattern(), target)?;
        let shape = checked_shape(coloring, target.layout)?;
        let mut this = Self {
            compressed_len: shape.len(),
            len: places.len,
            src: Vec::new(),
            dst: None,
            chain: Chain::default(),
            has_gaps: matches!(target.storage, Storage::DenseRows | Storage::DenseColumns),
        };
        match coloring.recovery() {
            Recovery::Own | Recovery::Stars(_) => {
                let n_columns = coloring.n_column_colors() as u32;
                let position = |Source { color, entry }: Source| match color.checked_sub(n_columns) {
                    None => shape.column_index(color + 1, entry as usize) as u32,
                    Some(color) => shape.row_index(color + 1, entry as usize) as u32,
                };
                let sources = direct_sources(coloring).into_iter();
                let placed = sources.map(position).zip(places.of_entry.iter().copied());
                let kept = placed.filter(|&(_, place)| place != NONE);
                if this.has_gaps {
                    let (src, dst) = kept.unzip();
                    (this.src, this.dst) = (src, Some(dst));
                } else {
                    this.src = vec![0; places.len];
                    kept.for_each(|(src, place)| this.src[place as usize] = src);
                }
            }
            Recovery::Trees(trees) => {
                let mut dst = Vec::new();
                this.substitute(coloring, trees, &shape, &places, &mut dst);
                this.dst = Some(dst);
            }
        }
        Ok(this)
    }

    /// Length of the compressed buffer.
    pub fn compressed_len(&self) -> usize {
        self.compressed_len
    }

    /// Length of the output.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the output has no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts the values of the matrix into `out`. Does not allocate.
    ///
    /// # Errors
    /// When a buffer has the wrong length.
    pub fn decompress(&self, compressed: &[f64], out: &mut [f64]) -> Result<(), ColoringError> {
        require_len("the compressed buffer", compressed.len(), self.compressed_len)?;
        require_len("the output", out.len(), self.len)?;
        if self.has_gaps {
            out.fill(0.0);
        }
        match &self.dst {
            None => {
                for (out, &src) in out.iter_mut().zip(&self.src) {
                    *out = compressed[src as usize];
                }
            }
            Some(dst) => {
                for (&dst, &src) in dst.iter().zip(&self.src) {
                    out[dst as usize] = compressed[src as usize];
                }
            }
        }
        let (mut start, mut inlined_start) = (0, 0);
        for link in &self.chain.links {
            let (end, inlined_end) = (link.subtracted_end as usize, link.inlined_end as usize);
            let mut value = compressed[link.src as usize];
            for &solved in &self.chain.subtracted[start..end] {
                value -= out[solved as usize];
            }
            for term in &self.chain.inlined[inlined_start..inlined_end] {
                let term_value =
                    if term.is_compressed { compressed[term.at as usize] } else { out[term.at as usize] };
                value += if term.is_added { term_value } else { -term_value };
            }
            (start, inlined_start) = (end, inlined_end);
            out[link.dst as usize] = value;
            out[link.mirror as usize] = value;
        }
        Ok(())
    }

    /// Lists diagonal entries and edges without predecessors as reads, the others as links in solving order.
    fn substitute(
        &mut self,
        coloring: &Coloring,
        trees: &TreeSet,
        shape: &Shape,
        places: &Places,
        dst: &mut Vec<u32>,
    ) {
        let pattern = coloring.pattern();
        let n = pattern.ncols();
        let symmetric = coloring.partition() == Partition::Symmetric;
        // The one or two places of each edge.
        let mut places_of = vec![[NONE; 2]; trees.edge.len()];
        if symmetric {
            let edges = symmetric_edges(pattern);
            for (((i, j), &e), &place) in pattern.entries().zip(&edges).zip(&places.of_entry) {
                if e != NONE {
                    places_of[e as usize][usize::from(i > j)] = place;
                } else if place != NONE {
                    self.src.push(shape.column_index(coloring.column_colors()[i], i) as u32);
                    dst.push(place);
                }
            }
        } else {
            for (pair, &place) in places_of.iter_mut().zip(&places.of_entry) {
                pair[0] = place;
            }
        }
        let source = |leaf: usize, parent: usize| {
            if symmetric {
                shape.column_index(coloring.column_colors()[parent], leaf)
            } else if parent < n {
                shape.column_index(coloring.column_colors()[parent], leaf - n)
            } else {
                shape.row_index(coloring.row_colors()[parent - n], leaf)
            }
        };
        // Edges solved so far whose parent is this vertex, as a linked list over the pairs of the tree.
        let n_vertices = if symmetric { n } else { n + pattern.nrows() };
        let mut last = vec![NONE; n_vertices];
        let mut before = vec![NONE; trees.edge.len()];
        let mut open = Vec::new();
        let place_of = |k: u32| places_of[trees.edge[k as usize] as usize].into_iter().min().unwrap_or(NONE);
        for tree in 0..trees.n_trees() {
            for k in trees.range(tree) {
                let (leaf, parent) = (trees.leaf[k] as usize, trees.parent[k] as usize);
                before[k] = last[parent];
                last[parent] = k as u32;
                let [upper, lower] = places_of[trees.edge[k] as usize];
                let place = place_of(k as u32);
                if place == NONE {
                    continue;
                }
                let mirror = if upper == NONE || lower == NONE { place } else { upper.max(lower) };
                let src = source(leaf, parent) as u32;
                if last[leaf] == NONE {
                    self.src.push(src);
                    dst.push(place);
                    if mirror != place {
                        self.src.push(src);
                        dst.push(mirror);
                    }
                    continue;
                }
                // Values before this one at its leaf are subtracted; one that is not in the output is written out in
                // terms of those before it, which stand with the opposite sign.
                open.push((last[leaf], false));
                while let Some((solved, is_added)) = open.pop() {
                    if before[solved as usize] != NONE {
                        open.push((before[solved as usize], is_added));
                    }
                    let at = place_of(solved);
                    if at != NONE && !is_added {
                        self.chain.subtracted.push(at);
                    } else if at != NONE {
                        self.chain.inlined.push(Inlined { at, is_compressed: false, is_added });
                    } else {
                        let (leaf, parent) =
                            (trees.leaf[solved as usize] as usize, trees.parent[solved as usize]);
                        let at = source(leaf, parent as usize) as u32;
                        self.chain.inlined.push(Inlined { at, is_compressed: true, is_added });
                        if last[leaf] != NONE {
                            open.push((last[leaf], !is_added));
                        }
                    }
                }
                let (subtracted_end, inlined_end) = (self.chain.subtracted.len(), self.chain.inlined.len());
                let (subtracted_end, inlined_end) = (subtracted_end as u32, inlined_end as u32);
                self.chain.links.push(Link { src, dst: place, mirror, subtracted_end, inlined_end });
            }
            for k in trees.range(tree) {
                last[trees.parent[k] as usize] = NONE;
            }
        }
    }
}

/// Prepared decompression of the products one at a time, for direct colorings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColorScatter {
    len: usize,
    lengths: [usize; 2],
    n_column_colors: usize,
    /// End of each color's part of `moves`.
    ptr: Vec<u32>,
    /// Position in the product of the color, position in the output.
    moves: Vec<[u32; 2]>,
}

impl ColorScatter {
    /// Prepares the decompression of single products; the layout of the target has no say here.
    ///
    /// # Errors
    /// When the coloring is for substitution, or the compressed values or the output would have 2^32 values or more.
    pub fn new(coloring: &Coloring, target: Target) -> Result<Self, ColoringError> {
        if coloring.trees().is_some() {
            return Err(ColoringError::SingleColorSubstitution);
        }
        let places = Places::new(coloring.pattern(), target)?;
        checked_shape(coloring, Layout::ByColor)?;
        let (nrows, ncols) = (coloring.pattern().nrows(), coloring.pattern().ncols());
        let sources = direct_sources(coloring);
        let kept = || sources.iter().zip(&places.of_entry).filter(|&(_, &place)| place != NONE);
        let mut ptr = vec![0u32; coloring.n_colors() + 1];
        for (source, _) in kept() {
            ptr[source.color as usize + 1] += 1;
        }
        for k in 0..coloring.n_colors() {
            ptr[k + 1] += ptr[k];
        }
        let mut next = ptr.clone();
        let mut moves = vec![[0; 2]; ptr[coloring.n_colors()] as usize];
        for (&Source { color, entry }, &place) in kept() {
            let at = &mut next[color as usize];
            moves[*at as usize] = [entry, place];
            *at += 1;
        }
        let n_column_colors = coloring.n_column_colors();
        Ok(Self { len: places.len, lengths: [nrows, ncols], n_column_colors, ptr, moves })
    }

    /// What is read from the product of each color, from color 1: position in the product, position in the output.
    pub fn moves(&self) -> impl Iterator<Item = &[[u32; 2]]> {
        self.ptr.windows(2).map(|ends| &self.moves[ends[0] as usize..ends[1] as usize])
    }

    /// Puts the entries read from one product into `out`, leaving the others as they are. Colors count from 1: the
    /// column colors, then the row colors. Does not allocate.
    ///
    /// # Errors
    /// When the color does not exist or a buffer has the wrong length.
    pub fn decompress(&self, color: usize, product: &[f64], out: &mut [f64]) -> Result<(), ColoringError> {
        let limit = self.ptr.len() - 1;
        if color == 0 || color > limit {
            return Err(ColoringError::ColorOutOfRange { color, limit });
        }
        let expected = self.lengths[usize::from(color > self.n_column_colors)];
        require_len("the product", product.len(), expected)?;
        require_len("the output", out.len(), self.len)?;
        for &[entry, place] in &self.moves[self.ptr[color - 1] as usize..self.ptr[color] as usize] {
            out[place as usize] = product[entry as usize];
        }
        Ok(())
    }
}

/// Where each stored entry goes.
struct Places {
    /// By entry in row order; `NONE` when it is not in the part asked for.
    of_entry: Vec<u32>,
    len: usize,
}

impl Places {
    fn new(pattern: &Pattern, target: Target) -> Result<Self, ColoringError> {
        let (m, n) = (pattern.nrows(), pattern.ncols());
        let mut of_entry = vec![NONE; pattern.nnz()];
        let mut len = 0;
        let mut next = |inside: bool| {
            len += usize::from(inside);
            if inside { (len - 1) as u32 } else { NONE }
        };
        match target.storage {
            Storage::Csr => {
                for ((i, j), place) in pattern.entries().zip(&mut of_entry) {
                    *place = next(target.triangle.contains(i, j));
                }
            }
            Storage::Csc => {
                let (columns, map) = pattern.transpose_with_map();
                for ((j, i), &k) in columns.entries().zip(&map) {
                    of_entry[k as usize] = next(target.triangle.contains(i, j));
                }
            }
            Storage::DenseRows | Storage::DenseColumns => {
                len = m * n;
                if len >= NONE as usize {
                    return Err(ColoringError::TooLarge { what: "the dense output" });
                }
                for ((i, j), place) in pattern.entries().zip(&mut of_entry) {
                    if target.triangle.contains(i, j) {
                        *place =
                            (if target.storage == Storage::DenseRows { i * n + j } else { j * m + i }) as u32;
                    }
                }
            }
        }
        Ok(Self { of_entry, len })
    }
}

fn checked_shape(coloring: &Coloring, layout: Layout) -> Result<Shape, ColoringError> {
    let shape = Shape::new(coloring, layout);
    if shape.len() >= NONE as usize {
        return Err(ColoringError::TooLarge { what: "the compressed buffer" });
    }
    Ok(shape)
}

/// Where an entry is read: element `entry` of the product of a color, which counts from 0, the column colors first.
#[derive(Clone, Copy)]
struct Source {
    color: u32,
    entry: u32,
}

/// Where each entry of a direct coloring is read, in row order.
fn direct_sources(coloring: &Coloring) -> Vec<Source> {
    let (columns, rows) = (coloring.column_colors(), coloring.row_colors());
    let pattern = coloring.pattern();
    let n = pattern.ncols() as u32;
    let n_columns = coloring.n_column_colors() as u32;
    let by_column = |col: usize, entry: usize| Source { color: columns[col] - 1, entry: entry as u32 };
    let by_row = |row: usize, entry: usize| Source { color: n_columns + rows[row] - 1, entry: entry as u32 };
    let entries = pattern.entries();
    match (coloring.partition(), coloring.stars()) {
        (Partition::Symmetric, Some(stars)) => entries
            .zip(symmetric_edges(pattern))
            .map(|((i, j), e)| {
                // Read in the row of the spoke, under the color of the hub.
                let hub = if e == NONE { i } else { stars.hub_of_edge(e) as usize };
                let spoke = if hub == i { j } else { i };
                by_column(hub, spoke)
            })
            .collect(),
        (Partition::Bidirectional, Some(stars)) => entries
            .zip(0..)
            .map(|((i, j), e)| if stars.hub_of_edge(e) < n { by_column(j, i) } else { by_row(i, j) })
            .collect(),
        (Partition::Row, _) => entries.map(|(i, j)| by_row(i, j)).collect(),
        _ => entries.map(|(i, j)| by_column(j, i)).collect(),
    }
}

/// Number of the edge of each entry of a symmetric pattern, as in [`crate::graph::Graph::symmetric`]; `NONE` on the
/// diagonal.
fn symmetric_edges(pattern: &Pattern) -> Vec<u32> {
    let mut edges = vec![NONE; pattern.nnz()];
    let mut next = pattern.row_ptr()[..pattern.nrows()].to_vec();
    let mut fresh = 0;
    for i in 0..pattern.nrows() {
        for k in next[i]..pattern.row_ptr()[i + 1] {
            let j = pattern.col_idx()[k] as usize;
            if j != i {
                edges[k] = fresh;
                edges[next[j]] = fresh;
                next[j] += 1;
                fresh += 1;
            }
        }
    }
    edges
}
