//! The shell command that starts a peer: text in, text out.
//!
//! It is given to some program as one more argument (`ssh host COMMAND`, `bash -c COMMAND`), which
//! has a shell read it. That shell may be any login shell, so the command keeps to what they have
//! in common: words, single quotes, `&&`, and the program `env`.

use crate::terminal::HasTerminal;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What to start at the far end of a command.
#[derive(Debug, Clone)]
pub struct ReceiveCommand {
    /// How Python is started there, as shell text: `python`, `~/venv/bin/python`, `python3 -X dev`.
    pub python: OsString,
    /// Shell text to run first, such as `conda activate py39`. The peer starts if it succeeds.
    pub before: Option<OsString>,
    /// The directory to start in.
    pub cwd: Option<OsString>,
    /// Variables to set.
    pub env: Vec<(OsString, OsString)>,
    /// Whether copies are to be made there.
    pub copies: bool,
    /// Python source that receives; without it, the installed package does.
    pub begin: Option<OsString>,
    /// Whether the program lives on there when the connection breaks.
    pub detach: bool,
}

impl Default for ReceiveCommand {
    fn default() -> Self {
        ReceiveCommand {
            python: "python".into(),
            before: None,
            cwd: None,
            env: Vec::new(),
            copies: false,
            begin: None,
            detach: false,
        }
    }
}

impl ReceiveCommand {
    /// The command. `fd` and `inode` name a socket that the peer finds open if the command is run
    /// by a local shell; a peer elsewhere sees that it has none like it and takes its standard
    /// input and output.
    ///
    /// ```text
    /// conda activate py39 && cd '/some where' && env A='b c' python -m pyteleport receive --fd 5 --inode 12345
    /// ```
    pub fn text(&self, fd: i32, inode: u64, terminal: Option<HasTerminal>) -> OsString {
        let mut text = Vec::new();
        if let Some(before) = self
            .before
            .as_ref()
            .map(|before| without_separator(before.as_bytes()))
        {
            if !before.is_empty() {
                text.extend(before);
                text.extend(b" && ");
            }
        }
        if let Some(cwd) = &self.cwd {
            text.extend(b"cd ");
            text.extend(directory(cwd.as_bytes()));
            text.extend(b" && ");
        }
        if !self.env.is_empty() {
            text.extend(b"env ");
            for (name, value) in &self.env {
                text.extend(quote(name.as_bytes()));
                text.push(b'=');
                text.extend(quote(value.as_bytes()));
                text.push(b' ');
            }
        }
        text.extend(self.python.as_bytes());
        match &self.begin {
            Some(source) => {
                text.extend(b" -c ");
                text.extend(quote(source.as_bytes()));
            }
            None => text.extend(b" -m pyteleport receive"),
        }
        text.extend(format!(" --fd {fd} --inode {inode}").into_bytes());
        if self.copies {
            text.extend(b" --copies");
        }
        if self.detach {
            text.extend(b" --detach");
        }
        if let Some(terminal) = terminal {
            text.extend(b" --terminal ");
            text.extend(terminal.word().into_bytes());
        }
        OsString::from_vec(text)
    }
}

/// One word for a shell, whatever is in it.
pub fn quote_word(word: &OsStr) -> OsString {
    OsString::from_vec(quote(word.as_bytes()))
}

fn quote(word: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:,@+".contains(byte);
    match !word.is_empty() && word.iter().all(plain) {
        true => word.to_vec(),
        false => {
            let mut quoted = vec![b'\''];
            for byte in word {
                match byte {
                    b'\'' => quoted.extend(b"'\\''"),
                    byte => quoted.push(*byte),
                }
            }
            quoted.push(b'\'');
            quoted
        }
    }
}

/// A directory that starts with `-` is not an option, and a `~` is the home there.
fn directory(path: &[u8]) -> Vec<u8> {
    match path {
        [b'~'] => path.to_vec(),
        [b'~', b'/', rest @ ..] => [b"~/", quote(rest).as_slice()].concat(),
        [b'-', ..] => [b"./", quote(path).as_slice()].concat(),
        _ => quote(path),
    }
}

/// Text to run first, without the separator that it may end with.
fn without_separator(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii();
    while let Some(shorter) = text.strip_suffix(b";").or_else(|| text.strip_suffix(b"&&")) {
        text = shorter.trim_ascii_end();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn text(command: &ReceiveCommand) -> String {
        command.text(5, 77, None).into_string().unwrap()
    }

    #[test]
    fn the_plainest_command_is_readable() {
        assert_eq!(
            text(&ReceiveCommand::default()),
            "python -m pyteleport receive --fd 5 --inode 77"
        );
    }

    #[test]
    fn every_part_is_in_its_place() {
        let command = ReceiveCommand {
            python: "python3 -X dev".into(),
            before: Some("conda activate py39; ".into()),
            cwd: Some("/some where".into()),
            env: vec![("A".into(), "b c".into()), ("EMPTY".into(), "".into())],
            copies: true,
            begin: Some("print(1)".into()),
            detach: false,
        };
        assert_eq!(
            text(&command),
            "conda activate py39 && cd '/some where' && env A='b c' EMPTY='' \
             python3 -X dev -c 'print(1)' --fd 5 --inode 77 --copies"
        );
    }

    #[test]
    fn text_to_run_first_may_end_in_a_separator_or_be_blank() {
        for (before, expected) in [
            ("a;", "a && "),
            ("a && ", "a && "),
            (" a ; b;; ", "a ; b && "),
            (" ; ", ""),
            ("", ""),
        ] {
            let command = ReceiveCommand {
                before: Some(before.into()),
                ..Default::default()
            };
            assert!(
                text(&command).starts_with(&format!("{expected}python ")),
                "{before:?}"
            );
        }
    }

    #[test]
    fn directories_keep_their_tilde_and_are_no_options() {
        for (cwd, expected) in [
            ("~", "cd ~ && "),
            ("~/a b", "cd ~/'a b' && "),
            ("-P", "cd ./-P && "),
            ("a'b", "cd 'a'\\''b' && "),
        ] {
            let command = ReceiveCommand {
                cwd: Some(cwd.into()),
                ..Default::default()
            };
            assert!(text(&command).starts_with(expected), "{}", text(&command));
        }
    }

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        let every: Vec<u8> = (1..=255).collect();
        for word in [
            &b"plain"[..],
            b"",
            b"'",
            b"''",
            b"a'b\"c",
            b"$HOME `id` \\ !! *",
            b"\n\n",
            &every,
        ] {
            let mut line = OsString::from("printf %s ");
            line.push(quote_word(OsStr::from_bytes(word)));
            let output = Command::new("sh").arg("-c").arg(&line).output().unwrap();
            assert_eq!(output.stdout, word, "{line:?}");
        }
    }

    #[test]
    fn variables_and_directory_arrive_through_a_shell() {
        let directory = tempfile::Builder::new().prefix("it's $here ").tempdir().unwrap();
        let command = ReceiveCommand {
            python: "sh -c 'printf %s: \"$A\"; pwd' ignored".into(),
            before: Some("true;".into()),
            cwd: Some(directory.path().into()),
            env: vec![("A".into(), "two  words'".into())],
            copies: false,
            detach: false,
            begin: None,
        };
        let output = Command::new("sh")
            .arg("-c")
            .arg(command.text(3, 4, None))
            .output()
            .unwrap();
        let expected = format!("two  words':{}\n", directory.path().display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn the_peer_does_not_start_if_what_comes_first_fails() {
        let command = ReceiveCommand {
            python: "echo started".into(),
            before: Some("false".into()),
            ..Default::default()
        };
        let output = Command::new("sh")
            .arg("-c")
            .arg(command.text(3, 4, None))
            .output()
            .unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.status.code()),
            (&b""[..], Some(1))
        );
    }
}
