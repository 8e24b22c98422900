//! The kinds of generated inputs by name, and what each of them holds.

use std::fmt;
use std::str::FromStr;

use crate::array::NamedArray;
use crate::error::Error;
use crate::generate::{closed, line, planar, volume};

/// A family of inputs; `n` below is the size asked for.
///
/// Arrays common to all surface kinds: `x [V, 3]` positions, `edges [E, 2]`, `rest [E]` rest lengths, `faces [F, 3]`,
/// `hinges [H, 4]` (an interior edge, then the corners opposite it), `rest_angle [H]` dihedral angles at rest,
/// `area [F]` at rest, `mass [V]` (a third of the areas around a vertex). Positions are the rest shape deformed and
/// perturbed, without flips, so that no derivative is trivially zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sheet of `n * n` cells, `2 n^2` triangles (70 gives 9,800). Also `rest_inv [F, 2, 2]`, `fixed [V]` (bool: two
    /// corners to hang it by). The mesh of the mass-spring benchmark.
    Cloth,
    /// A closed surface of `n` cells around and about half as many across, 100 gives 10,000 triangles. Also the
    /// one-ring `ptr [V + 1]`, `nbr [R]`, `opp [R]`.
    Torus,
    /// A sphere of `20 n^2` triangles: every side of an icosahedron in `n` parts (22 gives 9,680). Also the one-ring.
    Icosphere,
    /// A parametrization of `n * n` cells in the plane: `uv [V, 2]`, `faces [F, 3]`, `rest_inv [F, 2, 2]` (inverse of
    /// the rest edge vectors as columns), `area [F]`, `edges [E, 2]`. The mesh of the Dirichlet benchmark.
    Grid,
    /// A cube of `6 n^3` tetrahedra (Kuhn's subdivision): `x [V, 3]`, `tets [T, 4]`, `rest_inv [T, 3, 3]`, `vol [T]`,
    /// `fixed [V]` (bool: the bottom). The mesh of the neo-Hookean benchmark.
    Tets,
    /// `n` scalars in a row: `x [N]`, `rest [N - 1]`.
    Chain,
    /// A helix of `n` points: `x [N, 3]`, `edges [N - 1, 2]`, `rest [N - 1]`.
    Rod,
    /// A connected random graph of `n` nodes and about `3 n` edges: `x [N, 3]`, `u [N]`, `edges [E, 2]`, `rest [E]`,
    /// `weight [E]`.
    Graph,
}

impl Kind {
    /// All kinds, in the order in which help lists them.
    pub const ALL: [Self; 8] = [
        Self::Cloth,
        Self::Torus,
        Self::Icosphere,
        Self::Grid,
        Self::Tets,
        Self::Chain,
        Self::Rod,
        Self::Graph,
    ];

    /// The name it goes by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloth => "cloth",
            Self::Torus => "torus",
            Self::Icosphere => "icosphere",
            Self::Grid => "grid",
            Self::Tets => "tets",
            Self::Chain => "chain",
            Self::Rod => "rod",
            Self::Graph => "graph",
        }
    }

    /// Smallest size that gives a sound input.
    pub fn min_size(self) -> usize {
        match self {
            Self::Cloth | Self::Icosphere | Self::Grid | Self::Tets => 1,
            Self::Torus => 3,
            Self::Chain | Self::Rod | Self::Graph => 0,
        }
    }

    /// Number of vertices of a size, `None` when it overflows.
    pub fn vertex_count(self, n: usize) -> Option<usize> {
        match self {
            Self::Cloth | Self::Grid => n.checked_add(1)?.checked_pow(2),
            Self::Torus => n.checked_mul(closed::torus_tube(n)),
            Self::Icosphere => n.checked_pow(2)?.checked_mul(10)?.checked_add(2),
            Self::Tets => n.checked_add(1)?.checked_pow(3),
            Self::Chain | Self::Rod | Self::Graph => Some(n),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|k| k.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("no generated input is named `{name}` (there are {known})"))
        })
    }
}

/// Most vertices that are generated.
pub const MAX_VERTICES: usize = 1 << 27;

/// Makes an input of a kind and size.
///
/// ```
/// use spadina_io::generate::kind::{Kind, generate};
/// let arrays = generate(Kind::Cloth, 70)?;
/// let faces = arrays.iter().find(|a| a.name == "faces").expect("every cloth has faces");
/// assert_eq!(faces.array.shape(), [9800, 3]);
/// # Ok::<(), spadina_io::error::Error>(())
/// ```
///
/// # Errors
/// A size below [`Kind::min_size`] or beyond [`MAX_VERTICES`].
pub fn generate(kind: Kind, size: usize) -> Result<Vec<NamedArray>, Error> {
    if size < kind.min_size() {
        let least = kind.min_size();
        return Err(Error::Invalid(format!("size {size} of `{kind}` is too small (at least {least})")));
    }
    if kind.vertex_count(size).is_none_or(|v| v > MAX_VERTICES) {
        return Err(Error::Invalid(format!(
            "size {size} of `{kind}` is too large (over {MAX_VERTICES} vertices)"
        )));
    }
    match kind {
        Kind::Cloth => planar::cloth(size),
        Kind::Torus => closed::torus(size),
        Kind::Icosphere => closed::icosphere(size),
        Kind::Grid => Ok(planar::grid(size)),
        Kind::Tets => Ok(volume::tets(size)),
        Kind::Chain => Ok(line::chain(size)),
        Kind::Rod => Ok(line::rod(size)),
        Kind::Graph => Ok(line::graph(size)),
    }
}
