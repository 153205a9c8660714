//! Ways to another process, and the hand-off of a program over them.
