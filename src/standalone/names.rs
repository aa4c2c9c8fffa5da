//! Lists of names in messages.

/// Names in a message.
const NAMED: usize = 5;

/// The first few of a list, as text.
pub(super) fn some(list: &[String]) -> String {
    let rest = list.len().saturating_sub(NAMED);
    let named = list[..list.len().min(NAMED)].join(", ");
    if rest == 0 { named } else { format!("{named} and {rest} more") }
}
