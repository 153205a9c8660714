//! The check of layouts against the running interpreter: the right one passes, every other one is
//! refused in words and nothing is followed that is not there.

use capture::cpython::check::{self, CheckError};
use capture::cpython::{
    CurrentFrame, Depth, EvalFrame, FrameLayout, GeneratorFrame, Instruction, Layout, Owner, CURRENT, LAYOUTS,
};
use pyo3::prelude::*;

fn refused(layout: &Layout) -> &'static str {
    Python::attach(|py| match check::layout(py, layout) {
        Ok(()) => panic!("passed: {layout:?}"),
        Err(CheckError::Layout { field, .. }) => field,
        Err(error) => panic!("refused for another reason: {error}"),
    })
}

fn with_frame(change: impl FnOnce(&mut FrameLayout)) -> Layout {
    let mut layout = Layout { ..*CURRENT };
    change(&mut layout.frame);
    layout
}

#[test]
fn the_layout_of_this_release_passes() {
    Python::initialize();
    Python::attach(|py| check::interpreter(py).unwrap());
}

#[test]
fn the_layout_of_another_release_is_refused() {
    Python::initialize();
    for layout in LAYOUTS.iter().filter(|layout| layout.release != CURRENT.release) {
        refused(layout);
    }
}

#[test]
fn every_field_that_moved_is_noticed() {
    Python::initialize();
    assert_eq!(refused(&with_frame(|frame| frame.code += 8)), "f_code");
    assert_eq!(refused(&with_frame(|frame| frame.globals += 8)), "f_globals");
    assert_eq!(refused(&with_frame(|frame| frame.slots += 8)), "f_localsplus");
    if CURRENT.frame.function.is_some() {
        let moved = with_frame(|frame| frame.function = frame.function.map(|offset| offset + 8));
        assert_eq!(refused(&moved), "f_func");
    }
    refused(&with_frame(|frame| match &mut frame.instruction {
        Instruction::LastByte(offset)
        | Instruction::LastNumber(offset)
        | Instruction::LastUnit(offset)
        | Instruction::InProgress(offset) => *offset += 8,
    }));
    refused(&with_frame(|frame| match &mut frame.depth {
        Depth::Top(offset) | Depth::Count(offset) | Depth::CountWithLocals(offset) => *offset -= 4,
    }));
    refused(&with_frame(|frame| match &mut frame.owner {
        Owner::Field { generator, .. } => *generator += 8,
        Owner::Byte { offset, .. } => *offset += 8,
    }));
    let mut layout = Layout { ..*CURRENT };
    layout.code_object.name += 8;
    assert_eq!(refused(&layout), "co_name");
    let mut layout = Layout { ..*CURRENT };
    match &mut layout.generator.frame {
        GeneratorFrame::Pointer { frame, .. } => *frame += 16,
        // To the top of the type's address, which is zero: the byte before it is left unset in some generators.
        GeneratorFrame::Inside { state, .. } => *state = 15,
    }
    refused(&layout);
    let mut layout = Layout { ..*CURRENT };
    layout.thread.exc_info += 8;
    assert_eq!(refused(&layout), "exc_info");
    if let EvalFrame::Field(offset) = CURRENT.eval_frame {
        for moved in [offset - 8, offset + 8] {
            let mut layout = Layout { ..*CURRENT };
            layout.eval_frame = EvalFrame::Field(moved);
            assert_eq!(refused(&layout), "eval_frame");
        }
    }
}

#[test]
fn the_chain_of_frames_is_checked_where_there_is_one() {
    Python::initialize();
    let mut layout = Layout { ..*CURRENT };
    match &mut layout.thread.current {
        CurrentFrame::Direct(offset) => *offset += 8,
        CurrentFrame::Through { field, .. } => *field += 8,
    }
    Python::attach(|py| {
        // Called from Python, so that a frame runs.
        let called = pyo3::types::PyCFunction::new_closure(py, None, None, move |args, _| {
            check::layout(args.py(), &layout).is_err()
        });
        let globals = pyo3::types::PyDict::new(py);
        globals.set_item("called", called.unwrap()).unwrap();
        let refused = py.eval(c"called()", Some(&globals), None).unwrap();
        assert!(refused.extract::<bool>().unwrap());
    });
}
