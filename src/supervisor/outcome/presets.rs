//! The presets that are part of the program: one file each, in the directory `presets`.

use super::preset::Preset;

/// Names and files, in alphabetical order.
const FILES: [(&str, &str); 12] = [
    ("aider", include_str!("presets/aider.yaml")),
    ("anthropic-sdk", include_str!("presets/anthropic-sdk.yaml")),
    ("aws", include_str!("presets/aws.yaml")),
    ("claude-code", include_str!("presets/claude-code.yaml")),
    ("codex", include_str!("presets/codex.yaml")),
    ("copilot", include_str!("presets/copilot.yaml")),
    ("curl", include_str!("presets/curl.yaml")),
    ("gemini", include_str!("presets/gemini.yaml")),
    ("gh", include_str!("presets/gh.yaml")),
    ("openai-sdk", include_str!("presets/openai-sdk.yaml")),
    ("opencode", include_str!("presets/opencode.yaml")),
    ("wget", include_str!("presets/wget.yaml")),
];

/// True for a word that can only be meant as the name of a preset: lower-case letters, digits and hyphens.
pub fn is_name(entry: &str) -> bool {
    entry.starts_with(|c: char| c.is_ascii_lowercase())
        && entry.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The names of all presets, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The file of a preset, as it is written.
pub fn source(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A preset. That each file can be read is tested.
pub fn find(name: &str) -> Option<Preset> {
    serde_saphyr::from_str(source(name)?).ok()
}

#[cfg(test)]
mod tests;
