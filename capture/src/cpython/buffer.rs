//! The memory of bytes-like objects, without copies.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyMemoryError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use std::ops::Deref;

/// The memory of a bytes-like object, which is kept alive and in place.
///
/// It may be read without the GIL. The program is stopped while its snapshot travels, so nobody
/// writes to it.
pub struct HeldBuffer(PyBuffer<u8>);

impl HeldBuffer {
    /// Takes hold of an object's memory, which must be in one piece.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(object)?;
        if !buffer.is_c_contiguous() && !buffer.is_fortran_contiguous() {
            return Err(PyBufferError::new_err("the buffer is not in one piece"));
        }
        Ok(Self(buffer))
    }

    /// Where it begins.
    pub fn address(&self) -> usize {
        self.0.buf_ptr() as usize
    }
}

/// Whether the memory of an object may not be written to.
pub fn is_fixed(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    PyBuffer::<u8>::get(object)
        .map(|buffer| buffer.readonly())
        .or_else(|_| PyMemoryView::from(object)?.getattr("readonly")?.extract())
}

impl Deref for HeldBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer protocol keeps the memory in place while the view is held; it is in one
        // piece, and, see above, nobody writes to it meanwhile.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}

/// A bytearray whose memory `fill` writes, all of it, with the GIL released.
pub fn filled_bytearray<'py, E: Send>(
    py: Python<'py>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E> + Send,
) -> PyResult<Result<Bound<'py, PyByteArray>, E>> {
    let size = size_of(length)?;
    // SAFETY: with no source the memory is only allocated; the object is ours alone until it is
    // returned, so that nobody sees or moves the memory while it is filled.
    let (array, memory) = unsafe {
        let raw = ffi::PyByteArray_FromStringAndSize(core::ptr::null(), size);
        let array = Bound::from_owned_ptr_or_err(py, raw)?.cast_into_unchecked::<PyByteArray>();
        let memory = std::slice::from_raw_parts_mut(array.data(), length);
        (array, memory)
    };
    in_large_pages(memory);
    Ok(py.detach(|| fill(memory)).map(|()| array))
}

/// Bytes that `fill` writes, all of them, with the GIL released.
pub fn filled_bytes<'py, E: Send>(
    py: Python<'py>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E> + Send,
) -> PyResult<Result<Bound<'py, PyBytes>, E>> {
    let size = size_of(length)?;
    // SAFETY: as above; nobody has asked for their hash, either.
    let (bytes, memory) = unsafe {
        let raw = ffi::PyBytes_FromStringAndSize(core::ptr::null(), size);
        let bytes = Bound::from_owned_ptr_or_err(py, raw)?.cast_into_unchecked::<PyBytes>();
        let memory = std::slice::from_raw_parts_mut(ffi::PyBytes_AsString(bytes.as_ptr()).cast(), length);
        (bytes, memory)
    };
    in_large_pages(memory);
    Ok(py.detach(|| fill(memory)).map(|()| bytes))
}

fn size_of(length: usize) -> PyResult<ffi::Py_ssize_t> {
    ffi::Py_ssize_t::try_from(length)
        .map_err(|_| PyMemoryError::new_err(format!("a buffer of {length} bytes")))
}

/// As much memory as is worth large pages, which NumPy takes from 4 MB on, too.
const LARGE: usize = 4 << 20;
const PAGE: usize = 4096;

/// Asks the kernel for large pages under fresh memory: one fault for 2 MB in place of 512. A kernel without them is
/// as slow as it was.
fn in_large_pages(memory: &mut [u8]) {
    if memory.len() < LARGE {
        return;
    }
    let ahead = memory.as_ptr().align_offset(PAGE);
    let whole = &mut memory[ahead..];
    // SAFETY: the range is memory of ours from a page's beginning on; the advice changes nothing in it.
    unsafe {
        libc::madvise(
            whole.as_mut_ptr().cast(),
            whole.len() / PAGE * PAGE,
            libc::MADV_HUGEPAGE,
        );
    }
}
