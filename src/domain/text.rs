//! Rules for text that people type. Lengths are counted in Unicode code points, as JSON Schema does.

use super::fault::Faults;

/// Pattern of a line: begins with something visible, holds no control character (ECMA 262).
pub const LINE_PATTERN: &str = r"^[^\s\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$";
/// Pattern of a line that may be empty.
pub const OPTIONAL_LINE_PATTERN: &str = r"^[^\u0000-\u001f\u007f]*$";
/// Pattern of running text: anything but NUL, which PostgreSQL cannot store.
pub const PROSE_PATTERN: &str = r"^[^\u0000]*$";
/// Pattern of an e-mail address: the one of the HTML standard ("valid e-mail address"), with a dot in the domain.
pub const EMAIL_PATTERN: &str = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$";
/// Longest e-mail address, in characters (RFC 5321 §4.5.3.1.3, less the brackets).
pub const EMAIL_MAX: usize = 254;

fn length(faults: &mut Faults, pointer: &str, text: &str, min: usize, max: usize) {
    let count = text.chars().count();
    if count < min {
        faults.add(pointer, "too_short", format!("at least {min} characters"));
    } else if count > max {
        faults.add(pointer, "too_long", format!("at most {max} characters"));
    }
}

/// A required line of 1 to `max` characters.
pub fn line(faults: &mut Faults, pointer: &str, text: &str, max: usize) {
    length(faults, pointer, text, 1, max);
    if text.starts_with(char::is_whitespace) || text.chars().any(is_control) {
        faults.add(
            pointer,
            "invalid_characters",
            "no control characters, and no space at the start",
        );
    }
}

/// A line of up to `max` characters.
pub fn optional_line(faults: &mut Faults, pointer: &str, text: &str, max: usize) {
    length(faults, pointer, text, 0, max);
    if text.chars().any(is_control) {
        faults.add(pointer, "invalid_characters", "no control characters");
    }
}

/// Text of up to `max` characters, line breaks and all.
pub fn prose(faults: &mut Faults, pointer: &str, text: &str, min: usize, max: usize) {
    length(faults, pointer, text, min, max);
    if text.contains('\0') {
        faults.add(pointer, "invalid_characters", "no NUL character");
    }
}

/// An e-mail address that satisfies [`EMAIL_PATTERN`].
pub fn email(faults: &mut Faults, pointer: &str, text: &str) {
    if text.chars().count() > EMAIL_MAX {
        faults.add(
            pointer,
            "too_long",
            format!("at most {EMAIL_MAX} characters"),
        );
    } else if !is_email(text) {
        faults.add(
            pointer,
            "invalid_email",
            "an e-mail address such as ada@example.org",
        );
    }
}

fn is_control(c: char) -> bool {
    c.is_ascii_control()
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let local_char = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !local.is_empty()
        && local.chars().all(local_char)
        && domain.contains('.')
        && domain.split('.').all(label)
}

/// The form of an address by which accounts are found: lower case.
pub fn normal_email(text: &str) -> String {
    text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_local_part_and_a_dotted_domain() {
        for good in [
            "a@b.c",
            "ada.l+x@mail.example.org",
            "0@A.com",
            "!#$%@x-y.io",
        ] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "", "a", "@b.c", "a@b", "a@-b.c", "a@b-.c", "a@b..c", "a b@c.d", "a@b@c.d", "ä@b.c",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn a_line_has_no_control_character_and_starts_visibly() {
        for (text, ok) in [
            ("x", true),
            (" x", false),
            ("", false),
            ("a\tb", false),
            ("é ", true),
        ] {
            let mut faults = Faults::default();
            line(&mut faults, "/t", text, 5);
            assert_eq!(faults.is_empty(), ok, "{text:?}");
        }
    }
}
