//! Random bytes and mutated valid files: every reader answers, none panics or exhausts memory.
#![allow(clippy::unwrap_used)] // helpers of tests may fail as tests do

use std::fs;

use spadina_io::array::{Array, Data};
use spadina_io::mesh::medit::parse_medit;
use spadina_io::mesh::obj::parse_obj;
use spadina_io::mesh::off::parse_off;
use spadina_io::mesh::types::Mesh;
use spadina_io::npy::read::read_npy_bytes;
use spadina_io::npy::write::write_array;
use spadina_io::sparse_file::csr::Csr;
use spadina_io::sparse_file::mtx::{read_mtx_bytes, write_mtx};
use spadina_io::sparse_file::npz::{Compression, read_npz_bytes, write_npz};

/// Knuth's MMIX linear congruential generator.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }
}

/// Snippets that are likelier to matter than random bytes.
const WORDS: [&[u8]; 14] = [
    b"-1",
    b"0",
    b"99999999999999999999",
    b"4294967295",
    b"nan",
    b"1e999",
    b"\n",
    b"(",
    b"'",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"2147483648",
    b"/",
    b"%",
];

fn mutate(seed: &[u8], random: &mut Lcg) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            3 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            4 => {
                let end = (at + random.below(16)).min(bytes.len());
                drop(bytes.splice(at..end, WORDS[random.below(WORDS.len())].iter().copied()));
            }
            _ => {
                let end = (at + random.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                drop(bytes.splice(to..to, piece));
            }
        }
    }
    bytes
}

fn fuzz(seeds: &[Vec<u8>], rounds: usize, read: impl Fn(&[u8])) {
    // `FUZZ=100 cargo test -p spadina-io --release --test fuzz` runs a hundred times longer.
    let longer: usize = std::env::var("FUZZ").ok().and_then(|f| f.parse().ok()).unwrap_or(1);
    let mut random = Lcg(20_240_917);
    for round in 0..rounds * longer {
        if round % 8 == 0 {
            let noise: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
            read(&noise);
        }
        read(&mutate(&seeds[round % seeds.len()], &mut random));
    }
}

/// What a reader promises of a mesh it gives: indices in range, so that nothing derived can fail on them.
fn use_mesh(mesh: Result<Mesh, spadina_io::error::Error>) {
    if let Ok(mesh) = mesh {
        let n = mesh.vertices.len() as i64;
        assert!(mesh.edges().as_flattened().iter().all(|v| (0..n).contains(v)));
        assert_eq!(mesh.one_ring().ptr.len() as i64, n + 1);
        let _ = mesh.hinges();
    }
}

fn use_matrix(matrix: Result<Csr, spadina_io::error::Error>) {
    if let Ok(matrix) = matrix {
        matrix.as_ref().check().unwrap();
        let back = matrix.transpose().transpose();
        let bits = |m: &Csr| m.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            (&back.row_ptr, &back.col_idx, bits(&back)),
            (&matrix.row_ptr, &matrix.col_idx, bits(&matrix))
        );
    }
}

#[test]
fn npy() {
    let mut seeds = Vec::new();
    for data in
        [Data::F64(vec![0.5; 6]), Data::I32(vec![7; 6]), Data::Bool(vec![true; 6]), Data::U64(vec![9; 6])]
    {
        let mut bytes = Vec::new();
        write_array(&mut bytes, &Array::new(vec![2, 3], data).unwrap()).unwrap();
        seeds.push(bytes);
    }
    fuzz(&seeds, 20_000, |bytes| {
        if let Ok(array) = read_npy_bytes(bytes, "f.npy") {
            assert_eq!(array.shape().iter().product::<usize>(), array.len());
            let _ = (
                array.to_f64("f"),
                array.to_i64("f"),
                array.to_i32("f"),
                array.to_bool("f"),
                array.to_f32("f"),
            );
        }
    });
}

#[test]
fn sparse() {
    let csr =
        Csr::from_triplets(4, 4, &[0, 1, 2, 3, 3], &[0, 1, 2, 0, 3], &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let path = std::env::temp_dir().join(format!("spadina-io-fuzz-{}", std::process::id()));
    let mut archives = Vec::new();
    for compression in [Compression::Store, Compression::Deflate] {
        write_npz(&path, csr.as_ref(), compression).unwrap();
        archives.push(fs::read(&path).unwrap());
    }
    write_mtx(&path, csr.as_ref()).unwrap();
    let text = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fuzz(&archives, 6_000, |bytes| use_matrix(read_npz_bytes(bytes, "f.npz")));
    let symmetric = b"%%MatrixMarket matrix coordinate integer symmetric\n%c\n3 3 2\n2 1 5\n3 3 1\n".to_vec();
    fuzz(&[text, symmetric], 20_000, |bytes| {
        // Large extents are legal and slow: keep to those a test can afford.
        let head: Vec<u8> = bytes.iter().copied().take(120).collect();
        if !head.split(|b| !b.is_ascii_digit()).any(|digits| digits.len() > 6) {
            use_matrix(read_mtx_bytes(bytes, "f.mtx"));
        }
    });
}

#[test]
fn meshes() {
    let obj = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nf 1/1 2/1 3/1\nf -1 -2 -3\nl 1 2 3 4\n".to_vec();
    let off = b"OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n4 0 1 2 3\n".to_vec();
    let medit = b"MeshVersionFormatted 2\nDimension 3\nVertices\n4\n0 0 0 0\n1 0 0 0\n0 1 0 0\n0 0 1 0\nEdges 1\n1 2 0\n\
        Triangles 1\n1 2 3 0\nTetrahedra 1\n1 2 3 4 0\nEnd\n"
        .to_vec();
    fuzz(&[obj], 10_000, |bytes| use_mesh(parse_obj(bytes, "f.obj")));
    fuzz(&[off], 10_000, |bytes| use_mesh(parse_off(bytes, "f.off")));
    fuzz(&[medit], 10_000, |bytes| use_mesh(parse_medit(bytes, "f.mesh")));
}
