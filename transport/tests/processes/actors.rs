//! The parts: home, the pump it becomes, a peer, and what can stand between them.

use nix::sys::signal::{SigSet, Signal};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use transport::{
    command, pump, Arriving, BuildIdentity, Going, Hello, PayloadSource, Peer, ReceiveCommand, Receiver,
    TransportError,
};

/// Exit status of a home whose program goes on there.
pub const AT_HOME: i32 = 42;

/// Plays the part that the words name.
pub fn act(words: Vec<OsString>) -> ! {
    let rest = words.get(1..).unwrap_or_default();
    match words.first().and_then(|word| word.to_str()) {
        Some("home") => home(rest),
        Some("pump") => pump::run(rest),
        Some("far") => far(rest),
        Some("listener") => listener(),
        Some("garbage") => garbage(rest),
        // `-m pyteleport receive --fd N [--inode I]`
        Some("-m") => peer(rest),
        _ => panic!("no such part: {words:?}"),
    }
}

/// A program that names each signal it gets, and ends with TERM.
///
/// It waits for blocked signals: a shell's `wait` can miss one that comes just before it.
fn listener() -> ! {
    let signals = SigSet::all();
    signals.thread_block().unwrap();
    let mut out = io::stdout();
    writeln!(out, "ready").unwrap();
    loop {
        let signal = signals.wait().unwrap();
        writeln!(out, "{}", &signal.as_str()[3..]).unwrap();
        if signal == Signal::SIGTERM {
            process::exit(4);
        }
    }
}

fn option(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn die_if(step: &str) {
    if option("DIE_AT").as_deref() == Some(step) {
        Command::new("kill")
            .args(["-KILL", &process::id().to_string()])
            .status()
            .unwrap();
    }
}

fn hello() -> Hello {
    Hello {
        build: BuildIdentity {
            implementation: "shell".into(),
            version: (1, 2, 3),
            cache_tag: "shell-12".into(),
            platform: "linux".into(),
            machine: "any".into(),
            pyteleport: "0".into(),
        },
        host: "here".into(),
        pid: process::id(),
        hashes: Vec::new(),
        options: Vec::new(),
    }
}

/// A payload, as long as it is to be, and how it goes wrong.
struct Script(Vec<u8>);

/// Between the script and what makes it long.
const PADDING: &[u8] = b"\n# padding";

impl Script {
    fn padding() -> u64 {
        option("MEGABYTES").map_or(0, |count| count.parse::<u64>().unwrap() << 20)
    }
}

impl PayloadSource for Script {
    fn len(&self) -> u64 {
        (self.0.len() + PADDING.len()) as u64 + Script::padding()
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        match option("PAYLOAD").as_deref() {
            Some("long") => out.write_all(&vec![0; self.len() as usize + 1]),
            Some("short") => out.write_all(&vec![0; self.len() as usize - 1]),
            Some("broken") => Err(io::Error::other("the source broke")),
            _ => {
                let (first, second) = self.0.split_at(self.0.len() / 2);
                out.write_all(first)?;
                if option("HOME_DIES_AT").as_deref() == Some("payload") {
                    out.flush()?;
                }
                home_dies_if("payload");
                out.write_all(second)?;
                out.write_all(PADDING)?;
                let block = vec![b'#'; 1 << 20];
                (0..Script::padding() >> 20).try_for_each(|_| out.write_all(&block))
            }
        }
    }
}

fn home_dies_if(step: &str) {
    if option("HOME_DIES_AT").as_deref() == Some(step) {
        Command::new("kill")
            .args(["-KILL", &process::id().to_string()])
            .status()
            .unwrap();
    }
}

/// `home WAY SCRIPT`
fn home(words: &[OsString]) -> ! {
    match try_home(&words[0], words[1].clone().into_vec()) {
        Ok(never) => match never {},
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(" <- {source}"));
            println!("at home: {error}{}", source.unwrap_or_default());
            println!(
                "kind: {}",
                format!("{error:?}").split(['(', ' ']).next().unwrap_or_default()
            );
            process::exit(AT_HOME)
        }
    }
}

fn try_home(way: &OsStr, script: Vec<u8>) -> Result<std::convert::Infallible, TransportError> {
    let this = env::current_exe().unwrap();
    let mut asked = 0;
    let mut interrupted = || {
        asked += 1;
        option("INTERRUPT").is_some()
    };
    let mut peer = if way == "direct" {
        let argv = match option("ARGV") {
            Some(argv) => argv.split('|').map(OsString::from).collect(),
            None => ["actor", "-m", "pyteleport", "receive", "--fd", "{fd}"]
                .map(OsString::from)
                .to_vec(),
        };
        let argv: Vec<OsString> = match option("ARGV") {
            Some(_) => argv,
            None => [vec![this.clone().into_os_string()], argv].concat(),
        };
        Peer::spawn_direct(
            &argv,
            &[("ADDED".into(), Some("by home".into())), ("REMOVED".into(), None)],
        )?
    } else {
        let mut python = command::quote_word(this.as_os_str());
        python.push(" actor");
        let command = ReceiveCommand {
            copies: false,
            python: option("PYTHON").map_or(python, OsString::from),
            before: option("BEFORE").map(OsString::from),
            ..ReceiveCommand::default()
        };
        let argv = match option("ARGV") {
            Some(argv) => argv.split('|').map(OsString::from).collect(),
            None if way == "own" => vec!["sh".into(), "-c".into()],
            None => vec![this.clone().into(), "actor".into(), "far".into()],
        };
        Peer::spawn_command(&argv, &command)?
    };
    home_dies_if("start");
    if let Some(pid_file) = option("PEER_PID") {
        std::fs::write(pid_file, peer.pid().to_string()).unwrap();
    }
    let refusal = option("REFUSE");
    let theirs = peer.hello(
        &hello(),
        |_| refusal.map_or(Ok(()), Err),
        |said| Err(TransportError::Misfit(said.to_owned())),
        &mut interrupted,
    )?;
    assert_eq!(theirs.build, hello().build);
    home_dies_if("hello");
    let ready = peer.offer(&Script(script), Going::Moves, &mut interrupted)?;
    home_dies_if("ready");
    if let Some(pid) = option("KILL_WHEN_READY").and(option("PEER_PID")) {
        // The peer itself, or what leads to it.
        let pid = std::fs::read_to_string(pid).unwrap();
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    }
    let committed = ready.commit(&mut interrupted)?;
    if option("RAISE").is_some() {
        Command::new("kill")
            .args(["-USR1", &process::id().to_string()])
            .status()
            .unwrap();
    }
    let args = committed.into_pump_args()?;
    let error = Command::new(&this).args(["actor", "pump"]).args(args).exec();
    panic!("{error}");
}

/// `far COMMAND`: a command that passes on nothing but standard input, output and error.
fn far(words: &[OsString]) -> ! {
    if let Some(noise) = option("NOISE") {
        io::stdout().write_all(noise.as_bytes()).unwrap();
        io::stdout().flush().unwrap();
    }
    let close = "for fd in $(ls /proc/self/fd); do [ \"$fd\" -gt 2 ] && eval \"exec $fd>&-\"; done";
    // bash: its descriptors may have numbers of two digits.
    let error = Command::new("bash")
        .args(["-c", &format!("{close}; exec sh -c \"$1\""), "far"])
        .args(&words[..1])
        .exec();
    panic!("{error}");
}

/// `garbage FD TEXT`: a direct peer that says something else.
fn garbage(words: &[OsString]) -> ! {
    let redirect = format!(
        "printf '{}' >&{}",
        words[1].to_str().unwrap(),
        words[0].to_str().unwrap()
    );
    let error = Command::new("bash").args(["-c", &redirect]).exec();
    panic!("{error}");
}

/// `pyteleport receive --fd N [--inode I]`
fn peer(words: &[OsString]) -> ! {
    let number = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words[at + 1].to_str()?.parse::<u64>().ok()
    };
    // Open as long as this process, and a relay, are there.
    let alive = option("ALIVE")
        .filter(|_| option("HOLD").is_none())
        .map(|path| File::options().write(true).open(path).unwrap());
    let fd = number("--fd").unwrap() as i32;
    die_if("start");
    let outcome = match number("--inode") {
        None => Receiver::from_fd(fd),
        Some(inode) => Receiver::from_stdio_or_fd(fd, inode),
    };
    match outcome.and_then(receive) {
        Ok(script) => {
            drop(alive);
            // What Python does itself when it puts the program's handlers in place.
            let sh = ["--default-signal=INT,PIPE", "sh", "-c"];
            let error = Command::new("env")
                .args(sh)
                .arg(OsString::from_vec(script))
                .exec();
            panic!("{error}");
        }
        Err(TransportError::HomeGaveUp) => process::exit(0),
        Err(error) => {
            eprintln!("peer: {error}");
            process::exit(1)
        }
    }
}

fn receive(mut receiver: Receiver) -> Result<Vec<u8>, TransportError> {
    let words: Vec<String> = std::env::args().collect();
    let place = words.iter().position(|word| word == "--terminal");
    let terminal = place.and_then(|place| transport::terminal::HasTerminal::of_word(&words[place + 1]));
    receiver.split_off_relay(terminal, false)?;
    if option("CHATTY").is_some() {
        // More than any pipe holds.
        io::stdout().write_all(&vec![b'.'; 4 << 20]).unwrap();
        io::stdout().flush().unwrap();
    }
    die_if("split");
    if let Some(text) = option("FAIL_FIRST") {
        receiver.failed("ResumeError", &text)?;
        process::exit(1);
    }
    receiver.hello(&hello())?;
    die_if("hello");
    let mut arriving = receiver.offer()?;
    die_if("offer");
    if let Some(text) = option("FAIL") {
        arriving.failed("ResumeError", &text)?;
        process::exit(1);
    }
    let mut script = Vec::new();
    match option("DIE_AT").as_deref() {
        Some("half") => {
            arriving.read_exact(&mut [0; 2]).unwrap();
            die_if("half");
        }
        _ => read_script(&mut arriving, &mut script).map_err(|_| TransportError::HomeGaveUp)?,
    }
    die_if("decoded");
    let standby = arriving.ready()?;
    die_if("ready");
    let held = standby.wait_commit()?;
    die_if("commit");
    held.release();
    Ok(script)
}

/// Reads the payload in large blocks, and keeps what is before the padding.
fn read_script(arriving: &mut Arriving, script: &mut Vec<u8>) -> io::Result<()> {
    let mut left = arriving.payload_len();
    let mut block = vec![0; left.min(1 << 20) as usize];
    while left > 0 {
        let block = &mut block[..left.min(1 << 20) as usize];
        arriving.read_exact(block)?;
        if script.is_empty() {
            let end = block
                .windows(PADDING.len())
                .position(|window| window == PADDING)
                .unwrap();
            script.extend(&block[..end]);
            script.push(b'\n');
        }
        left -= block.len() as u64;
    }
    assert_eq!(arriving.read(&mut [0]).unwrap(), 0);
    Ok(())
}
