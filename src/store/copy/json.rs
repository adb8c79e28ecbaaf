//! JSON in one form, whichever engine kept it: `jsonb` orders keys its own way and spaces them, SQLite keeps what was written.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Digit for digit as they stand.
    AsWritten,
    /// By value: `jsonb` turns `1e3` into `1000`, which is the same number.
    ByValue,
}

/// The text without blanks, keys sorted by their bytes and the last of equal ones kept, as the service itself writes it.
///
/// # Errors
/// When it is not JSON.
pub(super) fn canonical(text: &str, numbers: Numbers) -> Result<String, serde_json::Error> {
    // Refuses what is not JSON, and what is nested so deeply that the service could not read it: the rest may trust the text.
    serde_json::from_str::<serde::de::IgnoredAny>(text)?;
    let mut out = String::with_capacity(text.len());
    let mut reader = Reader {
        text,
        at: 0,
        numbers,
    };
    reader.value(&mut out)?;
    Ok(out)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    numbers: Numbers,
}

impl<'a> Reader<'a> {
    /// The next byte that is no blank, without taking it; 0 at the end.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    /// Everything up to the first byte that `ends` accepts.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().position(ends).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn value(&mut self, out: &mut String) -> Result<(), serde_json::Error> {
        match self.peek() {
            b'{' => self.object(out),
            b'[' => self.array(out),
            b'"' => {
                let text = self.string()?;
                out.push_str(&serde_json::to_string(&text)?);
                Ok(())
            }
            _ => {
                let word = self
                    .until(|byte| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace());
                match self.numbers {
                    Numbers::ByValue if !word.starts_with(['t', 'f', 'n']) => {
                        out.push_str(&by_value(word));
                    }
                    _ => out.push_str(word),
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, out: &mut String) -> Result<(), serde_json::Error> {
        let mut members = BTreeMap::new();
        self.take(b'{');
        while !self.take(b'}') {
            self.take(b',');
            self.peek();
            let key = self.string()?;
            self.take(b':');
            let mut value = String::new();
            self.value(&mut value)?;
            members.insert(key, value);
        }
        out.push('{');
        for (n, (key, value)) in members.into_iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            out.push_str(&serde_json::to_string(&key)?);
            out.push(':');
            out.push_str(&value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String) -> Result<(), serde_json::Error> {
        self.take(b'[');
        out.push('[');
        let mut first = true;
        while !self.take(b']') {
            if !first {
                self.take(b',');
                out.push(',');
            }
            first = false;
            self.value(out)?;
        }
        out.push(']');
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, serde_json::Error> {
        let from = self.at;
        self.at += 1;
        loop {
            self.until(|byte| matches!(byte, b'"' | b'\\'));
            let escaped = self.text.as_bytes().get(self.at) == Some(&b'\\');
            self.at += if escaped { 2 } else { 1 };
            if !escaped {
                break;
            }
        }
        let literal = self.text.get(from..self.at).unwrap_or_default();
        serde_json::from_str::<String>(literal).map(Cow::Owned)
    }
}

/// A decimal number as its digits without zeros at either end, and the power of ten: `-1.50` is `-15e-1`, every zero `0`.
fn by_value(number: &str) -> String {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else {
        return number.to_owned();
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        return "0".to_owned();
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let moved = i64::try_from(zeros).unwrap_or(0) - i64::try_from(fraction.len()).unwrap_or(0);
    match exponent.checked_add(moved) {
        Some(exponent) => format!("{sign}{digits}e{exponent}"),
        None => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_the_order_of_keys_do_not_matter() {
        for text in [
            r#"{"b":1,"aa":[1,2,{"x":"ä\n"}],"c":null}"#,
            r#" { "aa" : [ 1 , 2 , { "x" : "\u00e4\u000a" } ] , "c" : null , "b" : 0 , "b" : 1 } "#,
        ] {
            let found = canonical(text, Numbers::AsWritten).unwrap();
            assert_eq!(found, r#"{"aa":[1,2,{"x":"ä\n"}],"b":1,"c":null}"#);
        }
        for text in ["{}", "[]", "[[],{}]", "true", "-1.50", r#""a\\\"b""#] {
            assert_eq!(canonical(text, Numbers::AsWritten).unwrap(), text);
        }
    }

    #[test]
    fn it_is_what_the_service_writes() {
        let text = r#"{"z":{"ü":[1.5,-2,1e300,true,"\u0001😀"]},"a":"","A":{}}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let written = serde_json::to_string(&value).unwrap();
        assert_eq!(canonical(&written, Numbers::AsWritten).unwrap(), written);
    }

    #[test]
    fn a_number_is_its_value() {
        for (text, wanted) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e7", "0"),
            ("1", "1e0"),
            ("1.00", "1e0"),
            ("1000", "1e3"),
            ("1E+3", "1e3"),
            ("-1.50", "-15e-1"),
            ("0.00120", "12e-4"),
            ("12345678901234567890.5", "123456789012345678905e-1"),
        ] {
            assert_eq!(canonical(text, Numbers::ByValue).unwrap(), wanted, "{text}");
        }
        assert_eq!(
            canonical("[10,true,null,\"10\"]", Numbers::ByValue).unwrap(),
            "[1e1,true,null,\"10\"]"
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{\"a\":}", "nul", "[1,]", "1 2", "\"\\ud800\""] {
            assert!(canonical(text, Numbers::AsWritten).is_err(), "{text}");
        }
    }
}
