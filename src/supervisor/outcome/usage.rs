//! What a program says that it cost.

use serde_json::Value;

use super::expression::{self, COST, OfPreset};
use super::fields::{at_path, has, numbers_at};
use super::preset::Usage;
use super::tail::Line;
use crate::supervisor::spent::Spent;

/// Where a preset finds costs and tokens, ready for use.
#[derive(Debug)]
pub(super) struct Meter {
    usage: Usage,
    text: Option<OfPreset>,
}

impl Meter {
    pub(super) fn of(usage: Usage) -> Self {
        let text = usage.text.as_deref().map(|text| OfPreset::new("", text));
        Self { usage, text }
    }

    /// Its expression.
    #[cfg(test)]
    pub(super) const fn expression(&self) -> Option<&OfPreset> {
        self.text.as_ref()
    }

    /// True if it reads money, not tokens alone.
    pub(super) fn reads_cost(&self) -> bool {
        self.usage.cost.is_some() || self.usage.text.is_some()
    }

    /// What the last line says that it knows, or all of them together.
    pub(super) fn read(&self, lines: &[Line]) -> Option<Spent> {
        let mut known = lines.iter().rev().filter_map(|line| self.of_line(line));
        if self.usage.sum { known.reduce(Spent::plus) } else { known.next() }
    }

    fn of_line(&self, line: &Line) -> Option<Spent> {
        match (&line.event, &self.usage.fields, &self.text) {
            (Some(event), Some(fields), _) if has(event, fields) => Some(self.of_event(event)),
            (None, _, Some(text)) => {
                let cost = text.captures(&expression::normal(&line.text))?.name(COST)?.as_str().parse().ok()?;
                Some(Spent { cost_usd: cost, ..Spent::default() })
            }
            _ => None,
        }
    }

    fn of_event(&self, event: &Value) -> Spent {
        let tokens =
            |paths: &[String]| paths.iter().flat_map(|path| numbers_at(event, path)).fold(0, u64::saturating_add);
        let cost = self.usage.cost.as_deref().and_then(|path| at_path(event, path)).and_then(Value::as_number);
        Spent {
            cost_usd: cost.and_then(|number| number.to_string().parse().ok()).unwrap_or_default(),
            input_tokens: tokens(&self.usage.input),
            cached_input_tokens: tokens(&self.usage.cached_input),
            output_tokens: tokens(&self.usage.output),
        }
    }
}
