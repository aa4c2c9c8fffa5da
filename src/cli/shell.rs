//! Words for shells.

/// A word as every shell reads it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quoted_word_is_one_word() {
        let word = "/a b/it's $HOME`x`";
        let script = format!("printf %s {}", super::quoted(word));
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
    }
}
