//! The shaders, read by naga without a GPU: what they bind and how their launch struct is laid out is what Rust hands them.
//!
//! naga is one of WebGPU's two compilers for WGSL, Firefox's. Chromium's, tint, takes them all in tests/kernels.rs, whose
//! table runs every shader in every format there.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use gander::device::Device;
use gander::kernels::input::Input;
use gander::kernels::route::{Deltas, Entry};
use gander::kernels::sigmoid_gate;
use gander::recording::{Access, Dispatch, Integers, Recording, Target};
use gander::tensor::DType;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Handle, Module, Scalar, StorageAccess, StructMember, Type, TypeInner};
use support::Case;

/// WebGPU's default limits.
const MOST_THREADS: u32 = 256;
const MOST_WORKGROUP_BYTES: u32 = 16 << 10;
const MOST_STORAGE_BUFFERS: usize = 8;
/// Bytes of a `Matrix`, of which the launch struct begins with one for each tensor.
const MATRIX_BYTES: u32 = 16;

/// A kernel's shader, and a dispatch of it.
struct Shader<'a> {
    dispatch: &'a Dispatch,
    module: Module,
    info: ModuleInfo,
    /// The entry points that dispatches start.
    entries: BTreeSet<&'static str>,
}

/// What shaders are made for.
fn targets() -> impl Iterator<Item = Target> {
    let integers = [false, true].map(|all| Integers { one_token: all, many_tokens: all });
    integers.into_iter().flat_map(|integers| {
        let kinds = [(false, false), (true, false), (true, true)];
        kinds.map(|(is_software, is_swiftshader)| Target { is_software, is_swiftshader, integers })
    })
}

/// Calls `check` with every kernel's shaders. All kernels but one are in the work of a routed T5 with more than a few tokens.
fn each_shader(check: impl Fn(&str, &Shader)) {
    let case = Case::load("q8_gguf_q8_0");
    let mut session = case.session_on(Device::exact_cpu(), &case.bases[0]);
    session.start(case.request(2)).unwrap();
    let (plans, _) = session.plans().expect("an answer in the making");
    let gate = gate_training();
    let recordings = plans.into_iter().map(|plan| &plan.recording).chain([&gate]);
    let mut shaders: BTreeMap<(&str, *const &str), Shader> = BTreeMap::new();
    for dispatch in recordings.flat_map(|recording| &recording.dispatches) {
        for target in targets() {
            let name = dispatch.kernel.name;
            let program = (dispatch.kernel.gpu)(dispatch, target);
            let shader = shaders.entry((name, program.source.as_ptr())).or_insert_with(|| {
                let (module, info) = parse(name, &program.source.concat());
                Shader { dispatch, module, info, entries: BTreeSet::new() }
            });
            shader.entries.insert(program.entry);
        }
    }
    let expected: BTreeSet<String> = stems("shaders", "wgsl");
    assert_eq!(shaders.keys().map(|(name, _)| name.to_string()).collect::<BTreeSet<_>>(), expected);
    for ((name, _), shader) in &shaders {
        check(name, shader);
    }
}

/// The one kernel that no answer needs.
fn gate_training() -> Recording {
    let mut device = Device::cpu();
    let mut recording = Recording::default();
    let control = device.alloc(1, 4, DType::U32);
    let [x, gate, deltas] = [1, 1, 1].map(|rows| device.alloc(rows, 8, DType::F32));
    let deltas = Deltas { tensor: deltas, sites: 1, top_k: 1, max_rank: 6, most_experts: 0 };
    let entry = Entry { expert: 0, page: 0, a: 0, b: 0, rank: 1, scale: 1.0, ..Entry::default() };
    let pool = device.alloc(1, 8, DType::U32);
    sigmoid_gate::record(&mut recording, control, Input::Plain(x), gate, entry, 0, pool, deltas);
    recording
}

fn parse(name: &str, source: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    // What every WebGPU has and nothing else: unpack2x16float is a capability to naga, for the sake of old OpenGL.
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    (module, info)
}

/// The names of a folder's files with this ending.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|end| end == extension));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_kernel_has_a_shader_and_every_shader_a_kernel() {
    let mut kernels = stems("src/kernels", "rs");
    // What kernels share.
    for shared in ["mod", "attend", "attend_together", "choice", "gates", "input", "length", "weight"] {
        assert!(kernels.remove(shared));
    }
    assert_eq!(kernels, stems("shaders", "wgsl"));
}

#[test]
fn naga_accepts_every_shader_and_every_entry_point_is_started() {
    each_shader(|name, shader| {
        let points: BTreeSet<&str> = shader.module.entry_points.iter().map(|point| &*point.name).collect();
        assert_eq!(points, shader.entries, "{name}");
    });
}

#[test]
fn bindings_are_what_the_access_list_says() {
    each_shader(|name, Shader { dispatch, module, .. }| {
        let access = dispatch.kernel.access;
        let mut found = BTreeMap::new();
        for (_, variable) in module.global_variables.iter() {
            if let Some(binding) = &variable.binding {
                assert_eq!(binding.group, 0, "{name}: {:?}", variable.name);
                found.insert(binding.binding as usize, variable.space);
            }
        }
        let space = |access: &Access| match access {
            Access::Control => AddressSpace::Uniform,
            Access::Read => AddressSpace::Storage { access: StorageAccess::LOAD },
            Access::Write => AddressSpace::Storage { access: StorageAccess::LOAD | StorageAccess::STORE },
        };
        let launch = [AddressSpace::Uniform];
        let expected: BTreeMap<usize, AddressSpace> =
            access.iter().map(space).chain(launch).enumerate().collect();
        assert_eq!(found, expected, "{name}");
        let is_storage = |space: &&AddressSpace| matches!(space, AddressSpace::Storage { .. });
        let buffers = expected.values().filter(is_storage).count();
        assert!(buffers <= MOST_STORAGE_BUFFERS, "{name}: {buffers} storage buffers");
    });
}

#[test]
fn the_launch_struct_is_a_matrix_for_each_tensor_and_then_the_parameters() {
    each_shader(|name, Shader { dispatch, module, .. }| {
        let (members, span) = structure(module, "Launch");
        let tensors = dispatch.kernel.access.len();
        assert!(members.len() >= tensors, "{name}: a matrix for each tensor");
        let (matrices, parameters) = members.split_at(tensors);
        for (index, member) in matrices.iter().enumerate() {
            let ty = &module.types[member.ty];
            assert_eq!(ty.name.as_deref(), Some("Matrix"), "{name}: {:?}", member.name);
            assert_eq!(member.offset, index as u32 * MATRIX_BYTES, "{name}: {:?}", member.name);
        }
        let first = tensors as u32 * MATRIX_BYTES;
        for (index, member) in parameters.iter().enumerate() {
            assert_eq!(member.offset, first + 4 * index as u32, "{name}: {:?}", member.name);
        }
        let found: Vec<(String, &str)> = (parameters.iter())
            .map(|member| (member.name.clone().unwrap(), scalar(module, member.ty)))
            .collect();
        let expected = rust_members(&read(&format!("src/kernels/{name}.rs")));
        let expected: Vec<(String, &str)> = expected.iter().map(|(name, ty)| (name.clone(), &**ty)).collect();
        assert_eq!(found, expected, "{name}: parameters in WGSL and in Rust");
        assert_eq!(dispatch.params.len(), 4 * parameters.len(), "{name}: bytes of the parameters");
        // The device fills the struct up to whole 16 bytes.
        let handed = (first + dispatch.params.len() as u32).next_multiple_of(16);
        assert!(span <= handed, "{name}: {span} bytes, {handed} are handed over");
    });
}

#[test]
fn a_matrix_and_the_control_words_are_as_rust_lays_them_out() {
    each_shader(|name, Shader { module, .. }| {
        for (structure_name, expected) in [
            ("Matrix", ["offset", "rows", "cols", "unused"]),
            ("Control", ["position", "halted", "first", "token"]),
        ] {
            let (members, span) = structure(module, structure_name);
            let names: Vec<_> = members.iter().map(|member| member.name.as_deref().unwrap()).collect();
            assert_eq!(names, expected, "{name}: {structure_name}");
            assert!(members.iter().all(|member| scalar(module, member.ty) == "u32"), "{name}");
            assert_eq!(span, 16, "{name}: {structure_name}");
        }
    });
}

#[test]
fn workgroups_are_within_the_limits_of_every_webgpu() {
    each_shader(|name, Shader { module, info, .. }| {
        for (index, point) in module.entry_points.iter().enumerate() {
            let threads: u32 = point.workgroup_size.iter().product();
            assert!(threads <= MOST_THREADS, "{name}: {} has {threads} threads", point.name);
            let uses = info.get_entry_point(index);
            let bytes: u32 = (module.global_variables.iter())
                .filter(|(handle, variable)| {
                    variable.space == AddressSpace::WorkGroup && !uses[*handle].is_empty()
                })
                .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
                .sum();
            assert!(bytes <= MOST_WORKGROUP_BYTES, "{name}: {} has {bytes} bytes", point.name);
        }
    });
}

/// `@group(0) @binding(1) var<storage, read> x: array<f32>; // (tokens, d)`
#[test]
fn the_line_of_every_binding_says_its_shape() {
    for stem in stems("shaders", "wgsl") {
        let text = read(&format!("shaders/{stem}.wgsl"));
        let lines = text.lines().filter(|line| line.contains("@binding("));
        for line in lines.filter(|line| !line.contains(": Control;") && !line.contains(": Launch;")) {
            let comment = line.split_once("; // (").map(|(_, comment)| comment);
            assert!(comment.is_some_and(|shape| shape.contains(')')), "shaders/{stem}.wgsl: {line}");
        }
    }
}

/// Checked with another version than the one that compiles, they would not be checked.
#[test]
fn there_is_one_naga() {
    assert_eq!(read("Cargo.lock").matches("\nname = \"naga\"\n").count(), 1);
}

/// The members of a struct, and its size.
fn structure<'a>(module: &'a Module, name: &str) -> (&'a [StructMember], u32) {
    let mut types = module.types.iter().map(|(_, ty)| ty);
    match types.find(|ty| ty.name.as_deref() == Some(name)).map(|ty| &ty.inner) {
        Some(TypeInner::Struct { members, span }) => (members, *span),
        other => panic!("{name} is {other:?}"),
    }
}

fn scalar(module: &Module, ty: Handle<Type>) -> &'static str {
    match module.types[ty].inner {
        TypeInner::Scalar(Scalar::U32) => "u32",
        TypeInner::Scalar(Scalar::F32) => "f32",
        ref other => panic!("{other:?} is no parameter"),
    }
}

/// Names and types of the members of `struct Params` in some Rust.
fn rust_members(text: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = text.split_once("\nstruct Params {\n") else { return Vec::new() };
    let (body, _) = rest.split_once("\n}").expect("the end of the struct");
    let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines
        .map(|line| {
            let (name, ty) = line.trim_end_matches(',').split_once(": ").expect("a member");
            (name.to_owned(), ty.to_owned())
        })
        .collect()
}
