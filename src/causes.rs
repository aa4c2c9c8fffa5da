//! The message of an error with its causes.

/// An error and its causes in one line, because the outermost error of a client rarely says what is wrong.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Many errors repeat their cause.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().unwrap();
        Layer { text, source: (!rest.is_empty()).then(|| Box::new(layers(rest))) }
    }

    #[test]
    fn each_cause_is_said_once() {
        assert_eq!(with_causes(&layers(&["request failed"])), "request failed");
        assert_eq!(
            with_causes(&layers(&["request failed", "connect", "Connection refused"])),
            "request failed: connect: Connection refused"
        );
        assert_eq!(
            with_causes(&layers(&["request failed: no route", "no route", "os error 113"])),
            "request failed: no route: os error 113"
        );
    }
}
