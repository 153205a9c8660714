//! The extension module `pyteleport._native`: names and docstrings only.
//!
//! `evaluator` is the file to open first; `depart` and `arrive` are the two ends of a move, step for
//! step alike; `graph` is what the Python side of the object graph asks of us.

#![forbid(unsafe_code)]

mod arrive;
mod closing;
mod depart;
mod encode;
mod errors;
mod evaluator;
mod frames;
mod generators;
mod graph;
mod identity;
mod install;
mod meanwhile;
mod patches;
mod progress;
mod prompt;
mod rest;
mod show;
mod signals;
mod steps;
mod tail;
mod threads;
mod times;
mod trip;
mod warm;

use pyo3::prelude::*;

/// The native half of pyteleport.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn begin(module: &Bound<'_, PyModule>) -> PyResult<()> {
        capture::cpython::lifecycle::remember_start(module.py())
    }

    #[pymodule_export]
    use super::arrive::{
        become_like_file, enter_folder, receive, receive_on, receive_warm, resume_above, resume_file,
    };
    #[pymodule_export]
    use super::depart::{depart, dump, dump_to, fork, pump};
    #[pymodule_export]
    use super::encode::Capture;
    #[pymodule_export]
    use super::frames::{generator_of_frame, is_frame_over, new_frame, read_frame, write_frame};
    #[pymodule_export]
    use super::generators::{
        await_running, generator_function, is_closing, mark_closing, new_generator, read_generator,
        write_generator,
    };
    #[pymodule_export]
    use super::graph::{
        address_of_memory, atexit_entries, blank_like, bound_again, buffered_unread, environment, has_field,
        hash_secret, own_attributes, read_field, read_fields, referent, set_in_order, set_places,
        set_rearrange, text_give_back, text_newline, text_unread, write_field, write_fields, GraphDecoder,
        GraphEncoder,
    };
    #[pymodule_export]
    use super::install::{check_interpreter, hook_status, install_hook, uninstall_hook};
    #[pymodule_export]
    use super::patches::{own_entries, own_values};
    #[pymodule_export]
    use super::prompt::{flags_with, read_by_the_byte, run_empty_statements, sync_input};
    #[pymodule_export]
    use super::show::sizes;
    #[pymodule_export]
    use super::threads::{abandon_threads, close_gate, key_of_local, main_ended, ThreadStack};
    #[pymodule_export]
    use super::times::last_move_times;
    #[pymodule_export]
    use super::trip::{come_home, keep_for_good, send_guest, tell_home, wait_guest, GuestLines};
    #[pymodule_export]
    use super::warm::{prepare, server_path};
}
