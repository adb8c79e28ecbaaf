//! Names of files, in and out: `Content-Disposition` (RFC 6266) with the extended notation of RFC 8187.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Longest name, in bytes of UTF-8: what file systems take.
const LONGEST: usize = 255;
/// The name of a file that came without one.
const NAMELESS: &str = "file";

/// What RFC 8187 §3.2.1 lets stand as it is (`attr-char`).
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A name as it may be shown and saved: the last part of a path, without what controls a terminal or turns text around, not too
/// long, never empty and never hidden.
pub(crate) fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let odd = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let kept: String = last.chars().filter(|c| !odd(c)).collect();
    let kept = kept
        .trim()
        .trim_start_matches('.')
        .trim_end_matches(['.', ' '])
        .trim();
    if kept.is_empty() {
        return NAMELESS.to_owned();
    }
    if kept.len() <= LONGEST {
        return kept.to_owned();
    }
    // The ending stays, if it is one.
    let (stem, ending) = match kept.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= 16 => (stem, format!(".{ending}")),
        _ => (kept, String::new()),
    };
    let mut end = LONGEST - ending.len();
    while !stem.is_char_boundary(end.min(stem.len())) {
        end -= 1;
    }
    format!(
        "{}{ending}",
        stem.get(..end.min(stem.len())).unwrap_or_default()
    )
}

/// The name in a `Content-Disposition`, or `None`; `filename*` goes before `filename` (RFC 6266 §4.3).
pub(crate) fn read(disposition: &str) -> Option<String> {
    let mut plain = None;
    for parameter in parameters(disposition).into_iter().skip(1) {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "filename*" => {
                if let Some(extended) = extended(value) {
                    return Some(extended);
                }
            }
            "filename" => plain = Some(unquoted(value)),
            _ => {}
        }
    }
    plain
}

/// The parts between semicolons that stand outside quotes.
fn parameters(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            ';' if !quoted => {
                parts.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

/// `UTF-8''na%C3%AFve.txt` (RFC 8187 §3.2).
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// The header that gives a file its name, in ASCII for old readers and in full for others.
pub(crate) fn disposition(kind: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c == ' ' || c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let full = utf8_percent_encode(name, ATTR_CHAR);
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        for (given, kept) in [
            ("minutes.pdf", "minutes.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\eve\\evil.txt", "evil.txt"),
            ("a\r\nSet-Cookie: x=1", "aSet-Cookie: x=1"),
            ("Übersicht – 会議.pdf", "Übersicht – 会議.pdf"),
            ("gnp\u{202e}exe.png", "gnpexe.png"),
            (".htaccess", "htaccess"),
            ("..", "file"),
            ("", "file"),
            ("a/", "file"),
            ("name. . ", "name"),
            ("\0\u{1b}[2J", "[2J"),
        ] {
            assert_eq!(clean(given), kept, "{given:?}");
        }
        let long = clean(&format!("{}.pdf", "é".repeat(300)));
        assert!(long.len() <= LONGEST && long.ends_with("é.pdf"), "{long}");
        assert!(clean(&"é".repeat(300)).len() <= LONGEST);
    }

    #[test]
    fn names_are_read_from_the_header() {
        for (header, name) in [
            ("attachment; filename=plain.txt", Some("plain.txt")),
            (
                "attachment; filename=\"a \\\"b\\\"; c.txt\"",
                Some("a \"b\"; c.txt"),
            ),
            (
                "attachment; filename=\"x\"; filename*=UTF-8''na%C3%AFve%20.txt",
                Some("naïve .txt"),
            ),
            (
                "attachment; FILENAME*=utf-8'en'%e2%82%ac.txt",
                Some("€.txt"),
            ),
            ("attachment; filename=x; filename*=latin-1''%E9", Some("x")),
            ("attachment; filename*=UTF-8''%ff; filename=y", Some("y")),
            ("attachment", None),
            ("filename=first.txt", None),
        ] {
            assert_eq!(read(header).as_deref(), name, "{header}");
        }
    }

    #[test]
    fn names_are_written_so_that_they_cannot_break_out() {
        assert_eq!(
            disposition("attachment", "a \"b\" 100%\u{e9}.txt"),
            "attachment; filename=\"a _b_ 100__.txt\"; filename*=UTF-8''a%20%22b%22%20100%25%C3%A9.txt"
        );
    }
}
