//! The standard library's code, all of it, as the running interpreter compiles it.

use capture::cpython::codeobject::{slot_names_of, CodeInfo};
use pyo3::prelude::*;
use pyo3::types::{PyCode, PyModule};

/// Compiles the library, and asks CPython for the slots.
const HELPER: &std::ffi::CStr = cr#"
import pathlib, sysconfig, types, warnings

def codes_in(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)

def library():
    warnings.simplefilter("ignore")
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if {"site-packages", "dist-packages", "test", "tests"} & set(path.parts):
            continue
        try:
            module = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            continue  # lib2to3 has files that are none
        yield from codes_in(module)

def numbered(code):
    "The slots as CPython numbers them, None where it does not tell."
    if not hasattr(code, "_varname_from_oparg"):
        return None
    names = []
    while True:
        try:
            names.append(code._varname_from_oparg(len(names)))
        except IndexError:
            return names
"#;

#[test]
fn every_code_object_of_the_standard_library_is_understood() {
    Python::initialize();
    Python::attach(|py| {
        let helper = PyModule::from_code(py, HELPER, c"helper.py", c"helper").unwrap();
        let numbered = helper.getattr("numbered").unwrap();
        let mut seen = 0;
        for code in helper
            .getattr("library")
            .unwrap()
            .call0()
            .unwrap()
            .try_iter()
            .unwrap()
        {
            let code = code.unwrap().cast_into::<PyCode>().unwrap();
            let info = CodeInfo::of(&code).unwrap_or_else(|error| panic!("{code}: {error}"));
            let facts = &info.facts;
            let depths = facts.instructions().filter_map(|it| facts.depth_before(&it));
            let deepest = depths.max().unwrap_or(0).into();
            assert!(
                info.stack_size >= deepest,
                "{code}: {deepest} > {}",
                info.stack_size
            );
            let slots = slot_names_of(&code).unwrap();
            assert_eq!(info.slots, slots.len(), "{code}");
            let expected: Option<Vec<String>> = numbered.call1((&code,)).unwrap().extract().unwrap();
            if let Some(expected) = expected {
                assert_eq!(slots, expected, "{code}");
            }
            seen += 1;
        }
        assert!(seen > 10_000, "{seen}");
        eprintln!("{seen} code objects of the standard library");
    });
}
