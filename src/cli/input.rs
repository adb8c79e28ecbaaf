//! Reads a password: without showing it on a terminal, else as the first line of standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Longest line that is read: what is longer is no password.
const LONGEST: u64 = 4096;

/// The first line of standard input, without its line break.
///
/// # Errors
/// When it cannot be read, is empty, or is not UTF-8.
pub(super) fn password(prompt: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let _hidden = if stdin.is_terminal() {
        let mut out = io::stderr().lock();
        out.write_all(prompt.as_bytes())?;
        out.flush()?;
        Some(Hidden::begin()?)
    } else {
        None
    };
    let line = first_line(stdin.lock())?;
    if line.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "a password is expected on standard input",
        ));
    }
    Ok(line)
}

fn first_line(input: impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(LONGEST).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody to tell, and the next shell prompt sets the terminal right.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_break_is_not_part_of_the_password_but_blanks_are() {
        for (input, wanted) in [
            (" pass word \n", " pass word "),
            ("x\r\nnext\n", "x"),
            ("end", "end"),
            ("", ""),
        ] {
            assert_eq!(first_line(input.as_bytes()).unwrap(), wanted);
        }
    }
}
