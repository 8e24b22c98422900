//! Mesh readers against small texts and, where it stands beside the checkout, ../shared/data.
#![allow(clippy::print_stderr, clippy::unwrap_used)] // a test that is skipped says so; helpers may fail

use std::path::{Path, PathBuf};

use spadina_io::mesh::medit::parse_medit;
use spadina_io::mesh::obj::parse_obj;
use spadina_io::mesh::off::parse_off;
use spadina_io::mesh::read::read_mesh;
use spadina_io::mesh::types::Mesh;

const SQUARE: &str =
    "# a square\nv 0 0 0\nv 1 0 0 1.0\nv 1 1 0\nvn 0 0 1\nv 0 1 \\\n0\nf 1//1 2//1 3//1\nf -4 -2 -1\n";

#[test]
fn obj_indices_polygons_and_continued_lines() {
    let mesh = parse_obj(SQUARE.as_bytes(), "s.obj").unwrap();
    assert_eq!(mesh.faces, [[0, 1, 2], [0, 2, 3]]);
    assert_eq!(mesh.vertices[3], [0.0, 1.0, 0.0]);
    assert_eq!(mesh.edges(), [[0, 1], [1, 2], [0, 2], [2, 3], [0, 3]]);
    assert_eq!(mesh.hinges().unwrap(), [[2, 0, 1, 3]]);
    assert_eq!(mesh.boundary_edges(), [[0, 1], [1, 2], [2, 3], [3, 0]]);
    let ring = mesh.one_ring();
    assert_eq!(ring.ptr, [0, 2, 3, 5, 6]);
    assert_eq!((ring.nbr[..2].to_vec(), ring.opp[..2].to_vec()), (vec![1, 2], vec![2, 3]));
    let fan = parse_obj(b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\nl 1 3\n", "q.obj").unwrap();
    assert_eq!((fan.faces, fan.segments), (vec![[0, 1, 2], [0, 2, 3]], vec![[0, 2]]));
}

#[test]
fn texture_coordinates_are_kept_one_to_a_vertex() {
    let text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 9 1\nvt 8 1\nvt 7\n";
    let uv = |faces: &str| parse_obj(format!("{text}{faces}").as_bytes(), "t.obj").unwrap().uv;
    assert_eq!(uv("f 1 2 3\n"), Some(vec![[9.0, 1.0], [8.0, 1.0], [7.0, 0.0]]));
    assert_eq!(uv("f 1/3 2/1 3/2\n"), Some(vec![[7.0, 0.0], [9.0, 1.0], [8.0, 1.0]]));
    assert_eq!(uv("f 1/3 2/1 3/2\nf 1/1 3/2 2/1\n"), None);
    assert_eq!(uv("vt 0 0\nf 1 2 3\n"), None);
}

#[test]
fn off_and_medit_give_the_same_square() {
    let off =
        parse_off(b"OFF\n# counts\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3 255 0 0\n", "s.off")
            .unwrap();
    let same = parse_off(b"OFF 4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n", "s.off").unwrap();
    let medit = parse_medit(
        b"MeshVersionFormatted 2\nDimension\n2\nVertices 4\n0 0 0\n1 0 0\n1 1 0\n0 1 0\nCorners 1 1\n\
          Edges 1\n1 2 5\nTriangles 2\n1 2 3 0\n1 3 4 0\nEnd\n",
        "s.mesh",
    )
    .unwrap();
    assert_eq!(off, same);
    assert_eq!((&off.vertices, &off.faces), (&medit.vertices, &medit.faces));
    assert_eq!(medit.segments, [[0, 1]]);
    let tet = parse_medit(
        b"MeshVersionFormatted 1 Dimension 3 Vertices 4 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1 0 Tetrahedra 1 1 2 3 4 0 End",
        "t.mesh",
    )
    .unwrap();
    assert_eq!((tet.edges().len(), tet.tets), (6, vec![[0, 1, 2, 3]]));
}

#[test]
fn complaints_name_file_line_and_cause() {
    type Parse = fn(&[u8], &str) -> Result<Mesh, spadina_io::error::Error>;
    let medit = "MeshVersionFormatted 2 Dimension 3 Vertices 2\n0 0 0 0\n1 0 0 0\n";
    let cases: Vec<(Parse, String, &str)> = vec![
        (parse_obj, "v 0 0 0\nf 1 2 3\n".into(), "line 2: vertex index 2 is out of range (1 defined so far)"),
        (parse_obj, "v 0 0 0\nf 0 1 1\n".into(), "line 2: vertex index 0 is out of range"),
        (parse_obj, "v 0 0 0\nf -2 1 1\n".into(), "vertex index -2"),
        (parse_obj, "v 0 0 0\nv 1 0 0\nf 1 2\n".into(), "line 3: a face of 2 corners"),
        (parse_obj, "v 0 0 0\nv 1 0 0\nf 1 2 2\n".into(), "names vertex 2 twice"),
        (parse_obj, "v 0 0\n".into(), "line 1: a coordinate is missing"),
        (parse_obj, "v 0 0 nan\n".into(), "coordinate `nan` is not finite"),
        (parse_obj, "v 0 0 0x\n".into(), "`0x` is not a coordinate"),
        (parse_obj, "v 0 0 0\nf 1/2 1/1 1/1\n".into(), "texture coordinate index 2"),
        (parse_obj, "hello\n".into(), "no vertices found"),
        (parse_off, "4 2 0\n".into(), "line 1: expected `OFF`"),
        (parse_off, "OFF BINARY\n".into(), "binary"),
        (parse_off, "OFF\n9999999999 2 0\n0 0 0\n".into(), "ends after 1 of 9999999999 vertices"),
        (parse_off, "OFF\n1 1 0\n0 0 0\n99999999 0 0\n".into(), "line 4: a face of 99999999 corners names 2"),
        (
            parse_off,
            "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n".into(),
            "line 6: vertex index 3 is out of range (0..3)",
        ),
        (parse_medit, "Vertices 3\n".into(), "line 1: expected `MeshVersionFormatted`"),
        (parse_medit, "MeshVersionFormatted 9".into(), "version `9`"),
        (
            parse_medit,
            format!("{medit}Triangles 1\n1 2 3 0\n"),
            "line 5: vertex index 3 is out of range (1..=2)",
        ),
        (parse_medit, format!("{medit}Edges 1\n1 2\n"), "the file ends before a reference number"),
        (parse_medit, format!("{medit}Hexahedra 1\n1 2\n"), "`Hexahedra` are not supported"),
        (
            parse_medit,
            "MeshVersionFormatted 2 Dimension 3 Vertices 99999999999\n0 0 0 0\n".into(),
            "a coordinate is missing",
        ),
    ];
    for (parse, text, part) in cases {
        let message = parse(text.as_bytes(), "m.x").unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("`m.x`"), "{message} / {part}");
    }
    assert!(read_mesh(Path::new("a.stl")).unwrap_err().to_string().contains(".obj, .off or .mesh"));
}

#[test]
fn byte_order_marks_and_misspelled_vertices() {
    let path = std::env::temp_dir().join(format!("spadina-mark-{}.obj", std::process::id()));
    std::fs::write(&path, "\u{feff}v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").unwrap();
    assert_eq!(read_mesh(&path).unwrap().vertices.len(), 3);
    std::fs::remove_file(path).unwrap();
    let message = parse_obj(b"v 0 0 0\nvv 1 0 0\n", "n.obj").unwrap_err().to_string();
    assert!(message.contains("line 2") && message.contains("`vv`"), "{message}");
}

#[test]
fn an_edge_of_three_faces_has_no_hinge() {
    let text = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nv 0 0 -1\nf 1 2 3\nf 2 1 4\nf 1 2 5\n";
    let message = parse_obj(text, "n.obj").unwrap().hinges().unwrap_err().to_string();
    assert!(message.contains("edge (0, 1) lies in more than two faces"), "{message}");
}

#[test]
fn real_meshes_agree_with_an_independent_reader() {
    let shared: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/meshes");
    if !shared.is_dir() {
        eprintln!("skipped: {} is missing", shared.display());
        return;
    }
    for name in ["spot_188.obj", "spot_disk_m.obj", "penguin_201.obj"] {
        let mesh = read_mesh(&shared.join(name)).unwrap();
        let options = tobj::LoadOptions { triangulate: true, ..Default::default() };
        let (models, _) = tobj::load_obj(shared.join(name), &options).unwrap();
        let theirs = &models[0].mesh;
        let position = |v: i64| mesh.vertices[v as usize].map(|c| c as f32);
        let other = |v: u32| [0, 1, 2].map(|c| theirs.positions[3 * v as usize + c]);
        assert_eq!(mesh.faces.len() * 3, theirs.indices.len(), "{name}");
        assert!(
            mesh.faces.as_flattened().iter().zip(&theirs.indices).all(|(&a, &b)| position(a) == other(b)),
            "{name}"
        );
        assert_eq!(mesh.uv.is_some(), name.contains("disk"), "{name}");
        let boundary = mesh.boundary_edges().len();
        assert_eq!(mesh.hinges().unwrap().len() + boundary, mesh.edges().len());
        assert_eq!(boundary == 0, !name.contains("disk"));
    }
    let tets = read_mesh(&shared.join("spot_tet_m.mesh")).unwrap();
    assert_eq!((tets.vertices.len(), tets.tets.len()), (981, 3052));
}
