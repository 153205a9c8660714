//! Starting home, and seeing what came of it.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

/// The ways to reach a peer.
pub const WAYS: [&str; 3] = ["direct", "own", "stdio"];

/// Home, about to move a script.
pub fn home(way: &str, script: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["actor", "home", way, script]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub status: ExitStatus,
}

impl Outcome {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Exit status, or a signal's number made negative.
    pub fn ending(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| -self.status.signal().unwrap())
    }

    /// The error of a move whose program goes on at home.
    pub fn refusal(&self) -> &str {
        assert_eq!(self.ending(), crate::actors::AT_HOME, "{self:?}");
        let start = self
            .text()
            .find("at home: ")
            .unwrap_or_else(|| panic!("{self:?}"));
        &self.text()[start..]
    }
}

/// Runs it with this input.
pub fn finish(command: &mut Command, input: &[u8]) -> Outcome {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Outcome {
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
    }
}

/// A home that is talked to while its program runs.
pub struct Talk {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<BufReader<ChildStdout>>,
}

impl Talk {
    pub fn start(command: &mut Command) -> Talk {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Talk {
            stdin: child.stdin.take(),
            stdout,
            child,
        }
    }

    /// The next line of the program.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The rest.
    pub fn finish(mut self) -> Outcome {
        drop(self.stdin.take());
        let mut stdout = Vec::new();
        if let Some(mut rest) = self.stdout.take() {
            rest.read_to_end(&mut stdout).unwrap();
        }
        let mut stderr = String::new();
        if let Some(mut rest) = self.child.stderr.take() {
            rest.read_to_string(&mut stderr).unwrap();
        }
        Outcome {
            stdout,
            stderr,
            status: self.child.wait().unwrap(),
        }
    }
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap()
        .success());
}

/// Makes trials of functions that take a way.
#[macro_export]
macro_rules! each_way {
    ($($test:ident),* $(,)?) => {{
        let mut trials = Vec::new();
        $(for way in $crate::run::WAYS {
            trials.push(libtest_mimic::Trial::test(format!("{}_{way}", stringify!($test)), move || {
                $test(way);
                Ok(())
            }));
        })*
        trials
    }};
}

/// Makes trials of functions.
#[macro_export]
macro_rules! each {
    ($($test:ident),* $(,)?) => {
        vec![$(libtest_mimic::Trial::test(stringify!($test), || { $test(); Ok(()) })),*]
    };
}
