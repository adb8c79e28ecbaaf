//! The words of a text, cut the same way for both engines, so that a search finds the same on either.

/// Longest word kept, in characters.
const WORD_MAX: usize = 48;
/// Most words of a query that are looked for.
pub const QUERY_WORDS_MAX: usize = 12;

/// The distinct words of `texts`: runs of letters and digits, in lower case, in order of appearance.
pub fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut words = Vec::new();
    for text in texts {
        for run in text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|run| !run.is_empty())
        {
            let word: String = run
                .chars()
                .flat_map(char::to_lowercase)
                .filter(|c| c.is_alphanumeric())
                .take(WORD_MAX)
                .collect();
            if !word.is_empty() && seen.insert(word.clone()) {
                words.push(word);
            }
        }
    }
    words
}

/// A query's words: each must begin a word of what is found.
pub fn query_words(query: &str) -> Vec<String> {
    let mut words = words([query]);
    words.truncate(QUERY_WORDS_MAX);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_distinct_and_free_of_punctuation() {
        assert_eq!(
            words(["Rust & rust: 2026's", "ÉTÉ-party"]),
            ["rust", "2026", "s", "été", "party"]
        );
        assert!(words([" ---'\" "]).is_empty());
    }
}
