//! Is the interpreter the one that CURRENT was written for?
