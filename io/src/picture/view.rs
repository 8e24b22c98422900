//! Looks at points in space from a direction: positions on the picture and depths.

/// How space is projected onto a picture.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum View {
    /// The first two coordinates as they are.
    #[default]
    Plane,
    /// Parallel projection from a direction, the third coordinate up.
    Orbit {
        /// Degrees around the third axis.
        azimuth: f64,
        /// Degrees above the plane of the first two.
        elevation: f64,
    },
}

impl View {
    /// Right, up and toward the eye, for a point.
    pub fn project(self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        match self {
            Self::Plane => [x, y, z],
            Self::Orbit { azimuth, elevation } => {
                let (sa, ca) = azimuth.to_radians().sin_cos();
                let (se, ce) = elevation.to_radians().sin_cos();
                let (right, back) = (ca * x + sa * y, ca * y - sa * x);
                [right, se * back + ce * z, se * z - ce * back]
            }
        }
    }
}
