//! The hand-off and what follows it, between real processes.
//!
//! This binary plays all parts: the tests start it again as home (`actor home`), which starts it
//! as the peer (`actor … receive`), and replaces itself by it as the pump (`actor pump`). The
//! program that moves is a shell script: the payload. What an actor is to do wrong is in the
//! environment.

mod actors;
mod dying;
mod run;
mod signals;
mod speed;
mod starts;
mod streams;
mod terminal;

use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};

fn main() {
    let mut args = std::env::args_os();
    if args.nth(1).is_some_and(|word| word == "actor") {
        actors::act(args.collect());
    }
    // Whoever runs this may ignore them, as `nohup` and a shell's background do, and so would every program
    // that is moved.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: no handler is installed.
        unsafe { sigaction(signal, &default) }.expect("a signal can be reset");
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = [
        starts::trials(),
        dying::trials(),
        streams::trials(),
        signals::trials(),
        terminal::trials(),
        speed::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
